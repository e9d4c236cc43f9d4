"""A setup (room, furniture, light, cameras), what happens on its stage, and the pictures taken of it.

The axes of room and stage: y up, z towards the middle camera, in metres. A performance's axes are those of
its stage, which stands somewhere in the room, turned a little.

Letters: T frames, M bodies, J joints, N shapes, E things that decide, H W a picture's size.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from companion.simulator import body, render
from companion.simulator.actions import COUNTER, CRATE, Performance
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

    def on(self, stage: "Stage") -> "Camera":
        """The same camera in the stage's axes."""
        return Camera((self.place - stage.place) @ stage.axes, self.axes @ stage.axes)


class Setup(NamedTuple):
    """What many performances of all people and actions share, as the setups of NTU."""

    room: Shapes
    wood: Float[np.ndarray, "3"]  # the colour of counter and crate
    seat: Float[np.ndarray, "3"]  # of the chair, or the table
    light: Float[np.ndarray, "3"]  # where it comes from
    cameras: tuple[Camera, ...]


CAMERAS = (45.0, 0.0, -45.0)  # degrees from where people face
OFF = 0.6  # metres at most, in each direction, that a stage is off the room's middle


def setup(rng: np.random.Generator) -> Setup:
    """Draw one."""
    light = rng.normal(0, 0.3, 3) + [0, 1, 0.7]
    wood, seat = np.array([150, 110, 70]) * rng.uniform(0.6, 1.3), rng.uniform(60, 200, 3)
    distance, height = rng.uniform(2.7, 3.0), rng.uniform(1.5, 1.8)
    cameras = tuple(camera(degrees, distance, height, rng) for degrees in CAMERAS)
    return Setup(room(rng), wood, seat, light / np.linalg.norm(light), cameras)


def camera(degrees: float, distance: float, height: float, rng: np.random.Generator) -> Camera:
    """At about so many degrees, aimed at somewhere near the room's middle."""
    angle = np.radians(degrees + rng.normal(0, 5))
    place = np.array([distance * np.sin(angle), height, distance * np.cos(angle)])
    forward = np.array([rng.uniform(-0.2, 0.2), rng.uniform(0.93, 1.03), rng.uniform(-0.2, 0.2)]) - place
    forward /= np.linalg.norm(forward)
    x = np.cross([0, 1, 0], forward)
    x /= np.linalg.norm(x)
    return Camera(place, np.stack([x, np.cross(forward, x), forward]))


class Stage(NamedTuple):
    """Where in the room a performance takes place."""

    place: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]  # as columns


def stage(wide: bool, rng: np.random.Generator) -> Stage:
    """Anywhere near the middle; two people side by side leave less room, and hide less if turned less."""
    off, back, turn = (OFF / 3, -0.12, 6) if wide else (OFF, 0, 12)
    angle = np.radians(rng.uniform(-turn, turn))
    c, s = np.cos(angle), np.sin(angle)
    return Stage(
        np.array([rng.uniform(-off, off), 0, back + rng.uniform(-0.35, 0.15)]),
        np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
    )


def project(points: Float[np.ndarray, "*n 3"], height: int, width: int) -> Float[np.ndarray, "*n 2"]:
    """Columns and rows, from the upper left corner, of points in the camera's axes."""
    x, y, z = np.moveaxis(points, -1, 0)
    focal = FOCAL * height
    return np.stack([0.5 * width + focal * x / z, 0.5 * height - focal * y / z], -1)


def room(rng: np.random.Generator) -> Shapes:
    """Walls, floor, pictures and boxes."""
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
    return join(*parts)


def furniture(done: Performance, group: str, where: Setup) -> list[Shapes]:
    """What stands on the stage of all performances of a group."""
    parts = []
    if done.counter is not None:
        middle, half = done.counter
        parts.append(box((middle, COUNTER - 0.02, 0.5), (2 * half, 0.04, 0.4), where.wood))
        parts.append(box((middle, COUNTER / 2, 0.5), (2 * half - 0.1, COUNTER - 0.04, 0.3), 0.8 * where.wood))
    if done.crate is not None:
        width, height, depth = CRATE
        middle = np.array([done.crate, COUNTER + height / 2, 0.45])
        for x, z, side in ((0, 1, (width / 2, 0, 0)), (1, 0, (0, 0, depth / 2))):
            for sign in (-1, 1):
                wall = middle + sign * np.array([x * width / 2, 0, z * depth / 2])
                parts.append(plate(wall, side, (0, height / 2, 0), 0.6 * where.wood))
    if group == "motion":
        parts.append(box((0, 0.22, -0.3), (0.45, 0.44, 0.4), where.seat))
    if group == "pair":
        parts.append(box((0, 0.38, -0.9), (0.5, 0.76, 0.4), where.seat))
    return parts


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
    boxes: Float[np.ndarray, "E T 4"]  # x0 y0 x1 y1 of what decides, in pixels; zero where it is not
    visible: Float[np.ndarray, "E T"]  # the share of it that nothing hides
    shown: dict[str, Float[np.ndarray, " T"]]  # the share of the picture in which things of a kind are seen


def film(
    group: str,
    people: tuple[Person, ...],
    done: Performance,
    where: Setup,
    place: Stage,
    number: int,
    height: int,
    width: int,
    grain: np.random.Generator,
    frames: Sequence[int] | None = None,
) -> Film:
    """Take pictures of a performance.

    Args:
        number: of the setup's camera.
        grain: of the camera.
        frames: that are drawn; default all.
    """
    M, E = done.poses.shape[1], len(done.evidence)
    frames = range(len(done.poses)) if frames is None else frames
    T = len(frames)
    view, light = where.cameras[number], where.cameras[number].axes @ where.light
    room = where.room._replace(place=seen(view, where.room.place, where.room))
    view, still, moving = view.on(place), furniture(done, group, where), []
    placed = (*done.evidence, *done.others)
    for n, thing in enumerate(placed):
        shapes = owned(THINGS[thing.kind](*thing.paint), n + 1)
        places = move(shapes, thing.axes, thing.at)
        if thing.at.ndim > 1:
            moving.append((places, shapes))
            continue
        still.append(shapes._replace(place=places))
        if thing.stand:
            x, y, z = thing.at - [0, 0.01, 0.02]
            still.append(capsule((x, 0, z), (x, y, z), 0.015, (90, 90, 95)))
    for m, person in enumerate(people[:M]):
        moving.append(limbs(person, done.poses[:, m]))
    if still:
        stands = join(*still)
        room = join(room, stands._replace(place=seen(view, stands.place, stands)))
    shapes = join(*(shapes for _, shapes in moving))
    places = seen(view, np.concatenate([places for places, _ in moving], 1), shapes)
    bare, focal = render.canvas(height, width), np.float32(FOCAL * height * render.SAMPLES)
    hidden, light = np.zeros(bare.depth.shape, np.uint8), light.astype(np.float32)
    render.draw(*room, focal, light, *bare, E, hidden)
    plateful = (grain.normal(0, 1, (height + 64, width + 64)) * grain.uniform(2, 6)).astype(np.int16)
    corners = grain.integers(0, 64, (T, 2))
    pictures = np.empty((T, height, width, 3), np.uint8)
    boxes, rays = np.zeros((T, E, 4)), np.zeros((T, 2, len(placed) + 1))
    for t, frame in enumerate(frames):
        drawn, mask = render.Canvas(*(array.copy() for array in bare)), hidden.copy()
        render.draw(places[frame], *shapes[1:], focal, light, *drawn, E, mask)
        row, column = corners[t]
        pictures[t] = render.expose(drawn.colour, plateful[row : row + height, column : column + width])
        render.extents(mask, drawn.owner, boxes[t], rays[t])
    met, free = rays[:, 0, 1 : E + 1], rays[:, 1]
    boxes = np.where(met[..., None] > 0, boxes / render.SAMPLES, 0)
    kinds = np.array([thing.kind for thing in placed])
    shown = free[:, 1:] / bare.depth.size
    shares = {kind: shown[:, kinds == kind].sum(1) for kind in dict.fromkeys(kinds.tolist())}
    visible = free[:, 1 : E + 1] / np.maximum(met, 1)
    return Film(pictures, boxes.swapaxes(0, 1), visible.T, shares)


def seen(view: Camera, places: Float[np.ndarray, "*t N 9"], shapes: Shapes) -> Float[np.ndarray, "*t N 9"]:
    """Places in the camera's axes."""
    return move(shapes._replace(place=places), view.axes, -view.axes @ view.place)
