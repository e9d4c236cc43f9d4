"""Folders of pictures."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from companion.files import DamagedFile
from companion.media import FORMATS

ENDS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def folder(root: str | Path | None, *parts: str) -> Path:
    """A dataset's folder under a root, default $COMPANION_DATA.

    Raises:
        FileNotFoundError: no root, or no such folder in it.
    """
    root = root or os.environ.get("COMPANION_DATA")
    if root is None:
        raise FileNotFoundError(
            f"no data folder: pass root or set COMPANION_DATA to the folder that contains {'/'.join(parts)}"
        )
    place = Path(root, *parts)
    if not place.is_dir():
        raise FileNotFoundError(f"no folder {place}; root must contain {'/'.join(parts)}")
    return place


def pictures(place: Path) -> list[Path]:
    """The pictures in a folder and in those below it, sorted.

    Raises:
        FileNotFoundError: there are none.
    """
    found = sorted(path for path in place.rglob("*") if path.suffix.lower() in ENDS and path.is_file())
    if not found:
        raise FileNotFoundError(f"no picture in {place}; files that end in {', '.join(ENDS)} are meant")
    return found


def size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, upright, from its first bytes.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is no picture.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as file:
                width, height = file.size
                turned = file.getexif().get(0x0112, 1) in (5, 6, 7, 8)  # what EXIF calls orientation
    except Exception as error:  # each of Pillow's decoders has its own
        raise DamagedFile(f"{path} is no picture ({error}); get the file again") from None
    return (width, height) if turned else (height, width)


def sizes(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Of each picture."""
    return [size(path) for path in paths]


def refuse_others(paths: Sequence[Path], of: tuple[int, int]) -> None:
    """See that all pictures have the height and width of their dataset.

    Raises:
        DamagedFile: one has not.
    """
    for path, (height, width) in zip(paths, sizes(paths), strict=True):
        if (height, width) != of:
            raise DamagedFile(
                f"{path} has {width} x {height} pixels, not {of[1]} x {of[0]}; get the file again"
            )
