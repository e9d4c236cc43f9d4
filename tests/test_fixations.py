"""Eye tracking: what its files hold, what is refused, and how its data are split."""

import numpy as np
import pytest
import recordings
import torch
from PIL import Image
from scipy.io import loadmat
from test_skeleton_datasets import ROOT, needs
from typer.testing import CliRunner

from companion.__main__ import app
from companion.datasets import fixations
from companion.datasets.fixations import Fixations
from companion.datasets.still_lifes import still_lifes
from companion.files import DamagedFile
from companion.formats import crowd_gaze, eye_tracking, osie


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    fixations.recorded.cache_clear()


def test_osie_is_read_as_scipy_reads_it(tmp_path):
    root = recordings.matlab(tmp_path, "osie")
    found = osie.parse(*osie.files(root))
    want = loadmat(root / "osie/eye/fixations.mat", simplify_cells=True)["fixations"]
    assert [path.name for path in found.paths] == [entry["img"] for entry in want]
    for n, entry in enumerate(want):
        for observer, own in enumerate(entry["subjects"]):
            rows = (found.picture == n) & (found.observer == observer)
            np.testing.assert_allclose(found.place[rows] + 1, np.stack([own["fix_x"], own["fix_y"]], 1))
            np.testing.assert_allclose(found.duration[rows], own["fix_duration"])
            assert found.order[rows].tolist() == [0, 1, 2, 3]
    assert found.outside == 0 and (found.size == [600, 800]).all()


def test_faces_are_read(tmp_path):
    paths, beside = crowd_gaze.files(recordings.matlab(tmp_path, "crowd_gaze"))
    faces = crowd_gaze.faces(paths, beside[1])
    assert faces.box[0].tolist() == [10, 20, 40, 60] and set(faces.pose) == {1}
    assert faces.picture.tolist() == list(range(10)) and faces.occluded[:2].tolist() == [False, True]


def test_a_table_is_read_in_its_order_and_what_lies_outside_is_counted(tmp_path):
    found = eye_tracking.parse(*eye_tracking.files(recordings.table(tmp_path)))
    assert found.place.tolist() == [[10, 5], [3.5, 4], [39, 29], [0, 0]] and found.outside == 1
    assert found.picture.tolist() == [0, 0, 0, 1] and found.observer.tolist() == [0, 0, 1, 0]
    assert found.order.tolist() == [0, 1, 0, 0] and found.duration.tolist() == [150.5, 200, 90, 300]
    assert found.size.tolist() == [[30, 40], [30, 40]]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("image,observer", "picture,observer", "no column 'image'"),
        ("39,29", "x,29", "row 3: x is 'x', no number"),
        ("39,29", "nan,29", "row 3: x is 'nan', not finite"),
        ("two.png,ann,0,0,0,300,\n", "two.png,ann,0", "row 5: x is None, no number"),
        ("two.png,", "three.png,", "row 5: no picture 'three.png'"),
        ("two.png,ann,0,0,0,300,\n", "", "nobody looked at .*two.png"),
        (recordings.TABLE.partition("\n")[2], "", "has no row"),
    ],
)
def test_a_table_that_is_wrong_is_refused(tmp_path, old, new, sentence):
    root = recordings.table(tmp_path, recordings.TABLE.replace(old, new))
    with pytest.raises(DamagedFile, match=sentence):
        eye_tracking.parse(*eye_tracking.files(root))


def test_what_is_missing_or_of_another_size_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*osie"):
        osie.files(tmp_path)
    root = recordings.matlab(tmp_path, "osie")
    first = root / "osie/stimuli/1001.png"
    Image.new("RGB", (400, 300)).save(first)
    with pytest.raises(DamagedFile, match="1001.png has 400 x 300 pixels, not 800 x 600"):
        osie.parse(*osie.files(root))
    first.unlink()
    with pytest.raises(DamagedFile, match="tells of 1001.png, which is not beside it"):
        osie.parse(*osie.files(root))
    (root / "osie/eye/fixations.mat").write_bytes(b"")
    with pytest.raises(DamagedFile, match="no whole file of fixations"):
        osie.parse(*osie.files(root))
    (root / "osie/eye/fixations.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*fixations\.mat"):
        osie.files(root)


@pytest.mark.parametrize("source", recordings.SIZES)
@pytest.mark.parametrize("protocol", fixations.PROTOCOLS)
def test_no_picture_and_no_observer_is_on_both_sides(tmp_path, source, protocol):
    known = {"root": recordings.matlab(tmp_path, source), "size": (48, 64), "cells": (6, 8)}
    tested = []
    for fold in range(5):
        side = {
            s: Fixations(source, s, protocol, fold, **known) for s in ("train", "fit", "validation", "test")
        }
        assert sorted(side["train"].names + side["test"].names) == [f"{1001 + n}.png" for n in range(10)]
        assert sorted(side["fit"].names + side["validation"].names) == sorted(side["train"].names)
        assert {*side["train"].observer} & {*side["test"].observer} == (
            {0, 1, 2} if protocol == "five_folds" else set()
        )
        assert all(data.counts.sum() == len(data.place) > 0 for data in side.values())
        tested += side["test"].names
    assert len({*tested}) == len(tested) == 10


def test_simulated_observers_look_at_things_in_pictures_of_their_own(tmp_path):
    train, test, again = (Fixations("still_lifes", split, count=20) for split in ("train", "test", "test"))
    assert train.fingerprint != test.fingerprint == again.fingerprint
    assert test[0].maps["pictures"].shape == (3, 96, 128) and test.counts.shape == (20, 60, 80)
    x, y = test.place.T
    hit = np.zeros(len(x), bool)
    for n, boxes in enumerate(still_lifes("test", 20).boxes):
        for x0, y0, x1, y1 in boxes.tolist():
            hit |= (test.picture == n) & (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    assert hit.mean() > 0.55


def test_fixations_fall_into_their_cells(tmp_path):
    root = recordings.matlab(tmp_path, "osie")
    data = Fixations("osie", "test", fold=0, root=root, size=(48, 64), cells=(6, 8))
    batch = data.__getitems__([1])
    want = torch.zeros(6, 8)
    for x, y, _ in np.concatenate(data.scanpaths(1)):
        want[int((y + 0.5) / 100), int((x + 0.5) / 100)] += 1
    assert torch.equal(batch.counts[0], want) and batch.maps["pictures"].shape == (1, 3, 48, 64)
    assert len(data.pixels(1)) == 12 and len(data.elsewhere(1)) == 12 * (len(data) - 1)


def test_a_network_at_rest_sees_each_picture_once(tmp_path):
    data = Fixations("osie", "test", root=recordings.matlab(tmp_path, "osie"), size=(48, 64))

    class Halves(torch.nn.Module):
        def forward(self, pictures):
            return {"block": pictures[:, :1, ::2, ::2] / 2}

    data.pictures.see(Halves())
    maps = data[0].maps["block"]
    assert maps.dtype == torch.float16
    torch.testing.assert_close(maps.float(), data.pictures.shown[data.chosen[0], :1, ::2, ::2] / 2)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown source 'salicon'; choose one of still_lifes, osie"):
        fixations.form("salicon")
    with pytest.raises(ValueError, match="split is 'all'"):
        Fixations("still_lifes", "all")
    with pytest.raises(ValueError, match="2 pictures; five folds need 10"):
        Fixations("eye_tracking", "test", root=recordings.table(tmp_path))


@needs("osie")
def test_the_real_osie():
    found = osie.parse(*osie.files(ROOT))
    assert len(found.paths) == 700 and len(found.picture) == 98_321 and found.outside == 0
    assert found.place.mean(0) == pytest.approx([400.5, 282.6], abs=0.1)  # from 1: 401.5, 283.6


@needs("crowd_gaze")
def test_the_real_crowds():
    paths, beside = crowd_gaze.files(ROOT)
    found, faces = crowd_gaze.parse(paths, beside), crowd_gaze.faces(paths, beside[1])
    assert len(paths) == 500 and len(found.picture) == 126_348 and len(faces.picture) == 9_778


def test_a_dataset_is_checked_from_the_command_line(tmp_path):
    root = recordings.matlab(tmp_path, "osie")
    done = CliRunner().invoke(app, ["data", "check", "osie", str(root)])
    words = "10 of 700 pictures, none damaged, 690 missing, 120 fixations of 3 observers, 0 outside left out"
    assert done.exit_code == 1 and done.output.startswith(f"osie: {words}\n  to be had at https://")
    path = sorted((root / "osie/stimuli").iterdir())[2]
    path.write_bytes(path.read_bytes()[:-20])
    done = CliRunner().invoke(app, ["data", "check", "osie", str(root)])
    assert done.exit_code != 0 and "1 damaged" in done.output and str(path.name) in done.output
    table = recordings.table(tmp_path / "own")
    done = CliRunner().invoke(app, ["data", "check", "eye_tracking", str(table)])
    assert done.exit_code == 0 and "complete, 2 of 2 pictures, 4 fixations of 2 observers, 1" in done.output
