"""Figures of the notebooks: pictures with title, axis names and alternative text."""

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pandas as pd
import seaborn as sns
import torch
from IPython.display import Image, Markdown
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from companion.skeleton import Skeleton

WEIGHT, TRUTH = "#E69F00", "#56B4E9"  # of Okabe and Ito, told apart by colour-blind readers


def picture(figure: Figure, alt: str, kind: str = "png") -> Image:
    """A figure as PNG, or as JPEG; `alt` says what is to be seen to those who do not see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90, format=kind)
    return Image(buffer.getvalue(), format=kind, alt=alt)


def source(module: ModuleType) -> Markdown:
    """The file that was imported, not a copy of it."""
    return Markdown(f"```python\n{Path(module.__file__).read_text(encoding='utf-8')}```")


def boxed_images(
    images: Float[Tensor, "N H W"], boxes: Float[Tensor, "N 4"], titles: list[str], columns: int = 8
) -> Image:
    """Images in rows with their true boxes dashed; boxes x0 y0 x1 y1 in pixels."""
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.25 * columns, 1.45 * rows), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    for axes, image, box, title in zip(figure.axes, images, boxes, titles, strict=False):
        axes.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
        x0, y0, x1, y1 = box.tolist()
        axes.add_patch(
            Rectangle(
                (x0 - 0.5, y0 - 0.5),
                x1 - x0,
                y1 - y0,
                fill=False,
                edgecolor=TRUTH,
                linestyle="--",
                linewidth=1.3,
            )
        )
        axes.set_title(title, fontsize=9)
    return picture(figure, f"{len(images)} images with their true boxes: {', '.join(titles)}")


def density(locations: Float[Tensor, "N T 2"], title: str, bins: int = 24) -> Image:
    """Where the n-th glimpse falls, over all images: one map a glimpse."""
    T = locations.shape[1]
    figure = Figure(figsize=(1.45 * T, 1.9), layout="constrained")
    for t, axes in enumerate(figure.subplots(1, T, squeeze=False).flat):
        x, y = locations[:, t].clamp(-1, 1).T.numpy()
        axes.hist2d(x, y, bins=bins, range=[[-1, 1], [-1, 1]], cmap="cividis")
        axes.set(xticks=[-1, 1], yticks=[-1, 1] if t == 0 else [], title=f"{t + 1}", aspect="equal")
        axes.invert_yaxis()
    figure.suptitle(title, fontsize=10)
    return picture(figure, f"{title}: {T} maps of the image plane")


def by_glimpses(runs: pd.DataFrame, metric: str, label: str, title: str) -> Image:
    """A metric against the number of glimpses, mean and every seed, one line a kind of model.

    Args:
        runs: one row a record, with columns `variant` (kind-T) and the metric.
    """
    parts = (
        runs.variant.str.extract(r"(?P<kind>ram|random|soft)-(?P<glimpses>\d+)")
        .assign(value=runs[metric])
        .dropna()
    )
    parts = parts.assign(glimpses=parts.glimpses.astype(int), kind=parts.kind.map(KINDS))
    figure = Figure(figsize=(5.5, 3.4), layout="constrained")
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
    axes.set(xlabel="number of glimpses", ylabel=label, title=title, xticks=sorted(parts.glimpses.unique()))
    axes.set_ylim(0)
    axes.legend(title=None)
    return picture(figure, f"{title}: lines of {', '.join(parts.kind.unique())}")


KINDS = {"ram": "learned locations", "random": "random locations", "soft": "soft reading"}


def front(poses: Float[Tensor, "N T M J 3"], seen: Bool[Tensor, "N T M J"]) -> Float[Tensor, "N T K 2"]:
    """Joints as the camera sees them, x and y from 0 to 1, y downwards; all bodies in one row.

    A clip keeps one scale. A joint that was not seen is NaN.
    """
    flat = torch.where(seen[..., None], poses, torch.nan)[..., :2].flatten(2, 3)
    flat = flat * flat.new_tensor([1, -1])
    low, high = (
        torch.where(flat.isnan(), -sign * torch.inf, flat).mul(sign).amax((1, 2), keepdim=True) * sign
        for sign in (-1, 1)
    )
    return (flat - (low + high) / 2) / (high - low).amax(-1, keepdim=True) * 0.9 + 0.5


def skeletons(
    poses: Float[Tensor, "N T M J 3"],
    seen: Bool[Tensor, "N T M J"],
    tree: Skeleton,
    titles: Sequence[str],
    acting: Bool[Tensor, "N M J"] | None = None,
    columns: int = 6,
) -> Image:
    """Clips side by side, four moments of each from light to dark; acting joints are ringed."""
    rows, moments = -(-len(poses) // columns), 4
    figure = Figure(figsize=(1.7 * columns, 2.1 * rows), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    steps = torch.linspace(0, poses.shape[1] - 1, moments).round().long()
    for n, (axes, title) in enumerate(zip(figure.axes, titles, strict=False)):
        for shade, pose in zip(
            (0.8, 0.65, 0.4, 0.1), front(poses[n : n + 1], seen[n : n + 1])[0, steps], strict=True
        ):
            lines = [pose[[a, b]].tolist() for a, b in tree.paired(poses.shape[2])]
            axes.add_collection(LineCollection(lines, colors=str(shade), linewidths=1.3))
        if acting is not None:
            rings = pose[acting[n].flatten()].T.numpy()
            axes.scatter(*rings, s=28, facecolors="none", edgecolors=TRUTH, linewidths=1.2, zorder=3)
        axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal")
        axes.set_title(title, fontsize=9)
    return picture(figure, f"{len(titles)} clips of skeletons: {', '.join(titles)}")


def contact_sheet(
    titles: Sequence[str],
    pictures: Sequence[UInt8[Tensor, "H W 3"]],
    boxes: Sequence[Float[Tensor, "4"]],
    columns: int = 4,
) -> Image:
    """One picture a title, with the box of what decides where there is one; NaN where not."""
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(2.7 * columns, 1.75 * rows), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    for axes, title, pixels, box in zip(figure.axes, titles, pictures, boxes, strict=False):
        axes.imshow(pixels.numpy())
        axes.set_title(title, fontsize=9)
        if not box.isnan().any():
            x0, y0, x1, y1 = box.tolist()
            style = {"fill": False, "edgecolor": TRUTH, "linewidth": 1.5}
            axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, **style))
    return picture(figure, f"one picture each of {', '.join(titles)}", "jpeg")


def objects(
    images: UInt8[Tensor, "N 3 H W"] | Sequence[UInt8[Tensor, "3 H W"]],
    titles: Sequence[str],
    *,
    true: Float[Tensor, "N 4"] | Sequence[Float[Tensor, "4"]] | None = None,
    found: Sequence[Float[Tensor, "... 4"]] | None = None,
    parts: Sequence[Float[Tensor, "... 4"]] | None = None,
    moved: Sequence[Float[Tensor, "_ 2 2"]] | None = None,
    columns: int = 4,
) -> Image:
    """Images with boxes: true dashed, found thick, of parts thin; arrows from where parts were expected.

    Args:
        moved: from and to, x and y in pixels.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.8 * rows), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    for n, (axes, image, title) in enumerate(zip(figure.axes, images, titles, strict=False)):
        axes.imshow(image.permute(1, 2, 0).numpy())
        axes.set_title(title, fontsize=9)
        styles = ((parts, WEIGHT, "-", 1), (found, WEIGHT, "-", 2.5), (true, TRUTH, "--", 2))
        for which, colour, line, width in styles:
            for x0, y0, x1, y1 in [] if which is None else which[n].view(-1, 4).tolist():
                style = {"fill": False, "edgecolor": colour, "linestyle": line, "linewidth": width}
                axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, **style))
        for start, end in [] if moved is None else moved[n].tolist():
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "white", "linewidth": 1.5})
    return picture(figure, f"{len(images)} images with boxes: {', '.join(titles)}", "jpeg")


def glyphs(filters: dict[str, Float[Tensor, "32 h w"]], side: int = 17) -> Image:
    """The positive weights of the nine orientations of each cell, as strokes along edges; title -> filter."""
    y, x = torch.meshgrid(*(torch.arange(side) - side // 2,) * 2, indexing="ij")
    angles = torch.arange(9) * torch.pi / 9  # of the gradient; the edge is across
    strokes = (
        (torch.cos(angles)[:, None, None] * x + torch.sin(angles)[:, None, None] * y).abs() < 0.8
    ).float()
    strokes *= x.square() + y.square() <= (side // 2) ** 2
    figure = Figure(figsize=(1.9 * len(filters), 2.2), layout="constrained")
    for axes, (title, weights) in zip(
        figure.subplots(1, len(filters), squeeze=False).flat, filters.items(), strict=True
    ):
        folded = (weights[:9] + weights[9:18] + weights[18:27]).clamp_min(0)
        drawn = (folded[..., None, None] * strokes[:, None, None]).amax(0)  # h w side side
        axes.imshow(drawn.transpose(1, 2).flatten(2).flatten(0, 1).numpy(), cmap="gray")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=9)
    return picture(figure, f"edges that filters look for: {', '.join(filters)}")


def maps(
    shown: dict[str, Float[Tensor, "H W"]],
    marks: dict[str, tuple[int, int]] | None = None,
    columns: int = 5,
    extent: tuple[float, float, float, float] | None = None,
) -> Image:
    """Heat maps, each with its own scale; a mark shows a cell (x, y), from the upper left corner."""
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.3 * columns, 2.1 * rows), layout="constrained")
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.axis("off")
    for axes, (title, values) in zip(figure.axes, shown.items(), strict=False):
        axes.axis("on")
        values = values.where(values.isfinite(), torch.nan)
        drawn = axes.imshow(values.numpy(), cmap="cividis", extent=extent)
        figure.colorbar(drawn, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)
        axes.tick_params(labelsize=7)
        axes.set_title(title, fontsize=9)
        if marks and title in marks:
            axes.plot(
                *marks[title], "o", markersize=9, markerfacecolor="none", color="white", markeredgewidth=2
            )
    return picture(figure, f"maps of {', '.join(shown)}")


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
                axes.axvspan(frame - 0.5, frame + 0.5, color=TRUTH, alpha=0.3, linewidth=0)
        axes.plot(weights[n].numpy(), color=WEIGHT, linewidth=2)
        axes.set(xlabel="frame", ylabel="weight" if n == 0 else "", ylim=(0, None))
        axes.set_title(titles[n], fontsize=9)
    said = "" if acting is None else "; the action is shaded"
    return picture(figure, f"weight over time in {len(weights)} clips{said}: {', '.join(titles)}")


def by_distance(scores: pd.DataFrame) -> Image:
    """Mean and sd of each variant over the distance of a thing from the hand.

    Args:
        scores: columns variant, edge (the distance up to which a row counts), mean, sd.
    """
    figure = Figure(figsize=(5.5, 3), layout="constrained")
    axes = figure.subplots()
    axes.axhline(100 / 3, color="grey", linestyle="--", linewidth=1, label="chance")
    edges = sorted(set(scores["edge"]))
    for n, (variant, rows) in enumerate(scores.groupby("variant", sort=False)):
        rows = rows.sort_values("edge")
        places = [edges.index(edge) + 0.05 * n for edge in rows["edge"]]
        axes.errorbar(places, rows["mean"], rows["sd"], marker="o", capsize=2, label=variant)
    names = [f"{low} to {high}" for low, high in pairwise([0, *edges])]
    axes.set_xticks(range(len(edges)), names)
    axes.set(xlabel="distance from the hand, pixels of 1920 x 1080", ylabel="right, %", ylim=(0, 103))
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return picture(
        figure, f"share of clips read right over the distance of the thing, of {len(edges)} ranges"
    )


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
