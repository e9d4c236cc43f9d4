"""Attention on joints and frames of skeletons, and the pose rows of the lecture's tables (chapter 06)."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from torch import nn

from companion import presets, records
from companion.datasets.skeletons import Skeletons
from companion.experiments.releases import Place, asked, simulated
from companion.metrics import joints
from companion.models import skeleton_baselines, sta_lstm
from companion.records import Run
from companion.simulator.release import SKELETONS, Release
from companion.training import Experiment, fit, from_pretrained, in_precision, pretrained

TRANSFER = "-transfer"  # of a variant that first learns from simulated bodies with the dataset's joints
FIT = fit  # what takes the options of the presets' `fit`


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants: the names of `skeleton_baselines.build`; with -transfer, pretrained on simulated clips."""
    variant = run.variant.removesuffix(TRANSFER)
    skeleton_baselines.known(variant)
    params, place = asked(params, run.seed, run.source, root, SKELETONS)
    before = None
    if run.variant.endswith(TRANSFER):
        if "before" not in params:
            raise ValueError(
                f"{run.variant} has no key 'before' in {run.chapter}.yaml, {run.profile}, {run.source},"
                f" {run.protocol}; add what is learned first"
            )
        before = simulated(Release(**params["before"]["release"]), "simulated", None)

    def side(source: str, split: str, place: Place, **options: Any) -> Skeletons:
        protocol, fold = (run.protocol, run.fold) if source == run.source else ("cross_subject", 0)
        return Skeletons(source, split, protocol, fold, run.seed, place.root(), **params["data"], **options)

    train = cache(lambda: side(run.source, "train", place))
    test = cache(lambda: side(run.source, "test", place))
    others = cache(lambda before: side("simulated", "train", before, layout=run.source))

    def model(data: Skeletons) -> partial:
        sizes = {"bodies": data.bodies, "classes": len(data.classes), "frames": data.frames}
        return partial(skeleton_baselines.build, variant, data.tree, **sizes, **params.get("model", {}))

    @cache
    def first(before: Place) -> nn.Module:
        other, own = others(before), in_precision(params, params["before"])
        asked_for = {key: params.get(key) for key in ("data", "model")} | {"before": own}
        kept = records.checkpoint(replace(run, fold=0), asked_for, before.data(), presets.code(run))
        return pretrained(model(other), own, other, sta_lstm.objective, seed=run.seed, checkpoint=kept)

    def ready() -> Skeletons:
        if before:
            first(before)
        return train()

    return Experiment(
        data=lambda: place.data() | ({"before": before.data()["simulated"]} if before else {}),
        read=lambda: (train(), test(), others(before) if before else None),
        train=ready,
        test=test,
        build=lambda: from_pretrained(model(train()), first(before)) if before else model(train())(),
        params=params,
        loss=sta_lstm.objective,
        score=joints.scores,
        units=presets.claimed(run.chapter),
    )
