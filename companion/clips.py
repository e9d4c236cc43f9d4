"""What every skeleton dataset gives, and the file that keeps it parsed.

A clip has T frames, M bodies, J joints. Reading text again for each training would take longer than the
training, so a dataset is parsed once into one memory-mapped safetensors file, which is made anew when a
file of the dataset or the code that reads it changes.

Letters: N frames of all clips together, T frames of one, M bodies, J joints.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from safetensors import safe_open
from safetensors.numpy import save

from companion import skeleton
from companion.files import REPOSITORY, DamagedFile, fingerprint, scratch, write_whole


class Clip(NamedTuple):
    """One performance of one action."""

    skeleton: Float32[np.ndarray, "T M J 3"]  # metres, camera frame; zero where nothing was seen
    visible: Bool[np.ndarray, "T M J"]
    label: int  # from 0
    subject: int | None  # None: the copy does not know it
    camera: int  # or the set of SBU: what protocols split by beside the subject
    name: str


DamagedClip = DamagedFile  # a file that is no clip of its dataset


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


def make(path: Path, skeleton: np.ndarray, visible: np.ndarray, *about: int | str | None) -> Clip:
    """A clip in which what was not seen is zero; `about` is label, subject, camera and name.

    Raises:
        DamagedClip: a coordinate is too large for metres, or no joint is seen in any frame.
    """
    with np.errstate(over="ignore"):
        metres = np.where(visible[..., None], skeleton, 0).astype(np.float32)
    if not np.isfinite(metres).all():
        raise DamagedClip(f"{path}: a coordinate is no number of metres; download it again")
    if not visible.any():
        raise DamagedClip(f"{path}: nobody is seen in any of {len(visible)} frames; leave it out")
    return Clip(metres, visible, *about)


def read_all(files: Iterable[Path], parse: Callable[[Path], Clip]) -> Iterator[Clip | DamagedClip]:
    """Each file's clip, or what is wrong with it."""
    for path in files:
        try:
            yield parse(path)
        except DamagedClip as error:
            yield error


def check(files: Sequence[Path], parse: Callable[[Path], Clip], official: int, where: str) -> str:
    """How many of the `official` clips are there and whole, and where to ask for the others.

    Raises:
        ValueError: damaged files; the text counts and names them.
    """
    damaged = [str(error) for error in read_all(files, parse) if isinstance(error, DamagedClip)]
    missing = max(0, official - len(files))
    if not damaged and not missing:
        return f"complete, {len(files)} of {official}"
    counts = f"{len(files)} of {official}, {len(damaged) or 'none'} damaged, {missing or 'none'} missing"
    text = "\n  ".join([counts, *damaged, f"to be had at {where}"])
    if damaged:
        raise ValueError(text)
    return text


class Store:
    """The clips of one file that `keep` wrote; each is read from the file when it is asked for."""

    def __init__(self, path: Path) -> None:
        self.file = safe_open(path, "numpy")
        about = self.file.metadata()
        self.damaged = json.loads(about["damaged"])  # a sentence a file that could not be read
        self.rows = json.loads(about["rows"])  # label, subject, camera, name
        self.first = self.file.get_tensor("first")  # of each clip, and N
        self.skeleton, self.visible = self.file.get_slice("skeleton"), self.file.get_slice("visible")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        frames = slice(int(self.first[index]), int(self.first[index + 1]))
        return Clip(self.skeleton[frames], self.visible[frames], *self.rows[index])


def keep(
    name: str,
    files: Sequence[Path],
    parse: Callable[[Path], Clip],
    strict: bool = True,
    cache: str | Path | None = None,
) -> Store:
    """The clips of `files`, parsed now or by an earlier call.

    Args:
        name: of the file.
        parse: reads one file.
        strict: a damaged file is an error; else it is left out and named in `Store.damaged`.
        cache: folder of the file; default `results/quick/cache`.

    Raises:
        DamagedClip: a damaged file, if strict.
    """
    code = [Path(sys.modules[parse.__module__].__file__), Path(__file__), Path(skeleton.__file__)]
    stats = [(str(path), stat.st_size, stat.st_mtime_ns) for path in files for stat in [path.stat()]]
    source = fingerprint([*(path.read_bytes() for path in code), json.dumps(stats).encode()])
    stem = f"{name}.{fingerprint(os.path.commonpath(files).encode())}"
    path = Path(cache or REPOSITORY / scratch() / "cache") / f"{stem}.{source}.safetensors"
    if not path.is_file():
        parsed = list(read_all(files, parse))
        damaged = [str(error) for error in parsed if isinstance(error, DamagedClip)]
        clips = [clip for clip in parsed if isinstance(clip, Clip)]
        if not clips:
            raise FileNotFoundError(
                f"none of the {len(files)} files of {name} can be read; the first: {damaged[0]}"
            )
        tensors = {
            "skeleton": np.concatenate([clip.skeleton for clip in clips]),
            "visible": np.concatenate([clip.visible for clip in clips]),
            "first": np.cumsum([0, *(len(clip.skeleton) for clip in clips)]),
        }
        about = {"damaged": json.dumps(damaged), "rows": json.dumps([clip[2:] for clip in clips])}
        write_whole(path, save(tensors, about))  # two processes write the same bytes
    store = Store(path)
    for old in set(path.parent.glob(f"{stem}.*.safetensors")) - {path}:
        old.unlink(missing_ok=True)
    if strict and store.damaged:
        raise DamagedClip(store.damaged[0])
    return store
