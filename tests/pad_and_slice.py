"""The obvious glimpse sensor: pad the batch for each scale, slice each image, average down."""

import torch
from torch import Tensor
from torch.nn import functional as F

from companion.ops.crop import to_pixels


def glimpses(images: Tensor, centres: Tensor, side: int, scales: int) -> Tensor:
    """B S g g, as `companion.ops.crop.Retina` gives it; padding and averaging are batched."""
    x, y = to_pixels(centres, *images.shape[1:]).unbind(1)
    layers = []
    for s in range(scales):
        wide = side << s
        before = wide // 2
        padded = F.pad(images, (before, wide - before) * 2)
        corners = zip(padded, y.tolist(), x.tolist(), strict=True)
        patches = torch.stack([image[i : i + wide, j : j + wide] for image, i, j in corners])
        layers.append(F.avg_pool2d(patches[:, None], 1 << s)[:, 0])
    return torch.stack(layers, 1)


class PadAndSlice:
    """Stands in for `Retina` where a whole training step is compared."""

    def __init__(self, images: Tensor, side: int, scales: int = 1) -> None:
        self.images, self.side, self.scales = images, side, scales

    def __call__(self, centres: Tensor) -> Tensor:
        return glimpses(self.images, centres, self.side, self.scales)
