import pytest
import torch
from pad_and_slice import PadAndSlice
from torch.nn import functional as F

from companion.models import ram
from companion.models.ram import RAM, Read, SoftReader, build, loss

IMAGES, LABELS = torch.rand(5, 20, 20), torch.tensor([0, 1, 2, 3, 4])


def read(model, images=IMAGES):
    torch.manual_seed(0)
    return model(images)


@pytest.mark.parametrize("core", ["rectified", "lstm"])
def test_the_last_step_is_the_answer_and_every_place_is_returned(core):
    out = read(RAM(4, core=core))
    torch.testing.assert_close(out.logits, out.steps[:, -1])
    assert out.locations.shape == (5, 4, 2) and out.log_probs.shape == out.baselines.shape == (5, 3)


def test_log_probs_are_those_of_a_normal_distribution_up_to_its_constant():
    torch.manual_seed(1)
    model, means = RAM(4, sigma=0.2), []
    model.locate.register_forward_hook(lambda module, inputs, output: means.append(torch.tanh(output)))
    out = model(IMAGES)
    policy = torch.distributions.Normal(torch.stack(means, 1), 0.2)
    at_mean = policy.log_prob(policy.mean).sum(-1)
    torch.testing.assert_close(out.log_probs, policy.log_prob(out.locations[:, 1:]).sum(-1) - at_mean)


@pytest.mark.parametrize("scales", [1, 3])
def test_reading_equals_reading_with_the_obvious_sensor(monkeypatch, scales):
    model = RAM(5, scales=scales)
    fast = read(model)
    monkeypatch.setattr(ram, "Retina", PadAndSlice)
    for one, other in zip(fast, read(model), strict=True):
        torch.testing.assert_close(one, other)


def gradients(model, part, labels=LABELS):
    model.zero_grad()
    part(read(model), labels).backward()
    return {
        name: value.grad is not None and value.grad.abs().sum() > 0
        for name, value in model.named_parameters()
    }


def cross_entropy(out, labels):
    return F.cross_entropy(out.logits, labels)


def reinforce(out, labels):
    return out.log_probs.sum()


def baseline(out, labels):
    return out.baselines.sum()


def test_the_class_trains_everything_but_the_policy():
    moved = gradients(RAM(3), cross_entropy)
    assert {name for name, there in moved.items() if not there} == {
        name for name in moved if name.startswith(("locate", "baseline"))
    }


def test_attached_locations_let_the_class_train_the_policy():
    assert gradients(RAM(3, location_detached=False), cross_entropy)["locate.0.weight"]


@pytest.mark.parametrize("detached", [True, False])
def test_reinforce_reaches_the_state_unless_detached(detached):
    moved = gradients(RAM(3, state_detached=detached), reinforce)
    assert moved["locate.0.weight"] and moved["glimpse.see.weight"] == (not detached)


def test_the_baseline_trains_itself_alone():
    moved = gradients(RAM(3), baseline)
    assert {name for name, there in moved.items() if there} == {"baseline.weight", "baseline.bias"}


def test_loss_by_hand():
    """One image of class 1, two glimpses, p = 1/2 then 3/4 for the right class; mu missed by one sigma."""
    steps = torch.tensor([[[0.0, 0.0], [0.0, torch.log(torch.tensor(3.0))]]])
    out = Read(
        steps[:, -1], steps, torch.zeros(1, 2, 2), None, torch.tensor([[-0.5]]), torch.tensor([[0.25]])
    )
    last, first = -torch.log(torch.tensor(0.75)), torch.log(torch.tensor(2.0))
    want = last + (0.75 - 0.25) ** 2 - 0.3 * (-0.5) * (0.75 - 0.25)
    torch.testing.assert_close(loss(out, torch.tensor([1]), feedback="last"), want)
    torch.testing.assert_close(loss(out, torch.tensor([1]), feedback="each"), want + first)
    normalized = want - 0.3 * (-0.5) * (1 - (0.75 - 0.25))
    torch.testing.assert_close(loss(out, torch.tensor([1]), feedback="last", normalized=True), normalized)


@pytest.mark.parametrize("reward, paid", [("next", [0.5, 0.8]), ("last", [0.8, 0.8])])
def test_a_decision_is_paid_by_the_glimpse_it_leads_to_or_by_the_last(reward, paid):
    """One image, three glimpses, baselines of zero: the gradient of a log-probability is its pay."""
    right = torch.tensor([0.1, 0.5, 0.8])
    steps = torch.stack([torch.zeros(3), torch.logit(right)], -1)[None]
    log_probs = torch.zeros(1, 2, requires_grad=True)
    out = Read(steps[:, -1], steps, torch.zeros(1, 3, 2), None, log_probs, torch.zeros(1, 2))
    loss(out, torch.tensor([1]), reward=reward, reinforce=1.0).backward()
    torch.testing.assert_close(-log_probs.grad, torch.tensor([paid]))


def test_reinforce_raises_the_probability_of_what_was_rewarded():
    """A policy that is paid for looking right moves right."""
    torch.manual_seed(0)
    model = RAM(2, sigma=0.3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        out = model(IMAGES)
        reward = out.locations[:, 1, :1]
        optimizer.zero_grad()
        (-(out.log_probs * (reward - reward.mean())).mean()).backward()
        optimizer.step()
    assert read(model).locations[:, 1, 0].mean() > 0.6


def test_anneal_leads_from_sigma_to_sigma_end():
    model = RAM(2, sigma=0.4, sigma_end=0.1)
    sigmas = []
    for done in (0.0, 0.5, 1.0):
        model.anneal(done)
        sigmas.append(model.sigma)
    assert sigmas == pytest.approx([0.4, 0.2, 0.1])


def test_random_glimpses_ignore_the_image_and_fill_the_square():
    model = RAM(400, policy="random")
    one, other = read(model).locations, read(model, 1 - IMAGES).locations
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(one.mean((0, 1)), torch.zeros(2), atol=0.06, rtol=0)
    assert one.abs().max() <= 1


def test_soft_weights_are_a_distribution_over_the_grid():
    out = read(SoftReader(3, grid=4))
    assert out.weights.shape == (5, 3, 16) and out.locations.shape == (5, 16, 2)
    torch.testing.assert_close(out.weights.sum(-1), torch.ones(5, 3))
    assert out.locations[0].unique(dim=0).shape == (16, 2)


def test_uniform_scores_read_the_mean_of_the_grid():
    model = SoftReader(1, grid=3)
    torch.nn.init.zeros_(model.score.weight)
    seen = []
    model.glimpse.register_forward_hook(lambda module, inputs, output: seen.append(output))
    logits = read(model).logits
    h = model.core(seen[0].mean(1), torch.zeros(5, model.width))
    torch.testing.assert_close(logits, model.classify(h))


@pytest.mark.parametrize("variant", ["ram-3", "random-3", "soft-3", "fc-16", "conv"])
def test_every_variant_reads_and_learns(variant):
    model = build(variant, 20, 8, 1)
    out = read(model)
    assert out.logits.shape == (5, 10)
    loss(out, LABELS).backward()


@pytest.mark.parametrize("variant", ["ram", "ram-x", "soft-", "conv-3", "resnet", "ram-2.5"])
def test_an_unknown_variant_is_refused(variant):
    with pytest.raises(ValueError, match="unknown variant"):
        build(variant, 20, 8, 1)


@pytest.mark.parametrize("kind", ["ram", "random", "soft"])
def test_no_glimpses_are_refused(kind):
    with pytest.raises(ValueError, match="n_glimpses is 0; a model needs at least one glimpse"):
        build(f"{kind}-0", 20, 8, 1)


def test_wrong_words_are_refused():
    with pytest.raises(ValueError, match="feedback is 'never'"):
        loss(read(RAM(2)), LABELS, feedback="never")
    with pytest.raises(ValueError, match="reward is 'each'; it must be next or last"):
        loss(read(RAM(2)), LABELS, reward="each")
    with pytest.raises(ValueError, match="sigma is 0.3 and sigma_end 0.0; both must be above 0"):
        RAM(2, sigma_end=0.0)
    with pytest.raises(ValueError, match="policy 'greedy' must be learned or random"):
        RAM(2, policy="greedy")


def test_a_colour_image_is_refused():
    with pytest.raises(Exception, match="(?i)type"):
        RAM(2)(torch.rand(2, 3, 20, 20))
