"""What all figures share."""

import io

from IPython.display import Image
from matplotlib.figure import Figure

WEIGHT, TRUTH = "#E69F00", "#56B4E9"  # of Okabe and Ito, told apart by colour-blind readers


def picture(figure: Figure, alt: str, kind: str = "png") -> Image:
    """A figure as PNG, or as JPEG; `alt` says what is to be seen to those who do not see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90, format=kind)
    return Image(buffer.getvalue(), format=kind, alt=alt)
