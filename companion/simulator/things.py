"""Things of capsules and plates, each in its own axes, and how to put them somewhere.

A thing's axes: y up, z to the side that is read or looked at; its middle, or where it stands, at the origin.
"""

import numpy as np
from jaxtyping import Float

from companion.simulator import render
from companion.simulator.render import Shapes

WHITE, BLACK = (235, 235, 230), (25, 25, 28)
X, Y, Z = np.eye(3)


def capsule(start, end, radius: float, colour) -> Shapes:
    """What lies within a radius of a segment."""
    return _one([*start, *end, 0, 0, 0], radius, [*colour, *colour], render.PLAIN)


def plate(centre, side, other, colour, pattern: int = render.PLAIN, second=BLACK) -> Shapes:
    """A rectangle from its middle and half of two sides."""
    return _one([*centre, *side, *other], 0, [*colour, *second], pattern)


def _one(place, radius: int | float, paint, pattern: int) -> Shapes:
    return Shapes(
        np.array([place], np.float32),
        np.array([radius], np.float32),
        np.array([paint], np.float32),
        np.array([pattern], np.int32),
        np.zeros(1, np.int32),
    )


def box(centre, size, colour) -> Shapes:
    """Six plates."""
    centre, half = np.asarray(centre, float), np.asarray(size, float) / 2
    sides = []
    for axis in range(3):
        out, one, two = (half[i] * np.eye(3)[i] for i in (axis, (axis + 1) % 3, (axis + 2) % 3))
        sides += [plate(centre + sign * out, one, two, colour) for sign in (-1, 1)]
    return join(*sides)


def join(*parts: Shapes) -> Shapes:
    return Shapes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def owned(shapes: Shapes, owner: int) -> Shapes:
    return shapes._replace(owner=np.full_like(shapes.owner, owner))


def move(shapes: Shapes, turn: Float[np.ndarray, "*t 3 3"], to: Float[np.ndarray, "*t 3"]) -> np.ndarray:
    """Places *t N 9 of the shapes, turned, then moved."""
    triple = shapes.place.reshape(*shapes.place.shape[:-1], 3, 3) @ np.swapaxes(turn, -1, -2)[..., None, :, :]
    points = np.stack([np.ones_like(shapes.radius), shapes.radius > 0, np.zeros_like(shapes.radius)], 1)
    triple = triple + points[:, :, None] * np.asarray(to)[..., None, None, :]
    return triple.reshape(*triple.shape[:-2], 9).astype(np.float32)


def book() -> Shapes:
    """Open, a page to each side, a red cover behind."""
    pages = []
    for sign in (-1, 1):
        side, middle = np.array([sign * 0.088, 0, 0.032]), np.array([sign * 0.088, 0, 0.032])
        pages.append(plate(middle, side, 0.125 * Y, WHITE, render.LINES, (90, 90, 90)))
        pages.append(plate(middle - 0.012 * Z, 1.04 * side, 0.13 * Y, (185, 35, 40)))
    return join(*pages)


def pad() -> Shapes:
    """A sheet on a wooden board, with a pen across it."""
    return join(
        plate((0, 0, -0.012), 0.13 * X, 0.18 * Y, (205, 150, 60)),
        plate((0, -0.01, 0), 0.115 * X, 0.155 * Y, WHITE, render.LINES, (60, 70, 160)),
        capsule((-0.02, 0, 0.03), (0.1, 0.12, 0.06), 0.012, (30, 60, 170)),
    )


def tablet() -> Shapes:
    """A dark slab, its screen lit."""
    return join(
        plate((0, 0, -0.012), 0.14 * X, 0.1 * Y, (40, 42, 50)),
        plate((0, 0, 0), 0.14 * X, 0.1 * Y, BLACK, render.SCREEN, (120, 215, 255)),
    )


def cup() -> Shapes:
    """A blue mug with a handle."""
    return join(
        capsule((0, -0.035, 0), (0, 0.035, 0), 0.052, (40, 85, 200)),
        capsule((0.06, -0.02, 0), (0.06, 0.02, 0), 0.014, (40, 85, 200)),
    )


def toothbrush() -> Shapes:
    """A green stick with a white head."""
    return join(
        capsule((0.13, 0, 0), (-0.03, 0, 0), 0.02, (40, 190, 70)),
        capsule((-0.05, 0, 0), (-0.11, 0, 0), 0.03, WHITE),
    )


def phone() -> Shapes:
    """A dark slab, smaller than the tablet."""
    return join(
        plate((0, 0, -0.012), 0.05 * X, 0.1 * Y, (35, 35, 40)),
        plate((0, 0, 0.012), 0.05 * X, 0.1 * Y, BLACK, render.SCREEN, (255, 190, 60)),
    )


def picture() -> Shapes:
    """A framed picture on a foot."""
    return join(
        plate((0, 0.14, 0), 0.12 * X, 0.12 * Y, (120, 60, 30), render.SCREEN, (90, 190, 90)),
        plate((0, 0.1, 0.004), 0.05 * X, 0.05 * Y, (240, 220, 60), render.DISC),
    )


def clock() -> Shapes:
    """A round white clock with a dark rim."""
    return join(
        plate((0, 0.13, 0), 0.13 * X, 0.13 * Y, WHITE, render.CLOCK, BLACK),
        capsule((0, 0, -0.02), (0, 0.02, -0.02), 0.03, BLACK),
    )


def fan() -> Shapes:
    """A fan with four blades on a stalk."""
    return join(
        plate((0, 0.17, 0), 0.12 * X, 0.12 * Y, (215, 70, 150), render.FAN, (60, 20, 60)),
        capsule((0, 0, -0.02), (0, 0.1, -0.02), 0.018, (215, 70, 150)),
    )


def parcel() -> Shapes:
    """A brown box with a light ribbon."""
    return join(
        box((0, 0, 0), (0.22, 0.16, 0.16), (165, 115, 65)),
        box((0, 0, 0), (0.05, 0.165, 0.165), (240, 225, 140)),
    )


THINGS = {
    make.__name__: make for make in (book, pad, tablet, cup, toothbrush, phone, picture, clock, fan, parcel)
}
