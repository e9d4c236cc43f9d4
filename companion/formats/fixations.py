"""What every eye-tracking dataset gives: who looked where, in which order and for how long.

Letters: N pictures, F fixations, H W a picture's size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from companion.files import DamagedFile


class Recording(NamedTuple):
    """All fixations of a dataset, by picture, then observer, then order."""

    paths: tuple[Path, ...]  # of the N pictures
    size: Int64[np.ndarray, "N 2"]  # H W that places are pixels of; the file may be a smaller copy
    picture: Int64[np.ndarray, " F"]
    observer: Int64[np.ndarray, " F"]  # from 0
    order: Int64[np.ndarray, " F"]  # from 0 in each scanpath
    place: Float64[np.ndarray, "F 2"]  # x y; 0 is the middle of the first pixel
    duration: Float64[np.ndarray, " F"]  # milliseconds
    outside: int  # so many fixations lay outside their picture, and are left out


@dataclass(frozen=True)
class GazeFormat:
    """An eye-tracking dataset, as it lies on disk.

    Args:
        name: of the dataset.
        pictures, observers: of the official release; 0 where there is none.
        where: it is to be had.
        files: its files under a root, default $COMPANION_DATA: the pictures, and what was recorded.
        parse: what these files hold.
    """

    name: str
    pictures: int
    observers: int
    where: str
    files: Callable[[str | Path | None], tuple[list[Path], list[Path]]]
    parse: Callable[[list[Path], list[Path]], Recording]


def recorded(path: Path) -> Path:
    """This file.

    Raises:
        FileNotFoundError: there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; get it with the pictures")
    return path


def recording(
    where: Path,
    paths: Sequence[Path],
    size: np.ndarray,
    picture: np.ndarray,
    observer: np.ndarray,
    order: np.ndarray,
    place: np.ndarray,
    duration: np.ndarray,
) -> Recording:
    """Rows in order, without those that lie outside their picture, which are counted.

    Args:
        where: the file that they come from.

    Raises:
        DamagedFile: a number that is not finite, or a picture at which nobody looked.
    """
    for name, values in (("place", place.sum(1)), ("duration", duration)):
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DamagedFile(f"{where}: the {name} of fixation {row + 1} is not finite; get the file again")
    inside = ((place >= -0.5) & (place < size[picture, ::-1] - 0.5)).all(1)
    rows = np.flatnonzero(inside)
    rows = rows[np.lexsort((order[rows], observer[rows], picture[rows]))]
    without = np.setdiff1d(np.arange(len(paths)), picture[rows])
    if len(without):
        raise DamagedFile(
            f"{where}: nobody looked at {paths[without[0]]} ({len(without)} such pictures); remove the"
            " picture, or get the file again"
        )
    first = np.flatnonzero(np.diff(picture[rows], prepend=-1) | np.diff(observer[rows], prepend=-1))
    lengths = np.diff(first, append=len(rows))
    numbered = np.arange(len(rows)) - np.repeat(first, lengths)
    return Recording(
        tuple(paths), size, picture[rows], observer[rows], numbered, place[rows], duration[rows],
        int((~inside).sum()),
    )  # fmt: skip
