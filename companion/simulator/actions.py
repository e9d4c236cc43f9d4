"""What the simulated people do: NTU's actions, in groups that differ in where the evidence is.

    motion      told apart by how the body moves
    chest       the same motion, another thing in the hands: something is taken out of a crate, held
    face        before the chest or at the head, and put back; twins of all things stay on the counter
    context     the same motion, the thing at which the arm points decides
    two         one holds something, the other points at something; both things together decide
    pair        two people

Within chest, face, context and two the performance is drawn before it is known which of the group's actions
it is: of one generator they are equal in all but the shapes of things, so neither poses nor colours can tell
them apart. All of a group's things are in each of its scenes.

Letters: T frames, M bodies, J = 25 joints.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from companion.simulator import body, things
from companion.simulator.body import Person
from companion.simulator.things import paint
from companion.skeleton import KINECT_V2 as TREE


class Motion(NamedTuple):
    """A joint turns about an axis of its own: to the angle and back, or to and fro `cycles` times."""

    joint: str
    axis: str
    degrees: float
    cycles: int = 0


def flip(motions: tuple[Motion, ...]) -> tuple[Motion, ...]:
    """The mirror image."""
    other = {"left": "right", "right": "left"}
    found = []
    for motion in motions:
        name, _, side = motion.joint.rpartition("_")
        joint = f"{name}_{other[side]}" if side in other else motion.joint
        found.append(motion._replace(joint=joint, degrees=motion.degrees * (1 if motion.axis == "x" else -1)))
    return tuple(found)


def both(*motions: Motion) -> tuple[Motion, ...]:
    """The motions of the right side, and their mirror image."""
    return motions + flip(motions)


class Action(NamedTuple):
    """One of NTU's sixty."""

    number: int
    name: str
    group: str
    motions: tuple[Motion, ...] = ()  # of right-handed people
    thing: str = ""  # that decides, or is given


SIT = (*both(Motion("hip_right", "x", -80), Motion("knee_right", "x", 85)), Motion("spine_mid", "x", 15))
ACTIONS = (
    Action(8, "sitting down", "motion", SIT),
    Action(9, "standing up", "motion", SIT),
    Action(
        10,
        "clapping",
        "motion",
        both(Motion("shoulder_right", "x", -70), Motion("shoulder_right", "y", 20, 4)),
    ),
    Action(22, "cheer up", "motion", both(Motion("shoulder_right", "x", -160))),
    Action(
        23,
        "hand waving",
        "motion",
        (
            Motion("shoulder_right", "z", -80),
            Motion("elbow_right", "z", -70),
            Motion("elbow_right", "z", -30, 3),
        ),
    ),
    Action(24, "kicking something", "motion", (Motion("hip_right", "x", -75),)),
    Action(35, "nod head/bow", "motion", (Motion("spine_mid", "x", 50), Motion("neck", "x", 20))),
    Action(38, "salute", "motion", (Motion("shoulder_right", "z", -85), Motion("elbow_right", "z", -150))),
    Action(
        40,
        "cross hands in front",
        "motion",
        both(Motion("shoulder_right", "x", -65), Motion("shoulder_right", "y", 40)),
    ),
    Action(11, "reading", "chest", thing="book"),
    Action(12, "writing", "chest", thing="pad"),
    Action(29, "playing with phone/tablet", "chest", thing="tablet"),
    Action(1, "drink water", "face", thing="cup"),
    Action(3, "brushing teeth", "face", thing="toothbrush"),
    Action(28, "make a phone call", "face", thing="phone"),
    Action(31, "pointing to something with finger", "context", thing="picture"),
    Action(33, "check time (from watch)", "context", thing="clock"),
    Action(49, "use a fan", "context", thing="fan"),
    Action(53, "holding and pointing, I", "two"),  # the number is NTU's, the action is ours
    Action(57, "holding and pointing, II", "two"),
    Action(60, "holding and pointing, III", "two"),
    Action(54, "point finger at the other person", "pair"),
    Action(55, "hugging other person", "pair"),
    Action(56, "giving something to other person", "pair", thing="parcel"),
    Action(58, "handshaking", "pair"),
)
GROUPS = tuple(dict.fromkeys(action.group for action in ACTIONS))
IDLE = ("shoulder_left", "shoulder_right", "elbow_left", "elbow_right", "hip_left", "hip_right", "neck")
COUNTER = 0.8  # height in metres
CHEST, FACE, CONTEXT = (
    tuple(action.thing for action in ACTIONS if action.group == group)
    for group in ("chest", "face", "context")
)
KINDS = {"chest": CHEST, "face": FACE, "context": CONTEXT, "two": CHEST + CONTEXT, "pair": ("parcel",)}
CRATE = 0.26, 0.18, 0.26  # width, height and depth
NOWHERE = 0, -100, 0  # out of all pictures


class Placed(NamedTuple):
    """A thing in a performance."""

    kind: str  # of `things.THINGS`
    paint: Float[np.ndarray, "2 3"]
    at: Float[np.ndarray, "*t 3"]  # of each moment, if somebody moves it
    axes: Float[np.ndarray, "*t 3 3"]
    stand: bool = False  # on a stand of its own


class Performance(NamedTuple):
    """What happens in one clip, in the axes of its stage: those of a person who stands at the origin.

    Two people stand to both sides of it.
    """

    poses: Float[np.ndarray, "T M J 3"]
    frames: tuple[int, int]  # the first of the action, and the one after its last
    joints: Bool[np.ndarray, "M J"]  # that act
    evidence: tuple[Placed, ...] = ()  # what decides the class, or is given
    others: tuple[Placed, ...] = ()
    counter: Float[np.ndarray, "2"] | None = None  # where there is one: its middle and half its width
    crate: float | None = None  # where it stands on the counter


def ramp(time: np.ndarray, start: int | float, end: int | float) -> np.ndarray:
    """From 0 at the start to 1 at the end, smoothly."""
    share = np.clip((time - start) / (end - start), 0, 1)
    return (1 - np.cos(np.pi * share)) / 2


def stand(T: int, rng: np.random.Generator, still: set[str] = frozenset()) -> np.ndarray:
    """Joint angles T J 3 of somebody who sways, and moves two limbs a little that are not in `still`."""
    angles = gaussian_filter1d(rng.normal(size=(T, len(TREE), 3)), 6, axis=0) * np.radians(6)
    free = [name for name in IDLE if name not in still]
    for name in rng.choice(free, 2, replace=False):
        phase, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 2)
        wave = np.sin(phase + 2 * np.pi * speed * np.linspace(0, 1, T))
        angles[:, TREE.index(name), rng.integers(3)] += np.radians(rng.uniform(5, 20)) * wave
    return angles


def interval(person: Person, T: int, rng: np.random.Generator) -> tuple[int, int]:
    """When the action happens: 40 to 60 % of the clip, for average people."""
    length = int(np.clip(T * rng.uniform(0.4, 0.6) / person.tempo, 4, 0.8 * T))
    first = int(rng.integers(0, T - length + 1))
    return first, first + length


def perform(
    action: Action, people: tuple[Person, Person], T: int, rng: np.random.Generator, turn: int = 0
) -> Performance:
    """One performance; only two and pair need the second person.

    Args:
        turn: a number that counts on in each setup.
    """
    if action.group == "two":
        return together(action, people, T, rng, turn)
    how = {"motion": move, "chest": hold, "face": hold, "context": point, "pair": meet}
    return how[action.group](action, people, T, rng)


def move(action: Action, people: tuple[Person, Person], T: int, rng: np.random.Generator) -> Performance:
    """Turn the joints that the action turns."""
    person = people[0]
    motions = action.motions if person.side == "right" else flip(action.motions)
    turned = {motion.joint for motion in motions}
    first, end = interval(person, T, rng)
    angles = stand(T, rng, turned)
    time = (np.arange(T) - first) / (end - first)
    rise = {"sitting down": ramp(time, 0, 1), "standing up": 1 - ramp(time, 0, 1)}.get(
        action.name, ramp(time, 0, 0.3) * (1 - ramp(time, 0.7, 1))
    )
    for joint, axis, degrees, cycles in motions:
        wave = rise * np.sin(2 * np.pi * cycles * np.clip(time, 0, 1)) if cycles else rise
        strength = np.radians(degrees) * person.amplitude * rng.normal(1, 0.07)
        angles[:, TREE.index(joint), "xyz".index(axis)] += strength * wave
    poses = body.place(person.bones, angles)
    return Performance(poses[:, None], (first, end), body.beyond(turned)[None])


def arm(side: str) -> Bool[np.ndarray, " J"]:
    return body.beyond({f"shoulder_{side}"})


def hold(action: Action, people: tuple[Person, Person], T: int, rng: np.random.Generator) -> Performance:
    """Take a thing out of the crate, hold it before the chest or at the head, put it back."""
    frames = interval(people[0], T, rng)
    kinds = KINDS[action.group]
    return held(action.thing, kinds, action.group == "chest", people[0], frames, T, rng)


def held(
    kind: str,
    kinds: tuple[str, ...],
    chest: bool,
    person: Person,
    frames: tuple[int, int],
    T: int,
    rng: np.random.Generator,
) -> Performance:
    """Somebody behind a counter with a crate and one thing of each kind holds another one of this kind."""
    side, other = (person.side, "left" if person.side == "right" else "right")
    sign = 1 if side == "left" else -1
    first, end = frames
    places = rng.permutation([-0.54, -0.18, 0.18, 0.54])
    paints = [paint(rng) for _ in range(4)]
    axes = leaning(rng.uniform(0.25, 0.6, 4), rng.uniform(-0.2, 0.2, 4))
    high = [CRATE[1] / 2, *(things.below(things.THINGS[twin](*paints[0])) for twin in kinds)]
    spots = np.stack([places, COUNTER + np.array(high), np.full(4, 0.45)], 1)
    spots += rng.uniform(-0.04, 0.04, (4, 3)) * [1, 0, 1]
    time = (np.arange(T) - first) / (end - first)
    weight = ramp(time, -0.3, 0) * (1 - ramp(time, 1, 1.3))
    lifted = ramp(time, 0, 0.25) * (1 - ramp(time, 0.75, 1))
    angles = stand(T, rng, {f"shoulder_{s}" for s in ("left", "right")})
    spine = TREE.index("spine_mid")
    angles[:, spine, 0] += np.radians(22) * weight * (1 - lifted)
    angles[:, spine, 1] += np.radians(40) * spots[0, 0] * weight * (1 - lifted)
    angles[:, TREE.index("neck"), 0] += np.radians(18) * weight
    poses = body.place(person.bones, angles)
    shake = gaussian_filter1d(rng.normal(size=(2, T, 3)), 1.5, axis=1) * 0.03 * person.amplitude
    if chest:
        centre = poses[:, TREE.index("spine_shoulder")] + [0, -0.1, 0.34] + rng.normal(0, 0.03, 3)
        goal = centre + shake[0]
        hands = goal + [sign * 0.12, -0.1, -0.08], goal + [-sign * 0.12, -0.1, -0.08] + shake[1]
    else:
        goal = poses[:, TREE.index("head")] + [sign * 0.09, -0.05, 0.17] + rng.normal(0, 0.025, 3) + shake[0]
        hands = goal + [sign * 0.03, -0.08, -0.05], None
    poses = body.reach(poses, side, spots[0] + lifted[:, None] * (hands[0] - spots[0]), weight)
    joints = arm(side)
    if chest:
        poses = body.reach(poses, other, hands[1], lifted)
        joints |= arm(other)
    at = spots[0] + lifted[:, None] * (goal - spots[0])
    at = np.where(((time >= 0) & (time < 1))[:, None], at, NOWHERE)  # nobody looks into the crate
    taken = Placed(kind, paints[0], at, np.broadcast_to(axes[0], (T, 3, 3)))
    twins = zip(kinds, paints[1:], spots[1:], axes[1:], strict=True)
    standing = tuple(Placed(*twin) for twin in twins)
    return Performance(
        poses[:, None], frames, joints[None], (taken,), standing, np.array([0.0, 0.75]), spots[0, 0]
    )


def leaning(back, around) -> Float[np.ndarray, "*t 3 3"]:
    """Axes of a thing that leans back by so much and then is turned around, in radians."""
    angles = np.stack(np.broadcast_arrays(-np.asarray(back), around), -1)
    return Rotation.from_euler("xy", angles).as_matrix()


def point(action: Action, people: tuple[Person, Person], T: int, rng: np.random.Generator) -> Performance:
    """Point at one of three things, each on a stand of its own."""
    frames, paints = interval(people[0], T, rng), [paint(rng) for _ in range(3)]
    return pointed(action.thing, AROUND, paints, people[0], frames, T, rng)


# Where three things are, to the left and up, and how they are turned to be seen by all cameras; in degrees.
AROUND = ((75, 3, -18), (-75, 3, 18), (0, -40, 0))
ASIDE = ((60, 3, -21), (25, -5, -13), (3, -46, -5))  # none before somebody else, to the right

PAINTS = (((90, 25, 25), (240, 225, 190)), ((200, 190, 235), (30, 40, 95)), ((25, 70, 35), (245, 200, 205)))


def pointed(
    kind: str,
    directions: tuple[tuple[int, int, int], ...],
    paints: Sequence,
    person: Person,
    frames: tuple[int, int],
    T: int,
    rng: np.random.Generator,
) -> Performance:
    """Somebody points at the thing of this kind, which stands in one of three directions."""
    side, (first, end) = person.side, frames
    time = (np.arange(T) - first) / (end - first)
    weight = ramp(time, 0, 0.3) * (1 - ramp(time, 0.7, 1))
    swaying = stand(T, rng, {f"shoulder_{side}"})
    middle = body.place(person.bones, swaying)[:, TREE.index("spine_shoulder")].mean(0)
    length = -person.bones[[TREE.index(f"{name}_right") for name in ("elbow", "wrist", "hand")], 1].sum()
    azimuth, elevation, yaw = np.radians(np.array(directions).T + rng.uniform(-6, 6, (3, 3)))
    away = np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], 1
    )
    beyond = rng.uniform(0.38, 0.55, 3)  # outside crops of the hand, seen from any camera
    spots = middle + (length + beyond)[:, None] * away
    order = rng.permutation(3)  # the first one is pointed at, the others hold the others
    # cross-body the trunk turns, so that the hand comes as near
    target = spots[order[0]] - beyond[order[0]] * away[order[0]]
    twist = np.zeros((T, len(TREE), 3))
    twist[:, TREE.index("spine_mid"), 1] = 0.5 * azimuth[order[0]] * weight
    poses = body.place(person.bones, swaying + twist)
    poses = body.reach(poses, side, np.broadcast_to(target, (T, 3)), weight)
    kinds = [kind, *(other for other in CONTEXT if other != kind)]
    placed = [
        Placed(name, np.array(paints[n]), spots[n] - [0, 0.14, 0], leaning(0, yaw[n]), stand=True)
        for name, n in zip(kinds, order, strict=True)
    ]
    return Performance(poses[:, None], frames, arm(side)[None], (placed[0],), tuple(placed[1:]))


def together(
    action: Action, people: tuple[Person, Person], T: int, rng: np.random.Generator, turn: int
) -> Performance:
    """One holds a thing, the other points at one; how many kinds further it is, in a ring, is the class.

    So each thing by itself is equally often in each class. The held thing is that of the turn, so that each
    is equally often in each setup; and what stands around has the same colours everywhere, so that it is not
    known again: who knows the scene knows the held thing.
    """
    frames, one = interval(people[0], T, rng), turn % 3
    step = [other.number for other in ACTIONS if other.group == action.group].index(action.number)
    taken = held(CHEST[one], CHEST, True, people[0], frames, T, rng)
    shown = pointed(CONTEXT[(one + step) % 3], ASIDE, PAINTS, people[1], frames, T, rng)
    right, left = rng.uniform(0.75, 0.85), rng.uniform(0.35, 0.45)
    taken, shown = shifted(taken, -right), shifted(shown, left)
    return Performance(
        np.concatenate([taken.poses, shown.poses], 1),
        frames,
        np.concatenate([taken.joints, shown.joints]),
        taken.evidence + shown.evidence,
        taken.others + shown.others,
        taken.counter - [right, 0.05],
        taken.crate - right,
    )


def shifted(done: Performance, by: float) -> Performance:
    """People and things of a performance further to the left."""
    way = np.array([by, 0, 0])
    evidence, others = (
        tuple(thing._replace(at=thing.at + way) for thing in placed)
        for placed in (done.evidence, done.others)
    )
    return done._replace(poses=done.poses + way, evidence=evidence, others=others)


TURN = {1: np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]]), -1: np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]])}


def meet(action: Action, people: tuple[Person, Person], T: int, rng: np.random.Generator) -> Performance:
    """Two people face each other, the first one to the right in the room's axes."""
    first, end = interval(people[0], T, rng)
    time = (np.arange(T) - first) / (end - first)
    weight = ramp(time, 0, 0.3) * (1 - ramp(time, 0.7, 1))
    apart = rng.uniform(0.85, 1.05)
    near = np.zeros(T)
    if action.name.startswith("hugging"):
        near = (apart - 0.36) / 2 * weight
    bodies = []
    for person, sign in zip(people, (1, -1), strict=True):
        shoulders = {"shoulder_left", "shoulder_right"}
        poses = body.place(person.bones, stand(T, rng, shoulders)) @ TURN[sign].T
        poses[..., 0] += -sign * (apart / 2 - near)[:, None]
        bodies.append(poses)
    chest = [poses[:, TREE.index("spine_shoulder")] for poses in bodies]
    middle = (chest[0] + chest[1]) / 2 + [0, -0.25, 0]
    joints = np.zeros((2, len(TREE)), bool)
    colours = paint(rng)
    parcel = Placed("parcel", colours, np.array([0.0, 0.84, -0.9]), np.eye(3))
    given = ()
    if action.name == "handshaking":
        shake = 0.05 * np.sin(2 * np.pi * 3 * np.clip(time, 0, 1))[:, None] * [0, 1, 0]
        for n in range(2):
            bodies[n] = body.reach(bodies[n], "right", middle + shake, weight)
            joints[n] = arm("right")
    elif action.name.startswith("point"):
        bodies[0] = body.reach(bodies[0], people[0].side, chest[1] + [0, 0.05, 0], weight)
        joints[0] = arm(people[0].side)
    elif action.name.startswith("hugging"):
        for n in range(2):
            for side, across in (("left", 0.12), ("right", -0.12)):
                back = chest[1 - n] + [0.16 * (1 - 2 * n), -0.15, across * (2 * n - 1)]
                bodies[n] = body.reach(bodies[n], side, back, weight)
        joints[:] = True
    else:
        passed = ramp(time, 0.35, 0.65)[:, None]
        ends = [c + [s * 0.28, -0.3, 0] for c, s in zip(chest, (1, -1), strict=True)]
        carried = ends[0] + passed * (ends[1] - ends[0])
        for n, who in enumerate((1 - ramp(time, 0.6, 0.85), ramp(time, 0.15, 0.4))):
            for side, across in (("left", 0.1), ("right", -0.1)):
                bodies[n] = body.reach(bodies[n], side, carried + [0, 0, across * (2 * n - 1)], who)
            joints[n] = arm("left") | arm("right")
        given = (parcel._replace(at=carried, axes=np.broadcast_to(np.eye(3), (T, 3, 3))),)
    return Performance(np.stack(bodies, 1), (first, end), joints, given, () if given else (parcel,))
