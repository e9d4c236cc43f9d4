"""Chapter 03: its scores against references written out, and its experiment on small data."""

from dataclasses import replace

import labelled
import numpy as np
import pytest
import recordings
import torch
from sklearn.metrics import average_precision_score

from companion import experiments
from companion.datasets import fixations, labelled_pictures
from companion.datasets.fixations import Fixations
from companion.datasets.gaze_and_labels import Both, GazeAndLabels
from companion.datasets.labelled_pictures import LabelledPictures
from companion.experiments import weakly_supervised_attention as weak
from companion.metrics import multi_label
from companion.models import class_activation, gaze, joint_attention, picture_features
from companion.records import Run
from companion.training import save_checkpoint, weights_fingerprint

RUN = Run("03_weakly_supervised_attention", "still_lifes", "quick", "default", "x")
FIT = {"epochs": 2, "lr": 0.003, "batch_size": 8}
RNG = np.random.default_rng(0)


class Tiny(torch.nn.Module):
    """In place of EfficientNet: colours at a sixteenth of the size."""

    def __init__(self, like=None):
        super().__init__()
        self.classify = torch.nn.Linear(1280, 10)

    def forward(self, pictures):
        small = pictures[:, :1, ::16, ::16].float() / 255
        return {
            name: small.expand(-1, D, -1, -1) * torch.linspace(-1, 1, D)[:, None, None]
            for name, D in picture_features.channels().items()
        }


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_OUT", str(tmp_path / "out"))
    monkeypatch.setattr(picture_features, "Layers", Tiny)
    fixations.recorded.cache_clear()
    labelled_pictures.parsed.cache_clear()


def measured(variant, run=RUN, root=None, **params):
    params = {"data": {"count": 12, "size": [96, 128]}, "fit": FIT} | params
    this = replace(run, variant=variant)
    return experiments.measure(this, experiments.prepare(this, params, root)).record["metrics"]


def test_the_peak_is_the_middle_of_the_highest_cell():
    maps = torch.zeros(2, 3, 4)
    maps[0, 2, 3] = maps[1, 0, 1] = 1
    torch.testing.assert_close(multi_label.peaks(maps), torch.tensor([[7 / 8, 5 / 6], [3 / 8, 1 / 6]]))


def test_pointing_is_the_share_of_the_classes_that_are_hit():
    boxes = [torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.6, 0, 1, 0.4]]), torch.zeros(0, 4)]
    kinds = [torch.tensor([0, 0, 2]), torch.zeros(0, dtype=torch.long)]
    peak = torch.tensor([[[0.7, 0.7], [0.1, 0.1], [0.7, 0.7]], [[0.1, 0.1]] * 3])
    found = multi_label.pointing(peak, boxes, kinds)  # of class 0 the second box is hit, of class 2 none
    assert found[0] == 50 and np.isnan(found[1])
    found = multi_label.on_things(torch.tensor([[0.8, 0.2], [0.1, 0.1]]), boxes)
    assert found[0] == 100 and np.isnan(found[1])
    assert multi_label.on_things(torch.tensor([[0.1, 0.9], [0.1, 0.1]]), boxes)[0] == 0


def test_the_control_is_where_things_of_all_other_pictures_are():
    corner, middle = (
        torch.tensor([[0.0, 0, 0.2, 0.2]]),
        torch.tensor([[0.4, 0.4, 0.6, 0.6], [0, 0, 0.1, 0.1]]),
    )
    boxes = [corner, middle, torch.zeros(0, 4), middle]
    peak = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.15, 0.15]])
    np.testing.assert_equal(multi_label.on_others(peak, boxes), [100, 50, np.nan, 50])
    assert np.isnan(multi_label.on_others(peak[1:3], boxes[1:3])).all()


def test_average_precision_leaves_out_what_is_ignored():
    scores, present = RNG.random((30, 4)), RNG.random((30, 4)) < 0.3
    ignored = (RNG.random((30, 4)) < 0.2) & ~present
    present[:, 3] = False
    found = multi_label.average_precisions(scores, present, ignored)
    for c in range(3):
        rows = [n for n in range(30) if not ignored[n, c]]
        want = average_precision_score(present[rows, c], scores[rows, c])
        assert found[c] == pytest.approx(100 * want)
    assert np.isnan(found[3])


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_the_mean_of_what_pictures_add_is_the_mean_average_precision(share):
    scores, present = RNG.integers(0, 9, (30, 6)) / 9, RNG.random((30, 6)) < share
    present[7, 0], present[:, 5] = True, False
    ignored = (RNG.random((30, 6)) < 0.2) & ~present
    each = multi_label.by_picture(scores, present, ignored)
    assert each.mean() == pytest.approx(np.nanmean(multi_label.average_precisions(scores, present, ignored)))
    assert (each[~present.any(1)] == 0).all() and (each[present.any(1)] > 0).all()
    assert np.isnan(multi_label.by_picture(scores, np.zeros_like(present), ignored)).all()


def test_maps_of_a_network_at_rest():
    classify, maps = torch.nn.Linear(5, 7), torch.randn(2, 5, 3, 4)
    logits = classify(maps.mean((2, 3)))
    for kind in class_activation.MAPS:
        found = class_activation.ClassActivation(classify, kind)({"head": maps}).map
        for n, y, x in np.ndindex(2, 3, 4):
            evidence = classify(maps[n, :, y, x])
            want = {
                "cam": evidence[logits[n].argmax()],
                "log-sum-exp": evidence.exp().sum().log(),
                "energy": (maps[n, :, y, x] ** 2).mean(),
            }[kind]
            torch.testing.assert_close(found[n, y, x], want)
    with pytest.raises(ValueError, match="unknown map 'gradient'; choose one of cam, log-sum-exp, energy"):
        class_activation.ClassActivation(classify, "gradient")


def joint(**options):
    torch.manual_seed(0)
    readout = gaze.Readout({"head": 7}, gaze.gaussian((6, 8)), dropout=0.0)
    return joint_attention.JointAttention(readout, 3, **options), {"head": torch.randn(5, 7, 3, 4)}


def test_without_attention_classes_are_read_everywhere():
    model, maps = joint(attends=False)
    said = model(maps)
    torch.testing.assert_close(said.attention.exp(), torch.full((5, 6, 8), 1 / 48))
    torch.testing.assert_close(said.logits, model.evidence(model.readout.hidden(maps)).mean((2, 3)))


def test_classes_are_read_where_it_attends():
    model, maps = joint()
    said = model(maps)
    torch.testing.assert_close(said.attention.exp().sum((1, 2)), torch.ones(5))
    evidence, share = model.evidence(model.readout.hidden(maps)), said.attention.exp()
    want = sum(share[:, y, x, None] * evidence[:, :, y, x] for y in range(6) for x in range(8))
    torch.testing.assert_close(said.logits, want)
    torch.testing.assert_close(said.gaze.map, model.readout(maps).map)


@pytest.mark.parametrize(("looked", "labels"), [(1.0, 0.0), (0.0, 1.0), (1.0, 2.0)])
def test_each_loss_trains_its_part(looked, labels):
    model, maps = joint()
    batch = Both(maps, torch.rand(2, 6, 8), torch.ones(3, 3))
    joint_attention.objective(model, batch, gaze=looked, labels=labels).backward()

    def taught(value):
        return bool(value.grad is not None and value.grad.abs().sum() > 0)

    assert taught(model.readout.last.weight)
    assert taught(model.evidence.weight) == (labels > 0)
    assert taught(model.readout.centre) == (looked > 0)
    said = model(maps)
    want = -looked * (batch.counts * said.gaze.map[:2]).sum() / batch.counts.sum()
    chance = said.logits[2:].sigmoid()
    torch.testing.assert_close(
        joint_attention.objective(model, batch, gaze=looked, labels=labels),
        want - labels * chance.log().mean(),
    )


def test_pictures_with_labels_are_drawn_anew_and_equally_often(tmp_path):
    root = labelled.coco(recordings.matlab(tmp_path, "osie"))
    looked = Fixations("osie", "train", root=root, size=(48, 64), cells=(6, 8))
    other = LabelledPictures("coco128", "train", root=root, size=(48, 64))
    both = GazeAndLabels(looked, other, seed=1)
    first = both.beside.tolist()
    both.set_epoch(1)
    assert len(both) == len(first) == 8 and both.beside.tolist() != first
    assert set(np.bincount(first, minlength=len(other))) <= {1, 2}
    batch = both.__getitems__([0, 3])
    assert batch.maps["pictures"].shape == (4, 3, 48, 64) and batch.present.shape == (2, 2)
    torch.testing.assert_close(batch.maps["pictures"][:2], looked.__getitems__([0, 3]).maps["pictures"])
    at = other.__getitems__(both.beside[[0, 3]].tolist())
    torch.testing.assert_close(batch.maps["pictures"][2:], at.maps["pictures"])
    with pytest.raises(ValueError, match=r"pictures of \(48, 64\) and of \(32, 64\) pixels; give both one"):
        GazeAndLabels(looked, LabelledPictures("coco128", "train", root=root, size=(32, 64)))


@pytest.mark.parametrize("pooling", ["wildcat", "average"])
def test_from_labels_it_is_scored_on_labels_and_on_boxes(pooling):
    found = measured(pooling, model={"kind": "wildcat", "pooling": pooling, "trunk": "scratch"})
    assert {*found} == {"map", "pointing", "on_things", "on_others", "n_test"}


def test_it_begins_with_weights_that_are_named(tmp_path, monkeypatch):
    model = {"kind": "wildcat", "trunk": "scratch"}
    params = {"data": {"count": 12, "size": [96, 128]}, "fit": FIT, "model": model}
    monkeypatch.setattr(weak, "checkout", lambda: tmp_path)
    torch.manual_seed(1)
    known = experiments.prepare(RUN, params).build()
    save_checkpoint(tmp_path / "known.safetensors", known)
    begun = experiments.prepare(RUN, params | {"weights": {"scratch": "known.safetensors"}})
    assert weights_fingerprint(begun.build()) == weights_fingerprint(known)
    assert {*begun.data()} == {"still_lifes", "known.safetensors"}


def test_maps_of_layers_are_read_where_no_trunk_is_named(tmp_path):
    run = replace(RUN, source="coco128", fold=1)
    found = measured(
        "wildcat", run, labelled.coco(tmp_path), data={"size": [64, 64]}, model={"kind": "wildcat"}
    )
    assert found["n_test"] == 2


@pytest.mark.parametrize("kind", ["centre", *class_activation.MAPS])
def test_what_nobody_trains_is_scored_on_boxes_and_on_gaze(tmp_path, kind):
    assert {*measured(kind, model={"kind": kind})} == {"pointing", "on_things", "on_others", "n_test"}
    root, run = recordings.matlab(tmp_path, "osie"), replace(RUN, source="osie", protocol="five_folds")
    found = measured(kind, run, root, data={"size": [48, 64], "cells": [6, 8]}, model={"kind": kind})
    assert {"auc", "sauc", "nss"} <= {*found}


def test_gaze_and_labels_are_scored_each_on_its_pictures(tmp_path):
    root = labelled.coco(recordings.matlab(tmp_path, "osie"))
    run = replace(RUN, source="osie+coco128", protocol="five_folds")
    params = {"data": {"size": [48, 64], "cells": [6, 8], "least": 1}, "loss": {"gaze": 1.0, "labels": 1.0}}
    found = measured("joint", run, root, model={"kind": "joint"}, **params)
    assert {"auc", "attention_sauc", "map", "on_things"} <= {*found}
    told = {"model": {"kind": "joint", "attends": False}, "fit": FIT}
    assert not experiments.prepare(run, params | told, root).build().attends
    with pytest.raises(ValueError, match=r"joint, and no other, is for osie\+coco128"):
        measured("wildcat", run, root, model={"kind": "wildcat"}, **params)


@pytest.mark.parametrize(
    "source, params, sentence",
    [
        (
            "coco128",
            {"model": {"kind": "wildcat", "maps": 4}},
            "model of x: unknown key 'maps'; choose one of",
        ),
        ("coco128", {"model": {"kind": "wildcat", "M": "4"}}, "model of x: M is '4'; give int"),
        ("coco128", {"data": {"sizes": [48, 64]}}, "data of x: unknown key 'sizes'"),
        ("coco128", {"model": {"kind": "cam", "M": 4}}, "model of x: unknown key 'M'; leave it out"),
        ("osie", {"model": {"kind": "cam"}, "data": {"least": 3}}, "data of x: unknown key 'least'"),
        ("osie+coco128", {"model": {"kind": "joint", "M": 4}}, "model of x: unknown key 'M'"),
        ("osie+coco128", {"model": {"kind": "joint"}, "loss": {"gaze": 1}}, "loss of x has no key 'labels'"),
        (
            "osie+coco128",
            {"model": {"kind": "joint"}, "loss": {"gaze": "1", "labels": 1}},
            "loss of x: gaze is",
        ),
    ],
)
def test_options_that_nothing_reads_are_refused(source, params, sentence):
    run = replace(RUN, source=source, protocol="five_folds", variant="x")
    data = {"cells": [6, 8], "least": 1} if source == "osie+coco128" else {}
    default = {"data": data, "model": {"kind": "wildcat"}, "fit": FIT, "loss": {"gaze": 1, "labels": 1}}
    with pytest.raises(ValueError, match=f"^companion/experiments/{run.chapter}.yaml, {sentence}"):
        experiments.prepare(run, default | params)


@pytest.mark.parametrize("kind", ["wildcat", "cam", "joint"])
def test_no_picture_is_on_both_sides(tmp_path, kind):
    root = labelled.coco(recordings.matlab(tmp_path, "osie"))
    source, more = ("osie+coco128", {"cells": [6, 8], "least": 1}) if kind == "joint" else ("coco128", {})
    run = replace(RUN, source=source, protocol="five_folds", variant=kind, fold=1)
    params = {"data": {"size": [48, 64], **more}, "model": {"kind": kind}, "fit": FIT}
    its = experiments.prepare(run, params | {"loss": {"gaze": 1.0, "labels": 1.0}}, root)
    train, test = its.train(), its.test()
    if kind != "joint":
        assert {*train.names}.isdisjoint(test.names) and test.names
        return
    for learned, tested in zip((train.looked, train.labelled), test, strict=True):
        assert {*learned.names}.isdisjoint(tested.names) and tested.names


def test_things_of_classes_that_are_left_out_are_things_and_a_fold_that_there_is_not_is_refused(tmp_path):
    root = labelled.coco(tmp_path)
    every, few = (LabelledPictures("coco128", "train", root=root, size=(48, 64), least=n) for n in (1, 5))
    assert [len(around) for around in few.things] == [len(around) for around in every.boxes]
    assert sum(map(len, few.boxes)) < sum(map(len, every.boxes))
    for fold in (-1, 5):
        with pytest.raises(ValueError, match=f"unknown fold {fold} of coco128; choose one of 0 to 4"):
            LabelledPictures("coco128", "test", fold, root=root)
