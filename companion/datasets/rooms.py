"""Rooms, drawn here, and questions about them in the form of the slide's: what is on the desk before ...?

Three kinds of rooms follow one another. In the first, three boys stand side by side. Behind each hangs a
shelf, he holds a thing, before him stands a desk, and before that lies a rug; on each shelf, desk and rug is
a thing too. Each of six kinds of things is there twice, and each of six colours is the colour of two things:
a list of what a room holds tells nothing about where it is. The three shelves have three colours, and so have
shirts, desks and rugs; a question names one of these twelve (its anchor) by its colour, or a side:

    one hop         what is on the red desk ?                           the thing lies on its anchor
    two hops        what is on the desk in front of the boy in red ?    the anchor tells which desk is meant
    colour          what colour is the thing on the red desk ?
    on one side     what is on the desk on the left ?
    where           where is the red desk ?

In the second kind one boy stands with the same around him, so that no colour is needed, and in the third one
to three boys with a single thing, so that a list is enough. From these questions a model can learn the words
before it needs them all at once:

    one boy         what is on the desk ?
    its colour      what colour is the thing on the desk ?
    furniture       what colour is the desk ?
    one thing       what is in the room ?
    its colour      what colour is the thing in the room ?
    yes or no       is there a cup in the room ?
    count           how many boys are in the room ?

`labelled` gives rooms of a fourth kind without questions: things lie in a quarter of the places, and is told
what a room holds (a cup, something yellow, a red desk, something on a red desk), and not where.

Letters: N rooms, Q questions, C labels, H W the size of a picture.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from PIL import Image, ImageDraw

SPLITS = ("train", "validation", "test")
SIZE = 96, 160
FINE = 3  # drawn so many times larger, then averaged
THINGS = ("ball", "book", "bottle", "cup", "lamp", "laptop")
COLOURS = {
    "red": (200, 45, 45),
    "green": (60, 150, 70),
    "blue": (50, 90, 205),
    "yellow": (230, 200, 60),
    "purple": (145, 70, 170),
    "black": (35, 35, 40),
}
ANCHORS = (
    "the {} shelf in the background",
    "the boy in {}",
    "the {} desk",
    "the {} rug",
)  # from the back to the front
ON = ("on the shelf", "held by the boy", "on the desk", "on the rug")
SIDES = ("on the left", "in the middle", "on the right")
ROWS, COLUMNS = len(ANCHORS), len(SIDES)
FULL = {"one hop": 3, "two hops": 6, "colour": 2, "on one side": 3, "where": 2}  # and how many of each a room
EASY = "one boy", "furniture", "one thing", "its colour", "yes or no", "count"  # of the other rooms
KINDS = "three boys", "one boy", "one thing"  # of rooms, in turn
SOME = "some things"  # the kind that is labelled
SHARE = 0.25  # of the places there that hold a thing
RADIUS = 6.5  # of a thing, in pixels
NOWHERE = np.full(4, np.nan, np.float32)


class Room(NamedTuple):
    """What stands where: a row for each of `ANCHORS`, a column for each boy; what is not there has no box."""

    things: Int64[np.ndarray, "4 3"]  # which of `THINGS`
    colours: Int64[np.ndarray, "4 3"]  # of the things
    anchors: Int64[np.ndarray, "4 3"]  # colours of shelves, shirts, desks and rugs
    boxes: Float32[np.ndarray, "2 4 3 4"]  # of anchors, and of things


class Rooms(NamedTuple):
    """Pictures, questions about them, and where the evidence lies."""

    pictures: UInt8[torch.Tensor, "N 3 H W"]
    rooms: list[Room]
    picture: Int64[np.ndarray, " Q"]
    question: list[str]
    answer: list[str]
    kind: list[str]  # one of `FULL`, or of `EASY`
    evidence: Float32[np.ndarray, "Q 2 4"]  # x0 y0 x1 y1 in pixels of anchor and thing; NaN if not asked for


class Labelled(NamedTuple):
    """Pictures, and what they show."""

    pictures: UInt8[torch.Tensor, "N 3 H W"]
    present: Float32[
        torch.Tensor, "N C"
    ]  # 1 or 0: `THINGS`, their colours; anchors in each colour; those that bear a thing


def rooms(split: str, count: int, seed: int = 0) -> Rooms:
    """Draw one split, and ask.

    Args:
        split: train, validation or test; each is drawn from other random numbers.
        count: N.

    Raises:
        ValueError: another split, or no room.
    """
    rng = generator(split, count, seed, 20)
    pictures, shown, rows = [], [], []
    for n in range(count):
        kind = KINDS[n % len(KINDS)]
        picture, room = drawn(rng, kind)
        pictures.append(picture)
        shown.append(room)
        rows += [(n, *one) for one in ASK[kind](rng, room)]
    picture, kind, question, answer, evidence = zip(*rows, strict=True)
    return Rooms(
        stacked(pictures),
        shown,
        np.array(picture),
        list(question),
        list(answer),
        list(kind),
        np.stack(evidence).astype(np.float32),
    )


def labelled(split: str, count: int, seed: int = 0) -> Labelled:
    """Draw rooms of which is told what they hold; see `rooms`."""
    rng, pictures = generator(split, count, seed, 21), []
    things, anchors = torch.zeros(count, 2, len(THINGS)), torch.zeros(count, 2, ROWS, len(COLOURS))
    for n in range(count):
        picture, room = drawn(rng, SOME)
        pictures.append(picture)
        stands, lies = ~np.isnan(room.boxes[..., 0])
        things[n, 0, room.things[lies]] = things[n, 1, room.colours[lies]] = 1
        for which, there in enumerate((stands, lies)):
            anchors[n, which, np.nonzero(there)[0], room.anchors[there]] = 1
    return Labelled(stacked(pictures), torch.cat([things.flatten(1), anchors.flatten(1)], 1))


def generator(split: str, count: int, seed: int, of: int) -> np.random.Generator:
    """Random numbers of a split's own.

    Raises:
        ValueError: another split, or no room.
    """
    if split not in SPLITS or count < 1:
        raise ValueError(f"{count} rooms of {split!r}; choose at least 1 of {', '.join(SPLITS)}")
    return np.random.default_rng([seed, SPLITS.index(split), of])


def stacked(pictures: list[np.ndarray]) -> UInt8[torch.Tensor, "N 3 H W"]:
    """Pictures H W 3 side by side."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def drawn(rng: np.random.Generator, kind: str) -> tuple[np.ndarray, Room]:
    """One picture H W 3 of a kind of room, and what it shows."""
    twice = np.repeat(np.arange(len(THINGS)), 2)
    shape = ROWS, COLUMNS
    things, colours = rng.permutation(twice).reshape(shape), rng.permutation(twice).reshape(shape)
    anchors = np.stack([rng.permutation(len(COLOURS))[:COLUMNS] for _ in ANCHORS])
    height, width = SIZE
    image = Image.new("RGB", (FINE * width, FINE * height), paint(rng, (205, 200, 190), 25))
    pen = Pen(ImageDraw.Draw(image))
    pen.box((0, rng.uniform(46, 52), width, height), paint(rng, (165, 130, 100), 25))
    boxes = np.full((2, *shape, 4), np.nan, np.float32)
    boys = {"three boys": COLUMNS, "one boy": 1}.get(kind) or rng.integers(1, COLUMNS + 1)
    shown = np.sort(rng.permutation(COLUMNS)[:boys])
    lain = rng.random(shape) < (SHARE if kind == SOME else 1)  # in which places a thing lies
    if kind == "one thing":
        lain[:] = False
        lain[rng.integers(ROWS), rng.choice(shown)] = True
    for column in shown:
        x = float(width * (column + 0.5) / COLUMNS + rng.uniform(-6, 6))
        y, side = float(rng.uniform(-3, 3)), int(rng.choice([-1, 1]))
        tints = [paint(rng, COLOURS[name], 12) for name in np.array([*COLOURS])[anchors[:, column]]]
        places = np.array([[x - side * 15, y + 16], [x + side * 14, y + 34], [x, y + 51.5], [x, y + 82]])
        places[2:, 0] += rng.uniform(-5, 5, 2)
        boxes[0, :, column] = furniture(pen, x, y, side, places, tints, paint(rng, (190, 140, 110), 20))
        for row in range(ROWS):
            if not lain[row, column]:
                continue
            name = [*COLOURS][colours[row, column]]
            thing(pen, THINGS[things[row, column]], places[row], paint(rng, COLOURS[name], 12))
            boxes[1, row, column] = [*(places[row] - RADIUS), *(places[row] + RADIUS)]
    pixels = np.asarray(image.reduce(FINE)) + rng.normal(0, 6, (height, width, 3))
    room = Room(things, colours, anchors, boxes.clip(0, [width, height] * 2).astype(np.float32))
    return pixels.clip(0, 255).round().astype(np.uint8), room


def paint(rng: np.random.Generator, colour: tuple[int, ...], spread: int) -> tuple[int, int, int]:
    """A colour like this one."""
    red, green, blue = (np.array(colour) + rng.uniform(-spread, spread, 3)).clip(0, 255).astype(int).tolist()
    return red, green, blue


class Pen(NamedTuple):
    """Draws in pixels of the picture."""

    on: ImageDraw.ImageDraw

    def box(self, corners, colour) -> None:
        self.on.rectangle([FINE * value for value in corners], colour)

    def disc(self, corners, colour) -> None:
        self.on.ellipse([FINE * value for value in corners], colour)

    def shape(self, corners, colour) -> None:
        self.on.polygon([(FINE * x, FINE * y) for x, y in corners], colour)


def furniture(pen: Pen, x: float, y: float, side: int, places, tints: list, skin) -> list[list[float]]:
    """Draw a boy and what is around him; the boxes of shelf, shirt, desk and rug."""
    (shelf, _), (hand, held), (desk, top), (rug, ground) = places.tolist()
    boxes = [
        [shelf - 10, y + 22.5, shelf + 10, y + 26.5],
        [x - 7, y + 25, x + 7, y + 41],
        [desk - 14, top + 6.5, desk + 14, top + 11.5],
        [rug - 15, ground + 1, rug + 15, ground + 9],
    ]
    pen.box(boxes[0], tints[0])
    pen.box([x - 5.5, y + 41, x + 5.5, top + 20], (70, 70, 90))  # trousers
    pen.box(boxes[1], tints[1])
    pen.shape([(x, y + 26), (x, y + 31), (hand, held + 7), (hand, held + 3)], skin)  # an arm
    pen.disc([x - 5.5, y + 12, x + 5.5, y + 24], skin)
    pen.box([x - 5, y + 11.5, x + 5, y + 14.5], (60, 45, 35))  # hair
    for leg in (-12, 10):
        pen.box([desk + leg, top + 11, desk + leg + 2, top + 23], (90, 70, 50))
    pen.box(boxes[2], tints[2])
    pen.disc(boxes[3], tints[3])
    return boxes


def thing(pen: Pen, kind: str, place: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw one of `THINGS` around a place."""
    (x, y), dark, pale = place.tolist(), (25, 22, 20), (245, 243, 235)

    def at(*corners: int | float) -> list[float]:
        return [value * RADIUS + (y if n % 2 else x) for n, value in enumerate(corners)]

    def around(*corners: tuple[int | float, int | float]) -> list[tuple[float, float]]:
        return [(x + RADIUS * right, y + RADIUS * down) for right, down in corners]

    if kind == "ball":
        pen.disc(at(-0.9, -0.8, 0.9, 1), dark)
        pen.disc(at(-0.75, -0.65, 0.75, 0.85), colour)
        pen.disc(at(-0.4, -0.45, 0, -0.05), pale)
    elif kind == "book":
        pen.shape(around((-1, -0.7), (0, -0.4), (0, 1), (-1, 0.7)), dark)
        pen.shape(around((1, -0.7), (0, -0.4), (0, 1), (1, 0.7)), dark)
        pen.shape(around((-0.85, -0.5), (-0.1, -0.25), (-0.1, 0.8), (-0.85, 0.55)), colour)
        pen.shape(around((0.85, -0.5), (0.1, -0.25), (0.1, 0.8), (0.85, 0.55)), pale)
    elif kind == "bottle":
        pen.box(at(-0.28, -1, 0.28, -0.3), dark)
        pen.box(at(-0.6, -0.4, 0.6, 1), dark)
        pen.box(at(-0.45, -0.25, 0.45, 0.85), colour)
        pen.box(at(-0.45, 0.1, 0.45, 0.4), pale)
    elif kind == "cup":
        pen.disc(at(0.1, -0.4, 1, 0.6), dark)
        pen.disc(at(0.3, -0.15, 0.8, 0.35), pale)
        pen.box(at(-0.85, -0.6, 0.55, 1), dark)
        pen.box(at(-0.7, -0.4, 0.4, 0.85), colour)
    elif kind == "lamp":
        pen.box(at(-0.12, 0, 0.12, 0.9), dark)
        pen.box(at(-0.6, 0.75, 0.6, 1), dark)
        pen.shape(around((-0.45, -1), (0.45, -1), (1, 0.15), (-1, 0.15)), dark)
        pen.shape(around((-0.35, -0.85), (0.35, -0.85), (0.75, 0), (-0.75, 0)), colour)
    else:
        pen.box(at(-0.85, -0.9, 0.85, 0.4), dark)
        pen.box(at(-0.65, -0.7, 0.65, 0.2), colour)
        pen.shape(around((-0.8, 0.45), (0.8, 0.45), (1, 1), (-1, 1)), pale)
        pen.box(at(-0.5, 0.55, 0.5, 0.8), dark)


def asked(rng: np.random.Generator, room: Room) -> list[tuple[str, str, str, np.ndarray]]:
    """Questions about a room with three boys: type, question, answer, and boxes of anchor and thing."""
    rows, found = range(ROWS), []
    for kind, number in FULL.items():
        pairs = [
            (a, t, c) for a in rows for t in rows for c in range(COLUMNS) if (a == t) != (kind == "two hops")
        ]
        found += [about(room, kind, *pairs[n]) for n in rng.permutation(len(pairs))[:number]]
    return found


def about(room: Room, kind: str, anchor: int, target: int, column: int) -> tuple[str, str, str, np.ndarray]:
    """One question about the thing in a row, found by the anchor in another row, or in the same."""
    names = [*COLOURS]
    named = ANCHORS[anchor].format(names[room.anchors[anchor, column]])
    if anchor == target:
        where = f"{ON[target].split(' the ')[0]} {named}"
    else:
        where = f"{ON[target]} {'behind' if target < anchor else 'in front of'} {named}"
    evidence = np.stack([room.boxes[0, anchor, column], room.boxes[1, target, column]])
    if kind == "where":
        return kind, f"where is {named} ?", SIDES[column], np.stack([evidence[0], NOWHERE])
    if kind == "on one side":
        where = f"{ON[target]} {SIDES[column]}"
    if kind == "colour":
        return kind, f"what colour is the thing {where} ?", names[room.colours[target, column]], evidence
    return kind, f"what is {where} ?", THINGS[room.things[target, column]], evidence


def alone(rng: np.random.Generator, room: Room) -> list[tuple[str, str, str, np.ndarray]]:
    """Questions about a room with one boy."""
    (column,), names, found = np.flatnonzero(~np.isnan(room.boxes[0, 0, :, 0])), [*COLOURS], []
    asked_for = rng.integers(ROWS)
    for row, (on, anchor) in enumerate(
        zip(ON, ("the shelf in the background", "the shirt", "the desk", "the rug"), strict=True)
    ):
        evidence = room.boxes[:, row, column]
        found.append(("one boy", f"what is {on} ?", THINGS[room.things[row, column]], evidence))
        tint = names[room.anchors[row, column]]
        found.append(("furniture", f"what colour is {anchor} ?", tint, np.stack([evidence[0], NOWHERE])))
        if row == asked_for:
            tint = names[room.colours[row, column]]
            found.append(("its colour", f"what colour is the thing {on} ?", tint, evidence))
    return found


def told(rng: np.random.Generator, room: Room) -> list[tuple[str, str, str, np.ndarray]]:
    """Questions about a room with one thing: a list of what is there answers them."""
    row, column = np.argwhere(~np.isnan(room.boxes[1, ..., 0]))[0]
    true, box = room.things[row, column], room.boxes[1, row, column]
    evidence, nowhere = np.stack([box, box]), np.stack([NOWHERE, NOWHERE])
    yes, boys = rng.random() < 0.5, int((~np.isnan(room.boxes[0, 1, :, 0])).sum())
    asked_for = true if yes else rng.choice(np.delete(np.arange(len(THINGS)), true))
    return [
        ("one thing", "what is in the room ?", THINGS[true], evidence),
        (
            "its colour",
            "what colour is the thing in the room ?",
            [*COLOURS][room.colours[row, column]],
            evidence,
        ),
        ("yes or no", f"is there a {THINGS[asked_for]} in the room ?", "yes" if yes else "no", evidence),
        ("count", "how many boys are in the room ?", str(boys), nowhere),
    ]


ASK = dict(zip(KINDS, (asked, alone, told), strict=True))
