"""Soft attention: questions about pictures, read by weights over their regions (chapter 04)."""

from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from companion import presets
from companion.datasets import questions, rooms
from companion.datasets.labelled_pictures import Labelled
from companion.datasets.labelled_rooms import LabelledRooms
from companion.datasets.questions import Asking, ByPicture, Questions
from companion.experiments.fixed import Fixed
from companion.files import checkout, fingerprint
from companion.metrics import answers
from companion.models import backbones, picture_features, stacked_attention, wildcat
from companion.models.stacked_attention import Answered, CrossAttention, Pooled, StackedAttention, Trunk
from companion.models.wildcat import Wildcat
from companion.ops.principal import principal
from companion.presets import check_part
from companion.records import Run
from companion.training import Experiment, accelerator, fit, load_checkpoint

FIT = fit  # what takes the options of the presets' `fit`
KINDS = {"stacked": StackedAttention, "pooled": Pooled, "cross": CrossAttention}
FREQUENT, LABELS = "most-frequent", "labels"
ROOMS = "rooms"


def prepare(run: Run, params: dict, root: str | Path | None = None) -> Experiment:
    """Variants are of a kind: stacked (with any number of hops, 0 reads the question alone), pooled, cross,
    most-frequent, which reads nothing, or labels, by which a network for rooms learns to see.

    With `layers` they read maps of ImageNet's network at rest, with `principal` as many principal components
    of them over the pictures of training; with weights of a `trunk` maps of that network for rooms, at rest;
    else such a network, from scratch and trained with the rest. Of `members` the answers are averaged.

    With `shown` in their loss they are told in training where the anchor is: minus the logarithm of the first
    hop's attention on it, times `shown`, is added. (Not in the papers; it tells what can be learned.)
    """
    kind = params["model"].get("kind")
    if kind not in (*KINDS, FREQUENT, LABELS):
        raise ValueError(
            f"unknown kind {kind!r} of {run.variant} in {run.chapter}; choose one of {', '.join(KINDS)},"
            f" {FREQUENT} or {LABELS}"
        )
    if kind not in KINDS and len(params["model"]) > 1:
        raise ValueError(f"{run.variant} in {run.chapter} is {kind}, which takes no options; leave them out")
    if kind == LABELS:
        check_part(run, "data", params["data"], LabelledRooms, "split", "seed")
        return from_labels(run, params)
    check_part(run, "data", params["data"], Questions, "source", "split", "seed", "root")
    return from_answers(run, params, root)


def fingerprints(run: Run, params: dict, root: str | Path | None) -> dict[str, str]:
    """Of the data, and of the files of weights."""
    files = {
        name: fingerprint((checkout() / name).read_bytes()) for name in params.get("weights", {}).values()
    }
    if run.source == ROOMS:  # drawn by code, which records compare
        return {ROOMS: fingerprint(f"{params['data']} {run.seed}".encode())} | files
    return {run.source: questions.data_fingerprint(run.source, root)} | files


def labeller() -> Wildcat:
    """A network for rooms, and what reads it."""
    C = len(rooms.labelled("train", 1).present[0])
    return Wildcat(Trunk.channels["own"], C, layer="own", M=1, pooling="log-sum-exp", trunk=Trunk())


def from_labels(run: Run, params: dict) -> Experiment:
    """Learn to see rooms from labels of what they hold."""

    @cache
    def side(split: str) -> LabelledRooms:
        return LabelledRooms(split, run.seed, **params["data"])

    def score(model: Callable, batch: Labelled) -> dict[str, Float[Tensor, " P"]]:
        return {"label_ranking": 100 * answers.label_ranking(model(batch.maps).logits, batch.present).cpu()}

    return Experiment(
        data=partial(fingerprints, run, params, None),
        read=lambda: (side("train"), side("test")),
        train=partial(side, "train"),
        test=partial(side, "test"),
        build=labeller,
        params=params,
        loss=wildcat.objective,
        score=score,
        units=presets.claimed(run.chapter),
    )


def from_answers(run: Run, params: dict, root: str | Path | None) -> Experiment:
    """Learn to answer questions."""
    options = dict(params["model"])
    kind, layers = options.pop("kind"), options.pop("layers", None)
    K, members = options.pop("principal", None), options.pop("members", 1)
    if kind in KINDS:
        check_part(run, "model", options, KINDS[kind], "channels", "V", "A", "trunk")
    if K is not None and not layers:
        raise ValueError(f"{run.variant} in {run.chapter} has `principal` and no `layers`; name some")
    if layers and not backbones.installed():
        layers, params = None, params | {"model": {"kind": kind} | options}
    channels = picture_features.channels(layers) if layers else Trunk.channels
    if layers and K is not None:
        channels = dict.fromkeys(channels, K)
    begun = dict(params.get("weights", {}))
    taught = begun.pop("trunk", None)

    def net() -> nn.Module:
        if layers:
            return picture_features.Layers(layers=layers)
        model = labeller()
        load_checkpoint(checkout() / taught, model)
        return cast(Trunk, model.trunk).eval()

    @cache
    def side(split: str) -> Questions:
        return Questions(run.source, split, run.seed, root, **params["data"])

    def seen(split: str) -> Questions:
        its = side(split)
        if (layers or taught) and not its.pictures.maps:
            with accelerator().main_process_first():  # it fills the cache
                its.pictures.see(net(), accelerator().device)
        return its

    @cache
    def axes(K: int) -> dict[str, nn.Conv2d]:
        rows = side("train").picture.unique()
        return {name: principal(maps[rows], K) for name, maps in seen("train").pictures.maps.items()}

    @cache
    def ready(split: str) -> Questions:
        its = seen(split)
        if layers and K is not None:
            project, maps = axes(K), its.pictures.maps
            its.pictures.maps = {name: project[name](maps[name].float()).half() for name in maps}
        return its

    def build() -> nn.Module:
        train = side("train")
        known = train.vocabulary
        if kind == FREQUENT:
            return stacked_attention.MostFrequent(train.answer, len(known.answers))
        size = len(known.words), len(known.answers)
        several = [
            KINDS[kind](channels, *size, trunk=None if layers or taught else Trunk(), **options)
            for _ in range(members)
        ]
        model = stacked_attention.Ensemble(several) if members > 1 else several[0]
        for name in begun.values():
            load_checkpoint(checkout() / name, model)
        return model

    @cache
    def each() -> float:
        return len(side("train")) / len(side("train").picture.unique())

    @cache
    def often() -> dict[str, str]:
        return guesses(side("train"))

    spread = dict(params.get("loss", {}))
    shown = spread.pop("shown", 0)

    def loss(model: nn.Module, batch: Asking) -> Float[Tensor, ""]:
        def missed(said: Answered) -> Float[Tensor, " B"]:
            anchor = side("train").evidence[batch.index.cpu(), 0].to(said.weights.device)
            on = answers.on_evidence(said.weights[:, 0], anchor.nan_to_num())
            return -shown * (on + 1e-6).log() * ~anchor.isnan().any(1)

        besides = missed if shown else None
        return stacked_attention.objective(model, batch, each=each(), besides=besides, **spread)

    return (Fixed if kind == FREQUENT else Experiment)(
        data=partial(fingerprints, run, params, root),
        read=lambda: (side("train"), side("test")),
        train=lambda: ByPicture(ready("train")),
        test=partial(ready, "test"),
        build=build,
        params=params,
        loss=loss,
        score=lambda model, batch: scored(model, batch, side("test"), often()),
        units=presets.claimed(run.chapter),
    )


def guesses(train: Questions) -> dict[str, str]:
    """Of each type of question the most frequent answer."""
    said: dict[str, Counter] = {}
    for kind, own in zip(train.kind, train.answers, strict=True):
        said.setdefault(kind, Counter())[questions.most_said(own)] += 1
    return {kind: its.most_common(1)[0][0] for kind, its in said.items()}


def others(weights: Float[Tensor, "B h w"], kinds: list[str], batch: Asking) -> Float[Tensor, "B h w"]:
    """The mean weights of questions of the same type about other pictures; NaN where there is none."""
    numbers = {kind: n for n, kind in enumerate(sorted({*kinds}))}
    kind = torch.tensor([numbers[one] for one in kinds], device=weights.device)
    alike = (kind == kind[:, None]) & (batch.picture != batch.picture[:, None])
    return torch.einsum("bc,chw->bhw", alike.to(weights), weights) / alike.sum(1)[:, None, None]


def scored(
    model: Callable, batch: Asking, test: Questions, often: dict[str, str]
) -> dict[str, Float[Tensor, " B"]]:
    """Of each question, in percent: `accuracy`; `chance`, what the most frequent answer of its type earns.

    Where the evidence is known, the share of the attention of hop k that falls on the anchor and on the thing
    (`hop_k_anchor`, `hop_k_thing`); of the last hop `on_thing`, its control `others_on_thing` (the mean
    attention of the batch's questions of the same type about other pictures), what uniform weights would have
    (`uniform`), and `on_thing` of questions that are answered right and wrong. All also by type of question,
    `spatial`, of all questions about rooms with three boys, and `one_answer`, of those whose answer is no
    list.
    """
    said = model(batch.maps, batch.picture, batch.words)
    index = batch.index.tolist()
    worth = batch.credit.gather(1, said.logits.argmax(1, keepdim=True))[:, 0]
    kinds = [test.kind[n] for n in index]
    lucky = [
        answers.credit(often.get(kind, ""), test.answers[n]) for kind, n in zip(kinds, index, strict=True)
    ]
    found = {"accuracy": 100 * worth, "chance": 100 * torch.tensor(lucky)}
    weights = said.weights
    if weights.shape[1] and test.evidence.shape[1]:
        anchor, thing = test.evidence[batch.index.cpu()].to(weights.device).unbind(1)
        for k, each in enumerate(weights.unbind(1), 1):
            found[f"hop_{k}_anchor"] = 100 * answers.on_evidence(each, anchor)
            found[f"hop_{k}_thing"] = 100 * answers.on_evidence(each, thing)
        last, nothing = found[f"hop_{weights.shape[1]}_thing"], torch.full_like(worth, torch.nan)
        found["on_thing"] = last
        found["others_on_thing"] = 100 * answers.on_evidence(others(weights[:, -1], kinds, batch), thing)
        found["uniform"] = 100 * (thing[:, 2] - thing[:, 0]) * (thing[:, 3] - thing[:, 1])
        found["on_thing_right"] = torch.where(worth > 0, last, nothing)
        found["on_thing_wrong"] = torch.where(worth > 0, nothing, last)
    rows = {name: values.cpu() for name, values in found.items()}
    groups = {kind.replace(" ", "_").replace("/", "_"): {kind} for kind in sorted({*test.kind})}
    if test.evidence.shape[1]:
        groups["spatial"] = {*rooms.FULL}
    its = {name: [kind in group for kind in kinds] for name, group in groups.items()}
    if any(map(questions.is_list, test.answers)):
        its["one_answer"] = [not questions.is_list(test.answers[n]) for n in index]
    for name, inside in its.items():
        for metric in found:
            rows[f"{metric}_{name}"] = torch.where(torch.tensor(inside), rows[metric], torch.nan)
    return rows
