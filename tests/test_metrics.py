import pytest
import torch

from companion.datasets.digits import Canvas, Digits
from companion.metrics import glimpses
from companion.models import ram


def test_on_box_by_hand():
    """Pixels 2 and 3 are in the box 2..4, which covers [1.5, 3.5)."""
    places = torch.tensor([[[2.0, 2.0], [3.49, 1.5], [3.5, 2.0], [1.49, 2.0]]])
    box = torch.tensor([[2.0, 2.0, 4.0, 4.0]])
    assert glimpses.on_box(places, box).tolist() == [0.5]
    assert glimpses.on_box(places[:, :1], box).tolist() == [1.0]
    assert glimpses.on_box(places, box, torch.tensor([[0.5, 0.1, 0.2, 0.2]])).tolist() == pytest.approx([0.6])


def test_chance_is_what_random_glimpses_reach():
    data = Digits("digits", "test", "translated-60")
    batch = data.__getitems__(range(500))
    torch.manual_seed(0)
    scores = glimpses.scores(ram.RAM(200, width=16, policy="random"), batch)
    # 100,000 locations: the standard error is below 0.1
    assert scores["on_digit"].mean() == pytest.approx(scores["chance"].mean().item(), abs=0.25)


def test_a_box_at_the_border_is_hit_by_what_lies_inside():
    """Of 5 x 5 pixels, whose centres span 4 x 4, a box over the first 2 x 3 holds 1.5 x 2.5."""
    box = torch.tensor([[0.0, 0.0, 2.0, 3.0], [0.0, 0.0, 5.0, 5.0]])
    assert glimpses.box_share(box, 5, 5).tolist() == [1.5 * 2.5 / 16, 1.0]


def test_the_middle_is_a_control():
    images, labels = torch.zeros(2, 60, 60), torch.zeros(2, dtype=torch.long)
    box = torch.tensor([[20.0, 20.0, 40.0, 40.0], [0.0, 0.0, 20.0, 20.0]])
    read = ram.Read(torch.zeros(2, 10), locations=torch.zeros(2, 3, 2))
    scores = glimpses.scores(lambda images: read, Canvas(images, labels, box))
    assert scores["centre"].tolist() == scores["on_digit"].tolist() == [100, 0]


def test_a_policy_that_knows_the_box_scores_a_hundred():
    batch = Digits("digits", "test", "cluttered-60").__getitems__(range(20))
    centre = (batch.box[:, :2] + batch.box[:, 2:] - 1) / 2 / 59 * 2 - 1

    def oracle(images):
        logits = torch.nn.functional.one_hot(batch.label, 10).float()
        return ram.Read(logits, locations=torch.stack([torch.zeros(20, 2), centre], 1))

    scores = {name: values.mean().item() for name, values in glimpses.scores(oracle, batch).items()}
    assert scores["on_digit"] == 100 and scores["error"] == scores["error_of_10"] == 0


def test_averaging_is_the_mean_of_probabilities():
    logits = iter(torch.tensor([[[0.0, 2.0]], [[5.0, 1.0]]]))
    mean = glimpses.average(lambda images: ram.Read(next(logits)), torch.zeros(1, 4, 4), 2)
    want = (torch.tensor([0.0, 2.0]).softmax(0) + torch.tensor([5.0, 1.0]).softmax(0)) / 2
    torch.testing.assert_close(mean.exp()[0], want)
