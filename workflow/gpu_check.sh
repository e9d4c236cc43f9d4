#!/usr/bin/env bash
# What a machine with a GPU must show, in under six minutes: workflow/gpu_check.sh [python]
#
# Python is that of the Makefile's environment, or one that has what pyproject.toml asks for (see workflow/README.md).
# Everything is written to a folder of its own, which is removed at the end.
set -eu
cd "$(dirname "$0")/.."
python=$(command -v "${1:-.venv/bin/python}")
COMPANION_OUT=$(mktemp -d)
export COMPANION_OUT PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
trap 'rm -rf "$COMPANION_OUT"' EXIT

step() {
    printf '\n== %s\n' "$1"
    shift
    time -p "$@"
}

"$python" -c 'import torch; torch.cuda.is_available() or exit("this machine has no GPU that torch can use")'
"$python" -m companion doctor
step 'tests' "$python" -m pytest -q -p no:cacheprovider tests/test_gpu.py tests/test_hands.py tests/test_crop.py
step 'notebook 09, quick' "$python" -m papermill notebooks/09_pose_driven_attention.ipynb "$COMPANION_OUT/09.ipynb" \
    --no-progress-bar --log-level WARNING
for precision in f32 bf16; do
    step "companion train, $precision" "$python" -m companion train hard_attention --source digits --protocol translated-60 \
        --precision "$precision" --out "$COMPANION_OUT/$precision"
done
step 'the GPU beside the CPU' "$python" benchmarks/devices.py
