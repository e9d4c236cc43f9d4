"""A release is written by processes that start from any script and end with the one that started them."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from companion import files
from companion.simulator import release
from companion.simulator.release import Release

SMALL = Release(groups=("motion",), subjects=2, cameras=1, frames=8, height=0)
LARGE = Release(groups=("motion",), subjects=40, repetitions=50, cameras=1, frames=8, height=0)

SCRIPT = """
import sys
from companion.simulator import release

made = release.simulate(sys.argv[1], release.Release({words}), processes=2)
from companion.datasets.skeletons import Skeletons
print(len(Skeletons("simulated", "train", "cross_subject", root=made)))
"""


def script(folder, asked):
    """A plain script without a guard, elsewhere, that simulates and builds a Dataset."""
    path = folder / "plain.py"
    path.write_text(SCRIPT.replace("{words}", ", ".join(f"{k}={v!r}" for k, v in asdict(asked).items())))
    return [sys.executable, str(path), str(folder / "made")]


def workers(folder):
    """The processes that write into a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"companion.simulator.worker" in words and str(folder / "made").encode() in words:
            found.append(int(place.name))
    return found


def started(process, folder):
    """Wait until workers have written something."""
    for _ in range(600):
        assert process.poll() is None, process.stderr.read()
        if list(folder.glob("made/ntu/truth/*.json")):
            return workers(folder)
        time.sleep(0.1)
    raise AssertionError("no worker has written anything")


def ended(folder):
    for _ in range(300):
        if not workers(folder):
            return True
        time.sleep(0.1)
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").is_file(), reason="there is no /proc")


def test_a_plain_script_without_a_guard_simulates_and_reads(tmp_path):
    done = subprocess.run(
        script(tmp_path, SMALL), capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path)
    )
    assert done.stdout == "18\n", done.stderr
    one = release.simulate(tmp_path / "one", SMALL, processes=1)
    made = {path.relative_to(one): path.read_bytes() for path in one.rglob("*") if path.is_file()}
    other = tmp_path / "made"
    assert made == {path.relative_to(other): path.read_bytes() for path in other.rglob("*") if path.is_file()}


def environment(folder):
    root = str(Path(release.__file__).parents[2])
    return os.environ | {"PYTHONPATH": root, "COMPANION_OUT": str(folder / "out")}


@needs_proc
@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_however_it_ends_no_worker_is_left(tmp_path, way):
    process = subprocess.Popen(
        script(tmp_path, LARGE), stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(tmp_path)
    )
    assert len(started(process, tmp_path)) == 2
    process.send_signal(way)
    process.wait()
    assert ended(tmp_path)
    said = process.communicate()[1]
    assert said == "" or way == signal.SIGINT, "which Python tells of the script, not of its workers"
    assert not list(tmp_path.rglob(f".*{files.UNFINISHED}"))


@needs_proc
def test_a_worker_that_still_imports_ends_as_well(tmp_path):
    process = subprocess.Popen(
        script(tmp_path, LARGE), stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(tmp_path)
    )
    while not workers(tmp_path):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert ended(tmp_path) and process.communicate()[1] == ""


def test_a_worker_that_nobody_reads_ends_without_a_word(tmp_path):
    words = [str(tmp_path), json.dumps(asdict(SMALL)), "0", "1"]
    call = [sys.executable, "-m", "companion.simulator.worker", *words]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(call, **pipes, env=environment(tmp_path)) as worker:
        worker.stdout.close()
        assert (worker.stderr.read(), worker.wait()) == (b"", 130)


def test_ctrl_c_is_one_sentence(tmp_path):
    words = ["data", "simulate", str(tmp_path / "made"), "--subjects", "40", "--height", "0"]
    call = [sys.executable, "-m", "companion", *words, "--processes", "2"]
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment(tmp_path))
    started(process, tmp_path)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == (
        "companion: stopped; what is written stays, and the same call goes on from it\n"
    )
    assert process.returncode == 130 and not workers(tmp_path)


def test_a_finished_release_is_cleared_of_what_a_killed_process_had_begun(tmp_path):
    made = release.simulate(tmp_path, SMALL, processes=1)
    left = made / f"ntu/nturgb+d_skeletons/.a.skeleton.0{files.UNFINISHED}"
    left.touch()
    files.clear.cache_clear()  # as in another process
    release.simulate(tmp_path, SMALL)
    assert not left.exists()


@needs_proc
def test_a_killed_worker_is_one_sentence_and_ends_the_others(tmp_path):
    process = subprocess.Popen(
        script(tmp_path, LARGE), stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment(tmp_path)
    )
    os.kill(started(process, tmp_path)[0], signal.SIGKILL)
    said = process.communicate()[1]
    assert said.rstrip().endswith(
        "ChildProcessError: a process that simulates was ended (status -9); call again, what is written stays"
    )
    assert ended(tmp_path)


def test_what_a_worker_cannot_write_is_one_sentence(tmp_path):
    (tmp_path / "ntu").mkdir()
    (tmp_path / "ntu/unfinished.json").write_text(json.dumps({"key": release.key(SMALL)}))
    (tmp_path / "ntu/truth").write_text("a file")
    with pytest.raises(OSError, match="cannot write .*ntu/truth/.*json: .*; choose another folder"):
        release.simulate(tmp_path, SMALL, processes=2)


def test_a_key_belongs_to_parameters_and_to_what_the_code_computes(monkeypatch):
    assert release.key(SMALL) == release.key(Release(**json.loads(json.dumps(asdict(SMALL)))))
    assert len({release.key(Release(seed=seed)) for seed in range(3)}) == 3
    one = release.key(SMALL)
    real = release.closure
    found = real("companion.simulator.release")
    rooms = ("actions", "body", "render", "scene", "things")
    assert {f"companion/simulator/{room}.py" for room in rooms} < set(found)
    assert not any("datasets" in path for path in found)
    monkeypatch.setattr(release, "closure", lambda name: real(name) | {"companion/skeleton.py": "other"})
    assert release.key(SMALL) != one
