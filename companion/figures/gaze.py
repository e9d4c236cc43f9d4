"""Where people and models look, on the picture; and scores between floor and ceiling."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from IPython.display import Image
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from companion.figures.drawing import DASHES, TRUTH, WEIGHT, grid, outline, picture


def scanpaths(
    image: UInt8[Tensor, "3 H W"], paths: dict[str, Float[np.ndarray, "_ 3"]], columns: int = 3
) -> Image:
    """One panel an observer: circles numbered in their order, their area by duration, lines between them.

    Args:
        paths: x, y in pixels and milliseconds, by the name of who looked.
    """
    height, width = image.shape[1:]
    figure, places = grid(len(paths), columns, 3.0, 3.0 * height / width + 0.25)
    for axes, (who, path) in zip(places, paths.items(), strict=True):
        axes.imshow(image.permute(1, 2, 0).numpy())
        x, y, lasted = path.T
        axes.plot(x, y, color="white", linewidth=1)
        axes.scatter(x, y, lasted / 2, WEIGHT, alpha=0.75, edgecolors="white")
        for n, (at_x, at_y) in enumerate(zip(x, y, strict=True), 1):
            axes.annotate(str(n), (at_x, at_y), ha="center", va="center", fontsize=7)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axes.set_title(who, fontsize=9)
    return picture(figure, f"scanpaths of {', '.join(paths)} on a picture", "jpeg")


MIDDLE = {"ha": "center", "va": "center", "fontsize": 7, "color": "0.5"}


def heatmaps(
    images: Sequence[UInt8[Tensor, "3 H W"]],
    shown: dict[str, Float[Tensor, "N _ _"]],
    boxes: Sequence[Float[Tensor, "_ 4"]] | None = None,
    captions: Sequence[str] = (),
) -> Image:
    """Each picture, then maps over it in grey, each with its own scale; a row a picture, or more where there
    is room.

    Args:
        shown: title -> a map of each picture.
        boxes: x0 y0 x1 y1 of things, in pixels; with these a cross marks each map's highest place.
        captions: of the pictures.
    """
    height, width = images[0].shape[1:]
    each = 1 + len(shown)
    across = max(1, 4 // each)
    figure, places = grid(len(images) * each, across * each, 1.75, 1.75 * height / width + 0.2)
    for n, axes in enumerate(places):
        row, column = divmod(n, each)
        image = images[row]
        if column == 0:
            axes.imshow(image.permute(1, 2, 0).numpy())
            axes.set_title(captions[row] if captions else "", fontsize=9)
        else:
            title, maps = list(shown.items())[column - 1]
            large = F.interpolate(maps[row][None, None], image.shape[1:], mode="bilinear")[0, 0]
            axes.imshow(image.float().mean(0).numpy(), cmap="gray", vmin=0, vmax=255)
            axes.imshow(large.numpy(), cmap="inferno", alpha=0.65)
            if boxes is not None:
                y, x = divmod(int(large.argmax()), large.shape[1])
                axes.plot(x, y, "x", color="white", markersize=7, markeredgewidth=1.6)
            if row < across:
                axes.set_title(title, fontsize=9)
        for box in [] if boxes is None else boxes[row].tolist():
            outline(axes, box, TRUTH, linestyle=DASHES, linewidth=1.2)
    return picture(figure, f"{len(images)} pictures with maps: {', '.join(shown)}", "jpeg")


def between(scores: pd.DataFrame, names: dict[str, str], floor: str, ceiling: str) -> Image:
    """Each model's score, with lines where the floor and the ceiling are; a panel a metric.

    Args:
        scores: a row a variant, in the order that is drawn, a column a metric.
        names: metric -> what stands below its panel.
        floor, ceiling: the variants that lines are drawn for.
    """
    figure = Figure(figsize=(2.1 * len(names) + 1.3, 0.27 * len(scores) + 0.9), layout="constrained")
    order = np.arange(len(scores))[::-1]
    for axes, (metric, label) in zip(
        figure.subplots(1, len(names), sharey=True, squeeze=False).flat, names.items(), strict=True
    ):
        for variant, line in ((floor, ":"), (ceiling, "--")):
            axes.axvline(scores.loc[variant, metric], color="grey", linestyle=line, linewidth=1)
        axes.plot(scores[metric], order, "o", color=WEIGHT)
        for place in order[scores[metric].isna()]:
            axes.annotate("no density", (0.5, place), xycoords=("axes fraction", "data"), **MIDDLE)
        axes.set_yticks(order, scores.index, fontsize=8)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_xlabel(label, fontsize=8)
    figure.suptitle(f"dotted line: {floor}, the floor; dashed line: {ceiling}, the ceiling", fontsize=9)
    return picture(figure, f"{', '.join(names)} of {', '.join(scores.index)}")
