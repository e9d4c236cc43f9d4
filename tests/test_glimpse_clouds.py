import math
import os
import subprocess
import sys

import pytest
import torch
from glimpse_loops import read
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import training
from companion.models.glimpse_clouds import (
    GlimpseClouds,
    Memory,
    Workers,
    attraction,
    distances,
    diversity,
    mahalanobis,
)


def made(G=2, K=3, seed=0, **options):
    torch.manual_seed(seed)
    return GlimpseClouds(5, 4, 6, glimpses=G, workers=K, state=7, **{"side": 3, **options}).double()


def drawn(B=3, T=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (torch.randn(*s, generator=g, dtype=torch.float64) for s in ((B, T, 5, 4, 6), (B, T, 4)))


@settings(deadline=None, max_examples=15)
@given(
    B=st.integers(1, 3), T=st.integers(1, 4), G=st.integers(1, 3), K=st.integers(1, 3), seed=st.integers(0, 9)
)
def test_equals_the_loop_over_pairs(B, T, G, K, seed):
    model, (maps, context) = made(G, K, seed), drawn(B, T, seed)
    for one, other in zip(model(maps, context), read(model, maps, context), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("options", [{}, {"features": 6, "side": 5}])
def test_and_so_do_its_gradients(options):
    model, (maps, context) = made(**options), drawn()
    found = []
    for call in (model, lambda *x: read(model, *x)):
        out = call(maps, context)
        value = out.logits.square().sum() + diversity(out.glimpses)
        found.append(torch.autograd.grad(value, [*model.parameters()]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_every_glimpse_is_dealt_whole():
    maps, context = drawn()
    torch.testing.assert_close(made()(maps, context).workers.sum(-1), torch.ones(3, 4, 2).double())


def test_permuting_the_workers_permutes_what_they_say():
    model, other, (maps, context) = made(), made(), drawn()
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        for value in other.workers.parameters():
            value.copy_(value[order])
        other.memory.first.copy_(other.memory.first[:, order])
    one, two = model(maps, context), other(maps, context)
    torch.testing.assert_close(two.logits, one.logits)
    torch.testing.assert_close(two.steps, one.steps[:, :, order])
    torch.testing.assert_close(two.workers, one.workers[..., order])


def test_no_clip_is_read_by_its_neighbours():
    model, (maps, context) = made(), drawn()
    alone = torch.cat([model(maps[i, None], context[i, None]).logits for i in range(3)])
    torch.testing.assert_close(alone, model(maps, context).logits)


def test_the_metric_is_kept_with_the_weights():
    assert "memory.metric.weight" in made().state_dict()


def test_unrelated_glimpses_begin_about_one_apart():
    memory, v = Memory(2, 3, 512), 1000 * torch.randn(40, 2, 512)
    keys = memory.keys(v)
    assert 0.8 < distances(keys[:, :1], keys[:, 1:]).mean() < 1.2


def test_the_crop_gives_the_locator_its_gradient():
    """Without it, and without the embedding of the place, the class says nothing to where a glimpse lies."""
    maps, context = drawn()
    for whole in (True, False):
        model = made(crop_gradient=whole)
        model.where.requires_grad_(False)
        for layer in (model.where[0], model.where[2]):
            layer.weight.zero_()
        model(maps, context).logits.square().sum().backward()
        assert bool(model.locator.place.weight.grad.abs().sum() > 0) is whole


def test_release_a_worker_that_is_not_the_first_has_no_past():
    torch.manual_seed(0)
    for shared in (True, False):
        workers = Workers(3, 5, 2, 7, shared_state=shared).begin()
        seen, r = torch.randn(3, 2, 5), torch.randn(3, 2, 7)
        other = r.clone()
        other[1:] += 1
        assert torch.equal(workers(seen, r)[1:], workers(seen, other)[1:]) is shared


def test_release_the_oldest_glimpses_count_most():
    keys = torch.zeros(1, 1, 4)
    past, dealt = torch.zeros(1, 6, 4), torch.eye(2).repeat_interleave(3, 0)[None]  # old to 0, new to 1
    for wrong in (True, False):
        p = Memory(1, 2, 8, 4, reversed_decay=wrong)(keys, past, dealt)
        assert p.argmax() == (0 if wrong else 1)


def test_release_the_metric_is_of_the_first_batch_and_is_not_kept():
    v = torch.randn(20, 3, 4, dtype=torch.float64)
    memory = Memory(3, 2, 4, batch_metric=True).double()
    past, dealt = v, torch.rand(20, 3, 2, dtype=torch.float64)
    memory(v, past, dealt)
    cloud = v.flatten(0, 1)
    covariance = (cloud - cloud.mean(0)).T @ (cloud - cloud.mean(0)) / 59
    torch.testing.assert_close(memory.inverse @ covariance, torch.eye(4, dtype=torch.float64))
    off = v[0, 1] - past[0, 2]
    apart = mahalanobis(v, past, memory.inverse)[0, 1, 2]
    torch.testing.assert_close(apart, off @ memory.inverse @ off)
    first = memory.inverse.clone()
    memory(3 * v, 3 * past, dealt)
    assert torch.equal(memory.inverse, first) and [*memory.state_dict()] == ["first", "inverse"]


def test_release_such_a_metric_may_not_exist():
    v = torch.randn(4, 3, 6).relu()
    v[..., 2] = 0
    with pytest.raises(ValueError, match="12 glimpses of 6 channels, 1 of which never change, is singular"):
        Memory(3, 2, 6, batch_metric=True)(v, v, torch.rand(4, 3, 2))


def test_diversity_by_hand():
    """Two pairs, counted both ways: 3 and 4 apart give 5."""
    glimpses = torch.tensor([[0.0, 0, 0, 0], [3, 4, 0, 0]])[None, None]
    assert diversity(glimpses).item() == pytest.approx(2 / 6, abs=1e-4)


def test_attraction_by_hand():
    glimpses = torch.tensor([[0.0, 0, 1, 1], [3, 4, 1, 1]])[None, None]
    joints = torch.tensor([[[0.0, 1], [3, 2], [math.nan, math.nan]]])[None]
    assert attraction(glimpses, joints).item() == pytest.approx(1 + 2, abs=1e-4)
    assert attraction(glimpses, torch.full_like(joints, math.nan)).item() == 0


@pytest.mark.parametrize("lost", [1, 3])
def test_joints_that_are_not_seen_do_not_pull(lost):
    glimpses, joints = torch.rand(1, 1, 2, 4, requires_grad=True), torch.rand(1, 1, 3, 2)
    joints[:, :, :lost] = math.nan
    attraction(glimpses, joints).backward()
    assert glimpses.grad.isfinite().all() and bool((glimpses.grad != 0).any()) is (lost < 3)


def test_without_any_joint_nothing_pulls():
    assert attraction(torch.rand(1, 2, 3, 4), torch.rand(1, 2, 0, 2)).item() == 0


def test_features_need_some_samples():
    with pytest.raises(ValueError, match="4 x 4 samples are too few for features"):
        made(features=6, side=4)(*drawn())


@pytest.mark.parametrize("name", ["glimpses", "workers"])
def test_there_must_be_some(name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        GlimpseClouds(5, 4, 6, **{name: 0})


SCRIPT = """
import sys
import torch
import torch._dynamo
from typing import NamedTuple
from accelerate import debug_launcher
from torch.nn import functional as F
from companion import training
from companion.models.glimpse_clouds import GlimpseClouds, attraction, diversity

class Batch(NamedTuple):
    maps: torch.Tensor
    context: torch.Tensor
    joints: torch.Tensor
    label: torch.Tensor

class Clips:
    def __init__(self):
        g = torch.Generator().manual_seed(0)
        sizes = ((40, 3, 5, 6, 8), (40, 3, 4), (40, 3, 6, 2))
        self.fields = [torch.randn(size, generator=g, dtype=torch.float64) for size in sizes]
        self.fields.append(torch.arange(40) % 6)
    def __len__(self):
        return 40
    def __getitems__(self, indices):
        return Batch(*(field[indices] for field in self.fields))

def loss(model, batch):
    read = model(batch.maps, batch.context)
    steps = read.steps.flatten(1, 2).transpose(1, 2)
    right = F.cross_entropy(steps, batch.label[:, None].expand(-1, steps.shape[2]))
    return right + diversity(read.glimpses) + attraction(read.glimpses, batch.joints)

def train():
    training.seed_everything(0)
    model = GlimpseClouds(5, 4, 6, state=7, side=5, features=6).double()
    training.fit(model, Clips(), loss, epochs=5, lr=1e-2, batch_size=9)
    device = training.accelerator()
    if device.is_main_process:
        weights = [value.detach() for value in model.parameters()]
        torch.save(weights, f"{sys.argv[1]}/{device.num_processes}.pt")

torch.set_num_threads(1)
debug_launcher(train, num_processes=2)
train()
"""


def test_two_processes_train_as_one(tmp_path):
    """Weights after 20 steps with batches of 9, of which one process has five clips and the other four."""
    env = os.environ | {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    torch.testing.assert_close(two, one, rtol=0, atol=1e-9)
    training.seed_everything(0)
    begun = GlimpseClouds(5, 4, 6, state=7, side=5, features=6).parameters()
    assert all((a - b).abs().max() > 0.01 for a, b in zip(one, begun, strict=True))
