"""A room with people and things, and the pictures that a camera takes of it.

The room's axes are the first person's: x to the left, y up, z to where he or she faces, in metres.

Letters: T frames, M bodies, J joints, N shapes, H W a picture's size.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from companion.simulator import body, render
from companion.simulator.actions import COUNTER, LEAN, Action, Performance, leaning, things
from companion.simulator.body import Person
from companion.simulator.render import Shapes
from companion.simulator.things import THINGS, box, capsule, join, move, owned, plate
from companion.skeleton import KINECT_V2 as TREE

FOCAL = 1.22  # focal length of the camera as a share of the picture's height
SKIN, HAIR, SHIRT, TROUSERS, SHOES = range(5)
LIMBS = (
    ("spine_shoulder", "spine_mid", 0.125, SHIRT),
    ("spine_mid", "spine_base", 0.12, SHIRT),
    ("shoulder_left", "shoulder_right", 0.06, SHIRT),
    ("hip_left", "hip_right", 0.09, TROUSERS),
    ("spine_shoulder", "head", 0.05, SKIN),
    *(
        limb
        for side in ("left", "right")
        for limb in (
            (f"shoulder_{side}", f"elbow_{side}", 0.05, SHIRT),
            (f"elbow_{side}", f"wrist_{side}", 0.038, SKIN),
            (f"wrist_{side}", f"hand_tip_{side}", 0.036, SKIN),
            (f"wrist_{side}", f"thumb_{side}", 0.016, SKIN),
            (f"hip_{side}", f"knee_{side}", 0.075, TROUSERS),
            (f"knee_{side}", f"ankle_{side}", 0.055, TROUSERS),
            (f"ankle_{side}", f"foot_{side}", 0.045, SHOES),
        )
    ),
)
HEAD = (  # around the head's joint: to the left, up, forward; radius, colour
    ((0, 0, 0), 0.105, SKIN),
    ((0, 0.035, -0.03), 0.108, HAIR),
    ((0.038, 0.015, 0.095), 0.016, HAIR),
    ((-0.038, 0.015, 0.095), 0.016, HAIR),
    ((0, -0.015, 0.108), 0.02, SKIN),
)


class Camera(NamedTuple):
    """Where a camera is, and its axes as rows: x and y as `render` has them, and where it looks."""

    place: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]

    def see(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Points of the room in the camera's axes."""
        return (points - self.place) @ self.axes.T


def camera(degrees: float, rng: np.random.Generator) -> Camera:
    """At about so many degrees from where the first person faces, a little above the people."""
    angle, distance = np.radians(degrees + rng.normal(0, 5)), rng.uniform(2.5, 2.8)
    place = np.array([distance * np.sin(angle), rng.uniform(1.5, 1.8), distance * np.cos(angle)])
    forward = [0, 0.98, 0.1] + rng.normal(0, 0.03, 3) - place
    forward /= np.linalg.norm(forward)
    x = np.cross([0, 1, 0], forward)
    x /= np.linalg.norm(x)
    return Camera(place, np.stack([x, np.cross(forward, x), forward]))


def project(points: Float[np.ndarray, "*n 3"], height: int, width: int) -> Float[np.ndarray, "*n 2"]:
    """Columns and rows, from the upper left corner, of points in the camera's axes."""
    x, y, z = np.moveaxis(points, -1, 0)
    focal = FOCAL * height
    return np.stack([0.5 * width + focal * x / z, 0.5 * height - focal * y / z], -1)


def room(action: Action, rng: np.random.Generator) -> Shapes:
    """Walls, floor, pictures, a shelf with boxes, and what the group's scenes need: counter or chair."""
    wall, floor = rng.uniform(120, 225, 3), rng.uniform(70, 160, 3)
    parts = [
        plate((0, 0, 0), (6, 0, 0), (0, 0, 6), floor, render.TILES, 0.9 * floor),
        plate((0, 1.6, -2.0), (6, 0, 0), (0, 1.6, 0), wall),
        plate((-3.4, 1.6, 0), (0, 0, 6), (0, 1.6, 0), 0.95 * wall),
        plate((3.4, 1.6, 0), (0, 0, 6), (0, 1.6, 0), 0.95 * wall),
    ]
    for side, x in (("left", -3.35), ("right", 3.35), ("back", 0)):
        for _ in range(rng.integers(1, 3)):
            along, up = rng.uniform(-1.6, 1.6), rng.uniform(1.3, 2.0)
            size, colours = rng.uniform(0.15, 0.35, 2), rng.uniform(40, 230, (2, 3))
            pattern = int(rng.choice([render.PLAIN, render.SCREEN, render.LINES]))
            centre = (along, up, -1.97) if side == "back" else (x, up, along - 0.5)
            half = (size[0], 0, 0) if side == "back" else (0, 0, size[0])
            parts.append(plate(centre, half, (0, size[1], 0), colours[0], pattern, colours[1]))
    for x in rng.uniform(-2.2, 2.2, 2):
        size, colour = rng.uniform(0.3, 0.7, 3), rng.uniform(60, 200, 3)
        parts.append(box((x, size[1] / 2, -1.6), size, colour))
    if action.group in ("chest", "face"):
        wood = np.array([150, 110, 70]) * rng.uniform(0.6, 1.3)
        parts.append(box((0, COUNTER - 0.02, 0.5), (1.3, 0.04, 0.4), wood))
        parts.append(box((0, COUNTER / 2, 0.5), (1.2, COUNTER - 0.04, 0.3), 0.8 * wood))
    if action.name in ("sitting down", "standing up"):
        parts.append(box((0, 0.22, -0.3), (0.45, 0.44, 0.4), rng.uniform(60, 200, 3)))
    if action.group == "pair":
        parts.append(box((0, 0.38, -0.9), (0.5, 0.76, 0.4), rng.uniform(60, 200, 3)))
    return join(*parts)


def limbs(person: Person, poses: Float[np.ndarray, "T J 3"]) -> tuple[Float[np.ndarray, "T N 9"], Shapes]:
    """A person's shapes at each moment, and once with all that does not change."""
    ends = [(TREE.index(a), TREE.index(b)) for a, b, _, _ in LIMBS]
    head, axes = poses[:, TREE.index("head"), None], body.axes(poses)
    balls = head + np.array([place for place, _, _ in HEAD]) @ np.swapaxes(axes, -1, -2)
    points = [poses[:, [i for i, _ in ends]], poses[:, [j for _, j in ends]]]
    start, end = (np.concatenate([point, balls], 1) for point in points)
    parts = [(radius, kind) for _, _, radius, kind in LIMBS] + [(radius, kind) for _, radius, kind in HEAD]
    shapes = join(*(capsule((0, 0, 0), (0, 0, 0), r, person.colours[kind]) for r, kind in parts))
    return np.concatenate([start, end, np.zeros_like(start)], -1), shapes


class Film(NamedTuple):
    """What a camera took, and what is true of it."""

    pictures: UInt8[np.ndarray, "T H W 3"]
    box: Float[np.ndarray, "T 4"]  # x0 y0 x1 y1 of the thing that decides, in pixels; zero if there is none
    visible: Float[np.ndarray, " T"]  # the share of it that nothing hides
    shown: dict[str, Float[np.ndarray, " T"]]  # the share of the picture in which each thing is seen


def film(
    action: Action,
    people: tuple[Person, ...],
    done: Performance,
    view: Camera,
    height: int,
    width: int,
    rng: np.random.Generator,
    grain: np.random.Generator,
) -> Film:
    """Take pictures of a performance.

    Args:
        rng: of the room, its light and its things; equal for all cameras of a performance.
        grain: of the camera.
    """
    T, M = done.poses.shape[:2]
    light = rng.normal(0, 0.3, 3) + [0, 1, 0.7]
    light = view.axes @ (light / np.linalg.norm(light))
    still, moving = [room(action, rng)], []
    others = [name for name in things(action.group) if name != action.thing]
    order = [action.thing, *rng.permutation(others)] if action.thing else list(others)
    deciding = M + 1 if action.thing else -1
    for n, (name, spot) in enumerate(zip(order, done.spots, strict=False)):
        thing = owned(THINGS[name](), M + 1 + n)
        if n == 0 and done.carried is not None and action.thing:
            moving.append((move(thing, done.facing, done.carried), thing))
            continue
        axes = leaning(LEAN, 0) if action.group in ("chest", "face") else np.eye(3)
        still.append(thing._replace(place=move(thing, axes, spot)))
        if action.group == "context":
            still.append(capsule((spot[0], 0, spot[2] - 0.02), spot - [0, 0.01, 0.02], 0.015, (90, 90, 95)))
    for m, person in enumerate(people[:M]):
        places, shapes = limbs(person, done.poses[:, m])
        moving.append((places, owned(shapes, m + 1)))
    background = join(*still)
    behind, shapes = seen(view, background.place, background), join(*(shapes for _, shapes in moving))
    places = seen(view, np.concatenate([places for places, _ in moving], 1), shapes)
    bare, focal = render.canvas(height, width), np.float32(FOCAL * height * render.SAMPLES)
    hidden = np.zeros(bare.depth.shape, bool)
    light = light.astype(np.float32)
    render.draw(behind, *background[1:], focal, light, *bare, deciding, hidden)
    plateful = (grain.normal(0, 1, (height + 64, width + 64)) * grain.uniform(2, 6)).astype(np.int16)
    corners = grain.integers(0, 64, (T, 2))
    pictures = np.empty((T, height, width, 3), np.uint8)
    boxes, visible, shown = np.zeros((T, 4)), np.zeros(T), np.zeros((T, M + 1 + len(done.spots)))
    for t in range(T):
        drawn, mask = render.Canvas(*(array.copy() for array in bare)), hidden.copy()
        render.draw(places[t], *shapes[1:], focal, light, *drawn, deciding, mask)
        row, column = corners[t]
        pictures[t] = render.expose(drawn.colour, plateful[row : row + height, column : column + width])
        *corner, whole, free = render.extent(mask, drawn.owner, deciding)
        if whole:
            boxes[t], visible[t] = np.array(corner) / render.SAMPLES, free / whole
        shown[t] = np.bincount(drawn.owner.ravel(), minlength=shown.shape[1]) / drawn.owner.size
    return Film(pictures, boxes, visible, dict(zip(order, shown[:, M + 1 :].T, strict=False)))


def seen(view: Camera, places: Float[np.ndarray, "*t N 9"], shapes: Shapes) -> Float[np.ndarray, "*t N 9"]:
    """Places in the camera's axes."""
    return move(shapes._replace(place=places), view.axes, -view.axes @ view.place)
