"""What was measured: confusions, published against reproduced, claims."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import pandas as pd
import seaborn as sns
import torch
from IPython.display import Image
from jaxtyping import Bool, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from companion.figures.drawing import picture

WIDE, LINE = 11, 0.18  # of a figure that fills a slide, and of a line of text, in inches
LONG = 130  # dots an inch of a figure of many pages
REPRODUCED, CAVEAT, BY_CONSTRUCTION = "#0072B2", "#D55E00", "#CC79A7"  # of Okabe and Ito
VERDICTS = {  # how they begin, the longer first
    "holds over seeds": "#0072B2",
    "holds": "#0072B2",
    "fails": "#D55E00",
    "not yet": "#777777",
    "incomplete": "#777777",
}
INSIDE = {
    "holds over seeds": "white",
    "not yet": "white",
    "incomplete": "0.85",
}  # of marks that are not filled


def confusion(
    truth: Int[Tensor, " N"],
    read: Int[Tensor, " N"],
    classes: Sequence[str],
    title: str,
    groups: Mapping[str, Bool[Tensor, " C"]] | None = None,
) -> Image:
    """How many percent of each class (row) were read as which (column); classes of a group stand together."""
    counts = torch.zeros(len(classes), len(classes))
    counts.index_put_((truth, read), torch.ones(len(truth)), accumulate=True)
    share = 100 * counts / counts.sum(1, keepdim=True).clamp_min(1)
    edges = []
    if groups:
        group = torch.stack(list(groups.values())).int().argmax(0)
        order = group.argsort(stable=True)
        share, edges = share[order][:, order], group.bincount().cumsum(0)[:-1].tolist()
        classes = [f"{list(groups)[group[k]]}: {classes[k]}" for k in order.tolist()]
    figure = Figure(figsize=(2.5 + 0.42 * len(classes), 1.7 + 0.38 * len(classes)), layout="constrained")
    axes = figure.subplots()
    names = {"xticklabels": classes, "yticklabels": classes}
    style = {
        "annot": len(classes) <= 15,
        "fmt": ".0f",
        "cmap": "cividis",
        "vmin": 0,
        "vmax": 100,
        "square": True,
    }
    sns.heatmap(share.numpy(), ax=axes, annot_kws={"fontsize": 8}, cbar_kws={"label": "%"}, **names, **style)
    axes.set(xlabel="read as", ylabel="is", title=title)
    axes.tick_params(axis="x", rotation=90)
    for edge in edges:
        axes.axhline(edge, color="white", linewidth=1)
        axes.axvline(edge, color="white", linewidth=1)
    return picture(figure, f"{title}: a matrix of {len(classes)} classes; {', '.join(classes)}")


def dumbbells(rows: pd.DataFrame) -> Image:
    """Published (hollow) against reproduced (filled, with sd): a line a method, a panel a dataset and metric.

    A row with a note, which says how its two numbers differ in kind, has another mark and colour.

    Args:
        rows: columns method, dataset, protocol, metric, published, reproduced, sd, n, note; NaN where there
            is nothing.

    Raises:
        ValueError: no rows.
    """
    if rows.empty:
        raise ValueError("no row to draw; reproduce a published number first")
    rows = rows.assign(note=rows.note.fillna(""))
    panels = list(rows.groupby(["dataset", "protocol", "metric"], sort=False))
    texts = [
        [
            (textwrap.fill(row.method, 30), f"{beside(row)}\n{textwrap.fill(row.note, 62)}".strip())
            for row in its
        ]
        for its in (list(panel.itertuples()) for _, panel in panels)
    ]
    heights = [sum(lines(pair) for pair in its) for its in texts]
    figure = Figure(figsize=(WIDE, LINE * sum(heights) + 0.75 * len(panels) + 0.4), layout="constrained")
    every = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, panel), its in zip(every, panels, texts, strict=True):
        for y, row in zip(labelled(axes, its), panel.itertuples(), strict=True):
            colour, mark = (CAVEAT, "D") if row.note else (REPRODUCED, "o")
            axes.plot([row.published, row.reproduced], [y, y], color="0.8", linewidth=3, zorder=1)
            style = {"color": colour, "markersize": 7, "capsize": 3, "zorder": 2}
            axes.errorbar(row.reproduced, y, xerr=row.sd, fmt=mark, **style)
            axes.plot(row.published, y, "o", markersize=9, color="black", markerfacecolor="none", zorder=3)
        dataset, protocol, metric = name
        unit = {"accuracy": "accuracy, %", "error": "error, %, the lower the better"}.get(metric, metric)
        axes.set_title(
            f"{dataset}, {protocol.replace('_', ' ')}: {unit}", fontsize=10, loc="left", fontweight="bold"
        )
        axes.margins(x=0.08)
    marks = [
        Line2D([], [], color="black", marker="o", markerfacecolor="none", linestyle="", label="published"),
        Line2D([], [], color=REPRODUCED, marker="o", label="reproduced, mean and sd over seeds"),
        Line2D([], [], color=CAVEAT, marker="D", label="reproduced, but not like for like: see the note"),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=3, frameon=False)
    said = [
        f"{row.method} on {row.dataset}, {row.protocol}: {beside(row)}{row.note and ', '}{row.note}"
        for row in rows.itertuples()
    ]
    return picture(figure, f"published against reproduced, {'; '.join(said)}")


def forest(claims: pd.DataFrame) -> Image:
    """Claims as a forest plot: effects, their intervals, and for each claim the line that decides.

    Args:
        claims: columns panel (its rows stand together, on an axis of their own), claim, effect, low, high
            (over seeds), unit_low, unit_high (over units of the test set), least, matters (below 1 numbers
            have three decimals, else one), verdict (a text that begins as one of `VERDICTS`), kind (claim,
            control or by construction); NaN where there is nothing.

    Raises:
        ValueError: no claims, or one of an unknown verdict.
    """
    words = [next((word for word in VERDICTS if text.startswith(word)), None) for text in claims.verdict]
    if not words or None in words:
        raise ValueError(
            f"claims are {', '.join(VERDICTS)}; these are {sorted(set(claims.verdict)) or 'none'}"
        )
    claims = claims.assign(outcome=words)
    panels = [(name, list(rows.itertuples())) for name, rows in claims.groupby("panel", sort=False)]
    texts = [[(textwrap.fill(row.claim, 52), judged(row)) for row in rows] for _, rows in panels]
    heights = [sum(map(lines, its)) for its in texts]
    figure = Figure(figsize=(WIDE, LINE * sum(heights) + 0.75 * len(panels) + 0.6), layout="constrained")
    every = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, rows), its in zip(every, panels, texts, strict=True):
        for y, row, pair in zip(labelled(axes, its), rows, its, strict=True):
            colour = BY_CONSTRUCTION if row.kind == "by construction" else VERDICTS[row.outcome]
            half = lines(pair) / 2
            axes.plot([row.least] * 2, [y - half, y + half], color="black", linewidth=1.2)
            wide = {"alpha": 0.45, "linewidth": 6, "solid_capstyle": "butt"}
            axes.plot([row.low, row.high], [y, y], color=colour, **wide)
            axes.plot([row.unit_low, row.unit_high], [y, y], "|-", color=colour, linewidth=1.2, markersize=10)
            mark = "s" if row.kind == "control" else "o"
            inside = INSIDE.get(row.outcome, colour)
            axes.plot(row.effect, y, mark, color=colour, markerfacecolor=inside, markersize=6.5, zorder=3)
        axes.set_title(name, fontsize=10, loc="left", fontweight="bold")
    shown = {verdict: colour for verdict, colour in VERDICTS.items() if verdict in set(claims.outcome)}
    if (claims.kind == "by construction").any():
        shown |= {"by construction": BY_CONSTRUCTION}
    marks = [
        Line2D(
            [],
            [],
            color=colour,
            marker="o",
            linestyle="",
            label=word,
            markerfacecolor=INSIDE.get(word, colour),
        )
        for word, colour in shown.items()
    ]
    if (claims.kind == "control").any():
        marks.append(Line2D([], [], color="0.3", marker="s", linestyle="", label="control, expected to fail"))
    marks += [
        Line2D([], [], color="0.3", alpha=0.45, linewidth=6, label="interval over seeds"),
        Line2D(
            [], [], color="0.3", marker="|", markersize=10, linewidth=1.2, label="interval over the test set"
        ),
        Line2D([], [], color="black", linewidth=1.2, label="line that decides"),
    ]
    figure.legend(handles=marks, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    said = [
        f"{name}, {row.claim}: {judged(row)}".replace("\n", ", ") for name, rows in panels for row in rows
    ]
    return picture(figure, f"{len(said)} claims; {'; '.join(said)}", dpi=LONG)


def beside(row: Any) -> str:
    """A published number and what became of it."""
    digits = 1 if row.published >= 10 else 2
    if math.isnan(row.reproduced):
        return f"{row.published:.{digits}f}, not reproduced"
    spread = "" if math.isnan(row.sd) else f" ± {row.sd:.{digits}f}"
    return f"{row.published:.{digits}f} → {row.reproduced:.{digits}f}{spread}, n = {row.n:.0f}"


def judged(row: Any) -> str:
    """What a claim came to."""
    digits = 3 if abs(row.matters) < 1 else 1
    verdict = textwrap.fill(row.verdict if row.kind == "claim" else f"{row.verdict}; {row.kind}", 44)
    interval = "" if math.isnan(row.low) else f" [{row.low:.{digits}f}, {row.high:.{digits}f}]"
    effect = "" if math.isnan(row.effect) else f"{row.effect:.{digits}f}{interval}, "
    return f"{verdict}\n{effect}line at {row.least:g}"


def lines(pair: tuple[str, str]) -> float:
    """How high a row is whose texts stand left and right, in lines."""
    return 1.8 + max(text.count("\n") for text in pair)


def labelled(axes: Axes, texts: list[tuple[str, str]]) -> list[float]:
    """Rows from above, each as high as its texts left and right of the axes; returns where they are."""
    heights = [lines(pair) for pair in texts]
    edges = [0.0, *accumulate(heights)]
    middles = [edge + height / 2 for edge, height in zip(edges, heights, strict=False)]
    for low, high in list(pairwise(edges))[::2]:
        axes.axhspan(low, high, color="0.96", zorder=0)
    left, right = zip(*texts, strict=True)
    axes.set_yticks(middles, left, fontsize=9)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(middles, right, fontsize=9)
    for one in (axes, beside):
        one.tick_params(axis="y", length=0)
        one.spines[["top", "left", "right"]].set_visible(False)
    axes.set_ylim(edges[-1], 0)
    axes.grid(axis="x", color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", labelsize=9)
    return middles
