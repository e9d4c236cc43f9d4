"""Pooling of maps of evidence: the definition, with sorted places, and the ends that it can reach."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.ops import pooling


def by_sorting(maps, k_max, k_min, alpha):
    ordered = maps.sort(-1, descending=True).values
    low = ordered[..., len(ordered[0, 0]) - k_min :].mean(-1) if k_min else 0
    return ordered[..., :k_max].mean(-1) + alpha * low


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_it_is_what_sorting_gives(K, data):
    k_max, k_min = data.draw(st.integers(1, K)), data.draw(st.integers(0, K))
    maps = torch.randn(2, 3, K, dtype=torch.float64, generator=torch.Generator().manual_seed(K))
    got, want = pooling.wildcat(maps, k_max, k_min, 0.7), by_sorting(maps, k_max, k_min, 0.7)
    torch.testing.assert_close(got, want)


def test_its_gradient():
    maps = torch.randn(1, 2, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: pooling.wildcat(x, 3, 2, 0.7), maps)
    assert torch.autograd.gradcheck(lambda x: pooling.log_sum_exp(x, 5.0), maps)


def test_it_lies_between_the_maximum_and_the_mean():
    maps = torch.randn(4, 2, 50)
    torch.testing.assert_close(pooling.wildcat(maps, 1, 0, 0.7), maps.amax(-1))
    torch.testing.assert_close(pooling.wildcat(maps, 50, 0, 0.7), maps.mean(-1))
    torch.testing.assert_close(pooling.log_sum_exp(maps, 1e-3), maps.mean(-1), atol=1e-2, rtol=0)
    torch.testing.assert_close(pooling.log_sum_exp(maps, 1e3), maps.amax(-1), atol=1e-2, rtol=0)


def test_a_share_counts_places():
    assert pooling.places(0.2, 196) == 39 and pooling.places(3, 196) == 3 and pooling.places(0, 196) == 0
    assert pooling.places(0.001, 196) == 1 and pooling.places(1, 196) == 1


@pytest.mark.parametrize(("k_max", "k_min"), [(0, 1), (51, 0), (1, 51), (-1, 0), (0.2, -0.1)])
def test_more_than_all_places_or_none_are_refused(k_max, k_min):
    with pytest.raises(ValueError, match="k.* is "):
        pooling.wildcat(torch.randn(1, 1, 50), k_max, k_min, 1.0)
