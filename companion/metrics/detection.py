"""How well objects and their parts are found.

A detection has `score`, `box` 4 and `part_boxes` K 4; each image has a list of them, the best first.

Letters: N images, P true parts, K parts of a model, n objects that were found.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import average_precision_score
from torch import Tensor
from torchvision.ops import box_iou


def hits(
    found: Sequence[Sequence[tuple]], boxes: Float[Tensor, "N 4"], overlap: float = 0.5
) -> list[list[bool]]:
    """Which detections are right: an object is found once, by the best that covers it (Pascal VOC).

    Args:
        boxes: of the one object in each image; NaN where there is none.
        overlap: the least intersection over union.
    """
    right = []
    for own, box in zip(found, boxes, strict=True):
        covers = box_iou(torch.stack([it.box for it in own]), box[None])[:, 0] >= overlap if own else []
        first = next((n for n, over in enumerate(covers) if over), None)
        right.append([n == first for n in range(len(own))])
    return right


def average_precision(
    found: Sequence[Sequence[tuple]], boxes: Float[Tensor, "N 4"], overlap: float = 0.5
) -> float:
    """The area under precision over recall of all images together, in percent; see `hits`."""
    return area(found, hits(found, boxes, overlap), int(boxes.isfinite().all(1).sum()))


def area(found: Sequence[Sequence[tuple]], right: Sequence[Sequence[bool]], objects: int) -> float:
    """The same, of detections known to be right or wrong."""
    flat = [hit for own in right for hit in own]
    if not any(flat):
        return 0.0
    scores = [it.score for own in found for it in own]
    return 100 * float(average_precision_score(flat, scores)) * sum(flat) / objects


def average_precision_by_image(
    found: Sequence[Sequence[tuple]], boxes: Float[Tensor, "N 4"]
) -> Float[np.ndarray, " N"]:
    """A value an image whose mean is near the average precision: N AP - (N - 1) AP without this image.

    An average precision is no mean over images; these pseudo-values of the jackknife (Tukey 1958) stand for
    one where images are resampled.
    """
    N, right, present = len(found), hits(found, boxes), boxes.isfinite().all(1).tolist()
    without = []
    for n in range(N):
        others = [*found[:n], *found[n + 1 :]], [*right[:n], *right[n + 1 :]]
        without.append(area(*others, sum(present) - present[n]))
    return N * area(found, right, sum(present)) - (N - 1) * np.array(without)


class Placed(NamedTuple):
    """Where a model has put its parts on the objects that it found, and where theirs are, in pixels."""

    parts: Float[Tensor, "n K 2"]
    true: Float[Tensor, "n P 2"]
    width: Float[Tensor, " n"]  # of the detections


def placed(
    found: Sequence[Sequence[tuple]], boxes: Float[Tensor, "N 4"], parts: Float[Tensor, "N P 2"]
) -> Placed:
    """Of the detections that are right."""
    rows = [
        (it, true)
        for own, right, true in zip(found, hits(found, boxes), parts, strict=True)
        for it, hit in zip(own, right, strict=True)
        if hit
    ]
    if not rows:
        return Placed(torch.zeros(0, 0, 2), torch.zeros(0, parts.shape[1], 2), torch.zeros(0))
    windows = torch.stack([it.part_boxes for it, _ in rows])
    centres = (windows[..., :2] + windows[..., 2:]) / 2
    return Placed(
        centres, torch.stack([t for _, t in rows]), torch.stack([d.box[2] - d.box[0] for d, _ in rows])
    )


def part_errors(trained: Placed, tested: Placed) -> Float[Tensor, "n P"]:
    """How far parts are from the true ones, in pixels.

    A model chooses its parts itself. On training objects it is found which of them stays nearest to which
    true part, and how far beside it in the mean, in widths of the box; that much is no error.

    Raises:
        ValueError: the model has fewer parts than the objects, or found no training object.
    """
    if not len(trained.width) or trained.parts.shape[1] < trained.true.shape[1]:
        raise ValueError("true parts need a model of at least as many parts that finds training objects")
    beside = trained.parts[:, :, None] - trained.true[:, None]  # n K P 2
    beside = beside / trained.width[:, None, None, None]
    spread = (beside - beside.mean(0)).square().sum(-1).mean(0)
    true, own = linear_sum_assignment(spread.T.numpy())
    shift = beside.mean(0)[own, true] * tested.width[:, None, None]
    return (tested.parts[:, own] - tested.true[:, true] - shift).norm(dim=-1)


def scores(
    found: Sequence[Sequence[tuple]],
    boxes: Float[Tensor, "N 4"],
    parts: Float[Tensor, "N P 2"],
    trained: Placed,
) -> dict[str, float]:
    """What a record holds: `average_precision` and `recall` in percent; `part_error`, the mean in pixels.

    Raises:
        ValueError: no image has an object.
    """
    objects = int(boxes.isfinite().all(1).sum())
    if not objects:
        raise ValueError("none of the images has an object; there is nothing to find")
    tested = placed(found, boxes, parts)
    done = {
        "average_precision": average_precision(found, boxes),
        "recall": 100 * len(tested.width) / objects,
    }
    if len(tested.width) and tested.parts.shape[1] >= parts.shape[1]:
        done["part_error"] = float(part_errors(trained, tested).mean())
    return {name: round(value, 4) for name, value in done.items()} | {"n_test": len(boxes)}
