"""A body of 25 joints that performs actions: joint angles over time, and where that puts the joints.

The body stands upright: x to its left, y up, z to where it faces, in metres. An action turns some joints
and so moves those beyond them, in one part of the clip; these joints and frames are known. In all of the
clip the body also sways, and other limbs move a little, as people's do.

Letters: T frames, J = 25 joints.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from companion.skeleton import KINECT_V2 as TREE

ARM = {"elbow": (0.03, -0.27, 0), "wrist": (0, -0.25, 0.02), "hand": (0, -0.08, 0)}
LEG = {"knee": (0, -0.42, 0), "ankle": (0, -0.4, 0), "foot": (0, -0.06, 0.12)}
SIDE = {
    "shoulder": (0.17, -0.03, 0),
    "hip": (0.09, -0.03, 0),
    "hand_tip": (0, -0.08, 0),
    "thumb": (0, -0.04, 0.05),
} | (ARM | LEG)
TRUNK = {
    "spine_base": (0, 0, 0),
    "spine_mid": (0, 0.25, 0),
    "spine_shoulder": (0, 0.25, 0),
    "neck": (0, 0.08, 0),
    "head": (0, 0.17, 0.02),
}


class Motion(NamedTuple):
    """A joint turns about an axis of its own: to the angle and back, or to and fro `cycles` times."""

    joint: str
    axis: str
    degrees: float
    cycles: int = 0


def both(*motions: Motion) -> tuple[Motion, ...]:
    """The motions of the left side, and on the right their mirror image."""
    right = [
        m._replace(joint=m.joint.replace("left", "right"), degrees=m.degrees * (1 if m.axis == "x" else -1))
        for m in motions
    ]
    return (*motions, *right)


WAVE = both(
    *(Motion("shoulder_left", "z", 80), Motion("elbow_left", "z", 70), Motion("elbow_left", "z", 30, 3))
)
RAISE, KICK = both(Motion("shoulder_left", "x", -165)), both(Motion("hip_left", "x", -75))
ACTIONS = {
    "wave with the left hand": WAVE[:3],
    "wave with the right hand": WAVE[3:],
    "raise the right hand": RAISE[1:],
    "raise both hands": RAISE,
    "drink": (Motion("shoulder_right", "x", -50), Motion("elbow_right", "x", -125)),
    "punch": (Motion("shoulder_right", "x", -45, 2), Motion("shoulder_right", "x", -45)),
    "clap": both(Motion("shoulder_left", "x", -70), Motion("shoulder_left", "y", -20, 4)),
    "bow": (Motion("spine_mid", "x", 60),),
    "nod": (Motion("neck", "x", 25, 3),),
    "kick with the left foot": KICK[:1],
    "kick with the right foot": KICK[1:],
    "squat": both(Motion("hip_left", "x", -85), Motion("knee_left", "x", 105)),
}
IDLE = ("shoulder_left", "shoulder_right", "elbow_left", "elbow_right", "hip_left", "hip_right", "neck")


def offsets(rng: np.random.Generator) -> Float[np.ndarray, "J 3"]:
    """From each joint's parent to the joint, of a person whose size and proportions are drawn."""
    lengths = dict(zip(("trunk", "arm", "leg"), rng.normal(1, 0.05, 3), strict=True))
    size, rows = rng.normal(1, 0.06), []
    for name in TREE.joints:
        kind, _, side = name.rpartition("_")
        if side in ("left", "right"):
            part = (
                "leg" if kind in LEG else "arm" if kind in ARM or kind in ("hand_tip", "thumb") else "trunk"
            )
            row = np.array(SIDE[kind]) * [1 if side == "left" else -1, 1, 1]
        else:
            part, row = "trunk", np.array(TRUNK[name])
        rows.append(row * lengths[part])
    return np.stack(rows) * size


def moved(action: str) -> Bool[np.ndarray, " J"]:
    """The joints that an action moves: those beyond the joints that it turns."""
    turned = {TREE.index(motion.joint) for motion in ACTIONS[action]}
    beyond = np.zeros(len(TREE), bool)
    for joint in range(len(TREE)):
        parent = TREE.parents[joint]
        while parent >= 0 and not beyond[joint]:
            beyond[joint] = parent in turned
            parent = TREE.parents[parent]
    return beyond


def place(bones: Float[np.ndarray, "J 3"], angles: Float[np.ndarray, "T J 3"]) -> Float[np.ndarray, "T J 3"]:
    """Where the joints are when each is turned by angles about x, y and z, the lower foot on the ground."""
    T = len(angles)
    turns = Rotation.from_euler("xyz", angles.reshape(-1, 3)).as_matrix().reshape(T, -1, 3, 3)
    world, where = np.empty_like(turns), np.zeros((T, len(bones), 3))
    order = sorted(range(len(bones)), key=depth)
    for joint in order:
        parent = TREE.parents[joint]
        if parent < 0:
            world[:, joint] = turns[:, joint]
            continue
        world[:, joint] = world[:, parent] @ turns[:, joint]
        where[:, joint] = where[:, parent] + world[:, parent] @ bones[joint]
    where[..., 1] -= where[..., 1].min(1, keepdims=True)
    return where


def depth(joint: int) -> int:
    """How many bones a joint is away from the root."""
    return 0 if TREE.parents[joint] < 0 else 1 + depth(TREE.parents[joint])


def perform(
    action: str, bones: Float[np.ndarray, "J 3"], frames: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "T J 3"], tuple[int, int]]:
    """One performance: the joints' places, and the first frame of the action and the one after its last."""
    length = int(frames * rng.uniform(0.4, 0.6))
    first = int(rng.integers(0, frames - length + 1))
    angles = np.zeros((frames, len(TREE), 3))
    sway = gaussian_filter1d(rng.normal(size=angles.shape), 6, axis=0) * np.radians(6)
    time = np.linspace(0, 1, length)
    rise = np.clip(np.minimum(time, 1 - time) / 0.3, 0, 1)
    rise = (1 - np.cos(np.pi * rise)) / 2
    for joint, axis, degrees, cycles in ACTIONS[action]:
        wave = rise * np.sin(2 * np.pi * cycles * time) if cycles else rise
        strength = np.radians(degrees) * rng.normal(1, 0.1)
        angles[first : first + length, TREE.index(joint), "xyz".index(axis)] += strength * wave
    still = [name for name in IDLE if name not in {motion.joint for motion in ACTIONS[action]}]
    for name in rng.choice(still, 2, replace=False):
        phase, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 2)
        wave = np.sin(phase + 2 * np.pi * speed * np.linspace(0, 1, frames))
        angles[:, TREE.index(name), rng.integers(3)] += np.radians(rng.uniform(5, 20)) * wave
    return place(bones, angles + sway), (first, first + length)
