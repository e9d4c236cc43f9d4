"""Gaussian blur of maps, written as two products with banded matrices: its width may be learned.

Letters: B maps, H W their size.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def bands(size: int, sigma: float | Float[Tensor, ""]) -> Float[Tensor, "size size"]:
    """What each place along a line takes of each other one; beyond the ends lies nothing.

    Args:
        sigma: standard deviation, in places; a tensor gets a gradient.
    """
    place = torch.arange(size, dtype=torch.float32)
    off = (place[:, None] - place) / sigma
    weights = torch.exp(-off.square() / 2)
    return weights / weights[:, size // 2].sum()


def blur(maps: Float[Tensor, "*B H W"], sigma: float | Float[Tensor, ""]) -> Float[Tensor, "*B H W"]:
    """Of each map; what is blurred over an edge is lost."""
    H, W = maps.shape[-2:]
    return bands(H, sigma) @ maps @ bands(W, sigma)


def smooth(maps: Float[Tensor, "*B H W"], sigma: float | Float[Tensor, ""]) -> Float[Tensor, "*B H W"]:
    """The same, as a mean of what lies inside: a constant map stays what it is."""
    return blur(maps, sigma) / blur(maps.new_ones(maps.shape[-2:]), sigma)
