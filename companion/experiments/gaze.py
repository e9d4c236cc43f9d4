"""Where people look: models between what needs no picture and what other observers tell (chapter 02)."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from companion import presets, records
from companion.datasets import fixations
from companion.datasets.fixations import Fixations, Looked, Scanpaths, Together
from companion.experiments import faces, scanpaths
from companion.experiments.fixed import Fixed
from companion.files import fingerprint
from companion.metrics import saliency
from companion.models import backbones, bottom_up, gaze, picture_features
from companion.models import scanpaths as next_fixation
from companion.presets import check_part
from companion.records import Run
from companion.training import (
    Experiment,
    accelerator,
    fit,
    in_precision,
    pretrained,
    seed_everything,
)

FIT = fit  # what takes the options of the presets' `fit`
CEILINGS = {"observers": False, "one-observer": True}  # does one tell of the others?
FIXED = ("people", "centre-gaussian", "centre-bias", *bottom_up.MODELS, "spectral-residual-centre", *CEILINGS)
READOUTS = ("readout", "untrained", "scratch")
TAKES = dict.fromkeys(READOUTS, gaze.Readout) | dict.fromkeys(CEILINGS, gaze.Observers)  # options of `model`
WIDTH = 800  # pixels of OSIE's pictures, of which 24 are what its maps of fixations are blurred by


class Looking(NamedTuple):
    """The pictures of a run, who looked at them, and a model of where, made when they are asked for.

    Args:
        side: the pictures of a split.
        seen: the same, with maps of a network at rest where the model reads those.
        train: what the model learns from: a split, and all of another dataset if `also` names one.
        prior: where people look whatever the picture.
        data: fingerprints, by name.
    """

    side: Callable[[str], Fixations]
    seen: Callable[[str], Fixations]
    train: Callable[[], Fixations | Together]
    prior: Callable[[], Float[Tensor, "h w"]]
    build: Callable[[], nn.Module]
    data: Callable[[], dict[str, str]]


def looking(run: Run, params: dict, root: str | Path | None, trained: str = "train") -> Looking:
    """Of a run.

    Args:
        trained: the split that the model learns from.
    """
    model, options = dict(params["model"]), dict(params["data"])
    kind, precision, also = model.pop("kind"), model.pop("features", "f32"), options.pop("also", None)
    check_part(run, "data", options, Fixations, "source", "split", "protocol", "fold", "seed", "root")
    own = ("layers", "members") if kind in ("readout", "untrained") else ()
    given = {name: value for name, value in model.items() if name not in own}
    check_part(run, "model", given, TAKES.get(kind, gaze.Always), "channels", "trunk", "counts", "alone")

    @cache
    def side(split: str, source: str = run.source) -> Fixations:
        return Fixations(source, split, run.protocol, run.fold, run.seed, root, **options)

    @cache
    def prior() -> Float[Tensor, "h w"]:
        return gaze.centre_bias(side(trained).counts)

    def seen(split: str, source: str = run.source) -> Fixations:
        its = side(split, source)
        if kind in ("readout", "untrained") and not its.pictures.maps:
            seed_everything(run.seed)
            few = side(trained).chosen[: picture_features.FEW]
            like = side(trained).pictures.shown[few] if kind == "untrained" else None
            with accelerator().main_process_first():  # it fills the cache
                its.pictures.see(picture_features.Layers(like, precision), accelerator().device)
        return its

    def train() -> Fixations | Together:
        if not also:
            return seen(trained)
        return Together(seen(trained), *(seen(split, also) for split in ("train", "test")))

    def data() -> dict[str, str]:
        if run.source == "still_lifes":  # drawn by code, which records compare
            return {run.source: fingerprint(f"{params['data']} {run.seed}".encode())}
        sources = [run.source, *([also] if also else [])]
        return {source: fixations.data_fingerprint(source, root) for source in sources}

    return Looking(side, seen, train, prior, lambda: built(kind, model, side(trained), prior()), data)


class Still(scanpaths.Scanning):
    """The same, of scanpaths."""

    learn = Fixed.learn


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants: see `FIXED`; readouts of features of ImageNet, of an untrained network, or from scratch; and
    the order of fixations, see `scanpaths`.

    A variant may have a name behind these, as in readout-block-10: its params tell what differs.
    """
    kind, known = params["model"].get("kind"), (*FIXED, *READOUTS, *scanpaths.KINDS)
    if kind not in known:
        raise ValueError(
            f"unknown kind {kind!r} of {run.variant} in {run.chapter}; choose one of {', '.join(known)}"
        )
    if kind in scanpaths.KINDS:
        return in_order(run, params, root)
    params = installed(params)
    kind = params["model"]["kind"]
    its = looking(run, params, root)
    score = ceiling if kind in CEILINGS else social if kind == "people" else scored
    return (Fixed if kind in FIXED else Experiment)(
        data=its.data,
        read=lambda: (its.side("train"), its.side("test")),
        train=its.train,
        test=partial(its.seen, "test"),
        build=its.build,
        params=params,
        loss=gaze.objective,
        score=lambda model, batch: score(model, batch, its.side("test"), its.prior()),
        units=presets.claimed(run.chapter),
    )


def installed(params: dict) -> dict:
    """The same, with the model that is meant where the weights of ImageNet are not installed."""
    model = params["model"]
    if model["kind"] == "readout" and not backbones.installed():
        model = model.get("otherwise", model)
    return params | {"model": {key: value for key, value in model.items() if key != "otherwise"}}


def in_order(run: Run, params: dict, root: str | Path | None) -> Experiment:
    """The order of fixations, told on top of a readout that all kinds share.

    A readout's densities of pictures that it has learned are sharper than those of new ones. So it learns
    from four fifths of the training pictures, and what a history is worth is learned from the last fifth.
    """
    before = in_precision(params, installed(params["before"]))
    params = params | {"before": before}
    its = looking(run, {"data": params["data"], "model": before["model"]}, root, "fit")

    @cache
    def readout() -> nn.Module:
        asked_for = {"before": before, "data": params["data"], "split": "fit"}
        kept = records.checkpoint(replace(run, variant="readout"), asked_for, its.data(), presets.code(run))
        return pretrained(its.build, before, its.train(), gaze.objective, seed=run.seed, checkpoint=kept)

    @cache
    def steps(split: str) -> Scanpaths:
        return Scanpaths(its.side(split), scanpaths.densities(readout(), its.seen(split)), scanpaths.LAGS)

    kind = params["model"]["kind"]
    return (Still if kind == "static" else scanpaths.Scanning)(
        data=its.data,
        read=lambda: [its.side(split) for split in ("fit", "validation", "test")],
        train=partial(steps, "validation"),
        test=partial(steps, "test"),
        build=lambda: scanpaths.model(kind, its.side("test").cells),
        params=params,
        loss=next_fixation.objective,
        score=scanpaths.bits,
        units=presets.claimed(run.chapter),
        looked=partial(its.side, "test"),
    )


def built(kind: str, options: dict, train: Fixations, prior: Float[Tensor, "h w"]) -> nn.Module:
    """A model of this kind."""
    if kind in CEILINGS:
        few = range(0, len(train), max(1, len(train) // 100))  # of which the blur is chosen
        return gaze.Observers([by_observer(train, n) for n in few], prior, CEILINGS[kind], **options)
    if kind in ("centre-gaussian", "centre-bias", "people"):
        return gaze.Always(gaze.gaussian(train.cells) if kind == "centre-gaussian" else prior)
    if kind in FIXED:
        of = bottom_up.MODELS[kind.removesuffix("-centre")]
        return gaze.FromPictures(of, prior if kind.endswith("-centre") else None)
    if kind == "scratch":
        return gaze.Readout(gaze.Trunk.channels, prior, trunk=gaze.Trunk(), **options)
    layers, members = options.pop("layers", picture_features.LAYERS), options.pop("members", 1)
    channels = picture_features.channels(layers)
    # Each with a prior of its own: a checkpoint stores no tensor twice.
    each = [gaze.Readout(channels, prior.clone(), **options) for _ in range(members)]
    return gaze.Ensemble(each) if members > 1 else each[0]


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
    """`auc` (Judd's), `sauc`, `nss`, `cc`, `sim`, `kl`; of a density `gain`: bits above the centre bias.

    And where faces are known, how much of a density falls on them; see `faces`.
    """
    said = model(batch.maps)
    values, density = said.map.cpu(), said.log_density is not None
    rows = []
    for one, n in zip(values, batch.index.tolist(), strict=True):
        size = int(test.size[n, 0]), int(test.size[n, 1])
        found = scores(one, density, base, test.pixels(n), test.elsewhere(n), size)
        if density and test.faces:
            large = enlarged(one, size, True).exp()
            found |= faces.shares(test, n, lambda inside, large=large: large[inside].sum().item())
        rows.append(found)
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


def social(
    model: nn.Module, batch: Looked, test: Fixations, base: Float[Tensor, "h w"]
) -> dict[str, Float[Tensor, " B"]]:
    """How much people look at faces.

    Raises:
        ValueError: no face is known.
    """
    if not test.faces:
        raise ValueError("faces are known of crowd_gaze only; choose that source")
    return faces.people(test, batch)


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
