"""Files of clips: what is missing, and what is damaged."""

import os

import pytest
from typer.testing import CliRunner

from companion.__main__ import app
from companion.formats import clips, ntu, nucla
from companion.formats.clips import find
from companion.simulator import release
from companion.simulator.release import Release


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
    assert clips.check(files, nucla.parse, 3, "at a page") == "complete, 3 of 3"
    assert clips.check(files, nucla.parse, 5, "at a page") == (
        "3 of 5, none damaged, 2 missing\n  to be had at a page"
    )
    bad = files[1]
    bad.write_bytes(bad.read_bytes()[:-20])
    with pytest.raises(
        ValueError, match=r"^3 of 4, 1 damaged, 1 missing\n  .*a02_s01_e00_v02.json, line 1: "
    ):
        clips.check(files, nucla.parse, 4, "at a page")


def test_the_command_line_checks_a_dataset(folder):
    done = CliRunner().invoke(app, ["data", "check", "nucla", str(folder.parent)])
    assert done.exit_code == 1 and "no folder" in done.output
    (folder / "nucla").rename(folder / "all_sqe")
    (folder / "nucla").mkdir()
    (folder / "all_sqe").rename(folder / "nucla/all_sqe")
    done = CliRunner().invoke(app, ["data", "check", "nucla", str(folder)])
    assert done.exit_code == 1 and done.output.startswith("nucla: 3 of 1494, none damaged, 1491 missing\n")
    assert done.output.endswith(f"\n  to be had at {nucla.FORMAT.where}\n")


def test_a_clip_of_a_release_that_is_missing_is_to_be_simulated(tmp_path):
    asked = Release(groups=("chest",), subjects=1, cameras=1, frames=8, height=0)
    release.simulate(tmp_path, asked, processes=1)
    words = ["data", "check", "ntu", str(tmp_path)]
    assert CliRunner().invoke(app, words).exit_code == 0
    ntu.files(tmp_path)[0].unlink()
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert done.output.endswith("none damaged, 1 missing\n  to be had by companion data simulate\n")
