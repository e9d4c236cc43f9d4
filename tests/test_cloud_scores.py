import math
from typing import NamedTuple

import pytest
import torch
from sklearn.metrics import mutual_info_score

from companion.metrics.clouds import (
    covered,
    hand_errors,
    information,
    inside,
    peaks,
    scorer,
    share,
    shown,
    within,
)

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


def test_peaks_are_the_highest_places_that_are_apart():
    heat = torch.zeros(1, 1, 9, 17)
    heat[0, 0, 0, 0], heat[0, 0, 1, 1], heat[0, 0, 8, 8], heat[0, 0, 4, 16] = 3, 2.9, 2, 1
    found = peaks(heat, 3)[0, 0]
    assert found.tolist() == [[-1, -1], [0, 1], [1, 0]]


def test_errors_are_of_the_hand_that_is_nearest_to_what_decides():
    hands = torch.tensor([[[-0.5, 0.0], [0.5, 0]], [[NAN, NAN], [NAN, NAN]]])[None, None].expand(
        1, 3, -1, -1, -1
    )
    found = hands.nan_to_num(0.4) + torch.tensor([0.0, 0.1])
    found[:, :, 0, 1, 0] += torch.tensor([0.1, 0.2, 0.4])
    boxes = torch.full((1, 3, 2, 4), NAN)
    boxes[0, :2, 1] = torch.tensor([0.6, -0.1, 0.8, 0.1])  # 0.2 to the right of the right hand
    off, near = hand_errors(found, hands, boxes)
    assert near[0].item() == pytest.approx(0.2 * 960, rel=1e-5)
    want = min(math.hypot(x * 960, 0.1 * 540) for x in (0.1, 0.2))  # a median of two is the lower one
    assert off[0].item() == pytest.approx(want, rel=1e-5)
    boxes[:] = NAN
    assert all(x.isnan().all() for x in hand_errors(found, hands, boxes))


class Batch(NamedTuple):
    label: torch.Tensor
    boxes: torch.Tensor | None
    joints: torch.Tensor


class Said(NamedTuple):
    logits: torch.Tensor
    glimpses: torch.Tensor | None = None
    heatmaps: torch.Tensor | None = None
    workers: torch.Tensor | None = None


GROUPS = {"a": torch.tensor([True, True, False]), "b": torch.tensor([False, False, True])}


def test_scores_of_clips_stand_in_their_group_and_others_glimpses_beside():
    label = torch.tensor([0, 1, 2])
    boxes = torch.tensor([[-0.9, 0.7, 0.1], [-0.9, 0.7, 0.1]]).T[:, None, None].repeat(1, 2, 1, 2)
    boxes[..., 2:] += 0.1
    glimpses = torch.cat([boxes[..., :2] + 0.05, torch.full((3, 2, 1, 2), 0.01)], -1)
    batch = Batch(label, boxes, torch.full((3, 2, 1, 25, 2), NAN))
    said = Said(torch.eye(3), glimpses, workers=torch.ones(3, 2, 1, 2) / 2)
    found = scorer(GROUPS, lambda model, batch: said)(max, batch)
    assert found["covered_a"][:2].tolist() == found["centred_a"][:2].tolist() == [100, 100]
    assert found["covered_a"][2].isnan() and found["covered_b"].isnan().tolist() == [True, True, False]
    assert found["covered_other_a"][:2].tolist() == [0, 0]  # never the clip's own
    assert found["information"].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert "hand_error_a" not in found
    alone = scorer(GROUPS, lambda model, batch: Said(torch.eye(3)[:1], glimpses[:1]))
    assert "covered_other_a" not in alone(max, Batch(label[:1], boxes[:1], batch.joints[:1]))
    assert [*scorer({}, lambda model, batch: said)(max, batch._replace(boxes=None))] == ["accuracy"]


def test_of_a_model_without_glimpses_the_map_of_its_class_is_scored():
    heat = torch.zeros(1, 1, 3, 9, 17)
    heat[0, 0, 1, 4, 16], heat[0, 0, 1, 0, 0], heat[0, 0, 1, 8, 8], heat[0, 0, 1, 8, 0] = 1, 4, 3, 2
    box = torch.tensor([0.9, -0.1, 1.1, 0.1])[None, None, None]
    for k in (1, 2):
        said = Said(torch.eye(3)[k, None], heatmaps=heat)
        batch = Batch(torch.tensor([0]), box, torch.full((1, 1, 1, 25, 2), NAN))
        found = scorer(GROUPS, lambda model, batch, said=said: said, size=(0.05, 0.05))(max, batch)
        assert found["centred_of_8_a"].item() == found["covered_of_8_a"].item() == (100 if k == 1 else 0)
        assert found["centred_of_3_a"].item() == 0  # it is the fourth peak
