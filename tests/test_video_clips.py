"""Whole frames: which are shown, where joints and evidence lie in them, and what a backbone makes of them."""

import shutil

import numpy as np
import pytest
import torch
from test_nucla_rgb import write_pictures, write_video
from torch import nn

from companion.datasets.video_clips import VideoClips, in_halves, named
from companion.files import DamagedFile
from companion.formats import ntu
from companion.media import read_video
from companion.simulator import release
from companion.simulator.release import Release

SMALL = Release(groups=("chest", "two"), subjects=3, cameras=1, repetitions=2, frames=12, height=90)


@pytest.fixture(scope="module")
def root():
    return release.stored(SMALL)


def data(root, split="train", **options):
    return VideoClips("simulated", split, "cross_subject", root=root, **{"frames": 4, **options})


def test_a_clip_shows_the_middle_of_each_of_its_parts(root):
    test = data(root, "test")
    batch = test.__getitems__([1, 0])
    for row, n in enumerate((1, 0)):
        path = test.paths[n]
        length = len(ntu.pixels(path)[0])
        frames = [int((t + 0.5) * length / 4) for t in range(4)]
        pictures = read_video(ntu.video(path), frames)
        assert np.array_equal(batch.frames[row].permute(0, 2, 3, 1), pictures)
        assert batch.label[row] == test.label[n]


def test_training_shows_a_random_frame_of_each_part(root):
    train = data(root)
    shown = []
    for epoch in range(12):
        train.set_epoch(epoch)
        shown.append(train.within(torch.arange(len(train))))
        train.set_epoch(epoch)
        assert torch.equal(shown[-1], train.within(torch.arange(len(train))))
    shown, length = torch.stack(shown).double(), train.lengths[None, :, None].double()
    part = torch.arange(4)
    assert ((shown >= (part * length / 4).floor()) & (shown < (part + 1) * length / 4)).all()
    assert (shown.std(0) > 0).all()


def test_joints_lie_on_the_picture_where_the_truth_has_them(root):
    test = data(root, "test", every=2)
    batch = test.__getitems__(range(len(test)))
    height, width = SMALL.height, 160
    for n, truth in enumerate(test.truth):
        frames = 2 * test.within(torch.tensor([n]))[0]
        joints = in_halves(torch.tensor(truth["pose"])[frames], height, width)
        off = (batch.joints[n, :, :, None] - joints[:, None]).abs().flatten(3)  # T M M J2
        off = off.nanquantile(0.5, -1).nan_to_num(9).amin(1)  # the sensor has its own order of people
        assert (off < 0.03).float().mean() > 0.8  # it has noise, and loses somebody now and then
        assert torch.equal(batch.frames[n], test.shown[test.first[n] + frames // 2])


@pytest.mark.parametrize("every", [1, 2])
def test_boxes_are_those_of_the_truth_and_are_there_in_the_action_alone(root, every):
    test = data(root, "test", every=every)
    batch = test.__getitems__(range(len(test)))
    seen = 0
    for n, truth in enumerate(test.truth):
        frames = (every * test.within(torch.tensor([n]))[0]).tolist()
        first, end = truth["frames"]
        assert batch.acting[n].tolist() == [first <= t < end for t in frames]
        for e, thing in enumerate(truth["evidence"]):
            for t, frame in enumerate(frames):
                box = batch.boxes[n, t, e]
                if first <= frame < end and thing["visible"][frame] > 0.3:
                    x0, y0, x1, y1 = thing["box"][frame]
                    want = [2 * x0 / 159 - 1, 2 * y0 / 89 - 1, 2 * x1 / 159 - 1, 2 * y1 / 89 - 1]
                    assert box.tolist() == pytest.approx(want, abs=1e-5)
                    seen += 1
                else:
                    assert box.isnan().all()
    assert seen > 10


class Means(nn.Module):
    """A backbone: means of 2 x 2 pixels."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, frames):
        return self.scale * nn.functional.avg_pool2d(frames.float(), 2)


def test_maps_of_a_backbone_take_the_place_of_the_frames(root):
    test = data(root, "test")
    before = test.__getitems__([3])
    net = Means()
    test.see(net)
    batch = test.__getitems__([3])
    assert batch.frames.dtype == torch.float16 and batch.frames.shape == (1, 4, 3, 45, 80)
    torch.testing.assert_close(batch.frames[0].float(), net(before.frames[0]).detach(), rtol=1e-3, atol=0.1)
    net.scale.data.fill_(1)
    test.see(net)
    assert not torch.equal(batch.frames, test.__getitems__([3]).frames)


class Told(nn.Module):
    """What a network tells of frames: their middle colour, and that all joints lie there."""

    def forward(self, frames):
        context = frames.float().mean((3, 4))
        joints = context[:, :, None, :2, None].expand(-1, -1, 2, -1, 2)
        return type("Frame", (), {"context": context, "found": joints})


def test_what_a_network_tells_of_frames_comes_with_them(root):
    test = data(root, "test")
    assert test.__getitems__([3]).context is None
    test.see(Means())
    test.describe(Told())
    batch = test.__getitems__([3, 0])
    torch.testing.assert_close(batch.context, batch.frames.float().mean((3, 4)))
    assert batch.found.shape == (2, 4, 2, 2, 2)
    torch.testing.assert_close(batch.found[..., 0], batch.context[:, :, None, :2].expand(-1, -1, 2, -1))


def test_fewer_repetitions_are_asked_for(root):
    for split in ("train", "test"):
        assert len(data(root, split, repetitions=1)) * 2 == len(data(root, split))
        assert {named(name)[3] for name in data(root, split, repetitions=1).names} == {1}


def test_frames_are_scaled(root):
    assert data(root, size=(36, 64))[0].frames.shape == (4, 3, 36, 64)


def test_a_limit_is_kept(root):
    with pytest.raises(ValueError, match="larger limit"):
        data(root, size=(30, 52), limit=1 << 20)


def test_a_clip_without_a_video_is_named(root, tmp_path):
    shutil.copytree(root / "ntu", tmp_path / "ntu")
    lost = next((tmp_path / "ntu" / "nturgb+d_rgb").glob("*P002*.avi"))
    lost.unlink()
    with pytest.raises(DamagedFile, match=lost.name):
        data(tmp_path)
    with pytest.warns(UserWarning, match="1 videos are left out"):
        train = data(tmp_path, strict=False)
    assert len(train) == len(data(root)) - 1 and lost.name in train.damaged[0]
    whole = data(root)
    for n, name in enumerate(train.names):
        other = whole.names.index(name)
        one, two = (
            data.shown[data.first[k] : data.first[k] + data.lengths[k]]
            for data, k in ((train, n), (whole, other))
        )
        assert torch.equal(one, two)


@pytest.mark.parametrize("videos", [True, False])
def test_pictures_of_nucla_come_by_the_same_door(tmp_path, videos):
    for view in (1, 2, 3):
        for action in (1, 4):
            if videos:
                write_video(tmp_path, f"a{action:02}", f"v{view:02}_s01_e00", 6 + view)
            else:
                write_pictures(tmp_path, view, f"a{action:02}_s01_e00", list(range(6 + view)))
    for protocol, tested in (("V12_3", 3), ("V13_2", 2), ("V23_1", 1)):
        train, test = (
            VideoClips("nucla", split, protocol, root=tmp_path, frames=3, size=(24, 32))
            for split in ("train", "test")
        )
        assert {name[-1] for name in test.names} == {str(tested)} and len(train) == 4
        batch = test.__getitems__([0, 1])
        middle = [int((t + 0.5) * (6 + tested) / 3) for t in range(3)]
        np.testing.assert_allclose(batch.frames[1].float().mean((1, 2, 3)), [20 * n for n in middle], atol=6)
        assert batch.label.tolist() == [0, 3] and batch.joints.shape[2] == 0 and batch.boxes is None
        assert test.units[0] == "a01_s01_e00"


def test_an_unknown_protocol_is_named(tmp_path):
    with pytest.raises(ValueError, match="cross_subject"):
        VideoClips("nucla", "test", "cross_subject", root=tmp_path)


@pytest.mark.parametrize("protocol", ["cross_subject", "cross_view"])
def test_fit_and_validation_share_nobody_and_are_all_of_train(protocol):
    place = release.stored(Release(groups=("chest",), subjects=4, cameras=2, frames=12, height=90))
    sides = {s: VideoClips("simulated", s, protocol, root=place) for s in ("train", "fit", "validation")}
    fit, held = ({named(name)[2] for name in sides[side].names} for side in ("fit", "validation"))
    assert fit and held and not fit & held
    assert sorted(sides["train"].names) == sorted([*sides["fit"].names, *sides["validation"].names])
