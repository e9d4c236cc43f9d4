"""Deformable part models on scenes: parts that may move, parts that may not, and none (chapter 01)."""

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

from companion import presets
from companion.datasets.scenes import Scenes, scenes
from companion.files import fingerprint
from companion.metrics import detection
from companion.models import dpm, latent_svm
from companion.records import Run
from companion.training import Experiment, Scores

VARIANTS = ("free", "anywhere", "rigid", "off")
FIT = latent_svm.train  # what takes the options of the presets' `fit`


class PartModels(Experiment):
    """Trained as a latent SVM; scored on all images together, since an average precision is no mean."""

    def learn(self, seed: int, checkpoint: Path) -> tuple[dpm.DPM, list[float]]:
        if not checkpoint.exists():
            dpm.save(checkpoint, self.build())
        return self.load(seed, checkpoint)

    def load(self, seed: int, checkpoint: Path) -> tuple[dpm.DPM, list[float]]:
        return dpm.load(checkpoint), []

    def weights(self, model: dpm.DPM) -> str:
        return fingerprint(dpm.serialized(model))

    def evaluate(self, model: dpm.DPM, seed: int) -> Scores:
        return self.score(model, self.test())


def prepare(run: Run, params: dict, root: str | Path | None = None) -> PartModels:
    """Variants: free, parts move by some cells; anywhere; rigid, they do not move; off, the root alone."""
    if run.variant not in VARIANTS:
        raise ValueError(
            f"unknown variant {run.variant!r} of {run.chapter}; choose one of {', '.join(VARIANTS)}"
        )
    own = {"free": {}, "anywhere": {"reach": None}, "rigid": {"reach": 0}, "off": {"parts": 0}}[run.variant]
    params = params | {"fit": params["fit"] | own}
    side = cache(lambda split: scenes(split, params["data"][split], seed=run.seed))

    def learned() -> dpm.DPM:
        train = side("train")
        return latent_svm.train(train.images, train.boxes, seed=run.seed, **params["fit"])

    drawn = fingerprint(json.dumps([params["data"], run.seed]).encode())  # and by code, which records compare
    reach = params["fit"].get("reach", dpm.REACH)
    return PartModels(
        data=lambda: {"scenes": drawn},
        read=lambda: (side("train"), side("test")),
        train=partial(side, "train"),
        test=partial(side, "test"),
        build=learned,
        params=params,
        loss=latent_svm.train,
        score=lambda model, test: scored(model, test, side("train"), reach),
        units=presets.claimed(run.chapter),
    )


def scored(model: dpm.DPM, test: Scenes, train: Scenes, reach: int | None) -> Scores:
    """Average precision, recall and errors of parts; per image, by how much average precision needs it."""
    found = [dpm.detect(model, image, reach=reach) for image in test.images]
    images, boxes, parts = (field[train.present][:60] for field in train[:3])
    seen = [dpm.detect(model, image, reach=reach) for image in images]
    numbers: dict[str, Any] = detection.scores(
        found, test.boxes, test.parts, detection.placed(seen, boxes, parts)
    )
    each = detection.average_precision_by_image(found, test.boxes)
    return Scores(numbers, {}, {"average_precision": each}, [f"image {n}" for n in range(len(found))])
