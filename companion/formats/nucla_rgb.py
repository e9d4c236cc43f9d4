"""The colour pictures of Northwestern-UCLA, in either of its two official archives.

    root/nucla/multiview_action/view_V/aAA_sSS_eEE/*_rgb.jpg         one picture a frame
    root/nucla/multiview_action_videos/aAA/vVV_sSS_eEE.avi           one video a clip

The numbers of pictures have no leading zeros, so they are sorted as numbers. Actions, views and protocols are
those of `companion.formats.nucla`; names are made like its names.

Letters: T frames, H W a picture's size.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from companion import media
from companion.files import DamagedFile
from companion.formats.clips import find
from companion.formats.nucla import ACTIONS

FRAMES = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)")
VIDEO = re.compile(r"v(0[1-3])_s(\d\d)_e(\d\d)")


class Filmed(NamedTuple):
    """One clip."""

    name: str  # aAA_sSS_eEE_vVV
    label: int  # from 0
    subject: int
    view: int
    place: Path  # a folder of pictures, or a video


def clips(root: str | Path | None = None) -> list[Filmed]:
    """All clips under a root, default $COMPANION_DATA, sorted by name; of the videos where both are there.

    Raises:
        FileNotFoundError: neither archive is there.
        DamagedFile: a folder or video whose name is not as above.
    """
    try:
        return sorted(filmed(path) for path in find(root, "nucla/multiview_action_videos", "a*/*.avi"))
    except FileNotFoundError:
        return sorted(filmed(path) for path in find(root, "nucla/multiview_action", "view_[1-3]/a*"))


def filmed(place: Path) -> Filmed:
    """What a path says of its clip."""
    if place.suffix == ".avi":
        named = VIDEO.fullmatch(place.stem)
        parts = named and re.fullmatch(r"a(\d\d)", place.parent.name)
        if not (named and parts):
            raise DamagedFile(f"{place} is not named aAA/vVV_sSS_eEE.avi, v01 to v03; rename or remove it")
        action, (view, subject, repetition) = int(parts[1]), map(int, named.groups())
    else:
        named = FRAMES.fullmatch(place.name)
        if not (named and place.is_dir()):
            raise DamagedFile(f"{place} is no folder named aAA_sSS_eEE; rename or remove it")
        action, subject, repetition = map(int, named.groups())
        view = int(place.parent.name[-1])
    if action not in ACTIONS:
        raise DamagedFile(f"{place} is of action {action}, which the dataset has not; remove it")
    name = f"a{action:02}_s{subject:02}_e{repetition:02}_v{view:02}"
    return Filmed(name, ACTIONS.index(action), subject, view, place)


def pictures(folder: Path) -> list[Path]:
    """The pictures of a clip in the order of their numbers.

    Raises:
        DamagedFile: there is none.
    """
    found = sorted((numbers(path.name), path) for path in folder.glob("*_rgb.jpg"))
    if not found:
        raise DamagedFile(f"{folder} holds no picture *_rgb.jpg; unpack it again")
    return [path for _, path in found]


def numbers(name: str) -> list[int]:
    """All numbers of a name; the first is that of the frame."""
    return [int(word) for word in re.findall(r"\d+", name)]


def length(place: Path) -> int:
    """How many frames a clip has.

    Raises:
        DamagedFile: none, or a video that cannot be read.
    """
    return len(pictures(place)) if place.is_dir() else media.video_length(place)


def files(place: Path) -> list[Path]:
    """What is read of a clip."""
    return pictures(place) if place.is_dir() else [place]


def read(
    place: Path, numbers: Sequence[int], size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "T H W 3"]:
    """Frames of a clip, scaled to H W or as they are.

    Raises:
        DamagedFile: a picture or the video cannot be read, or has no frame of such a number.
    """
    if not place.is_dir():
        return media.read_video(place, numbers, size)
    paths = pictures(place)
    if max(numbers) >= len(paths) or min(numbers) < 0:
        raise DamagedFile(f"{place} has {len(paths)} pictures, no number {max(numbers)}")
    found = []
    for number in numbers:
        picture = Image.fromarray(media.read_image(paths[number]).permute(1, 2, 0).numpy())
        if size:
            picture = picture.resize((size[1], size[0]), Image.Resampling.BOX)
        found.append(np.asarray(picture))
    return np.stack(found)
