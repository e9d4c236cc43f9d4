"""Attention over feature maps: against the obvious loop, against pooling, and the gradient of REINFORCE."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from companion.models import feature_map_attention as fma
from companion.models.feature_map_attention import READERS, CubeRegression, FeatureMapAttention

B, T, D, SIZE, C = 3, 4, 5, (2, 3), 6
PARTS = "weight_ih", "weight_hh", "bias_ih", "bias_hh"


def built(**options):
    torch.manual_seed(0)
    return FeatureMapAttention(D, C, SIZE, **{"S": 7} | options).eval()


@pytest.fixture
def maps():
    return torch.randn(B, T, D, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("of_features", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_it_equals_a_loop_over_clips_frames_layers_and_places(maps, layers, of_features):
    model = built(layers=layers, of_features=of_features)
    said = model(maps)
    for b in range(B):
        cubes = maps[b].flatten(2).mT  # T K D
        start = model.begin(cubes.mean((0, 1))).tanh().view(2, layers, 7)
        h, c = list(start[0]), list(start[1])
        for t in range(T):
            if of_features:
                scores = torch.cat([
                    model.where((model.seen(X) + model.known(h[-1])).tanh()) for X in cubes[t]
                ])  # fmt: skip
            else:
                scores = model.where(h[-1])
            weights = scores.exp() / scores.exp().sum()
            torch.testing.assert_close(said.weights[b, t].flatten(), weights)
            x = sum(weight * X for weight, X in zip(weights, cubes[t], strict=True))
            for n in range(layers):
                own = [getattr(model.lstm, f"{name}_l{n}") for name in PARTS]
                i, f, g, o = (own[0] @ x + own[1] @ h[n] + own[2] + own[3]).chunk(4)
                c[n] = f.sigmoid() * c[n] + i.sigmoid() * g.tanh()
                x = h[n] = o.sigmoid() * c[n].tanh()
            torch.testing.assert_close(said.logits[b, t], model.classify(model.hidden(h[-1]).tanh()))


def test_equal_weights_are_mean_pooling(maps):
    soft, mean = built(), built(reads="mean")
    torch.nn.init.zeros_(soft.where.weight)
    torch.nn.init.zeros_(soft.where.bias)
    mean.load_state_dict({n: v for n, v in soft.state_dict().items() if not n.startswith("where")})
    torch.testing.assert_close(soft(maps).logits, mean(maps).logits)


@pytest.mark.parametrize("reads", ["soft", "hard"])
def test_weights_are_distributions(maps, reads):
    weights = built(reads=reads)(maps).weights
    assert weights.shape == (B, T, *SIZE) and (weights >= 0).all()
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(B, T))
    assert (weights.amax((2, 3)) == 1).all() == (reads == "hard")


def test_a_window_takes_what_a_crop_shows(maps):
    from companion.ops.spatial_transformer import pooled

    model, scores = built(reads="crop"), torch.randn(B, 4)
    glimpse = torch.cat([scores[:, :2].tanh(), scores[:, 2:].sigmoid()], 1)[:, None]
    want = pooled(maps[:, 0], glimpse, fma.SIDE)[:, 0]
    found = torch.einsum("bk,bdk->bd", model.window(scores), maps[:, 0].flatten(2))
    torch.testing.assert_close(found, want)


def test_a_window_has_a_gradient_to_its_place(maps):
    model = built(reads="crop").double()
    torch.autograd.gradcheck(model.window, torch.randn(2, 4, dtype=torch.float64, requires_grad=True))


def test_the_first_weights_are_of_the_mean_alone(maps):
    """The paper's weights come from the state before: they do not know what is where."""
    turned = maps.flip(-1)
    for of_features in (False, True):
        model = built(of_features=of_features)
        same = torch.allclose(model(maps).weights[:, 0], model(turned).weights[:, 0])
        assert same != of_features


def test_reinforce_climbs_the_expected_reward(monkeypatch):
    """Against the exact gradient of the expected reward of a clip of two frames, over all pairs of places."""
    model = built(reads="hard", layers=1).double().train()
    for layer in (model.where, model.classify, model.hidden):
        layer.weight.data *= 6  # so that places differ in what they are worth
    clip = 4 * torch.randn(1, 2, D, *SIZE, generator=torch.Generator().manual_seed(2)).double()
    label = torch.tensor([2])
    expected = 0
    for pair in product(range(6), range(6)):
        drawn = iter(pair)
        with monkeypatch.context() as patch:
            patch.setattr(torch.distributions.Categorical, "sample", lambda _: torch.tensor([next(drawn)]))  # noqa: B023
            said = model(clip)
        reward = fma.answer(said.logits)[0, 2].detach()
        expected = expected + said.log_probs.sum().exp() * reward
    exact = torch.autograd.grad(-expected / 2, model.where.bias)[0]  # the objective is a mean over frames
    many = 40_000
    torch.manual_seed(0)
    value = fma.objective(model, clip.expand(many, -1, -1, -1, -1), label.expand(many))
    found = torch.autograd.grad(value, model.where.bias)[0]
    torch.testing.assert_close(found, exact, atol=0.1 * exact.abs().max().item(), rtol=0)


def test_the_penalty_asks_for_equal_time(maps):
    model, label = built(), torch.tensor([0, 1, 2])
    with_it, without = (fma.objective(model, maps, label, doubly_stochastic=weight) for weight in (2.0, 0.0))
    seen = model(maps).weights.flatten(2)
    by_hand = sum((1 - seen[b, :, k].sum()) ** 2 for b in range(B) for k in range(6)) / B
    torch.testing.assert_close(with_it - without, 2 * by_hand / T)
    logits = model(maps).logits
    torch.testing.assert_close(without, F.cross_entropy(logits.flatten(0, 1), label.repeat_interleave(T)))


def test_every_frame_of_softmax_regression_is_read_by_itself(maps):
    model = CubeRegression(D, C, SIZE)
    torch.testing.assert_close(model(maps).logits[:, 2], model(maps[:, 2:3]).logits[:, 0])


@pytest.mark.parametrize("options", [{"reads": reads} for reads in READERS] + [{"of_features": True}])
def test_multiply_adds_are_counted(maps, options):
    """Torch's counter sees all products but those of the LSTM; means and a choice are no products."""
    from torch.utils.flop_counter import FlopCounterMode

    model = built(**options)
    cost, K = model.multiply_adds(T), SIZE[0] * SIZE[1]
    assert cost["state"] == T * (4 * 7 * (D + 7) + 2 * 8 * 49)
    with FlopCounterMode(display=False) as counter:
        model(maps)
    known = cost["begin"] - T * K * D + cost["say"]  # without the mean of all maps
    if model.reads == "crop":  # the tents of a window are no product of matrices
        known += T * 7 * 4 + T * K * D
    elif model.reads in ("soft", "hard"):  # what is drawn is read by a product with zeros here
        known += cost["look"] + T * K * D
    assert counter.get_total_flops() == 2 * B * known
    assert cost["read"] == T * D * (1 if model.reads == "hard" else K)


def test_wrong_words_are_refused():
    with pytest.raises(ValueError, match="choose one of soft, hard, crop, mean, max"):
        built(reads="all")
    with pytest.raises(ValueError, match="of_features with soft or hard only"):
        built(reads="crop", of_features=True)
