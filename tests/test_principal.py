"""Principal components of maps: against a singular value decomposition of the regions."""

import pytest
import torch

from companion.ops.principal import principal

MAPS = (
    torch.randn(5, 6, 3, 4, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 7)[:, None, None]
    + 2
)


def test_they_span_what_a_singular_value_decomposition_finds():
    found = principal(MAPS.half(), 2)(MAPS).permute(0, 2, 3, 1).reshape(-1, 2)
    rows = MAPS.permute(0, 2, 3, 1).reshape(-1, 6)
    U, S, _ = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    want = U[:, :2] * S[:2] / (S[:2].square().mean() / (len(rows) - 1)).sqrt()
    signs = (found * want).sum(0).sign()
    torch.testing.assert_close(found * signs, want, atol=1e-2, rtol=0)  # the maps are of 16 bits


def test_what_it_gives_has_mean_0_and_variance_1():
    for maps in (MAPS, 0.02 * MAPS + 50):
        found = principal(maps, 3)(maps)
        assert found.mean((0, 2, 3)).abs().max() < 1e-3
        assert found.var((0, 2, 3)).mean().item() == pytest.approx(1, rel=1e-3)


def test_maps_that_are_constant_are_refused():
    with pytest.raises(ValueError, match="all regions have the same features"):
        principal(torch.ones(1, 2, 3, 3), 1)
    with pytest.raises(ValueError, match="1 components of 1 regions"):
        principal(torch.ones(1, 2, 1, 1), 1)


@pytest.mark.parametrize("K", [0, 7])
def test_other_numbers_are_refused(K):
    with pytest.raises(ValueError, match=f"{K} components of 60 regions with 6 channels; choose fewer"):
        principal(MAPS, K)
