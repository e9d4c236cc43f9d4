"""The glimpse sensor of Mnih et al. 2014: square patches of growing width, cut at one centre.

At scale s the patch is g 2^s pixels wide and averaged down to g x g. A mean over 2^s x 2^s pixels is
the mean of four such means of half the width, so each scale is made once per image from the one
before; a glimpse of all scales and all images is then a single gather.

`cut` is for boxes that are no glimpses: of any place and size, such as those around hands.

Letters: B images, H W their size, S scales, g the side of a glimpse in samples.
"""

from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def to_pixels(centres: Float[Tensor, "*n 2"], height: int, width: int) -> Int[Tensor, "*n 2"]:
    """The pixel (x, y) that a location in [-1, 1] falls on; -1 and 1 are the outer pixels' centres.

    A location outside falls on the border.
    """
    half, middle = frame(height, width, centres.device)
    return torch.addcmul(middle, centres.clamp(-1, 1), half).long()


@lru_cache(64)
def frame(height: int, width: int, device: torch.device) -> tuple[Float[Tensor, "2"], Float[Tensor, "2"]]:
    """Half the image's extent, and its centre plus one half for rounding, (x, y) in pixels."""
    half = torch.tensor([width - 1, height - 1], dtype=torch.float32, device=device) / 2
    return half, half + 0.5


@lru_cache(64)
def window(side: int, scales: int, rows: int, columns: int, device: torch.device) -> Int[Tensor, " Sgg"]:
    """Where the samples of a glimpse at pixel (0, 0) lie in S layers of `rows` x `columns`."""
    scale, i = torch.arange(scales), torch.arange(side)
    first = (side << (scales - 1)) // 2 - (side << scale) // 2
    line = first[:, None] + (i << scale[:, None])  # S g
    layer = (scale * rows * columns)[:, None, None]
    return (layer + line[:, :, None] * columns + line[:, None, :]).flatten().to(device)


def windows(
    centres: Float[Tensor, "*n 2"], height: int, width: int, side: int, scales: int
) -> Int[Tensor, "*n S 4"]:
    """What each scale of a glimpse covers: x0 y0 x1 y1 in pixels, half open, also outside the image."""
    wide = side << torch.arange(scales)[:, None]  # S 1
    corner = to_pixels(centres, height, width).unsqueeze(-2) - wide // 2
    return torch.cat([corner, corner + wide], -1)


class Retina:
    """A batch of images made ready for glimpses; black outside the image.

    Args:
        images: B H W.
        side: g, samples on a glimpse's side.
        scales: S; scale s spans g 2^s pixels.
    """

    def __init__(self, images: Float[Tensor, "B H W"], side: int, scales: int = 1) -> None:
        B, self.height, self.width = images.shape
        widest = side << (scales - 1)
        before = widest // 2
        P, self.columns = self.height + widest, self.width + widest
        # Layer s holds at [i, j] the mean of the 2^s x 2^s pixels from (i - before, j - before) on.
        layers = images.new_zeros(B, scales, P, self.columns)
        layers[:, 0, before : before + self.height, before : before + self.width] = images
        for s in range(1, scales):
            half = 1 << (s - 1)
            fine, coarse = layers[:, s - 1], layers[:, s]
            rows = fine[:, :-half] + fine[:, half:]
            torch.add(rows[:, :, :-half], rows[:, :, half:], out=coarse[:, :-half, :-half])
            coarse *= 0.25
        self.pixels = layers.flatten(1)
        self.patches = (scales, side, side)
        self.window = window(side, scales, P, self.columns, images.device)

    def __call__(self, centres: Float[Tensor, "B *n 2"]) -> Float[Tensor, "B *n S g g"]:
        """The glimpses at `centres`, (x, y) in [-1, 1]; a centre outside is moved to the border."""
        x, y = to_pixels(centres, self.height, self.width).unbind(-1)
        index = torch.add(x, y, alpha=self.columns).unsqueeze(-1) + self.window
        return self.pixels.gather(1, index.flatten(1)).view(*centres.shape[:-1], *self.patches)


def cut(
    pictures: Float[Tensor, "T C H W"], boxes: Float[Tensor, "T K 4"], side: int
) -> Float[Tensor, "T K C side side"]:
    """K boxes x0 y0 x1 y1 of each picture, in pixels, each sampled to side x side; black outside."""
    T, K = boxes.shape[:2]
    low, high = boxes[:, :, None].split(2, -1)  # T K 1 2
    line = (torch.arange(side, device=boxes.device) + 0.5) / side
    x, y = (low + (high - low) * line[:, None]).unbind(-1)  # T K side
    size = torch.tensor([pictures.shape[3], pictures.shape[2]], device=boxes.device)
    grid = torch.stack(torch.broadcast_tensors(x[:, :, None], y[..., None]), -1)  # T K side side 2
    found = F.grid_sample(pictures, (2 * grid / size - 1).flatten(1, 2), align_corners=False)
    return found.unflatten(2, (K, side)).transpose(1, 2)
