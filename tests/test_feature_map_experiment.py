"""Chapter 07: what it measures, and what it refuses."""

from dataclasses import replace

import pytest
import torch
from test_labelled_videos import write

from companion import experiments
from companion.datasets.video_clips import Clips, in_halves
from companion.experiments import feature_map_attention as chapter
from companion.models import backbones
from companion.models.feature_map_attention import FeatureMapAttention, Read, objective
from companion.records import Run
from companion.simulator import release
from companion.simulator.release import Release
from companion.training import save_checkpoint

RUN = Run("07_feature_map_attention", "simulated", "quick", "cross_subject", "x")
SMALL = {
    "groups": ["chest", "face"],
    "subjects": 3,
    "cameras": 1,
    "repetitions": 1,
    "frames": 12,
    "height": 90,
}
PARAMS = {
    "release": SMALL,
    "data": {"frames": 3, "every": 3, "size": [45, 80]},
    "before": {"blocks": 5, "stride": 4},
    "fit": {"epochs": 2, "lr": 0.003, "batch_size": 8},
}


@pytest.fixture(autouse=True)
def without_the_extra(monkeypatch):
    monkeypatch.setattr(backbones, "installed", lambda: False)


@pytest.fixture(scope="module")
def root():
    return release.stored(Release(**SMALL))


def measured(tmp_path, monkeypatch, root, run=RUN, **params):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    return experiments.measure(run, experiments.prepare(run, PARAMS | params, root), tmp_path / "runs").record


@pytest.mark.parametrize("reads", ["soft", "hard", "crop", "mean", "regression"])
def test_every_way_to_read_is_measured(tmp_path, monkeypatch, root, reads):
    model = {"reads": reads} if reads == "regression" else {"reads": reads, "S": 16}
    found = measured(tmp_path, monkeypatch, root, model=model)["metrics"]
    assert {"accuracy", "within_chest", "within_face"} <= {*found}
    assert found["multiply_adds"] > 0
    attends = reads in ("soft", "hard", "crop")
    assert ("on_thing" in found) == ("gradient_agreement" in found) == attends
    assert not attends or 0 < found["uniform"] < 5


def test_ucf11_by_the_same_door(tmp_path, monkeypatch):
    for action in ("walk", "jump"):
        for group in range(1, 6):
            write(tmp_path, action, action, group, 1, frames=9)
    run = replace(RUN, source="ucf11", protocol="five_folds", fold=2)
    model = {"model": {"reads": "soft", "S": 16}}
    found = measured(tmp_path, monkeypatch, tmp_path, run, **model)
    assert found["metrics"]["n_test"] == 2 and "on_thing" not in found["metrics"]
    assert {*found["provenance"]["data"]} == {"ucf11"}


@pytest.mark.parametrize("installed", [True, False])
def test_weights_are_begun_with_where_imagenets_maps_are_read(tmp_path, monkeypatch, root, installed):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    monkeypatch.setattr(backbones, "installed", lambda: installed)
    monkeypatch.setattr(backbones, "lite0", lambda **_: backbones.Small().eval().requires_grad_(False))
    monkeypatch.setattr(chapter, "checkout", lambda: tmp_path)
    params = PARAMS | {"model": {"reads": "soft", "S": 16}}
    begun = experiments.prepare(RUN, params, root).build()
    begun.classify.bias.data += 1
    save_checkpoint(tmp_path / "begun.safetensors", begun)
    its = experiments.prepare(RUN, params | {"weights": {"lite0": "begun.safetensors"}}, root)
    assert ("begun.safetensors" in its.data()) == installed == bool(its.params["weights"])
    pairs = zip(its.build().parameters(), begun.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs) == installed


STILL = torch.zeros(2)  # places look where they stand


@pytest.mark.parametrize("aside", [(0, 0), (1, -0.5)])
def test_scores_by_hand(aside):
    """Three clips of three frames of 14 x 16 pixels, in 4 x 4 places. The thing is seen in two frames; all
    weight of the first clip follows it. Where places look aside, the thing is moved as they are.
    """
    weights = torch.zeros(3, 3, 4, 4)
    weights[0, 0, 0, 0] = weights[0, 1, 3, 3] = weights[0, 2, 2, 0] = weights[1, :, 0, 3] = 1
    weights[2] = weights[1]
    boxes = torch.full((3, 3, 2, 4), torch.nan)
    pixels = torch.tensor([[0.0, 0, 4, 4], [12, 12, 16, 14]]) + 4 * torch.tensor([*aside, *aside])
    halves = in_halves(pixels.view(2, 2, 2), 14, 16).flatten(1)
    boxes[0, :2, 0] = boxes[1, :2, 1] = boxes[2, :2, 0] = halves
    logits = torch.tensor([[[3.0, 0], [0, 1], [0, 0]]] + [[[0.0, 2]] * 3] * 2)
    batch = Clips(torch.zeros(3, 3, 1, 4, 4), torch.tensor([0, 0, 1]), torch.zeros(3, 3, 0, 0, 2), boxes)
    stands = (14, 16), torch.tensor([*map(float, aside)])
    found = chapter.scored(lambda _: Read(logits, weights), batch, {}, stands)
    assert found["accuracy"].tolist() == [100, 0, 100]
    half = 100 * 0.5  # of the last row of places half is outside of the picture
    torch.testing.assert_close(found["on_thing"], torch.tensor([(100 + half) / 2, 0, 0]))
    torch.testing.assert_close(found["still_on_thing"], torch.tensor([(50 + half / 2) / 2, 0, 0]))
    others = (100 + half) / 2 / 2  # one of the two others looks there
    torch.testing.assert_close(found["others_on_thing"], torch.tensor([0, others, others]))
    torch.testing.assert_close(found["uniform"], torch.full((3,), 100 * (1 + 0.5) / 2 / 16))


def test_what_places_see_is_measured_where_the_thing_is_known(tmp_path, monkeypatch, root):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    its = experiments.prepare(RUN, PARAMS | {"model": {"reads": "soft", "S": 16}}, root)
    model, batch = its.build().eval(), its.test().__getitems__([0, 1])
    told = its.score(model, batch)["on_thing"]
    size = tuple(its.test().truth[0]["size"])
    by_hand = chapter.scored(model, batch, {}, (size, its.aside()))["on_thing"]
    torch.testing.assert_close(told, by_hand)
    assert not torch.equal(told, chapter.scored(model, batch, {}, (size, STILL))["on_thing"])


class Data:
    """Clips of random maps, of two classes that one place tells."""

    def __len__(self):
        return 64

    def __getitems__(self, rows):
        maps = torch.randn(64, 3, 4, 3, 3, generator=torch.Generator().manual_seed(0))
        return maps[rows], (maps[:, :, 0, 0, 0].mean(1) > 0).long()[rows]


def test_equal_gradients_agree_and_those_of_what_is_drawn_do_less():
    found = {}
    for reads, size in (("soft", 64), ("soft", 8), ("hard", 64)):
        torch.manual_seed(0)
        model = FeatureMapAttention(4, 2, (3, 3), S=8, layers=1, reads=reads).train()
        loss = lambda model, batch: objective(model, *batch)  # noqa: E731
        found[reads, size] = chapter.agreement(model, Data(), loss, 0, size)
    assert found["soft", 64] == pytest.approx(100, abs=0.01)  # all clips, nothing is drawn
    assert found["soft", 64] > found["soft", 8] + 5 > 5 and found["hard", 64] < 90


def test_each_seed_has_a_release_of_its_own():
    params = PARAMS | {"model": {"reads": "mean"}, "before": {"small": True}}
    one, other = (experiments.prepare(replace(RUN, seed=n), params).data() for n in (0, 1))
    assert one != other


def test_few_repetitions_are_kept_of_each_side(tmp_path):
    root = release.stored(Release(**SMALL | {"repetitions": 3}))
    params = PARAMS | {"model": {"reads": "mean"}}
    params["data"] = {**PARAMS["data"], "repetitions": {"train": 3, "test": 1}}
    its = experiments.prepare(RUN, params, root)
    train, test = its.read()
    assert len({name[12:16] for name in train.names}) == 3 and len({name[12:16] for name in test.names}) == 1


def test_an_unknown_way_to_read_is_refused():
    with pytest.raises(ValueError, match="reads by 'all'; choose one of soft, hard"):
        experiments.prepare(RUN, PARAMS | {"model": {"reads": "all"}})
