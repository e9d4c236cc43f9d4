"""Skeletons of the datasets: named joints, trees, left and right, parts, and the tour over a tree.

KINECT_V2   25 joints, NTU RGB+D (Shahroudy et al., CVPR 2016)
KINECT_V1   20 joints, MSR Daily Activity 3D and Northwestern-UCLA
OPENNI      15 joints, SBU Kinect Interaction
"""

from dataclasses import dataclass
from functools import cached_property

# The same joints under the names of KINECT_V2.
TODAY = {
    "torso": "spine_mid",
    "spine": "spine_mid",
    "hip_center": "spine_base",
    "shoulder_center": "spine_shoulder",
}
LIMBS = "shoulder elbow wrist hand hip knee ankle foot".split()


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints.

    Args:
        joints: names in the dataset's order; pairs end in _left and _right.
        parents: index of each joint's parent, -1 for the root.
        middle: the joint that poses are translated to, the middle of the spine.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    middle: int

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, name: str) -> int:
        return self.joints.index(name)

    def found_in(self, other: "Skeleton") -> list[int]:
        """Of each joint its index in a skeleton of more joints.

        Raises:
            ValueError: it lacks a joint.
        """
        names = [name if name in other.joints else TODAY.get(name, name) for name in self.joints]
        lost = [name for name, there in zip(self.joints, names, strict=True) if there not in other.joints]
        if lost:
            raise ValueError(f"the skeleton of {len(other)} joints has no {', '.join(lost)}")
        return [other.index(name) for name in names]

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, joint), one fewer than joints."""
        return tuple((parent, joint) for joint, parent in enumerate(self.parents) if parent >= 0)

    def paired(self, bodies: int) -> list[tuple[int, int]]:
        """The bones of several bodies whose joints stand one body after the other."""
        return [(m * len(self) + a, m * len(self) + b) for m in range(bodies) for a, b in self.bones]

    def named(self, bodies: int) -> list[str]:
        """The joints' names in the same order, such as "left hand", or "left hand of body 2"."""
        names = [
            " ".join(reversed(name.rsplit("_", 1))) if "left" in name or "right" in name else name
            for name in self.joints
        ]
        names = [name.replace("_", " ") for name in names]
        return names + [f"{name} of body {m + 1}" for m in range(1, bodies) for name in names]

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Of each joint the one on the other side; a joint of the middle is its own."""
        swap = {"_left": "_right", "_right": "_left"}
        other = [
            next((name.removesuffix(end) + to for end, to in swap.items() if name.endswith(end)), name)
            for name in self.joints
        ]
        return tuple(map(self.index, other))

    @cached_property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """The five parts of Du, Wang and Wang (HBRNN, CVPR 2015): trunk, arms, legs; each joint is in one."""
        parts = {name: [] for name in ("trunk", "left_arm", "right_arm", "left_leg", "right_leg")}
        for joint, name in enumerate(self.joints):
            what, _, side = name.rpartition("_")
            leg = what in ("hip", "knee", "ankle", "foot")
            parts[f"{side}_{'leg' if leg else 'arm'}" if side in ("left", "right") else "trunk"].append(joint)
        return {name: tuple(joints) for name, joints in parts.items()}

    @cached_property
    def tour(self) -> tuple[int, ...]:
        """Closed path that takes each bone forth and back, 2 J - 1 joints (Baradel et al., BMVC 2018)."""

        def walk(joint: int) -> list[int]:
            path = [joint]
            for child, parent in enumerate(self.parents):
                if parent == joint:
                    path += [*walk(child), joint]
            return path

        return tuple(walk(self.parents.index(-1)))


def arm_and_leg(side: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of four joints each, from the trunk outwards."""
    return tuple(f"{limb}_{side}" for limb in LIMBS[:4]), tuple(f"{limb}_{side}" for limb in LIMBS[4:])


(LEFT_ARM, LEFT_LEG), (RIGHT_ARM, RIGHT_LEG) = arm_and_leg("left"), arm_and_leg("right")
BODY = (*LEFT_ARM, *RIGHT_ARM, *LEFT_LEG, *RIGHT_LEG)
V2_ENDS = ("spine_shoulder", "hand_tip_left", "thumb_left", "hand_tip_right", "thumb_right")

KINECT_V2 = Skeleton(
    ("spine_base", "spine_mid", "neck", "head", *BODY, *V2_ENDS),
    (-1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11),
    middle=1,
)
KINECT_V1 = Skeleton(
    ("hip_center", "spine", "shoulder_center", "head", *BODY),
    (-1, 0, 1, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18),
    middle=1,
)
OPENNI = Skeleton(
    (
        *("head", "neck", "torso"),
        *("shoulder_left", "elbow_left", "hand_left", "shoulder_right", "elbow_right", "hand_right"),
        *("hip_left", "knee_left", "foot_left", "hip_right", "knee_right", "foot_right"),
    ),
    (1, 2, -1, 1, 3, 4, 1, 6, 7, 2, 9, 10, 2, 12, 13),
    middle=2,
)
