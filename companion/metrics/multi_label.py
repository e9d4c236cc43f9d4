"""How well labels of whole pictures are told, and whether maps of evidence point at the things.

Letters: N pictures, C classes, n things of a picture.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.metrics import average_precision_score
from torch import Tensor


def peaks(maps: Float[Tensor, "*B h w"]) -> Float[Tensor, "*B 2"]:
    """The middle x y of each map's highest cell, in shares of width and height."""
    h, w = maps.shape[-2:]
    best = maps.flatten(-2).argmax(-1)
    return torch.stack([(best % w + 0.5) / w, (best // w + 0.5) / h], -1)


def inside(places: Float[Tensor, "*#n 2"], boxes: Float[Tensor, "n 4"]) -> Bool[Tensor, " n"]:
    """Which places x y, one a box or one for all, lie in their boxes x0 y0 x1 y1."""
    return ((places >= boxes[..., :2]) & (places <= boxes[..., 2:])).all(-1)


def pointing(
    peak: Float[Tensor, "N C 2"],
    boxes: Sequence[Float[Tensor, "_ 4"]],
    kinds: Sequence[Int[Tensor, " _"]],
) -> Float[np.ndarray, " N"]:
    """Of the classes in a picture, in how many percent their peak lies on a thing of theirs.

    The pointing game (Oquab et al., CVPR 2015; Zhang et al., ECCV 2016) without their margin of some pixels.
    NaN where a picture shows nothing.

    Args:
        peak: of the map of each class; see `peaks`.
        boxes, kinds: of the things of each picture, in shares of width and height.
    """
    found = np.full(len(peak), np.nan)
    for n, (around, kind) in enumerate(zip(boxes, kinds, strict=True)):
        if len(kind):
            hits = inside(peak[n, kind], around)
            found[n] = 100 * np.mean([bool(hits[kind == one].any()) for one in kind.unique()])
    return found


def on_things(peak: Float[Tensor, "N 2"], boxes: Sequence[Float[Tensor, "_ 4"]]) -> Float[np.ndarray, " N"]:
    """100 where a place lies on any thing of its picture, 0 where not; NaN where it shows nothing."""
    hits = [100.0 * bool(inside(at[None], around).any()) for at, around in zip(peak, boxes, strict=True)]
    return np.where([len(around) > 0 for around in boxes], hits, np.nan)


def on_others(peak: Float[Tensor, "N 2"], boxes: Sequence[Float[Tensor, "_ 4"]]) -> Float[np.ndarray, " N"]:
    """Of the other pictures that show something, in how many percent a place would lie on a thing of theirs.

    NaN where the place's own picture shows nothing, or no other one does.
    """
    found, shows = np.full(len(peak), np.nan), [n for n, own in enumerate(boxes) if len(own)]
    x, y = peak[:, :, None].unbind(1)
    hits = [((x >= a) & (x <= c) & (y >= b) & (y <= d)).any(1) for a, b, c, d in (boxes[n].T for n in shows)]
    if len(shows) > 1:
        table = torch.stack(hits, 1)[shows].double()
        found[shows] = 100 * (table.sum(1) - table.diagonal()).numpy() / (len(shows) - 1)
    return found


def average_precisions(
    scores: Float[np.ndarray, "N C"], present: Bool[np.ndarray, "N C"], ignored: Bool[np.ndarray, "N C"]
) -> Float[np.ndarray, " C"]:
    """Of each class, over pictures, in percent; NaN where no picture shows it.

    Args:
        ignored: pairs that are left out: what a picture shows only as a thing marked difficult.
    """
    found = np.full(scores.shape[1], np.nan)
    for c in np.flatnonzero((present & ~ignored).any(0)):
        counted = ~ignored[:, c]
        found[c] = 100 * average_precision_score(present[counted, c], scores[counted, c])
    return found


def by_picture(
    scores: Float[np.ndarray, "N C"], present: Bool[np.ndarray, "N C"], ignored: Bool[np.ndarray, "N C"]
) -> Float[np.ndarray, " N"]:
    """What each picture adds to the mean average precision, times N, in percent: the mean is that precision.

    Of each class that it shows the precision at its own rank, divided by how many show the class, and by the
    number of classes.
    """
    N, found = len(scores), np.zeros(len(scores))
    classes = np.flatnonzero((present & ~ignored).any(0))
    for c in classes:
        counted = np.flatnonzero(~ignored[:, c])
        true, own = present[counted, c], scores[counted, c]
        above = own >= own[true, None]  # of each that shows it, which score as high or higher
        found[counted[true]] += (above & true).sum(1) / above.sum(1) / true.sum()
    return 100 * N / len(classes) * found if len(classes) else np.full(N, np.nan)
