"""The file that keeps a dataset parsed."""

import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from companion.__main__ import app
from companion.datasets import cache
from companion.datasets.cache import keep
from companion.formats import clips, nucla
from companion.formats.clips import DamagedClip, find


def put(folder, name, frames=3, skeletons=None):
    """A clip in N-UCLA's format."""
    text = skeletons or str([[[x, x + 1.0, x + 2.0] for x in range(t, t + 20)] for t in range(frames)])
    path = folder / f"{name}.json"
    path.write_text(f'{{"file_name": "{name}", "skeletons": {text}, "label": {int(name[2])}}}')
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nucla").mkdir()
    for name, frames in (("a01_s01_e00_v01", 3), ("a02_s01_e00_v02", 1), ("a03_s02_e00_v03", 5)):
        put(tmp_path / "nucla", name, frames)
    return tmp_path


def store(folder, **options):
    return keep("nucla", find(folder, "nucla", "*.json"), nucla.parse, cache=folder / "cache", **options)


def test_a_kept_clip_is_the_parsed_clip(folder):
    kept = store(folder)
    assert len(kept) == 3 and kept.damaged == []
    for i, path in enumerate(find(folder, "nucla", "*.json")):
        for got, want in zip(kept[i], nucla.parse(path), strict=True):
            np.testing.assert_array_equal(got, want)


def test_it_is_parsed_once_and_again_when_a_file_changes(folder, monkeypatch):
    store(folder)
    with monkeypatch.context() as patch:
        patch.setattr(cache, "read_all", None)
        store(folder)
    put(folder / "nucla", "a01_s01_e00_v01", 7)
    assert len(store(folder)[0].skeleton) == 7
    assert len(list((folder / "cache").iterdir())) == 1


def test_a_damaged_file_is_an_error_or_is_named(folder):
    bad = put(folder / "nucla", "a04_s01_e00_v01", skeletons="[[1, 2]]")
    with pytest.raises(DamagedClip, match="a04_s01_e00_v01.json, line 1"):
        store(folder)
    kept = store(folder, strict=False)
    for index in (-1, 3):
        with pytest.raises(IndexError, match=f"clip {index} of 3"):
            kept[index]
    assert len(kept) == 3 and len(kept.damaged) == 1 and str(bad) in kept.damaged[0]


def test_a_dataset_of_which_nothing_can_be_read_is_refused(tmp_path):
    (tmp_path / "nucla").mkdir()
    put(tmp_path / "nucla", "a04_s01_e00_v01", skeletons="[]")
    with pytest.raises(FileNotFoundError, match="none of the 1 files of nucla can be read; the first: .*a04"):
        store(tmp_path, strict=False)


def test_two_processes_may_keep_it_at_once(folder):
    script = (
        "import sys; from pathlib import Path; from companion.formats.clips import find;"
        "from companion.datasets.cache import keep; from companion.formats import nucla;"
        "root = Path(sys.argv[1]);"
        "print(len(keep('nucla', find(root, 'nucla', '*.json'), nucla.parse, cache=root / 'cache')))"
    )
    run = [sys.executable, "-c", script, str(folder)]
    both = [subprocess.Popen(run, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["3\n", "3\n"]
    assert len(list((folder / "cache").iterdir())) == 1


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="pass root or set COMPANION_DATA"):
        find(None, "nucla", "*.json")
    with pytest.raises(FileNotFoundError, match="no folder .*nucla; root must contain nucla"):
        find(tmp_path, "nucla", "*.json")
    os.mkdir(tmp_path / "nucla")
    with pytest.raises(FileNotFoundError, match=r"no file \*.json in .*nucla"):
        find(tmp_path, "nucla", "*.json")


def test_a_check_counts_and_names_the_damage(folder):
    files = find(folder, "nucla", "*.json")
    assert clips.check(files, nucla.parse, 3, "a page") == "complete, 3 of 3"
    assert clips.check(files, nucla.parse, 5, "a page") == (
        "3 of 5, none damaged, 2 missing\n  to be had at a page"
    )
    bad = files[1]
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(
        ValueError, match=r"^3 of 4, 1 damaged, 1 missing\n  .*a02_s01_e00_v02.json, line 1: "
    ):
        clips.check(files, nucla.parse, 4, "a page")


def test_the_command_line_checks_a_dataset(folder):
    done = CliRunner().invoke(app, ["data", "check", "nucla", str(folder.parent)])
    assert done.exit_code == 1 and "no folder" in done.output
    (folder / "nucla").rename(folder / "all_sqe")
    (folder / "nucla").mkdir()
    (folder / "all_sqe").rename(folder / "nucla/all_sqe")
    done = CliRunner().invoke(app, ["data", "check", "nucla", str(folder)])
    assert done.exit_code == 0 and done.output.startswith("nucla: 3 of 1494, none damaged, 1491 missing\n")
