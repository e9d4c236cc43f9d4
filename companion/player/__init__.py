"""The attention player: one self-contained HTML page that shows where a model looked, step by step.

No kernel and no network: pixels, boxes and weights stand inside the page as base64 and JSON. Where
scripts do not run, a still picture of the first samples stands in its place. Nothing moves before play
is pressed.

Letters: N samples, T steps (glimpses or frames), S scales of a glimpse, g samples on a glimpse's side,
H W the size of an image, h w of a heat map, J joints, E true boxes at once, G glimpses at once, K workers.
"""

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num, UInt8, jaxtyped
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image

from companion.files import write_whole

SHAPES = {
    "images": ("N H W", "N T H W", "N T H W 3"),
    "boxes": ("N T S 4",),
    "truth": ("N 4", "N T 4", "N T E 4"),
    "heat": ("N T h w",),
    "patches": ("N T S g g",),
    "joints": ("N T J 2",),
    "weights": ("N T J",),
    "acting": ("N J",),
    "clouds": ("N T G 4",),
    "workers": ("N T G K",),
}
WINDOW, TRUTH = "#E69F00", "#56B4E9"  # of Okabe and Ito, told apart by colour-blind readers
WORKERS = (WINDOW, "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
STAGE = (420, 360)  # the picture's largest width and height, CSS pixels
ROWS, COLUMNS = 3, 6  # samples and steps of the still picture
WIDE = 3  # steps of one of a film in colours, whose frames are larger
PAGE = files(__name__).joinpath("page.html").read_text(encoding="utf-8")


class AttentionPlayer:
    """Show where a model looked: the last value of a notebook cell, or a page of its own.

    Arrays may be NumPy's or tensors on the CPU. Boxes are x0 y0 x1 y1 in pixels, half open: pixel i covers
    [i, i + 1). A box with a NaN is not drawn.

    Args:
        images: N H W, N T H W or N T H W 3; float in [0, 1] or uint8.
        boxes: N T S 4, the windows of T glimpses, finest scale first.
        truth: N 4, N T 4 or N T E 4, the box of the true object, or of several.
        heat: N T h w, weights of at least 0, stretched over the image.
        labels: N captions, such as "true 7, read 7".
        patches: N T S g g, what the glimpses see; float in [0, 1] or uint8.
        joints: N T J 2, x and y in pixels; a NaN is not drawn. An image of one pixel is a blank ground on
            which x and y run from 0 to 1.
        bones: pairs of joints, drawn as lines.
        weights: N T J, of the joints, at least 0.
        acting: N J, true for the joints that should be attended to.
        names: of the joints.
        clouds: N T G 4, the windows of the glimpses of each of T frames, of which none comes first.
        workers: N T G K, to which worker each is dealt, at least 0; the largest share gives its colour.
        subject: what the true box holds, such as "digit".
        title: above the picture.

    Raises:
        ValueError: a wrong shape or value; the sentence names the argument.
    """

    def __init__(
        self,
        images: Any,
        boxes: Any = None,
        truth: Any = None,
        heat: Any = None,
        labels: Sequence[str] | None = None,
        patches: Any = None,
        joints: Any = None,
        weights: Any = None,
        acting: Any = None,
        bones: Sequence[tuple[int, int]] = (),
        names: Sequence[str] | None = None,
        clouds: Any = None,
        workers: Any = None,
        subject: str = "object",
        title: str = "Where the model looks",
    ) -> None:
        given = {"images": images, "boxes": boxes, "truth": truth, "heat": heat, "patches": patches}
        given |= {"joints": joints, "weights": weights, "acting": acting, "clouds": clouds}
        given |= {"workers": workers}
        given = {name: np.asarray(array) for name, array in given.items() if array is not None}
        sizes: dict[str, int] = {}
        with jaxtyped("context"):  # a letter stands for one size in all arguments
            for name, array in given.items():
                fits = [
                    shape
                    for shape in SHAPES[name]
                    if isinstance(array, Num[np.ndarray, shape] | Bool[np.ndarray, shape])
                ]
                if not fits or not array.size:
                    known = ", ".join(f"{letter} = {size}" for letter, size in sizes.items())
                    raise ValueError(
                        f"{name} is {array.dtype} of shape {array.shape}; it must be numbers of shape"
                        f" {' or '.join(SHAPES[name])} with letters of at least 1{known and ', '}{known}"
                    )
                letters = zip(fits[0].split(), array.shape, strict=True)
                sizes |= {letter: size for letter, size in letters if letter.isalpha()}
        if labels is not None and (isinstance(labels, str) or len(labels) != sizes["N"]):
            raise ValueError(f"labels must be {sizes['N']} captions, one for each of images")

        self.sizes = {"T": 1, **sizes}
        N, T, H, W = (self.sizes[letter] for letter in "NTHW")
        frames = T if given["images"].ndim > 3 else 1
        self.images = as_bytes("images", given["images"]).reshape(N, frames, H, W, -1)
        self.patches = as_bytes("patches", given["patches"]) if "patches" in given else None
        self.boxes = given["boxes"].astype(float).round(1) if "boxes" in given else None
        self.truth = None
        if "truth" in given:
            steps = T if given["truth"].ndim > 2 else 1
            self.truth = given["truth"].astype(float).round(1).reshape(N, steps, -1, 4)
        self.joints = given["joints"].astype(float).round(3) if "joints" in given else None
        self.acting = given["acting"].astype(int) if "acting" in given else None
        self.bones, self.names = [list(bone) for bone in bones], names
        if "joints" not in given and {"weights", "acting"} & set(given):
            raise ValueError("weights and acting say something of joints; pass joints as well")
        if "joints" in given and names is not None and len(names) != sizes["J"]:
            raise ValueError(f"names must be {sizes['J']} words, one for each of joints")
        self.clouds = given["clouds"].astype(float).round(1) if "clouds" in given else None
        self.dealt = given["workers"].argmax(-1) if "workers" in given else None
        if self.dealt is not None and (self.clouds is None or sizes["K"] > len(WORKERS)):
            without = ", but no clouds" if self.clouds is None else ""
            raise ValueError(
                f"there are {sizes['K']} workers{without}; pass clouds as well, and at most {len(WORKERS)}"
            )
        self.heat, self.strongest = scaled("heat", given)
        self.weights, self.largest = scaled("weights", given)
        self.labels = None if labels is None else [str(label) for label in labels]
        self.subject, self.title = subject, title
        still = frames == 1 and "joints" not in given
        self.unit = "glimpse" if still or "boxes" in given else "frame"
        self.view = view(H, W, self.boxes if self.clouds is None else self.clouds)

    def page(self) -> str:
        """The player as one HTML document."""
        return self._document(self._picture(self.still()))

    def save(self, path: str | Path) -> Path:
        """Write the page to `path`, whole or not at all."""
        return write_whole(path, self.page())

    def still(self) -> bytes:
        """A PNG of `figure`."""
        drawn, small = io.BytesIO(), io.BytesIO()
        self.figure().savefig(drawn, dpi=100)
        colours = 256 if self.images.shape[-1] == 3 else 64
        few = Image.open(drawn).convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE)  # lines are thin
        few.save(small, "PNG", optimize=True)
        return small.getvalue()

    def figure(self) -> Figure:
        """The first samples (rows) over their steps (columns)."""
        rows = min(ROWS, len(self.images))
        steps, large = [self._steps(n) for n in range(rows)], self._film()
        x0, y0, x1, y1 = self.view
        width = 2.7 if large else 1.35
        row = 0.96 * width * (y1 - y0) / (x1 - x0) + (0.25 if self.labels else 0.05)
        row += 0.2 * large  # for the titles
        figure = Figure((width * max(len(steps[0]), 3), rows * row + 0.6), layout="constrained")
        figure.get_layout_engine().set(hspace=0.15 if self.labels else 0)
        figure.suptitle(self.title, fontsize=10, parse_math=False)
        for n, line in enumerate(figure.subplots(rows, len(steps[0]), squeeze=False)):
            for ax, t in zip(line, steps[n], strict=True):
                self._panel(ax, n, t)
                if len(line) > 1 and (n == 0 or large):
                    ax.set_title(f"{self.unit} {t + 1}", fontsize=8, pad=3)
            if self.labels:
                place = {"transform": line[0].transAxes, "va": "top", "fontsize": 8, "parse_math": False}
                caption = line[0].text(0, -0.03, self.labels[n], **place)
                caption.set_in_layout(False)  # a long one does not push the panels apart
        subject = self.subject.replace("$", r"\$")  # no mathematics
        marks = [
            (self.boxes, {"color": WINDOW, "marker": "o", "markersize": 3, "label": "glimpses"}),
            (self.truth, {**self._true(), "label": f"true box of the {subject}"}),
            *(
                (self.clouds, {"color": colour, "linewidth": 1.8, "label": name})
                for name, colour in self.workers().items()
            ),
            (
                self.heat,
                {
                    "color": WINDOW,
                    "linewidth": 7,
                    "alpha": 0.8,
                    "label": f"weight, 0 to {self.strongest:.2g}",
                },
            ),
            (
                self.weights,
                {
                    "color": WINDOW,
                    "marker": "o",
                    "linestyle": "",
                    "label": f"joint, area by weight, 0 to {self.largest:.2g}",
                },
            ),
            (
                self.acting,
                {"mec": TRUTH, "mfc": "none", "marker": "o", "linestyle": "", "label": "joint that acts"},
            ),
        ]
        handles = [Line2D([], [], **style) for array, style in marks if array is not None]
        if handles:
            room = {"title": " ", "title_fontsize": 7} if self.labels else {}  # for the last row's caption
            figure.legend(
                handles=handles, loc="outside lower left", ncols=3, fontsize=8, frameon=False, **room
            )
        return figure

    def workers(self) -> dict[str, str]:
        """What the windows of clouds are, and their colours."""
        if self.dealt is None:
            return {} if self.clouds is None else {"glimpses": WINDOW}
        return {f"glimpses of worker {k + 1}": WORKERS[k] for k in range(self.sizes["K"])}

    def _steps(self, n: int) -> list[int]:
        """The steps of a sample in the still picture: of a film first those that have a true box."""
        T = self.sizes["T"]
        if not self._film():
            return np.unique(np.linspace(0, T - 1, COLUMNS).round().astype(int)).tolist()
        marked = np.zeros(T, bool)
        if self.truth is not None:
            marked |= np.isfinite(self.truth[n]).all(-1).any(-1)
        parts = np.array_split(np.flatnonzero(marked), WIDE) + np.array_split(np.flatnonzero(~marked), WIDE)
        middles = [int(part[len(part) // 2]) for part in parts if len(part)]  # ends show little
        return sorted(middles[:WIDE])

    def _film(self) -> bool:
        """Are they moving pictures in colours?"""
        return self.images.shape[1] > 1 and self.images.shape[-1] == 3

    def _true(self) -> dict[str, Any]:
        """How a true box is drawn: on a film, where it may be small, without gaps and with a dark rim."""
        if not self._film():
            return {"color": TRUTH, "linestyle": "--"}
        rim = patheffects.withStroke(linewidth=2.4, foreground="black")
        return {"color": TRUTH, "linewidth": 1.2, "path_effects": [rim]}

    def _panel(self, ax: Axes, n: int, t: int) -> None:
        """Draw one sample at one step, with the path that led there."""
        x0, y0, x1, y1 = self.view
        N, frames, H, W, C = self.images.shape
        cover = {"extent": (0, W, H, 0), "interpolation": "nearest"}
        frame = self.images[n, t % frames]
        ax.imshow(frame if C == 3 else frame[..., 0], cmap="gray", vmin=0, vmax=255, **cover)
        if self.heat is not None:
            tint = np.full((*self.heat.shape[2:], 4), to_rgba(WINDOW))
            tint[..., 3] = 0.8 * self.heat[n, t] / 255
            ax.imshow(tint, **cover)
        ax.set(xlim=(x0, x1), ylim=(y1, y0), xticks=[], yticks=[], facecolor="0.88")
        if self.joints is not None:
            x, y = self.joints[n, t].T
            for bone in self.bones:
                ax.plot(x[bone], y[bone], color="0.73", linewidth=1)
            size = 12 if self.weights is None else 3 + 90 * (self.weights[n, t] / 255)
            over = self.weights is not None and H > 1  # of a picture, what lies under a weight is to be seen
            rim = WINDOW if over else "none"
            rims = [rim] * len(x) if self.acting is None else np.where(self.acting[n], TRUTH, rim)
            fill = to_rgba(WINDOW, 0.3 if over else 1)
            ax.scatter(x, y, size, [fill], linewidths=0.8, edgecolors=list(rims), zorder=3)

        def rectangle(box, **style):
            if np.isfinite(box).all():
                ax.add_patch(Rectangle(box[:2], *(box[2:] - box[:2]), fill=False, **style))

        if self.truth is not None:
            for box in self.truth[n, t % self.truth.shape[1]]:
                rectangle(box, **self._true(), zorder=4)
        if self.clouds is not None:
            for g, box in enumerate(self.clouds[n, t]):
                colour = WINDOW if self.dealt is None else WORKERS[self.dealt[n, t, g]]
                rectangle(box, color=colour, linewidth=1.0)
        if self.boxes is not None:
            for s, box in enumerate(self.boxes[n, t]):
                rectangle(box, color=WINDOW, linewidth=0.8 if s else 1.8)
            centres = self.boxes[n, : t + 1, 0].reshape(-1, 2, 2).mean(1)
            centres = centres[np.isfinite(centres).all(1)]
            ax.plot(*centres.T, color=WINDOW, linewidth=1, marker="o", markersize=2.5)

    def _picture(self, still: bytes) -> str:
        shown = f"{self.title}: the first {min(ROWS, len(self.images))} of {len(self.images)} samples"
        alt = html.escape("; ".join([shown, *(self.labels or [])[:ROWS]]))
        data = base64.b64encode(still).decode()
        return f'<img alt="{alt}" style="max-width:100%;max-height:100%" src="data:image/png;base64,{data}">'

    def _document(self, still: str) -> str:
        frame = self.images.shape[2:]
        coloured = frame[-1] == 3
        data = {
            "sizes": self.sizes,
            "frames": self.images.shape[1],
            "view": self.view,
            "stage": self._stage(),
            "unit": self.unit,
            "subject": self.subject,
            "labels": self.labels,
            "images": None if coloured else encoded(self.images),
            "film": [jpeg(frame) for frame in self.images.reshape(-1, *frame)] if coloured else None,
            "patches": encoded(self.patches),
            "boxes": numbers(self.boxes),
            "truth": numbers(self.truth),
            "truths": (0, 0) if self.truth is None else self.truth.shape[1:3],
            "clouds": numbers(self.clouds),
            "dealt": None if self.dealt is None else self.dealt.ravel().tolist(),
            "workers": list(self.workers().items()),
            "heat": encoded(self.heat),
            "strongest": self.strongest,
            "largest": self.largest,
            "joints": numbers(self.joints),
            "weights": encoded(self.weights),
            "acting": None if self.acting is None else self.acting.ravel().tolist(),
            "bones": self.bones,
            "names": list(self.names or range(self.sizes.get("J", 0))),
        }
        parts = {
            "title": html.escape(self.title),
            "subject": html.escape(self.subject),
            "strongest": f"{self.strongest:.2g}",
            "largest": f"{self.largest:.2g}",
            "still": still,
            "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
            "window": WINDOW,
            "truth": TRUTH,
        }
        return re.sub("@(" + "|".join(parts) + ")@", lambda match: parts[match[1]], PAGE)

    def _stage(self) -> tuple[int, int]:
        """Width and height of the picture on the page, CSS pixels."""
        x0, y0, x1, y1 = self.view
        scale = min(STAGE[0] / (x1 - x0), STAGE[1] / (y1 - y0))
        return round((x1 - x0) * scale), round((y1 - y0) * scale)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        # Sites that strip frames (GitHub) leave the picture, which the frame otherwise covers.
        height = max(self._stage()[1], 230) + 140
        still = self.still()
        title, page = html.escape(self.title), html.escape(self._document(""))
        cell = (
            f'<div style="position:relative;max-width:720px;height:{height}px">{self._picture(still)}'
            f'<iframe title="{title}" sandbox="allow-scripts" srcdoc="{page}"'
            ' style="position:absolute;left:0;top:0;width:100%;height:100%;border:0"></iframe></div>'
        )
        return {"text/html": cell, "image/png": base64.b64encode(still).decode()}


def as_bytes(name: str, array: np.ndarray) -> UInt8[np.ndarray, "..."]:
    """Intensities as 0 to 255, from uint8 or from floats in [0, 1]."""
    if array.dtype == np.uint8:
        return array
    if not (np.issubdtype(array.dtype, np.floating) and array.min() >= 0 and array.max() <= 1):
        raise ValueError(
            f"{name} must be uint8 or floats in [0, 1]; it is {array.dtype}, {array.min()} to {array.max()}"
        )
    return (array * 255).round().astype(np.uint8)


def scaled(name: str, given: dict[str, np.ndarray]) -> tuple[np.ndarray | None, float]:
    """Weights as 0 to 255, or None where they are not given, and what 255 stands for."""
    if name not in given:
        return None, 1.0
    values = given[name].astype(float)
    if not (np.isfinite(values).all() and values.min() >= 0):
        raise ValueError(f"{name} must be finite weights of at least 0")
    top = float(values.max()) or 1.0
    return as_bytes(name, values / top), top


def view(H: int, W: int, boxes: Float[np.ndarray, "N T S 4"] | None) -> tuple[float, float, float, float]:
    """What to draw, x0 y0 x1 y1 in pixels: the image in a frame that shows windows beyond its border."""
    known = np.empty((0, 4)) if boxes is None else boxes[np.isfinite(boxes).all(-1)]
    beyond = (known * [-1, -1, 1, 1] - [0, 0, W, H]).max(initial=0)
    frame = round(float(min(beyond, max(H, W) / 8) + max(H, W) / 60), 1)  # the last keeps outer lines whole
    return -frame, -frame, W + frame, H + frame


def jpeg(frame: UInt8[np.ndarray, "H W 3"]) -> str:
    """A picture of a film, small, as base64."""
    small = io.BytesIO()
    Image.fromarray(frame).save(small, "JPEG", quality=75)
    return base64.b64encode(small.getvalue()).decode()


def encoded(array: UInt8[np.ndarray, "..."] | None) -> str | None:
    """The bytes in C order, as base64."""
    return None if array is None else base64.b64encode(array.tobytes()).decode()


def numbers(boxes: Float[np.ndarray, "..."] | None) -> list[float | int | None] | None:
    """One flat list, as short in JSON as it can be; null where there is no number."""
    if boxes is None:
        return None
    return [(int(v) if v.is_integer() else v) if np.isfinite(v) else None for v in boxes.ravel().tolist()]
