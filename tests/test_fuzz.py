"""Changed files are read or refused and do no harm; `python tests/fuzz.py 1000` makes more of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[1]
CASES = {  # each module that finds damage in a file -> cases that it is in
    "datasets/cache.py": "cache, clips-simulated",
    "datasets/hands.py": "cache, crops",
    "datasets/skeletons.py": "truth",
    "datasets/video_clips.py": "cache, frames",
    "experiments/__init__.py": "presets, hard_attention",
    "experiments/releases.py": "manifest",
    "files.py": "record",
    "formats/clips.py": "ntu",
    "formats/crowd_gaze.py": "crowd_gaze, inside labels.mat",
    "formats/daquar.py": "daquar, qa.894.raw.train.format_triple",
    "formats/eye_tracking.py": "eye_tracking",
    "formats/fixations.py": "osie, inside fixations.mat",
    "formats/mnist.py": "mnist, t10k-labels-idx1-ubyte",
    "formats/msr_daily.py": "msr_daily",
    "formats/ntu.py": "ntu",
    "formats/nucla.py": "nucla",
    "formats/nucla_rgb.py": "nucla, picture",
    "formats/osie.py": "osie, fixations.mat",
    "formats/pascal_voc.py": "pascal_voc",
    "formats/pictures.py": "osie, 1001.png",
    "formats/sbu.py": "sbu",
    "formats/simulated.py": "truth",
    "datasets/labelled_videos.py": "ucf11",
    "formats/ucf11.py": "ucf11",
    "formats/voc_release5.py": "mat, inside",
    "formats/vqa.py": "vqa, v2_mscoco_train2014_annotations.json",
    "formats/yolo.py": "yolo, classes.yaml",
    "media.py": "video, film.avi",
    "models/backbones.py": "resnet",
    "models/dpm.py": "part model",
    "models/hand_attention.py": "inception",
    "models/video_baselines.py": "resnet, lstm",
    "presets.py": "presets, hard_attention",
    "records.py": "record",
    "training.py": "checkpoint",
}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(HOUSE), str(HOUSE / "tests")])}
    env |= {"OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, check=False)


def test_changed_files_are_read_or_refused():
    done = run(str(HOUSE / "tests/fuzz.py"), "50")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    counts = re.findall(r"^(.*): (\d+) read, (\d+) refused, 0 others$", done.stdout, re.M)
    assert all(int(read) + int(refused) == 50 for _, read, refused in counts)
    assert {*CASES.values()} <= {name for name, _, _ in counts}
    refuse = [path for path in (HOUSE / "companion").rglob("*.py") if "DamagedFile(" in path.read_text()]
    assert sorted(CASES) == sorted(path.relative_to(HOUSE / "companion").as_posix() for path in refuse)


HARM = """
import ctypes, time, warnings
import numpy as np
from pathlib import Path
import fuzz

def bad(folder):
    def reads(harm):
        path = folder / "file"
        path.write_bytes(b"good")
        return fuzz.case(path, lambda path: path.read_bytes() == b"good" or harm(path))

    def lines(path):
        raise ValueError(f"{path} is\\nno file")

    def swallowed(path):
        try:
            b"x" * (5 << 26)
        except MemoryError:
            raise ValueError(f"{path} is too large") from None

    yield "crash", reads(lambda path: ctypes.string_at(0))
    yield "hang", reads(lambda path: time.sleep(99))
    yield "memory", reads(lambda path: bytearray(2 << 30))
    yield "memory, refused", reads(swallowed)
    yield "exception", reads(lambda path: {}[3])
    yield "nameless", reads(lambda path: int("x"))
    yield "lines", reads(lines)
    yield "warning", reads(lambda path: warnings.warn("odd"))
    def claimed(path):
        try:
            np.empty(1 << 40, np.uint8)
        except MemoryError:
            raise ValueError(f"{path} is too large") from None

    yield "claims, refused", reads(claimed)
    yield "good", reads(lambda path: None)

fuzz.READERS, fuzz.SECONDS, fuzz.BYTES = (bad,), 5, 1 << 28
fuzz.main(2, [])
"""


def test_harm_is_found():
    found = dict(re.findall(r"^(.*): 0 read, 0 refused, 2 others\n    2 (.*)$", run("-c", HARM).stdout, re.M))
    assert not {"good", "claims, refused"} & found.keys()
    assert {name: what.split(",")[0] for name, what in found.items()} == {
        "crash": "crash",
        "hang": "hang",
        "memory": "MemoryError",
        "memory, refused": "no memory",
        "exception": "KeyError",
        "nameless": "ValueError",
        "lines": "ValueError",
        "warning": "UserWarning",
    }
