"""Training of part models: a latent SVM (Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 2010).

With the best placement z of each image x, beta . Phi(x, z) is the score of `companion.models.dpm`, and

    min_beta  1/2 |beta|^2 + C sum_i max(0, 1 - y_i max_z beta . Phi(x_i, z))^2

(the paper does not square, but this is smooth) is not convex, but it is once the placements of the positives
are chosen. So in turns: each object gets its best placement near its box; placements in images without one
that come inside the margin are gathered in a cache, and beta is optimised, until no such placement is new.
The root learns first, then parts are cut from it.

Letters: N images, n examples, D weights, P parts.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from companion.formats.voc_release5 import BIAS
from companion.models import dpm
from companion.models.dpm import CHANNELS, DPM, REACH, Component, Detection, Pyramid
from companion.ops.hog import hog

LEAST = 1e-3  # of the weights of dx^2 and dy^2, so that the cost stays convex (voc-release5)
MOST = 20  # new placements of one image that enter the cache at once
BENT = 1e-2  # what they begin with (voc-release5)


def train(
    images: UInt8[Tensor, "N 3 H W"],
    boxes: Float[Tensor, "N 4"],
    name: str = "object",
    parts: int = 4,
    size: int = 4,
    reach: int | None = REACH,
    cell: int = 8,
    interval: int = 5,
    area: float = 1600.0,
    overlap: float = 0.6,
    c: float = 3e-3,
    rounds: Sequence[int] = (1, 3),
    mining: int = 3,
    seed: int = 0,
) -> DPM:
    """A model of one component.

    Args:
        boxes: of the one object in each image; NaN where there is none.
        parts, size: how many parts, and their sides in cells, which are half as wide as the root's.
        reach: how far parts may be from their anchors, see `dpm.scores`.
        area: of the root at most, in pixels, so that parts see what it cannot.
        overlap: the least intersection over union of an object's box and the root of its placement.
        c: C.
        mining: how often at most negatives are sought in a round.
        rounds: how often the placements of the objects are chosen anew: by the root alone, and with parts.

    Raises:
        ValueError: there is no object, no image without one, no root that covers an object, or the images are
            smaller than the root.
    """
    present = boxes.isfinite().all(1)
    if present.all() or not present.any():
        raise ValueError("training needs images with an object and images without")
    torch.manual_seed(seed)
    model = first(images, boxes, present, name, cell, interval, area, c)
    features = [dpm.pyramid(image, model) for image in images]
    objects = [(features[n], boxes[n]) for n in present.nonzero().flatten().tolist()]
    others = [features[n] for n in (~present).nonzero().flatten().tolist()]
    for step, times in enumerate(rounds):
        if step:
            (root,) = model.components
            model = model._replace(components=(with_parts(root, parts, size),))
        cache: dict[tuple, Tensor] = {}
        for _ in range(times):
            placements, _ = covering(model, objects, reach, overlap)
            positives = [phi(model, features, it) for features, it in placements]
            model = improved(model, torch.stack(positives), others, cache, reach, c, mining)
    (component,) = model.components
    placements, boxes = covering(model, objects, reach, overlap)
    boxes = regression([it for _, it in placements], boxes)
    return model._replace(components=(component._replace(boxes=boxes),))


def first(
    images: UInt8[Tensor, "N 3 H W"],
    boxes: Float[Tensor, "N 4"],
    present: Tensor,
    name: str,
    cell: int,
    interval: int,
    area: float,
    c: float,
) -> DPM:
    """A root that was trained on objects warped to its size, and on windows from images without objects."""
    sides = boxes[present, 2:] - boxes[present, :2]
    size = sides.quantile(0.2, 0)
    size = size * min(1.0, (area / float(size.prod())) ** 0.5)
    w, h = (max(3, round(side / cell)) for side in size.tolist())
    size = cell * (h + 2), cell * (w + 2)  # features lose a border of one cell
    H, W = images.shape[2:]
    if size[0] > H or size[1] > W:
        raise ValueError(
            f"a root of {w} x {h} cells does not fit into images of {W} x {H}; enlarge them, or lower `area`"
        )
    margin = sides / torch.tensor([w, h])
    around = torch.cat([boxes[present, :2] - margin, boxes[present, 2:] + margin], 1)
    windows = [crop(image, box, size) for image, box in zip(images[present], around, strict=True)]
    for image in images[~present].repeat_interleave(5, 0):
        y, x = (int(torch.randint(side - length + 1, ())) for side, length in zip((H, W), size, strict=True))
        windows.append(image[:, y : y + size[0], x : x + size[1]].float())
    values = hog(torch.stack(windows), cell)
    root = torch.zeros(CHANNELS, h, w)
    component = Component(
        root,
        torch.zeros(0, CHANNELS, 1, 1),
        torch.zeros(0, 2, dtype=torch.long),
        torch.zeros(0, 4),
        0.0,
        torch.zeros(3),
    )
    model = DPM((component,), name, -1.0, cell, interval)
    values = torch.cat([values.flatten(1), torch.full((len(values), 1), float(BIAS))], 1)
    return solved(model, values[: int(present.sum())], values[int(present.sum()) :], c)


def crop(
    image: UInt8[Tensor, "3 H W"], box: Float[Tensor, "4"], size: tuple[int, int]
) -> Float[Tensor, "3 h w"]:
    """A box of an image at a size; outside, the border is repeated."""
    (x0, y0, x1, y1), (h, w), (H, W) = box.tolist(), size, image.shape[1:]
    x = (x0 + (torch.arange(w) + 0.5) * (x1 - x0) / w) * 2 / W - 1
    y = (y0 + (torch.arange(h) + 0.5) * (y1 - y0) / h) * 2 / H - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    return F.grid_sample(image[None].float(), grid, padding_mode="border", align_corners=False)[0]


def with_parts(root: Component, parts: int, size: int) -> Component:
    """Parts where the root, at twice its resolution, has the most positive weight, one after the other."""
    fine = F.interpolate(root.root[None], scale_factor=2, mode="bicubic", align_corners=False)[0]
    energy = fine.clamp_min(0).square().sum(0)
    anchors, filters = [], []
    for _ in range(parts):
        sums = F.avg_pool2d(energy[None], size, 1)[0]
        y, x = divmod(int(sums.argmax()), sums.shape[1])
        anchors.append([x, y])
        filters.append(fine[:, y : y + size, x : x + size])
        energy[y : y + size, x : x + size] = 0
    deformation = torch.tensor([BENT, 0, BENT, 0]).repeat(parts, 1)
    return root._replace(
        parts=torch.stack(filters) if parts else root.parts,
        anchors=torch.tensor(anchors, dtype=torch.long).view(parts, 2),
        deformation=deformation,
    )


def covering(
    model: DPM, objects: Sequence[tuple[Pyramid, Tensor]], reach: int | None, overlap: float
) -> tuple[list[tuple[Pyramid, Detection]], Float[Tensor, "n 4"]]:
    """The best placement of each object whose root covers it, and the objects' boxes."""
    placements, boxes = [], []
    for features, box in objects:
        near = lambda found, box=box: box_iou(found, box[None])[:, 0] >= overlap  # noqa: E731
        best = dpm.placed(model, features, dpm.scores(model, features, reach), -math.inf, 1, near)
        placements += [(features, it) for it in best]
        boxes += [box] * len(best)
    if not placements:
        raise ValueError(f"no root covers any object by {overlap}; ask for less, or enlarge the images")
    return placements, torch.stack(boxes)


def improved(
    model: DPM,
    positives: Float[Tensor, "n D"],
    others: Sequence[Pyramid],
    cache: dict[tuple, Tensor],
    reach: int | None,
    c: float,
    mining: int,
) -> DPM:
    """One turn: hard negatives and the optimum, until none is new.

    Args:
        positives: of the placements of the objects, what the weights are multiplied with.
        cache: of negatives, where each was found -> the same of it; changed in place.
        mining: see `train`.
    """
    for step in range(mining):
        new, known = {}, Counter(n for n, *_ in cache)
        for n, features in enumerate(others):
            found = dpm.placed(model, features, dpm.scores(model, features, reach), -1.0, known[n] + MOST)
            keys = {(n, it.level, it.root, *it.parts.flatten().tolist()): it for it in found}
            fresh = [key for key in keys if key not in cache][:MOST]
            new |= {key: phi(model, features, keys[key]) for key in fresh}
        if step and not new:
            break
        cache |= new
        negatives = torch.stack([*cache.values()]) if cache else positives[:0]
        model = solved(model, positives, negatives, c)
        easy = negatives @ weights(model.components[0]) < -1
        for key in [key for key, out in zip(cache, easy.tolist(), strict=True) if out]:
            del cache[key]
    return model


def phi(model: DPM, features: Pyramid, placement: Detection) -> Float[Tensor, " D"]:
    """What the weights of its component are multiplied with."""
    component = model.components[placement.component]
    fine, coarse = (features.levels[placement.level - d] for d in (model.interval, 0))
    (x, y), (h, w), (p, q) = placement.root, component.root.shape[1:], component.parts.shape[2:]
    seen = [fine[:, b : b + p, a : a + q].flatten() for a, b in placement.parts.tolist()]
    off = placement.parts - (2 * torch.tensor([x, y]) + component.anchors - features.pad)
    dx, dy = off.float().T
    cost = torch.stack([dx.square(), dx, dy.square(), dy], 1).flatten()
    return torch.cat([coarse[:, y : y + h, x : x + w].flatten(), *seen, -cost, torch.tensor([float(BIAS)])])


def weights(component: Component) -> Float[Tensor, " D"]:
    """beta."""
    own = [component.root, component.parts, component.deformation]
    return torch.cat([*(values.flatten() for values in own), torch.tensor([component.bias / BIAS])])


def with_weights(component: Component, beta: Float[Tensor, " D"]) -> Component:
    """The component with other weights."""
    own = [component.root, component.parts, component.deformation]
    *values, bias = beta.float().split([*(value.numel() for value in own), 1])
    root, parts, deformation = (value.view_as(like) for value, like in zip(values, own, strict=True))
    return component._replace(root=root, parts=parts, deformation=deformation, bias=BIAS * float(bias))


def solved(model: DPM, positives: Float[Tensor, "n D"], negatives: Float[Tensor, "m D"], c: float) -> DPM:
    """The model with the best weights for these examples, by L-BFGS with bounds."""
    (component,) = model.components
    examples = torch.cat([positives, -negatives])

    def objective(beta: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.from_numpy(beta)
        short = (1 - examples @ at.float()).clamp_min(0)
        value = 0.5 * at.square().sum() + c * short.double().square().sum()
        return float(value), (at - 2 * c * (short @ examples)).numpy()

    least = np.full(examples.shape[1], -np.inf)
    P = len(component.deformation)
    least[-1 - 4 * P : -1 : 2] = LEAST
    start = weights(component).double().numpy()
    bounds, options = [(low, None) for low in least], {"maxiter": 200, "ftol": 1e-5}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return model._replace(components=(with_weights(component, torch.from_numpy(found.x)),))


def regression(placements: Sequence[Detection], boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "4 D"]:
    """Where the boxes are, from where the filters are, by least squares; see `dpm.predicted`."""
    given, wanted = [], []
    for placement, box in zip(placements, boxes, strict=True):
        row, size = dpm.relative(placement)
        given.append(row)
        wanted.append((box - placement.box) / size.repeat(2))
    return torch.linalg.lstsq(torch.stack(given), torch.stack(wanted)).solution.T.contiguous()
