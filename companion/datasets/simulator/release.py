"""A small simulated release of NTU RGB+D: skeleton text, names and folders as in the real one.

    <folder>/ntu/nturgb+d_skeletons/SsssCcccPpppRrrrAaaa.skeleton
    <folder>/ntu/simulated.json      the manifest: what the actions are called, and of each clip which joints
                                     act in which frames

Twenty people perform each action twice, each time before one of the three cameras, which see them from
three directions. Positions carry 8 mm of noise.
"""

import json
import shutil
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from companion import skeleton
from companion.datasets.simulator import body
from companion.files import REPOSITORY, fingerprint, scratch, write_whole

SUBJECTS, REPETITIONS, SEED = 20, 2, 0
CAMERAS = (-45.0, 0.0, 45.0)  # degrees from where the people face
NOISE = 0.008  # metres
MANIFEST = "simulated.json"
BODY_LINE = "72057594037927936 0 1 1 1 1 0 0 0 2"
DEPTH, COLOUR = (365.0, 256.0, 212.0), (1060.0, 960.0, 540.0)  # focal length and centre, pixels


def before_camera(poses: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """From the body's axes to a Kinect's: x to its left, y up, z away from it, in metres.

    Its pictures are mirrored: their columns grow with x, and who faces it has the right hand on the right.
    """
    angle = np.radians(degrees + rng.normal(0, 8))
    x, y, z = np.moveaxis(poses, -1, 0)
    right, towards = -(np.cos(angle) * x + np.sin(angle) * z), np.cos(angle) * z - np.sin(angle) * x
    place = [rng.normal(0, 0.3), -1.0, rng.uniform(2.5, 3.5)]
    return np.stack([right, y, -towards], -1) + place + rng.normal(0, NOISE, poses.shape)


def text(poses: np.ndarray) -> str:
    """A clip T J 3 of one body in NTU's format."""
    x, y, z = np.moveaxis(poses, -1, 0)
    pixels = [
        part for f, cx, cy in (DEPTH, COLOUR) for part in (cx + f * x / z, cy - f * y / z)
    ]  # the cameras' own distance is left out
    rows = np.stack([x, y, z, *pixels], -1)
    joint = "%.7g %.7g %.7g %.7g %.7g %.7g %.7g 1 0 0 0 2\n"
    frame = f"1\n{BODY_LINE}\n{poses.shape[1]}\n" + joint * poses.shape[1]
    return f"{len(poses)}\n" + (frame * len(poses)) % tuple(rows.ravel().tolist())


def write(folder: Path) -> None:
    """Write the whole release into an empty folder."""
    people = [body.offsets(np.random.default_rng([SEED, subject])) for subject in range(SUBJECTS)]
    clips = {}
    for number, (action, subject, repetition) in enumerate(
        product(body.ACTIONS, range(SUBJECTS), range(REPETITIONS))
    ):
        rng, camera = np.random.default_rng([SEED, SUBJECTS, number]), number % len(CAMERAS)
        poses, (first, end) = body.perform(action, people[subject], int(rng.integers(30, 51)), rng)
        name = (
            f"S001C{camera + 1:03}P{subject + 1:03}R{repetition + 1:03}"
            f"A{list(body.ACTIONS).index(action) + 1:03}"
        )
        path = folder / "ntu/nturgb+d_skeletons" / f"{name}.skeleton"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(before_camera(poses, CAMERAS[camera], rng)))
        clips[name] = {"joints": np.flatnonzero(body.moved(action)).tolist(), "frames": [first, end]}
    manifest = {"actions": list(body.ACTIONS), "clips": clips}
    write_whole(folder / "ntu" / MANIFEST, json.dumps(manifest))


def release() -> Path:
    """The root of the release, written by the first call; of two at once the first to end is kept."""
    code = [Path(module.__file__) for module in (sys.modules[__name__], body, skeleton)]
    folder = REPOSITORY / scratch() / f"simulated-{fingerprint([path.read_bytes() for path in code])}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            write(made)
            made.chmod(0o755)
            made.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder


def manifest(files: list[Path]) -> dict | None:
    """What the simulator wrote beside skeleton files; None of a real release."""
    path = files[0].parents[1] / MANIFEST
    return json.loads(path.read_text()) if path.is_file() else None
