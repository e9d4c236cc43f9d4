"""Articulated objects among their own parts, drawn here: what a part model must find, and where each part is.

An object is a round body with three to five round parts around it; each has its own texture. The parts move
about the places where they are expected, each by itself. What lies around is made of the same bodies and
parts, scattered: so no texture tells that an object is there, only textures in their order. Half of the
images hold one object, half none; colours mean nothing.

Letters: N images, S their side, P parts.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from companion.files import fingerprint

SPLITS = ("train", "validation", "test")
BODY, PART = 18.0, 14.0  # radius in pixels, before scaling
AROUND = 38.0  # from the body to where a part is expected
MOVED, MOST = 10.0, 20.0  # standard deviation and limit of a part's movement, in each direction
SCALES = 0.7, 0.95


class Scenes(NamedTuple):
    """Images, and the truth about them; NaN where there is no object."""

    images: UInt8[Tensor, "N 3 S S"]
    boxes: Float[Tensor, "N 4"]  # x0 y0 x1 y1 around the body and its parts, in pixels
    parts: Float[Tensor, "N P 2"]  # their centres
    moved: Float[Tensor, "N P 2"]  # from where they are expected

    @property
    def present(self) -> Bool[Tensor, " N"]:
        """Which images hold an object."""
        return self.boxes.isfinite().all(1)

    @property
    def units(self) -> list[str]:
        """Of each image its number."""
        return [str(index) for index in range(len(self.images))]

    @property
    def fingerprint(self) -> str:
        """Of images and truth."""
        return fingerprint([field.numpy().tobytes() for field in self])


def scenes(split: str, count: int = 300, parts: int = 4, side: int = 176, seed: int = 0) -> Scenes:
    """Draw one split.

    Args:
        split: train, validation or test; each is drawn from other random numbers.
        count: N.
        parts: P, from 3 to 5.
        side: S, at least 144 pixels, so that two bodies have room.

    Raises:
        ValueError: another split, or a number out of its range.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; choose {', '.join(SPLITS)}")
    if not 3 <= parts <= 5 or side < 144 or count < 1:
        raise ValueError(
            f"{count} images with sides of {side} pixels, {parts} parts; choose at least 1, 144, and 3 to 5"
        )
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    drawn = [scene(rng, bool(n % 2 == 0), parts, side) for n in range(count)]
    return Scenes(*(torch.from_numpy(np.stack(field)) for field in zip(*drawn, strict=True)))


def scene(rng: np.random.Generator, present: bool, parts: int, side: int) -> tuple[np.ndarray, ...]:
    """One image: its pixels, the object's box, its parts' places and movements."""
    image = ground(rng, side)
    expected = AROUND * directions(parts)
    for _ in range(rng.integers(3, 6)):  # loose parts
        disc(image, rng.uniform(0, side, 2), rng.uniform(*SCALES), int(rng.integers(parts)), rng)
    nothing = np.full((parts, 2), np.nan, np.float32)
    box, places, moved = nothing[:2].flatten(), nothing, nothing
    bodies = int(rng.integers(1, 3))
    real = rng.integers(bodies) if present else -1
    for n, at in enumerate(apart(rng, bodies, side)):
        scale, movement = rng.uniform(*SCALES), rng.normal(0, MOVED, (parts, 2)).clip(-MOST, MOST)
        centres, order = at + scale * (expected + movement), np.arange(parts)
        if n == real:
            radii = scale * np.array([BODY] + [PART] * parts)[:, None]
            every = np.concatenate([at[None], centres])
            box = np.concatenate([(every - radii).min(0), (every + radii).max(0)])
            places, moved = centres, movement
        else:  # two of its parts have changed places
            one, other = rng.choice(parts, 2, replace=False)
            order[[one, other]] = order[[other, one]]
        for k in rng.permutation(parts):
            disc(image, centres[k], scale, int(order[k]), rng)
        disc(image, at, scale, -1, rng)
    pixels = (image + rng.normal(0, 8, image.shape)).clip(0, 255).round().astype(np.uint8)
    return pixels, box.astype(np.float32), places.astype(np.float32), moved.astype(np.float32)


def apart(rng: np.random.Generator, bodies: int, side: int) -> np.ndarray:
    """Where bodies are, n 2: with their parts mostly inside the image, and no body behind another one."""
    reach = SCALES[1] * (AROUND + PART)
    while True:
        at = rng.uniform(reach, side - reach, (bodies, 2))
        off = np.linalg.norm(at[:, None] - at, axis=-1) + np.diag(np.full(bodies, np.inf))
        if off.min() > 1.2 * AROUND:
            return at


def directions(parts: int) -> np.ndarray:
    """Where parts are expected around a body, P 2; the first one is left above."""
    angles = 2 * np.pi * np.arange(parts) / parts - 0.75 * np.pi
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def ground(rng: np.random.Generator, side: int) -> np.ndarray:
    """A smooth background, 3 S S."""
    coarse = torch.from_numpy(rng.uniform(60, 200, (1, 3, 4, 4)))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")[0].numpy()


def disc(image: np.ndarray, at: np.ndarray, scale: float, texture: int, rng: np.random.Generator) -> None:
    """Draw a body (texture -1: rings) or the part of this number (stripes in its direction) in place."""
    side, radius = image.shape[1], scale * (BODY if texture < 0 else PART)
    (x0, y0), (x1, y1) = (np.clip(np.floor(at + d), 0, side).astype(int) for d in (-radius - 1, radius + 2))
    x, y = np.arange(x0, x1) + 0.5 - at[0], np.arange(y0, y1)[:, None] + 0.5 - at[1]
    far = np.hypot(x, y)
    angle = np.pi * (texture + 0.5) / 5
    along = far if texture < 0 else np.cos(angle) * x + np.sin(angle) * y
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * along / (4.0 * scale) + rng.uniform(0, 2 * np.pi))
    dark, bright = rng.uniform(0, 90, (3, 1, 1)), rng.uniform(150, 255, (3, 1, 1))
    cover = (radius + 0.5 - far).clip(0, 1)
    patch = image[:, y0:y1, x0:x1]
    patch += cover * (dark + wave * (bright - dark) - patch)
