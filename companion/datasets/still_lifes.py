"""Still lifes: pictures of a few things each, drawn here, with the box of each thing and simulated observers.

A thing is known by its shape alone: it may have any colour, size and place, and turns a little. What else
there is (a smooth ground, strokes, grain) tells nothing. What the observers look at is a rule of ours and no
evidence about people: they begin near the middle, then go from thing to thing, some shapes more than others,
and now and then look anywhere.

Letters: N pictures, n things of a picture, H W its size, F fixations.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

SHAPES = ("disc", "square", "triangle", "ring", "cross", "star")
SPLITS = ("train", "validation", "test")
SIZE = 96, 128
LOOKED = (1.0, 1.0, 1.0, 3.0, 1.0, 5.0)  # how much a shape draws the simulated observers
OBSERVERS, STEPS = 10, (4, 8)  # and how many fixations each makes, from and below


class StillLifes(NamedTuple):
    """Pictures, and the truth about them."""

    pictures: UInt8[Tensor, "N 3 H W"]
    boxes: list[Float[Tensor, "n 4"]]  # x0 y0 x1 y1 in pixels
    kinds: list[list[int]]  # of each box
    fixations: Float[np.ndarray, "F 6"]  # picture, observer, order, x, y, milliseconds


def still_lifes(split: str, count: int, seed: int = 0) -> StillLifes:
    """Draw one split.

    Args:
        split: train, validation or test; each is drawn from other random numbers.
        count: N.

    Raises:
        ValueError: another split, or no picture.
    """
    if split not in SPLITS or count < 1:
        raise ValueError(f"{count} pictures of {split!r}; choose at least 1 of {', '.join(SPLITS)}")
    rng = np.random.default_rng([seed, SPLITS.index(split), 7])
    pictures, boxes, kinds, looked = [], [], [], []
    for n in range(count):
        picture, its, around = drawn(rng)
        pictures.append(picture)
        boxes.append(torch.from_numpy(around))
        kinds.append(its)
        looked += [(n, *row) for row in observed(rng, its, around)]
    return StillLifes(torch.from_numpy(np.stack(pictures)), boxes, kinds, np.array(looked))


def drawn(rng: np.random.Generator) -> tuple[np.ndarray, list[int], np.ndarray]:
    """One picture 3 H W, the kinds of its things, and their boxes."""
    height, width = SIZE
    coarse = torch.from_numpy(rng.uniform(40, 215, (1, 3, 4, 5)))
    image = torch.nn.functional.interpolate(coarse, SIZE, mode="bicubic")[0].numpy()
    y, x = np.arange(height)[:, None] + 0.0, np.arange(width) + 0.0
    for _ in range(rng.integers(4, 9)):  # strokes
        (x0, y0), angle = rng.uniform(0, SIZE[::-1]), rng.uniform(0, np.pi)
        along = np.cos(angle) * (x - x0) + np.sin(angle) * (y - y0)
        across = -np.sin(angle) * (x - x0) + np.cos(angle) * (y - y0)
        cover = (np.abs(along) < rng.uniform(5, 14)) & (np.abs(across) < rng.uniform(1, 2.5))
        image[:, cover] = rng.uniform(0, 255, (3, 1))
    kinds = [int(kind) for kind in rng.permutation(len(SHAPES))[: rng.integers(1, 4)]]
    boxes: list[np.ndarray] = []
    for kind in kinds:
        radius = rng.uniform(8, 14)
        while True:  # things do not hide each other
            at = rng.uniform(radius + 1, np.array(SIZE[::-1]) - radius - 2)
            if all(
                np.abs(at - (box[:2] + box[2:]) / 2).max() > radius + (box[2] - box[0]) / 2 for box in boxes
            ):
                break
        inside = shape(kind, (x - at[0]) / radius, (y - at[1]) / radius, rng.uniform(-0.3, 0.3), radius)
        colour = rng.uniform(0, 255, (3, 1, 1))
        ground = image[:, int(at[1]), int(at[0])][:, None, None]
        if np.abs(colour - ground).max() < 90:  # it would not be seen
            colour = np.where(ground > 128, colour / 4, 255 - colour / 4)
        image += inside * (colour - image)
        rows, columns = (np.flatnonzero((inside > 0.5).any(axis)) for axis in (1, 0))
        boxes.append(np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32))
    pixels = (image + rng.normal(0, 8, image.shape)).clip(0, 255).round().astype(np.uint8)
    return pixels, kinds, np.stack(boxes)


def shape(kind: int, x: np.ndarray, y: np.ndarray, turn: float, radius: float) -> np.ndarray:
    """How much of each pixel a thing of radius 1 covers, turned by an angle."""
    x, y = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    far, angle = np.hypot(x, y), np.arctan2(x, -y)

    def polygon(corners: int, inner: float) -> np.ndarray:
        """Distance beyond a star whose points reach 1 and whose notches reach `inner`."""
        part = np.pi / corners
        fold = np.abs((angle + part) % (2 * part) - part)
        tip, notch = np.array([1.0, 0.0]), inner * np.array([np.cos(part), np.sin(part)])
        normal = np.array([notch[1] - tip[1], tip[0] - notch[0]]) / np.linalg.norm(notch - tip)
        return (far * np.cos(fold) - tip[0]) * normal[0] + (far * np.sin(fold) - tip[1]) * normal[1]

    beyond = (
        far - 0.9,
        np.maximum(np.abs(x), np.abs(y)) - 0.8,
        polygon(3, 0.5),
        np.abs(far - 0.75) - 0.22,
        np.minimum(
            np.maximum(np.abs(x) - 0.95, np.abs(y) - 0.28), np.maximum(np.abs(y) - 0.95, np.abs(x) - 0.28)
        ),
        polygon(5, 0.42),
    )[kind]
    return (0.5 - beyond * radius).clip(0, 1)


def observed(rng: np.random.Generator, kinds: list[int], boxes: np.ndarray) -> list[tuple[int | float, ...]]:
    """What simulated observers do: observer, order, x, y and milliseconds of each fixation."""
    middle, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    weight = np.array([LOOKED[kind] for kind in kinds])
    size, rows = np.array(SIZE[::-1]), []
    for observer in range(OBSERVERS):
        for order in range(rng.integers(*STEPS)):
            kind = rng.random()
            if order == 0 or kind < 0.1:
                place = rng.normal(size / 2, size / 8)
            elif kind < 0.2:
                place = rng.uniform(0, size - 1)
            else:
                n = rng.choice(len(kinds), p=weight / weight.sum())
                place = rng.normal(middle[n], extent[n] / 5)
            rows.append((observer, order, *place.clip(0, size - 1), rng.gamma(4, 60)))
    return rows
