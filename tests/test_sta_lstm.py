"""Attention on joints and frames: what it must be, and what it must leave alone."""

from collections import namedtuple

import pytest
import torch

from companion.models.sta_lstm import STALSTM, Dropout, objective

B, T, M, J, C = 3, 7, 2, 5, 4


@pytest.fixture
def poses():
    return torch.randn(B, T, M, J, 3, generator=torch.Generator().manual_seed(0))


def build(**options):
    torch.manual_seed(1)
    return STALSTM(J, M, C, units=8, **options).eval()


def test_joints_are_a_distribution_in_each_frame_and_frames_are_not_negative(poses):
    read = build()(poses)
    torch.testing.assert_close(read.joints.sum((2, 3)), torch.ones(B, T))
    assert (read.joints > 0).all() and (read.frames >= 0).all() and read.logits.shape == (B, C)


def test_equal_weights_are_no_attention(poses):
    """A spatial part that weighs all joints alike, and a temporal part of ones, change nothing."""
    model = build()
    for layer in (model.where.weigh, model.when.see, model.when.remember):
        torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(model.where.weigh.bias)
    with_parts = model(poses)
    model.attending = set()
    without = model(poses)
    torch.testing.assert_close(with_parts.logits, without.logits)
    torch.testing.assert_close(without.joints, torch.full((B, T, M, J), 1 / (M * J)))
    torch.testing.assert_close(without.frames, torch.ones(B, T))


@pytest.mark.parametrize("attending", [set(), {"where"}])
def test_equal_weights_leave_joints_as_they_are(poses, attending):
    """x' = K alpha x is x: what three LSTM layers make of the joints themselves, and the mean score."""
    model = build()
    torch.nn.init.zeros_(model.where.weigh.weight)
    torch.nn.init.zeros_(model.where.weigh.bias)
    model.attending, h = attending, poses.flatten(2)
    for layer in model.main:
        h, _ = layer(h)
    torch.testing.assert_close(model(poses).logits, model.classify(h).mean(1))


@pytest.mark.parametrize("spatial", [True, False])
@pytest.mark.parametrize("temporal", [True, False])
def test_a_part_that_is_off_has_no_weights(poses, spatial, temporal):
    model = build(spatial=spatial, temporal=temporal)
    names = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert (("where" in names), ("when" in names)) == (spatial, temporal)
    assert model(poses).logits.isfinite().all()


def test_attention_sees_the_present_and_the_past_only(poses):
    model = build()
    changed = poses.clone()
    changed[:, 4] += 1
    one, other = model(poses), model(changed)
    torch.testing.assert_close(one.joints[:, :4], other.joints[:, :4])
    torch.testing.assert_close(one.frames[:, :4], other.frames[:, :4])
    assert (one.joints[:, 4] - other.joints[:, 4]).abs().min() > 0


def test_the_first_weights_by_the_equation(poses):
    """h_0 is zero, so alpha_1 = softmax(U tanh(W x_1 + b) + b_u) and beta_1 = relu(w x_1 + b)."""
    model = build()
    read, x = model(poses), poses[:, 0].flatten(1)
    where, when = model.where, model.when
    hidden = torch.tanh(x @ where.see.weight.T + where.see.bias)
    alpha = (hidden @ where.weigh.weight.T + where.weigh.bias).softmax(-1)
    torch.testing.assert_close(read.joints[:, 0].flatten(1), alpha)
    beta = (x @ when.see.weight.T + when.see.bias).relu().squeeze(-1)
    torch.testing.assert_close(read.frames[:, 0], beta)


def test_a_frame_of_weight_zero_gives_no_score(poses):
    """Logits are the mean over time of weight times score: all weights doubled double them."""
    model = build(spatial=False)
    torch.nn.init.zeros_(model.when.see.weight)
    torch.nn.init.zeros_(model.when.remember.weight)
    one = model(poses).logits
    torch.nn.init.constant_(model.when.see.bias, 2)
    torch.testing.assert_close(model(poses).logits, 2 * one)
    torch.nn.init.constant_(model.when.see.bias, -1)
    assert not model(poses).logits.any()


def test_a_stage_uses_the_first_layers(poses):
    model = build()
    model.anneal(0.0)
    one = model(poses).logits
    torch.nn.init.normal_(model.main[1].weight_ih_l0)
    torch.testing.assert_close(model(poses).logits, one)
    model.anneal(1.0)
    assert (model(poses).logits - one).abs().max() > 0


@pytest.mark.parametrize(
    "options, want",
    [
        (
            {},
            "when:when,main:1*20 when:main:3*20 when:when,main:3*10 where:where,main:1*20 where:main:3*20 "
            "where:where,main:3*10 where,when:main:3*20 where,when:where,when,main:3*121",
        ),
        ({"temporal": False}, "where:where,main:1*48 where:main:3*48 where:where,main:3*145"),
        ({"spatial": False}, "when:when,main:1*48 when:main:3*48 when:when,main:3*145"),
        ({"spatial": False, "temporal": False}, ":main:3*241"),
        ({"staged": False}, "where,when:where,when,main:3*241"),
    ],
)
def test_the_stages_of_algorithm_1(poses, options, want):
    """What is in use, what learns, how many layers the main network has, and how long: half is the last."""
    model, seen = build(**options), []
    for done in range(241):
        model.anneal(done / 240)
        model.zero_grad()
        read = model(poses)
        (read.logits.sum() + read.penalty).backward()
        learning = [n for n in ("where", "when", "main") if moves(getattr(model, n))]
        in_use = [n for n in ("where", "when") if n in model.attending]
        assert (read.joints.std() > 0) == ("where" in in_use)
        assert (read.frames.std() > 0) == ("when" in in_use)
        assert [moves(layer) for layer in model.main] == [n < model.depth for n in range(3)]
        seen.append(f"{','.join(in_use)}:{','.join(learning)}:{model.depth}")
    assert " ".join(f"{stage}*{seen.count(stage)}" for stage in dict.fromkeys(seen)) == want


def moves(part):
    """Does this part get a gradient?"""
    return part is not None and any(value.grad is not None for value in part.parameters())


def test_penalty_by_hand():
    """Two joints with mean weights 3/4 and 1/4, and two frames of weights 2 and 0."""
    model = STALSTM(2, 1, 2, units=1, even=0.1, short=0.01, sparse=0.001)
    for name, value in model.named_parameters():
        torch.nn.init.constant_(value, -1.0 if "weight" in name else 5.0)
    weights = sum(value.numel() for name, value in model.named_parameters() if "weight" in name)
    got = model.penalty(torch.tensor([[[1.0, 0.0], [0.5, 0.5]]]), torch.tensor([[2.0, 0.0]]))
    assert got.item() == pytest.approx(0.1 * (1 / 16 + 9 / 16) + 0.01 * 1.0 + 0.001 * weights)


def test_dropout_leaves_a_share_out_and_the_mean_as_it_is():
    """Of 40,000 ones a share p is zero and the others are 1 / (1 - p); a test sees them all."""
    dropout, ones = Dropout(0.3), torch.ones(200, 200)
    torch.manual_seed(0)
    first, second = dropout(ones), dropout(ones)
    assert first.unique().tolist() == pytest.approx([0, 1 / 0.7])
    for got, want in ((first, 0.3), (second, 0.3), (first.maximum(second), 0.09)):
        assert (got == 0).float().mean().item() == pytest.approx(
            want, abs=4 * (want * (1 - want)) ** 0.5 / 200
        )
    torch.manual_seed(0)
    assert torch.equal(dropout(ones), first) and torch.equal(dropout.eval()(ones), ones)


def test_it_learns_which_joint_moves():
    """Only one joint differs between the two classes; training finds it."""
    torch.manual_seed(0)
    x, y = torch.randn(64, T, 1, J, 3), torch.arange(64) % 2
    x[:, :, 0, 2] += (2.0 * y - 1)[:, None, None]
    model = STALSTM(J, 1, 2, units=16, dropout=0.0, sparse=0.0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        objective(model, namedtuple("Batch", "poses label")(x, y)).backward()
        optimizer.step()
    read = model(x)
    assert (read.logits.argmax(1) == y).float().mean() > 0.95
    assert read.joints.mean((0, 1, 2)).argmax() == 2
