"""A body of 25 joints: joint angles over time, arms that reach for a place, and where that puts the joints.

The body stands upright: x to its left, y up, z to where it faces, in metres.

Letters: T frames, J = 25 joints.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
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
BEYOND = ("elbow", "wrist", "hand", "hand_tip", "thumb")  # what an arm that reaches moves
STRAIGHT = 0.99  # of its length an arm is stretched at most


class Person(NamedTuple):
    """What a performer keeps in all clips."""

    bones: Float[np.ndarray, "J 3"]  # from each joint's parent to the joint
    side: str  # of the hand that does things
    tempo: float  # 1 is average, as are the amplitudes
    amplitude: float
    colours: Float[np.ndarray, "5 3"]  # skin, hair, shirt, trousers, shoes


SKIN = ((241, 194, 160), (224, 172, 125), (198, 134, 90), (141, 85, 50), (95, 60, 40))
HAIR = ((30, 25, 22), (75, 48, 30), (120, 80, 40), (190, 150, 90), (140, 140, 140))


def person(rng: np.random.Generator, left_handed: float = 0.2) -> Person:
    """Somebody, who is left-handed with this probability."""
    lengths = dict(zip(("trunk", "arm", "leg"), rng.normal(1, 0.05, 3), strict=True))
    size, rows = rng.normal(1, 0.05), []
    for name in TREE.joints:
        kind, _, side = name.rpartition("_")
        if side in ("left", "right"):
            part = "leg" if kind in LEG else "arm" if kind in BEYOND else "trunk"
            row = np.array(SIDE[kind]) * [1 if side == "left" else -1, 1, 1]
        else:
            part, row = "trunk", np.array(TRUNK[name])
        rows.append(row * lengths[part])
    colours = np.stack(
        [
            rng.choice(SKIN) * rng.uniform(0.9, 1.05),
            rng.choice(HAIR),
            rng.uniform(30, 225, 3),
            rng.uniform(20, 120, 3),
            rng.uniform(10, 90, 3),
        ]
    )
    side = "left" if rng.random() < left_handed else "right"
    return Person(np.stack(rows) * size, side, rng.normal(1, 0.1), rng.normal(1, 0.1), colours)


def beyond(turned: set[str]) -> Bool[np.ndarray, " J"]:
    """The joints that move when these turn."""
    moved = np.zeros(len(TREE), bool)
    for joint in range(len(TREE)):
        parent = TREE.parents[joint]
        while parent >= 0 and not moved[joint]:
            moved[joint] = TREE.joints[parent] in turned
            parent = TREE.parents[parent]
    return moved


def place(bones: Float[np.ndarray, "J 3"], angles: Float[np.ndarray, "T J 3"]) -> Float[np.ndarray, "T J 3"]:
    """Where the joints are when each is turned by angles about x, y and z, the lower foot on the ground."""
    T = len(angles)
    turns = Rotation.from_euler("xyz", angles.reshape(-1, 3)).as_matrix().reshape(T, -1, 3, 3)
    world, where = np.empty_like(turns), np.zeros((T, len(bones), 3))
    for joint in sorted(range(len(bones)), key=depth):
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


def axes(poses: Float[np.ndarray, "T J 3"]) -> Float[np.ndarray, "T 3 3"]:
    """Columns: to the left, up, and to where the chest faces."""
    left = poses[:, TREE.index("shoulder_left")] - poses[:, TREE.index("shoulder_right")]
    left[:, 1] = 0
    left /= np.linalg.norm(left, axis=-1, keepdims=True)
    up = np.broadcast_to([0.0, 1.0, 0.0], left.shape)
    return np.stack([left, up, np.cross(left, up)], -1)


def reach(
    poses: Float[np.ndarray, "T J 3"],
    side: str,
    target: Float[np.ndarray, "T 3"],
    weight: Float[np.ndarray, " T"],
) -> Float[np.ndarray, "T J 3"]:
    """Bend an arm so that its hand comes to the target, as far as it goes; the elbow points down and out.

    Args:
        side: left or right.
        weight: 0 leaves the hand where it is, 1 brings it to the target.
    """
    poses = poses.copy()
    shoulder, elbow, wrist, hand, tip, thumb = (
        TREE.index(f"{name}_{side}") for name in ("shoulder", *BEYOND)
    )
    start = poses[:, shoulder]
    upper, lower, palm, finger = (
        np.linalg.norm(poses[:, a] - poses[:, b], axis=-1, keepdims=True)
        for a, b in ((elbow, shoulder), (wrist, elbow), (hand, wrist), (tip, hand))
    )
    lower = lower + palm  # the hand goes on where the forearm points
    goal = poses[:, hand] + weight[:, None] * (target - poses[:, hand])
    way = goal - start
    length = np.linalg.norm(way, axis=-1, keepdims=True)
    unit = way / np.maximum(length, 1e-6)
    length = np.clip(length, abs(upper - lower) + 1e-3, STRAIGHT * (upper + lower))
    along = (upper**2 - lower**2 + length**2) / (2 * length)
    body = axes(poses)
    pole = 0.4 * body[..., 0] * (1 if side == "left" else -1) - body[..., 1] - 0.3 * body[..., 2]
    pole -= (pole * unit).sum(-1, keepdims=True) * unit
    pole /= np.maximum(np.linalg.norm(pole, axis=-1, keepdims=True), 1e-6)
    middle = start + along * unit + np.sqrt(np.maximum(upper**2 - along**2, 0)) * pole
    end = start + length * unit
    forearm = (end - middle) / np.linalg.norm(end - middle, axis=-1, keepdims=True)
    across = np.cross(forearm, body[..., 0])
    across /= np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-6)
    out = np.linalg.norm(poses[:, thumb] - poses[:, hand], axis=-1, keepdims=True)
    bent = {
        elbow: middle,
        wrist: middle + (lower - palm) * forearm,
        hand: end,
        tip: end + finger * forearm,
        thumb: end + out * (0.6 * forearm + 0.8 * across),
    }
    used = (weight > 0)[:, None]
    for joint, where in bent.items():
        poses[:, joint] = np.where(used, where, poses[:, joint])
    return poses
