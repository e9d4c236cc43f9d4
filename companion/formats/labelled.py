"""What every set of labelled pictures gives: which classes each shows, and a box around each thing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64


class Labels(NamedTuple):
    """Of one picture; n things."""

    kinds: Int64[np.ndarray, " n"]
    boxes: Float64[np.ndarray, "n 4"]  # x0 y0 x1 y1 in pixels; 0 is the left edge of the first
    difficult: Bool[np.ndarray, " n"]  # left out of scores, where a dataset says so
    size: tuple[int, int]  # H W of the picture


@dataclass(frozen=True)
class LabelledFormat:
    """Labelled pictures, as they lie on disk.

    Args:
        name: of the dataset.
        pictures: of the official release.
        folds: into how many its pictures are dealt; 0: it says itself which are tested.
        where: it is to be had.
        files: of a split (train or test; with folds, all) under a root: pictures, and the file of each.
        classes: their names, from the root.
        parse: a picture, its file and the names of the classes, to its labels.
    """

    name: str
    pictures: int
    folds: int
    where: str
    files: Callable[[str | Path | None, str], tuple[list[Path], list[Path]]]
    classes: Callable[[str | Path | None], tuple[str, ...]]
    parse: Callable[[Path, Path, tuple[str, ...]], Labels]


def labels(kinds: list[int], boxes: list, difficult: list[bool], size: tuple[int, int]) -> Labels:
    """Of lists."""
    around = np.array(boxes, float).reshape(-1, 4)
    return Labels(np.array(kinds, int), around, np.array(difficult, bool), size)
