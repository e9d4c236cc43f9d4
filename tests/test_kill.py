"""A batch that is killed at random moments ends as an unbroken one; no process and no temporary file is left.

In full, and with its counts: `pytest -m slow -s tests/test_kill.py`.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import nbformat
import pytest
import yaml

from companion import files, records

HOUSE = Path(__file__).resolve().parents[1]
DIGITS = """
notebook: 05_hard_attention
params: [model, loss, fit]
needs: [model, fit]
tolerances: {}
claims: []
presets:
  quick:
    digits:
      centred-28:
        model: {side: 8, scales: 1}
        loss: {feedback: each}
        fit: {epochs: 3, lr: 0.003, batch_size: 64}
        variants: {ram-3: , fc-8: }
"""
SIMULATED = """
notebook: 06_attention_on_joints
params: [release, data, fit]
needs: [release, data, fit]
tolerances: {}
claims: []
presets:
  quick:
    simulated:
      cross_subject:
        release: {groups: [motion], subjects: 6, cameras: 1, frames: 8, height: 90}
        data: {frames: 8, face: true}
        fit: {epochs: 4, lr: 0.003, batch_size: 32}
        variants: {sta-lstm: , lstm: }
"""
CELLS = [
    'source = "digits"\nprofile = "quick"\nseed = 0',
    "from companion import experiments, figures",
    'done = experiments.run(experiments.plan("CHAPTER", source, profile, seed=seed))',
]
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
BOOK = ["make", "book"]
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "1"]


class House:
    """A small house with these chapters; what it runs is found by a word in the environment."""

    def __init__(self, folder: Path, *chapters: str) -> None:
        self.place, self.out, self.home = folder / "house", folder / "out", folder / "home"
        for name in ("companion", "workflow", "results/published"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(HOUSE / name, self.place / name, ignore=ignored)
        for name in ("pyproject.toml", "constraints.txt", "Makefile", "README.md"):
            shutil.copy(HOUSE / name, self.place)
        (self.place / "notebooks").mkdir()
        runs, self.trains = {}, []
        for presets in map(yaml.safe_load, chapters):
            name = presets["notebook"]
            chapter = name.partition("_")[2]
            (self.place / f"companion/experiments/{chapter}.yaml").write_text(yaml.safe_dump(presets))
            cells = [nbformat.v4.new_code_cell(text.replace("CHAPTER", chapter)) for text in CELLS]
            cells[0].metadata["tags"] = ["parameters"]
            notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
            nbformat.write(notebook, self.place / f"notebooks/{name}.ipynb")
            runs[name] = {"quick": {"sources": list(presets["presets"]["quick"])}}
            self.trains.append(["-m", "companion", "train", chapter])
        (self.place / "workflow/config.yaml").write_text(yaml.safe_dump({"runs": runs}))
        python = self.place / ".venv/bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        (self.place / ".venv/.installed").touch()
        (self.home / "tmp").mkdir(parents=True)
        self.mark = f"KILLED={uuid.uuid4().hex}"

    def start(self, words: list[str]) -> subprocess.Popen:
        """In a group of its own."""
        env = dict([self.mark.split("=")], PYTHONPATH=str(self.place), COMPANION_OUT=str(self.out))
        env["NUMBA_CACHE_DIR"] = str(self.place / "numba")
        env |= {"HOME": str(self.home), "TMPDIR": str(self.home / "tmp"), "ACCELERATE_USE_CPU": "1"}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(
            words, cwd=self.place, env=os.environ | env, **streams, start_new_session=True
        )

    def processes(self) -> dict[int, str]:
        """What runs: process -> its words."""
        found = {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (place / "environ").read_bytes():
                    found[int(place.name)] = (place / "cmdline").read_text().replace("\0", " ")
            except OSError:  # it has ended
                continue
        return found

    def left(self) -> list[str]:
        """What still runs after some seconds."""
        end = time.monotonic() + 20
        while (found := self.processes()) and time.monotonic() < end:
            time.sleep(0.05)
        return list(found.values())

    def temporary(self) -> list[Path]:
        """What was being written, and whatever lies outside the scratch folder."""
        outside = [path for path in self.home.rglob("*") if path.is_file()]
        return [*outside, *self.out.glob("tmp/**/*"), *self.out.rglob(f"*{files.UNFINISHED}")]

    def records(self) -> dict[str, dict]:
        return {path.name: records.read(path) for path in (self.out / "runs").rglob("*-seed*.json")}


def kill(house: House, started: subprocess.Popen, way: str) -> None:
    """Everything but the guard, the process that was started alone, or one of those that it has started."""
    if way == "all":
        os.killpg(started.pid, signal.SIGKILL)
    elif way == "parent":
        started.kill()
    elif way == "politely":
        started.terminate()
    else:
        below = [pid for pid, words in house.processes().items() if "python" in words and pid != started.pid]
        os.kill(random.choice([*below, started.pid]), signal.SIGKILL)


def campaign(house: House, kills: int) -> str:
    """Kill the batch so many times; one that has ended all the same is compared, and begins anew."""
    start = time.monotonic()
    for words in house.trains:
        said = house.start([sys.executable, *words]).communicate()[0]
    whole, length = house.records(), time.monotonic() - start
    assert len(whole) == 2 * len(house.trains), said
    shutil.rmtree(house.out)
    calls = [BOOK, BOOK, *([*LAUNCH, *words] for words in house.trains)]
    killed, ended, left, between = 0, 0, [], 0
    while killed < kills or not ended:
        started = house.start(random.choice(calls) if killed < kills else BOOK)
        time.sleep(random.uniform(0, length) if killed < kills else 0)
        if killed < kills and started.poll() is None:
            kill(house, started, ("all", "parent", "any", "politely")[killed % 4])
            killed += 1
        said = started.communicate()[0]
        left += house.left()
        between += len(house.temporary())
        assert "Traceback" not in said or "accelerate" in said, said  # it has its own
        if (made := house.records()).keys() == whole.keys() and started.returncode == 0:
            assert all(records.same(whole[name], made[name]) for name in whole)
            assert not house.temporary()
            ended += 1
            if killed < kills:
                shutil.rmtree(house.out)
    assert not left
    return f"{killed} kills, {ended} batches with equal records, {between} temporary files on the way, 0 left"


def test_a_batch_that_is_killed_ends_as_an_unbroken_one(tmp_path):
    campaign(House(tmp_path, SIMULATED), kills=2)


@pytest.mark.slow
def test_a_batch_that_is_killed_twenty_times(tmp_path):
    print(campaign(House(tmp_path, DIGITS, SIMULATED), kills=20))


def test_what_was_launched_ends_with_its_launcher():
    """Which is killed here; the pipe closes when nothing writes to it any more."""
    train = (
        "import time; from companion import __main__ as c; c.follow(); print(1, flush=True); time.sleep(30)"
    )
    launch = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {train!r}])"
    env, pipe = os.environ | {"LOCAL_RANK": "0"}, subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", launch], env=env, stdout=pipe) as launcher:
        assert launcher.stdout.readline() == b"1\n"
        launcher.kill()
        launcher.communicate(timeout=4)
