"""Skeleton clips by one door: splits, what is drawn, and the simulated release behind the same reader."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_ntu import text as ntu_text
from test_skeleton_datasets import sbu_text
from typer.testing import CliRunner

from companion.__main__ import app
from companion.datasets.hands import Hands
from companion.datasets.skeletons import Skeletons
from companion.formats import ntu, sbu
from companion.simulator import release
from companion.skeleton import KINECT_V2, OPENNI

ROOT = os.environ.get("COMPANION_DATA")


@pytest.fixture(scope="module")
def root():
    return release.stored(release.SKELETONS)


def simulated(split="train", root=None, **options):
    root = root or release.stored(release.SKELETONS)
    return Skeletons("simulated", split, "cross_subject", root=root, **options)


def test_splits_share_no_subject_and_no_clip():
    sides = {split: simulated(split) for split in ("fit", "validation", "train", "test")}
    assert {name: len(side) for name, side in sides.items()} == {
        "fit": 297,
        "validation": 54,
        "train": 351,
        "test": 189,
    }
    performances = {split: {clip[:4] + clip[8:] for clip in side.names} for split, side in sides.items()}
    assert {split: set(side.units) for split, side in sides.items()} == performances
    assert len(sides["test"].units) == 189 and len(performances["test"]) == 63
    subjects = {name: {int(clip[9:12]) for clip in side.names} for name, side in sides.items()}
    assert subjects["train"] == subjects["fit"] | subjects["validation"]
    assert not subjects["fit"] & subjects["validation"] and not subjects["train"] & subjects["test"]
    assert subjects["train"] < set(ntu.TRAIN_SUBJECTS)
    assert not set(sides["train"].names) & set(sides["test"].names)


def test_a_batch_says_what_acts():
    data = simulated("test", frames=20)
    batch = data.__getitems__([5, 0])
    assert batch.poses.shape == (2, 20, 1, 25, 3)
    seen = batch.seen[..., KINECT_V2.middle]
    assert seen.any() and not batch.poses[..., KINECT_V2.middle, :][seen].any()
    for row, i in enumerate((5, 0)):
        truth = data.truth[i]
        assert batch.joints[row, 0].nonzero().flatten().tolist() == truth["joints"][0]
        at = np.linspace(0, data.lengths[i].item() - 1, 20)
        want = (at >= truth["frames"][0]) & (at < truth["frames"][1])
        assert batch.frames[row].tolist() == want.tolist()
    one = data[5]
    torch.testing.assert_close(one.poses, batch.poses[0])


DRAWN = {"part": 0.6, "turn": 0.5, "stretch": 0.1, "hide": 0.2, "still": True, "face": True}


def test_training_clips_are_drawn_from_seed_and_epoch_and_test_clips_are_not():
    def epoch(seed, number, split="train"):
        data = simulated(split, seed=seed, **DRAWN)
        data.set_epoch(number)
        return data.__getitems__(range(8)).poses

    assert (epoch(0, 1) == epoch(0, 1)).all()
    assert (epoch(0, 1) != epoch(0, 2)).any() and (epoch(0, 1) != epoch(1, 1)).any()
    assert (epoch(0, 1, "test") == epoch(1, 2, "test")).all()


def test_what_is_drawn_keeps_the_body_but_for_its_proportions():
    """Turned or facing, all distances within a pose stay; hidden joints are zero."""
    plain, drawn = simulated(), simulated(turn=1.0, face=True)
    distances = [
        torch.cdist(d.__getitems__(range(4)).poses[:, :, 0], torch.zeros(1, 3)) for d in (plain, drawn)
    ]
    left = [d.sort(-2).values for d in distances]
    torch.testing.assert_close(*left, atol=1e-5, rtol=1e-5)
    hidden = simulated(hide=0.3).__getitems__(range(64))
    assert 0.2 < (~hidden.seen).float().mean() < 0.4 and not hidden.poses[~hidden.seen].any()


FOLDS_OF_SBU = """
s01s02 s03s04 s05s02 s06s04
s02s03 s02s07 s03s05 s05s03
s01s03 s01s07 s07s01 s07s03
s02s01 s02s06 s03s02 s03s06
s04s02 s04s03 s04s06 s06s02 s06s03
"""  # as published, by the sets' names


def test_the_folds_of_sbu_are_the_published_ones(tmp_path):
    """Of one clip a set; the fold before the tested one validates."""
    folds = [set(line.split()) for line in FOLDS_OF_SBU.split("\n")[1:-1]]
    for length, name in enumerate(sorted(set.union(*folds)), 1):
        path = tmp_path / "sbu" / name / "01/001/skeleton_pos.txt"
        path.parent.mkdir(parents=True)
        path.write_text(sbu_text(length))
    for n, fold in enumerate(folds):
        sides = {
            split: {name[:6] for name in Skeletons("sbu", split, "five_folds", n, root=tmp_path).names}
            for split in ("train", "test", "fit", "validation")
        }
        assert sides["test"] == fold and sides["validation"] == folds[n - 1]
        assert sides["train"] == set.union(*folds) - fold == sides["fit"] | sides["validation"]


TEST_SUBJECTS_OF_NTU = {3, 6, 7, *range(10, 13), *range(20, 25), 26, 29, 30, 32, 33, 36, 37, 39, 40}


def test_the_protocols_of_ntu_are_the_published_ones(tmp_path):
    """Of one clip a person and camera: which people are tested, which cameras train."""
    for person in range(1, 41):
        for camera in (1, 2, 3):
            path = tmp_path / f"ntu/nturgb+d_skeletons/S001C{camera:03}P{person:03}R001A001.skeleton"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(ntu_text([[(1, person + camera / 10)]]))

    def names(split, protocol):
        return Skeletons("ntu", split, protocol, root=tmp_path, frames=1).names

    assert {int(name[9:12]) for name in names("test", "cross_subject")} == TEST_SUBJECTS_OF_NTU
    trained = {int(name[9:12]) for name in names("train", "cross_subject")}
    assert trained == set(range(1, 41)) - TEST_SUBJECTS_OF_NTU
    assert {name[4:8] for name in names("test", "cross_view")} == {"C001"}
    assert {name[4:8] for name in names("train", "cross_view")} == {"C002", "C003"}


@pytest.mark.skipif(not ROOT or not (Path(ROOT) / "sbu").is_dir(), reason="sbu is not under COMPANION_DATA")
def test_real_folds_and_swapped_bodies():
    sides = [
        Skeletons("sbu", split, "five_folds", 2, root=ROOT, swap=True) for split in ("fit", "validation")
    ]
    sets = [{sbu.SETS.index(name[:6]) + 1 for name in side.names} for side in sides]
    assert sets == [{n for fold in folds for n in sbu.FOLDS[fold]} for folds in ((0, 3, 4), (1,))]
    batch = sides[0].__getitems__(range(40))
    assert batch.poses.shape == (40, 32, 2, 15, 3) and batch.joints is None
    assert not batch.poses[:, :, 0, 2].any()  # the first body is at the origin, whichever it is
    sides[0].swap = False
    plain = sides[0].__getitems__(range(40))
    changed = (batch.poses != plain.poses).flatten(1).any(1)
    assert (changed == sides[0].swapped[:40]).all() and 5 < changed.sum() < 35


@pytest.mark.skipif(
    not ROOT or not (Path(ROOT) / "nucla").is_dir(), reason="nucla is not under COMPANION_DATA"
)
def test_the_copied_clips_of_nucla_are_not_tested():
    """95 files of view 3 (actions 2 and 3) are files of view 2, on which V12_3 trains."""
    train, test = (Skeletons("nucla", split, "V12_3", root=ROOT, mirror=True) for split in ("train", "test"))
    assert (len(train), train.copies, len(test), test.copies) == (1020, 0, 464 - 95, 95)
    assert not any(name.startswith(("a02_", "a03_")) for name in test.names)
    plain = Skeletons("nucla", "train", "V12_3", root=ROOT)
    pairs = train.__getitems__(range(64)).poses, plain.__getitems__(range(64)).poses
    assert ((pairs[0] != pairs[1]).flatten(1).any(1) == train.flipped[:64]).all()


@pytest.fixture
def views(tmp_path):
    """Two clips of a performance and view, but both of action 2 are the same numbers in views 2 and 3."""
    (tmp_path / "nucla/all_sqe").mkdir(parents=True)
    for action, label in ((1, 1), (2, 2)):
        for view in (1, 2, 3):
            for e in (0, 1):
                name = f"a{action:02}_s01_e{e:02}_v{view:02}"
                number = [action, e, min(view, 2)] if action == 2 else [action, e, view]
                joints = np.random.default_rng(number).normal(size=(4, 20, 3)).round(4).tolist()
                text = json.dumps({"file_name": name, "skeletons": joints, "label": label})
                (tmp_path / f"nucla/all_sqe/{name}.json").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "protocol, train, fit, validation, test",
    [
        ("V12_3", (8, 0), (4, 0), (2, 2), (2, 2)),
        ("V13_2", (8, 0), (4, 0), (2, 2), (2, 2)),
        ("V23_1", (8, 0), (4, 0), (2, 2), (4, 0)),
        ("V12_3-strict", (6, 2), (4, 0), (2, 2), (4, 0)),
        ("V13_2-strict", (6, 2), (4, 0), (2, 2), (4, 0)),
    ],
)
def test_a_copy_is_not_tested_or_in_strict_protocols_does_not_train(
    views, protocol, train, fit, validation, test
):
    sides = {"train": train, "fit": fit, "validation": validation, "test": test}
    for split, (clips, copies) in sides.items():
        data = Skeletons("nucla", split, protocol, root=views)
        assert (len(data), data.copies) == (clips, copies), split
        assert data.units == [name[:-4] for name in data.names]


@pytest.mark.skipif(
    not ROOT or not (Path(ROOT) / "nucla").is_dir(), reason="nucla is not under COMPANION_DATA"
)
@pytest.mark.parametrize("protocol, trained, tested", [("V12_3", 1020, 464), ("V13_2", 980, 504)])
def test_strict_protocols_of_nucla_test_all_clips(protocol, trained, tested):
    train, test = (Skeletons("nucla", split, f"{protocol}-strict", root=ROOT) for split in ("train", "test"))
    assert (len(train), train.copies, len(test), test.copies) == (trained - 95, 95, tested, 0)
    assert len(set(test.label.tolist())) == len(set(train.label.tolist())) == 10


def test_no_dataset_simulates(monkeypatch):
    monkeypatch.setenv("COMPANION_DATA", "anywhere")
    for kind in (Skeletons, Hands):
        with pytest.raises(ValueError, match="of which release. pass root.*companion data simulate"):
            kind("simulated", "train", "cross_subject")


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"source": "kinetics"}, "unknown source 'kinetics'; choose one of simulated, ntu, sbu"),
        ({"split": "dev"}, "unknown split 'dev'; choose one of train, test"),
        (
            {"protocol": "five_folds"},
            "unknown protocol 'five_folds' of simulated; choose one of cross_subject",
        ),
        ({"fold": 1}, "unknown fold 1 of cross_subject; choose one of 0 to 0"),
        ({"frames": 0}, "frames is 0; a sequence needs at least one"),
    ],
)
def test_wrong_names_are_refused(change, sentence):
    given = {"source": "simulated", "split": "train", "protocol": "cross_subject"} | change
    with pytest.raises(ValueError, match=sentence):
        Skeletons(**given)


def test_simulated_clips_are_never_called_real(root, tmp_path):
    with pytest.raises(ValueError, match="the clips in .* are simulated; choose another source or root"):
        Skeletons("ntu", "train", "cross_subject", root=root)
    real = tmp_path / "ntu/nturgb+d_skeletons"
    real.mkdir(parents=True)
    clip = next(path for path in ntu.files(root) if path.stem[4:12] == "C001P001")
    (real / clip.name).write_bytes(clip.read_bytes())
    with pytest.raises(ValueError, match="are not simulated; choose another source or root"):
        Skeletons("simulated", "train", "cross_subject", root=tmp_path)
    assert len(Skeletons("ntu", "train", "cross_subject", root=tmp_path)) == 1
    with pytest.raises(ValueError, match="cross_subject of ntu has no test clip under"):
        Skeletons("ntu", "test", "cross_subject", root=tmp_path)


def test_a_damaged_file_is_refused_or_named(root, tmp_path):
    shutil.copytree(root / "ntu", tmp_path / "ntu")
    damaged = ntu.files(tmp_path)[1]
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{damaged.name}, line .*: the file ends too early"):
        simulated(root=tmp_path)
    with pytest.warns(UserWarning, match="simulated: 1 damaged files are left out"):
        data = simulated(root=tmp_path, strict=False)
    assert len(data) == 350 and len(data.damaged) == 1 and damaged.stem not in data.names


def test_the_listed_samples_are_not_missing(root, tmp_path):
    """The real release has 56,880 files; those on the authors' list are neither read nor asked for."""
    folder = tmp_path / "ntu/nturgb+d_skeletons"
    folder.mkdir(parents=True)
    files = ntu.files(root)[:3]
    for path in files:
        (folder / path.name).write_bytes(path.read_bytes())
    (tmp_path / "ntu" / ntu.MISSING).write_text(f"names of 2 files:\n{files[0].stem}\nS001C003P008R002A060\n")
    done = CliRunner().invoke(app, ["data", "check", "ntu", str(tmp_path)])
    assert "ntu: 2 of 56878, none damaged, 56876 missing" in done.output and done.exit_code == 1


def test_a_layout_keeps_the_joints_that_another_dataset_has(root):
    whole, less = simulated("test"), simulated("test", layout="sbu")
    picks = OPENNI.found_in(KINECT_V2)
    batch, same = whole.__getitems__([3, 5]), less.__getitems__([3, 5])
    torch.testing.assert_close(same.poses, batch.poses[:, :, :, picks])
    assert less.tree == OPENNI and torch.equal(same.joints, batch.joints[:, :, picks])
    with pytest.raises(ValueError, match="unknown source 'openni'"):
        simulated("test", layout="openni")
