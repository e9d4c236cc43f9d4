"""The experiment of chapter 02 on small data: what each variant scores, and between which limits."""

from dataclasses import replace

import numpy as np
import pytest
import recordings
import torch

from companion import experiments
from companion.datasets import fixations
from companion.datasets.fixations import Fixations
from companion.experiments import gaze
from companion.models import picture_features
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
    found = {kind: measured(kind) for kind in ("centre-gaussian", "centre-bias", "observers", "one-observer")}
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
        def __init__(self, weights):
            super().__init__()
            seen.append(weights)

        def forward(self, pictures):
            small = pictures[:, :1, ::8, ::8].float() / 255
            return {"block 10": small.expand(-1, 112, -1, -1), "head": small.expand(-1, 1280, -1, -1)}

    monkeypatch.setattr(picture_features, "Layers", Tiny)
    monkeypatch.setattr(gaze.backbones, "installed", lambda: True)
    data = {"size": [48, 64], "cells": [6, 8]}
    kind = "readout" if trained else "untrained"
    run = replace(RUN, source="osie", fold=1)
    found = measured(kind, run, root, data, layers=["block 10"], otherwise={"kind": "scratch"})
    assert found["n_test"] == 2 and set(seen) == {trained}


def test_without_the_weights_the_other_model_is_trained(monkeypatch):
    monkeypatch.setattr(gaze.backbones, "installed", lambda: False)
    params = {"data": DATA, "model": {"kind": "readout", "otherwise": {"kind": "scratch"}}, "fit": FIT}
    experiment = experiments.prepare(RUN, params)
    assert experiment.params["model"] == {"kind": "scratch"} and experiment.build().trunk is not None


def test_an_unknown_kind_is_refused():
    with pytest.raises(
        ValueError, match="unknown kind 'deepgaze' of deepgaze in gaze; choose one of centre-gaussian"
    ):
        measured("deepgaze")


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
