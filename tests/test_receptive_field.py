"""Where places look: by networks that look aside by a known step, and by the gradients of a known one."""

import pytest
import torch
from torch.nn import functional as F

from companion.models import backbones
from companion.ops.receptive_field import aside


def pictures(height, width, count=24):
    """Smooth noise, for of a plain picture hardly anything changes."""
    coarse = torch.rand(count, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    return (255 * F.interpolate(coarse, (height, width), mode="bilinear")).to(torch.uint8)


@pytest.mark.parametrize(("right", "down"), [(0, 0), (8, 0), (-4, 12)])
def test_a_network_that_looks_aside_by_a_known_step(right, down):
    """Means of squares of 4 pixels of the picture, moved. The changed square is smaller than most distances
    here, and lies over several places.
    """

    def network(frames):
        moved = frames.float().roll((-down, -right), (2, 3))
        return F.avg_pool2d(moved, 4)

    found = aside(network, pictures(64, 80))
    torch.testing.assert_close(found, torch.tensor([right / 4, down / 4]), atol=0.15, rtol=0)


@pytest.mark.parametrize("height", [64, 90])
def test_against_the_middle_of_the_gradients(height):
    """A stride of 2 takes 45 rows from -1 on and 46 from 0 on: what places see moves with the height."""
    torch.manual_seed(0)
    net = backbones.EfficientNetLite0(5, stride=4).eval()
    frames = pictures(height, 96, 8)
    found = aside(net, pictures(height, 96))
    x = frames.float().requires_grad_()
    maps = net.blocks(F.relu6(net.stem((x - 127) / 128)))
    rows = []
    for y in range(maps.shape[2] // 3, 2 * maps.shape[2] // 3, 2):
        for left in range(8, 16, 2):
            told = (maps[:, :, y, left] * torch.randn(maps.shape[1])).sum()
            (slope,) = torch.autograd.grad(told, x, retain_graph=True)
            share = slope.square().sum(1)
            share = share / share.sum((1, 2), keepdim=True)
            down, across = (torch.arange(n) / 4 + 1 / 8 for n in share.shape[1:])
            middle = torch.stack([share.sum(1) @ across, share.sum(2) @ down], 1)
            rows.append(middle - torch.tensor([left + 0.5, y + 0.5]))
    torch.testing.assert_close(found, torch.cat(rows).mean(0), atol=0.2, rtol=0)
