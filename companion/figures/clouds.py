"""Glimpses on whole frames: what the attention player shows of them, and how a gradient moves one."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from companion.datasets.video_clips import VideoClips, in_pixels
from companion.ops.spatial_transformer import crop


def corners(windows: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 2 2"]:
    """Of windows x y s_x s_y."""
    at, extent = windows.split(2, -1)
    return torch.stack([at - extent, at + extent], -2)


def looked(
    data: VideoClips,
    rows: Sequence[int],
    said: Any,
    height: int = 270,
    aside: Float[Tensor, "2"] | None = None,
) -> dict[str, Any]:
    """What the attention player takes of some clips, and of what a model says of them.

    Args:
        said: with `logits` of clips, and `glimpses`, with `workers` where there are some, or `weights` of
            places, which are summed with those of their eight neighbours, or they are too small to be seen;
            under them the pictures are grey.
        height: of the pictures, where they can be drawn anew.
        aside: how far places look aside, see `companion.ops.receptive_field`; without it they look where
            they stand.
    """
    batch = data.__getitems__(rows)
    films = torch.stack([data.film(n, height if data.truth else None) for n in rows])
    size = films.shape[2:4]
    read = said.logits.argmax(1)
    names = [f"{data.classes[k]}, read as {data.classes[n]}" for k, n in zip(batch.label, read, strict=True)]
    seen = {"images": films, "labels": names}
    if hasattr(said, "glimpses"):
        seen["clouds"] = in_pixels(corners(said.glimpses), *size).flatten(-2)
    else:
        around = F.avg_pool2d(said.weights, 3, 1, 1, divisor_override=1)
        seen["heat"] = laid(around, size, torch.zeros(2) if aside is None else aside)
        seen["images"] = films.float().mean(-1, keepdim=True).expand(films.shape).to(films.dtype)
    if batch.boxes is not None:
        seen["truth"] = in_pixels(batch.boxes.unflatten(-1, (2, 2)), *size).flatten(-2)
    if hasattr(said, "workers"):
        seen["workers"] = said.workers
    return seen


def laid(
    weights: Float[Tensor, "B T h w"], size: Sequence[int], aside: Float[Tensor, "2"]
) -> Float[Tensor, "B T h w"]:
    """What h w equal parts of a picture are given by places that are squares and look aside."""
    h, w = weights.shape[2:]
    across = 2 * (torch.arange(w) + 0.5 - aside[0]) / w - 1
    down = 2 * ((torch.arange(h) + 0.5) * size[0] * w / (size[1] * h) - aside[1]) / h - 1
    at = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).expand(len(weights), -1, -1, -1)
    return F.grid_sample(weights, at, align_corners=False)


def chase(
    picture: Float[Tensor, "C H W"], goal: Float[Tensor, "4"], start: Float[Tensor, "2"], steps: int
) -> Float[Tensor, "steps 4"]:
    """Windows on the way from a place to the goal: gradient descent on the difference of what they show.

    The gradient goes through the crop to x and y; the extent is the goal's.
    """
    wanted, place, path = crop(picture[None], goal[None, None], 24), start.clone().requires_grad_(), []
    optimizer = torch.optim.Adam([place], 0.01)
    for _ in range(steps):
        window = torch.cat([place, goal[2:]])
        path.append(window.detach())
        loss = (crop(picture[None], window[None, None], 24) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.stack(path)
