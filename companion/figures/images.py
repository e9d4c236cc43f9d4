"""Images, with boxes and arrows, and maps over their planes."""

from collections.abc import Sequence

import torch
from IPython.display import Image
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure
from torch import Tensor

from companion.figures.drawing import DASHES, TRUTH, WEIGHT, grid, outline, picture


def boxed_images(
    images: Float[Tensor, "N H W"], boxes: Float[Tensor, "N 4"], titles: list[str], columns: int = 8
) -> Image:
    """Images in rows with their true boxes dashed; boxes x0 y0 x1 y1 in pixels."""
    figure, places = grid(len(images), columns, 1.25, 1.45)
    for axes, image, box, title in zip(places, images, boxes, titles, strict=True):
        axes.imshow(image.numpy(), cmap="gray", vmin=0, vmax=1)
        outline(axes, box.tolist(), TRUTH, linestyle=DASHES, linewidth=1.3)
        axes.set_title(title, fontsize=9)
    return picture(figure, f"{len(images)} images with their true boxes: {', '.join(titles)}")


def contact_sheet(
    titles: Sequence[str],
    pictures: Sequence[UInt8[Tensor, "H W 3"]],
    boxes: Sequence[Float[Tensor, "E 4"]],
    columns: int = 4,
) -> Image:
    """One picture a title, with the boxes of what decides where there is something; NaN where not."""
    figure, places = grid(len(titles), columns, 2.7, 1.75)
    for axes, title, pixels, around in zip(places, titles, pictures, boxes, strict=True):
        axes.imshow(pixels.numpy())
        axes.set_title(title, fontsize=9)
        for box in around[around.isfinite().all(-1)].tolist():
            outline(axes, box, TRUTH, linewidth=1.5)
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
    tall = max(image.shape[1] / image.shape[2] for image in images)
    figure, places = grid(len(images), columns, 2.6, 2.6 * tall + 0.25)
    for n, (axes, image, title) in enumerate(zip(places, images, titles, strict=True)):
        axes.imshow(image.permute(1, 2, 0).numpy())
        axes.set_title(title, fontsize=9)
        styles = ((parts, WEIGHT, "-", 1), (found, WEIGHT, "-", 2.5), (true, TRUTH, DASHES, 2))
        for which, colour, line, width in styles:
            for box in [] if which is None else which[n].view(-1, 4).tolist():
                outline(axes, box, colour, linestyle=line, linewidth=width)
        for start, end in [] if moved is None else (moved[n] - 0.5).tolist():
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "white", "linewidth": 1.5})
    return picture(figure, f"{len(images)} images with boxes: {', '.join(titles)}", "jpeg")


def maps(
    shown: dict[str, Float[Tensor, "H W"]],
    marks: dict[str, tuple[int, int]] | None = None,
    columns: int = 5,
    extent: tuple[float, float, float, float] | None = None,
) -> Image:
    """Heat maps, each with its own scale; a mark shows a cell (x, y), from the upper left corner."""
    figure, places = grid(len(shown), columns, 2.3, 2.1)
    for axes, (title, values) in zip(places, shown.items(), strict=True):
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


def density(locations: Float[Tensor, "N T 2"], title: str, bins: int = 24) -> Image:
    """Where the n-th glimpse falls, over all images: one map a glimpse, each with colours of its own."""
    T = locations.shape[1]
    figure = Figure(figsize=(1.45 * T, 2.1), layout="constrained")
    for t, axes in enumerate(figure.subplots(1, T, squeeze=False).flat):
        x, y = locations[:, t].clamp(-1, 1).T.numpy()
        axes.hist2d(x, y, bins=bins, range=[[-1, 1], [-1, 1]], cmap="cividis")
        axes.set(xticks=[-1, 1], yticks=[-1, 1] if t == 0 else [], title=f"glimpse {t + 1}", aspect="equal")
        axes.title.set_fontsize(9)
        axes.invert_yaxis()
    figure.suptitle(title, fontsize=10)
    figure.supxlabel(
        "place, in halves of the canvas; the brightest of each map has most glimpses", fontsize=8
    )
    return picture(figure, f"{title}: {T} maps of the image plane")


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
