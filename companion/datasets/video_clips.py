"""Whole frames of clips, beside the people in them and what decides: NTU's videos, real or simulated, and
those of Northwestern-UCLA, of which neither is known.

The frames are read once and kept in one memory-mapped file, see `companion.datasets.cache`; of a backbone at
rest, what it makes of them is kept instead, in 16 bits.

Letters: B clips of a batch, T frames, M bodies, J joints, E = 2 things that may decide, H W a frame's size,
D h w a feature map's, F joints that a network finds, N frames of all.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from inspect import getsource
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int, UInt8
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils.data import Dataset

from companion import media
from companion.code import closure, semantics
from companion.datasets import cache, sources
from companion.datasets.hands import MOST, evidence
from companion.datasets.skeletons import SPLITS, Skeletons
from companion.files import DamagedFile, fingerprint
from companion.formats import ntu, nucla_rgb
from companion.simulator.release import redrawn

TRAINING = ("train", "fit")
# Frames that a network sees at once on a CPU, where larger maps are slow to come by memory for, and on a GPU.
PART = 8, 200


class Clips(NamedTuple):
    """A batch. Places are x y in units of half the picture, from -1 to 1; NaN where something is not seen."""

    frames: UInt8[Tensor, "B T 3 H W"] | Float16[Tensor, "B T D h w"]  # or what a backbone made of them
    label: Int[Tensor, " B"]
    joints: Float[Tensor, "B T M J 2"]  # for training only; M is 0 where they are not known
    boxes: Float[Tensor, "B T E 4"] | None = None  # x0 y0 x1 y1 of what decides, for scoring only
    acting: Bool[Tensor, "B T"] | None = None  # the action is going on
    context: Float[Tensor, "B T D2"] | None = None  # what a network tells of each frame, and where it finds
    found: Float[Tensor, "B T 2 F 2"] | None = None  # joints of two bodies


class VideoClips(Dataset):
    """One side of a protocol.

    Args:
        source: simulated, ntu or nucla.
        split, protocol, fold, seed, root, strict: as of `companion.datasets.skeletons.Skeletons`; but fit and
            validation never share a person, across views neither.
        frames: T. The clip is cut into so many equal parts, and of each one frame is shown: a random one in
            training, else that in its middle.
        every: of how many frames one is kept.
        size: H W that the frames are scaled to.
        repetitions: only those up to this number; 0: all.
        limit: bytes that the frames of one side may take.

    Raises:
        DamagedFile: a skeleton without a video, or a video that cannot be read or has another length, if
            strict; else the clip is left out, and named in `damaged`.
        ValueError: the frames would take more than the limit; and see `Skeletons`.
    """

    def __init__(
        self,
        source: str,
        split: str,
        protocol: str,
        fold: int = 0,
        seed: int = 0,
        root: str | Path | None = None,
        *,
        strict: bool = True,
        frames: int = 8,
        every: int = 1,
        size: tuple[int, int] = (90, 160),
        repetitions: int = 0,
        limit: int = 16 << 30,
    ) -> None:
        every_clip = (
            nucla(split, protocol, root)
            if source == "nucla"
            else ntus(source, split, protocol, fold, seed, root, strict)
        )
        clips = [clip for clip in every_clip.clips if not repetitions or clip.repetition <= repetitions]
        if not clips:
            raise ValueError(
                f"no {split} clip of {protocol} is of repetition {repetitions} or an earlier one"
            )
        how = {"every": every, "size": tuple(size), "limit": limit}
        self.kept = kept([clip.path for clip in clips], every_clip.files, every_clip.frames_of, **how)
        self.damaged = list(dict.fromkeys([*every_clip.damaged, *self.kept.damaged.values()]))
        if self.kept.damaged:
            if strict:
                raise DamagedFile(self.damaged[0])
            warnings.warn(f"{source}: {len(self.kept.damaged)} videos are left out", stacklevel=2)
        whole = [n for n, clip in enumerate(clips) if str(clip.path) not in self.kept.damaged]
        clips = [clips[n] for n in whole]
        self.first, self.lengths = self.kept.first[whole], self.kept.lengths[whole]
        self.paths, self.names, self.units = zip(*((c.path, c.name, c.unit) for c in clips), strict=True)
        self.label, self.classes = torch.tensor([clip.label for clip in clips]), every_clip.classes
        self.frames, self.every, self.training = frames, every, split in TRAINING
        self.seed = (seed, SPLITS.index(split))
        self.shown, self.key, self.described = self.kept.frames, self.kept.key, None
        self.group, self.truth = every_clip.group, None
        if self.group is not None:
            self.truth = [clip.truth or {} for clip in clips]
            self.know(self.truth)
        words = [self.kept.key, str(frames), *self.names, *map(str, self.label.tolist())]
        self.fingerprint = fingerprint([word.encode() for word in words])
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self.label)

    def set_epoch(self, epoch: int) -> None:
        """Draw which frames this epoch shows of each clip."""
        rng = np.random.default_rng([*self.seed, epoch])
        self.drawn = torch.from_numpy(rng.random((len(self), self.frames)))

    def parted(self, frames: int) -> "VideoClips":
        """The same clips, cut into so many parts."""
        other = copy(self)
        other.frames = frames
        other.set_epoch(0)
        return other

    def within(self, indices: Int[Tensor, " B"]) -> Int[Tensor, "B T"]:
        """Which of the clips' kept frames this epoch shows."""
        part = self.lengths[indices, None].double() / self.frames
        inside = self.drawn[indices] if self.training else torch.tensor(0.5, dtype=torch.float64)
        return ((torch.arange(self.frames) + inside) * part).long()

    def __getitems__(self, indices: Sequence[int]) -> Clips:
        i = torch.as_tensor(indices)
        at = self.first[i, None] + self.within(i)
        batch = Clips(self.shown[at], self.label[i], self.kept.joints[at])
        if self.truth is not None:
            batch = batch._replace(boxes=self.boxes[at], acting=self.acting[at])
        if self.described is not None:
            batch = batch._replace(context=self.described[0][at], found=self.described[1][at])
        return batch

    def __getitem__(self, index: int) -> Clips:
        return Clips._make(field if field is None else field[0] for field in self.__getitems__([index]))

    def see(self, net: nn.Module, device: str | torch.device = "cpu") -> None:
        """From now on give what a network at rest makes of the frames instead of the frames.

        Args:
            net: takes frames N 3 H W to feature maps N D h w.
            device: where it is computed; afterwards the network is where it was.
        """
        self.key, file = made("maps", self.kept.key, self.kept.frames, net, device)
        self.shown = file.get_tensor("maps")

    def describe(self, net: nn.Module, device: str | torch.device = "cpu") -> None:
        """From now on give also what a network at rest tells of each frame that is shown.

        Args:
            net: takes what is shown, as clips of one frame, to a tuple with `context` and `found`.
            device: where it is computed; afterwards the network is where it was.
        """
        _, file = made("descriptions", self.key, self.shown, net, device)
        self.described = file.get_tensor("context"), file.get_tensor("found")

    def know(self, truths: list[dict]) -> None:
        """Of each kept frame: the boxes of what decides, and whether it is of the action."""
        self.boxes = torch.full((len(self.kept.joints), MOST, 4), torch.nan)
        self.acting = torch.zeros(len(self.kept.joints), dtype=torch.bool)
        for truth, start in zip(truths, self.first.tolist(), strict=True):
            boxes, seen = (x[:: self.every] for x in evidence(truth))
            here = slice(start, start + len(boxes))
            height, width = truth["size"]
            boxes = in_halves(boxes.unflatten(-1, (2, 2)), height, width).flatten(-2)
            self.boxes[here] = boxes.where(seen[..., None], torch.nan)
            first, end = truth["frames"]
            frames = self.every * torch.arange(len(boxes))
            self.acting[here] = (frames >= first) & (frames < end)

    def film(self, index: int, height: int | None = None) -> UInt8[Tensor, "T H W 3"]:
        """To look at: the pictures of a batch's clip.

        Args:
            height: of the pictures, which are drawn anew for it; only of simulated releases of this code.
        """
        frames, path = (self.every * self.within(torch.tensor([index]))[0]).tolist(), self.paths[index]
        if height:
            return torch.from_numpy(redrawn(path.parents[2], path.stem, height, frames).pictures)
        if path.suffix == ".skeleton":
            return torch.from_numpy(media.read_video(ntu.video(path), frames))
        return torch.from_numpy(nucla_rgb.read(path, frames))


@torch.no_grad()
def made(
    name: str, key: str, shown: Tensor, net: nn.Module, device: str | torch.device
) -> tuple[str, safe_open]:
    """What a network at rest makes of all frames, now or in an earlier call, and its fingerprint.

    Args:
        name: maps, in 16 bits; or descriptions, of a network that gives `context` and `found`.
        key: fingerprint of what is shown.
    """
    device, kind = torch.device(device), type(net)
    weights = fingerprint([value.cpu().numpy().tobytes() for value in net.state_dict().values()])
    code = closure(kind.__module__) if kind.__module__.startswith("companion.") else getsource(kind)
    about = {"weights": weights, "layers": repr(net), "code": code, "device": device.type}
    key = cache.depends([], shown=key, **about)

    def make(rows: cache.Rows) -> dict[str, str]:
        home = next((value.device for value in net.parameters()), device)
        net.to(device)
        try:
            for part in shown.split(PART[device.type == "cuda"]):
                if name == "maps":
                    rows.append(maps=net(part.to(device)).half().cpu().numpy())
                    continue
                told = net(part[:, None].to(device))
                rows.append(context=told.context[:, 0].cpu().numpy(), found=told.found[:, 0].cpu().numpy())
        finally:
            net.to(home)
        return {}

    return key, cache.opened(name, key, make, "pt")


def data_fingerprint(source: str, root: str | Path | None = None) -> str:
    """Of a source's data, without reading them; of pictures and videos names and sizes count.

    Raises:
        ValueError, FileNotFoundError: an unknown source, or nothing there.
    """
    if source != "nucla":
        return sources.data_fingerprint(source, root)
    files = [(clip.name, file) for clip in nucla_rgb.clips(root) for file in nucla_rgb.files(clip.place)]
    return fingerprint([f"{name} {file.name} {file.stat().st_size}".encode() for name, file in files])


class Clip(NamedTuple):
    """One clip of a protocol."""

    name: str
    unit: str
    label: int
    repetition: int
    path: Path  # of its skeleton, or where its pictures are
    truth: dict | None = None


class Listed(NamedTuple):
    """One side of a protocol."""

    clips: list[Clip]
    classes: tuple[str, ...]
    files: Callable[[Path], list[Path]]  # that a clip's frames depend on
    frames_of: Callable[..., tuple[np.ndarray, np.ndarray] | str]
    damaged: Sequence[str] = ()
    group: Bool[Tensor, "C C"] | None = None  # of simulated actions: those that the same motion shows


def ntus(
    source: str, split: str, protocol: str, fold: int, seed: int, root: str | Path | None, strict: bool
) -> Listed:
    """NTU's clips that have a skeleton; of the people who train, one in five validates."""
    side = "train" if split in ("fit", "validation") else split
    body = Skeletons(source, side, protocol, fold, seed, root, strict=strict)
    _, files, about = sources.find(source, root)
    place, group = {path.stem: path for path in files}, None
    if about and body.truth:
        groups = [about["groups"][n] for n in about["actions"]]
        group = torch.tensor([[a == b for b in groups] for a in groups])
    rows = zip(body.names, body.units, body.label.tolist(), body.truth or [None] * len(body), strict=True)
    clips = [Clip(n, unit, k, named(n)[3], place[n], truth) for n, unit, k, truth in rows]
    if side != split:
        people = sorted({named(clip.name)[2] for clip in clips})
        held = people[-max(1, len(people) // 5) :]
        clips = [clip for clip in clips if (named(clip.name)[2] in held) == (split == "validation")]
    return Listed(clips, body.classes, lambda path: [path, ntu.video(path)], frames_of, body.damaged, group)


def nucla(split: str, protocol: str, root: str | Path | None) -> Listed:
    """The clips of Northwestern-UCLA's pictures; none is known to be another one's copy.

    Raises:
        ValueError: an unknown split or protocol.
    """
    form = sources.skeletons("nucla")
    if split not in ("train", "test") or protocol not in form.protocols:
        raise ValueError(
            f"split is {split!r}, protocol {protocol!r}; choose train or test, {' or '.join(form.protocols)}"
        )
    found = nucla_rgb.clips(root)
    subjects, views = (np.array([getattr(clip, key) for clip in found]) for key in ("subject", "view"))
    tested, _ = form.split(subjects, views, protocol, 0)
    clips = [
        Clip(c.name, form.unit(c.name), c.label, int(c.name[9:11]), c.place)
        for c, test in zip(found, tested, strict=True)
        if test == (split == "test")
    ]
    return Listed(clips, form.classes, nucla_rgb.files, pictures_of)


class Kept(NamedTuple):
    """The frames of one side."""

    frames: UInt8[Tensor, "N 3 H W"]
    joints: Float[Tensor, "N M J 2"]
    first: Int[Tensor, " n"]  # frame of each clip
    lengths: Int[Tensor, " n"]
    damaged: dict[str, str]  # path -> what is wrong with it
    key: str  # fingerprint of files and code


def kept(
    paths: Sequence[Path], files: Callable[[Path], list[Path]], read: Callable, limit: int, **how: Any
) -> Kept:
    """The frames of these clips, read now or by an earlier call.

    Args:
        files: that a clip depends on.
        read: see `frames_of`.
        how: what it takes.

    Raises:
        ValueError: they take more than the limit.
        FileNotFoundError: none can be read.
    """
    every = [file for path in paths for file in files(path) if file.is_file()]
    modules = ntu.__name__, nucla_rgb.__name__, cache.__name__, media.__name__
    key = cache.depends(every, *modules, code=semantics(__file__), how=how)

    def clips() -> Iterator[tuple[Path, tuple[np.ndarray, np.ndarray] | str]]:
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:
            for at in range(0, len(paths), 4 * threads):  # so few are in the memory at once
                some = paths[at : at + 4 * threads]
                yield from zip(some, pool.map(partial(read, **how), some), strict=True)

    def make(rows: cache.Rows) -> dict[str, str]:
        lengths, taken, damaged = [], 0, {}
        for path, part in clips():
            if isinstance(part, str):
                damaged[str(path)] = part
                lengths.append(0)
                continue
            rows.append(frames=part[0], joints=part[1])
            lengths.append(len(part[0]))
            taken += part[0].nbytes
            if taken > limit:
                raise ValueError(
                    f"the frames of {len(lengths)} of {len(paths)} clips take {taken / 2**30:.1f} GiB;"
                    " choose a smaller size, keep fewer frames (every), or a larger limit"
                )
        if len(damaged) == len(paths):
            raise FileNotFoundError(
                f"none of the {len(paths)} clips can be read; the first: {damaged[str(paths[0])]}"
            )
        rows.append(lengths=np.array(lengths))
        return damaged

    file = cache.opened("frames", key, make, "pt")
    frames, joints, lengths = map(file.get_tensor, ("frames", "joints", "lengths"))
    return Kept(frames, joints, lengths.cumsum(0) - lengths, lengths, file.metadata() or {}, key)


def frames_of(path: Path, every: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | str:
    """The frames of one clip, T 3 H W, and where its joints are, T M J 2; or what is wrong with it."""
    try:
        places, given = ntu.pixels(path)
        ntu.matched(path, len(places))
        pictures = media.read_video(ntu.video(path), range(0, len(places), every), (size[0], size[1]))
    except DamagedFile as error:
        return str(error)
    joints = in_halves(torch.from_numpy(places[::every]), *ntu.SIZE).float().numpy()
    return pictures.transpose(0, 3, 1, 2), np.where(given[::every, ..., None], joints, np.nan)


def pictures_of(path: Path, every: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | str:
    """As `frames_of`, of nobody's joints."""
    try:
        pictures = nucla_rgb.read(path, range(0, nucla_rgb.length(path), every), (size[0], size[1]))
    except DamagedFile as error:
        return str(error)
    return pictures.transpose(0, 3, 1, 2), np.zeros((len(pictures), 0, 0, 2), np.float32)


def in_halves(places: Float[Tensor, "*n 2"], height: int, width: int) -> Float[Tensor, "*n 2"]:
    """Pixels x y as units of half the picture: -1 and 1 are the centres of the outer pixels."""
    return 2 * places / (torch.tensor([width, height]) - 1) - 1


def in_pixels(places: Float[Tensor, "*n 2"], height: int, width: int) -> Float[Tensor, "*n 2"]:
    """The other way round."""
    return (places + 1) * (torch.tensor([width, height]) - 1) / 2


def named(name: str) -> tuple[int, ...]:
    """Setup, camera, subject, repetition and action of a clip of NTU."""
    found = ntu.NAME.fullmatch(name)
    assert found, name
    return tuple(map(int, found.groups()))
