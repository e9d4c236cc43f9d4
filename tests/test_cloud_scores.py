import math

import pytest
import torch
from sklearn.metrics import mutual_info_score

from companion.metrics.clouds import covered, information, inside, share, shown, within

NAN = math.nan


def test_within_a_group_other_classes_do_not_count():
    logits = torch.tensor([[3.0, 1, 2, 0], [0, 1, 2, 3]])
    groups = {"a": torch.tensor([False, True, True, False])}
    found = within(logits, torch.tensor([2, 3]), groups)
    assert found["accuracy"].tolist() == [0, 100]
    assert found["within_a"][0] == 100 and found["within_a"][1].isnan()


def test_centres_and_windows_by_hand():
    boxes = torch.tensor([[0.0, 0, 0.2, 0.2], [NAN] * 4])[None, None]
    glimpses = torch.tensor([[0.1, 0.1, 0.01, 0.01], [0.3, 0.1, 0.3, 0.1], [0.3, 0.1, 0.1, 0.1]])[None, None]
    assert inside(glimpses[..., :2], boxes)[0, 0, :, 0].tolist() == [True, False, False]
    assert covered(glimpses, boxes)[0, 0, :, 0].tolist() == [True, True, False]
    assert not inside(glimpses[..., :2], boxes)[..., 1].any() and not covered(glimpses, boxes)[..., 1].any()


def test_the_share_counts_things_that_are_seen():
    boxes = torch.zeros(2, 3, 2, 4)
    boxes[0, 1, 1] = NAN
    boxes[1] = NAN
    hits = torch.zeros(2, 3, 4, 2, dtype=torch.bool)
    hits[0, 0, 2] = hits[0, 1, 0, 0] = True
    found = share(hits, boxes)
    assert found[0] == pytest.approx(100 * 3 / 5) and found[1].isnan()


def test_a_glimpse_shows_one_thing():
    boxes = torch.tensor([[0.0, 0, 0.2, 0.2]])[None, None]
    joints = torch.tensor([[[-0.5, -0.5], [0.5, 0.5]], [[NAN, NAN], [NAN, NAN]]])[None, None]
    places = torch.tensor([[0.1, 0.1], [0.4, 0.4], [0.9, 0.0]])[None, None]
    assert shown(places, boxes, joints)[0, 0].int().tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]


def test_information_is_that_of_scikit_learn():
    g = torch.Generator().manual_seed(0)
    workers, things = (torch.randint(0, n, (3, 8, 3), generator=g) for n in (3, 4))
    one_hot = torch.nn.functional.one_hot
    found = information(one_hot(workers, 3).float(), one_hot(things, 4).bool())
    for b in range(3):
        want = mutual_info_score(workers[b].flatten(), things[b].flatten()) / math.log(2)
        assert found[b].item() == pytest.approx(want, abs=1e-5)


def test_a_worker_a_thing_is_one_bit_and_equal_weights_are_none():
    things = torch.nn.functional.one_hot(torch.tensor([[[0, 1]] * 4]), 2).bool()
    assert information(things.float(), things).item() == pytest.approx(1, abs=1e-6)
    assert information(torch.full((1, 4, 2, 2), 0.5), things).item() == pytest.approx(0, abs=1e-6)
