"""NTU RGB+D (Shahroudy, Liu, Ng, Wang, CVPR 2016): skeletons of the 60 actions, 25 joints, in metres.

    root/ntu/nturgb+d_skeletons/SsssCcccPpppRrrrAaaa.skeleton

sss is the setup, ccc the camera, ppp the performer, rrr the repetition, aaa the action.

The text holds the number of frames; for each frame the number of bodies; for each body its id and nine
numbers, the number of joints, and for each joint twelve numbers: x y z, depth x y, colour x y, the
orientation w x y z, and the tracking state (0 not tracked, 1 inferred, 2 tracked).

Letters: T frames, N bodies seen in one frame or another, M bodies kept, J = 25 joints.
"""

import re
from pathlib import Path
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int

from companion.files import DamagedFile
from companion.formats.clips import Clip, SkeletonFormat, find, make
from companion.media import video_length
from companion.ops.compiled import njit
from companion.skeleton import KINECT_V2 as TREE

J, FIELDS, BODY_FIELDS = len(TREE), 12, 9
BODIES = 2  # kept of each clip
FAR, MANY = 1e30, 1 << 18  # no number of metres; no number of frames times bodies
ROW = BODY_FIELDS + J * FIELDS  # numbers of one body in one frame, without id and number of joints
NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
CLASSES = tuple(f"A{number:03}" for number in range(1, 61))
MISSING = "NTU_RGBD_samples_with_missing_skeletons.txt"
TRAIN_SUBJECTS = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
TRAIN_CAMERAS = (2, 3)
ENDS, COUNT, JOINTS, GOES_ON = 1, 2, 3, 4
FAULTS = {
    ENDS: "the file ends too early",
    COUNT: "{!r} is no count or id",
    JOINTS: f"{{!r}} stands for the number of joints, not {J}",
    GOES_ON: "{!r} follows the last frame",
}
PLACE, COLOUR, STATE = slice(0, 3), slice(5, 7), slice(11, 12)  # of a joint's twelve numbers
SIZE = 1080, 1920  # of the colour pictures that the text's numbers refer to
TENS = np.array([float(10**k) for k in range(23)])


class Bodies(NamedTuple):
    """Every body of every frame, as the file has them: R rows."""

    frames: int  # T
    frame: Int[np.ndarray, " R"]
    body: Int[np.ndarray, " R"]  # its id
    state: Float[np.ndarray, "R 9"]  # clipped edges, hands, restricted, lean, tracking
    joints: Float[np.ndarray, "R 25 12"]


def files(root: str | Path | None = None) -> list[Path]:
    """The skeleton files under a root, without those that the authors' list of missing skeletons names.

    Without the list the 302 samples are read as they are, and `parse` refuses those that have no body.
    """
    found = find(root, "ntu/nturgb+d_skeletons", "*.skeleton")
    left_out = ignored(found[0].parents[2])
    return [path for path in found if path.stem not in left_out]


def ignored(root: Path) -> set[str]:
    """Names of clips on the authors' list, which is looked for in `root/ntu` and `root/ntu_meta`."""
    lists = [root / folder / MISSING for folder in ("ntu", "ntu_meta")]
    words = [word for path in lists if path.is_file() for word in path.read_text(encoding="latin-1").split()]
    return {word for word in words if NAME.fullmatch(word)}


@njit(nogil=True, error_model="numpy", inline="always")
@no_type_check
def number(text, at):
    """The word at or after `at`: value, integer value, start, end, and whether only Python can read it.

    A mantissa below 2^53 divided by a power of ten up to 10^22 is rounded once, and so equals what Python
    reads (Clinger, PLDI 1990). Longer ones, positive exponents and anything else are left to Python.
    """
    last = len(text) - 1  # a blank ends the text
    while at < last and text[at] <= 32:
        at += 1
    start = at
    sign = 1 - 2 * (text[at] == 45)
    at += text[at] == 45
    first, mantissa, decimals = at, 0, 0
    while 48 <= text[at] <= 57:
        mantissa = mantissa * 10 + (text[at] - 48)
        at += 1
    digits = at - first
    if text[at] == 46:
        at += 1
        first = at
        while 48 <= text[at] <= 57:
            mantissa = mantissa * 10 + (text[at] - 48)
            at += 1
        decimals = at - first
        digits += decimals
    if text[at] == 101 and text[at + 1] == 45 and 48 <= text[at + 2] <= 57:  # e-5, e-05
        at += 2
        power = 0
        while 48 <= text[at] <= 57 and power < 100:
            power = power * 10 + (text[at] - 48)
            at += 1
        decimals += power
    exact = 0 < digits <= 18 and (decimals == 0 or mantissa < 9007199254740992)
    exact = exact and decimals < len(TENS) and text[at] <= 32
    while text[at] > 32:
        at += 1
    value = sign * mantissa / TENS[decimals] if exact else 0.0
    return value, sign * mantissa, start, at, not exact


@njit(nogil=True, error_model="numpy")
@no_type_check
def walk(text, frame, body, values, slow):
    """Fill one row a body; `slow` says which values Python must read: row, column, start, end.

    Returns: frames, rows, slow values, fault, start and end of the word at fault.
    """
    rows, left = 0, 0
    value, frames, start, at, bad = number(text, 0)
    if bad or value != frames or frames < 0:
        return 0, 0, 0, ENDS if start == at else COUNT, start, at
    for t in range(frames):
        value, bodies, start, at, bad = number(text, at)
        if bad or value != bodies or bodies < 0:
            return 0, 0, 0, ENDS if start == at else COUNT, start, at
        for _ in range(bodies):
            if rows == len(frame):
                return 0, 0, 0, ENDS, len(text), len(text)
            frame[rows] = t
            value, body[rows], start, at, bad = number(text, at)
            if bad or value != body[rows]:
                return 0, 0, 0, ENDS if start == at else COUNT, start, at
            for column in range(values.shape[1]):
                if column == BODY_FIELDS:
                    value, _, start, at, bad = number(text, at)
                    if bad or value != J:
                        return 0, 0, 0, ENDS if start == at else JOINTS, start, at
                values[rows, column], _, start, at, bad = number(text, at)
                if start == at:
                    return 0, 0, 0, ENDS, start, at
                if bad:
                    slow[left] = rows, column, start, at
                    left += 1
            rows += 1
    _, _, start, end, _ = number(text, at)
    return frames, rows, left, GOES_ON if start < end else 0, start, end


def read_skeleton(path: str | Path) -> Bodies:
    """One `.skeleton` file.

    A joint that is not tracked may have no place; it then is where the body's other joints are on average.

    Raises:
        DamagedFile: it is no whole skeleton file; the sentence names file and line.
    """
    text = Path(path).read_bytes()

    def damaged(at: int, fault: str) -> DamagedFile:
        line = text.count(b"\n", 0, at) + 1
        return DamagedFile(f"{path}, line {line}: {fault}; download it again")

    letters = np.frombuffer(text + b"\n", np.uint8)
    most = len(text) // (2 * ROW) + 1  # a number takes two bytes at least
    frame, body = np.empty((2, most), np.int64)
    values, slow = np.empty((most, ROW)), np.empty((len(text) // 2 + 1, 4), np.int64)
    frames, rows, left, fault, start, end = walk(letters, frame, body, values, slow)
    if fault:
        raise damaged(start, FAULTS[fault].format(text[start:end].decode("latin-1")))
    for row, column, start, end in slow[:left].tolist():
        word = text[start:end].decode("latin-1")
        try:
            values[row, column] = float(word)
        except ValueError:
            raise damaged(start, f"{word!r} is no number") from None
    if not frames:
        raise DamagedFile(f"{path}, line 1: the clip has no frames; download it again")
    state, joints = values[:rows, :BODY_FIELDS], values[:rows, BODY_FIELDS:].reshape(rows, J, FIELDS)
    for row, column, start, end in slow[:left].tolist():
        joint, field = divmod(column - BODY_FIELDS, FIELDS)
        if joint < 0 or field >= 3 or abs(values[row, column]) < FAR:
            continue
        if joints[row, joint, STATE] != 0:
            raise damaged(start, f"the {'xyz'[field]} of a joint is {text[start:end].decode('latin-1')}")
        others = joints[row, :, field]
        others = others[abs(others) < FAR]
        joints[row, joint, field] = others.mean() if len(others) else 0
    return Bodies(frames, frame[:rows], body[:rows], state, joints)


def people(bodies: Bodies, near: float = 0.5) -> list[list[int]]:
    """The rows of each person, in time.

    The sensor may lose a person and go on under another id: a body that appears after another has ended,
    with its middle less than `near` metres from where that one was last, is the same person.
    """
    found: list[list[int]] = []
    _, first = np.unique(bodies.body, return_index=True)
    for body in bodies.body[np.sort(first)]:
        rows = np.flatnonzero(bodies.body == body).tolist()
        start = bodies.joints[rows[0], TREE.middle, :3]
        for person in found:
            gone = bodies.frame[person[-1]] < bodies.frame[rows[0]]
            if gone and np.linalg.norm(bodies.joints[person[-1], TREE.middle, :3] - start) < near:
                person += rows
                break
        else:
            found.append(rows)
    return found


def spread(bodies: Bodies, persons: list[list[int]], fields: slice) -> Float[np.ndarray, "T N 25 F"]:
    """Some of the joints' numbers, one column a person; zero in frames that do not list the person."""
    values = bodies.joints[..., fields]
    columns = np.zeros((bodies.frames, len(persons), *values.shape[1:]))
    for n, rows in enumerate(persons):
        columns[bodies.frame[rows], n] = values[rows]
    return columns


def tracks(
    bodies: Bodies, persons: list[list[int]]
) -> tuple[Float[np.ndarray, "T N 25 3"], Bool[np.ndarray, "T N 25"]]:
    """One column a person: positions in metres, and whether a position is given (tracked or inferred)."""
    return spread(bodies, persons, PLACE), spread(bodies, persons, STATE)[..., 0] > 0


def choose(
    skeleton: Float[np.ndarray, "T N 25 3"], visible: Bool[np.ndarray, "T N 25"], most: int = BODIES
) -> list[int]:
    """The columns of the people who act, the one who moves most first.

    As the authors advise (README of shahroudy/NTURGB-D): motion is the variance over time, summed over
    joints and coordinates; a body that is wider than tall is furniture, unless it is the only one.
    """
    seen = np.any(visible, -1)
    motion, upright = [], []
    for n in range(skeleton.shape[1]):
        poses = skeleton[seen[:, n], n]
        width, height = np.ptp(poses[..., :2], axis=1).mean(0)
        motion.append(poses.var(0).sum())
        upright.append(height > width)
    people = [n for n in range(len(motion)) if upright[n]] or list(range(len(motion)))
    return sorted(people, key=lambda n: -motion[n])[:most]


def parse(path: Path) -> Clip:
    """The clip of one file, its people chosen; a clip without a body is damaged."""
    named = NAME.fullmatch(path.stem)
    if not named:
        raise DamagedFile(f"{path} is not named SsssCcccPpppRrrrAaaa.skeleton; rename or remove it")
    _, camera, subject, _, action = map(int, named.groups())
    for what, number, most in (
        ("camera", camera, 3),
        ("subject", subject, 40),
        ("action", action, len(CLASSES)),
    ):
        if not 1 <= number <= most:
            raise DamagedFile(f"{path}: {what} {number} is not one of 1 to {most}; remove it")
    bodies, persons = acting(path)
    skeleton, visible = (padded(columns) for columns in tracks(bodies, persons))
    return make(path, skeleton, visible, action - 1, subject, camera, named.group())


def acting(path: Path) -> tuple[Bodies, list[list[int]]]:
    """What a file holds, and the rows of the people who act, see `choose`.

    Raises:
        DamagedFile: nobody is there, or somebody twice.
    """
    bodies = read_skeleton(path)
    if not len(bodies.body):
        raise DamagedFile(
            f"{path}: no body in any of {bodies.frames} frames; it belongs to the samples to ignore"
        )
    pairs, count = np.unique(np.stack([bodies.frame, bodies.body], 1), axis=0, return_counts=True)
    if count.max() > 1:
        frame, body = pairs[count.argmax()]
        raise DamagedFile(f"{path}: body {body} is twice in frame {frame}; download it again")
    persons = people(bodies)
    if bodies.frames * len(persons) > MANY:
        raise DamagedFile(
            f"{path}: {bodies.frames} frames and {len(persons)} bodies are too many; download it again"
        )
    skeleton, visible = tracks(bodies, persons)
    seen = np.flatnonzero(visible.any((0, 2)))  # a body may be listed and never be tracked
    return bodies, [persons[seen[n]] for n in choose(skeleton[:, seen], visible[:, seen])]


def padded(columns: np.ndarray) -> np.ndarray:
    """Of BODIES people, the missing ones zero."""
    return np.concatenate(
        [
            columns,
            np.zeros_like(columns, shape=(len(columns), BODIES - columns.shape[1], *columns.shape[2:])),
        ],
        1,
    )


def video(path: Path) -> Path:
    """The video of a skeleton file."""
    return path.parents[1] / "nturgb+d_rgb" / f"{path.stem}_rgb.avi"


def filmed(path: Path) -> Clip:
    """The clip of a skeleton file, once its video is found to have as many frames; see `parse`."""
    clip = parse(path)
    matched(path, len(clip.skeleton))
    return clip


def matched(path: Path, frames: int) -> None:
    """Refuse a skeleton file of so many frames whose video is missing or has others.

    Raises:
        DamagedFile: in one sentence.
    """
    try:
        count = video_length(video(path))
    except FileNotFoundError:
        raise DamagedFile(f"{path} has no video {video(path).name}; download it") from None
    if count != frames:
        raise DamagedFile(f"{video(path)} has {count} frames, its skeleton {frames}; download both again")


def unmatched(files: list[Path]) -> list[Path]:
    """Videos beside these skeleton files that belong to none of them, nor to a clip on the authors' list."""
    folder = video(files[0]).parent
    known = {path.stem for path in files} | ignored(files[0].parents[2])
    return sorted(path for path in folder.glob("*_rgb.avi") if path.stem.removesuffix("_rgb") not in known)


def pixels(path: Path) -> tuple[Float[np.ndarray, "T 2 25 2"], Bool[np.ndarray, "T 2 25"]]:
    """Where the joints of `parse` are in the colour picture of 1920 x 1080, and whether that is given.

    Raises:
        DamagedFile: as `parse`.
    """
    bodies, persons = acting(path)
    places = padded(spread(bodies, persons, COLOUR))
    given = padded(tracks(bodies, persons)[1]) & np.isfinite(places).all(-1)
    return np.where(given[..., None], places, 0), given


def split(
    subject: np.ndarray, camera: np.ndarray, protocol: str, fold: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Which clips are tested, the others train; and its subject or camera."""
    unit, train = (camera, TRAIN_CAMERAS) if protocol == "cross_view" else (subject, TRAIN_SUBJECTS)
    return ~np.isin(unit, train), unit


def unit(name: str) -> str:
    """The performance of a clip: its name without the camera."""
    return name[:4] + name[8:]


FORMAT = SkeletonFormat(
    name="ntu",
    tree=TREE,
    classes=CLASSES,
    protocols={"cross_subject": 1, "cross_view": 1},
    bodies=BODIES,
    clips=56_880,
    where="https://rose1.ntu.edu.sg/dataset/actionRecognition/",
    files=files,
    parse=parse,
    split=split,
    unit=unit,
    beside=lambda files: [path for path in map(video, files) if path.is_file()],
)
