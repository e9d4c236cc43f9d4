"""What all figures share: their two colours, grids of pictures, boxes, and how a figure becomes a picture."""

import io
from typing import Any

import PIL.Image
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

WEIGHT, TRUTH = "#E69F00", "#56B4E9"  # of Okabe and Ito, told apart by colour-blind readers
DASHES = 0, (1.2, 0.8)  # short, so that a small box is whole
SHARP, SHOWN = 200, 90  # dots an inch in the file, and on a page


def picture(figure: Figure, alt: str, kind: str = "png", dpi: int = SHARP) -> Image:
    """A figure as PNG, or as JPEG; `alt` says what is to be seen to those who do not see it."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=dpi)
    image = PIL.Image.open(drawn).convert("RGB")
    if kind == "png":
        image = image.quantize(256, dither=PIL.Image.Dither.NONE)  # half the bytes
    image.save(small, kind, optimize=True, quality=60)  # of JPEG
    return Image(small.getvalue(), format=kind, width=round(SHOWN * figure.get_figwidth()), alt=alt)


def grid(n: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Axes without a frame for n pictures in rows; a picture has width and height in inches."""
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for one in axes:
        one.axis("off")
    return figure, axes[:n]


def outline(axes: Axes, box: list[float], colour: str, **style: Any) -> None:
    """Draw the box x0 y0 x1 y1 in pixels, of which number i covers [i, i + 1), on an image."""
    x0, y0, x1, y1 = box
    axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, edgecolor=colour, **style))
