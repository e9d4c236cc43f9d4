"""Whole frames of clips, beside the people in them and what decides: NTU's videos, real or simulated.

The frames are read once and kept in one memory-mapped file, see `companion.datasets.cache`; of a backbone at
rest, what it makes of them is kept instead, in 16 bits.

Letters: B clips of a batch, T frames, M bodies, J joints, E = 2 things that may decide, H W a frame's size,
D h w a feature map's, N frames of all.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import getsource
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Int, UInt8
from torch import Tensor, nn
from torch.utils.data import Dataset

from companion import media
from companion.code import closure, semantics
from companion.datasets import cache, sources
from companion.datasets.hands import MOST, evidence
from companion.datasets.skeletons import Skeletons
from companion.files import DamagedFile, fingerprint
from companion.formats import ntu
from companion.simulator.release import redrawn


class Clips(NamedTuple):
    """A batch. Places are x y in units of half the picture, from -1 to 1; NaN where something is not seen."""

    frames: UInt8[Tensor, "B T 3 H W"] | Float16[Tensor, "B T D h w"]  # or what a backbone made of them
    label: Int[Tensor, " B"]
    joints: Float[Tensor, "B T M J 2"]  # for training only
    boxes: Float[Tensor, "B T E 4"] | None = None  # x0 y0 x1 y1 of what decides, for scoring only
    acting: Bool[Tensor, "B T"] | None = None  # the action is going on


class VideoClips(Dataset):
    """One side of a protocol.

    Args:
        source: simulated or ntu.
        split, protocol, fold, seed, root, strict: as of `companion.datasets.skeletons.Skeletons`.
        frames: T. The clip is cut into so many equal parts, and of each one frame is shown: a random one in
            training, else that in its middle.
        every: of how many frames one is kept.
        size: H W that the frames are scaled to.
        repetitions: of the test side only those up to this number; 0: all.
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
        body = Skeletons(source, split, protocol, fold, seed, root, strict=strict, frames=frames)
        _, files, about = sources.find(source, root)
        place = {path.stem: path for path in files}
        rows = [
            row
            for row, name in enumerate(body.names)
            if body.training or not repetitions or repetition(name) <= repetitions
        ]
        if not rows:
            raise ValueError(
                f"no {split} clip of {protocol} is of repetition {repetitions} or an earlier one"
            )
        paths = [place[body.names[row]] for row in rows]
        self.how = {"every": every, "size": tuple(size), "limit": limit}
        self.kept = kept(paths, **self.how)
        self.damaged = list(dict.fromkeys([*body.damaged, *self.kept.damaged.values()]))
        if self.kept.damaged:
            if strict:
                raise DamagedFile(self.damaged[0])
            warnings.warn(f"{source}: {len(self.kept.damaged)} videos are left out", stacklevel=2)
        whole = [n for n, path in enumerate(paths) if path.stem not in self.kept.damaged]
        self.paths = [paths[n] for n in whole]
        self.names, self.units = ([column[rows[n]] for n in whole] for column in (body.names, body.units))
        self.label, self.classes = body.label[[rows[n] for n in whole]], body.classes
        self.first = self.kept.first[whole]
        self.lengths = (body.lengths[[rows[n] for n in whole]] - 1) // every + 1
        self.bodies, self.tree = body.bodies, body.tree
        self.frames, self.every, self.training, self.seed = frames, every, body.training, body.seed
        self.shown = self.kept.frames
        self.group = self.truth = None
        if about and body.truth:
            groups = [about["groups"][n] for n in about["actions"]]
            self.group = torch.tensor([[a == b for b in groups] for a in groups])
            self.truth = [body.truth[rows[n]] for n in whole]
            self.know(self.truth)
        self.fingerprint = fingerprint(
            [body.fingerprint.encode(), self.kept.key.encode(), str(frames).encode()]
        )
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self.label)

    def set_epoch(self, epoch: int) -> None:
        """Draw which frames this epoch shows of each clip."""
        rng = np.random.default_rng([*self.seed, epoch])
        self.drawn = torch.from_numpy(rng.random((len(self), self.frames)))

    def within(self, indices: Int[Tensor, " B"]) -> Int[Tensor, "B T"]:
        """Which of the clips' kept frames this epoch shows."""
        part = self.lengths[indices, None].double() / self.frames
        inside = self.drawn[indices] if self.training else torch.tensor(0.5, dtype=torch.float64)
        return ((torch.arange(self.frames) + inside) * part).long()

    def __getitems__(self, indices: Sequence[int]) -> Clips:
        i = torch.as_tensor(indices)
        at = self.first[i, None] + self.within(i)
        batch = Clips(self.shown[at], self.label[i], self.kept.joints[at][:, :, : self.bodies])
        if self.truth is None:
            return batch
        return batch._replace(boxes=self.boxes[at], acting=self.acting[at])

    def __getitem__(self, index: int) -> Clips:
        return Clips._make(field if field is None else field[0] for field in self.__getitems__([index]))

    @torch.no_grad()
    def see(self, net: nn.Module, device: str | torch.device = "cpu") -> None:
        """From now on give what a network at rest makes of the frames instead of the frames.

        Args:
            net: takes frames N 3 H W to feature maps N D h w.
            device: where it is computed; afterwards the network is where it was.
        """
        device = torch.device(device)
        weights = fingerprint([value.cpu().numpy().tobytes() for value in net.state_dict().values()])
        kind = type(net)
        code = closure(kind.__module__) if kind.__module__.startswith("companion.") else getsource(kind)
        key = cache.depends([], frames=self.kept.key, weights=weights, code=code, device=device.type)

        def make(rows: cache.Rows) -> dict[str, str]:
            home = next((value.device for value in net.parameters()), device)
            net.to(device)
            try:
                for part in self.kept.frames.split(200):
                    rows.append(maps=net(part.to(device)).half().cpu().numpy())
            finally:
                net.to(home)
            return {}

        self.shown = cache.opened("maps", key, make, "pt").get_tensor("maps")

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
        frames, path = self.every * self.within(torch.tensor([index]))[0], self.paths[index]
        if height:
            return torch.from_numpy(redrawn(path.parents[2], path.stem, height, frames.tolist()).pictures)
        return torch.from_numpy(media.read_video(ntu.video(path), frames.tolist()))


class Kept(NamedTuple):
    """The frames of one side."""

    frames: UInt8[Tensor, "N 3 H W"]
    joints: Float[Tensor, "N M J 2"]
    first: Int[Tensor, " n"]  # frame of each clip
    damaged: dict[str, str]  # clip -> what is wrong with it
    key: str  # fingerprint of files and code


def kept(files: Sequence[Path], limit: int, **how: Any) -> Kept:
    """The frames of these clips, read now or by an earlier call.

    Args:
        how: see `frames_of`.

    Raises:
        ValueError: they take more than the limit.
        FileNotFoundError: no clip has a video.
    """
    both = [other for path in files for other in (path, ntu.video(path)) if other.is_file()]
    key = cache.depends(both, ntu.__name__, cache.__name__, media.__name__, code=semantics(__file__), how=how)

    def clips() -> Iterator[tuple[Path, tuple[np.ndarray, np.ndarray] | str]]:
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:
            for at in range(0, len(files), 4 * threads):  # so few are in the memory at once
                some = files[at : at + 4 * threads]
                yield from zip(some, pool.map(partial(frames_of, **how), some), strict=True)

    def make(rows: cache.Rows) -> dict[str, str]:
        first, taken, damaged = [0], 0, {}
        for number, (path, part) in enumerate(clips(), 1):
            if isinstance(part, str):
                damaged[path.stem] = part
                first.append(first[-1])
                continue
            rows.append(frames=part[0], joints=part[1])
            first.append(first[-1] + len(part[0]))
            taken += part[0].nbytes
            if taken > limit:
                raise ValueError(
                    f"the frames of {number} of {len(files)} clips take {taken / 2**30:.1f} GiB;"
                    " choose a smaller size, keep fewer frames (every), or a larger limit"
                )
        if len(damaged) == len(files):
            raise FileNotFoundError(
                f"none of the {len(files)} clips has a video; the first: {damaged[files[0].stem]}"
            )
        rows.append(first=np.array(first[:-1]))
        return damaged

    file = cache.opened("frames", key, make, "pt")
    frames, joints, first = map(file.get_tensor, ("frames", "joints", "first"))
    return Kept(frames, joints, first, file.metadata() or {}, key)


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


def in_halves(places: Float[Tensor, "*n 2"], height: int, width: int) -> Float[Tensor, "*n 2"]:
    """Pixels x y as units of half the picture: -1 and 1 are the centres of the outer pixels."""
    return 2 * places / (torch.tensor([width, height]) - 1) - 1


def repetition(name: str) -> int:
    """Of a clip, by its name."""
    named = ntu.NAME.fullmatch(name)
    assert named, name
    return int(named[4])
