"""Rooms and questions about them: what is drawn and asked, and what is guessed in vain."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.ensemble import HistGradientBoostingClassifier

from companion.datasets import rooms
from companion.datasets.questions import spoken
from companion.datasets.rooms import COLOURS, EASY, FULL, SIDES, SIZE, THINGS


def test_the_same_seed_draws_the_same_and_another_split_or_seed_does_not():
    one, more = rooms.rooms("train", 4), rooms.rooms("train", 7)
    assert (
        np.array_equal(more.pictures[:4], one.pictures) and more.question[: len(one.question)] == one.question
    )
    others = (rooms.rooms("train", 4, 1), rooms.rooms("validation", 4), rooms.rooms("test", 4))
    assert len({own.pictures.numpy().tobytes() for own in (one, *others)}) == 4


@pytest.mark.parametrize(("split", "count"), [("all", 3), ("test", 0)])
@pytest.mark.parametrize("draw", [rooms.rooms, rooms.labelled])
def test_another_split_or_no_room_is_refused(draw, split, count):
    with pytest.raises(ValueError, match="choose at least 1 of train"):
        draw(split, count)


def test_rooms_with_one_boy_ask_for_his_alone():
    rng = np.random.default_rng(1)
    _, room = rooms.drawn(rng, "one boy")
    (column,) = np.flatnonzero(~np.isnan(room.boxes[1, 0, :, 0]))
    asked = rooms.alone(rng, room)
    assert Counter(kind for kind, *_ in asked) == {"one boy": 4, "furniture": 4, "its colour": 1}
    for kind, question, answer, evidence in asked:
        row = next(
            n
            for n, words in enumerate(("shelf", "boy", "desk", "rug"))
            if words in question or (n == 1 and "shirt" in question)
        )
        told = {
            "one boy": [*THINGS][room.things[row, column]],
            "furniture": [*COLOURS][room.anchors[row, column]],
            "its colour": [*COLOURS][room.colours[row, column]],
        }
        assert answer == told[kind]
        assert np.array_equal(evidence[0], room.boxes[0, row, column])
        thing = np.full(4, np.nan) if kind == "furniture" else room.boxes[1, row, column]
        assert np.array_equal(evidence[1], thing, equal_nan=True)


def test_labels_are_what_rooms_hold(monkeypatch):
    made, draw = [], rooms.drawn
    monkeypatch.setattr(rooms, "drawn", lambda rng, kind: made.append(draw(rng, kind)) or made[-1])
    present = rooms.labelled("train", 12).present.numpy()
    assert 0.1 < np.mean([~np.isnan(room.boxes[1, ..., 0]) for _, room in made]) < 0.25
    for (_, room), labels in zip(made, present, strict=True):
        things, colours, stand, bear = np.split(labels, [6, 12, 36])
        for places, rows in ((room.boxes[0], stand), (room.boxes[1], bear)):
            want = {(row, room.anchors[row, c]) for row, c in np.argwhere(~np.isnan(places[..., 0]))}
            assert {tuple(at) for at in np.argwhere(rows.reshape(4, 6))} == want
        lain = np.argwhere(~np.isnan(room.boxes[1, ..., 0]))
        assert {*np.flatnonzero(things)} == {room.things[tuple(at)] for at in lain}
        assert {*np.flatnonzero(colours)} == {room.colours[tuple(at)] for at in lain}


def test_answers_are_read_off_the_room():
    rng = np.random.default_rng(3)
    _, room = rooms.drawn(rng, "three boys")
    names, count = [*COLOURS], 0
    for _ in range(20):
        for kind, question, answer, evidence in rooms.asked(rng, room):
            words = question.removesuffix(" ?")
            row = [n for n, word in enumerate(("shelf", "boy", "desk", "rug")) if word in words]
            if kind == "on one side":
                column = next(n for n, side in enumerate(SIDES) if words.endswith(side))
                target = row[0]
            else:
                last = max(words.rfind(f" {name}") for name in names)
                colour = next(n for n, name in enumerate(names) if words[last + 1 :].startswith(name))
                named = max(row, key=lambda n: words.rfind(("shelf", "boy", "desk", "rug")[n]))
                column = room.anchors[named].tolist().index(colour)
                target = next((n for n in row if n != named), named)
                assert np.array_equal(evidence[0], room.boxes[0, named, column])
                assert len(row) == (2 if kind == "two hops" else 1)
                if kind == "two hops":
                    assert ("behind" in words) == (target < named)
            if kind == "where":
                assert answer == SIDES[column]
            else:
                told = (
                    names[room.colours[target, column]]
                    if kind == "colour"
                    else THINGS[room.things[target, column]]
                )
                assert answer == told and np.array_equal(evidence[1], room.boxes[1, target, column])
            count += 1
    assert count == 20 * sum(FULL.values())


def test_a_full_room_holds_each_kind_and_each_colour_twice():
    rng = np.random.default_rng(0)
    for _ in range(20):
        _, room = rooms.drawn(rng, "three boys")
        assert {*Counter(room.things.flat).values()} == {*Counter(room.colours.flat).values()} == {2}
        assert all(len({*row}) == 3 for row in room.anchors.tolist())
        assert (room.boxes[..., :2] < room.boxes[..., 2:]).all() and (room.boxes >= 0).all()
        assert (room.boxes[..., 2:] <= np.array(SIZE[::-1])).all()


def test_things_are_seen_where_their_boxes_are():
    """Without its things the room is the same but in their boxes."""
    pictures, boxes = [], []
    for thing in (rooms.thing, lambda *_: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rooms, "thing", thing)
            picture, room = rooms.drawn(np.random.default_rng(5), "three boys")
        pictures.append(picture.astype(int))
        boxes = room.boxes[1].reshape(-1, 4).round().astype(int)
    changed, inside = np.abs(pictures[0] - pictures[1]).max(-1) > 30, np.zeros(SIZE, bool)
    for x0, y0, x1, y1 in boxes:
        inside[y0:y1, x0:x1] = True
        assert changed[y0:y1, x0:x1].mean() > 0.2
    grown = np.zeros(SIZE, bool)
    for x0, y0, x1, y1 in boxes:
        grown[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1] = True
    assert not changed[~grown].any()


@pytest.fixture(scope="module")
def sides():
    return [rooms.rooms(split, count) for split, count in (("train", 1000), ("test", 700))]


def at_chance(right, most):
    """Of a battery of tests: chance is not rejected, and the estimate is below chance + 5 points."""
    test = binomtest(int(np.sum(right)), len(right), most, alternative="greater")
    battery = 2 * len(FULL) + len(EASY)
    assert test.pvalue > 0.01 / battery and np.mean(right) < most + 0.05, (np.mean(right), most)


def chance(train, kind):
    """The share of the most frequent answer of a type, and which it is."""
    said = Counter(answer for answer, of in zip(train.answer, train.kind, strict=True) if of == kind)
    return said.most_common(1)[0][1] / said.total()


@pytest.mark.parametrize("kind", [*FULL, *EASY])
def test_the_question_alone_tells_nothing(sides, kind):
    train, test = sides
    said = defaultdict(Counter)
    for question, answer in zip(train.question, train.answer, strict=True):
        said[question][answer] += 1
    right = [
        answer == (said[question].most_common(1) or [("", 0)])[0][0]
        for question, answer, of in zip(test.question, test.answer, test.kind, strict=True)
        if of == kind
    ]
    at_chance(right, chance(train, kind))


def listed(side):
    """Of each question: how many things and anchors of which colour its room holds, and the words asked."""
    bags = []
    for room in side.rooms:
        bag = np.zeros((len(THINGS) + rooms.ROWS, len(COLOURS)))
        np.add.at(bag, (room.things, room.colours), 1)
        np.add.at(bag, (len(THINGS) + np.arange(rooms.ROWS)[:, None], room.anchors), 1)
        bags.append(bag.flatten())
    words = sorted({word for question in side.question for word in spoken(question)})
    asked = np.array([[word in spoken(question) for word in words] for question in side.question])
    return np.concatenate([np.array(bags)[side.picture], asked], 1)


def test_a_list_of_what_is_there_tells_nothing(sides):
    features = [listed(side) for side in sides]
    for kind in FULL:
        (x, y), (tried, true) = (
            (part[np.array(side.kind) == kind], np.array(side.answer)[np.array(side.kind) == kind])
            for part, side in zip(features, sides, strict=True)
        )
        guessed = HistGradientBoostingClassifier(max_iter=8, random_state=0).fit(x, y).predict(tried)
        at_chance(guessed == true, chance(sides[0], kind))
