"""Steps that prepare skeletons, against obvious versions."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from companion.ops import pose
from companion.skeleton import KINECT_V2

MIDDLE, BASE = KINECT_V2.middle, 0
SHOULDERS = KINECT_V2.index("shoulder_right"), KINECT_V2.index("shoulder_left")


@pytest.fixture
def clips():
    """Four clips of 6 frames, two bodies; the first body is missing in some frames, the second in others."""
    rng = np.random.default_rng(0)
    poses = torch.from_numpy(rng.normal(size=(4, 6, 2, 25, 3)) + [1.0, 2.0, 3.0])
    seen = torch.ones(4, 6, 2, 25, dtype=torch.bool)
    seen[0, [0, 3], 0], seen[1, :, 1], seen[2, 4:, 0], seen[3, 2, 1, 7] = False, False, False, False
    return torch.where(seen[..., None], poses, 0), seen


def test_centre_moves_each_frame_by_the_first_bodys_spine(clips):
    poses, seen = clips
    moved = pose.centre(poses, seen, MIDDLE)
    for n in range(4):
        known = [t for t in range(6) if seen[n, t, 0, MIDDLE]]
        for t in range(6):
            origin = poses[n, max([k for k in known if k <= t], default=known[0]), 0, MIDDLE]
            for m in range(2):
                for j in range(25):
                    want = poses[n, t, m, j] - origin if seen[n, t, m, j] else torch.zeros(3)
                    torch.testing.assert_close(moved[n, t, m, j], want, check_dtype=False)


def test_a_clip_in_which_nobody_is_seen_stays_zero():
    poses, seen = torch.zeros(3, 2, 25, 3), torch.zeros(3, 2, 25, dtype=torch.bool)
    assert not pose.centre(poses, seen, MIDDLE).any()
    assert not pose.face(poses, seen, *SHOULDERS, BASE, MIDDLE).any()


def test_a_turned_clip_faces_the_camera_as_the_unturned_one(clips):
    poses, seen = clips
    angles = torch.from_numpy(np.random.default_rng(1).uniform(-3, 3, (4, 3)))
    one = pose.face(poses, seen, *SHOULDERS, BASE, MIDDLE)
    other = pose.face(pose.turn(poses, angles), seen, *SHOULDERS, BASE, MIDDLE)
    torch.testing.assert_close(one, other)  # in the first clip the body is missing in frame 0
    right, left = SHOULDERS
    across, up = one[1, 0, 0, left] - one[1, 0, 0, right], one[1, 0, 0, MIDDLE] - one[1, 0, 0, BASE]
    torch.testing.assert_close(across[1:], torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(up[2], torch.zeros((), dtype=torch.float64))
    assert across[0] > 0 and up[1] > 0
    torch.testing.assert_close(
        torch.cdist(one[1, 0, 0], one[1, 3, 0]), torch.cdist(poses[1, 0, 0], poses[1, 3, 0])
    )


def test_turn_is_scipys_rotation(clips):
    poses, _ = clips
    angles = torch.from_numpy(np.random.default_rng(1).uniform(-3, 3, (4, 3)))
    for n, turned in enumerate(pose.turn(poses, angles)):
        want = Rotation.from_euler("xyz", angles[n].numpy()).apply(poses[n].reshape(-1, 3).numpy())
        np.testing.assert_allclose(turned.reshape(-1, 3).numpy(), want, atol=1e-12)


def test_centre_may_keep_a_walk(clips):
    poses, seen = clips
    moved = pose.centre(poses, seen, MIDDLE, still=True)
    torch.testing.assert_close(moved[1, 5, 0, 3], poses[1, 5, 0, 3] - poses[1, 0, 0, MIDDLE])
    torch.testing.assert_close(
        moved[0, 5, 1, 3], poses[0, 5, 1, 3] - poses[0, 1, 0, MIDDLE]
    )  # seen from frame 1


def resample(poses, seen, frames):
    """A whole clip."""
    return pose.read(poses, seen, pose.places(torch.tensor([len(poses)]), frames)[0])


@pytest.mark.parametrize("frames", [1, 2, 6, 11, 40])
def test_reading_between_frames_is_numpys_interpolation(clips, frames):
    poses, seen = (array[3] for array in clips)
    new, there = resample(poses[:, :1], seen[:, :1], frames)
    at = np.linspace(0, 5, frames)
    for j in range(25):
        for axis in range(3):
            want = np.interp(at, np.arange(6), poses[:, 0, j, axis].numpy())
            np.testing.assert_allclose(new[:, 0, j, axis].numpy(), want, atol=1e-12)
    assert there.all()


def test_reading_does_not_mix_what_was_not_seen():
    poses = torch.tensor([2.0, 0.0, 4.0])[:, None, None, None].expand(3, 1, 1, 3)
    new, there = resample(poses, torch.tensor([True, False, True])[:, None, None], 5)
    assert new[:, 0, 0, 0].tolist() == [2, 2, 0, 4, 4] and there.flatten().tolist() == [1, 1, 0, 1, 1]


def test_a_clip_of_one_frame_stands_still():
    poses, seen = torch.rand(1, 2, 25, 3), torch.ones(1, 2, 25, dtype=torch.bool)
    new, _ = resample(poses, seen, 7)
    torch.testing.assert_close(new, poses.expand(7, -1, -1, -1))
    assert not any(part.any() for part in pose.derivatives(new))


def test_derivatives_of_a_thrown_ball():
    t = torch.arange(5.0)
    poses = (3 * t - t**2)[:, None, None, None].expand(5, 1, 1, 3)
    velocity, acceleration = pose.derivatives(poses)
    assert velocity[:, 0, 0, 0].tolist() == [0, 2, 0, -2, -4]
    assert acceleration[:, 0, 0, 0].tolist() == [0, 2, -2, -2, -2]


def test_a_random_part_lies_within_the_clip():
    lengths, start = torch.tensor([1, 30, 30, 9]), torch.tensor([0.5, 0.0, 1.0, 0.25])
    at = pose.places(lengths, 5, start, torch.tensor([0.5, 0.5, 0.5, 1.0]))
    assert at[0].tolist() == [0] * 5
    assert at[1:, [0, -1]].tolist() == [[0, 14.5], [14.5, 29], [0, 8]]


def test_hidden_joints_are_missing_in_all_frames(clips):
    poses, seen = clips
    joints = torch.zeros(4, 2, 25, dtype=torch.bool)
    joints[1, 0, 3] = True
    new, there = pose.hide(poses, seen, joints)
    assert not new[1, :, 0, 3].any() and not there[1, :, 0, 3].any()
    assert (new != poses).any(-1).sum() == 6 and (there != seen).sum() == 6


def test_scale_stretches_along_the_axes(clips):
    poses, _ = clips
    factors = torch.tensor([[1.0, 2.0, 0.5]]).expand(4, 3)
    torch.testing.assert_close(pose.scale(poses, factors)[2], poses[2] * torch.tensor([1, 2, 0.5]))


def test_mirrored_twice_is_as_before(clips):
    poses, _ = clips
    once = pose.mirror(poses, KINECT_V2.mirror)
    left, right = KINECT_V2.index("hand_left"), KINECT_V2.index("hand_right")
    torch.testing.assert_close(once[..., left, :], poses[..., right, :] * torch.tensor([-1, 1, 1]))
    torch.testing.assert_close(pose.mirror(once, KINECT_V2.mirror), poses)
