from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from companion.ops.spatial_transformer import crop, pooled, products, samples


def sampled(maps, glimpses, side):
    """The obvious version: one grid a glimpse."""
    line = torch.linspace(-1, 1, side, dtype=maps.dtype)
    found = []
    for g in range(glimpses.shape[1]):
        x, y, s_x, s_y = glimpses[:, g].unbind(-1)
        across = (x[:, None] + s_x[:, None] * line)[:, None].expand(-1, side, -1)
        down = (y[:, None] + s_y[:, None] * line)[:, :, None].expand(-1, -1, side)
        found.append(F.grid_sample(maps, torch.stack([across, down], -1), align_corners=True))
    return torch.stack(found, 1)


def drawn(N, G, D, H, W, seed):
    g = torch.Generator().manual_seed(seed)
    maps = torch.randn(N, D, H, W, generator=g, dtype=torch.float64)
    glimpses = torch.rand(N, G, 4, generator=g, dtype=torch.float64)
    glimpses[..., :2] = 2.4 * glimpses[..., :2] - 1.2
    return maps, glimpses


@settings(deadline=None, max_examples=40)
@given(
    N=st.integers(1, 3),
    G=st.integers(1, 3),
    D=st.integers(1, 4),
    H=st.integers(2, 9),
    W=st.integers(2, 12),
    side=st.integers(2, 7),
    seed=st.integers(0, 99),
    cut=st.sampled_from([products, samples]),
)
def test_equals_grid_sample_and_so_do_its_gradients(N, G, D, H, W, side, seed, cut):
    maps, glimpses = (x.requires_grad_() for x in drawn(N, G, D, H, W, seed))
    ours, theirs = cut(maps, glimpses, side), sampled(maps, glimpses, side)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    weight = torch.randn_like(ours)
    one = torch.autograd.grad((ours * weight).sum(), (maps, glimpses))
    other = torch.autograd.grad((theirs * weight).sum(), (maps, glimpses))
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("cut", [products, samples])
def test_a_glimpse_of_everything_is_the_map_and_can_move(cut):
    """All places are samples of the map: there too the slope is that of `grid_sample`."""
    maps = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    glimpses = torch.tensor([0.0, 0, 1, 1], dtype=torch.float64).expand(2, 1, 4).clone().requires_grad_()
    seen = cut(maps, glimpses, 5)
    torch.testing.assert_close(seen[:, 0], maps)
    theirs = sampled(maps, glimpses, 5)
    (one,), (other,) = (torch.autograd.grad(x.square().sum(), glimpses) for x in (seen, theirs))
    torch.testing.assert_close(one[..., :2], other[..., :2])
    assert one.abs().min() > 0


def test_gradients_are_those_of_finite_differences():
    maps, glimpses = drawn(2, 2, 3, 6, 7, 1)
    maps.requires_grad_(), glimpses.requires_grad_()
    for cut in (products, samples, crop):
        assert torch.autograd.gradcheck(partial(cut, side=4), (maps, glimpses))
    assert torch.autograd.gradcheck(lambda *x: pooled(*x, 4), (maps, glimpses))


def test_pooled_is_the_mean_of_the_crop():
    maps, glimpses = drawn(3, 2, 4, 7, 9, 2)
    torch.testing.assert_close(pooled(maps, glimpses, 5), crop(maps, glimpses, 5).mean((-2, -1)))


def test_beyond_the_map_there_is_nothing():
    maps = torch.ones(1, 1, 4, 4)
    assert crop(maps, torch.tensor([[[3.0, 0, 0.5, 0.5]]]), 3).abs().max() == 0


def test_wrong_shapes_are_refused():
    with pytest.raises(Exception, match="(?i)type"):
        crop(torch.rand(2, 3, 8, 8), torch.rand(2, 4), 3)
