"""What the pose tells, and what one look at the hands adds (chapter 08)."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from jaxtyping import Bool
from torch import Tensor

from companion import presets, records
from companion.datasets.hands import Hands
from companion.experiments.releases import asked
from companion.files import checkout, fingerprint
from companion.formats import ntu
from companion.metrics import hands
from companion.models import hand_attention
from companion.records import Run
from companion.training import Experiment, fit, from_pretrained, in_precision, load_checkpoint, pretrained

SAMPLES = 24 / 160  # of a crop around a hand, a pixel of 1920 x 1080
EDGES = 200, 250, 300, 400  # of how far a thing may be from the hand, in pixels of 1920 x 1080
VARIANTS = {  # name -> what it sees
    **dict.fromkeys(("pose-tour", "pose-once", "pose-random", "pose-gru", "crops"), {}),
    "crops-wide": {"crop": 600, "side": 48},
    "picture": {"at": "picture", "every": 2},
    "evidence": {"at": "evidence"},
}
FIT = fit  # what takes the options of the presets' `fit`


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants: pose-<order of the joints>, crops around the hands (-wide: larger), the picture, evidence."""
    if run.variant not in VARIANTS:
        raise ValueError(
            f"unknown variant {run.variant!r} of {run.chapter}; choose one of {', '.join(VARIANTS)}"
        )
    params = params | {"data": params["data"] | VARIANTS[run.variant]}
    params, place = asked(params, run.seed, run.source, root)
    side = cache(partial(clips, run, params, root))
    kind, _, order = run.variant.partition("-")
    before = {}
    if "before" in params and kind != "pose":
        before = in_precision(params, params["before"])

    def crops(classes: int) -> hand_attention.Crops:
        return hand_attention.Crops(side("train").crops.shape[-1], classes)

    @cache
    def first() -> hand_attention.Crops:
        asked_for = {"before": before, "data": params["data"]}
        kept = records.checkpoint(replace(run, variant="crops-first"), asked_for, data(), presets.code(run))
        return learned_crops(run, before, side("train"), partial(crops, before["classes"]), kept)

    def data() -> dict[str, str]:
        return place.data() | weights(before)

    def ready() -> Hands:
        if before:
            first()
        return side("train")

    scorer = cache(lambda: hands.scorer(groups(side("test")), ("context", EDGES)))

    def build() -> object:
        train = side("train")
        C, body = len(train.classes), train.body
        if kind == "pose":
            return hand_attention.pose_stream(order, body.tree, body.bodies, C, body.frames)
        if kind == "picture":
            return hand_attention.Whole(C, SAMPLES * ntu.SIZE[1] / train.crops.shape[-1])
        if kind == "evidence":
            return hand_attention.Evidence(train.crops.shape[-1], C, train.hands)
        return from_pretrained(partial(crops, C), first()) if before else crops(C)

    return Experiment(
        data=data,
        read=lambda: (side("train"), side("test")),
        train=ready,
        test=partial(side, "test"),
        build=build,
        params=params,
        loss=hand_attention.objective,
        score=lambda model, batch: scorer()(model, batch),
        units=presets.claimed(run.chapter),
    )


def clips(run: Run, params: dict, root: str | Path | None, split: str) -> Hands:
    """One side of a run's protocol; a simulated release is made where it is absent."""
    params, place = asked(params, run.seed, run.source, root)
    sizes = (run.source, split, run.protocol, run.fold, run.seed, place.root())
    return Hands(*sizes, **params["data"])


def groups(data: Hands) -> dict[str, Bool[Tensor, " C"]]:
    """Which classes each group of a simulated release has; none of a real one."""
    if data.truth is None or data.group is None:
        return {}
    return {clip["group"]: data.group[label] for clip, label in zip(data.truth, data.label, strict=True)}


def weights(params: dict) -> dict[str, str]:
    """The fingerprint of the file of weights that a part begins with or is, if there is one.

    Raises:
        FileNotFoundError: it is not there.
    """
    name = params.get("weights") or params.get("inception")
    if name is None:
        return {}
    path = checkout() / name
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {path}; it comes with the repository: clone it, or take it from there"
        )
    return {"weights": fingerprint(path.read_bytes())}


def learned_crops(
    run: Run, params: dict, train: Hands, build: Callable[[], hand_attention.Crops], kept: Path
) -> hand_attention.Crops:
    """A network that has seen crops: from a file of weights, or trained once for all variants of a run."""
    model = pretrained(build, params, train, hand_attention.objective, seed=run.seed, checkpoint=kept)
    if "weights" in params:
        load_checkpoint(checkout() / params["weights"], model)
    return model
