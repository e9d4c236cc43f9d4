"""Kept files: written whole, in bounded memory, made anew where damaged, never taken from a reader."""

import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save
from test_clips import put

from companion.datasets import cache
from companion.files import DamagedFile
from companion.formats import nucla
from companion.formats.clips import find


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    (tmp_path / "nucla").mkdir()
    for name, frames in (("a01_s01_e00_v01", 3), ("a02_s01_e00_v02", 1), ("a03_s02_e00_v03", 5)):
        put(tmp_path / "nucla", name, frames)
    return tmp_path


def files(folder):
    return find(folder, "nucla", "*.json")


def store(folder, **options):
    return cache.parsed("nucla", files(folder), nucla.parse, **options)


def kept(folder):
    return sorted((folder / "out").glob("cache/*"))


def test_a_kept_clip_is_the_parsed_clip(folder):
    found = store(folder)
    assert len(found.rows) == 3 and found.damaged == []
    for i, path in enumerate(files(folder)):
        for got, want in zip(found[i], nucla.parse(path), strict=True):
            np.testing.assert_array_equal(got, want)
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"clip {index} of 3"):
            found[index]


def test_it_is_parsed_once_and_again_when_a_file_changes(folder, monkeypatch):
    store(folder)
    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_all", None)
        store(folder)
    put(folder / "nucla", "a01_s01_e00_v01", 7)
    assert len(store(folder)[0].skeleton) == 7


def test_it_is_parsed_again_when_what_the_code_computes_changes(folder, monkeypatch):
    store(folder)
    monkeypatch.setattr(cache, "closure", lambda *modules: {name: "other" for name in modules})
    store(folder)
    assert len(kept(folder)) == 2


def test_a_damaged_file_is_an_error_or_is_named(folder):
    bad = put(folder / "nucla", "a04_s01_e00_v01", skeletons="[[1, 2]]")
    with pytest.raises(DamagedFile, match="a04_s01_e00_v01.json, line 1"):
        store(folder)
    found = store(folder, strict=False)
    assert len(found.rows) == 3 and len(found.damaged) == 1 and str(bad) in found.damaged[0]


def test_a_dataset_of_which_nothing_can_be_read_is_refused(folder):
    for path in files(folder):
        path.write_text("[]")
    with pytest.raises(FileNotFoundError, match="none of the 3 files of nucla can be read; the first: .*a01"):
        store(folder, strict=False)
    assert kept(folder) == []


def test_rows_become_the_file_that_safetensors_writes(folder):
    rng = np.random.default_rng(0)
    parts = [
        {
            "b": rng.random((n, 2, 3)).astype(np.float32),
            "a": rng.random((n, 5)) < 0.5,
            "c": rng.integers(0, 255, (n, 3, 3), np.uint8)[:, ::2],  # not contiguous
            "first": np.arange(n),
        }
        for n in (3, 0, 4)
    ]

    def make(rows):
        for part in parts:
            rows.append(**part)
        return {"word": 'said "so", ü'}

    cache.opened("some", "key", make)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    (content,) = (path.read_bytes() for path in kept(folder))
    found, rows = load(content), content[8 + int.from_bytes(content[:8], "little") :]
    assert len(found.pop("whole")) == 12 and found.keys() == whole.keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, whole[name])
    alone = save(whole)
    assert rows[:-12] == alone[8 + int.from_bytes(alone[:8], "little") :]
    assert safe_open(kept(folder)[0], "numpy").metadata() == {"word": 'said "so", ü'}


def test_rows_of_another_shape_or_type_are_refused(folder):
    def make(rows):
        rows.append(a=np.zeros((2, 3), np.float32))
        rows.append(a=np.zeros((2, 4), np.float32))
        return {}

    with pytest.raises(ValueError, match=r"rows of a are float32 \(4,\), not as those before"):
        cache.opened("some", "key", make)
    assert kept(folder) == []


def test_more_than_the_memory_can_be_kept(folder):
    """Two hundred blocks of one MiB; never more than a few of them at once."""

    def make(rows):
        for n in range(200):
            rows.append(block=np.full((1, 1 << 20), n, np.uint8))
        return {}

    tracemalloc.start()
    file = cache.opened("large", "key", make)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert file.get_slice("block")[150:151, :2].tolist() == [[150, 150]]


@pytest.mark.parametrize("left", [0, 5, 100, -1])
def test_a_damaged_kept_file_is_made_anew(folder, left):
    store(folder)
    [path] = kept(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    assert len(store(folder)[2].skeleton) == 5 and path.read_bytes() == whole


def test_a_kept_file_whose_words_or_counts_changed_is_made_anew(folder):
    """The numbers of a clip, of which there may be gigabytes, are not compared."""
    store(folder)
    [path] = kept(folder)
    whole = path.read_bytes()
    size = 8 + int.from_bytes(whole[:8], "little")
    first = size + safe_open(path, "numpy").get_tensor("first").nbytes
    for at in (whole.index(b"a01_s01"), size + 8, first - 1, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        store(folder)
        assert path.read_bytes() == whole
    other = whole[:first] + bytes([whole[first] ^ 1]) + whole[first + 1 :]
    path.write_bytes(other)
    store(folder)
    assert path.read_bytes() == other


def test_a_file_that_cannot_be_read_back_is_made_twice_and_then_refused(folder, monkeypatch):
    made = []

    def unreadable(path, framework):
        assert len(made) < 9
        raise cache.SafetensorError("torn")

    def make(rows):
        made.append(rows.append(a=np.zeros(1, np.float32)))
        return {}

    monkeypatch.setattr(cache, "safe_open", unreadable)
    with pytest.raises(OSError, match=r"cannot read .*some.key.safetensors, which was just written \(torn\)"):
        cache.opened("some", "key", make)
    assert len(made) == 2


def test_what_was_interrupted_leaves_nothing(folder):
    def make(rows):
        rows.append(a=np.zeros(10, np.float32))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.opened("some", "key", make)
    assert kept(folder) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(folder):
    (folder / "out").write_text("a file")
    with pytest.raises(OSError, match="cannot write .*out/cache: .*; choose another folder"):
        store(folder)


def test_only_what_nobody_has_opened_for_a_week_is_removed(folder):
    def make(rows):
        rows.append(a=np.zeros(1, np.float32))
        return {}

    for name in ("unused", "reopened"):
        cache.opened(name, "key", make)
        old = time.time() - cache.WEEK - 100
        os.utime(folder / f"out/cache/{name}.key.safetensors", (old, old))
    (folder / "out/cache/mine.txt").write_text("")
    os.utime(folder / "out/cache/mine.txt", (old, old))
    cache.opened("reopened", "key", make)
    cache.opened("new", "key", make)
    names = [path.name for path in kept(folder)]
    assert names == ["mine.txt", "new.key.safetensors", "reopened.key.safetensors"]


def test_a_file_that_goes_before_it_is_opened_is_made_again(folder, monkeypatch):
    store(folder)
    real = cache.safe_open

    def gone(path, framework):
        monkeypatch.setattr(cache, "safe_open", real)
        Path(path).unlink()
        return real(path, framework)

    monkeypatch.setattr(cache, "safe_open", gone)
    assert len(store(folder).rows) == 3


READER = """
import sys
from pathlib import Path
from companion.datasets import cache
from companion.formats import nucla
from companion.formats.clips import find

cache.WEEK = 3600
root, key, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
cache.closure = lambda *modules: {"code": key}
for _ in range(times):
    found = cache.parsed("nucla", find(root, "nucla", "*.json"), nucla.parse)
    assert len(found[2].skeleton) == 5, key
print(len(found.rows))
"""


@pytest.mark.parametrize("keys", [("one", "one"), ("one", "other")])
def test_two_processes_with_one_code_or_two_share_a_folder(folder, keys):
    run = [[sys.executable, "-c", READER, str(folder), key, "50"] for key in keys]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for words in run]
    assert [process.communicate()[0] for process in both] == ["3\n", "3\n"]
    assert len(kept(folder)) == len(set(keys))
    for path in kept(folder):
        assert safe_open(path, "numpy").get_tensor("first").tolist() == [0, 3, 4, 9]
