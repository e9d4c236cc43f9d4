"""The distance transform: all versions against trying all places."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.ops import distance_transform
from companion.ops.distance_transform import soft, spread, spreads


def brute(scores, weights, reach=None):
    """Each place of each map, from all places."""
    N, H, W = scores.shape
    out = torch.empty(N, H, W, dtype=torch.float64)
    for n, (ax, bx, ay, by) in enumerate(weights.double()):
        for y in range(H):
            for x in range(W):
                dx, dy = torch.arange(W) - x, (torch.arange(H) - y)[:, None]
                value = scores[n].double() - (ax * dx**2 + bx * dx + ay * dy**2 + by * dy)
                if reach is not None:
                    value[(dx.abs() > reach) | (dy.abs() > reach)] = -torch.inf
                out[n, y, x] = value.max()
    return out.float()


def maps(seed, N, H, W):
    g = torch.Generator().manual_seed(seed)
    scores, weights = torch.randn(N, H, W, generator=g), torch.rand(N, 4, generator=g)
    weights[:, ::2] = 10 ** (3 * weights[:, ::2] - 3)
    weights[:, 1::2] = 4 * weights[:, 1::2] - 2
    return scores, weights


sizes = st.integers(1, 12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), sizes, sizes, st.sampled_from([None, 0, 1, 4]))
def test_the_transform_is_that_of_trying_all_places(seed, H, W, reach):
    scores, weights = maps(seed, 2, H, W)
    got = spread(scores, weights, reach)
    torch.testing.assert_close(got.scores, brute(scores, weights, reach), atol=1e-4, rtol=1e-5)
    y, x = got.places.long() // W, got.places.long() % W
    dy, dx = y - torch.arange(H)[:, None], x - torch.arange(W)
    ax, bx, ay, by = weights.T[..., None, None]
    there = scores[torch.arange(2)[:, None, None], y, x] - (ax * dx**2 + bx * dx + ay * dy**2 + by * dy)
    torch.testing.assert_close(there, got.scores, atol=1e-4, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), sizes, sizes)
def test_the_soft_transform_meets_it_and_has_a_gradient(seed, H, W):
    scores, weights = maps(seed, 2, H, W)
    torch.testing.assert_close(soft(scores, weights, 1e-4), brute(scores, weights), atol=5e-3, rtol=1e-4)
    scores.requires_grad_(), weights.requires_grad_()
    value = soft(scores, weights).sum()
    assert (soft(scores, weights) >= spread(scores, weights).scores - 1e-4).all()
    value.backward()
    torch.testing.assert_close(scores.grad.sum(), torch.tensor(2.0 * H * W))  # each place's weights sum to 1
    assert weights.grad.isfinite().all()


def test_equal_scores_and_strong_pulls():
    flat = torch.zeros(1, 5, 5)
    got = spread(flat, torch.tensor([[0.1, 0.0, 0.1, 0.0]]))
    assert not got.scores.any() and torch.equal(got.places[0], torch.arange(25).view(5, 5).int())
    pulled = spread(flat, torch.tensor([[0.01, -50.0, 0.01, 50.0]]))
    assert (pulled.places == 4).all()  # the last column, the first row


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr(distance_transform, "SMALL", 0)
    scores, weights = maps(0, 5, 20, 30)
    for reach in (None, 4):
        one = [spread(scores[n : n + 1], weights[n : n + 1], reach) for n in range(5)]
        both = spread(scores, weights, reach)
        assert torch.equal(both.scores, torch.cat([part.scores for part in one]))
        assert torch.equal(both.places, torch.cat([part.places for part in one]))


@pytest.mark.parametrize("weights", [[0, 0, 1, 0], [1, 0, -1, 0], [float("nan"), 0, 1, 0]])
def test_weights_without_a_maximum_are_refused(weights):
    with pytest.raises(ValueError, match="must be numbers above 0"):
        spread(torch.zeros(1, 3, 3), torch.tensor([weights]).float())
    with pytest.raises(ValueError, match="NaN or an infinite number"):
        spread(torch.full((1, 3, 3), torch.nan), torch.ones(1, 4))


def test_reach_and_the_number_of_weights_are_checked():
    maps, weights = torch.zeros(2, 3, 3), torch.ones(2, 4)
    with pytest.raises(ValueError, match="reach is -1; choose 0 or more"):
        spread(maps, weights, -1)
    with pytest.raises(ValueError, match=r"\[2, 1\] maps need as many weights, not 2"):
        inspect.unwrap(spreads)([maps, maps[:1]], weights)  # as it is without the tests' check of shapes


@pytest.mark.parametrize("reach", [None, 4])
def test_maps_of_several_scales_and_none(reach):
    some, weights = maps(0, 3, 9, 12)
    levels = [some, some[:, :1, :1], some[:, :, :2]]
    for found, level in zip(spreads(levels, weights, reach), levels, strict=True):
        alone = spread(level, weights, reach)
        assert torch.equal(found.scores, alone.scores) and torch.equal(found.places, alone.places)
    assert spreads([some[:0]], weights[:0], reach)[0].scores.shape == (0, 9, 12)
