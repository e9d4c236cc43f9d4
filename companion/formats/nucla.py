"""Northwestern-UCLA Multiview Action 3D (Wang, Nie, Xia, Wu, Zhu, CVPR 2014): 10 classes, 20 joints, metres.

root/nucla/all_sqe/aAA_sSS_eEE_vVV.json      action, subject, repetition, view: as CTR-GCN distributes it

In this copy all clips of actions 2 and 3 from view 3 are the very files of view 2. By default such a clip is
not tested where the other view trains; the strict protocols test all clips, and there it does not train.
"""

import json
import re
from pathlib import Path

import numpy as np

from companion.files import DamagedFile
from companion.formats.clips import Clip, SkeletonFormat, find, make
from companion.skeleton import KINECT_V1 as TREE

CLASSES = (
    *("pick up with one hand", "pick up with two hands", "drop trash", "walk around", "sit down"),
    *("stand up", "donning", "doffing", "throw", "carry"),
)
ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)  # of the names, in the order of the labels
NAME = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)_v(0[1-3])")
STRICT = "-strict"
VIEWS = {"V12_3": (1, 2), "V13_2": (1, 3), "V23_1": (2, 3)}  # for training


def files(root: str | Path | None = None) -> list[Path]:
    """The dataset's files under a root, default $COMPANION_DATA."""
    return find(root, "nucla/all_sqe", "*.json")


def parse(path: Path) -> Clip:
    """The clip of one file."""
    named = NAME.fullmatch(path.stem)
    if not named:
        raise DamagedFile(f"{path} is not named aAA_sSS_eEE_vVV.json, v01 to v03; rename or remove it")
    action, subject, _, view = map(int, named.groups())
    try:
        content = json.loads(path.read_bytes())
        skeleton = np.array(content["skeletons"], float)
        label = content["label"]
    except json.JSONDecodeError as error:
        raise DamagedFile(f"{path}, line {error.lineno}: {error.msg}; download it again") from None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise DamagedFile(
            f"{path}, line 1: no object with `skeletons` and `label` ({error}); download it again"
        ) from None
    if skeleton.ndim != 3 or skeleton.shape[1:] != (len(TREE), 3) or not len(skeleton):
        raise DamagedFile(
            f"{path}, line 1: skeletons of shape {skeleton.shape}, not T 20 3; download it again"
        )
    if not np.isfinite(skeleton).all():
        frame = int(np.argwhere(~np.isfinite(skeleton))[0, 0])
        raise DamagedFile(f"{path}, line 1: a coordinate of frame {frame} is not finite; download it again")
    if type(label) is not int or action not in ACTIONS or label != ACTIONS.index(action) + 1:
        raise DamagedFile(
            f"{path}, line 1: label {label!r} does not go with action {action}; download it again"
        )
    visible = np.any(skeleton, -1)
    return make(path, skeleton[:, None], visible[:, None], label - 1, subject, view, named.group())


def split(
    subject: np.ndarray, camera: np.ndarray, protocol: str, fold: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Which clips are tested, the others train; and its view."""
    return ~np.isin(camera, VIEWS[protocol.removesuffix(STRICT)]), camera


def unit(name: str) -> str:
    """The performance of a clip: its name without the view."""
    return name.rpartition("_")[0]


FORMAT = SkeletonFormat(
    name="nucla",
    tree=TREE,
    classes=CLASSES,
    protocols=dict.fromkeys([*VIEWS, f"V12_3{STRICT}", f"V13_2{STRICT}"], 1),
    bodies=1,
    clips=1494,
    where="https://wangjiangb.github.io/my_data.html",
    files=files,
    parse=parse,
    split=split,
    unit=unit,
    strict=frozenset({f"V12_3{STRICT}", f"V13_2{STRICT}"}),
)
