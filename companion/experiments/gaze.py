"""Where people look: models between what needs no picture and what other observers tell (chapter 02)."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from companion import presets
from companion.datasets import fixations
from companion.datasets.fixations import Fixations, Looked
from companion.files import fingerprint
from companion.metrics import saliency
from companion.models import backbones, bottom_up, gaze, picture_features
from companion.records import Run
from companion.training import Experiment, accelerator, fit, save_checkpoint, seed_everything

FIT = fit  # what takes the options of the presets' `fit`
CEILINGS = {"observers": False, "one-observer": True}  # does one tell of the others?
FIXED = ("centre-gaussian", "centre-bias", *bottom_up.MODELS, "spectral-residual-centre", *CEILINGS)
READOUTS = ("readout", "untrained", "scratch")
WIDTH = 800  # pixels of OSIE's pictures, of which 24 are what its maps of fixations are blurred by


class Fixed(Experiment):
    """A model of which nothing is trained step by step."""

    def learn(self, seed: int, checkpoint: Path) -> tuple[nn.Module, list[float]]:
        model = self.build()
        save_checkpoint(checkpoint, model)
        return model, []


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants: see `FIXED`; and readouts of features of ImageNet, of an untrained network, or from scratch.

    A variant may have a name behind these, as in readout-block-10: its params tell what differs.
    """
    kind = params["model"].get("kind")
    if kind not in (*FIXED, *READOUTS):
        raise ValueError(
            f"unknown kind {kind!r} of {run.variant} in {run.chapter}; choose one of"
            f" {', '.join((*FIXED, *READOUTS))}"
        )
    if kind == "readout" and "otherwise" in params["model"] and not backbones.installed():
        params = params | {"model": params["model"]["otherwise"]}
    params = params | {"model": {key: v for key, v in params["model"].items() if key != "otherwise"}}
    model, kind = dict(params["model"]), params["model"]["kind"]

    @cache
    def side(split: str) -> Fixations:
        return Fixations(run.source, split, run.protocol, run.fold, run.seed, root, **params["data"])

    @cache
    def prior() -> Float[Tensor, "h w"]:
        return gaze.centre_bias(side("train").counts)

    def seen(split: str) -> Fixations:
        its = side(split)
        if kind in ("readout", "untrained") and not its.pictures.maps:
            seed_everything(run.seed)
            with accelerator().main_process_first():  # it fills the cache
                its.pictures.see(picture_features.Layers(kind == "readout"), accelerator().device)
        return its

    def build() -> nn.Module:
        return built(kind, {k: v for k, v in model.items() if k != "kind"}, side("train"), prior())

    def data() -> dict[str, str]:
        if run.source == "still_lifes":  # drawn by code, which records compare
            return {run.source: fingerprint(f"{params['data']} {run.seed}".encode())}
        return {run.source: fixations.data_fingerprint(run.source, root)}

    score = ceiling if kind in CEILINGS else scored
    return (Fixed if kind in FIXED else Experiment)(
        data=data,
        read=lambda: (side("train"), side("test")),
        train=partial(seen, "train"),
        test=partial(seen, "test"),
        build=build,
        params=params,
        loss=gaze.objective,
        score=lambda model, batch: score(model, batch, side("test"), prior()),
        units=presets.claimed(run.chapter),
    )


def built(kind: str, options: dict, train: Fixations, prior: Float[Tensor, "h w"]) -> nn.Module:
    """A model of this kind."""
    if kind in CEILINGS:
        few = range(0, len(train), max(1, len(train) // 100))  # of which the blur is chosen
        return gaze.Observers([by_observer(train, n) for n in few], prior, CEILINGS[kind])
    if kind in ("centre-gaussian", "centre-bias"):
        return gaze.Always(gaze.gaussian(train.cells) if kind == "centre-gaussian" else prior)
    if kind in FIXED:
        of = bottom_up.MODELS[kind.removesuffix("-centre")]
        return gaze.FromPictures(of, prior if kind.endswith("-centre") else None)
    if kind == "scratch":
        return gaze.Readout(gaze.Trunk.channels, prior, trunk=gaze.Trunk(), **options)
    layers = options.pop("layers", list(picture_features.CHANNELS))
    return gaze.Readout({name: picture_features.CHANNELS[name] for name in layers}, prior, **options)


def by_observer(data: Fixations, index: int) -> Float[Tensor, "M h w"]:
    """Fixations in each cell of one picture, of each observer who looked at it."""
    rows = np.arange(data.first[index], data.first[index + 1])
    _, who = np.unique(data.observer[rows], return_inverse=True)
    counts = torch.zeros(who.max() + 1, *data.cells)
    x, y = data.cell(rows).T
    at = torch.from_numpy(who), torch.from_numpy(y), torch.from_numpy(x)
    counts.index_put_(at, torch.ones(len(rows)), accumulate=True)
    return counts


def enlarged(values: Float[Tensor, "h w"], size: tuple[int, int], density: bool) -> Float[Tensor, "H W"]:
    """A map in pixels; a log density so that its densities sum to 1 again."""
    large = F.interpolate(values[None, None], size, mode="bilinear")[0, 0]
    return large - large.flatten().logsumexp(0) if density else large


def scores(
    values: Float[Tensor, "h w"],
    density: bool,
    base: Float[Tensor, "h2 w2"],
    places: Int[Tensor, "F 2"],
    others: Int[Tensor, "N 2"],
    size: tuple[int, int],
) -> dict[str, float]:
    """Of one map: a density is scored as it is, against the centre bias, or blurred, as each score asks."""
    H, W = size
    large = enlarged(values, size, density)
    beside = large - enlarged(base, size, True) if density else large
    found = {"auc": saliency.auc_judd(large, places), "sauc": saliency.shuffled_auc(beside, places, others)}
    sigma = saliency.SIGMA * W / WIDTH
    looked, flat = saliency.fixation_map(places, H, W, sigma), large.exp() if density else large
    found["nss"] = saliency.nss(flat, places)
    blurred = saliency.blur(flat, sigma) if density else flat - flat.min()
    if not blurred.any():  # a map that is constant says of all places the same
        blurred = torch.ones_like(blurred)
    compared = {"cc": saliency.cc, "sim": saliency.sim, "kl": saliency.kl}
    found |= {name: metric(blurred, looked) for name, metric in compared.items()}
    if density:
        found["gain"] = saliency.information_gain(large, enlarged(base, size, True), places)
    return found


def scored(
    model: Callable, batch: Looked, test: Fixations, base: Float[Tensor, "h w"]
) -> dict[str, Float[Tensor, " B"]]:
    """`auc` (Judd's), `sauc`, `nss`, `cc`, `sim`, `kl`; of a density `gain`: bits above the centre bias."""
    said = model(batch.maps)
    values, density = said.map.cpu(), said.log_density is not None
    rows = []
    for one, n in zip(values, batch.index.tolist(), strict=True):
        size = int(test.size[n, 0]), int(test.size[n, 1])
        rows.append(scores(one, density, base, test.pixels(n), test.elsewhere(n), size))
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


def ceiling(
    model: gaze.Observers, batch: Looked, test: Fixations, base: Float[Tensor, "h w"]
) -> dict[str, Float[Tensor, " B"]]:
    """The same of what observers tell of each other, the mean over observers; without the scores of maps."""
    rows: list[dict[str, Any]] = []
    for n in batch.index.tolist():
        size = int(test.size[n, 0]), int(test.size[n, 1])
        counts, paths = by_observer(test, n), test.scanpaths(n)
        its = []
        for m, density in enumerate(model(counts)):
            own = [path for k, path in enumerate(paths) if (k == m) != model.alone]
            places = torch.from_numpy(np.concatenate(own)[:, :2].round().astype(int))
            places = places.minimum(torch.tensor(size[::-1]) - 1)
            found = scores(density, True, base, places, test.elsewhere(n), size)
            its.append({name: found[name] for name in ("auc", "sauc", "nss", "gain")})
        rows.append({name: np.mean([one[name] for one in its]) for name in its[0]})
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
