"""Scores of a glimpse or a soft weight against the true box.

Letters: B samples, N places looked at.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def on_box(
    places: Float[Tensor, "B N 2"], box: Float[Tensor, "B 4"], weights: Float[Tensor, "B N"] | None = None
) -> Float[Tensor, " B"]:
    """Share of the attention whose centre lies in the box.

    Args:
        places: (x, y) in pixels; pixel i covers [i - 1/2, i + 1/2).
        box: x0 y0 x1 y1 in pixels, half open.
        weights: of the places, summing to 1; equal by default.
    """
    near, far = box[:, None, :2] - 0.5, box[:, None, 2:] - 0.5
    inside = ((places >= near) & (places < far)).all(-1).float()
    return inside.mean(1) if weights is None else (inside * weights).sum(1)


def box_share(box: Float[Tensor, "B 4"], height: int, width: int) -> Float[Tensor, " B"]:
    """Share of the locations in [-1, 1]^2 that lie in the box: what a glimpse anywhere hits by chance."""
    extent = box.new_tensor([width, height]) - 1  # -1 and 1 are the outer pixels' centres
    near, far = (box[:, :2] - 0.5).clamp_min(0), (box[:, 2:] - 0.5).minimum(extent)
    return ((far - near).clamp_min(0) / extent).prod(1)


def average(model: Callable, images: Float[Tensor, "B H W"], copies: int) -> Float[Tensor, "B C"]:
    """Monte-Carlo averaging: log of the mean class probabilities of `copies` independent readings."""
    logits = torch.stack([model(images).logits for _ in range(copies)])
    return logits.log_softmax(-1).logsumexp(0) - math.log(copies)


def scores(model: Callable, batch: tuple) -> dict[str, Tensor]:
    """In percent, one value an image: `error`, `error_of_10` (ten readings averaged, where a reading is
    random), and where the model attends, `on_digit` beside two controls that see nothing: `chance`, a
    location anywhere, and `centre`, always the middle of the image.

    Of a sequence of hard locations the first is random, so the T - 1 chosen ones are scored; of soft
    weights the mean over the T reads.

    Args:
        model: gives `logits` B C, `locations` B T 2 in [-1, 1] or None, `weights` B T K or None.
        batch: with `image` B H H, `label` B and `box` B 4 in pixels.
    """
    read, side = model(batch.image), batch.image.shape[-1]
    found = {"error": 100.0 * (read.logits.argmax(-1) != batch.label)}
    if read.locations is not None and read.weights is None:
        found["error_of_10"] = 100.0 * (average(model, batch.image, 10).argmax(-1) != batch.label)
    if read.locations is None or (read.weights is None and read.locations.shape[1] < 2):
        return found
    places = (read.locations.clamp(-1, 1) + 1) / 2 * (side - 1)
    if read.weights is None:
        on = on_box(places[:, 1:], batch.box)
    else:
        on = on_box(places, batch.box, read.weights.mean(1))
    middle = places.new_full((len(batch.box), 1, 2), (side - 1) / 2)
    blind = {"chance": box_share(batch.box, side, side), "centre": on_box(middle, batch.box)}
    return found | {"on_digit": 100 * on} | {name: 100 * share for name, share in blind.items()}
