"""Stacked attention: against the obvious loop, against pooling, and what differs in the authors' code."""

import math

import pytest
import torch

from companion.datasets.questions import Asking
from companion.models.stacked_attention import (
    READERS,
    CrossAttention,
    Ensemble,
    Hop,
    Pooled,
    Regions,
    StackedAttention,
    Trunk,
    objective,
)

CHANNELS, V, A = {"one": 6, "two": 4}, 11, 5


@pytest.fixture
def batch():
    torch.manual_seed(0)
    maps = {"one": torch.randn(3, 6, 4, 5), "two": torch.randn(3, 4, 2, 3), "other": torch.randn(3, 2, 1, 1)}
    words = torch.tensor([[2, 3, 4, 0], [5, 6, 7, 8], [9, 0, 0, 0], [2, 10, 0, 0]])
    return maps, torch.tensor([0, 2, 2, 1]), words


def built(kind=StackedAttention, **options):
    torch.manual_seed(1)
    return kind(CHANNELS, V, A, d=8, embedding=7, **options).eval()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("apart", [False, True])
def test_it_equals_a_loop_over_questions_hops_and_regions(batch, reader, apart):
    maps, picture, words = batch
    model = built(hops=2, inner=6, reader=reader, tanh_apart=apart)
    said = model(*batch)
    regions = model.regions(maps).flatten(1, 2)
    for b, p in enumerate(picture.tolist()):
        length = int((words[b] != 0).sum())
        u = model.encode(words[b : b + 1, :length])[0]
        for k, hop in enumerate(model.hops):
            logits = []
            for v in regions[p]:
                one, other = hop.of_regions.weight @ v, hop.of_known.weight @ u + hop.of_known.bias
                h = one.tanh() + other.tanh() if apart else (one + other).tanh()
                logits.append(hop.weigh.weight[0] @ h + hop.weigh.bias[0])
            weights = torch.stack(logits).softmax(0)
            torch.testing.assert_close(said.weights[b, k].flatten(), weights)
            u = u + sum(weight * v for weight, v in zip(weights, regions[p], strict=True))
        torch.testing.assert_close(said.logits[b], model.answer(u))


@pytest.mark.parametrize("kind", [StackedAttention, CrossAttention])
def test_weights_are_distributions(batch, kind):
    weights = built(kind, hops=3)(*batch).weights
    assert weights.shape == (4, 3, 4, 5) and (weights > 0).all()
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(4, 3))


def test_without_a_preference_it_is_average_pooling(batch):
    model, pooled = built(hops=1), built(Pooled, known="sum")
    torch.nn.init.zeros_(model.hops[0].weigh.weight)
    pooled.load_state_dict({n: v for n, v in model.state_dict().items() if not n.startswith("hops")})
    torch.testing.assert_close(model(*batch).logits, pooled(*batch).logits)


def test_the_authors_tanh_caps_every_region():
    """e / (e + (N - 1) / e) where one region says 1 and all others -1: 3.65 % of the paper's 196."""
    regions, N = torch.full((1, 196, 1), -9.0), 196
    regions[0, 7] = 9
    for bounded, most in ((True, math.e / (math.e + (N - 1) / math.e)), (False, 1.0)):
        hop = Hop(1, 1, 0.0, tanh_apart=False, tanh_logits=bounded)
        for value in (hop.of_regions.weight, hop.weigh.weight):
            torch.nn.init.constant_(value, 20.0)
        for value in (hop.of_known.weight, hop.of_known.bias, hop.weigh.bias):
            torch.nn.init.zeros_(value)
        weights = hop(regions, torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64))
        assert weights[0].argmax() == 7 and weights.max().item() == pytest.approx(most)
        assert not bounded or 100 * most == pytest.approx(3.65, abs=0.005)


@pytest.mark.parametrize(
    ("model", "reads"),
    [
        (lambda: built(hops=0), {"words"}),
        (lambda: built(Pooled, known="picture"), {"maps", "picture"}),
        (lambda: built(Pooled), {"maps", "picture", "words"}),
        (lambda: built(Pooled, known="sum"), {"maps", "picture", "words"}),
        (lambda: built(hops=1), {"maps", "picture", "words"}),
        (lambda: built(CrossAttention), {"maps", "picture", "words"}),
    ],
)
def test_what_each_model_reads(batch, model, reads):
    maps, picture, words = batch
    model, others = model(), {"maps": {name: one.flip(-1) + 1 for name, one in maps.items()}}
    others |= {"picture": (picture + 1) % 3, "words": words.flip(0)}
    want = model(maps, picture, words).logits
    for name, other in others.items():
        changed = {"maps": maps, "picture": picture, "words": words} | {name: other}
        assert torch.equal(model(**changed).logits, want) == (name not in reads), name


@pytest.mark.parametrize("reader", READERS)
def test_words_behind_the_last_tell_nothing(batch, reader):
    model, words = built(hops=1, reader=reader), batch[2]
    longer = torch.cat([words, torch.zeros(4, 3, dtype=torch.int64)], 1)
    torch.testing.assert_close(model(*batch).logits, model(*batch[:2], longer).logits)


def test_answers_do_not_depend_on_the_batch(batch):
    maps, picture, words = batch
    for model in (built(hops=2), built(CrossAttention), built(Pooled)):
        alone = [model(maps, picture[n : n + 1], words[n : n + 1]).logits for n in range(4)]
        torch.testing.assert_close(model(*batch).logits, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_an_ensemble_says_the_mean_and_each_member_learns_for_itself(batch):
    members = []
    for seed in range(3):
        torch.manual_seed(seed)
        members.append(StackedAttention(CHANNELS, V, A, d=8, embedding=7).eval())
    said, each = Ensemble(members)(*batch), [member(*batch) for member in members]
    mean = torch.stack([one.logits.softmax(1) for one in each]).mean(0)
    torch.testing.assert_close(said.logits.softmax(1), mean)
    torch.testing.assert_close(said.weights, torch.stack([one.weights for one in each]).mean(0))
    worth = torch.zeros(4, A)
    asking = Asking(*batch, torch.tensor([1, 4, -1, 0]), worth, torch.arange(4))
    losses = [objective(model, asking, each=2.0, smoothing=0.1) for model in (Ensemble(members), *members)]
    torch.testing.assert_close(losses[0], torch.stack(losses[1:]).mean())


def test_a_region_tells_where_it_lies():
    maps = {"one": torch.zeros(1, 6, 4, 5), "two": torch.zeros(1, 4, 4, 5)}
    with_places, without = Regions(CHANNELS, 8, 0.0, True, None), Regions(CHANNELS, 8, 0.0, False, None)
    assert len(with_places(maps).flatten(1, 2)[0].unique(dim=0)) == 20
    assert len(without(maps).flatten(1, 2)[0].unique(dim=0)) == 1


def test_a_place_of_the_trunk_sees_a_thing_and_little_more_around_its_own_middle():
    trunk = Trunk()
    assert trunk(torch.zeros(1, 3, 96, 160, dtype=torch.uint8))["own"].shape == (1, 96, 12, 20)
    kinds = torch.nn.Conv2d, torch.nn.ZeroPad2d  # without what normalises
    layers = [layer for layer in trunk.layers if isinstance(layer, kinds)]
    picture = torch.zeros(1, 3, 96, 160, requires_grad=True)
    place = torch.nn.Sequential(*layers)(picture)[0, :, 6, 10].sum()
    rows, columns = torch.autograd.grad(place, picture)[0][0].abs().sum(0).nonzero().T
    for seen, n in ((rows, 6), (columns, 10)):
        assert len(seen.unique()) == 23 and abs(seen.float().mean() - (8 * n + 3.5)) < 1


@pytest.mark.parametrize("kind", [StackedAttention, Pooled, CrossAttention])
def test_an_unknown_reader_is_refused(kind):
    with pytest.raises(ValueError, match="choose .*lstm or cnn"):
        built(kind, reader="gru")


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="-1 hops"):
        built(hops=-1)
    with pytest.raises(ValueError, match="0 layers, d 8, 4 heads"):
        built(CrossAttention, hops=0)
    with pytest.raises(ValueError, match="d 8, 3 heads.*; choose 1 layer or more, d a multiple of heads"):
        built(CrossAttention, heads=3)
    with pytest.raises(ValueError, match="choose picture, sum or concatenation"):
        built(Pooled, known="all")
