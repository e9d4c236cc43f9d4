"""Gaze, weakly supervised attention: features of a picture, the readout, pooling against a full sort."""

import torch
from backbones import peak, share
from hard_attention import seconds
from torch import Tensor

from companion.models import gaze, picture_features
from companion.ops import pooling

PICTURE, CELLS, MAPS, SIDES = (1, 3, 480, 640), (60, 80), (32, 80, 14, 14), (14, 28, 56, 112)
K, ALPHA = 0.2, 0.7


def by_sorting(maps: Tensor) -> Tensor:
    """WILDCAT's pooling with all places sorted."""
    ordered, k = maps.sort(-1).values, round(K * maps.shape[-1])
    return ordered[..., -k:].mean(-1) + ALPHA * ordered[..., :k].mean(-1)


def both_ways(pool: object, maps: Tensor) -> float:
    """Seconds of a pooling forward and backward."""

    def step() -> None:
        maps.grad = None
        pool(maps).sum().backward()

    return seconds(step)


if __name__ == "__main__":
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads")
    picture = torch.randint(0, 256, PICTURE, dtype=torch.uint8)
    with torch.no_grad():
        for name, kind in picture_features.PRECISIONS.items():
            net = picture_features.Layers(precision=name).eval()
            took = share(lambda: net(picture), peak(kind))  # noqa: B023
            print(f"features of a picture of 640 x 480, {name}: {took}")
        maps = net(picture)
        readout = gaze.Readout(picture_features.channels(), gaze.gaussian(CELLS), widths=(64, 32)).eval()
        print("readout of them:", share(lambda: readout(maps), peak(torch.float32)))
    few = torch.randn(MAPS).flatten(2).requires_grad_()
    took = both_ways(lambda maps: pooling.wildcat(maps, K, K, ALPHA), few), both_ways(by_sorting, few)
    print(f"pooling, {MAPS}: {1e3 * took[0]:.1f} ms; sorted {took[1] / took[0]:.2f} times as long")
    for side in SIDES:
        many = torch.randn(4, 20, side * side).requires_grad_()
        each = both_ways(lambda maps: pooling.wildcat(maps, K, K, ALPHA), many) / many.numel()
        print(f"pooling, {side} x {side} places: {1e9 * each:.1f} ns a place")
