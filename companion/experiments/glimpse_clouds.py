"""Glimpse Clouds, what is left of it without its parts, and what its tables stand beside (chapter 11)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from companion import presets
from companion.datasets.video_clips import Clips
from companion.experiments import context
from companion.models.context import Behind, FromClips
from companion.models.glimpse_clouds import GlimpseClouds, attraction, diversity
from companion.models.placed_glimpses import PlacedClouds, PlacedGlimpses
from companion.models.video_baselines import C3D, Global, ResNetLSTM
from companion.presets import check_options
from companion.records import Run
from companion.training import (
    Experiment,
    Scores,
    accelerator,
    evaluate,
    fit,
    load_checkpoint,
    save_checkpoint,
    seed_everything,
)

FIT = fit  # what takes the options of the presets' `fit`
# What a preset's `model` may be: what its experiment gives it when it is built, and what it reads.
KINDS = {
    "clouds": (GlimpseClouds, ("seen", "context", "classes"), ("frames", "context")),
    "placed": (PlacedGlimpses, ("seen", "context", "classes"), ("frames", "context", "found")),
    "placed_clouds": (PlacedClouds, ("seen", "context", "classes"), ("frames", "context", "found")),
    "global": (Global, ("seen", "classes"), ("frames",)),
    "c3d": (C3D, ("frames", "size", "classes"), ("frames",)),
    "resnet_lstm": (ResNetLSTM, ("classes", "imagenet"), ("frames",)),
}
WITHOUT_MAPS = "c3d", "resnet_lstm"


@dataclass(frozen=True)
class Costed(Experiment):
    """An experiment whose record tells the cost of its model: `multiply_adds`, in millions a clip, forward.

    The frozen backbone's map of a picture, which all variants read alike, is not counted; nor are crops where
    they are samples (on a CPU), about eight numbers a sample and channel.

    Args:
        told: what the first stage computes of a batch beside that map, for models that read it.
        says: what a model says of a batch.
    """

    told: Callable[[Clips], Any] | None = None
    says: Callable[[nn.Module, Clips], Any] = nn.Module.__call__

    def evaluate(self, model: nn.Module, seed: int) -> Scores:
        found, batch = super().evaluate(model, seed), self.test().__getitems__([0])
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.score(model, batch)
            if self.told:
                self.told(batch)
        return found._replace(metrics=found.metrics | {"multiply_adds": counter.get_total_flops() / 2e6})


@dataclass(frozen=True)
class Chosen(Costed):
    """Of all epochs that one is kept which reads a part of the training side best that is held out.

    Args:
        validation: gives this part.
    """

    validation: Callable[[], Any] = list

    def learn(self, seed: int, checkpoint: Path) -> tuple[nn.Module, list[float]]:
        data, held = self.train(), self.validation()
        seed_everything(seed)
        model, device = self.build(), accelerator()
        best, epochs = checkpoint.with_suffix(".best.safetensors"), self.params["fit"]["epochs"]

        def look(done: float) -> None:
            if not done:
                return
            was = next(model.parameters()).device
            right = float(evaluate(model, held, self.score, seed=seed)["accuracy"].mean())
            model.to(was).train()
            kept = load_checkpoint(best, self.build())[0] if best.exists() else -1.0
            device.wait_for_everyone()
            if right > kept and device.is_main_process:
                save_checkpoint(best, model, losses=[right])
            device.wait_for_everyone()
            seed_everything(seed, round(done * epochs), device.process_index)  # as if nobody had looked

        options = {"precision": self.params.get("precision", "f32")} | self.params["fit"]
        losses = fit(model, data, self.loss, seed=seed, schedule=look, checkpoint=checkpoint, **options)
        load_checkpoint(best, model)
        return model.eval(), losses

    def load(self, seed: int, checkpoint: Path) -> tuple[nn.Module, list[float]]:
        model, losses = super().load(seed, checkpoint)
        load_checkpoint(checkpoint.with_suffix(".best.safetensors"), model)
        return model, losses


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants are those of the presets, whose `model` has a kind: see `KINDS`."""
    stage = context.first(run, params, root)
    options = dict(params["model"])
    kind = options.pop("kind")
    if kind not in KINDS:
        raise ValueError(f"kind of the model of {run.variant} is {kind!r}; choose one of {', '.join(KINDS)}")
    where = f"companion/experiments/{run.chapter}.yaml, model of {run.variant}"
    make, given, fields = KINDS[kind]
    check_options(where, options, make, *given)
    sides = stage.side if kind in WITHOUT_MAPS else stage.seen
    of_frames = kind in WITHOUT_MAPS or stage.params["before"]["backbone"] == "resnet50"
    weights = params.get("loss", {})

    def build() -> nn.Module:
        train = sides(stage.trained)
        sizes: dict[str, Any] = {"classes": len(train.classes), "frames": train.frames}
        sizes |= {"size": tuple(train.shown.shape[2:]), "seen": train.shown.shape[1]}
        if "imagenet" in given:
            sizes["imagenet"] = stage.imagenet()
        first = None if kind in WITHOUT_MAPS else stage.whole()
        if first is not None:
            sizes["context"] = first.context.width
        if isinstance(first, FromClips):
            sizes["seen"] = first.classify.in_features
        head = context.begun(stage.params, make(**{name: sizes[name] for name in given}, **options))
        return Behind(first, head, fields[1:]) if isinstance(first, FromClips) else head

    def read(model: nn.Module, batch: Clips) -> Any:
        if of_frames:
            return model(batch.frames)
        maps, *told = (getattr(batch, field) for field in fields)
        return model(maps.float(), *told)

    def loss(model: nn.Module, batch: Clips) -> Float[Tensor, ""]:
        said = read(model, batch)
        steps = getattr(said, "steps", said.logits[:, None]).flatten(1, -2)  # of every frame and worker
        total = F.cross_entropy(steps.transpose(1, 2), batch.label[:, None].expand(steps.shape[:2]))
        if "diversity" in weights:
            total = total + weights["diversity"] * diversity(said.glimpses)
        if "attraction" in weights:
            total = total + weights["attraction"] * attraction(said.glimpses, batch.joints.flatten(2, 3))
        return total

    kind_of = Costed
    if stage.trained == "fit":
        kind_of = partial(Chosen, validation=partial(sides, "validation"))
    return kind_of(
        data=stage.data,
        read=stage.read,
        train=partial(sides, stage.trained),
        test=partial(sides, "test"),
        build=build,
        params=stage.params,
        loss=loss,
        score=context.scored(stage, read),
        units=presets.claimed(run.chapter),
        says=read,
        told=(lambda batch: stage.whole().context(batch.frames)) if fields[1:] and not of_frames else None,
    )
