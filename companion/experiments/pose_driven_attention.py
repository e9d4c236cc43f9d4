"""Pose-driven attention to hands, its ablation and its predecessor (chapter 09)."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from companion import presets, records
from companion.datasets.hands import Hands
from companion.experiments.pose_is_not_enough import clips, groups, learned_crops, weights
from companion.experiments.releases import asked
from companion.files import checkout
from companion.metrics import hands
from companion.models import hand_attention
from companion.records import Run
from companion.training import Experiment, accelerator, fit, in_precision, pretrained

FIT = fit  # what takes the options of the presets' `fit`


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants: hands, what is left of it without its parts (`hand_attention.RGB`), and sta-hands.

    What several variants share is trained once: the pose network, and the network that sees crops.
    """
    known = (*hand_attention.RGB, "sta-hands")
    if run.variant not in known:
        raise ValueError(
            f"unknown variant {run.variant!r} of {run.chapter}; choose one of {', '.join(known)}"
        )
    params, place = asked(params, run.seed, run.source, root)
    eye = in_precision(params, params["crops"])
    side = cache(partial(clips, run, params, root))

    def data() -> dict[str, str]:
        return place.data() | weights(eye)

    @cache
    def pose() -> hand_attention.PoseStream:
        train = side("train")
        order = "gru" if run.variant == "sta-hands" else "tour"
        C, body = len(train.classes), train.body
        sizes = (order, body.tree, body.bodies, C, body.frames, *params["pose"].get("features", []))
        own = in_precision(params, params["pose"])
        asked_for = {"pose": own, "data": params["data"]}
        kept = records.checkpoint(replace(run, variant=f"pose-{order}"), asked_for, data(), presets.code(run))
        build = partial(hand_attention.pose_stream, *sizes)
        return pretrained(build, own, train, hand_attention.objective, seed=run.seed, checkpoint=kept)

    @cache
    def crops() -> hand_attention.Crops | hand_attention.Inception:
        if "inception" in eye:
            return hand_attention.Inception(checkout() / eye["inception"]).eval()
        train = side("train")
        size, classes = train.crops.shape[-1], eye.get("classes", len(train.classes))
        asked_for = {"crops": eye, "data": params["data"]}
        kept = records.checkpoint(replace(run, variant="crops"), asked_for, data(), presets.code(run))
        return learned_crops(run, eye, train, partial(hand_attention.Crops, size, classes), kept)

    @cache
    def seen(split: str) -> Hands:
        pose()
        eyes, its = crops(), side(split)
        its.see(eyes, accelerator().device)
        return its

    scorer = cache(lambda: hands.scorer(groups(side("test"))))

    def build() -> hand_attention.Streams:
        train = seen("train")
        sizes = (train.hands, train.body.frames, len(train.classes))
        return hand_attention.streams(run.variant, pose(), *sizes, **params.get("model", {}))

    return Experiment(
        data=data,
        read=lambda: (side("train"), side("test")),
        train=partial(seen, "train"),
        test=partial(seen, "test"),
        build=build,
        params=params,
        loss=hand_attention.objective,
        score=lambda model, batch: scorer()(model, batch),
        units=presets.claimed(run.chapter),
    )
