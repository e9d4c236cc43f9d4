"""A file is written whole or not at all, and what a killed writer has begun is cleared by the next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from companion import files

WRITE = """
import signal, sys, time
from companion import files

def pieces():
    yield b"one"
    print("begun", flush=True)
    sys.stdin.read()
    yield b"two"

files.write_whole(sys.argv[1], pieces())
"""


def writer(path: Path) -> subprocess.Popen:
    """A process that has begun to write, and goes on when its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"begun\n"
    return process


def test_a_killed_writer_leaves_the_old_file_and_the_next_call_clears(tmp_path):
    """Whatever file the next one writes there; what a living process is writing stays."""
    path = tmp_path / "checkpoint"
    files.write_whole(path, "old")
    killed, living = writer(path), writer(path)
    killed.kill()
    killed.communicate()
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 3
    (tmp_path / ".notes.of_mine.part").touch()
    files.clear.cache_clear()  # as in another process
    files.write_whole(tmp_path / "other", "text")
    assert len(list(tmp_path.iterdir())) == 4
    living.communicate()
    assert living.returncode == 0 and path.read_text() == "onetwo"
    assert {file.name for file in tmp_path.iterdir()} == {".notes.of_mine.part", "checkpoint", "other"}


def test_a_failed_or_interrupted_writer_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="cannot write .*No space left on device"):
            files.write_whole(tmp_path / "record.json", "text")
    interrupted = writer(tmp_path / "record.json")
    interrupted.send_signal(signal.SIGINT)
    interrupted.communicate()
    assert list(tmp_path.iterdir()) == []


FULL = """
import resource, sys
from companion import files

resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
files.write_whole(sys.argv[1], bytes(1 << 20))
"""


def test_what_does_not_fit_is_one_sentence_and_leaves_nothing(tmp_path):
    call = [sys.executable, "-c", FULL, tmp_path / "a"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.stderr.endswith(
        f"\nOSError: cannot write {tmp_path}/a: File too large; choose another folder\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_is_cleared_before_it_is_locked_is_begun_again(tmp_path, monkeypatch):
    """Another process may look between the two."""
    lock, begun = files.fcntl.flock, []

    def late(file, how):
        begun.append(list(tmp_path.iterdir()))
        if len(begun) == 1:
            begun[0][0].unlink()
        return lock(file, how)

    monkeypatch.setattr(files.fcntl, "flock", late)
    assert files.write_whole(tmp_path / "a", "text").read_text() == "text"
    assert len(begun) == 2 and [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_file_system_without_locks_clears_nothing(tmp_path, monkeypatch):
    def none(file, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.fcntl, "flock", none)
    left = tmp_path / f".a.0{files.UNFINISHED}"
    left.touch()
    files.write_whole(tmp_path / "a", "text")
    assert sorted(tmp_path.iterdir()) == [left, tmp_path / "a"]


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_what_is_written_has_the_rights_that_the_umask_leaves(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        assert files.write_whole(tmp_path / "a", "text").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


def test_without_a_home_one_sentence_says_where_to_write(monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    for name in ("COMPANION_OUT", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(files, "REPOSITORY", None)
    monkeypatch.setattr(files.Path, "home", nowhere)
    with pytest.raises(FileNotFoundError, match="you have no home folder: set COMPANION_OUT"):
        files.scratch()
