"""Where the places of a feature map look, which need not be where they stand.

Strides that do not divide the picture, and kernels that are padded more on one side, move what a place sees.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

SQUARE = 4  # pixels on the side of what is changed


@torch.no_grad()
def aside(network: Callable, frames: UInt8[Tensor, "N 3 H W"], seed: int = 0) -> Float[Tensor, "2"]:
    """How far what places see lies from where they stand, x y in places; the mean over frames.

    A place stands in the middle of its square, as the map, laid on the picture from the left and the top, is
    as wide. In each frame a small square somewhere about the middle is inverted, and the middle of what
    changes in the map is compared with the square's.

    Args:
        network: takes frames to maps N D h w, w at most W.
    """
    rng = np.random.default_rng(seed)
    size = np.array(frames.shape[2:])
    corners = rng.integers(size // 4, 3 * size // 4 - SQUARE, (len(frames), 2))
    other = frames.clone()
    for frame, (y, x) in zip(other, corners, strict=True):
        square = frame[:, y : y + SQUARE, x : x + SQUARE]
        square.copy_(255 - square)
    change = (network(other) - network(frames)).square().sum(1).cpu()
    share = change / change.sum((1, 2), keepdim=True)
    down, across = (torch.arange(n) + 0.5 for n in share.shape[1:])
    found = torch.stack([share.sum(1) @ across, share.sum(2) @ down], 1)
    middles = torch.from_numpy(corners[:, ::-1] + SQUARE / 2).float() * share.shape[2] / frames.shape[3]
    return (middles - found).mean(0)
