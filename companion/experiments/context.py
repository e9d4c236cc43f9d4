"""What lies beyond the hands, and what the pose tells of it (chapter 10); also the first stage of 11."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from companion import presets, records
from companion.datasets.video_clips import Clips, VideoClips, data_fingerprint
from companion.experiments.pose_is_not_enough import EDGES, weights
from companion.experiments.releases import asked
from companion.files import checkout
from companion.metrics import clouds
from companion.models import backbones, context
from companion.models.placed_glimpses import SIZE, PlacedGlimpses
from companion.records import Run
from companion.training import (
    Experiment,
    Model,
    accelerator,
    fit,
    in_precision,
    load_checkpoint,
    pretrained,
    save_checkpoint,
)

FIT = fit  # what takes the options of the presets' `fit`
RULES = "hands", "forearms"
HANDS = [context.FOUND.index(n) for n in (7, 11)]
BLOCKS, STRIDE = 5, 4  # of EfficientNet-Lite0: 40 channels at a quarter of the size


class First(NamedTuple):
    """The first stage of a run: what it reads, and what it gives to a second one."""

    params: dict
    trained: str  # the split that is trained on: train, or fit, where a part of it is held out
    data: Callable[[], dict[str, str]]
    read: Callable[[], list[VideoClips]]  # the frames of all sides
    side: Callable[[str], VideoClips]  # frames of train, fit, validation or test
    imagenet: Callable[[], Path | None]  # a file of weights that a ResNet may begin with
    whole: Callable[[], context.FromFrames | context.FromClips]  # trained, at rest
    seen: Callable[[str], VideoClips]  # its maps, where they are kept, with what each frame tells


class Alone(Experiment):
    """The first stage by itself: trained once a (data, seed), by whoever asks first."""

    def learn(self, seed: int, checkpoint: Path) -> tuple[nn.Module, list[float]]:
        model = self.build()
        save_checkpoint(checkpoint, model)
        return model, []


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants: context, the network that finds hands and is the global model; glimpses by a rule.

    Scores `*_true` of glimpses by a rule: the joints of the pose files, where they know them, when tested.
    """
    if run.variant not in ("context", *RULES):
        known = ", ".join(("context", *RULES))
        raise ValueError(f"unknown variant {run.variant!r} of {run.chapter}; choose one of {known}")
    stage = first(run, params, root)
    alone = run.variant == "context"

    def build() -> nn.Module:
        network, train = stage.whole().context, stage.seen(stage.trained)
        if alone:
            return network
        head = PlacedGlimpses(train.shown.shape[1], network.width, len(train.classes), run.variant)
        return begun(stage.params, head)

    found = scored(stage, lambda model, batch: model(batch.frames) if alone else placed(model, batch), hands)
    true = scored(stage, lambda model, batch: placed(model, with_true(batch)))

    def score(model: nn.Module, batch: Clips) -> dict[str, Tensor]:
        own = {} if alone else true(model, batch)
        return found(model, batch) | {f"{name}_true": value for name, value in own.items()}

    return (Alone if alone else Experiment)(
        data=stage.data,
        read=stage.read,
        train=partial(stage.seen, stage.trained),
        test=partial(stage.seen, "test"),
        build=build,
        params=stage.params,
        loss=objective,
        score=score,
        units=presets.claimed(run.chapter),
    )


def first(run: Run, params: dict, root: str | Path | None = None) -> First:
    """The first stage, which all variants of chapters 10 and 11 of the same data and seed share."""
    params, place = asked(params, run.seed, run.source, root)
    other = params["before"].get("otherwise")
    if other and params["before"]["backbone"] == "lite0" and not backbones.installed():
        params = params | {"before": other}
    before = in_precision(params, {k: value for k, value in params["before"].items() if k != "otherwise"})
    trained_on = "fit" if params.get("held_out") else "train"

    @cache
    def side(split: str) -> VideoClips:
        options = dict(params["data"])
        few = options.pop("repetitions", {}).get("test" if split == "test" else "train", 0)
        sizes = (run.source, split, run.protocol, run.fold, run.seed, place.root())
        return VideoClips(*sizes, repetitions=few, **options)

    def data() -> dict[str, str]:
        files = (
            place.data() if run.source == "simulated" else {run.source: data_fingerprint(run.source, root)}
        )
        return (
            files | weights(before) | {f"{name}, begun": own for name, own in weights(begin(params)).items()}
        )

    @cache
    def whole() -> context.FromFrames | context.FromClips:
        train = side(trained_on)
        this, C = replace(run, notebook="10_context", variant="context"), len(train.classes)
        asked_for = {"before": before, "data": params["data"], "split": trained_on}
        kept = records.checkpoint(this, asked_for, data(), presets.code(this))

        def trained(build: Callable[[], Model]) -> Model:
            parts = train.parted(before.get("frames", train.frames))
            model = pretrained(build, before, parts, context.objective, seed=run.seed, checkpoint=kept)
            if "weights" in before:
                load_checkpoint(checkout() / before["weights"], model)
            return model.requires_grad_(False)

        if before["backbone"] == "lite0":
            backbone = backbones.lite0(BLOCKS, STRIDE)
            train.see(backbone, accelerator().device)
            network = trained(partial(context.Context, train.shown.shape[1], C))
            return context.FromFrames(backbone, network)
        if before["backbone"] == "small":
            return trained(partial(small, C))
        return trained(lambda: context.FromClips(backbones.ResNet50(imagenet()), C))

    def imagenet() -> Path | None:
        """The file of torchvision's weights, where one is named."""
        return (
            before.get("imagenet") and Path(place.root() or os.environ["COMPANION_DATA"]) / before["imagenet"]
        )

    @cache
    def seen(split: str) -> VideoClips:
        first, its, device = whole(), side(split), accelerator()
        if isinstance(first, context.FromFrames):
            with device.main_process_first():  # it fills the cache
                its.see(first.backbone, device.device)
                its.describe(first.context, device.device)
        return its

    def read() -> list[VideoClips]:
        return [side(split) for split in (trained_on, "test", *["validation"] * (trained_on == "fit"))]

    return First(params, trained_on, data, read, side, imagenet, whole, seen)


def begin(params: dict) -> dict[str, str]:
    """The file of weights that a second stage begins with on this backbone, if its preset names one."""
    name = params.get("weights", {}).get(params["before"]["backbone"])
    return {"weights": name} if name else {}


def begun(params: dict, head: Model) -> Model:
    """A second stage, with these weights."""
    for name in begin(params).values():
        load_checkpoint(checkout() / name, head)
    return head


def small(classes: int) -> context.FromFrames:
    """A backbone from scratch, and the context network on it."""
    backbone = backbones.Small()
    return context.FromFrames(backbone, context.Context(backbone.width, classes))


def placed(model: nn.Module, batch: Clips) -> Any:
    """What a model says that sees maps, and knows what the first stage tells of each frame."""
    return model(batch.frames.float(), batch.context, batch.found)


def objective(model: nn.Module, batch: Clips) -> Float[Tensor, ""]:
    return F.cross_entropy(placed(model, batch).logits, batch.label)


def joints(batch: Clips) -> Float[Tensor, "B T 2 F 2"]:
    """Where the joints are that the network finds."""
    return context.two(batch.joints)[:, :, :, context.FOUND]


def with_true(batch: Clips) -> Clips:
    """The joints of the pose files, where they know them, in place of those found."""
    assert batch.found is not None, "nobody has described the frames"
    true = joints(batch)
    return batch._replace(found=true.where(~true.isnan(), batch.found))


def hands(batch: Clips) -> tuple[Float[Tensor, "B T 2 2 2"], Float[Tensor, "B T 2 2 2"]]:
    """Where hands are found, and where they are."""
    assert batch.found is not None, "nobody has described the frames"
    return batch.found[:, :, :, HANDS], joints(batch)[:, :, :, HANDS]


def scored(stage: First, read: Callable, hands: Callable | None = None) -> Callable:
    """Scores of a second stage on its test side."""
    scorer = cache(lambda: clouds.scorer(groups(stage.side("test")), read, hands, SIZE, ("context", EDGES)))
    return lambda model, batch: scorer()(model, batch)


def groups(data: VideoClips) -> dict[str, Bool[Tensor, " C"]]:
    """Which classes each group of a simulated release has; none of a real one."""
    if data.truth is None or data.group is None:
        return {}
    return {clip["group"]: data.group[label] for clip, label in zip(data.truth, data.label, strict=True)}
