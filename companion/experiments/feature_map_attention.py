"""Attention over the feature maps of videos: soft, hard, by a window, or none (chapter 07)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from companion import presets
from companion.datasets import labelled_videos
from companion.datasets.labelled_videos import LabelledVideos
from companion.datasets.video_clips import Clips, VideoClips, in_pixels
from companion.experiments.context import groups
from companion.experiments.releases import asked
from companion.files import checkout, fingerprint
from companion.metrics import answers, clouds
from companion.models import backbones, feature_map_attention
from companion.models.feature_map_attention import CubeRegression, FeatureMapAttention
from companion.ops import receptive_field
from companion.presets import check_options
from companion.records import Run
from companion.training import (
    Experiment,
    Samples,
    Scores,
    accelerator,
    fit,
    load_checkpoint,
    seed_everything,
)

FIT = fit  # what takes the options of the presets' `fit`
REGRESSION = "regression"
BATCHES = 100  # whose gradients are compared
FRAMES = 64  # that tell where places look


@dataclass(frozen=True)
class Reading(Experiment):
    """Scored also by what the model costs, and by how much the gradients that it begins with agree.

    Args:
        frames: of a clip.
        aside: how far what places see lies from where they stand, see `companion.ops.receptive_field`.
    """

    frames: int = field(kw_only=True)
    aside: Callable[[], Float[Tensor, "2"]] = field(kw_only=True)

    def evaluate(self, model: nn.Module, seed: int) -> Scores:
        found = super().evaluate(model, seed)
        assert isinstance(model, FeatureMapAttention | CubeRegression)
        own = {"multiply_adds": round(sum(model.multiply_adds(self.frames).values()) / 1e6, 4)}
        if isinstance(model, FeatureMapAttention) and model.where is not None:
            seed_everything(seed)
            train = self.train()
            train.set_epoch(0)  # whatever was drawn before
            own["gradient_agreement"] = agreement(self.build().train(), train, self.loss, seed)
        return found._replace(metrics=own | found.metrics)


def agreement(model: FeatureMapAttention, data: Samples, loss: Callable, seed: int, size: int = 32) -> float:
    """How much the gradients of two batches agree, of what decides where to look, in percent.

    The mean product of two gradients as a share of the mean squared length of one: 100 if they are equal, 0
    if they are but noise, of the batches or of what a model draws.
    """
    assert model.where is not None
    rng, found = np.random.default_rng([seed, 7]), []
    for _ in range(BATCHES):
        rows = rng.choice(len(data), min(size, len(data)), replace=False)
        value = loss(model, data.__getitems__(rows.tolist()))
        slopes = torch.autograd.grad(value, [*model.where.parameters()])
        found.append(torch.cat([slope.flatten() for slope in slopes]))
    each = torch.stack(found)
    lengths = each.square().sum(1).mean()
    products = (each.sum(0).square().sum() - BATCHES * lengths) / (BATCHES * (BATCHES - 1))
    return round(float(100 * products / lengths), 4)


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants differ in how a frame is read, see `feature_map_attention`; or softmax regression of all."""
    model = dict(params["model"])
    reads = model.get("reads")
    if reads not in (REGRESSION, *feature_map_attention.READERS):
        raise ValueError(
            f"{run.variant} in {run.chapter} reads by {reads!r};"
            f" choose one of {', '.join(feature_map_attention.READERS)}, or {REGRESSION}"
        )
    if reads != REGRESSION:
        where = f"companion/experiments/{run.chapter}.yaml, model of {run.variant}"
        check_options(where, model, FeatureMapAttention, "D", "C", "size")
    if run.source == "ucf11":
        place = None
    else:
        params, place = asked(params, run.seed, run.source, root)
    if not backbones.installed():  # other maps, of which the weights know nothing
        params = params | {"before": {"small": True}, "weights": {}}

    begun = params.get("weights", {}).get("lite0")

    def data() -> dict[str, str]:
        files = {begun: fingerprint((checkout() / begun).read_bytes())} if begun else {}
        own = place.data() if place else {run.source: labelled_videos.data_fingerprint(root)}
        return own | files

    @cache
    def side(split: str) -> VideoClips:
        options = dict(params["data"])
        if "size" in options:
            options["size"] = tuple(options["size"])
        if place is None:
            return LabelledVideos(split, run.fold, run.seed, root, **options)
        few = options.pop("repetitions", {}).get("test" if split == "test" else "train", 0)
        sizes = (run.source, split, run.protocol, run.fold, run.seed, place.root())
        return VideoClips(*sizes, repetitions=few, **options)

    @cache
    def net() -> nn.Module:
        if "small" not in params["before"]:
            return backbones.lite0(**params["before"])
        seed_everything(run.seed)
        return backbones.Small().eval().requires_grad_(False)

    def ready(split: str) -> VideoClips:
        its = side(split)
        if its.shown is its.kept.frames:
            with accelerator().main_process_first():  # it fills the cache
                its.see(net(), accelerator().device)
        return its

    def build() -> nn.Module:
        train = ready("train")
        D, h, w = train.shown.shape[1:]
        options = {key: value for key, value in model.items() if key != "reads"}
        if reads == REGRESSION:
            return CubeRegression(D, len(train.classes), (h, w))
        network = FeatureMapAttention(D, len(train.classes), (h, w), reads=reads, **options)
        if begun:
            load_checkpoint(checkout() / begun, network)
        return network

    @cache
    def group() -> dict[str, Bool[Tensor, " C"]]:
        return groups(side("test"))

    @cache
    def moved() -> Float[Tensor, "2"]:
        frames = side("train").kept.frames
        few = frames[torch.linspace(0, len(frames) - 1, FRAMES).long()]
        return receptive_field.aside(net(), few)

    @cache
    def stands() -> tuple[tuple[int, int], Float[Tensor, "2"]] | None:
        truth = side("test").truth
        return (tuple(truth[0]["size"]), moved()) if truth else None

    def loss(model: nn.Module, batch: Clips) -> Float[Tensor, ""]:
        return feature_map_attention.objective(model, batch.frames, batch.label, **params.get("loss", {}))

    return Reading(
        data=data,
        read=lambda: (side("train"), side("test")),
        train=partial(ready, "train"),
        test=partial(ready, "test"),
        build=build,
        params=params,
        loss=loss,
        score=lambda model, batch: scored(model, batch, group(), stands()),
        units=presets.claimed(run.chapter),
        frames=params["data"]["frames"],
        aside=moved,
    )


def scored(
    model: Callable, batch: Clips, groups: dict, stands: tuple[tuple[int, int], Float[Tensor, "2"]] | None
) -> dict[str, Float[Tensor, " B"]]:
    """`accuracy` and `within_*`, see `clouds.within`. And of attention, where it is known what decides, in
    percent, the mean over all frames in which it is seen: `on_thing`, how much lies on it; `still_on_thing`,
    how much would if their mean attention lay on each of them; `others_on_thing`, if the mean attention of
    the other clips of the batch did; `uniform`, that of equal weights.

    Args:
        stands: H and W of the pictures, of which the boxes are, and how far places look aside; or nothing.
    """
    said = model(batch.frames)
    found = clouds.within(feature_map_attention.answer(said.logits), batch.label, groups)
    if said.weights is None or batch.boxes is None or stands is None:
        return found
    size, aside = stands
    B, T, E, _ = batch.boxes.shape
    h, w = said.weights.shape[2:]
    pixels = in_pixels(batch.boxes.cpu().unflatten(-1, (2, 2)), *size)
    places = pixels * w / size[1] - aside  # a place is a square; those of an edge may look beyond the picture
    boxes = (places / torch.tensor([w, h])).flatten(-2).flatten(0, 2).to(batch.boxes)
    seen = (~batch.boxes.isnan()).all(-1).any(2).to(said.weights)[..., None, None]

    def lies(weights: Float[Tensor, "B T h w"]) -> Float[Tensor, " B"]:
        each = weights[:, :, None].expand(-1, -1, E, -1, -1).flatten(0, 2)
        return 100 * answers.on_evidence(each, boxes).view(B, T * E).nanmean(1)

    weights = said.weights
    return found | {
        "on_thing": lies(weights),
        "still_on_thing": lies(((weights * seen).sum(1, True) / seen.sum(1, True)).expand_as(weights)),
        "others_on_thing": lies((weights.sum(0) - weights) / (B - 1)),
        "uniform": lies(torch.full_like(weights, 1 / weights[0, 0].numel())),
    }
