"""One folder of files for all that is parsed, cut or seen once: memory-mapped, written whole or not at all.

A file's name ends in the fingerprint of all that it depends on, so that two processes with other files or
other code never share one. Rows are written to disk as they come: what is kept may be larger than the memory.
A file that is cut off, or whose words or counts of rows are damaged, is made anew; one that nobody has opened
for a week is removed.

Letters: T frames, M bodies, J joints.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from companion.code import closure
from companion.files import DamagedFile, fingerprint, scratch, write_whole
from companion.formats.clips import Clip, read_all

DTYPES = {
    "int64": "I64",
    "float32": "F32",
    "float16": "F16",
    "uint8": "U8",
    "bool": "BOOL",
}  # in the order of the format
COUNTS, DIGITS = "I64", 12  # the type of what counts rows; of a fingerprint
WEEK, PIECE = 7 * 24 * 3600, 1 << 20  # seconds, bytes


def depends(files: Iterable[Path], *modules: str, **words: object) -> str:
    """Fingerprint of what a kept file depends on: files as they are on disk, code, and words."""
    stats = [(str(path), stat.st_size, stat.st_mtime_ns) for path in files for stat in [path.stat()]]
    return fingerprint(json.dumps([stats, closure(*modules), words], sort_keys=True).encode())


@contextmanager
def said(folder: Path) -> Iterator[None]:
    """What goes wrong in writing, as one sentence."""
    try:
        yield
    except OSError as error:
        raise type(error)(f"cannot write {folder}: {error.strerror}; choose another folder") from None


class Rows:
    """Tensors that grow along their first axis, in nameless files of a folder."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.files, self.dtype, self.shape = {}, {}, {}

    def append(self, **tensors: np.ndarray) -> None:
        """Rows at the end of each tensor."""
        for name, rows in tensors.items():
            if name not in self.files:
                with said(self.folder):
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self.files[name] = self.stack.enter_context(tempfile.TemporaryFile(dir=self.folder))
                self.dtype[name], self.shape[name] = DTYPES[str(rows.dtype)], [0, *rows.shape[1:]]
            if [DTYPES[str(rows.dtype)], *rows.shape[1:]] != [self.dtype[name], *self.shape[name][1:]]:
                raise ValueError(f"rows of {name} are {rows.dtype} {rows.shape[1:]}, not as those before")
            self.shape[name][0] += len(rows)
            with said(self.folder):
                self.files[name].write(np.ascontiguousarray(rows).data)

    def joined(self, words: dict[str, str]) -> Iterator[bytes]:
        """The bytes of one safetensors file, a piece at a time."""
        names = sorted(self.files, key=lambda name: (list(DTYPES.values()).index(self.dtype[name]), name))
        header: dict[str, object] = {"__metadata__": words} if words else {}
        end = 0
        for name in names:
            start, end = end, end + self.files[name].tell()
            about = {"dtype": self.dtype[name], "shape": self.shape[name]}
            header[name] = about | {"data_offsets": [start, end]}
        header["whole"] = {"dtype": "U8", "shape": [DIGITS], "data_offsets": [end, end + DIGITS]}
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        counts, head = b"", len(text).to_bytes(8, "little") + text
        yield head
        for name in names:
            self.files[name].seek(0)
            while piece := self.files[name].read(PIECE):
                counts += piece if self.dtype[name] == COUNTS else b""
                yield piece
        yield fingerprint([head, counts]).encode()


def whole(path: Path) -> bool:
    """Does a safetensors file end with the fingerprint of its words and counts, as `Rows` writes it?"""
    with path.open("rb") as file:
        size = file.read(8)
        text = file.read(int.from_bytes(size, "little"))
        ends = [one["data_offsets"][1] for one in json.loads(text).values() if one.get("dtype") == COUNTS]
        counts = file.read(max(ends, default=0))
        file.seek(-min(DIGITS, path.stat().st_size), os.SEEK_END)
        return file.read() == fingerprint([size + text, counts]).encode()


def opened(
    name: str, key: str, make: Callable[[Rows], dict[str, str]], framework: str = "numpy"
) -> safe_open:
    """The file of this name and key; where it is absent or damaged it is made.

    Args:
        key: see `depends`.
        make: appends rows, and gives words about them.
        framework: of the tensors, numpy or pt.

    Raises:
        OSError: the folder cannot be written, or what was written there cannot be read.
    """
    path = scratch() / "cache" / f"{name}.{key}.safetensors"
    made = 0  # another process may remove what was just made: it is made twice at most
    while True:
        with suppress(OSError):
            os.utime(path)  # it is in use
        try:
            file = safe_open(path, framework)
            if not whole(path):
                raise SafetensorError("its beginning is damaged")
            return file
        except (FileNotFoundError, SafetensorError) as error:
            if made == 2:
                raise OSError(
                    f"cannot read {path}, which was just written ({error}); choose another folder"
                ) from None
        with ExitStack() as stack:
            rows = Rows(path.parent, stack)
            words = make(rows)
            write_whole(path, rows.joined(words))  # two processes write the same bytes
        made += 1
        for old in path.parent.glob("*.safetensors*"):
            with suppress(OSError):
                if old.stat().st_mtime < time.time() - WEEK:
                    old.unlink()


class Store:
    """The clips of a dataset; each is read from the kept file when it is asked for."""

    def __init__(self, file: safe_open) -> None:
        about = file.metadata()
        self.damaged = json.loads(about["damaged"])  # a sentence a file that could not be read
        self.rows = json.loads(about["rows"])  # label, subject, camera, name
        self.numbers = json.loads(about["numbers"])  # a fingerprint of each clip's coordinates
        self.first = file.get_tensor("first")  # of each clip, and the number of all frames
        self.skeleton, self.visible = file.get_slice("skeleton"), file.get_slice("visible")

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < len(self.rows):
            raise IndexError(f"clip {index} of {len(self.rows)}")
        frames = slice(int(self.first[index]), int(self.first[index + 1]))
        return Clip(self.skeleton[frames], self.visible[frames], *self.rows[index])


def parsed(name: str, files: Sequence[Path], parse: Callable[[Path], Clip], strict: bool = True) -> Store:
    """The clips of `files`, parsed now or by an earlier call.

    Args:
        name: of the dataset.
        parse: reads one file.
        strict: a damaged file is an error; else it is left out and named in `Store.damaged`.

    Raises:
        DamagedFile: a damaged file, if strict.
        FileNotFoundError: none of the files can be read.
    """

    def make(rows: Rows) -> dict[str, str]:
        damaged, about, numbers, first = [], [], [], [0]
        for clip in read_all(files, parse):
            if isinstance(clip, DamagedFile):
                damaged.append(str(clip))
                continue
            rows.append(skeleton=clip.skeleton, visible=clip.visible)
            about.append(clip[2:])
            numbers.append(fingerprint(clip.skeleton.tobytes()))
            first.append(first[-1] + len(clip.skeleton))
        if not about:
            raise FileNotFoundError(
                f"none of the {len(files)} files of {name} can be read; the first: {damaged[0]}"
            )
        rows.append(first=np.array(first))
        return {
            key: json.dumps(value)
            for key, value in (("damaged", damaged), ("rows", about), ("numbers", numbers))
        }

    key = depends(files, parse.__module__, __name__)
    store = Store(opened(f"clips-{name}", key, make))
    if strict and store.damaged:
        raise DamagedFile(store.damaged[0])
    return store
