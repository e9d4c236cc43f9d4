"""Handwritten digits on canvases (Mnih et al. 2014, section 4.1), with the digit's true box.

Two sources by one door: `digits`, the 1,797 digits of 8 x 8 pixels inside scikit-learn (UCI
optdigits), enlarged to 20 x 20 and centred in 28 x 28 as MNIST's are; and `mnist`, the idx files
under `root/MNIST/raw`. Canvases are drawn from a NumPy seed, anew for each epoch:

    centred-28       the digit as it is
    translated-60    the digit anywhere on a black canvas of 60 x 60
    cluttered-60     the same, and 4 patches of 8 x 8 cut from other digits are added anywhere
    cluttered-100    8 patches on 100 x 100

Letters: B canvases, H W their size.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from companion.files import fingerprint
from companion.formats import mnist

SOURCES = ("digits", "mnist")
PROTOCOLS = {  # side of the canvas, patches of clutter
    "centred-28": (28, 0),
    "translated-60": (60, 0),
    "cluttered-60": (60, 4),
    "cluttered-100": (100, 8),
}
SPLITS = {  # (from MNIST's training files?, first, last); the paper trains on 50,000
    "mnist": {"train": (True, 0, 50_000), "validation": (True, 50_000, 60_000), "test": (False, 0, 10_000)},
    "digits": {"train": (True, 0, 1097), "validation": (True, 1097, 1297), "test": (True, 1297, 1797)},
}
PATCH = 8


class Canvas(NamedTuple):
    """A batch of canvases."""

    image: Float[Tensor, "B H W"]  # in [0, 1], black is 0
    label: Int[Tensor, " B"]
    box: Float[Tensor, "B 4"]  # x0 y0 x1 y1 of the digit's ink, pixels, half open


def known(what: str, value: str, choices) -> None:
    """Refuse a value outside `choices`, in one sentence."""
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose one of {', '.join(choices)}")


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """The embedded digits, images n 28 28 and labels n, uint8, in one fixed random order."""
    from skimage.transform import resize
    from sklearn.datasets import load_digits

    pixels, target = map(np.asarray, load_digits(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(pixels))
    small = pixels[order].reshape(-1, 8, 8) / 16
    ink = np.asarray(resize(small, (len(small), 20, 20), order=1))
    images = np.pad((ink * 255).round().astype(np.uint8), ((0, 0), (4, 4), (4, 4)))
    return images, target[order].astype(np.uint8)


def check(source: str, root: str | Path | None = None) -> str:
    """One line that says that the data are whole.

    Raises:
        OSError, ValueError: they are not; the sentence names the file.
    """
    if source == "digits":
        return f"complete, {len(read_digits()[0])} digits inside scikit-learn"
    train, test = (len(mnist.read(root, part)[0]) for part in (True, False))
    return f"complete, {train} training and {test} test images"


def ink_boxes(images: np.ndarray) -> np.ndarray:
    """Boxes x0 y0 x1 y1 of the pixels brighter than a quarter, n 4."""
    ink = images > 63
    sides = []
    for axis in (1, 2):  # columns, rows
        line = np.any(ink, axis)
        sides.append((line.argmax(1), line.shape[1] - line[:, ::-1].argmax(1)))
    (x0, x1), (y0, y1) = sides
    return np.stack([x0, y0, x1, y1], 1)


class Digits(Dataset):
    """Canvases of one split; `set_epoch` draws the places and the clutter anew.

    Args:
        source: one of `SOURCES`.
        split: train, validation or test.
        protocol: one of `PROTOCOLS`.
        seed: of the canvases; the digits and splits do not depend on it.
        root: the folder that contains `MNIST`; default $COMPANION_DATA.

    Raises:
        ValueError: unknown name, or a file that is not a whole idx file.
        FileNotFoundError: a file of MNIST is missing.
    """

    def __init__(
        self,
        source: str,
        split: str,
        protocol: str = "centred-28",
        seed: int = 0,
        root: str | Path | None = None,
    ) -> None:
        known("source", source, SOURCES)
        known("protocol", protocol, PROTOCOLS)
        known("split", split, SPLITS[source])
        train, first, last = SPLITS[source][split]
        images, labels = mnist.read(root, train) if source == "mnist" else read_digits()
        self.images = images[first:last]
        self.labels = torch.from_numpy(labels[first:last].astype(np.int64))
        self.boxes = ink_boxes(self.images)
        self.units = [str(index) for index in range(first, last)]  # of the images in the source
        self.side, self.clutter = PROTOCOLS[protocol]
        self.seed = (seed, list(SPLITS[source]).index(split))
        self.fingerprint = fingerprint([self.images.tobytes(), labels[first:last].tobytes()])
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self.images)

    def set_epoch(self, epoch: int) -> None:
        """Draw the places of all digits and patches of this epoch at once."""
        rng = np.random.default_rng([*self.seed, epoch])
        n, c, digit = len(self), self.clutter, self.images.shape[1]
        self.corner = rng.integers(0, self.side - digit + 1, (n, 2))  # x, y
        self.other = (np.arange(n)[:, None] + rng.integers(1, n, (n, c))) % n
        self.cut = rng.integers(0, digit - PATCH + 1, (n, c, 2))
        self.place = rng.integers(0, self.side - PATCH + 1, (n, c, 2))

    def __getitems__(self, indices: Sequence[int]) -> Canvas:
        i = np.asarray(indices)
        B, digit = len(i), self.images.shape[1]
        canvas = np.zeros(B * self.side**2, np.float32)
        canvas[window(self.corner[i], digit, self.side)] = self.images[i] / np.float32(255)
        for c in range(self.clutter):
            cut = (self.other[i, c, None, None], *rows_and_columns(self.cut[i, c], PATCH))
            canvas[window(self.place[i, c], PATCH, self.side)] += self.images[cut] / np.float32(255)
        image = np.minimum(canvas, 1, out=canvas).reshape(B, self.side, self.side)
        box = self.boxes[i] + np.tile(self.corner[i], 2)
        return Canvas(torch.from_numpy(image), self.labels[i], torch.from_numpy(box.astype(np.float32)))

    def __getitem__(self, index: int) -> Canvas:
        return Canvas(*(field[0] for field in self.__getitems__([index])))


def rows_and_columns(corner: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices B side 1 and B 1 side of the squares whose upper left corners (x, y) are given."""
    x, y = corner.T
    line = np.arange(side)
    return (y[:, None] + line)[:, :, None], (x[:, None] + line)[:, None, :]


def window(corner: np.ndarray, side: int, canvas: int) -> np.ndarray:
    """Flat indices B side side of one square on each of B canvases."""
    rows, columns = rows_and_columns(corner, side)
    return (np.arange(len(corner)) * canvas**2)[:, None, None] + rows * canvas + columns
