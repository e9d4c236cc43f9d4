"""The file that keeps a dataset parsed.

Reading text again for each training would take longer than the training, so a dataset is parsed once into
one memory-mapped safetensors file, which is made anew when a file of the dataset or the code changes.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from companion import skeleton
from companion.files import REPOSITORY, fingerprint, scratch, write_whole
from companion.formats import clips
from companion.formats.clips import Clip, DamagedClip, read_all


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
    code = [Path(sys.modules[parse.__module__].__file__), Path(clips.__file__), Path(skeleton.__file__)]
    stats = [(str(path), stat.st_size, stat.st_mtime_ns) for path in files for stat in [path.stat()]]
    source = fingerprint([*(path.read_bytes() for path in code), json.dumps(stats).encode()])
    stem = f"{name}.{fingerprint(os.path.commonpath(files).encode())}"
    path = Path(cache or REPOSITORY / scratch() / "cache") / f"{stem}.{source}.safetensors"
    if not path.is_file():
        parsed = list(read_all(files, parse))
        damaged = [str(error) for error in parsed if isinstance(error, DamagedClip)]
        whole = [clip for clip in parsed if isinstance(clip, Clip)]
        if not whole:
            raise FileNotFoundError(
                f"none of the {len(files)} files of {name} can be read; the first: {damaged[0]}"
            )
        tensors = {
            "skeleton": np.concatenate([clip.skeleton for clip in whole]),
            "visible": np.concatenate([clip.visible for clip in whole]),
            "first": np.cumsum([0, *(len(clip.skeleton) for clip in whole)]),
        }
        about = {"damaged": json.dumps(damaged), "rows": json.dumps([clip[2:] for clip in whole])}
        write_whole(path, save(tensors, about))  # two processes write the same bytes
    store = Store(path)
    for old in set(path.parent.glob(f"{stem}.*.safetensors")) - {path}:
        old.unlink(missing_ok=True)
    if strict and store.damaged:
        raise DamagedClip(store.damaged[0])
    return store
