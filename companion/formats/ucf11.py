"""UCF-11 (YouTube actions): folders of labelled videos (Liu, Luo, Shah, CVPR 2009).

    root/UCF11_updated_mpg/<class>/v_<name>_GG/v_<name>_GG_CC.mpg

GG is the group: clips of one group show the same scene, so a group is tested or trains, never both. The
folder `Annotation` beside the groups is left alone.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from companion import media
from companion.files import DamagedFile
from companion.formats import pictures

FOLDER = "UCF11_updated_mpg"
NAME = re.compile(r"v_(.+)_(\d\d)_(\d\d)\.mpg")
WHERE = "https://www.crcv.ucf.edu/data/UCF_YouTube_Action.php"


class Video(NamedTuple):
    """One clip."""

    path: Path
    label: int
    group: int


def videos(root: str | Path | None = None) -> tuple[list[Video], tuple[str, ...]]:
    """All clips under a root, default $COMPANION_DATA, and the names of the classes.

    Raises:
        FileNotFoundError: there are none.
        DamagedFile: a video whose name is not as above, or not that of its folder.
    """
    top = pictures.folder(root, FOLDER)
    classes = tuple(sorted({place.parent.name for place in top.glob("*/v_*") if place.is_dir()}))
    found = []
    for label, name in enumerate(classes):
        for path in sorted((top / name).glob("v_*/*.mpg")):
            parts = NAME.fullmatch(path.name)
            if not parts or path.parent.name != f"v_{parts[1]}_{parts[2]}":
                raise DamagedFile(f"{path} is not named v_NAME_GG/v_NAME_GG_CC.mpg; rename or remove it")
            found.append(Video(path, label, int(parts[2])))
    if not found:
        raise FileNotFoundError(f"no video <class>/v_NAME_GG/v_NAME_GG_CC.mpg in {top}; get it from {WHERE}")
    return found, classes


def read(
    path: Path, every: int, size: tuple[int, int], code: str = ""
) -> tuple[np.ndarray, np.ndarray] | str:
    """Every so many frames of a clip, T 3 H W, and that no joint is known; or what is wrong with it.

    Args:
        code: of this module, which a cache of what it gives depends on.
    """
    try:
        shown = media.read_video(path, range(0, media.video_length(path), every), (size[0], size[1]))
    except DamagedFile as error:
        return str(error)
    return shown.transpose(0, 3, 1, 2), np.zeros((len(shown), 0, 0, 2), np.float32)
