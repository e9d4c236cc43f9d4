"""The question box: what is asked is answered, and what cannot be is said."""

import base64
import io

import numpy as np
import PIL.Image
import pytest
import torch
from ipywidgets import Output

from companion.datasets.questions import Questions
from companion.experiments import replies
from companion.models.stacked_attention import StackedAttention, Trunk
from companion.player.question_box import QuestionBox


@pytest.fixture(scope="module")
def rooms():
    return Questions("rooms", "test", count=6, tested=4)


@pytest.fixture(scope="module")
def model(rooms):
    torch.manual_seed(0)
    sizes = len(rooms.vocabulary.words), len(rooms.vocabulary.answers)
    return StackedAttention(Trunk.channels, *sizes, d=16, inner=8, trunk=Trunk()).eval()


def test_a_question_of_the_side_gets_what_the_model_says_to_it(model, rooms):
    row = 7
    batch = rooms.__getitems__([row])
    with torch.no_grad():
        said = model(batch.maps, batch.picture, batch.words)
    reply = replies.reply(model, rooms, int(rooms.picture[row]), rooms.question[row])
    best = rooms.vocabulary.answers[said.logits.argmax()]
    assert next(iter(reply.answers)) == best and not reply.unknown
    assert reply.answers[best] == pytest.approx(said.logits.softmax(1).max().item())
    torch.testing.assert_close(reply.weights, said.weights[0])


def test_a_question_of_ones_own_may_have_unknown_words(model, rooms):
    reply = replies.reply(model, rooms, 2, "What is on the green elephant?")
    assert reply.unknown == ["elephant"] and len(reply.answers) == 3
    assert (reply.image == rooms.pictures.shown[2]).all()


def test_examples_show_a_row_a_question(model, rooms):
    one, two = (replies.examples(model, rooms, ["one hop", "colour"][:n]) for n in (1, 2))
    heights = [np.asarray(PIL.Image.open(io.BytesIO(its.data))).shape[0] for its in (one, two)]
    assert heights[1] == pytest.approx(2 * heights[0], abs=4)
    assert rooms.question[rooms.kind.index("one hop")] in one.alt


def test_examples_are_of_several_pictures_with_the_right_answers_and_boxes_in_pixels(
    model, rooms, monkeypatch
):
    shown, draw = [], replies.figures.replies
    monkeypatch.setattr(replies.figures, "replies", lambda asked: shown.extend(asked) or draw(asked))
    replies.examples(model, rooms, ["one hop", "no such type", "count", "two hops"])
    first, second, third = shown
    row = rooms.kind.index("one hop")
    assert first.truth == rooms.answers[row][0]
    assert [its.boxes.isnan().any(1).tolist() for its in shown] == [[False] * 2, [True] * 2, [False] * 2]
    assert not (first.image == third.image).all()
    torch.testing.assert_close(first.boxes[1, [0, 2]], 160 * rooms.evidence[row, 1, [0, 2]])
    torch.testing.assert_close(first.boxes[1, [1, 3]], 96 * rooms.evidence[row, 1, [1, 3]])


def test_the_box_asks_when_something_has_changed(model, rooms):
    asked = []

    def ask(picture, question):
        asked.append((picture, question))
        return replies.shown(model, rooms, picture, question)

    box = QuestionBox(ask, 4, ["what is on the red desk ?", "is there a cup in the room ?"])
    box.question.value = "is there a cup in the room ?"
    box.number.value = 3
    assert asked == [
        (0, "what is on the red desk ?"),
        (0, "is there a cup in the room ?"),
        (3, "is there a cup in the room ?"),
    ]
    box.number.value = 9
    assert box.number.value == 3
    shown = replies.shown(model, rooms, 3, box.question.value)
    assert base64.b64encode(shown.data).decode() in box.reply.value
    assert "is there a cup in the room ?" in box.reply.value.split('"')[1]  # read aloud
    parts = *box.children, *box.children[0].children
    assert not [part for part in parts if isinstance(part, Output)]  # the box says why


def test_a_question_without_a_word_is_answered_with_a_sentence(model, rooms):
    box = QuestionBox(lambda picture, question: replies.shown(model, rooms, picture, question), 4, ["<?>"])
    assert "&lt;?&gt;&#x27; has no word; ask something" in box.reply.value
