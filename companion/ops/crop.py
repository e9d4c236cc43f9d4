"""The glimpse sensor of Mnih et al. 2014: square patches of growing width, cut at one centre.

At scale s the patch is g 2^s pixels wide and averaged down to g x g. A mean over 2^s x 2^s pixels is
the mean of four such means of half the width, so each scale is made once per image from the one
before; a glimpse of all scales and all images is then a single gather.

Letters: B images, H W their size, S scales, g the side of a glimpse in samples.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def to_pixels(centres: Float[Tensor, "*n 2"], height: int, width: int) -> Int[Tensor, "*n 2"]:
    """The pixel (x, y) that a location in [-1, 1] falls on; -1 and 1 are the outer pixels' centres."""
    size = centres.new_tensor([width - 1, height - 1])
    return ((centres.clamp(-1, 1) + 1) * (size / 2) + 0.5).long()


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
        P, Q = self.height + widest, self.width + widest
        # Layer s holds at [i, j] the mean of the 2^s x 2^s pixels from (i - before, j - before) on.
        layers = images.new_zeros(B, scales, P, Q)
        layers[:, 0, before : before + self.height, before : before + self.width] = images
        for s in range(1, scales):
            half = 1 << (s - 1)
            fine, coarse = layers[:, s - 1], layers[:, s]
            rows = fine[:, :-half] + fine[:, half:]
            torch.add(rows[:, :, :-half], rows[:, :, half:], out=coarse[:, :-half, :-half])
            coarse *= 0.25
        self.pixels = layers.flatten(1)
        self.patches = (scales, side, side)
        self.row = Q

        scale, i = torch.arange(scales, device=images.device), torch.arange(side, device=images.device)
        first = before - (side << scale) // 2  # of scale s, for a centre at pixel 0
        line = first[:, None] + (i << scale[:, None])  # S g
        window = (scale * P * Q)[:, None, None] + line[:, :, None] * Q + line[:, None, :]
        self.window = window.flatten()

    def __call__(self, centres: Float[Tensor, "B *n 2"]) -> Float[Tensor, "B *n S g g"]:
        """The glimpses at `centres`, (x, y) in [-1, 1]; a centre outside is moved to the border."""
        x, y = to_pixels(centres, self.height, self.width).unbind(-1)
        index = (y * self.row + x).unsqueeze(-1) + self.window
        return self.pixels.gather(1, index.flatten(1)).view(*centres.shape[:-1], *self.patches)
