"""The batch, on notebooks of a few lines in a house of its own: what fails, is killed, runs again."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from companion import records
from companion.experiments import releases
from companion.simulator import release

HOUSE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOUSE / "workflow"))
from plan import Job, jobs  # noqa: E402

CONFIG = """
runs:
  01_good: {quick: {sources: [digits]}, full: {sources: [digits], seeds: [0, 1]}}
  02_bad: {quick: {sources: [none]}}
presets:
  01_good:
    quick: {digits: {centred: {n: 1, variants: {hard: }}}}
    full: {digits: {centred: {n: 2, folds: 2, variants: {hard: , soft: {n: 3, seeds: 1}}}}}
"""
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
TRAIN = """
from companion import records
for run, params in records.plan("01_good", source, profile, seed).items():
    records.write(run, params, {"error": 1.0})
"""


@pytest.fixture
def house(tmp_path):
    """A copy of package and workflow, and two notebooks: one waits while `wait` exists, one fails."""
    for name in ("companion", "workflow"):
        shutil.copytree(HOUSE / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        HOUSE / "results", tmp_path / "results", ignore=shutil.ignore_patterns("quick", "weights")
    )
    shutil.copy(HOUSE / "pyproject.toml", tmp_path)
    (tmp_path / "workflow/config.yaml").write_text(CONFIG)
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
    env = {name: value for name, value in os.environ.items() if name != "COMPANION_OUT"} | {
        "PYTHONPATH": str(house)
    }
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


def test_a_killed_batch_leaves_no_process_and_the_next_call_goes_on(house):
    (house / "notebooks/02_bad.ipynb").unlink()
    (house / "workflow/config.yaml").write_text(CONFIG.replace("  02_bad: {quick: {sources: [none]}}\n", ""))
    (house / "wait").touch()
    first = book(house)
    log = house / "results/quick/notebooks/01_good-digits-quick-seed0.ipynb"
    deadline = time.monotonic() + 60
    while '"2"' not in (log.read_text() if log.exists() else "") and time.monotonic() < deadline:
        time.sleep(0.1)
    family = psutil.Process(first.pid).children(recursive=True)
    assert any("ipykernel_launcher" in " ".join(process.cmdline()) for process in family)
    second = book(house)
    sentence = second.communicate()[0]
    assert second.returncode == 1
    assert (
        sentence
        == f"make book is already running here (process {first.pid}); wait for it, or stop it first.\n"
    )
    first.kill()
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert nbformat.read(log, as_version=4).cells[2].outputs[0].data["text/plain"] == "2"
    assert not list((house / "results/quick").rglob("*seed0.json"))
    (house / "wait").unlink()
    third = book(house)
    assert "1 ran" in third.communicate()[0]
    assert third.returncode == 0


def test_unknown_words_are_refused(house):
    for words, sentence in {
        ("huge",): "unknown PROFILE 'huge'",
        ("quick", "moon"): "unknown ON 'moon'",
    }.items():
        process = book(house, *words)
        assert sentence in process.communicate()[0]
        assert process.returncode == 1


def test_full_runs_what_is_absent_or_has_other_params(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text(CONFIG)
    monkeypatch.setattr(records, "CONFIG", tmp_path / "config.yaml")
    monkeypatch.setattr(records, "REPOSITORY", tmp_path)
    job = Job("01_good", "digits", "full", seed=1)
    assert not job.stands()
    for run, params in job.plan().items():
        records.write(run, params, {"accuracy": 90.0})
    assert job.stands()
    assert not Job("01_good", "digits", "full", seed=0).stands()
    (tmp_path / "config.yaml").write_text(CONFIG.replace("seeds: 1", "seeds: 2"))
    assert not job.stands()  # one more seed of `soft`
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert job.stands()
    records.write(run, params | {"n": 9}, {"accuracy": 90.0})
    assert not job.stands()
    run.path().write_text("{")
    assert not job.stands()


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
