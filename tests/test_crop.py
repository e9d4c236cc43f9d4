import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pad_and_slice import glimpses

from companion.ops.crop import Retina, to_pixels


@settings(deadline=None)
@given(
    B=st.integers(1, 4),
    H=st.integers(1, 40),
    W=st.integers(1, 40),
    side=st.integers(1, 9),
    scales=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_equals_pad_and_slice(B, H, W, side, scales, seed):
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.random((B, H, W), np.float32))
    centres = torch.from_numpy(rng.uniform(-1.3, 1.3, (B, 2)).astype(np.float32))
    torch.testing.assert_close(
        Retina(images, side, scales)(centres), glimpses(images, centres, side, scales), rtol=1e-5, atol=1e-6
    )


def test_many_places_are_the_places_one_by_one():
    images, centres = torch.rand(3, 20, 30), torch.rand(3, 5, 2) * 2 - 1
    retina = Retina(images, 6, 2)
    torch.testing.assert_close(retina(centres), torch.stack([retina(c) for c in centres.unbind(1)], 1))


def test_by_hand():
    """4 x 4 pixels 0..15; a glimpse of 2 at the lower right pixel sees it and black beyond."""
    images = torch.arange(16.0).view(1, 4, 4)
    seen = Retina(images, 2, 2)(torch.ones(1, 2))
    assert seen[0, 0].tolist() == [[10, 11], [14, 15]]
    assert seen[0, 1].tolist() == [[(5 + 6 + 9 + 10) / 4, (7 + 11) / 4], [(13 + 14) / 4, 15 / 4]]


def test_corners_are_the_outer_pixels():
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, -3.0], [2.0, 0.0]])
    assert to_pixels(corners, 5, 9).tolist() == [[0, 0], [8, 4], [4, 0], [8, 2]]


def test_wrong_shapes_are_refused():
    with pytest.raises(Exception, match="(?i)type"):
        Retina(torch.rand(2, 1, 8, 8), 4)
    with pytest.raises(Exception, match="(?i)type"):
        Retina(torch.rand(2, 8, 8), 4)(torch.rand(2, 3))
