"""Chapter 04: what it measures, and what it refuses."""

from dataclasses import replace

import asking
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from sklearn.metrics import label_ranking_average_precision_score

from companion import experiments
from companion.datasets import questions
from companion.datasets.questions import ByPicture, Questions
from companion.experiments import soft_attention
from companion.metrics import answers
from companion.models import backbones, picture_features, stacked_attention
from companion.models.stacked_attention import Answered, Trunk
from companion.ops.principal import principal
from companion.records import Run
from companion.training import Share, save_checkpoint

RUN = Run("04_soft_attention", "rooms", "quick", "default", "x")
PARAMS = {
    "data": {"count": 8, "tested": 6},
    "model": {"kind": "stacked", "hops": 2, "d": 16, "inner": 8},
    "fit": {"epochs": 2, "lr": 0.003, "batch_size": 4},
}


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    questions.parsed.cache_clear()


def measured(run=RUN, root=None, **params):
    params = PARAMS | params
    run = replace(run, variant=params["model"].get("kind", "none"))
    return experiments.measure(run, experiments.prepare(run, params, root))


@pytest.mark.parametrize(
    ("model", "evidence"),
    [
        ({"kind": "stacked", "hops": 2}, True),
        ({"kind": "stacked", "hops": 0}, False),
        ({"kind": "pooled", "known": "picture"}, False),
        ({"kind": "cross", "hops": 1, "d": 32}, True),
        ({"kind": "stacked", "hops": 1, "members": 2}, True),
        ({"kind": "most-frequent"}, False),
    ],
)
def test_every_kind_is_measured(model, evidence):
    found = measured(model=model).record["metrics"]
    assert 0 <= found["accuracy"] <= 100 and found["chance_one_hop"] < 60
    assert ("on_thing" in found) == evidence
    if evidence:
        assert 0.3 < found["uniform"] < 2 and f"hop_{model['hops']}_thing" in found


@pytest.mark.parametrize(("source", "asked"), [("daquar", 20), ("vqa", 6)])
def test_photographs_by_the_same_door(tmp_path, source, asked):
    root = getattr(asking, source)(tmp_path)
    plan = experiments.plan("soft_attention", source, "full", variant="question", seed=0)
    ((run, params),) = plan.items()
    params = params | {"fit": {"epochs": 1, "lr": 0.003, "batch_size": 4}}
    found = experiments.measure(run, experiments.prepare(run, params, root), tmp_path / "out").record
    assert found["metrics"]["n_test"] == asked and "on_thing" not in found["metrics"]
    assert {*found["provenance"]["data"]} == {source}


def test_without_the_extra_a_network_of_its_own_reads_the_pictures(monkeypatch):
    monkeypatch.setattr(backbones, "installed", lambda: False)
    its = experiments.prepare(RUN, PARAMS | {"model": {"kind": "stacked", "hops": 1, "layers": ["block 2"]}})
    assert its.params["model"] == {"kind": "stacked", "hops": 1}
    assert isinstance(its.build().regions.trunk, Trunk)


def test_maps_of_imagenet_are_read(monkeypatch):
    class Tiny(torch.nn.Module):
        def __init__(self, layers):
            super().__init__()
            assert layers == ["block 2"]

        def forward(self, pictures):
            return {"block 2": pictures[:, :1, ::8, ::8].float().expand(-1, 24, -1, -1) / 255}

    monkeypatch.setattr(picture_features, "Layers", Tiny)
    monkeypatch.setattr(backbones, "installed", lambda: True)
    found = measured(model={"kind": "stacked", "hops": 1, "layers": ["block 2"]}).record
    assert found["params"]["model"]["layers"] == ["block 2"] and "on_thing" in found["metrics"]


def test_principal_components_are_those_of_the_training_pictures(monkeypatch):
    class Tiny(torch.nn.Module):
        def __init__(self, layers):
            super().__init__()

        def forward(self, pictures):
            return {"block 2": pictures[:, :, ::8, ::8].float().repeat(1, 8, 1, 1) / 255}

    monkeypatch.setattr(picture_features, "Layers", Tiny)
    monkeypatch.setattr(backbones, "installed", lambda: True)
    model = {"kind": "stacked", "hops": 1, "layers": ["block 2"], "principal": 3}
    its = experiments.prepare(RUN, PARAMS | {"model": model})
    assert its.build().regions.project.in_features == 3 + 16
    train, test = its.train().questions, its.test()
    project = principal(Tiny([])(train.pictures.shown)["block 2"].half(), 3)
    want = project(Tiny([])(test.pictures.shown)["block 2"])
    torch.testing.assert_close(test.pictures.maps["block 2"].float(), want, atol=0.01, rtol=0.01)
    assert its.test().pictures.maps["block 2"].shape[1] == 3


def test_maps_of_a_network_that_labels_have_taught_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(soft_attention, "checkout", lambda: tmp_path)
    taught = measured(data={"count": 40, "tested": 20}, model={"kind": "labels"})
    assert {*taught.record["metrics"]} >= {"label_ranking", "n_test"}
    save_checkpoint(tmp_path / "trunk.safetensors", taught.model)
    params = {"weights": {"trunk": "trunk.safetensors"}, "model": PARAMS["model"]}
    its = experiments.prepare(RUN, PARAMS | params)
    assert {*its.data()} == {"rooms", "trunk.safetensors"} and its.build().regions.trunk is None
    test = its.test()
    with torch.no_grad():
        want = taught.model.trunk.eval()(test.pictures.shown)["own"]
    torch.testing.assert_close(test.pictures.maps["own"].float(), want, atol=0.01, rtol=0.01)
    assert "on_thing" in measured(**params).record["metrics"]


@given(some.integers(1, 5), some.integers(1, 7), some.integers(0, 99))
def test_labels_are_ranked_as_scikit_learn_does(pictures, labels, seed):
    rng = np.random.default_rng(seed)
    scores, present = rng.integers(0, 5, (pictures, labels)), rng.random((pictures, labels)) < 0.5
    present[:, 0] = True
    found = answers.label_ranking(torch.tensor(scores).float(), torch.tensor(present).float())
    for value, *row in zip(found, present, scores, strict=True):
        assert value.item() == pytest.approx(label_ranking_average_precision_score(*([one] for one in row)))
    assert answers.label_ranking(torch.zeros(1, 3), torch.zeros(1, 3)).isnan()


def test_scores_by_hand():
    data = Questions("rooms", "test", count=4, tested=4)
    rows = [data.kind.index("one hop"), data.kind.index("two hops"), data.kind.index("count")]
    batch, A = data.__getitems__(rows), len(data.vocabulary.answers)
    logits = torch.nn.functional.one_hot(batch.answer.clamp_min(0), A).float()
    logits[1] = logits[1].roll(1)
    weights = torch.zeros(3, 1, 96, 160)  # as fine as the picture: all on the thing of the first question
    x0, y0, x1, y1 = (data.evidence[rows[0], 1] * torch.tensor([160, 96, 160, 96])).tolist()
    weights[:2, 0, round((y0 + y1) / 2), round((x0 + x1) / 2)] = weights[2, 0, 0, 0] = 1
    said = lambda *_: Answered(logits, weights)  # noqa: E731
    found = soft_attention.scored(said, batch, data, {"one hop": data.answers[rows[0]][0]})
    assert found["accuracy"].tolist() == [100, 0, 100] and found["chance"].tolist() == [100, 0, 0]
    assert found["on_thing"][0] == 100 and found["on_thing"][2].isnan()
    assert found["others_on_thing"].isnan().all()  # there is no other of its type
    assert found["on_thing_right"][1].isnan() and found["on_thing_wrong"][0].isnan()
    assert found["accuracy_two_hops"][1] == 0 and found["accuracy_two_hops"][0].isnan()
    assert found["accuracy_spatial"][:2].tolist() == [100, 0] and found["accuracy_spatial"][2].isnan()
    area = (x1 - x0) * (y1 - y0) / (96 * 160)
    assert found["uniform"][0].item() == pytest.approx(100 * area, rel=1e-4)
    data.evidence = torch.zeros(len(data), 0, 4)  # as of photographs, whose types may be called the same
    assert "accuracy_spatial" not in soft_attention.scored(said, batch, data, {})


def test_the_control_is_of_questions_of_the_same_type_about_other_pictures():
    data = Questions("rooms", "test", count=12, tested=12)
    rows = [n for n, kind in enumerate(data.kind) if kind in ("one hop", "where", "one thing")]
    batch = data.__getitems__(rows)
    weights = torch.rand(len(rows), 1, 6, 10, generator=torch.Generator().manual_seed(0))
    said = Answered(torch.zeros(len(rows), len(data.vocabulary.answers)), weights)
    found = soft_attention.scored(lambda *_: said, batch, data, {})["others_on_thing"]
    for n, row in enumerate(rows):
        alike = [
            weights[m, 0]
            for m, other in enumerate(rows)
            if data.kind[other] == data.kind[row] and data.picture[other] != data.picture[row]
        ]
        each = answers.on_evidence(torch.stack(alike), data.evidence[row, 1].expand(len(alike), 4))
        torch.testing.assert_close(found[n], 100 * each.mean(), equal_nan=True)


def test_answers_that_are_no_list_are_scored_apart(tmp_path):
    data = Questions("daquar", "test", root=asking.daquar(tmp_path))
    batch, A = data.__getitems__([0, 1]), len(data.vocabulary.answers)
    logits = torch.nn.functional.one_hot(batch.answer[[0, 0]], A).float()  # twice: book, lamp
    found = soft_attention.scored(lambda *_: Answered(logits, torch.zeros(2, 0, 1, 1)), batch, data, {})
    assert found["accuracy"].tolist() == [100, 0]
    assert found["accuracy_one_answer"][0].isnan() and found["accuracy_one_answer"][1] == 0


def test_two_processes_have_the_gradient_of_the_whole_batch():
    data = ByPicture(Questions("rooms", "train", count=7))
    torch.manual_seed(0)
    vocabulary = data.questions.vocabulary
    model = stacked_attention.StackedAttention(
        Trunk.channels, len(vocabulary.words), len(vocabulary.answers), d=8, trunk=Trunk()
    ).double()

    def gradient(rows, weight=1.0):
        model.zero_grad()
        batch = data.__getitems__(rows)
        trunk, model.regions.trunk = model.regions.trunk, None
        own = trunk.layers(batch.maps["pictures"].double())
        maps = {"own": own, "around": torch.nn.functional.avg_pool2d(own, 3, 1, 1)}
        loss = weight * stacked_attention.objective(model, batch._replace(maps=maps), each=10.0)
        model.regions.trunk = trunk
        loss.backward()
        return [value.grad.clone() for value in model.parameters()]

    order = torch.Generator()
    shares = [Share(7, 5, order, process, 2) for process in (0, 1)]
    batch = [0, 3, 5, 2, 6]
    parts = [gradient(batch[n::2], share.weight()) for n, share in enumerate(shares)]
    for whole, *both in zip(gradient(batch), *parts, strict=True):
        torch.testing.assert_close(sum(both) / 2, whole)


def test_a_batch_of_pictures_has_all_questions_about_them():
    data = Questions("rooms", "train", count=5)
    batch = ByPicture(data).__getitems__([3, 1])
    assert sorted(batch.index.tolist()) == [n for n, p in enumerate(data.picture.tolist()) if p in (1, 3)]
    assert len(batch.maps["pictures"]) == 2 and len(ByPicture(data)) == 5


def test_an_ensemble_of_none_is_refused():
    with pytest.raises(ValueError, match="soft_attention.yaml, model of x: members is 0; give a number"):
        experiments.prepare(RUN, PARAMS | {"model": {"kind": "stacked", "members": 0}})


def test_principal_components_of_no_layers_are_refused():
    with pytest.raises(ValueError, match="x in soft_attention has `principal` and no `layers`; name some"):
        experiments.prepare(RUN, PARAMS | {"model": {"kind": "stacked", "principal": 3}})


def test_who_is_shown_the_anchor_in_training_looks_at_it():
    its = experiments.prepare(RUN, PARAMS | {"loss": {"shown": 1.0}})
    data, model = its.train(), its.build()
    batch, asked = data.__getitems__([*range(8)]), data.questions
    anchor = asked.evidence[batch.index, 0]
    told = ~anchor.isnan().any(1)
    said = model(batch.maps, batch.picture, batch.words)
    on = torch.stack(
        [answers.on_evidence(w[:1], box[None])[0] for w, box in zip(said.weights, anchor, strict=True)]
    )
    plain = experiments.prepare(RUN, PARAMS).loss(model, batch)
    want = plain - (on[told] + 1e-6).log().sum() / len(batch.index)
    torch.testing.assert_close(its.loss(model, batch), want)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(20):
        optimizer.zero_grad()
        its.loss(model, batch).backward()
        optimizer.step()
    assert its.loss(model, batch).isfinite() and its.loss(model, batch) < want - 0.5


def test_each_seed_draws_rooms_of_its_own():
    one, other = (experiments.prepare(replace(RUN, seed=n), PARAMS).train().questions for n in (0, 1))
    assert not (one.pictures.shown == other.pictures.shown).all()


@pytest.mark.parametrize("kind", ["most-frequent", "labels"])
def test_options_that_nothing_reads_are_refused(kind):
    with pytest.raises(ValueError, match=f"x in soft_attention is {kind}, which takes no options; leave"):
        experiments.prepare(RUN, PARAMS | {"model": {"kind": kind, "hops": 3}})
    with pytest.raises(ValueError, match="data of x: unknown key 'counts'; choose one of"):
        experiments.prepare(RUN, PARAMS | {"model": {"kind": kind}, "data": {"counts": 3}})


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="unknown kind 'hard' of x in soft_attention; choose one of stacked"):
        experiments.prepare(RUN, PARAMS | {"model": {"kind": "hard"}})
