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

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from jaxtyping import Bool, Float, Int, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from companion.files import DamagedFile, write_whole
from companion.formats import voc_release5
from companion.ops.distance_transform import Spread, spreads
from companion.ops.hog import hog

CHANNELS = 32
REACH = 4  # of the parts of voc-release5
FAR = 1000  # cells; anchors are nearer
OPTIONS = (  # of a model in a file: their kinds, and what they may be
    ("name", str, 0, 0),
    ("threshold", float, -1e9, 1e9),
    ("cell", int, 2, 64),
    ("interval", int, 1, 100),
    ("extra", bool, False, True),
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
    extra: bool = False  # one octave more, of roots half as wide (voc-release5's extra_octave)


class Pyramid(NamedTuple):
    """Features of an image at all scales, each with a margin of `pad` cells whose border channel is 1.

    The margin is the longest side of a root. The cell (x, y) of a level covers the pixels from
    cell (x - pad) / scale on.
    """

    levels: list[Float[Tensor, "32 H W"]]
    scales: list[float]  # of the picture at each level, times 2 where the cells are half as wide
    pad: int
    cell: int
    interval: int
    extra: bool
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
    box: Float[Tensor, "4"]  # of the root, in pixels; of the object, inside the image, from `detect`
    part_boxes: Float[Tensor, "P 4"]


def pyramid(image: UInt8[Tensor, "C H W"] | Float[Tensor, "C H W"], *models: DPM) -> Pyramid:
    """The features of an image, from 0 to 255, at the scales of models, which all have the same.

    Raises:
        ValueError: an image that has other than one or three colours, is smaller than the models' smallest
            root, or holds other than numbers from 0 to 255; models of different cells or levels.
    """
    if len({(model.cell, model.interval, model.extra) for model in models}) != 1:
        raise ValueError("models share a pyramid if their cells, levels an octave and octaves are the same")
    if image.shape[0] not in (1, 3):
        raise ValueError(f"an image of {image.shape[0]} channels; give it one (grey) or three (RGB)")
    k, octave, extra = models[0].cell, models[0].interval, models[0].extra
    H, W = image.shape[1:]
    last = 1 + math.floor(math.log2(min(H, W) / (5 * k)) * octave) if min(H, W) >= 5 * k else 0
    roots = [component.root.shape[1:] for model in models for component in model.components]
    least = k // 2 if extra else k
    if last < 1 or not any(h * least <= H + 2 * k and w * least <= W + 2 * k for h, w in roots):
        names = ", ".join(model.name for model in models)
        raise ValueError(f"an image of {W} x {H} pixels is smaller than the roots of {names}; enlarge it")
    picture = image[None].float()
    if not (picture.isfinite().all() and 0 <= picture.min() and picture.max() <= 255):
        raise ValueError("an image's values must be numbers from 0 to 255; scale those of 16 bits")
    pad = max(max(root) for root in roots)
    levels: dict[int, Tensor] = {}
    scales: dict[int, float] = {}
    for i in range(octave):  # all of the first octave: roots of level n have their parts at n - octave
        scale = 2 ** (-i / octave)
        scaled = resized(picture, scale)
        levels[i], scales[i] = hog(scaled, k // 2)[0], 2 * scale
        if extra:
            levels[i - octave], scales[i - octave] = hog(scaled, k // 4)[0], 4 * scale
        for level in range(i + octave, last + octave, octave):
            levels[level], scales[level] = hog(scaled, k)[0], scale
            scaled, scale = resized(scaled, 0.5), scale / 2
    order = sorted(levels)
    maps = [padded(levels[n], pad) for n in order]
    return Pyramid(maps, [scales[n] for n in order], pad, k, octave, extra, (H, W))


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

    Raises:
        ValueError: the pyramid was not made for this model, or a weight or `reach` is wrong, see `spread`.
    """
    if (model.cell, model.interval, model.extra) != (features.cell, features.interval, features.extra):
        raise ValueError(f"the pyramid has other cells or levels than {model.name}; make it with this model")
    found = {}
    filters = torch.cat([component.parts for component in model.components])
    weights = torch.cat([component.deformation for component in model.components])
    sizes = [component.root.shape[1:] for component in model.components]
    h, w = (max(side) for side in zip(*sizes, strict=True))
    roots = torch.stack(
        [F.pad(c.root, (0, w - c.root.shape[2], 0, h - c.root.shape[1])) for c in model.components]
    )
    seen_by_parts = [
        F.conv2d(fine[None], filters)[0] if len(filters) else fine.new_zeros(0, 1, 1)
        for fine in features.levels[: -model.interval]
    ]
    moves = spreads(seen_by_parts, weights, reach)
    for level, (responses, moved) in enumerate(zip(seen_by_parts, moves, strict=True), model.interval):
        coarse = features.levels[level]
        seen = F.conv2d(F.pad(coarse, (0, w - 1, 0, h - 1))[None], roots)[0]
        first = 0
        for c, component in enumerate(model.components):
            mine = slice(first, first + len(component.parts))
            first = mine.stop
            H, W = (side - own + 1 for side, own in zip(coarse.shape[1:], sizes[c], strict=True))
            if min(H, W) < 1:
                continue
            root, own = seen[c, :H, :W], Spread(moved.scores[mine], moved.places[mine])
            base = root + component.bias + float(component.prior[min(level // model.interval, 2)])
            total = added(base, own.scores, component.anchors, features.pad)
            found[c, level] = Scores(total, root, responses[mine], own)
    return found


def added(
    roots: Float[Tensor, "H W"], parts: Float[Tensor, "P Hp Wp"], anchors: Int[Tensor, "P 2"], pad: int
) -> Float[Tensor, "H W"]:
    """Roots and what parts add to each: D at 2 (x_0, y_0) + v; no score where that is outside."""
    shift, low, high = (anchors - pad).flip(1).tolist(), [0, 0], list(roots.shape)
    for part in shift:
        low = [max(first, -(v // 2)) for first, v in zip(low, part, strict=True)]
        high = [min(end, (n - 1 - v) // 2 + 1) for end, n, v in zip(high, parts.shape[1:], part, strict=True)]
    total = torch.full_like(roots, -torch.inf)
    if any(first >= end for first, end in zip(low, high, strict=True)):
        return total
    inside = total[low[0] : high[0], low[1] : high[1]]
    inside.copy_(roots[low[0] : high[0], low[1] : high[1]])
    for part, (y, x) in zip(parts, shift, strict=True):
        inside += part[2 * low[0] + y : 2 * high[0] + y - 1 : 2, 2 * low[1] + x : 2 * high[1] + x - 1 : 2]
    return total


def placed(
    model: DPM,
    features: Pyramid,
    found: dict[tuple[int, int], Scores],
    threshold: float | None = None,
    most: int | None = None,
    near: Callable[[Float[Tensor, "n 4"]], Bool[Tensor, " n"]] | None = None,
) -> list[Detection]:
    """The placements whose score is above a threshold (default the model's), the best first.

    Args:
        most: how many at most.
        near: says of the roots' boxes which may be taken.
    """
    threshold = model.threshold if threshold is None else threshold
    rows = []  # score, component, level, x, y
    for (c, level), maps in found.items():
        y, x = (maps.total > threshold).nonzero().T
        if near is not None:
            size = model.components[c].root.shape[1:]
            kept = near(window(features, level, torch.stack([x, y], 1), size))
            y, x = y[kept], x[kept]
        where = torch.stack([torch.full_like(x, c), torch.full_like(x, level), x, y])
        rows.append(torch.cat([maps.total[y, x].double()[None], where]).T)
    rows = torch.cat(rows)
    rows = rows[rows[:, 0].argsort(descending=True, stable=True)][:most]
    detections = {}
    for c, level in rows[:, 1:3].long().unique(dim=0).tolist():
        mine = ((rows[:, 1] == c) & (rows[:, 2] == level)).nonzero().flatten()
        component, maps, roots = model.components[c], found[c, level], rows[mine, 3:].long()
        anchors = 2 * roots[:, None] + component.anchors - features.pad  # n P 2
        places = maps.spread.places[torch.arange(anchors.shape[1]), anchors[..., 1], anchors[..., 0]].long()
        parts = torch.stack(
            [places % maps.spread.places.shape[-1], places // maps.spread.places.shape[-1]], -1
        )
        boxes = window(features, level, roots, component.root.shape[1:])
        part_boxes = window(features, level - model.interval, parts.flatten(0, 1), component.parts.shape[2:])
        part_boxes = part_boxes.view(*parts.shape[:2], 4)
        for n, score, root, *rest in zip(
            mine.tolist(), rows[mine, 0].tolist(), roots.tolist(), parts, boxes, part_boxes, strict=True
        ):
            detections[n] = Detection(score, c, level, tuple(root), *rest)
    return [detections[n] for n in range(len(rows))]


def multiply_adds(model: DPM, found: dict[tuple[int, int], Scores]) -> int:
    """What the filters take for all places of an image."""
    return sum(
        maps.root.numel() * model.components[c].root.numel()
        + maps.responses[:1].numel() * model.components[c].parts.numel()
        for (c, _), maps in found.items()
    )


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
    given, size = relative(detection)
    return detection.box + (component.boxes @ given) * size.repeat(2)


def relative(detection: Detection) -> tuple[Float[Tensor, " D"], Float[Tensor, "2"]]:
    """The centres of all filters relative to the root's window, and 1; the window's width and height."""
    boxes = torch.cat([detection.box[None], detection.part_boxes])
    size = detection.box[2:] - detection.box[:2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return torch.cat([((centres - centres[0]) / size).flatten(), torch.ones(1)]), size


def nms(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], overlap: float = 0.5, rule: str = "release"
) -> list[int]:
    """Non-maximum suppression: which boxes are left, the best first, when each drops those that overlap it.

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
    image: UInt8[Tensor, "C H W"] | Float[Tensor, "C H W"] | Pyramid,
    threshold: float | None = None,
    reach: int | None = REACH,
) -> list[Detection]:
    """What a model finds in an image after `nms`, the best first; boxes are the predicted ones.

    Models of several classes may share the pyramid of an image.
    """
    features = image if isinstance(image, Pyramid) else pyramid(image, model)
    found = [
        detection._replace(box=predicted(model.components[detection.component], detection))
        for detection in placed(model, features, scores(model, features, reach), threshold)
    ]
    H, W = features.size
    found = [it._replace(box=it.box.clamp_min(0).minimum(torch.tensor([W, H, W, H]))) for it in found]
    found = [it for it in found if (it.box[2:] > it.box[:2]).all()]
    boxes = torch.stack([it.box for it in found]) if found else torch.zeros(0, 4)
    return [found[n] for n in nms(boxes, torch.tensor([it.score for it in found]))]


def save(path: str | Path, model: DPM) -> None:
    """One safetensors file, written whole."""
    write_whole(path, serialized(model))


def serialized(model: DPM) -> bytes:
    """What `save` writes; the same bytes for the same model."""
    tensors = {
        f"{n}.{name}": torch.as_tensor(value)
        for n, component in enumerate(model.components)
        for name, value in component._asdict().items()
        if value is not None
    }
    tensors = {name: value.contiguous() for name, value in tensors.items()}
    return safetensors.torch.save(tensors, {"model": json.dumps(model._replace(components=())._asdict())})


def load(path: str | Path) -> DPM:
    """A model that `save` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such model, or a weight is not a number.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with safe_open(path, "pt") as file:
            options = json.loads(file.metadata()["model"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        parts: dict[int, dict] = {}
        for name, value in tensors.items():
            n, field = name.split(".")
            parts.setdefault(int(n), {})[field] = value.item() if field == "bias" else value
        components = tuple(Component(**parts[n]) for n in sorted(parts))
        model = DPM(**options | {"components": components})
    except (SafetensorError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise DamagedFile(f"{path} is not a whole part model ({error}); train it anew") from None
    return checked(path, model)


def checked(path: Path, model: DPM) -> DPM:
    """The model, unless its options or weights are none, do not fit each other, or one is not a number."""
    for name, kind, low, high in OPTIONS:
        value = getattr(model, name)
        if type(value) is not kind or (kind is not str and not low <= value <= high):
            raise DamagedFile(f"{path}: {name} is {value!r}; get the file again")
    if not model.components:
        raise DamagedFile(f"{path} has no component; get the file again")
    for n, (root, parts, anchors, deformation, _, prior, boxes) in enumerate(model.components):
        wanted = [(CHANNELS, *root.shape[1:]), (len(parts), CHANNELS, *model.components[0].parts.shape[2:])]
        wanted += [(len(parts), 2), (len(parts), 4), (3,), (4, 2 * len(parts) + 3)]
        given = [tuple(x.shape) for x in (root, parts, anchors, deformation, prior, boxes) if x is not None]
        if root.ndim != 3 or given != wanted[: len(given)] or not root.numel() or 0 in parts.shape[1:]:
            raise DamagedFile(f"{path}: weights of {given} in component {n} do not fit; get the file again")
        if anchors.dtype != torch.int64 or (anchors.abs() > FAR).any():
            raise DamagedFile(f"{path}: anchors of component {n} are none; get the file again")
        reals = [value for value in (root, parts, deformation, prior, boxes) if value is not None]
        if any(value.dtype != torch.float32 for value in reals):
            raise DamagedFile(f"{path}: a weight of component {n} is not of 32 bits; get the file again")
    numbers = [value for component in model.components for value in component if value is not None]
    if not all(torch.as_tensor(value).isfinite().all() for value in numbers):
        raise DamagedFile(f"{path} holds a weight that is NaN or infinite; get the file again")
    return model


def read_release(path: str | Path) -> DPM:
    """A star model of voc-release5.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such model, or a grammar model, or a weight is not a number.
    """
    model = voc_release5.read(path)
    components = tuple(Component(**component) for component in model["components"])
    return checked(Path(path), DPM(**model | {"components": components}))
