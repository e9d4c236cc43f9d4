"""What a simulated release has beside NTU's own files: its manifest, and what is true of each clip.

root/ntu/simulated.json                     the manifest, written last: key, parameters, actions
root/ntu/truth/SsssCcccPpppRrrrAaaa.json    what is true of the clip

Of each clip: action and group; setup, and how far each person is from the camera; which joints of whom act,
in which frames. If there is a video: its size, and in its pixels all joints and the boxes of the things that
decide the action (one, two or none), with the share of each that nothing hides; and the share of the picture
that things of each kind fill.

Letters: T frames, M people, J = 25 joints.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from companion.files import DamagedFile, read_json

MANIFEST, UNFINISHED, TRUTH = "simulated.json", "unfinished.json", "truth"
PARAMETERS = {
    **{"groups": list},
    **dict.fromkeys(("subjects", "cameras", "repetitions", "setups"), int),
    **{"left_handed": int | float},
    **dict.fromkeys(("frames", "height", "seed"), int),
}  # of a release
ABOUT = {"key": str, "fingerprint": str, "release": dict, "actions": dict, "groups": dict}
TOLD = {"action": str, "group": str, "setup": int, "joints": list, "frames": list}  # of a clip
JOINTS = 25
ANEW = "delete the release and simulate it anew"


def manifest(root: str | Path) -> dict | None:
    """What the simulator wrote beside the clips under a root; None of a real release.

    Raises:
        ValueError: the simulation was not finished.
        DamagedFile: the manifest is no JSON, or lacks what a present simulator writes.
    """
    folder = Path(root) / "ntu"
    if (folder / UNFINISHED).is_file() and not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder} is not finished; run companion data simulate again")
    path = folder / MANIFEST
    if not path.is_file():
        return None
    about = fields(path, ABOUT)
    fields(path, PARAMETERS, about["release"])
    for name in about["release"].keys() - PARAMETERS.keys():
        raise DamagedFile(f"{path}: {name!r} of its release is unknown; {ANEW}")
    actions, groups = about["actions"], about["groups"]
    if [*actions] != [f"{n}" for n in range(1, 61) if f"{n}" in actions] or actions.keys() != groups.keys():
        raise DamagedFile(f"{path}: its actions are not NTU's numbers in their order; {ANEW}")
    fields(path, dict.fromkeys(actions, str), actions)
    fields(path, dict.fromkeys(groups, str), groups)
    return about


def truth(skeleton: Path, frames: int) -> dict[str, Any]:
    """What is true of the clip of a skeleton file.

    Args:
        frames: of the clip.

    Raises:
        DamagedFile: it is missing, lacks something, or is of another clip.
    """
    path = skeleton.parents[1] / TRUTH / f"{skeleton.stem}.json"
    if not path.is_file():
        raise DamagedFile(f"{path} is missing; {ANEW}")
    about = fields(path, TOLD)
    people = about["joints"]
    lists = len(people) in (1, 2) and all(isinstance(own, list) for own in people)
    if not lists or not all(type(joint) is int and 0 <= joint < JOINTS for own in people for joint in own):
        raise DamagedFile(f"{path}: 'joints' are not those of one person or two; {ANEW}")
    M = len(people)
    shapes = {"frames": (2,), "distance": (M,)}
    filmed = any(name in about for name in ("size", "pose", "evidence", "shown"))
    if filmed:
        shapes |= {"size": (2,), "pose": (frames, M, JOINTS, 2)}
        fields(path, {"evidence": list, "shown": dict}, about)
    wanted = [(about, shapes)]
    for thing in about.get("evidence", ()):
        fields(path, {"thing": str}, thing)
        wanted.append((thing, {"box": (frames, 4), "visible": (frames,)}))  # pyright: ignore[reportArgumentType]
    for told, shapes in wanted:
        for name, shape in shapes.items():
            if not numbers(told.get(name), shape):
                size = " x ".join(map(str, shape))
                raise DamagedFile(f"{path}: {name!r} is not {size} finite numbers; {ANEW}")
    first, end = about["frames"]
    if not (isinstance(first, int) and isinstance(end, int) and 0 <= first <= end <= frames):
        raise DamagedFile(f"{path}: 'frames' is {about['frames']}, not of {frames}; {ANEW}")
    if filmed and min(about["size"]) <= 0:
        raise DamagedFile(f"{path}: 'size' is {about['size']}, no picture's; {ANEW}")
    return about


def fields(path: Path, kinds: Mapping[str, Any], about: Any = None) -> dict[str, Any]:
    """The content of a file, or a part of it that is given, whose fields are there and of these kinds.

    Raises:
        DamagedFile: it is no JSON, or a field is missing or of another kind.
    """
    about = read_json(path, ANEW) if about is None else about
    for name, kind in kinds.items():
        value = about.get(name) if isinstance(about, dict) else None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DamagedFile(f"{path}: {name!r} is missing or wrong; {ANEW}")
    return about


def numbers(values: Any, shape: tuple[int, ...]) -> bool:
    """Are these finite numbers, in lists of this shape?"""
    try:
        array = np.array(values)
    except ValueError:  # of several lengths
        return False
    return array.shape == shape and array.dtype.kind in "if" and bool(np.isfinite(array).all())
