"""Figures of the notebooks: pictures with title, axis names and alternative text."""

import io
from pathlib import Path
from types import ModuleType

import pandas as pd
import seaborn as sns
from IPython.display import Image, Markdown
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

TRUTH = "#56B4E9"  # of Okabe and Ito, told apart by colour-blind readers


def picture(figure: Figure, alt: str) -> Image:
    """A figure as PNG; `alt` says what is to be seen to those who do not see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90)
    return Image(buffer.getvalue(), alt=alt)


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
    axes.legend(title=None)
    return picture(figure, f"{title}: lines of {', '.join(parts.kind.unique())}")


KINDS = {"ram": "learned locations", "random": "random locations", "soft": "soft reading"}
