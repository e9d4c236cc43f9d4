"""Saliency in Crowd (Jiang, Xu, Zhao, ECCV 2014): 500 pictures of crowds, 16 observers, every face by hand.

    root/crowd_gaze/stimuli_half/*.jpg, eye/fixations.mat, labels.mat

The fixations are as those of OSIE, in pixels of 1024 x 768; the pictures here are half as large.

    labels{n}.img, faces{k}.left, top, width, height    pixels from 1 of 1024 x 768
    labels{n}.faces{k}.isFrontalFace, isProfileFace, isBackFace, isOccluded
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from companion.files import DamagedFile
from companion.formats import pictures
from companion.formats.fixations import GazeFormat, Recording, recorded
from companion.formats.matlab import DAMAGE, listed, variables
from companion.formats.osie import of_matlab

SIZE = 768, 1024
POSES = ("isFrontalFace", "isProfileFace", "isBackFace")


class Faces(NamedTuple):
    """All faces of a dataset."""

    picture: Int64[np.ndarray, " n"]
    box: Float64[np.ndarray, "n 4"]  # x0 y0 x1 y1; 0 is the middle of the first pixel of 1024 x 768
    pose: Int64[np.ndarray, " n"]  # 0 frontal, 1 profile, 2 from behind
    occluded: Bool[np.ndarray, " n"]


def files(root: str | Path | None = None) -> tuple[list[Path], list[Path]]:
    """The pictures, and the files of fixations and faces, under a root, default $COMPANION_DATA."""
    place = pictures.folder(root, "crowd_gaze")
    beside = [recorded(place / "eye" / "fixations.mat"), recorded(place / "labels.mat")]
    return pictures.pictures(place / "stimuli_half"), beside


def parse(paths: list[Path], beside: list[Path]) -> Recording:
    """What the files hold."""
    pictures.refuse_others(paths, (SIZE[0] // 2, SIZE[1] // 2))
    return of_matlab(paths, beside[0], SIZE)


def faces(paths: list[Path], path: Path) -> Faces:
    """The faces of the file of labels.

    Raises:
        DamagedFile: it is no such file, not a whole one, or about other pictures.
    """
    known, rows = {own.name: n for n, own in enumerate(paths)}, []
    try:
        for entry in listed(variables(path.read_bytes())["labels"]):
            picture = known[str(entry["img"])]
            for face in listed(entry["faces"]):
                left, top, width, height = (
                    float(face[key].item()) for key in ("left", "top", "width", "height")
                )
                pose = [bool(face[key].item()) for key in POSES].index(True)
                box = np.array([left - 1, top - 1, left - 1 + width, top - 1 + height])
                if not (np.isfinite(box).all() and width > 0 and height > 0):
                    raise ValueError(f"a face of {entry['img']} is {width:g} x {height:g}")
                rows.append((picture, box, pose, bool(face["isOccluded"].item())))
        columns = zip(*rows, strict=True)
        return Faces(*(np.array(column) for column in columns))
    except DAMAGE as error:
        raise DamagedFile(f"{path} is no whole file of faces ({error}); get the file again") from None


FORMAT = GazeFormat(
    name="crowd_gaze",
    pictures=500,
    observers=16,
    where="https://github.com/NUS-VIP/saliency-in-crowd",
    files=files,
    parse=parse,
)
