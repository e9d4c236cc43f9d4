"""The batch, on notebooks of a few lines in a house of its own: what fails, is killed, runs again."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import locked
import nbformat
import psutil
import pytest

from companion import experiments, presets, records
from companion.experiments import releases
from companion.simulator import release

HOUSE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOUSE / "workflow"))
import book as batch  # noqa: E402
import outcome  # noqa: E402
from plan import Job, jobs  # noqa: E402

CONFIG = """
runs:
  01_good: {quick: {sources: [digits]}, full: {sources: [digits], seeds: [0, 1]}}
  02_bad: {quick: {sources: [none]}}
"""
GOOD = """
notebook: 01_good
params: [n, release]
needs: [n]
tolerances: {}
claims: []
presets:
  quick: {digits: {centred: {n: 1, variants: {hard: }}}}
"""
RELEASE = GOOD.replace("{n: 1,", "{release: {subjects: 2}, n: 1,")
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
TRAIN = """
from companion import presets, records
for run, params in presets.plan("good", source, profile, seed=seed).items():
    records.write(run, params, {"error": 1.0})
"""


@pytest.fixture
def house(tmp_path):
    """A copy of package and workflow, and two notebooks: one waits while `wait` exists, one fails."""
    for name in ("companion", "workflow"):
        shutil.copytree(HOUSE / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        HOUSE / "results", tmp_path / "results", ignore=shutil.ignore_patterns("quick", "runs", "weights")
    )
    shutil.copy(HOUSE / "pyproject.toml", tmp_path)
    (tmp_path / "workflow/config.yaml").write_text(CONFIG)
    (tmp_path / "companion/experiments/good.yaml").write_text(GOOD)
    (tmp_path / "companion/experiments/good.py").write_text('"""A chapter."""\n')
    wait = "import time, pathlib\nwhile pathlib.Path('wait').exists():\n    time.sleep(0.1)"
    parameters = 'source = "digits"\nprofile = "quick"\nseed = 0'
    for name, sources in {
        "01_good": [parameters, "1 + 1", wait, TRAIN],
        "02_bad": ["1 + 1", "1 / 0"],
    }.items():
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        cells[0].metadata["tags"] = ["parameters"]
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), path)
    return tmp_path


def book(house: Path, *words: str) -> subprocess.Popen:
    """Start the batch as `make book` does."""
    own = ("COMPANION_OUT", "NUMBA_CACHE_DIR")
    env = {name: value for name, value in os.environ.items() if name not in own}
    env |= {"PYTHONPATH": str(house)}
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "workflow/book.py", *words]
    return subprocess.Popen(
        command, cwd=house, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def test_a_failure_stays_readable_and_only_what_changed_runs_again(house):
    def call() -> str:
        process = book(house)
        text = process.communicate()[0]
        assert process.returncode == 1
        return text

    assert "1 ran, 1 failed" in (text := call())
    assert "[1/2]" in text and "[2/2]" in text
    assert "02_bad-none-quick-seed0: ZeroDivisionError: division by zero" in text
    executed = nbformat.read(house / "results/quick/notebooks/02_bad-none-quick-seed0.ipynb", as_version=4)
    assert [cell.outputs[0].output_type for cell in executed.cells if cell.get("outputs")][-1] == "error"
    assert (house / "results/quick/runs/01_good/digits/quick/centred/hard-fold0-seed0.json").exists()
    assert "1 up to date, 1 failed" in call()
    (house / "companion/ops/crop.py").write_text("# another package\n")
    assert "1 ran, 1 failed" in call()


def started(process: subprocess.Popen, log: Path) -> list[psutil.Process]:
    """What the batch has started, once its notebook waits."""
    start, deadline = time.time(), time.monotonic() + 60
    while not (outcome.fresh(log, start) and '"2"' in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("ipykernel_launcher" in " ".join(process.cmdline()) for process in family)
    return family


def test_a_killed_batch_leaves_no_process_and_the_next_call_goes_on(house):
    (house / "notebooks/02_bad.ipynb").unlink()
    (house / "workflow/config.yaml").write_text(CONFIG.replace("  02_bad: {quick: {sources: [none]}}\n", ""))
    (house / "wait").touch()
    first = book(house)
    log = house / "results/quick/notebooks/01_good-digits-quick-seed0.ipynb"
    family = started(first, log)
    second = book(house)
    sentence = second.communicate()[0]
    assert second.returncode == 1
    assert (
        sentence
        == f"make book is already running here (process {first.pid}); wait for it, or stop it first.\n"
    )
    first.kill()
    first.communicate()
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert nbformat.read(log, as_version=4).cells[2].outputs[0].data["text/plain"] == "2"
    assert not list((house / "results/quick").rglob("*seed0.json"))
    interrupted = book(house)
    family = started(interrupted, log)
    interrupted.send_signal(signal.SIGINT)
    said = interrupted.communicate()[0]
    assert said.endswith("runs\n\nstopped: what is written stays, and the next call goes on.\n")
    assert interrupted.returncode == 130
    assert psutil.wait_procs(family, timeout=20)[1] == []
    (house / "wait").unlink()
    third = book(house)
    assert "1 ran" in third.communicate()[0]
    assert third.returncode == 0


def test_in_a_tree_that_cannot_be_written_all_lies_where_companion_out_says(house, tmp_path_factory):
    """And without a home."""
    out, words = tmp_path_factory.mktemp("out"), [sys.executable, "workflow/book.py"]
    done = locked.run(house, *words, PYTHONPATH=str(house), COMPANION_OUT=str(out))
    assert "1 ran, 1 failed" in done.stdout, done.stderr
    assert f"{out}/notebooks/02_bad-none-quick-seed0.ipynb shows where" in done.stdout
    assert f"Your executed notebooks are in {out}/notebooks." in done.stdout
    assert (out / "runs/01_good/digits/quick/centred/hard-fold0-seed0.json").exists()
    done = locked.run(house, *words, PYTHONPATH=str(house))
    assert re.fullmatch(r"cannot write \S+/.lock: .+; set COMPANION_OUT to another folder\.\n", done.stderr)


def test_a_remote_job_knows_its_rule_alone(house, monkeypatch):
    """As on a cluster: the release stands already, and no other rule than `notebook` may be looked at."""
    (house / "companion/experiments/good.yaml").write_text(RELEASE)
    monkeypatch.setattr(presets, "FOLDER", house / "companion/experiments")
    name = "01_good-digits-quick-seed0"
    (key,) = Job("01_good", "digits", "quick", seed=0).releases()
    words = f"--target-jobs notebook:name={name} --allowed-rules notebook --mode remote --dry-run --force"
    call = f"-m snakemake --snakefile workflow/Snakefile --cores 1 --nolock --config profile=quick {words}"
    stamp = house / "out/stamps/releases" / key
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    env = os.environ | {"PYTHONPATH": str(house), "COMPANION_OUT": "out"}
    done = subprocess.run([sys.executable, *call.split()], cwd=house, env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert f"output: stamps/notebooks/{name}" in done.stdout + done.stderr


GUARD = """
import book, pathlib, time
held = book.lock()
guarded = book.guard("companion-a", held, pathlib.Path("temporary"), on_slurm=True)
print("held", flush=True)
time.sleep(60)
"""


def test_slurm_jobs_of_a_killed_batch_are_cancelled_before_the_lock_is_free(house):
    """`squeue` and `scancel` are stand-ins: the jobs are gone after the second `scancel`."""
    commands = {
        "squeue": "cat jobs",
        "scancel": 'echo "$@" >>cancelled; test $(wc -l <cancelled) -lt 2 || : >jobs',
    }
    for name, text in commands.items():
        (house / name).write_text(f"#!/bin/sh\n{text}\n")
        (house / name).chmod(0o755)
    (house / "jobs").write_text("companion-a_1f 17\ncompanion-b_1f 18\ncompanion-a_1f 19\n")
    env = os.environ | {"PYTHONPATH": f"{house}:{house}/workflow", "PATH": f"{house}:{os.environ['PATH']}"}
    env |= {"COMPANION_OUT": "results/quick"}
    (house / "temporary").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", GUARD], cwd=house, env=env, text=True, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.communicate()
    try:
        free = ["flock", "--wait", "20", "results/quick/.lock", "true"]
        assert subprocess.run(free, cwd=house).returncode == 0
    finally:
        (house / "jobs").unlink()  # lets the guard end, whatever it does
    assert (house / "cancelled").read_text() == "17 19\n17 19\n"
    assert not (house / "temporary").exists()


def test_make_hands_root_on_as_it_was_typed(tmp_path):
    """Quotes, blanks, `;`, `$x` and what make itself would run are parts of a name. Python is a stand-in."""
    shutil.copy(HOUSE / "Makefile", tmp_path)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintenv COMPANION_DATA\n")
    python.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt", ".venv/.installed"):
        (tmp_path / name).touch()
    for root in ('"; touch x; "', "/a b/ü $x", "~/data", "$(shell touch x)"):
        made = subprocess.run(
            ["make", "--no-print-directory", "book", f"ROOT={root}"],
            cwd=tmp_path,
            text=True,
            capture_output=True,
        )
        assert made.stdout == f"{root}\n"
    assert not (tmp_path / "x").exists()


def test_root_is_a_folder_or_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for root, folder in {
        '"; touch x; "': tmp_path / '"; touch x; "',
        f"{tmp_path}/a b/ü $x": tmp_path / "a b/ü $x",
        "~/data": tmp_path / "home/data",
    }.items():
        monkeypatch.setenv("COMPANION_DATA", root)
        with pytest.raises(SystemExit, match=f"^there is no folder {re.escape(str(folder))}: ROOT is"):
            batch.find_data()
        folder.mkdir(parents=True)
        batch.find_data()
        assert os.environ["COMPANION_DATA"] == str(folder)


INPUT = """Building DAG of jobs...
InputFunctionException in rule notebook in file "/house/workflow/Snakefile", line 37:
Error:
  KeyError: 'release-b03a1c291eb3'
Wildcards:
  name=release-b03a1c291eb3
Traceback:
  File "/house/workflow/Snakefile", line 39, in <lambda> (rule notebook, line 71, /house/workflow/Snakefile)
"""
LIMIT = """slurmstepd-n7: error: *** STEP 22.0 ON n7 CANCELLED AT 2026-11-26T03:45:09 DUE TO TIME LIMIT ***
[Thu Nov 26 03:45:09 2026]
Error in rule notebook:
    message: None
    shell:
        (command exited with non-zero exit code)
WorkflowError:
At least one job did not complete successfully.
srun: error: n7: task 0: Exited with exit code 1
"""
REFUSED = """Building DAG of jobs...
[Thu Nov 26 03:40:27 2026]
Error in rule notebook:
    message: SLURM sbatch failed. The error message was 'sbatch: error: Memory can not be satisfied
sbatch: error: Batch job submission failed: Requested node configuration is not available'.
    log: notebooks/{name}.ipynb, notebooks/{name}.log
[Thu Nov 26 03:40:28 2026]
Error in rule notebook:
    message: SLURM-job '9' failed, SLURM status is: 'NODE_FAIL'.
    log: notebooks/other.ipynb, notebooks/other.log
[Thu Nov 26 03:40:29 2026]
Cleaning up SLURM log files older than 10 day(s).
"""


def test_the_summary_finds_the_reason_of_a_job_that_never_reached_papermill(tmp_path, monkeypatch):
    """The layout is that of the SLURM plugin; of a failed job snakemake leaves an empty log of its own."""
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path))
    monkeypatch.setattr(outcome, "ROOT", tmp_path)
    job = Job("03_reads", "none", "quick", seed=0)
    own, start = job.log.with_suffix(".log"), time.time() - 10
    jobs_log = tmp_path / f".snakemake/slurm_logs/rule_notebook/{job.name}/14.log"
    main_log = tmp_path / ".snakemake/log/2026-11-26T034027.123674.snakemake.log"

    def write(path: Path, text: str, age: float = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (start + 5 - age,) * 2)

    def found() -> str:
        word, reason = outcome.outcome(job, start)
        assert word == "failed"
        return reason

    assert outcome.outcome(job, start) == ("not started", "")
    write(own, "Traceback (most recent call last):\nValueError: of the last batch\n", age=99)
    write(jobs_log.with_name("9.log"), INPUT, age=99)
    assert outcome.outcome(job, start) == ("not started", "")
    write(own, "")
    assert found().startswith("it was killed\n")
    write(main_log, REFUSED.replace("{name}", job.name))
    where = f"\n    {main_log.relative_to(tmp_path)} shows where"
    sentence = "sbatch: error: Batch job submission failed: Requested node configuration is not available'."
    assert found() == sentence + where
    write(main_log, REFUSED.replace("{name}", "another"))
    assert found().startswith("it was killed\n")
    where = f"\n    {jobs_log.relative_to(tmp_path)} shows where"
    write(jobs_log, INPUT)
    assert found() == "KeyError: 'release-b03a1c291eb3'" + where
    write(own, "old", age=99)
    assert found() == "KeyError: 'release-b03a1c291eb3'" + where
    write(own, "[IPKernelApp] WARNING | TCP\n")
    write(jobs_log, LIMIT)
    assert found() == LIMIT.splitlines()[0] + where
    write(own, "Traceback (most recent call last):\nZeroDivisionError: division by zero\n")
    write(job.log, "{}")
    assert found() == f"ZeroDivisionError: division by zero\n    {job.log.relative_to(tmp_path)} shows where"
    write(job.stamp, "")
    assert outcome.outcome(job, start) == ("ran", "")


def test_a_job_that_waits_for_a_failed_release_says_so(tmp_path, monkeypatch):
    (tmp_path / "good.yaml").write_text(RELEASE)
    (tmp_path / "good.py").write_text("")
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    job = Job("01_good", "digits", "quick", seed=0)
    (key,) = job.releases()
    log = tmp_path / f"out/notebooks/release-{key}.log"
    log.parent.mkdir(parents=True)
    log.write_text("Traceback (most recent call last):\nOSError: no space\n")
    sentence = f"its simulated release: OSError: no space\n    {log} shows where"
    assert outcome.outcome(job, 0) == ("not started", sentence)


@pytest.mark.parametrize("processes", ["0", "two", "-1"])
def test_so_many_processes_are_refused(processes):
    with pytest.raises(SystemExit, match=f"PROCESSES is '{processes}'; give a whole number from 1"):
        batch.main("quick", "local", processes)


def test_unknown_words_are_refused(house):
    for words, sentence in {
        ("huge",): "unknown PROFILE 'huge'",
        ("quick", "moon"): "unknown ON 'moon'",
    }.items():
        process = book(house, *words)
        assert sentence in process.communicate()[0]
        assert process.returncode == 1


def test_a_batch_ends_though_snakemake_does_not_exit(monkeypatch, capsys):
    for name in ("lock", "guard", "surround", "find_data", "snakemake", "jobs"):
        monkeypatch.setattr(batch, name, mock.MagicMock())
    monkeypatch.setattr(batch.subprocess, "run", lambda *words, **options: mock.Mock(returncode=0))
    assert batch.main("quick", "local") == 0
    assert "Next: `make lab`" in capsys.readouterr().out


def test_a_full_disk_is_one_sentence(monkeypatch):
    monkeypatch.setattr(batch.shutil, "disk_usage", lambda path: mock.Mock(free=1 << 20))
    with pytest.raises(SystemExit, match="^/.* has no 64 MB free; set COMPANION_OUT to another folder"):
        batch.main()


@pytest.mark.parametrize("place", ["slurm", "trial"])
def test_slurm_that_is_not_installed_is_one_sentence(place, monkeypatch):
    monkeypatch.setattr(batch.shutil, "which", lambda name: None)
    monkeypatch.setattr(batch, "lock", lambda: pytest.fail("went on"))
    with pytest.raises(SystemExit, match=f"^ON={place} needs sbatch and snakemake's SLURM plugin"):
        batch.main("quick", place)


FULL = """
notebook: 05_hard_attention
params: [model, fit]
needs: [model, fit]
tolerances: {}
claims: []
presets:
  full:
    digits:
      centred-28:
        model: {side: 8, scales: 1}
        fit: {epochs: 1, lr: 0.01, batch_size: 200}
        variants: {fc-4: , fc-8: {seeds: 1}}
"""


def test_full_runs_what_is_absent_or_does_not_stand(tmp_path, monkeypatch):
    (tmp_path / "hard_attention.py").write_text("")
    (tmp_path / "hard_attention.yaml").write_text(FULL)
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    monkeypatch.setattr(records, "REPOSITORY", tmp_path)
    job = Job("05_hard_attention", "digits", "full", seed=1)
    assert not job.stands()
    done = experiments.run(job.plan())
    assert job.stands()
    assert not Job("05_hard_attention", "digits", "full", seed=0).stands()
    (tmp_path / "hard_attention.yaml").write_text(FULL.replace("seeds: 1", "seeds: 2"))
    assert not job.stands()  # one more seed of fc-8
    (tmp_path / "hard_attention.yaml").write_text(FULL)
    assert job.stands()
    (tmp_path / "hard_attention.yaml").write_text(FULL.replace("0.01", "0.02"))
    assert not job.stands()
    (tmp_path / "hard_attention.yaml").write_text(FULL)
    monkeypatch.setattr(presets, "code", lambda run: {"companion/models/ram.py": "new"})
    assert not job.stands()
    monkeypatch.undo()
    monkeypatch.setattr(records, "REPOSITORY", tmp_path)
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    assert job.stands()
    (run,) = done
    run.path().write_text("{")
    assert not job.stands()


def test_several_processes_train_what_a_notebook_then_finds(tmp_path, monkeypatch):
    job = Job("05_hard_attention", "digits", "quick", 0)
    assert job.train(1) == ":" == Job("00_the_lecture", "none", "quick", 0).train(2)
    own = " --variant fc-16 --protocol centred-28"
    env = os.environ | {"COMPANION_OUT": str(tmp_path), "OMP_NUM_THREADS": "2"}  # as snakemake has it
    subprocess.run(job.train(2) + own, shell=True, check=True, env=env, cwd=HOUSE)
    threads = "import os; os.write(1, os.environ['OMP_NUM_THREADS'].encode() + b' ')"
    said = job.train(2).replace(
        "-m companion train", f"--no-python {sys.executable} -c {shlex.quote(threads)}"
    )
    done = subprocess.run(said, shell=True, check=True, env=env, cwd=HOUSE, capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1"], "two processes must not take four threads of two processors"
    (path,) = (tmp_path / "runs").rglob("*.json")
    assert records.read(path)["provenance"]["processes"] == 2


def test_every_job_of_the_house_has_a_notebook_and_a_preset():
    for job in [job for profile in records.PROFILES for job in jobs(profile)]:
        assert (HOUSE / f"notebooks/{job.notebook}.ipynb").exists()
        assert job.plan() or job.source == "none"


def test_a_seed_beyond_all_variants_is_no_job():
    """Five seeds of SBU's headline contrast are asked for, three of N-UCLA's variants, one of some."""
    seeds = [(job.source, job.seed) for job in jobs("paper") if job.notebook == "06_attention_on_joints"]
    assert seeds == [("sbu", seed) for seed in range(5)] + [("nucla", seed) for seed in range(3)]


@pytest.mark.parametrize("seed", [0, 3])
def test_a_job_simulates_the_release_that_its_runs_read(seed, monkeypatch):
    """Of its own seed, by the fingerprint that the records keep."""
    params = {"release": {"subjects": 2, "groups": ["motion"], "height": 0}}
    monkeypatch.setattr(Job, "plan", lambda job: {"a run": params})
    (text,) = Job("08_pose_is_not_enough", "simulated", "full", seed).releases().values()
    _, place = releases.asked(params, seed, "simulated", None)
    assert place.data() == {"simulated": release.key(release.Release(**json.loads(text)))}


def test_notebooks_share_their_release():
    read = {job.notebook: job.releases() for job in jobs("quick")}
    assert len(read["08_pose_is_not_enough"]) == 1
    assert read["08_pose_is_not_enough"] == read["09_pose_driven_attention"]
    assert not read["05_hard_attention"] and not read["00_the_lecture"]
