"""What every skeleton dataset is on disk, and gives: clips, or what is wrong with a file.

Letters: T frames, M bodies, J joints.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from companion.files import DamagedFile
from companion.skeleton import Skeleton


class Clip(NamedTuple):
    """One performance of one action."""

    skeleton: Float32[np.ndarray, "T M J 3"]  # metres, camera frame; zero where nothing was seen
    visible: Bool[np.ndarray, "T M J"]
    label: int  # from 0
    subject: int | None  # None: the copy does not know it
    camera: int  # or the set of SBU: what protocols split by beside the subject
    name: str


@dataclass(frozen=True)
class SkeletonFormat:
    """A dataset of skeleton clips, as it lies on disk.

    Args:
        name: of the dataset.
        tree: its joints.
        classes: names, in the order of the labels.
        protocols: name -> number of folds.
        bodies: of a clip at most.
        clips: of the official release.
        where: it is to be had.
        files: the dataset's files under a root, default $COMPANION_DATA.
        parse: the clip of one file.
        split: of each clip's subject and camera, a protocol and a fold: which clips are tested, the others
            train; and the unit (fold, view, camera, subject) by which the protocol splits.
        unit: of a clip's name, the unit of the test set that statements about a test resample: clips that
            show one performance, or one person, are not independent.
        strict: the protocols that test all clips: what holds the numbers of a tested clip does not train.
        beside: the files' companions that also tell one copy from another, by name and size.
    """

    name: str
    tree: Skeleton
    classes: tuple[str, ...]
    protocols: Mapping[str, int]
    bodies: int
    clips: int
    where: str
    files: Callable[[str | Path | None], list[Path]]
    parse: Callable[[Path], Clip]
    split: Callable[[np.ndarray, np.ndarray, str, int], tuple[np.ndarray, np.ndarray]]
    unit: Callable[[str], str]
    strict: frozenset[str] = frozenset()
    beside: Callable[[list[Path]], list[Path]] = lambda files: []


def find(root: str | Path | None, folder: str, pattern: str) -> list[Path]:
    """The dataset's files `root/folder/pattern`, sorted; root is by default $COMPANION_DATA.

    Raises:
        FileNotFoundError: no root, no folder, or no file of that name in it.
    """
    root = root or os.environ.get("COMPANION_DATA")
    if root is None:
        raise FileNotFoundError(
            f"no data folder: pass root or set COMPANION_DATA to the folder that contains {folder}"
        )
    place = Path(root) / folder
    if not place.is_dir():
        raise FileNotFoundError(f"no folder {place}; root must contain {folder}")
    files = sorted(place.glob(pattern))
    if not files:
        raise FileNotFoundError(f"no file {pattern} in {place}")
    return files


def make(
    path: Path,
    skeleton: np.ndarray,
    visible: np.ndarray,
    label: int,
    subject: int | None,
    camera: int,
    name: str,
) -> Clip:
    """A clip in which what was not seen is zero.

    Raises:
        DamagedFile: a coordinate is too large for metres, or no joint is seen in any frame.
    """
    with np.errstate(over="ignore"):
        metres = np.where(visible[..., None], skeleton, 0).astype(np.float32)
    if not np.isfinite(metres).all():
        raise DamagedFile(f"{path}: a coordinate is no number of metres; download it again")
    if not visible.any():
        raise DamagedFile(f"{path}: nobody is seen in any of {len(visible)} frames; leave it out")
    return Clip(metres, visible, label, subject, camera, name)


def read_all(files: Iterable[Path], parse: Callable[[Path], Clip]) -> Iterator[Clip | DamagedFile]:
    """Each file's clip, or what is wrong with it."""
    for path in files:
        try:
            yield parse(path)
        except DamagedFile as error:
            yield error


def check(files: Sequence[Path], parse: Callable[[Path], Clip], official: int, where: str) -> str:
    """How many of the `official` clips are there and whole, and where to ask for the others.

    Args:
        where: these are to be had: "at ...", "by ...".

    Raises:
        ValueError: damaged files; the text counts and names them.
    """
    damaged = [str(error) for error in read_all(files, parse) if isinstance(error, DamagedFile)]
    missing = max(0, official - len(files))
    if not damaged and not missing:
        return f"complete, {len(files)} of {official}"
    counts = f"{len(files)} of {official}, {len(damaged) or 'none'} damaged, {missing or 'none'} missing"
    text = "\n  ".join([counts, *damaged, f"to be had {where}"])
    if damaged:
        raise ValueError(text)
    return text
