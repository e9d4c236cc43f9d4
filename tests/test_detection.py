"""Average precision and errors of parts, by hand."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from companion.metrics import detection


class It(NamedTuple):
    score: float
    box: Tensor
    part_boxes: Tensor


def it(score, box, *centres):
    parts = torch.tensor([[x - 2, y - 2, x + 2, y + 2] for x, y in centres]).float().view(-1, 4)
    return It(score, torch.tensor(box).float(), parts)


THERE, ELSEWHERE = [0, 0, 10, 10], [50, 50, 60, 60]
BOXES = torch.tensor([[0.0, 0, 10, 10], [torch.nan] * 4, [0.0, 0, 10, 10]])


def test_an_object_is_found_once():
    found = [[it(3, THERE), it(2, [0, 0, 10, 9])], [it(1, THERE)], []]
    assert detection.hits(found, BOXES) == [[True, False], [False], []]
    assert detection.hits([[it(1, [0, 0, 10, 4])]], BOXES[:1]) == [[False]]


def test_average_precision_by_hand():
    """Ranked: right, wrong, right: precision 1 at half of the recall, 2/3 at all of it."""
    found = [[it(3, THERE)], [it(2, THERE)], [it(1, THERE)]]
    assert detection.average_precision(found, BOXES) == pytest.approx(100 * (1 + 2 / 3) / 2)
    missed = [[it(3, THERE)], [it(2, THERE)], [it(1, ELSEWHERE)]]
    assert detection.average_precision(missed, BOXES) == pytest.approx(50)
    assert detection.average_precision([[], [], []], BOXES) == 0


def test_errors_of_parts_count_from_where_they_are_in_training():
    """The model's second and third part are the true ones, moved by 2 pixels to the right."""
    true = torch.tensor([[[3.0, 3], [7, 7]], [[4.0, 3], [7, 6]], [[3.0, 2], [8, 7]]])
    boxes = BOXES[:1].expand(3, 4)
    places = [[(n, 9 - 2 * n), *((x + 2, y) for x, y in parts)] for n, parts in enumerate(true.tolist())]
    found = [[it(1, THERE, *centres)] for centres in places]
    trained = detection.placed(found, boxes, true)
    assert trained.parts.shape == (3, 3, 2) and trained.width.tolist() == [10] * 3
    assert detection.part_errors(trained, trained).abs().max() < 1e-5
    tested = detection.placed([[it(1, THERE, (0, 0), (5, 3), (9, 11))]], boxes[:1], true[:1])
    assert detection.part_errors(trained, tested).tolist() == [pytest.approx([0, 4], abs=1e-5)]
    got = detection.scores(found, boxes, true, trained)
    assert got == {
        "average_precision": 100,
        "recall": 100,
        "part_error": pytest.approx(0, abs=1e-4),
        "n_test": 3,
    }


def test_errors_need_as_many_parts():
    found = [[it(1, THERE)]]
    alone = detection.placed(found, BOXES[:1], torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match="a model of at least as many parts"):
        detection.part_errors(alone, alone)
    assert "part_error" not in detection.scores(found, BOXES[:1], torch.zeros(1, 2, 2), alone)
