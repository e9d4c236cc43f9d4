"""The experiment of chapter 02 on small data: what each variant scores, and between which limits."""

from dataclasses import replace

import numpy as np
import pytest
import recordings
import torch

from companion import experiments, models
from companion.datasets import fixations
from companion.datasets.fixations import Fixations, Scanpaths
from companion.experiments import faces, gaze
from companion.experiments import scanpaths as ordered
from companion.metrics import scanpaths
from companion.models import picture_features
from companion.models.scanpaths import Static
from companion.records import Run

RUN = Run("02_gaze", "still_lifes", "quick", "five_folds", "x")
DATA = {"count": 24, "cells": [12, 16]}
FIT = {"epochs": 2, "lr": 0.003, "batch_size": 8}


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    fixations.recorded.cache_clear()


def measured(kind, run=RUN, root=None, data=DATA, **model):
    params = {"data": data, "model": {"kind": kind, **model}, "fit": FIT}
    this = replace(run, variant=kind)
    return experiments.measure(this, experiments.prepare(this, params, root)).record["metrics"]


def test_what_knows_the_picture_tells_more_than_what_does_not():
    few = DATA | {"count": 12}
    found = {
        kind: measured(kind, data=few)
        for kind in ("centre-gaussian", "centre-bias", "observers", "one-observer")
    }
    assert found["centre-bias"]["gain"] == pytest.approx(0, abs=1e-6)
    assert found["observers"]["auc"] > found["one-observer"]["auc"] > found["centre-bias"]["auc"] + 0.05
    assert found["observers"]["gain"] > found["one-observer"]["gain"] > 0.3
    assert abs(found["centre-gaussian"]["sauc"] - 0.5) < 0.1
    assert "cc" in found["centre-bias"] and "cc" not in found["observers"]


@pytest.mark.parametrize("kind", ["spectral-residual", "spectral-residual-centre", "itti-koch", "gbvs"])
def test_a_map_without_a_density_has_no_bits(kind):
    found = measured(kind, data=DATA | {"count": 6})
    assert {*found} == {"auc", "sauc", "nss", "cc", "sim", "kl", "n_test"} and 0.3 < found["auc"] < 1


def test_from_scratch_it_learns_something():
    assert "gain" in measured("scratch")


@pytest.mark.parametrize("trained", [True, False])
def test_readouts_see_the_layers_that_they_name(tmp_path, monkeypatch, trained):
    """Of a recorded source, each fold tests other pictures."""
    root, seen = recordings.matlab(tmp_path, "osie"), []

    class Tiny(torch.nn.Module):
        def __init__(self, like, precision):
            super().__init__()
            self.register_buffer("weight", torch.ones((), dtype=torch.bfloat16))
            seen.append((like, precision))

        def forward(self, pictures):
            small = pictures[:, :1, ::8, ::8].float() / 255
            return {"block 10": small.expand(-1, 112, -1, -1), "head": small.expand(-1, 1280, -1, -1)}

    monkeypatch.setattr(picture_features, "Layers", Tiny)
    monkeypatch.setattr(gaze.backbones, "installed", lambda: True)
    data = {"size": [48, 64], "cells": [6, 8]}
    kind = "readout" if trained else "untrained"
    run = replace(RUN, source="osie", fold=1)
    own = {"layers": ["block 10"], "features": "bf16", "otherwise": {"kind": "scratch"}, "members": 2}
    assert measured(kind, run, root, data, **own)["n_test"] == 2 and {words for _, words in seen} == {"bf16"}
    side = fixations.Fixations("osie", "train", fold=1, root=root, **data)
    for like, _ in seen:  # an untrained network knows the statistics of training pictures alone
        assert like is None if trained else torch.equal(like, side.pictures.shown[side.chosen[:8]])


def test_without_the_weights_the_other_model_is_trained(monkeypatch):
    monkeypatch.setattr(gaze.backbones, "installed", lambda: False)
    params = {"data": DATA, "model": {"kind": "readout", "otherwise": {"kind": "scratch"}}, "fit": FIT}
    experiment = experiments.prepare(RUN, params)
    assert experiment.params["model"] == {"kind": "scratch"} and experiment.build().trunk is not None


def test_steps_are_all_fixations_but_the_first_of_each_path():
    data = Fixations("still_lifes", "test", count=4, cells=(12, 16))
    densities = torch.randn(4, 12, 16)
    steps, at = Scanpaths(data, densities, 3), 0
    for n in range(4):
        for observer in np.unique(data.observer[data.picture == n]):
            rows = np.flatnonzero((data.picture == n) & (data.observer == observer))
            path = data.cell(rows).tolist()
            for step in range(1, len(path)):
                one = steps.__getitems__([at])
                assert one.cell[0].tolist() == path[step] and torch.equal(one.density[0], densities[n])
                known = path[:step][::-1][:3]
                assert one.known[0].tolist() == [1.0] * len(known) + [0.0] * (3 - len(known))
                assert one.before[0, : len(known)].tolist() == known and steps.units[at] == data.names[n]
                at += 1
    assert at == len(steps)


def test_the_order_of_fixations_is_told_on_top_of_a_readout():
    params = {"data": DATA, "fit": FIT, "before": {"model": {"kind": "scratch"}, "fit": FIT}}
    found = {}
    for kind in ("static", "next-fixation", "inhibition"):
        this = replace(RUN, variant=kind)
        experiment = experiments.prepare(this, params | {"model": {"kind": kind}})
        found[kind] = experiments.measure(this, experiment).record["metrics"]
    assert found["static"]["history"] == 0 and found["inhibition"]["history"] != 0
    assert found["static"]["people_alike"] == found["inhibition"]["people_alike"] > found["static"]["alike"]


def test_scanpaths_are_compared_with_those_of_other_observers():
    """Written out for a model that draws from the density, of which one cell has all."""
    data = Fixations("still_lifes", "test", count=1, cells=(12, 16))
    density = torch.full((1, 12, 16), -1e9)
    density[0, 5, 9] = 0
    steps = Scanpaths(data, density, 4)
    found = ordered.alike(Static(), steps, data, 0)
    people = [path[:, :2] for path in data.scanpaths(0)]
    still = [np.tile([9.5 * 128 / 16 - 0.5, 5.5 * 96 / 12 - 0.5], (len(path), 1)) for path in people]
    for name, paths in {"alike": still, "people_alike": people}.items():
        values = [
            scanpaths.alike(paths[i], people[j], 128, 96)
            for i in range(len(people))
            for j in range(len(people))
            if i != j
        ]
        assert found[name][0] == pytest.approx(np.mean(values))


def test_an_unknown_kind_is_refused():
    with pytest.raises(
        ValueError, match="unknown kind 'deepgaze' of deepgaze in gaze; choose one of people, centre"
    ):
        measured("deepgaze")


@pytest.mark.parametrize(
    "kind, model, sentence",
    [
        ("scratch", {"width": [8]}, "model of scratch: unknown key 'width'; choose one of widths, dropout"),
        ("scratch", {"widths": 8}, "model of scratch: widths is 8; give .*Sequence.int"),
        ("scratch", {"layers": ["head"]}, "model of scratch: unknown key 'layers'"),
        ("readout", {"members": 0}, "model of readout: members is 0; give a number"),
        ("observers", {"sigma": "wide"}, "model of observers: sigma is 'wide'; give"),
        ("centre-bias", {"sigma": 2}, "model of centre-bias: unknown key 'sigma'; leave it out"),
    ],
)
def test_options_that_nothing_reads_are_refused(kind, model, sentence):
    with pytest.raises(ValueError, match=f"^companion/experiments/gaze.yaml, {sentence}"):
        measured(kind, **model)


def test_fixations_of_each_observer_are_those_of_the_picture(tmp_path):
    data = Fixations("osie", "test", root=recordings.matlab(tmp_path, "osie"), size=(48, 64), cells=(6, 8))
    counts = gaze.by_observer(data, 1)
    assert counts.shape == (3, 6, 8) and torch.equal(counts.sum(0), data.counts[1])
    assert counts.sum((1, 2)).tolist() == [len(path) for path in data.scanpaths(1)]


def test_scores_of_a_density_do_not_depend_on_the_grid():
    """Bits are of pixels: a uniform density has none, whatever its cells."""
    rng = np.random.default_rng(0)
    places = torch.from_numpy(rng.integers(0, [80, 60], (30, 2)))
    for h, w in ((6, 8), (12, 16)):
        uniform = torch.full((h, w), 0.0) - np.log(h * w)
        found = gaze.scores(uniform, True, uniform, places, places, (60, 80))
        assert found["gain"] == pytest.approx(0, abs=1e-6) and found["auc"] == pytest.approx(0.5, abs=1e-3)


def test_shares_on_faces_are_of_their_union(tmp_path):
    root = recordings.matlab(tmp_path, "crowd_gaze")  # a face of 30 x 40 at x 10, y 20 in each picture
    run = replace(RUN, source="crowd_gaze")
    data = {"size": [48, 64], "cells": [6, 8]}
    found = measured("people", run, root, data)
    assert (
        found["area_faces"] == found["area_faces_profile"] == pytest.approx(100 * 1200 / 1024 / 768, abs=1e-4)
    )
    assert "faces_frontal" not in found and found["faces_few"] == found["faces"]
    told = measured("centre-bias", run, root, data)
    test = Fixations("crowd_gaze", "test", root=root, **data)
    density = gaze.enlarged(
        gaze.gaze.centre_bias(Fixations("crowd_gaze", "train", root=root, **data).counts), (768, 1024), True
    )
    inside = density.exp()[20:60, 10:40].sum().item()
    assert told["faces"] == pytest.approx(100 * inside, abs=1e-3)
    at = test.pixels(0)
    hits = ((at >= torch.tensor([10, 20])) & (at < torch.tensor([40, 60]))).all(1)
    own = faces.people(test, test.__getitems__([0]))
    assert own["faces"].item() == pytest.approx(100 * hits.double().mean().item())


def test_faces_that_overlap_are_counted_once():
    boxes = torch.tensor([[1.0, 1, 4, 3], [2, 2, 5, 4]])
    want = torch.zeros(5, 6, dtype=torch.bool)
    want[1:3, 1:4] = want[2:4, 2:5] = True
    assert torch.equal(faces.mask(boxes, 5, 6), want)


def test_faces_of_another_source_are_unknown():
    with pytest.raises(ValueError, match="faces are known of crowd_gaze only"):
        measured("people")


def test_another_dataset_may_help_to_train(tmp_path):
    root = recordings.matlab(tmp_path, "osie")
    recordings.matlab(tmp_path, "crowd_gaze")
    data = {"size": [48, 64], "cells": [6, 8]}
    run = replace(RUN, source="osie", variant="scratch")
    params = {"data": data | {"also": "crowd_gaze"}, "model": {"kind": "scratch"}, "fit": FIT}
    its = experiments.prepare(run, params, root)
    train, alone = its.train(), Fixations("osie", "train", root=root, **data)
    assert {*its.data()} == {"osie", "crowd_gaze"} and len(train) == 8 + 10 and len(its.test()) == 2
    batch = train.__getitems__([3, 9, 17])
    assert torch.equal(batch.counts[0], alone.counts[3]) and batch.index.tolist() == [3, 1, 1]
    other = [Fixations("crowd_gaze", split, root=root, **data) for split in ("train", "test")]
    assert torch.equal(batch.counts[1:], torch.stack([other[0].counts[1], other[1].counts[1]]))
    assert batch.maps["pictures"].shape == (3, 3, 48, 64)


@pytest.mark.parametrize("kind", ["scratch", "centre-bias", "observers", "people"])
def test_no_picture_is_on_both_sides(tmp_path, kind):
    root, run = recordings.matlab(tmp_path, "osie"), replace(RUN, source="osie", variant=kind, fold=1)
    params = {"data": {"size": [48, 64], "cells": [6, 8]}, "model": {"kind": kind}, "fit": FIT}
    its = experiments.prepare(run, params, root)
    train, test = its.train(), its.test()
    assert len(train) == 8 and len(test) == 2 and {*train.names}.isdisjoint(test.names)
    if kind == "centre-bias":
        assert torch.equal(its.build().density, models.gaze.centre_bias(train.counts))


def test_a_fold_that_there_is_not_is_refused(tmp_path):
    root = recordings.matlab(tmp_path, "osie")
    for fold in (-1, 5):
        with pytest.raises(ValueError, match=f"unknown fold {fold} of osie; choose one of 0 to 4"):
            Fixations("osie", "test", fold=fold, root=root)
