"""Sources by name: which format reads each, and what its data are, known before anything is parsed.

simulated   written by `companion.simulator` in NTU's format; `root` is the folder of a release
ntu, sbu, nucla, msr_daily      skeleton clips
digits      inside scikit-learn
mnist       idx files
"""

import os
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

from companion.datasets import cache
from companion.files import fingerprint
from companion.formats import mnist, simulated
from companion.formats.clips import SkeletonFormat

SKELETONS = {
    "simulated": "ntu",
    "ntu": "ntu",
    "sbu": "sbu",
    "nucla": "nucla",
    "msr_daily": "msr_daily",
}  # the module of `companion.formats` that reads each
SOURCES = ("digits", "mnist", *SKELETONS)


class Found(NamedTuple):
    """A dataset of skeleton clips on this machine."""

    format: SkeletonFormat
    files: list[Path]
    about: dict | None  # the manifest of a simulated release


def skeletons(source: str) -> SkeletonFormat:
    """The format of a source of skeleton clips; no other one's module is imported.

    Raises:
        ValueError: an unknown source.
    """
    if source not in SKELETONS:
        raise ValueError(f"unknown source {source!r}; choose one of {', '.join(SKELETONS)}")
    return import_module(f"companion.formats.{SKELETONS[source]}").FORMAT


def find(source: str, root: str | Path | None = None) -> Found:
    """The files of a source of skeleton clips under a root, default $COMPANION_DATA.

    Raises:
        FileNotFoundError: no folder, or no file in it.
        ValueError: simulated clips that are called real, or the other way round, or unfinished ones.
    """
    form = skeletons(source)
    if source == "simulated" and root is None:
        raise ValueError(
            "of which release? pass root, the folder that contains its ntu;"
            " `companion data simulate` or `companion.simulator.release.stored` makes one"
        )
    files = form.files(root)
    if SKELETONS[source] != "ntu":
        return Found(form, files, None)
    about = simulated.manifest(files[0].parents[2])
    if (about is not None) != (source == "simulated"):
        kind = "simulated" if about else "not simulated"
        raise ValueError(f"the clips in {files[0].parent} are {kind}; choose another source or root")
    return Found(form, files, about)


def data_fingerprint(source: str, root: str | Path | None = None) -> str:
    """Of a source's data, without parsing them: names and bytes of its files, or the key of a release.

    Of NTU's videos the names and sizes count. It is kept until a file has another size or time.

    Raises:
        ValueError, FileNotFoundError: an unknown source, or see `find`.
    """
    if source not in SOURCES:
        raise ValueError(f"unknown source {source!r}; choose one of {', '.join(SOURCES)}")
    beside, top = [], Path(root or os.environ.get("COMPANION_DATA", ""))
    if source == "digits":
        top = Path(str(distribution("scikit-learn").locate_file("sklearn")))
        files = [top / "datasets/data/digits.csv.gz"]
    elif source == "mnist":
        files = mnist.files(root)
    else:
        form, files, about = find(source, root)
        if about:
            return about["key"]
        beside = form.beside(files)

    def content() -> Iterator[bytes]:
        for path in files:
            yield path.relative_to(top).as_posix().encode()
            yield path.read_bytes()
        for path in beside:
            yield f"{path.relative_to(top).as_posix()} {path.stat().st_size}".encode()

    key = cache.depends([*files, *beside], __name__)
    kept = cache.opened(f"data-{source}", key, lambda rows: {"data": fingerprint(content())})
    return kept.metadata()["data"]
