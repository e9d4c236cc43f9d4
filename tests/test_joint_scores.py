"""Attention on joints and frames, scored by hand."""

from collections import namedtuple

import pytest
import torch

from companion.metrics import joints
from companion.models.sta_lstm import Read

Batch = namedtuple("Batch", "poses label joints frames")


def score(read, truth=True):
    """Two clips of 4 frames and 2 joints: joint 0 acts in frames 1 and 2, then joint 1 in frame 0."""
    acting = torch.tensor([[[True, False]], [[False, True]]])
    frames = torch.tensor([[False, True, True, False], [True, False, False, False]])
    batch = Batch(
        torch.zeros(2, 4, 1, 2, 3), torch.tensor([0, 1]), *((acting, frames) if truth else (None, None))
    )
    return joints.scores(lambda poses: read, batch)


LOGITS = torch.tensor([[1.0, 0.0], [1.0, 0.0]])


def test_equal_weights_score_as_uniform():
    read = Read(LOGITS, torch.full((2, 4, 1, 2), 0.5), torch.ones(2, 4))
    got = {name: values.tolist() for name, values in score(read).items()}
    assert got["accuracy"] == [100, 0]
    assert got["on_joints"] == got["on_joints_uniform"] == [50, 50]
    assert got["on_frames"] == got["on_frames_uniform"] == [50, 25]


def test_only_frames_of_the_action_count_for_joints():
    weights = torch.zeros(2, 4, 1, 2)
    weights[0, :, 0] = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    weights[1, :, 0] = torch.tensor([[0.1, 0.9], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    got = score(Read(LOGITS, weights))
    assert got["on_joints"].tolist() == pytest.approx([75, 90])
    assert got["on_joints_shuffled"].tolist() == pytest.approx([10, 25])
    assert "on_frames" not in got


def test_frames_are_compared_by_their_share():
    got = score(Read(LOGITS, None, torch.tensor([[0.0, 3.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])))
    assert got["on_frames"].tolist() == pytest.approx([100, 25])  # no weight at all is equal weight
    assert got["on_frames_shuffled"].tolist() == pytest.approx([50, 0], abs=1e-6)


def test_without_truth_there_is_only_accuracy():
    assert list(score(Read(LOGITS, torch.full((2, 4, 1, 2), 0.5)), truth=False)) == ["accuracy"]


def test_shuffled_is_the_mean_over_all_other_clips():
    """Three clips of one frame and three joints: joint i acts in clip i, the weights are known."""
    weights = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3]])
    batch = Batch(
        None, torch.zeros(3, dtype=torch.long), torch.eye(3).bool()[:, None], torch.ones(3, 1).bool()
    )
    got = joints.scores(lambda poses: Read(torch.zeros(3, 2), weights[:, None, None]), batch)
    assert got["on_joints"].tolist() == pytest.approx([70, 80, 30])
    assert got["on_joints_shuffled"].tolist() == pytest.approx([30, 20, 10])


def test_without_another_clip_shuffled_is_not_defined():
    """A batch of one clip is compared neither with itself nor with nothing."""
    clip = Batch(None, torch.tensor([0]), torch.tensor([[[True, False]]]), torch.ones(1, 1).bool())
    read = Read(LOGITS[:1], torch.tensor([[[[0.8, 0.2]]]]), torch.ones(1, 1))
    got = joints.scores(lambda poses: read, clip)
    assert got["on_joints"].tolist() == pytest.approx([80]) and got["on_frames"].tolist() == [100]
    assert got["on_joints_shuffled"].isnan().all() and got["on_frames_shuffled"].isnan().all()
