"""Simulated releases of NTU RGB+D: folders, names, skeleton text and videos as in the real one.

    <out>/ntu/nturgb+d_skeletons/SsssCcccPpppRrrrAaaa.skeleton
    <out>/ntu/nturgb+d_rgb/SsssCcccPpppRrrrAaaa_rgb.avi

and what no real release has, see `companion.formats.simulated`.

Each performance is seen by all cameras at once. Ten frames a second. Positions carry noise, some joints are
guessed or lost, and now and then the sensor loses a body for some frames, gives it another id, or takes
furniture for one.

One repetition of one person takes place in one setup: all its actions have the same room, light and cameras.
All actions of one group are then drawn from the same random numbers: the place, the clip's length, the
colours of all things and, but for motion and pair, the poses. So none of these tells which action it is.

Letters: T frames, M bodies, N with what is taken for one, J = 25 joints, H W a picture's size.
"""

import io
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from companion.code import PACKAGE, closure
from companion.files import clear, fingerprint, scratch, write_whole
from companion.formats import simulated
from companion.formats.simulated import MANIFEST, TRUTH, UNFINISHED, fields
from companion.simulator import actions, body, scene
from companion.skeleton import KINECT_V2 as TREE

NOISE = 0.008  # metres
RATE = 10  # frames a second
COLOUR, DEPTH = (1080, 1920), (424, 512)  # the sizes that the text's pixels refer to
DEPTH_FOCAL = 365.0


@dataclass(frozen=True)
class Release:
    """What a release holds.

    Args:
        groups: of actions.
        subjects: people, with NTU's numbers 1, 2, ...
        cameras: 1 to 3.
        repetitions: of each action by each person.
        setups: rooms with cameras, which the repetitions of all people share; NTU has 17.
        left_handed: share of the people; at 0.5, attention gains nothing by looking always at the same hand.
        frames: of a clip at least; at most a quarter more.
        height: of the videos, 16:9; 0 writes no videos.
        seed: of everything.

    Raises:
        ValueError: a number that is no release; the sentence names it.
    """

    groups: Sequence[str] = actions.GROUPS
    subjects: int = 16
    cameras: int = 3
    repetitions: int = 1
    setups: int = 10
    left_handed: float = 0.2
    frames: int = 24
    height: int = 90
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        for group in self.groups:
            if group not in actions.GROUPS:
                raise ValueError(f"unknown group {group!r}; choose of {', '.join(actions.GROUPS)}")
        for name, low, high in (
            *(("subjects", 1, 40), ("cameras", 1, len(scene.CAMERAS)), ("repetitions", 1, 999)),
            *(
                ("setups", 1, 17),
                ("left_handed", 0, 1),
                ("frames", 8, 10_000),
                ("height", 0, 1080),
                ("seed", 0, 2**32),
            ),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; choose {low} to {high}")
        if self.height % 2 or 0 < self.height < 32:
            raise ValueError(f"height is {self.height}; choose an even number from 32, or 0 for no videos")

    def performances(self) -> list[tuple[actions.Action, int, int]]:
        """Action, subject and repetition."""
        chosen = [action for action in actions.ACTIONS if action.group in self.groups]
        return list(product(chosen, range(1, self.subjects + 1), range(1, self.repetitions + 1)))


SKELETONS = Release(groups=("motion",), subjects=20, frames=30, height=0)


class Drawn(NamedTuple):
    """One performance, before a camera has seen it."""

    action: actions.Action
    people: tuple[body.Person, body.Person]
    done: actions.Performance
    setup: scene.Setup
    stage: scene.Stage
    seed: tuple[int, ...]
    names: list[str]  # of its clips, one a camera

    def see(self, camera: int) -> Float[np.ndarray, "T M J 3"]:
        """The poses in a camera's axes."""
        return self.setup.cameras[camera].on(self.stage).see(self.done.poses)

    def film(self, camera: int, height: int, frames: Sequence[int] | None = None) -> scene.Film:
        """What a camera takes, 16:9."""
        size, grain = (
            (height, (height * 16 // 9 + 1) // 2 * 2),
            np.random.default_rng([*self.seed, camera, 1]),
        )
        where = self.setup, self.stage, camera
        return scene.film(self.action.group, self.people, self.done, *where, *size, grain, frames)


def draw(release: Release, number: int) -> Drawn:
    """The performance of this number."""
    action, subject, repetition = release.performances()[number]
    seed = release.seed, subject, repetition
    people = tuple(
        body.person(np.random.default_rng([*seed[:2], who]), release.left_handed) for who in range(2)
    )
    dealt = np.random.default_rng([release.seed, 7]).permutation(release.subjects * release.repetitions)
    turn, setup = divmod(int(dealt[(subject - 1) * release.repetitions + repetition - 1]), release.setups)
    rng = np.random.default_rng([*seed, actions.GROUPS.index(action.group), 9])  # whichever action it is
    T = int(rng.integers(release.frames, release.frames * 5 // 4 + 1))
    stage = scene.stage(action.group in ("two", "pair"), rng)
    done = actions.perform(action, people, T, rng, setup + turn)
    room = scene.setup(np.random.default_rng([release.seed, setup, 8]))
    names = [
        f"S{setup + 1:03}C{camera + 1:03}P{subject:03}R{repetition:03}A{action.number:03}"
        for camera in range(release.cameras)
    ]
    return Drawn(action, people, done, room, stage, (*seed, action.number), names)


def redrawn(root: str | Path, clip: str, height: int, frames: Sequence[int] | None = None) -> scene.Film:
    """A stored clip's pictures in another size, drawn from the scene that its video was drawn from.

    Args:
        clip: its name.
        frames: that are drawn; default all.

    Raises:
        ValueError: no such clip, or the release was written by other code.
    """
    about = simulated.manifest(root)
    release = Release(**about["release"]) if about else None
    if release is None or about["key"] != key(release):
        raise ValueError(f"{root} was not simulated by this code; simulate it anew to draw larger pictures")
    for number, (action, subject, repetition) in enumerate(release.performances()):
        if clip.endswith(f"P{subject:03}R{repetition:03}A{action.number:03}"):
            drawn = draw(release, number)
            if clip in drawn.names:
                return drawn.film(drawn.names.index(clip), height, frames)
    raise ValueError(f"{root} has no clip {clip}")


def text(joints: Float[np.ndarray, "T M J 12"], ids: list[list[tuple[int, int]]]) -> str:
    """Clip in NTU's format.

    Args:
        ids: of each frame, the bodies that it lists: id, and index of M.
    """
    line = " ".join(["%.7g"] * 11) + " %d\n"
    parts = [f"{len(joints)}\n"]
    for frame, listed in zip(joints, ids, strict=True):
        parts.append(f"{len(listed)}\n")
        for number, m in listed:
            parts.append(f"{number} 0 1 1 1 1 0 0 0 2\n{len(frame[m])}\n")
            parts.append((line * len(frame[m])) % tuple(frame[m].ravel().tolist()))
    return "".join(parts)


def sense(
    poses: Float[np.ndarray, "T M J 3"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "T N J 12"], list[list[tuple[int, int]]]]:
    """What the sensor makes of poses in the camera's axes, and which bodies it lists in which frame."""
    T, M, J, _ = poses.shape
    state = np.full((T, M, J), 2)
    for m in range(M):  # a joint is guessed for a while, or lost
        for _ in range(rng.poisson(2)):
            start, length = rng.integers(T), rng.integers(2, 8)
            state[start : start + length, m, rng.integers(J)] = rng.choice([0, 1], p=[0.3, 0.7])
    spread = np.where(state == 2, NOISE, 4 * NOISE)[..., None]
    places = poses + rng.normal(0, 1, poses.shape) * spread
    ids = [[(72057594037927936 + 10 * m, m) for m in range(M)] for _ in range(T)]
    if rng.random() < 0.05:  # somebody is lost for some frames and comes back under another id
        start, length = int(rng.integers(2, T - 4)), int(rng.integers(1, 4))
        for t in range(start, T):
            ids[t] = [(number + 5 * (m == 0), m) for number, m in ids[t] if m or t >= start + length]
    if rng.random() < 0.05:  # a box is taken for a body
        wide = np.array([-0.8, -0.6, 2.8]) + rng.uniform(-0.5, 0.5, (J, 3)) * [1.2, 0.3, 0.2]
        places = np.concatenate([places, np.broadcast_to(wide, (T, 1, J, 3))], 1)
        state = np.concatenate([state, np.ones((T, 1, J), int)], 1)
        for t in range(int(rng.integers(T // 2)), T):
            ids[t].append((72057594037928936, M))
    parents = [max(parent, 0) for parent in TREE.parents]
    x, y, z = np.moveaxis(places, -1, 0)
    pixels = [
        np.stack([DEPTH[1] / 2 + DEPTH_FOCAL * x / z, DEPTH[0] / 2 - DEPTH_FOCAL * y / z], -1),
        scene.project(places, *COLOUR),
    ]
    turns = upright(places - places[..., parents, :])
    return np.concatenate([places, *pixels, turns, state[..., None]], -1), ids


def upright(bones: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 4"]:
    """The shortest turn w x y z that takes the y axis to each bone; none where there is no bone."""
    x, y, z = np.moveaxis(bones, -1, 0)
    length = np.linalg.norm(bones, axis=-1)
    turns = np.stack([length + y, z, np.zeros_like(x), -x], -1)
    turns[length + y < 1e-9] = [0, 1, 0, 0]  # straight down: half a turn
    return turns / np.linalg.norm(turns, axis=-1, keepdims=True)


def encode(pictures: UInt8[np.ndarray, "T H W 3"]) -> bytes:
    """An AVI file with H.264 and B-frames, as NTU's are; one thread, so that the bytes do not vary."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as video:
        stream = video.add_stream("libx264", rate=RATE)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        stream.options = {"preset": "ultrafast", "bf": "2", "crf": "20"}
        for picture in pictures:
            video.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        video.mux(stream.encode())
    return file.getvalue()


def perform(release: Release, out: Path, number: int) -> None:
    """Write one performance's clips, as all cameras see it; what stands already is left alone."""
    drawn = draw(release, number)
    if all((out / "ntu" / TRUTH / f"{clip}.json").is_file() for clip in drawn.names):
        return
    done = drawn.done
    for camera, clip in enumerate(drawn.names):
        poses = drawn.see(camera)
        sensed = sense(poses, np.random.default_rng([*drawn.seed, camera]))
        written = {f"nturgb+d_skeletons/{clip}.skeleton": text(*sensed).encode()}
        truth = {
            "action": drawn.action.name,
            "group": drawn.action.group,
            "setup": int(clip[1:4]),
            "distance": np.linalg.norm(poses[:, :, TREE.middle], axis=-1).mean(0).round(3).tolist(),
            "frames": done.frames,
            "joints": [np.flatnonzero(joints).tolist() for joints in done.joints],
        }
        if release.height:
            film = drawn.film(camera, release.height)
            size = film.pictures.shape[1:3]
            written[f"nturgb+d_rgb/{clip}_rgb.avi"] = encode(film.pictures)
            truth |= {
                "size": size,
                "pose": scene.project(poses, *size).round(1).tolist(),
                "evidence": [
                    {"thing": thing.kind, "box": box.round(1).tolist(), "visible": visible.round(2).tolist()}
                    for thing, box, visible in zip(done.evidence, film.boxes, film.visible, strict=True)
                ],
                "shown": {kind: share.round(5).tolist() for kind, share in film.shown.items()},
            }
        for path, content in written.items():  # they count once the truth of the clip stands
            write_whole(out / "ntu" / path, content, sync=False)
        truth["files"] = {path: fingerprint(content) for path, content in written.items()}
        write_whole(out / "ntu" / TRUTH / f"{clip}.json", json.dumps(truth))


def simulate(out: str | Path, release: Release, processes: int | None = None) -> Path:
    """Write a release, or what is left to write of it.

    Args:
        out: folder that will contain `ntu`.
        processes: that write at once; default one a core. Their number changes no byte.

    Raises:
        DamagedFile: the manifest of what stands there is none.
        ValueError: the folder holds something else.
        OSError: a file cannot be written, or a process was ended.
    """
    out = Path(out).resolve()
    manifest, unfinished = out / "ntu" / MANIFEST, out / "ntu" / UNFINISHED
    there = [path for path in (out / "ntu").glob("*") if not path.name.startswith(".")]  # before `stands`
    stands = [about for about in map(read, (unfinished, manifest)) if about]  # in this order
    asked = {"key": key(release), "release": asdict(release) | {"groups": list(release.groups)}}
    if there and not stands:
        raise ValueError(f"{out / 'ntu'} holds other files; choose another folder")
    if stands and stands[-1]["key"] != asked["key"]:
        raise ValueError(f"{out} holds a release of other parameters or code; choose another folder")
    for folder in (out / "ntu").glob("**/"):
        clear(folder)
    if manifest.is_file():
        return out
    write_whole(unfinished, json.dumps(asked))
    numbers = range(len(release.performances()))
    processes = min(processes or len(os.sched_getaffinity(0)), len(numbers))
    with tqdm(total=len(numbers), unit="performances", disable=None) as bar:
        if processes > 1:
            share(release, out, processes, bar.update)
        else:
            for number in numbers:
                perform(release, out, number)
                bar.update()
    truths = sorted((out / "ntu" / TRUTH).glob("*.json"))
    chosen = sorted({action.number: action for action, _, _ in release.performances()}.items())
    asked["actions"] = {str(number): action.name for number, action in chosen}
    asked["groups"] = {str(number): action.group for number, action in chosen}
    asked["fingerprint"] = fingerprint([path.read_bytes() for path in truths])
    write_whole(manifest, json.dumps(asked, indent=1))
    unfinished.unlink(missing_ok=True)
    return out


def read(path: Path) -> dict | None:
    """What a manifest says, if it is there."""
    try:
        return fields(path, {"key": str})
    except FileNotFoundError:
        return None


def share(release: Release, out: Path, processes: int, done: Callable[[int], object]) -> None:
    """Write performances by so many processes; they end with this one, see `companion.simulator.worker`.

    Args:
        done: is told how many more performances are written.
    """
    words = [sys.executable, "-m", "companion.simulator.worker", str(out), json.dumps(asdict(release))]
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    workers = []
    try:
        for number in range(processes):  # in sessions of their own, so that only this process is interrupted
            call = [*words, str(number), str(processes)]
            workers.append(subprocess.Popen(call, **pipe, cwd=PACKAGE.parent, start_new_session=True))
        with selectors.DefaultSelector() as ready:
            for worker in workers:
                ready.register(worker.stdout, selectors.EVENT_READ, worker)
            while ready.get_map():
                for entry, _ in ready.select():
                    said, worker = os.read(entry.fd, 1 << 16), entry.data
                    if sentence := said.strip():
                        raise OSError(sentence.decode())
                    done(said.count(b"\n"))
                    if not said:
                        ready.unregister(entry.fileobj)
                        if worker.wait():
                            raise ChildProcessError(
                                f"a process that simulates was ended (status {worker.returncode});"
                                " call again, what is written stays"
                            )
    finally:
        for worker in workers:
            worker.stdin.close()  # ends it
        for worker in workers:
            worker.wait()
            worker.stdout.close()


def key(release: Release) -> str:
    """Fingerprint of a release, known before it is written: its parameters, and the code that writes it."""
    return fingerprint(json.dumps([closure(__name__), asdict(release)], sort_keys=True).encode())


def stored(release: Release) -> Path:
    """The root of a release under `results/quick`, written by the first call.

    Two calls at once, or one that was interrupted, do no harm: both write the same bytes, each file whole.
    """
    return simulate(scratch() / f"simulated-{key(release)}", release)
