"""Skeletons as the camera sees them."""

from collections.abc import Sequence

import torch
from IPython.display import Image
from jaxtyping import Bool, Float
from matplotlib.collections import LineCollection
from torch import Tensor

from companion.figures.drawing import TRUTH, grid, picture
from companion.skeleton import Skeleton


def front(poses: Float[Tensor, "N T M J 3"], seen: Bool[Tensor, "N T M J"]) -> Float[Tensor, "N T K 2"]:
    """Joints as the camera sees them, x and y from 0 to 1, y downwards; all bodies in one row.

    A clip keeps one scale. A joint that was not seen is NaN.
    """
    flat = torch.where(seen[..., None], poses, torch.nan)[..., :2].flatten(2, 3)
    flat = flat * flat.new_tensor([1, -1])
    low, high = (
        torch.where(flat.isnan(), -sign * torch.inf, flat).mul(sign).amax((1, 2), keepdim=True) * sign
        for sign in (-1, 1)
    )
    return (flat - (low + high) / 2) / (high - low).amax(-1, keepdim=True) * 0.9 + 0.5


def skeletons(
    poses: Float[Tensor, "N T M J 3"],
    seen: Bool[Tensor, "N T M J"],
    tree: Skeleton,
    titles: Sequence[str],
    acting: Bool[Tensor, "N M J"] | None = None,
    during: Bool[Tensor, "N T"] | None = None,
    columns: int = 5,
) -> Image:
    """Clips side by side, four moments of each from light to dark; acting joints are ringed.

    Args:
        during: the frames that the moments are taken from, of each clip; None: all.
    """
    shades = (0.8, 0.65, 0.4, 0.1)
    figure, places = grid(len(poses), columns, 1.7, 2.1)
    for n, (axes, title) in enumerate(zip(places, titles, strict=True)):
        frames = torch.arange(poses.shape[1]) if during is None else during[n].nonzero().flatten()
        steps = frames[torch.linspace(0, len(frames) - 1, len(shades)).round().long()]
        for shade, pose in zip(shades, front(poses[n : n + 1], seen[n : n + 1])[0, steps], strict=True):
            lines = [pose[[a, b]].tolist() for a, b in tree.paired(poses.shape[2])]
            axes.add_collection(LineCollection(lines, colors=str(shade), linewidths=1.3))
        if acting is not None:
            rings = pose[acting[n].flatten()].T.numpy()
            axes.scatter(*rings, s=28, facecolors="none", edgecolors=TRUTH, linewidths=1.2, zorder=3)
        axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal")
        axes.set_title(title, fontsize=9)
    return picture(figure, f"{len(titles)} clips of skeletons: {', '.join(titles)}")
