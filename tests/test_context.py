"""What whole frames tell: places as the middle of distributions, and losses of poses."""

import math
from typing import NamedTuple

import pytest
import torch
from torch import nn

from companion.models.context import (
    FOUND,
    Behind,
    Context,
    Frame,
    FromClips,
    middle,
    missed,
    objective,
    pose_loss,
    two,
)
from companion.models.glimpse_clouds import GlimpseClouds
from companion.models.video_baselines import Global
from companion.skeleton import KINECT_V2


def test_the_joints_found_are_those_that_are_meant():
    names = KINECT_V2.named(1)
    assert [names[n] for n in FOUND] == [
        *("head", "spine shoulder"),
        *("left elbow", "left wrist", "left hand", "right elbow", "right wrist", "right hand"),
    ]


def test_a_peak_is_found_where_it_stands():
    heat = torch.zeros(2, 3, 5, 9)
    heat[0, 1, 4, 0] = heat[1, 2, 2, 6] = 99
    found = middle(heat)
    assert found[0, 1].tolist() == pytest.approx([-1, 1])
    assert found[1, 2].tolist() == pytest.approx([0.5, 0])
    assert found[0, 0].tolist() == pytest.approx([0, 0], abs=1e-6)


def bodies(*x):
    """One frame of bodies that stand at x (None: nobody)."""
    return torch.stack([torch.full((25, 2), math.nan if at is None else at) for at in x])[None, None]


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ((0.2, 0.7), (0.2, 0.7)),
        ((0.7, 0.2), (0.2, 0.7)),
        ((0.3,), (0.3, 0.3)),
        ((0.3, None), (0.3, 0.3)),
        ((None, 0.3), (0.3, 0.3)),
    ],
)
def test_the_left_body_comes_first_and_one_that_is_alone_twice(given, want):
    assert two(bodies(*given))[0, 0, :, 0, 0].tolist() == pytest.approx(want)


@pytest.mark.parametrize("joints", [bodies(None, None), torch.zeros(1, 1, 0, 25, 2)])
def test_nobody_costs_nothing(joints):
    assert two(joints).isnan().all()
    frame = Frame(
        torch.zeros(1, 3), torch.zeros(1, 1, 4), torch.ones(1, 1, 2, 25, 2), torch.ones(1, 1, 2, 8, 2)
    )
    assert pose_loss(frame, joints).item() == 0


def test_errors_are_weighted_and_unknown_joints_left_out():
    found, true = torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2)
    true[0, 0, 0, 0, 0] = 4  # of eight numbers
    weights = torch.ones(1, 1, 2, 2)
    assert missed(found, true, weights).item() == pytest.approx(4 / 8)
    weights[0, 0, 0, 0] = 3
    assert missed(found, true, weights).item() == pytest.approx(12 / 12)
    true[0, 0, 1] = math.nan
    assert missed(found, true, weights).item() == pytest.approx(12 / 8)


def test_each_clip_counts_alike():
    """So that shares of a batch cost what the batch does."""
    joints = torch.rand(4, 3, 1, 25, 2) * 2 - 1
    joints[1, :, :, 3:] = joints[2] = math.nan
    frame = Frame(
        torch.zeros(4, 3), torch.zeros(4, 3, 4), torch.zeros(4, 3, 2, 25, 2), torch.zeros(4, 3, 2, 8, 2)
    )
    halves = [
        pose_loss(Frame(*(value[part] for value in frame)), joints[part])
        for part in (slice(2), slice(2, None))
    ]
    torch.testing.assert_close(pose_loss(frame, joints), sum(halves) / 2)


def test_a_raised_hand_weighs_more():
    """Errors of hands alone: the arms below the elbow weigh 2 (1 + 1 + 2 + 3 + 3 + ...) = 18 a body."""
    true = bodies(0.0)
    down, up = true.clone(), true.clone()
    down[..., KINECT_V2.index("hand_left"), 1] = 0.5
    up[..., KINECT_V2.index("hand_left"), 1] = -0.5
    frame = Frame(torch.zeros(1, 3), torch.zeros(1, 1, 4), two(true), torch.zeros(1, 1, 2, 8, 2))
    plain = missed(frame.pose, two(down), torch.ones(1, 1, 2, 25))
    assert (pose_loss(frame, down) - plain).item() == pytest.approx(0.5 * 3 / (18 * 2))
    assert (pose_loss(frame, up) - plain).item() == pytest.approx(0.5 * 15 / ((18 + 4 * 8) * 2))


def test_without_a_trunk_the_context_is_the_mean_of_the_map():
    maps = torch.randn(2, 3, 6, 4, 5)
    frame = Context(6, 4, blocks=0)(maps)
    torch.testing.assert_close(frame.context, maps.mean((3, 4)))
    assert frame.pose.shape == (2, 3, 2, 25, 2) and frame.found.shape == (2, 3, 2, 8, 2)


def test_no_clip_is_read_by_its_neighbours():
    model, maps = Context(6, 4).eval(), torch.randn(3, 2, 6, 8, 10)
    alone = torch.cat([model(maps[n, None]).found for n in range(3)])
    torch.testing.assert_close(alone, model(maps).found)


class Batch(NamedTuple):
    frames: torch.Tensor
    label: torch.Tensor
    joints: torch.Tensor


def test_it_learns_where_somebody_stands():
    """A bright spot in the map is everybody's every joint."""
    torch.manual_seed(0)
    model = Context(3, 2, blocks=1, width=16)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        places = torch.rand(16, 1, 2) * 1.2 - 0.6
        y, x = (torch.linspace(-1, 1, size) for size in (12, 20))
        spot = torch.exp(
            -20 * ((x - places[..., :1])[:, :, None] ** 2 + (y - places[..., 1:])[..., None] ** 2)
        )
        joints = places[:, :, None, None].expand(-1, -1, 1, 25, -1)
        maps = spot[:, :, None].expand(-1, -1, 3, -1, -1)
        batch = Batch(maps, torch.zeros(16, dtype=torch.long), joints)
        loss = objective(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    off = model(batch.frames).found - joints[:, :, :, :8]
    assert off.abs().mean() < 0.05


class Stages(nn.Module):
    """In place of ResNet-50: two maps of a clip, with statistics that training changes."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv3d(3, 5, 1, (1, 4, 4)), nn.Conv3d(5, 6, 1, (1, 2, 2))
        self.norm = nn.BatchNorm3d(5)

    def forward(self, clips):
        third = self.norm(self.one(clips))
        return third, self.two(third)


def test_a_second_stage_changes_nothing_of_the_first():
    first = FromClips(Stages(), 3, (5, 6))
    frames = torch.randint(0, 255, (2, 4, 3, 16, 24), dtype=torch.uint8)
    frame = first(frames)
    assert frame.logits.shape == (2, 3) and frame.context.shape == (2, 4, 5)
    model = Behind(first, Global(6, 3), ()).train()
    before = {name: value.clone() for name, value in first.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1.0)
    model(frames).logits.square().sum().backward()
    optimizer.step()
    assert model.second.training and not first.training
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())
    assert model.second.classify.weight.grad.abs().sum() > 0


def test_what_the_first_stage_tells_reaches_the_second():
    first = FromClips(Stages(), 3, (5, 6))
    frames = torch.randint(0, 255, (2, 4, 3, 16, 24), dtype=torch.uint8)
    second = GlimpseClouds(6, 5, 3, state=7, side=2).eval()
    said = Behind(first, second, ("context",)).eval()(frames)
    maps, frame = first.maps(frames)
    torch.testing.assert_close(said.logits, second(maps, frame.context).logits)
