"""Deformable part models (Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 2010).

An object is a root filter and parts of twice its resolution, each with a place where it is expected. With the
features H of a pyramid of scales, the score of a placement p_0 .. p_n is

    score = sum_{i=0..n} F_i . phi(H, p_i) - sum_{i=1..n} d_i . (dx_i, dy_i, dx_i^2, dy_i^2) + b
    (dx_i, dy_i) = (x_i, y_i) - (2 (x_0, y_0) + v_i),    part i is an octave finer than the root

and the score of a root is that of its best placement. Parts do not depend on each other, so

    score(x_0, y_0, l_0) = R_0(x_0, y_0) + sum_i D_i(2 (x_0, y_0) + v_i) + b

where D_i is the distance transform of the response R_i. A mixture takes the best of its components.

voc-release5 adds a prior of the octave in which the root is (`prior`), multiplies b by 10, and lets a part be
at most 4 cells from its anchor (`reach`). Its models are read by `read_release`.

Letters: H W a map's size in cells, h w a filter's, P parts, L levels of the pyramid.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from torch import Tensor
from torch.nn import functional as F

from companion.ops.distance_transform import Spread, spread
from companion.ops.hog import hog

CHANNELS = 32
REACH = 4  # of the parts of voc-release5
BIAS = 10  # what voc-release5 multiplies b by
MIRRORED = torch.tensor(  # where the channels go when a picture is mirrored
    [(9 - o) % 18 for o in range(18)] + [18 + (9 - o) % 9 for o in range(9)] + [29, 30, 27, 28, 31]
)


class Component(NamedTuple):
    """A root and its parts."""

    root: Float[Tensor, "32 h w"]
    parts: Float[Tensor, "P 32 p q"]
    anchors: Int[Tensor, "P 2"]  # v_i: x and y, in cells of the parts
    deformation: Float[Tensor, "P 4"]  # of dx^2, dx, dy^2, dy
    bias: float
    prior: Float[Tensor, "3"]  # of a root in the first octave of the pyramid, in the second, in others
    boxes: Float[Tensor, "4 n"] | None = None  # see `predicted`


class DPM(NamedTuple):
    """A mixture."""

    components: tuple[Component, ...]
    name: str
    threshold: float
    cell: int = 8
    interval: int = 10  # levels an octave


class Pyramid(NamedTuple):
    """Features of an image at all scales, each with a margin of `pad` cells whose border channel is 1.

    The cell (x, y) of a level covers the pixels from cell (x - pad) / scale on.
    """

    levels: list[Float[Tensor, "32 H W"]]
    scales: list[
        float
    ]  # of the picture at each level, times 2 in the first octave, whose cells are half as wide
    pad: int
    cell: int
    interval: int
    size: tuple[int, int]  # height and width of the image


class Scores(NamedTuple):
    """Of one component at one level of the pyramid, for each place of the root."""

    total: Float[Tensor, "H W"]
    root: Float[Tensor, "H W"]
    responses: Float[Tensor, "P Hp Wp"]  # R_i
    spread: Spread  # D_i


class Detection(NamedTuple):
    """A placement; places are cells of the padded level, x and y."""

    score: float
    component: int
    level: int
    root: tuple[int, int]
    parts: Int[Tensor, "P 2"]
    box: Float[Tensor, "4"]  # of the root, in pixels
    part_boxes: Float[Tensor, "P 4"]


def pyramid(image: UInt8[Tensor, "C H W"] | Float[Tensor, "C H W"], model: DPM) -> Pyramid:
    """The features of an image, from 0 to 255, at the scales of a model.

    Raises:
        ValueError: an image that has other than one or three colours, is smaller than the model's smallest
            root, or holds other than numbers from 0 to 255.
    """
    if image.shape[0] not in (1, 3):
        raise ValueError(f"an image of {image.shape[0]} channels; give it one (grey) or three (RGB)")
    picture = image[None].float()
    if not (picture.isfinite().all() and 0 <= picture.min() and picture.max() <= 255):
        raise ValueError("an image's values must be numbers from 0 to 255; scale those of 16 bits")
    k, octave = model.cell, model.interval
    H, W = image.shape[1:]
    last = 1 + math.floor(math.log2(min(H, W) / (5 * k)) * octave) if min(H, W) >= 5 * k else 0
    roots = [component.root.shape[1:] for component in model.components]
    if last < 1 or not any(h * k <= H + 2 * k and w * k <= W + 2 * k for h, w in roots):
        raise ValueError(
            f"an image of {W} x {H} pixels is smaller than the roots of {model.name}; enlarge it"
        )
    pad = max(max(root) for root in roots)
    levels: dict[int, Tensor] = {}
    scales: dict[int, float] = {}
    for i in range(octave):  # all of the first octave: roots of level n have their parts at n - octave
        scale = 2 ** (-i / octave)
        scaled = resized(picture, scale)
        levels[i], scales[i] = hog(scaled, k // 2)[0], 2 * scale
        for level in range(i + octave, last + octave, octave):
            levels[level], scales[level] = hog(scaled, k)[0], scale
            scaled, scale = resized(scaled, 0.5), scale / 2
    order = sorted(levels)
    return Pyramid(
        [padded(levels[n], pad) for n in order], [scales[n] for n in order], pad, k, octave, (H, W)
    )


def resized(picture: Float[Tensor, "1 C H W"], scale: float) -> Float[Tensor, "1 C h w"]:
    """The picture at another scale."""
    if scale == 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.shape[2:]]
    return F.interpolate(picture, size, mode="bilinear", antialias=True, align_corners=False)


def padded(features: Float[Tensor, "32 H W"], pad: int) -> Float[Tensor, "32 Hp Wp"]:
    """With a margin, and the border of one cell that features lose, marked in the last channel."""
    n = pad + 1
    out = F.pad(features, (n, n, n, n))
    out[-1] = 1
    out[-1, n:-n, n:-n] = 0
    return out


def scores(model: DPM, features: Pyramid, reach: int | None = REACH) -> dict[tuple[int, int], Scores]:
    """The scores of all roots: (component, level) -> maps.

    Args:
        reach: how far a part may be from its anchor, in cells; None: anywhere; 0: the model is rigid.
    """
    found = {}
    filters = torch.cat([component.parts for component in model.components])
    weights = torch.cat([component.deformation for component in model.components])
    for level in range(model.interval, len(features.levels)):
        fine, coarse = features.levels[level - model.interval], features.levels[level]
        responses = F.conv2d(fine[None], filters)[0]
        moved = spread(responses, weights, reach)
        first = 0
        for c, component in enumerate(model.components):
            mine = slice(first, first + len(component.parts))
            first = mine.stop
            if any(f > m for f, m in zip(component.root.shape[1:], coarse.shape[1:], strict=True)):
                continue
            root = F.conv2d(coarse[None], component.root[None])[0, 0]
            own = Spread(moved.scores[mine], moved.places[mine])
            prior = float(component.prior[min(level // model.interval, 2)])
            total = root + component.bias + prior
            for part, at in zip(own.scores, component.anchors.tolist(), strict=True):
                total = total + sampled(part, at, features.pad, total.shape)
            found[c, level] = Scores(total, root, responses[mine], own)
    return found


def sampled(
    part: Float[Tensor, "Hp Wp"], anchor: Sequence[int], pad: int, size: Sequence[int]
) -> Float[Tensor, "H W"]:
    """What a part adds to each root: D at 2 (x_0, y_0) + v; no score where that is outside."""
    axes = [2 * torch.arange(n) + shift - pad for n, shift in zip(size, reversed(list(anchor)), strict=True)]
    inside = [(axis >= 0) & (axis < n) for axis, n in zip(axes, part.shape, strict=True)]
    rows, columns = (axis.clamp(0, n - 1) for axis, n in zip(axes, part.shape, strict=True))
    return part[rows][:, columns].where(inside[0][:, None] & inside[1], -torch.inf)


def placed(
    model: DPM, features: Pyramid, found: dict[tuple[int, int], Scores], threshold: float | None = None
) -> list[Detection]:
    """The placements whose score is above a threshold (default the model's), the best first."""
    threshold = model.threshold if threshold is None else threshold
    detections = []
    for (c, level), maps in found.items():
        component = model.components[c]
        for y, x in (maps.total > threshold).nonzero().tolist():
            anchors = 2 * torch.tensor([x, y]) + component.anchors - features.pad
            n = torch.arange(len(anchors))
            place = maps.spread.places[n, anchors[:, 1], anchors[:, 0]].long()
            W = maps.spread.places.shape[-1]
            parts = torch.stack([place % W, place // W], 1)
            box = window(features, level, torch.tensor([[x, y]]), component.root.shape[1:])[0]
            part_boxes = window(features, level - model.interval, parts, component.parts.shape[2:])
            score = float(maps.total[y, x])
            detections.append(Detection(score, c, level, (x, y), parts, box, part_boxes))
    return sorted(detections, key=lambda detection: -detection.score)


def window(
    features: Pyramid, level: int, places: Int[Tensor, "n 2"], size: Sequence[int]
) -> Float[Tensor, "n 4"]:
    """Boxes x0 y0 x1 y1 in pixels of filters h w at these cells of a level."""
    width = features.cell / features.scales[level]
    corner = (places - features.pad) * width
    return torch.cat([corner, corner + width * torch.tensor([size[1], size[0]])], 1)


def predicted(component: Component, detection: Detection) -> Float[Tensor, "4"]:
    """The object's box, from where the filters are: a linear regression of voc-release5.

    Inputs are the centres of all filters relative to the root's window, in its widths and heights, and 1;
    outputs are what x0 y0 x1 y1 are to move, likewise. Without a regression, the root's window.
    """
    if component.boxes is None:
        return detection.box
    boxes = torch.cat([detection.box[None], detection.part_boxes])
    size = detection.box[2:] - detection.box[:2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    given = torch.cat([((centres - centres[0]) / size).flatten(), torch.ones(1)])
    return detection.box + (component.boxes @ given) * size.repeat(2)


def suppressed(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], overlap: float = 0.5, rule: str = "release"
) -> list[int]:
    """Which boxes are left when each, the best first, drops those that overlap it; in that order.

    Args:
        overlap: a box is dropped if it overlaps a better one by more.
        rule: release: intersection / area of the worse box (voc-release5); iou: intersection / union.

    Raises:
        ValueError: an unknown rule.
    """
    if rule not in ("release", "iou"):
        raise ValueError(f"unknown rule {rule!r}; choose release or iou")
    left, kept = scores.argsort(descending=True, stable=True), []
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        low, high = (
            torch.maximum(boxes[left, :2], boxes[best, :2]),
            torch.minimum(boxes[left, 2:], boxes[best, 2:]),
        )
        shared = (high - low).clamp_min(0).prod(1)
        whole = area[left] if rule == "release" else area[left] + area[best] - shared
        left = left[shared <= overlap * whole]
    return kept


def detect(
    model: DPM,
    image: UInt8[Tensor, "C H W"] | Float[Tensor, "C H W"],
    threshold: float | None = None,
    reach: int | None = REACH,
) -> list[Detection]:
    """What a model finds in an image after suppression, the best first; boxes are the predicted ones."""
    features = pyramid(image, model)
    found = [
        detection._replace(box=predicted(model.components[detection.component], detection))
        for detection in placed(model, features, scores(model, features, reach), threshold)
    ]
    if not found:
        return []
    boxes = torch.stack([detection.box for detection in found])
    H, W = features.size
    boxes = boxes.clamp_min(0).minimum(torch.tensor([W, H, W, H]))
    kept = suppressed(boxes, torch.tensor([detection.score for detection in found]))
    return [found[n]._replace(box=boxes[n]) for n in kept]


def mirrored(filters: Float[Tensor, "*n 32 h w"]) -> Float[Tensor, "*n 32 h w"]:
    """The filters that see in a mirrored picture what these see in the picture."""
    return filters.flip(-1)[..., MIRRORED, :, :]


def read_release(path: str | Path) -> DPM:
    """A star model of voc-release5, without executing anything.

    Its deformations count d from the part to the anchor; here it is from the anchor to the part.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such model, or a grammar model, or a weight is not a number.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        model = loadmat(path, struct_as_record=False, squeeze_me=True)["model"]
        kind = str(model.type)
    except (
        KeyError,
        AttributeError,
        ValueError,
        TypeError,
        MatReadError,
        NotImplementedError,
        OSError,
    ) as error:
        raise ValueError(f"{path} holds no model of voc-release5 ({type(error).__name__})") from None
    if kind != "M":
        raise ValueError(
            f"{path} is a grammar model (type {kind!r}); only star models, of type 'M', are read"
        )
    try:
        components = tuple(read_component(model, n) for n in range(len(np.atleast_1d(model.rules[0]))))
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a whole model of voc-release5 ({error})") from None
    numbers = [value for component in components for value in component if isinstance(value, Tensor)]
    if not all(value.isfinite().all() for value in numbers):
        raise ValueError(f"{path} holds a weight that is NaN or infinite; get the file again")
    return DPM(
        components, str(getattr(model, "class")), float(model.thresh), int(model.sbin), int(model.interval)
    )


def read_component(model: object, number: int) -> Component:
    """One structure rule: its symbols are deformation rules, whose symbols are filters."""

    def block(label: float) -> Tensor:
        it = model.blocks[int(label) - 1]
        values = np.asarray(it.w, np.float32)
        return torch.from_numpy(values.reshape(np.atleast_1d(it.shape).astype(int), order="F").copy())

    def filtered(symbol: int) -> tuple[Tensor, Tensor]:
        rule = np.atleast_1d(model.rules[symbol - 1])[0]
        its = model.filters[int(model.symbols[int(rule.rhs) - 1].filter) - 1]
        weights = block(its.blocklabel).permute(2, 0, 1)
        bend = getattr(rule, "def")
        deformation = block(bend.blocklabel).flatten() * torch.tensor([1.0, 1 if bend.flip else -1, 1.0, -1])
        return mirrored(weights) if its.flip else weights, deformation

    rule = np.atleast_1d(model.rules[0])[number]
    (root, _), *parts = (filtered(int(symbol)) for symbol in rule.rhs)
    regression = np.atleast_1d(model.bboxpred)[number]
    return Component(
        root.contiguous(),
        torch.stack([weights for weights, _ in parts]),
        torch.from_numpy(np.stack([anchor[:2] for anchor in rule.anchor[1:]]).astype(np.int64)),
        torch.stack([deformation for _, deformation in parts]),
        BIAS * float(block(rule.offset.blocklabel)),
        block(rule.loc.blocklabel).flatten(),
        torch.from_numpy(np.stack([getattr(regression, side) for side in ("x1", "y1", "x2", "y2")])).float(),
    )
