"""Crops around hands: where they are cut, what is left out, and what shows the thing that decides."""

import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from companion.__main__ import app
from companion.datasets import hands
from companion.datasets.hands import Hands
from companion.files import DamagedFile
from companion.formats import ntu, simulated
from companion.media import read_video
from companion.ops.crop import cut
from companion.simulator import release
from companion.simulator.release import Release

SMALL = Release(groups=("chest", "context", "two"), subjects=3, cameras=1, frames=10, height=90)


@pytest.fixture(scope="module")
def root():
    return release.stored(SMALL)


def data(root, split="train", **options):
    return Hands("simulated", split, "cross_subject", root=root, frames=6, **options)


@pytest.mark.parametrize("seed", range(5))
def test_a_cut_is_what_bilinear_reading_gives(seed):
    rng = np.random.default_rng(seed)
    picture = torch.from_numpy(rng.random((1, 2, 9, 12)).astype(np.float32))
    x0, y0 = rng.uniform(-4, 8, 2)
    box = torch.tensor([[[x0, y0, x0 + 5, y0 + 5]]])
    got = cut(picture, box.float(), 4)[0, 0]
    padded = np.zeros((2, 30, 30))
    padded[:, 10:19, 10:22] = picture[0]
    for i in range(4):
        for j in range(4):
            y, x = y0 + (i + 0.5) * 5 / 4 - 0.5 + 10, x0 + (j + 0.5) * 5 / 4 - 0.5 + 10
            r, c = int(y), int(x)
            a, b = y - r, x - c
            want = (1 - a) * ((1 - b) * padded[:, r, c] + b * padded[:, r, c + 1])
            want += a * ((1 - b) * padded[:, r + 1, c] + b * padded[:, r + 1, c + 1])
            np.testing.assert_allclose(got[:, i, j], want, atol=1e-5)


def test_whole_pixels_are_copied():
    picture = torch.arange(48.0).view(1, 1, 6, 8)
    torch.testing.assert_close(
        cut(picture, torch.tensor([[[2.0, 1, 5, 4]]]), 3)[0, 0], picture[0, :, 1:4, 2:5]
    )


def test_a_batch_has_the_crops_of_the_frames_that_the_skeleton_shows(root):
    test = data(root, "test")
    batch = test.__getitems__([2, 0])
    assert test.units == [name[:4] + name[8:] for name in test.names]
    assert batch.hands.shape == (2, 6, 4, 3, 24, 24) and batch.poses.shape == (2, 6, 2, 25, 3)
    path = next(path for path in ntu.files(root) if path.stem == test.names[2])
    at = np.linspace(0, ntu.read_skeleton(path).frames - 1, 6).round().astype(int)
    pictures = torch.from_numpy(read_video(ntu.video(path), at.tolist())).permute(0, 3, 1, 2).float()
    places, given = ntu.pixels(path)
    for k, joint in enumerate(hands.HANDS):
        centre = torch.from_numpy(places[at, 0, joint]).float() / 12  # 1080 to 90 rows
        want = cut(pictures, torch.cat([centre - 80 / 12, centre + 80 / 12], -1)[:, None], 24)[:, 0]
        want[~torch.from_numpy(given[at, 0, joint])] = 0
        assert (batch.hands[0, :, k].float() - want).abs().max() <= 0.51


def test_held_things_are_in_a_crop_and_those_pointed_at_are_not(root):
    train = data(root)
    batch = train.__getitems__(range(len(train)))
    shares = {"chest": [], "context": [], "two": []}
    for n, truth in enumerate(train.truth):
        during = batch.frames[n]
        shares[truth["group"]] += batch.holds[n].any(-1)[during].tolist()
        assert not batch.holds[n][~during].any()
    assert np.mean(shares["chest"]) > 0.7 and np.mean(shares["context"]) < 0.05
    assert np.mean(shares["two"]) > 0.7  # one of the two


def test_how_far_what_decides_is_from_a_hand(root):
    """What is held is near; what is pointed at is an arm's length away at most, and beyond the hand."""
    train = data(root)
    away = train.__getitems__(range(len(train))).away
    chest, context = (
        torch.tensor([truth["group"] == name for truth in train.truth]) for name in ("chest", "context")
    )
    assert away[chest].max() < 80 < 90 < away[context].min() and away.max() < 500
    assert torch.equal(data(root, at="evidence").__getitems__(range(len(train))).away, away)


def test_options_that_would_part_crops_from_poses_are_refused(root):
    with pytest.raises(ValueError, match="mirror turns poses into others, but not crops"):
        data(root, mirror=True)


def test_a_group_is_the_classes_that_share_their_motion(root):
    train = data(root)
    assert train.classes[:2] == ("reading", "writing")
    rows = {tuple(row.tolist()) for row in train.group}
    assert len(rows) == 3 and (train.group.sum(1) == 3).all()


class Means(torch.nn.Module):
    def see(self, crops):
        return crops.float().mean((-1, -2))


def test_what_a_network_sees_takes_the_place_of_the_crops(root):
    train = data(root)
    before = train.__getitems__([0, 1]).hands
    train.see(Means())
    after = train.__getitems__([0, 1]).hands
    torch.testing.assert_close(after, before.float().mean((-1, -2)))


class Looks(Means):
    """Says where it is when it looks, as a network on an accelerator would."""

    def __init__(self):
        super().__init__()
        self.by, self.where = torch.nn.Parameter(torch.ones(1)), []

    def see(self, crops):
        self.where.append((crops.device.type, self.by.device.type))
        return torch.zeros(len(crops), crops.shape[1], 7, device=crops.device)


def test_features_are_computed_where_one_says_and_the_network_comes_back(root, monkeypatch):
    train, net = data(root), Looks()
    moved, to = [], net.to
    monkeypatch.setattr(net, "to", lambda device: (moved.append(torch.device(device).type), to("cpu"))[1])
    train.see(net, "cpu")
    assert moved == ["cpu", "cpu"] and set(net.where) == {("cpu", "cpu")}
    assert train.crops.shape == (len(train.centres), 4, 7)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no accelerator")
def test_features_of_an_accelerator_are_those_of_the_processor(root):
    on_cpu, on_gpu, net = data(root), data(root), Looks()
    on_gpu.see(net, "cuda")
    assert set(net.where) == {("cuda", "cuda")} and net.by.device.type == "cpu"
    on_cpu.see(net)
    torch.testing.assert_close(on_cpu.crops, on_gpu.crops)


def damaged(root, tmp_path, change):
    shutil.copytree(root / "ntu", tmp_path / "ntu")
    path = ntu.video(ntu.files(tmp_path)[0])
    change(path)
    return path


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda path: path.unlink(), "has no video .*_rgb.avi; download it"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "_rgb.avi"),
        (lambda path: path.write_bytes(b""), "_rgb.avi cannot be read"),
        (
            lambda path: shutil.copy(other(path), path),
            "_rgb.avi has .* frames, its skeleton .*; download both again",
        ),
    ],
)
def test_a_damaged_video_is_refused_or_left_out(root, tmp_path, change, sentence):
    path = damaged(root, tmp_path, change)
    with pytest.raises((DamagedFile, FileNotFoundError), match=sentence):
        data(tmp_path)
    with pytest.warns(UserWarning, match="1 videos are left out"):
        train = data(tmp_path, strict=False)
    assert len(train.damaged) == 1 and len(train) == len(data(root)) - 1
    assert path.stem.removesuffix("_rgb") not in train.names


def other(path):
    """A video of another length."""
    files = ntu.files(path.parents[2])
    lengths = [ntu.read_skeleton(file).frames for file in files]
    return next(ntu.video(file) for file, n in zip(files, lengths, strict=True) if n != lengths[0])


def test_data_check_names_what_is_wrong_with_videos(root, tmp_path):
    def check():
        return CliRunner().invoke(app, ["data", "check", "ntu", str(tmp_path)])

    path = damaged(root, tmp_path, lambda path: None)
    clips = len(ntu.files(root))
    assert check().output == f"ntu: complete, {clips} of {clips}\n"
    shutil.copy(other(path), path)
    assert f"1 damaged, none missing\n  {path} has " in check().output and check().exit_code == 1
    path.unlink()
    assert f"{ntu.files(tmp_path)[0]} has no video {path.name}; download it" in check().output
    ntu.files(tmp_path)[1].unlink()
    assert "1 videos have no skeleton: " in check().output and check().exit_code == 1


def test_too_many_crops_are_refused(root):
    with pytest.raises(ValueError, match="GiB; choose a smaller side, cut fewer frames"):
        data(root, side=20, limit=100_000)


def test_crops_are_cut_once(root, monkeypatch):
    one = data(root, side=16)
    monkeypatch.setattr(hands, "crops_of", None)
    assert data(root, side=16).fingerprint == one.fingerprint


def test_every_other_frame_is_cut(root):
    all_of_them, some = data(root, "test"), data(root, "test", every=2)
    every, two = all_of_them[1], some[1]
    assert len(some.crops) < 0.6 * len(all_of_them.crops)
    cuts = some.within(torch.tensor([1]))[0]
    assert torch.equal(two.hands, all_of_them.crops[all_of_them.first[1] + 2 * cuts])
    assert torch.equal(two.poses, every.poses)
    film = some.film(1)[0]
    assert torch.equal(film, torch.from_numpy(read_video(ntu.video(some.paths[1]), (2 * cuts).tolist())))


def test_crops_at_what_decides_show_it(root):
    """Its middle is the middle of the crop; where it is not to be seen the crop is black."""
    train = data(root, at="evidence")
    batch = train.__getitems__(range(len(train)))
    two = torch.tensor([truth["group"] == "two" for truth in train.truth])
    there = batch.hands.flatten(3).amax(-1) > 0
    assert batch.hands.shape[2] == 2 and two.any() and there[two].any((0, 1)).all()
    assert torch.equal(there, batch.holds) and there[..., 0].float().mean() > 0.2
    assert not there[~two, :, 1].any()
    n = int(two.nonzero()[0])
    film, place, boxes = train.film(n)
    for e in range(2):
        t = int(there[n, :, e].nonzero()[0])
        torch.testing.assert_close(place[t, e], (boxes[t, e, :2] + boxes[t, e, 2:]) / 2)
    path = train.paths[n]
    at = int(train.within(torch.tensor([n]))[0, t])
    x0, y0, x1, y1 = boxes[t, 1]
    half = 1.25 * max(x1 - x0, y1 - y0) / 2
    around = torch.cat([place[t, 1] - half, place[t, 1] + half])
    picture = torch.from_numpy(read_video(ntu.video(path), [at])).permute(0, 3, 1, 2).float()
    assert (cut(picture, around[None, None], 24)[0, 0] - batch.hands[n, t, 1].float()).abs().max() <= 0.51


def test_a_film_is_drawn_in_any_size(root):
    train = data(root)
    small, large = train.film(2), train.film(2, 180)
    assert large[0].shape == (6, 180, 320, 3) and small[0].shape == (6, 90, 160, 3)
    for one, other in zip(small[1:], large[1:], strict=True):
        torch.testing.assert_close(2 * one, other, equal_nan=True)
    torch.testing.assert_close(train.film(2, 180, [4])[2], large[2][4:5], equal_nan=True)
    means = large[0].view(6, 90, 2, 160, 2, 3).float().mean((2, 4))
    assert (means - small[0]).abs().mean() < 8  # grain, and what the video's compression loses


def test_a_picture_is_all_that_there_is_to_see(root):
    train = data(root, at="picture", every=2)
    batch = train.__getitems__([3])
    assert batch.hands.shape == (1, 6, 1, 3, 90, 160)
    pictures = torch.from_numpy(train.film(3)[0].numpy())
    assert torch.equal(batch.hands[0, :, 0], pictures.permute(0, 3, 1, 2))


def test_evidence_of_a_real_release_is_unknown(root, tmp_path):
    shutil.copytree(root / "ntu", tmp_path / "ntu")
    (tmp_path / "ntu" / simulated.MANIFEST).unlink()
    with pytest.raises(ValueError, match="at is 'evidence'; choose hands, picture, or evidence of a"):
        Hands("ntu", "train", "cross_subject", root=tmp_path, at="evidence")
    with pytest.raises(ValueError, match="at is 'feet'"):
        data(root, at="feet")


def test_what_was_seen_is_kept_and_belongs_to_its_weights(root, monkeypatch):
    class Scaled(torch.nn.Module):
        def __init__(self, by):
            super().__init__()
            self.by = torch.nn.Parameter(torch.tensor(by))

        def see(self, crops):
            return self.by * crops.float().mean((-1, -2))

    one, again, other = data(root), data(root), data(root)
    one.see(Scaled(1.0))
    with monkeypatch.context() as patch:
        patch.setattr(Scaled, "see", None)
        again.see(Scaled(1.0))
    other.see(Scaled(2.0))
    assert torch.equal(one.crops, again.crops) and torch.equal(2 * one.crops, other.crops)
