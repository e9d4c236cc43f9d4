"""SBU Kinect Interaction v2.0 (Yun et al., CVPR workshop 2012): clips of two people, 8 classes, 15 joints.

    root/sbu/sXXsYY/CC/NNN/skeleton_pos.txt

A line holds the number of the frame and 2 people x 15 joints x (x, y, z), normalised. The official inverse
is X = 1280 - 2560 x, Y = 960 - 1920 y, Z = z 10000 / 7.8125, in millimetres. (A widely copied loader takes
Z from y.)
"""

import re
from pathlib import Path

import numpy as np

from companion.files import DamagedFile
from companion.formats.clips import Clip, SkeletonFormat, find, make
from companion.skeleton import OPENNI as TREE

CLASSES = (
    "approaching",
    "departing",
    "kicking",
    "pushing",
    "shaking hands",
    "hugging",
    "exchanging",
    "punching",
)
SETS = (
    "s01s02 s01s03 s01s07 s02s01 s02s03 s02s06 s02s07 s03s02 s03s04 s03s05 s03s06"
    " s04s02 s04s03 s04s06 s05s02 s05s03 s06s02 s06s03 s06s04 s07s01 s07s03"
).split()
FOLDS = (
    (1, 9, 15, 19),
    (5, 7, 10, 16),
    (2, 3, 20, 21),
    (4, 6, 8, 11),
    (12, 13, 14, 17, 18),
)  # of SETS, from 1
NUMBERS = 1 + 2 * len(TREE) * 3


def files(root: str | Path | None = None) -> list[Path]:
    """The dataset's files under a root, default $COMPANION_DATA."""
    return find(root, "sbu", "s*/*/*/skeleton_pos.txt")


def parse(path: Path) -> Clip:
    """The clip of one file; `camera` is the number of its set, the copy's subjects are not known."""
    pair, action, number = path.parts[-4:-1]
    if pair not in SETS or not re.fullmatch(r"0[1-8]", action):
        raise DamagedFile(f"{path}: not a set and a class of SBU, sXXsYY/01 to 08; remove it")
    rows = []
    for line, text in enumerate(path.read_text(encoding="latin-1").rstrip().splitlines(), 1):
        words = text.rstrip(", \t").split(",")
        if len(words) != NUMBERS:
            raise DamagedFile(f"{path}, line {line}: {len(words)} numbers, not {NUMBERS}; download it again")
        try:
            rows.append([float(word) for word in words])
        except ValueError as error:
            raise DamagedFile(f"{path}, line {line}: {error}; download it again") from None
        if not np.isfinite(rows[-1]).all():
            raise DamagedFile(f"{path}, line {line}: a coordinate is not finite; download it again")
    if not rows:
        raise DamagedFile(f"{path}, line 1: the clip has no frames; download it again")
    normal = np.array(rows)[:, 1:].reshape(len(rows), 2, len(TREE), 3)
    x, y, z = np.moveaxis(normal, -1, 0)
    metres = np.stack([1280 - 2560 * x, 960 - 1920 * y, z * 10000 / 7.8125], -1) / 1000
    visible = np.any(normal, -1)
    return make(
        path, metres, visible, int(action) - 1, None, SETS.index(pair) + 1, f"{pair}-{action}-{number}"
    )


def split(
    subject: np.ndarray, camera: np.ndarray, protocol: str, fold: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Which clips are tested, the others train; and each clip's own fold."""
    of_set = {number: fold for fold, numbers in enumerate(FOLDS) for number in numbers}
    unit = np.array([of_set[number] for number in camera])
    return unit == fold, unit


FORMAT = SkeletonFormat(
    name="sbu",
    tree=TREE,
    classes=CLASSES,
    protocols={"five_folds": len(FOLDS)},
    bodies=2,
    clips=282,
    where="https://www3.cs.stonybrook.edu/~kyun/research/kinect_interaction/index.html",
    files=files,
    parse=parse,
    split=split,
    unit=str,
)
