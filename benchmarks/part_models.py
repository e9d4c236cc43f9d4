"""Part models at 640 x 480: features, distance transforms, and detection stage by stage.

Beside the features stands scikit-image's HOG, beside the transform a plain Python loop per row. The model has
the sizes of one of voc-release5's: six components with eight parts of 6 x 6 cells. The time that its filters
take is compared with a matrix product of the same number of multiply-adds.
"""

import sys
from collections.abc import Sequence
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from skimage.feature import hog as skimage_hog
from torch import Tensor
from torch.nn import functional as F

from companion.models import dpm
from companion.models.dpm import CHANNELS, DPM, REACH, Component
from companion.ops.distance_transform import spread, spreads
from companion.ops.hog import hog

sys.path.append(str(Path(__file__).parent))
from hard_attention import seconds

H, W = 480, 640
ROOTS = ((5, 12), (5, 12), (7, 9), (7, 9), (10, 6), (10, 6))


def model(parts: int = 8, seed: int = 0) -> DPM:
    """Random weights of the usual size."""
    g = torch.Generator().manual_seed(seed)
    return DPM(
        tuple(
            Component(
                0.1 * torch.randn(CHANNELS, *size, generator=g),
                0.1 * torch.randn(parts, CHANNELS, 6, 6, generator=g),
                torch.stack([torch.randint(0, 2 * n - 5, (parts,), generator=g) for n in reversed(size)], 1),
                torch.tensor([0.02, 0.001, 0.02, 0.001]).repeat(parts, 1),
                -9.0,
                torch.zeros(3),
            )
            for size in ROOTS
        ),
        "random",
        3.0,
    )


def plain(row: np.ndarray, a: float, b: float) -> list[float]:
    """The lower envelope, a row at a time, in plain Python."""
    f = row.tolist()
    line, start, out = [0], [-np.inf], []
    for s in range(1, len(f)):
        while True:
            v = line[-1]
            meet = ((f[v] - a * v * v - b * v) - (f[s] - a * s * s - b * s)) / (2 * a * (s - v))
            if meet > start[-1]:
                break
            line.pop(), start.pop()
        line.append(s), start.append(meet)
    start.append(np.inf)
    k = 0
    for d in range(len(f)):
        while start[k + 1] < d:
            k += 1
        out.append(f[line[k]] - a * (line[k] - d) ** 2 - b * (line[k] - d))
    return out


def stages(image: Tensor, models: Sequence[DPM], features: dpm.Pyramid) -> dict[str, float]:
    """Seconds of each stage of the detection of some classes on one pyramid."""
    fine = features.levels[: -models[0].interval]
    filters = [torch.cat([component.parts for component in one.components]) for one in models]
    weights = torch.cat([component.deformation for component in models[0].components])
    responses = [F.conv2d(level[None], filters[0])[0] for level in fine]
    found = [dpm.scores(one, features) for one in models]

    def detect() -> None:
        shared = dpm.pyramid(image, *models)
        for one in models:
            dpm.detect(one, shared)

    return {
        "pyramid": seconds(lambda: dpm.pyramid(image, *models)),
        "filters of parts": seconds(lambda: [F.conv2d(level[None], f) for f in filters for level in fine]),
        "distance transforms": seconds(lambda: [spreads(responses, weights, REACH) for _ in models]),
        "all scores, with both": seconds(lambda: [dpm.scores(one, features) for one in models]),
        "placements": seconds(lambda: [dpm.placed(*each) for each in zip(models, repeat(features), found)]),
        "detection": seconds(detect),
    }


if __name__ == "__main__":
    torch.manual_seed(0)
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, medians")
    image = (255 * F.interpolate(torch.rand(1, 3, 60, 80), (H, W), mode="bicubic").clamp(0, 1))[0]
    pixels = image.permute(1, 2, 0).numpy()
    ours = seconds(lambda: hog(image[None]))
    for name, other in (("RGB", pixels), ("grey", pixels[..., 0])):
        kind = {"channel_axis": -1} if other.ndim == 3 else {}
        theirs = seconds(partial(skimage_hog, other, 9, (8, 8), (2, 2), **kind))
        print(f"features: {ours * 1e3:.1f} ms; scikit-image, {name}: {theirs * 1e3:.1f} ms", end="")
        print(f", {theirs / ours:.1f} times")

    maps, weights = torch.randn(4, H, W), torch.tensor([[0.02, 0.001, 0.02, 0.001]]).repeat(4, 1)
    rate = {
        "unbounded": maps.numel() / seconds(lambda: spread(maps, weights)),
        "within 4 cells": maps.numel() / seconds(lambda: spread(maps, weights, REACH)),
        "plain Python": H * W / 2 / seconds(lambda: [plain(row, 0.02, 0.001) for row in maps[0].numpy()]),
    }
    print("distance transform:", ", ".join(f"{name} {value / 1e6:.1f} Mpx/s" for name, value in rate.items()))
    print(f"  unbounded {rate['unbounded'] / rate['plain Python']:.0f} times plain Python")
    for side in (256, 512, 1024, 2048):
        took = seconds(partial(spread, torch.randn(1, side, side), weights[:1]), 0.5)
        print(f"  {side} x {side}: {took / side**2 * 1e9:.1f} ns a pixel")

    one, many = model(), [model(seed=n) for n in range(20)]
    features = dpm.pyramid(image, one)
    places = sum(level.shape[1] * level.shape[2] for level in features.levels[: -one.interval])
    products = places * 6 * 8 * CHANNELS * 36
    a, b = torch.rand(places, CHANNELS * 36), torch.rand(CHANNELS * 36, 48)
    peak = products / seconds(lambda: a @ b)
    c, d = torch.rand(2048, 2048), torch.rand(2048, 2048)
    best = 2048**3 / seconds(lambda: c @ d)
    for name, models in (("one class", [one]), ("20 classes", many)):
        timed = stages(image, models, features)
        for stage, value in timed.items():
            print(f"{name}, {stage}: {value * 1e3:.0f} ms")
        work = len(models) * products
        print(f"  the parts' filters: {work / 1e9:.1f} G multiply-adds, ", end="")
        print(f"{work / timed['filters of parts'] / 1e9:.0f} G/s")
    print(f"  one class as one matrix product {peak / 1e9:.0f} G/s; a square one {best / 1e9:.0f} G/s")

    def score(classes: int) -> None:
        for each in many[:classes]:
            dpm.scores(each, features)

    print("growth, ms of all scores:")
    for share in (0.25, 0.5, 1.0):
        small = F.interpolate(image[None], scale_factor=share**0.5, mode="bilinear")[0]
        took = seconds(partial(dpm.scores, one, dpm.pyramid(small, one)))
        print(f"  {share:.0%} of the pixels: {took * 1e3:.0f}")
    for parts in (2, 4, 8):
        print(f"  {parts} parts: {seconds(partial(dpm.scores, model(parts), features)) * 1e3:.0f}")
    for classes in (1, 5, 20):
        print(f"  {classes} classes: {seconds(partial(score, classes)) * 1e3:.0f}")
