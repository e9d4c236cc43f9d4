"""Attention from recognition: learned from labels, found in a network at rest, or with gaze (chapter 03)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from companion import presets
from companion.datasets import fixations, labelled_pictures
from companion.datasets.fixations import Fixations
from companion.datasets.gaze_and_labels import GazeAndLabels
from companion.datasets.labelled_pictures import LabelledPictures
from companion.experiments import gaze as looking
from companion.files import checkout, fingerprint
from companion.metrics import multi_label
from companion.models import class_activation, gaze, joint_attention, picture_features, wildcat
from companion.presets import check_part
from companion.records import Run
from companion.training import (
    Experiment,
    Scores,
    accelerator,
    evaluate,
    fit,
    load_checkpoint,
    seed_everything,
    summary,
)

FIT = fit  # what takes the options of the presets' `fit`
AT_REST = ("centre", *class_activation.MAPS)
KINDS = ("wildcat", "joint", *AT_REST)
BOTH = "osie+coco128"
GIVEN = "source", "split", "protocol", "fold", "seed", "root"  # to data, by no preset


@dataclass(frozen=True)
class Labelling(Experiment):
    """Scored on all pictures together, since an average precision is no mean."""

    def evaluate(self, model: nn.Module, seed: int) -> Scores:
        test = self.test()
        return labelled(evaluate(model, test, self.score, seed=seed), test, self.units)


class AtRest(Labelling):
    """The same, of what nobody trains."""

    learn = looking.Fixed.learn


@dataclass(frozen=True)
class Jointly(Experiment):
    """Tested on pictures that people looked at, and on others whose labels are known.

    Args:
        looked: scores of a batch of the first kind.
    """

    looked: Callable = field(kw_only=True)

    def evaluate(self, model: nn.Module, seed: int) -> Scores:
        first, second = self.test()
        parts = [
            summary(evaluate(model, first, self.looked, seed=seed), first.units, self.units),
            labelled(evaluate(model, second, self.score, seed=seed), second, self.units),
        ]
        ids = [name for part in parts for name in part.ids]
        units = {}
        for before, part in zip((0, len(parts[0].ids)), parts, strict=True):
            for name, values in part.units.items():
                units[name] = torch.full((len(ids),), torch.nan).numpy()
                units[name][before : before + len(values)] = values
        return Scores(parts[1].metrics | parts[0].metrics, parts[0].counts | parts[1].counts, units, ids)


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants are of a kind.

    wildcat           maps of evidence, learned from labels of whole pictures; with one of its poolings
    joint             one attention, learned from gaze, labels or both (source osie+coco128)
    centre            the middle of the picture
    cam, log-sum-exp, energy        what a network that was trained to recognise attends to
    """
    kind = params["model"].get("kind")
    if kind not in KINDS or (kind == "joint") != (run.source == BOTH):
        raise ValueError(
            f"unknown kind {kind!r} of {run.variant} in {run.chapter} on {run.source};"
            f" choose one of {', '.join(KINDS)}; joint, and no other, is for {BOTH}"
        )
    if kind in AT_REST:
        return at_rest(run, params, root)
    return jointly(run, params, root) if kind == "joint" else from_labels(run, params, root)


def options(params: dict, *names: str) -> dict:
    """What of `model` is for its class."""
    return {key: value for key, value in params["model"].items() if key not in ("kind", *names)}


def fingerprints(run: Run, params: dict, source: str, root: str | Path | None) -> dict[str, str]:
    """Of the data of a source."""
    if source == "still_lifes":  # drawn by code, which records compare
        return {source: fingerprint(f"{params['data']} {run.seed}".encode())}
    of = fixations if source in fixations.RECORDED else labelled_pictures
    return {source: of.data_fingerprint(source, root)}


def seen(data: Fixations | LabelledPictures, net: Callable[[], nn.Module]) -> None:
    """From now on the data give the maps of a network at rest."""
    if not data.pictures.maps:
        with accelerator().main_process_first():  # it fills the cache
            data.pictures.see(net(), accelerator().device)


def from_labels(run: Run, params: dict, root: str | Path | None) -> Labelling:
    """WILDCAT, and what differs from it in one thing."""
    scratch, begun = "trunk" in params["model"], params.get("weights", {}).values()
    check_part(run, "data", params["data"], LabelledPictures, *GIVEN)
    check_part(run, "model", options(params, "trunk"), wildcat.Wildcat, "D", "C", "trunk")

    @cache
    def side(split: str) -> LabelledPictures:
        return LabelledPictures(run.source, split, run.fold, run.seed, root, **params["data"])

    def data() -> dict[str, str]:
        files = {name: fingerprint((checkout() / name).read_bytes()) for name in begun}
        return fingerprints(run, params, run.source, root) | files

    def ready(split: str) -> LabelledPictures:
        if not scratch:
            seen(side(split), picture_features.Layers)
        return side(split)

    def build() -> wildcat.Wildcat:
        its, C = options(params, "trunk"), len(side("train").classes)
        if not scratch:
            return wildcat.Wildcat(picture_features.CHANNELS[its.get("layer", "block 15")], C, **its)
        trunk = wildcat.Trunk()
        model = wildcat.Wildcat(trunk.channels, C, layer=trunk.layer, trunk=trunk, **its)
        for name in begun:
            load_checkpoint(checkout() / name, model)
        return model

    return Labelling(
        data=data,
        read=lambda: (side("train"), side("test")),
        train=partial(ready, "train"),
        test=partial(ready, "test"),
        build=build,
        params=params,
        loss=wildcat.objective,
        score=points,
        units=presets.claimed(run.chapter),
    )


def at_rest(run: Run, params: dict, root: str | Path | None) -> Experiment:
    """Attention that nothing here has trained, against boxes or against gaze."""
    model, of_gaze = params["model"], run.source in fixations.RECORDED
    trained = model.get("trained", True)
    of = Fixations if of_gaze else LabelledPictures
    check_part(run, "data", params["data"], of, *GIVEN)
    check_part(run, "model", options(params, "trained"), gaze.Always)

    @cache
    def net() -> picture_features.Layers:
        seed_everything(run.seed)
        few = side("train").chosen[: picture_features.FEW]
        return picture_features.Layers(None if trained else side("train").pictures.shown[few])

    @cache
    def side(split: str) -> Fixations | LabelledPictures:
        if of_gaze:
            return Fixations(run.source, split, run.protocol, run.fold, run.seed, root, **params["data"])
        return LabelledPictures(run.source, split, run.fold, run.seed, root, **params["data"])

    def ready(split: str) -> Fixations | LabelledPictures:
        if model["kind"] != "centre":
            seen(side(split), net)
        return side(split)

    def build() -> nn.Module:
        if model["kind"] == "centre":
            return gaze.Always(gaze.gaussian((61, 81)))
        return class_activation.ClassActivation(cast(nn.Linear, net().classify), model["kind"])

    @cache
    def bias() -> Tensor:
        return gaze.centre_bias(cast(Fixations, side("train")).counts)

    def looked(model: Callable, batch: fixations.Looked) -> dict[str, Tensor]:
        return looking.scored(model, batch, cast(Fixations, side("test")), bias())

    return (looking.Fixed if of_gaze else AtRest)(
        data=lambda: fingerprints(run, params, run.source, root),
        read=lambda: (side("train"), side("test")),
        train=partial(side, "train"),
        test=partial(ready, "test"),
        build=build,
        params=params,
        loss=gaze.objective,
        score=looked if of_gaze else points,
        units=presets.claimed(run.chapter),
    )


def jointly(run: Run, params: dict, root: str | Path | None) -> Jointly:
    """Gaze and labels."""
    sources = BOTH.split("+")
    data, its = dict(params["data"]), options(params, "attends")
    cells, least = data.pop("cells"), data.pop("least")
    check_part(run, "data", data | {"cells": cells}, Fixations, *GIVEN)
    check_part(run, "data", data | {"least": least}, LabelledPictures, *GIVEN)
    check_part(run, "model", its, gaze.Readout, "channels", "prior", "trunk")
    check_part(run, "loss", params["loss"], joint_attention.objective, "model", "batch")

    @cache
    def side(split: str) -> tuple[Fixations, LabelledPictures]:
        return (
            Fixations(sources[0], split, run.protocol, run.fold, run.seed, root, cells=cells, **data),
            LabelledPictures(sources[1], split, run.fold, run.seed, root, least=least, **data),
        )

    def ready(split: str) -> tuple[Fixations, LabelledPictures]:
        for one in side(split):
            seen(one, picture_features.Layers)
        return side(split)

    @cache
    def prior() -> Tensor:
        return gaze.centre_bias(side("train")[0].counts)

    def build() -> joint_attention.JointAttention:
        readout = gaze.Readout(picture_features.channels(), prior(), **its)
        classes = len(side("train")[1].classes)
        return joint_attention.JointAttention(readout, classes, params["model"].get("attends", True))

    def looked(model: Callable, batch: fixations.Looked) -> dict[str, Tensor]:
        test = side("test")[0]
        with_prior = looking.scored(lambda maps: model(maps).gaze, batch, test, prior())
        alone = looking.scored(lambda maps: gaze.as_gaze(model(maps).attention), batch, test, prior())
        return with_prior | {f"attention_{name}": values for name, values in alone.items()}

    def told(model: Callable, batch: labelled_pictures.Labelled) -> dict[str, Tensor]:
        said = model(batch.maps)
        return {"logits": said.logits, "peak": multi_label.peaks(said.attention)}

    return Jointly(
        data=lambda: {k: v for source in sources for k, v in fingerprints(run, params, source, root).items()},
        read=lambda: (side("train"), side("test")),
        train=lambda: GazeAndLabels(*ready("train"), seed=run.seed),
        test=partial(ready, "test"),
        build=build,
        params=params,
        loss=partial(joint_attention.objective, **params["loss"]),
        score=told,
        units=presets.claimed(run.chapter),
        looked=looked,
    )


def points(model: Callable, batch: labelled_pictures.Labelled) -> dict[str, Tensor]:
    """Logits, and the highest place of each map, as `labelled` takes them."""
    said = model(batch.maps)
    if not isinstance(said, wildcat.Read):
        return {"peak": multi_label.peaks(said.map)}
    each = multi_label.peaks(said.heatmaps)
    told = said.logits.argmax(1)
    return {"logits": said.logits, "peaks": each, "peak": each[torch.arange(len(told)), told]}


def labelled(rows: dict, test: LabelledPictures, units: Sequence[str]) -> Scores:
    """`map`: mean average precision; `pointing`: the peak of a class's map lies on one of its things;
    `on_things`: the peak of the map for the class that is said lies on any thing, also of a class that is
    left out; `on_others`: of the other pictures of the test set, on the things of how many it would lie, a
    control. All in percent.
    """
    peak = torch.from_numpy(rows["peak"])
    boxes, things = ([around.float() for around in each] for each in (test.boxes, test.things))
    columns = {
        "on_things": multi_label.on_things(peak, things),
        "on_others": multi_label.on_others(peak, things),
    }
    each = rows["peaks"] if "peaks" in rows else peak[:, None].expand(-1, len(test.classes), -1).numpy()
    columns["pointing"] = multi_label.pointing(torch.from_numpy(each), boxes, test.kinds)
    found = summary(columns, test.units, units)
    if "logits" not in rows:
        return found
    truth = rows["logits"], test.present.bool().numpy(), test.ignored.bool().numpy()
    metrics = {"map": round(float(np.nanmean(multi_label.average_precisions(*truth))), 4)}
    kept = summary({"map": multi_label.by_picture(*truth)}, test.units, units).units if "map" in units else {}
    return Scores(metrics | found.metrics, found.counts, found.units | kept, found.ids)
