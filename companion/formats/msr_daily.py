"""MSR Daily Activity 3D (Wang, Liu, Wu, Yuan, CVPR 2012): 16 classes, 10 subjects, 20 joints, in metres.

    root/msr_daily/aAA_sSS_eEE_skeleton.txt      action, subject, sitting (01) or standing (02)

The text holds the numbers of frames and joints; for each frame the number of rows, 40 for one body, 80 for
two, 0 for none; for each joint two rows of four: x y z confidence, and u v depth confidence on the screen.
"""

import re
from pathlib import Path

import numpy as np

from companion.files import DamagedFile
from companion.formats.clips import Clip, SkeletonFormat, find, make
from companion.skeleton import KINECT_V1 as TREE

CLASSES = (
    *("drink", "eat", "read book", "call cellphone", "write on a paper", "use laptop"),
    *("use vacuum cleaner", "cheer up", "sit still", "toss paper", "play game", "lie down on sofa"),
    *("walk", "play guitar", "stand up", "sit down"),
)
NAME = re.compile(r"a(0[1-9]|1[0-6])_s(0[1-9]|10)_e(0[12])_skeleton")
TRAIN_SUBJECTS = (1, 3, 5, 7, 9)
J, BODIES = len(TREE), 2


def files(root: str | Path | None = None) -> list[Path]:
    """The dataset's files under a root, default $COMPANION_DATA."""
    return find(root, "msr_daily", "*_skeleton.txt")


def parse(path: Path) -> Clip:
    """The clip of one file; `camera` is 1 sitting, 2 standing."""
    named = NAME.fullmatch(path.stem)
    if not named:
        raise DamagedFile(
            f"{path} is not named aAA_sSS_eEE_skeleton.txt, to a16, s10 and e02; rename or remove it"
        )
    action, subject, pose = map(int, named.groups())
    words = [
        (line, word)
        for line, text in enumerate(path.read_text(encoding="latin-1").splitlines(), 1)
        for word in text.split()
    ]
    at = 0

    def take(n: int) -> list[float]:
        nonlocal at
        if at + n > len(words):
            line = words[-1][0] if words else 1
            raise DamagedFile(f"{path}, line {line}: the file ends too early; download it again")
        numbers = []
        for line, word in words[at : at + n]:
            try:
                numbers.append(float(word))
            except ValueError:
                raise DamagedFile(f"{path}, line {line}: {word!r} is no number; download it again") from None
            if not np.isfinite(numbers[-1]):
                raise DamagedFile(f"{path}, line {line}: {word} is not finite; download it again")
        at += n
        return numbers

    frames, joints = take(2)
    if joints != J or frames < 1 or frames != int(frames) or frames > len(words):
        raise DamagedFile(
            f"{path}, line 1: {frames:g} frames of {joints:g} joints, not of {J}; download it again"
        )
    skeleton = np.zeros((int(frames), BODIES, J, 3))
    visible = np.zeros(skeleton.shape[:3], bool)
    for t in range(int(frames)):
        (rows,) = take(1)
        if rows not in (0, 2 * J, 4 * J):
            line = words[at - 1][0]
            raise DamagedFile(
                f"{path}, line {line}: {rows:g} rows, not 0, {2 * J} or {4 * J}; download it again"
            )
        bodies = int(rows) // (2 * J)
        world = np.array(take(bodies * J * 8)).reshape(bodies, J, 2, 4)[:, :, 0]
        skeleton[t, :bodies], visible[t, :bodies] = world[..., :3], world[..., 3] > 0
    if at < len(words):
        raise DamagedFile(f"{path}, line {words[at][0]}: text follows the last frame; download it again")
    return make(path, skeleton, visible, action - 1, subject, pose, named.group().removesuffix("_skeleton"))


def split(
    subject: np.ndarray, camera: np.ndarray, protocol: str, fold: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Which clips are tested, the others train; and its subject."""
    return ~np.isin(subject, TRAIN_SUBJECTS), subject


def unit(name: str) -> str:
    """The subject of a clip."""
    return name.split("_")[1]


FORMAT = SkeletonFormat(
    name="msr_daily",
    tree=TREE,
    classes=CLASSES,
    protocols={"subjects_odd": 1},
    bodies=BODIES,
    clips=320,
    where="https://sites.google.com/view/wanqingli/data-sets/msr-dailyactivity3d",
    files=files,
    parse=parse,
    split=split,
    unit=unit,
)
