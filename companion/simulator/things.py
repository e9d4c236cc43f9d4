"""Things of capsules and plates, each in its own axes, and how to put them somewhere.

A thing's axes: y up, z to the side that is looked at, which looks the same from behind; its middle, or where
it stands, at the origin. Kinds differ in shape and pattern: any of them may have any two colours, and those
of a group cover about the same area with each.
"""

import numpy as np
from jaxtyping import Float

from companion.simulator import render
from companion.simulator.render import Shapes

BLACK = (25, 25, 28)
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


def book(one, two) -> Shapes:
    """Open: a page of each colour, which meet at the back."""
    pages = []
    for sign, colour in ((-1, one), (1, two)):
        half = np.array([sign * 0.076, 0, 0.028])
        pages.append(plate(half, half, 0.125 * Y, colour))
    return join(*pages)


def pad(one, two) -> Shapes:
    """A sheet with three broad lines."""
    return plate((0, 0, 0), 0.11 * X, 0.17 * Y, one, render.LINES, two)


def tablet(one, two) -> Shapes:
    """A frame with a screen."""
    return plate((0, 0, 0), 0.18 * X, 0.105 * Y, one, render.SCREEN, two)


def cup(one, two) -> Shapes:
    """A mug with a handle."""
    return join(
        capsule((0, -0.04, 0), (0, 0.04, 0), 0.07, one),
        capsule((0.095, -0.03, 0), (0.095, 0.03, 0), 0.03, two),
    )


def toothbrush(one, two) -> Shapes:
    """A stick with a head."""
    return join(
        capsule((0.17, 0, 0), (-0.02, 0, 0), 0.032, one),
        capsule((-0.06, 0, 0), (-0.15, 0, 0), 0.042, two),
    )


def phone(one, two) -> Shapes:
    """An upright slab with a screen."""
    return plate((0, 0, 0), 0.075 * X, 0.14 * Y, one, render.SCREEN, two)


def picture(one, two) -> Shapes:
    """A square with a disc."""
    return plate((0, 0.14, 0), 0.125 * X, 0.125 * Y, one, render.SPOT, two)


def clock(one, two) -> Shapes:
    """Round, with a rim and two hands."""
    return plate((0, 0.14, 0), 0.14 * X, 0.14 * Y, one, render.CLOCK, two)


def fan(one, two) -> Shapes:
    """Round, with two blades."""
    return plate((0, 0.14, 0), 0.14 * X, 0.14 * Y, one, render.FAN, two)


def parcel(one, two) -> Shapes:
    """A box with a ribbon."""
    return join(box((0, 0, 0), (0.22, 0.16, 0.16), one), box((0, 0, 0), (0.05, 0.165, 0.165), two))


THINGS = {
    make.__name__: make for make in (book, pad, tablet, cup, toothbrush, phone, picture, clock, fan, parcel)
}


def below(shapes: Shapes) -> float:
    """How far a thing reaches down from its origin."""
    one, two, three = shapes.place[:, 1], shapes.place[:, 4], shapes.place[:, 7]
    round_ = np.minimum(one, two) - shapes.radius
    return -float(np.where(shapes.radius > 0, round_, one - abs(two) - abs(three)).min())


def paint(rng: np.random.Generator) -> Float[np.ndarray, "2 3"]:
    """Two colours of a thing, one dark and one bright; which is which says nothing."""
    dark, bright = rng.uniform(0, 100, 3), rng.uniform(150, 250, 3)
    return np.stack([dark, bright])[rng.permutation(2)]
