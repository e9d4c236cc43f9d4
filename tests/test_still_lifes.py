"""Still lifes: what is drawn, and what is asked in vain."""

import numpy as np
import pytest
import torch

from companion.datasets.still_lifes import SHAPES, SIZE, shape, still_lifes


def test_the_same_seed_draws_the_same_and_another_split_or_seed_does_not():
    one, more = still_lifes("train", 5), still_lifes("train", 8)
    assert torch.equal(more.pictures[:5], one.pictures) and more.kinds[:5] == one.kinds
    assert torch.equal(torch.cat(more.boxes[:5]), torch.cat(one.boxes))
    assert np.array_equal(more.fixations[: len(one.fixations)], one.fixations)
    others = (still_lifes("train", 5, 1), still_lifes("validation", 5), still_lifes("test", 5))
    assert len({own.pictures.numpy().tobytes() for own in (one, *others)}) == 4


def test_what_is_present_has_a_box_of_its_own():
    drawn = still_lifes("test", 60)
    for boxes, kinds in zip(drawn.boxes, drawn.kinds, strict=True):
        assert 1 <= len({*kinds}) == len(kinds) == len(boxes) <= 3
        assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= torch.tensor(SIZE[::-1])).all()
        assert ((boxes[:, 2:] - boxes[:, :2]) > 8).all()
    every = [kind for kinds in drawn.kinds for kind in kinds]
    assert min(every.count(kind) for kind in range(len(SHAPES))) > 6
    observers = drawn.fixations[:, 1]
    assert set(observers) == set(range(10)) and (drawn.fixations[:, 3:5] >= 0).all()


def test_shapes_differ_and_fill_their_boxes():
    y, x = (np.mgrid[:61, :61] - 30.0) / 28
    covers = [shape(kind, x, y, 0.0, 28.0) for kind in range(len(SHAPES))]
    for n, cover in enumerate(covers):
        rows, columns = (np.flatnonzero((cover > 0.5).any(axis)) for axis in (1, 0))
        assert np.ptp(rows) > 40 and np.ptp(columns) > 40, SHAPES[n]
        assert all(np.abs(cover - other).mean() > 0.05 for other in covers[:n])
    assert covers[SHAPES.index("ring")][30, 30] == 0 and covers[SHAPES.index("disc")][30, 30] == 1


@pytest.mark.parametrize(("split", "count"), [("all", 3), ("test", 0)])
def test_another_split_or_no_picture_is_refused(split, count):
    with pytest.raises(ValueError, match="choose at least 1 of train"):
        still_lifes(split, count)
