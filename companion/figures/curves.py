"""One number against another: glimpses, frames, pixels, work."""

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
import seaborn as sns
import torch
from IPython.display import Image
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from torch import Tensor

from companion.figures.drawing import TRUTH, WEIGHT, picture
from companion.player import WORKERS

KINDS = {"ram": "learned locations", "random": "random locations", "soft": "soft reading"}


def by_glimpses(
    runs: pd.DataFrame, metric: str, label: str, title: str, controls: Sequence[str] = ()
) -> Image:
    """A metric against the number of glimpses, mean and every seed, one line a kind of model.

    Args:
        runs: one row a record, with columns `variant` (kind-T) and the metric.
        controls: at most two other columns, of which the mean is a dashed and a dotted line.
    """
    parts = (
        runs.variant.str.extract(r"(?P<kind>ram|random|soft)-(?P<glimpses>\d+)")
        .assign(value=runs[metric])
        .dropna()
    )
    parts = parts.assign(glimpses=parts.glimpses.astype(int), kind=parts.kind.map(KINDS))
    figure = Figure(figsize=(6.6, 3.4), layout="constrained")
    axes = figure.subplots()
    style = {
        "data": parts,
        "x": "glimpses",
        "y": "value",
        "hue": "kind",
        "hue_order": list(KINDS.values()),
        "ax": axes,
    }
    sns.lineplot(**style, palette="colorblind", marker="o", errorbar=None)
    sns.scatterplot(**style, palette="colorblind", alpha=0.4, legend=False, s=18)
    for line, control in zip(("--", ":")[: len(controls)], controls, strict=True):
        axes.axhline(runs[control].mean(), color="grey", linestyle=line, linewidth=1, label=control)
    axes.set(xlabel="number of glimpses", ylabel=label, title=title, xticks=sorted(parts.glimpses.unique()))
    axes.set_ylim(0)
    axes.legend(title=None, loc="center left", bbox_to_anchor=(1, 0.5))
    return picture(figure, f"{title}: lines of {', '.join(parts.kind.unique())}")


def by_distance(scores: pd.DataFrame) -> Image:
    """Mean and sd of each variant over the distance of a thing from the hand.

    Args:
        scores: columns variant, edge (the distance up to which a row counts), mean, sd.
    """
    figure = Figure(figsize=(5.5, 3), layout="constrained")
    axes = figure.subplots()
    axes.axhline(100 / 3, color="grey", linestyle="--", linewidth=1, label="chance")
    edges = sorted(set(scores["edge"]))
    variants = list(scores["variant"].unique())
    for n, (variant, rows) in enumerate(scores.groupby("variant", sort=False)):
        rows = rows.sort_values("edge")
        places = [edges.index(edge) + 0.12 * (n - (len(variants) - 1) / 2) for edge in rows["edge"]]
        axes.errorbar(places, rows["mean"], rows["sd"], marker="o", capsize=2, linestyle="", label=variant)
    names = [f"{low} to {high}" for low, high in pairwise([0, *edges])]
    axes.set_xticks(range(len(edges)), names)
    axes.set(xlabel="distance of the thing from the hand, pixels of 1920 x 1080", ylim=(0, 103))
    axes.set_ylabel("right within the group, %\n(mean, sd over seeds)")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return picture(
        figure, f"share of clips read right over the distance of the thing, of {len(edges)} ranges"
    )


def growth(work: pd.DataFrame) -> Image:
    """Multiply-adds over what there is of something; columns of, share, work."""
    figure = Figure(figsize=(4.6, 3), layout="constrained")
    axes = figure.subplots()
    data = work.assign(millions=work.work / 1e6)
    sns.lineplot(
        data, x="share", y="millions", hue="of", style="of", markers=True, palette="colorblind", ax=axes
    )
    axes.set(xlabel="share of the most", ylabel="multiply-adds, millions", xlim=(0, 1.05), ylim=(0, None))
    axes.legend(title=None)
    return picture(figure, f"multiply-adds over the share of {', '.join(work.of.unique())}")


def over_time(
    weights: Float[Tensor, "N T"], titles: Sequence[str], acting: Bool[Tensor, "N T"] | None = None
) -> Image:
    """The weight of each frame; the frames of the action are shaded where they are known."""
    figure = Figure(figsize=(2.6 * len(weights), 2.2), layout="constrained")
    for n, axes in enumerate(figure.subplots(1, len(weights), squeeze=False, sharey=True).flat):
        if acting is not None:
            for frame in acting[n].nonzero().flatten().tolist():
                axes.axvspan(frame + 0.5, frame + 1.5, color=TRUTH, alpha=0.3, linewidth=0)
        axes.plot(range(1, weights.shape[1] + 1), weights[n].numpy(), color=WEIGHT, linewidth=2)
        axes.set(
            xlabel="frame", ylabel="weight" if n == 0 else "", ylim=(0, None), xlim=(1, weights.shape[1])
        )
        axes.set_title(titles[n], fontsize=9)
    said = "" if acting is None else "; the action is shaded"
    return picture(figure, f"weight over time in {len(weights)} clips{said}: {', '.join(titles)}")


def dealt(shares: Float[Tensor, "T G K"]) -> Image:
    """How glimpses are dealt to workers: a panel a glimpse, over the frames the share of each worker."""
    T, G, K = shares.shape
    figure = Figure(figsize=(2.6 * G, 2.4), layout="constrained")
    for g, axes in enumerate(figure.subplots(1, G, squeeze=False, sharey=True).flat):
        start = torch.zeros(T)
        for k in range(K):
            own = shares[:, g, k]
            axes.bar(range(1, T + 1), own, 1, start, color=WORKERS[k], label=f"worker {k + 1}")
            start = start + own
        axes.set(xlabel="frame", ylabel="" if g else "share", xlim=(0.5, T + 0.5), ylim=(0, 1))
        axes.set_xticks(range(1, T + 1, max(1, T // 8)))
        axes.set_title(f"glimpse {g + 1}", fontsize=9)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return picture(figure, f"shares of {K} workers in {G} glimpses of each of {T} frames")
