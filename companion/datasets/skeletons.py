"""Skeleton clips of any of the sources, by one door, as batches of equally long sequences.

What a network is to learn from is drawn anew for each epoch, from a NumPy seed: the part of the clip, its
speed, the direction of view, the proportions of the body, and which joints are missing.

Letters: B clips of a batch, T frames, M bodies, J joints, N frames of all clips together.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import Dataset

from companion.datasets import cache, sources
from companion.files import DamagedFile, fingerprint
from companion.formats import simulated
from companion.ops import pose

SPLITS = ("train", "test", "fit", "validation")  # train is fit and validation together


class Sequences(NamedTuple):
    """A batch of sequences."""

    poses: Float[Tensor, "B T M J 3"]  # metres, the middle of the first body's spine at the origin
    seen: Bool[Tensor, "B T M J"]
    label: Int[Tensor, " B"]
    joints: Bool[Tensor, "B M J"] | None = None  # that act, where it is known
    frames: Bool[Tensor, "B T"] | None = None  # in which they act


class Skeletons(Dataset):
    """One side of a protocol.

    Args:
        source: one of `sources.SKELETONS`.
        split: train or test; or fit and validation, two parts of train that share no unit by which the
            protocol splits (fold, view, camera, subject). Whatever is chosen is chosen there.
        protocol: one of the dataset's.
        fold: of the protocol.
        seed: of what is drawn for each epoch.
        root: the folder that contains the dataset's folder; default $COMPANION_DATA, but for simulated none.
        strict: a damaged file is an error; else it is left out with a warning, and named in `damaged`.
        layout: another source, whose joints alone are kept, in its order; J is then theirs.
        frames: T.
        still: put only the first frame's body at the origin, not each frame's.
        face: turn each sequence so that its first pose faces the camera.
        part: smallest share of the clip that a training sequence shows.
        turn: largest angle about each axis, in radians, by which it is turned.
        stretch: largest change of its extent along each axis, as a share.
        hide: probability of each joint to be missing in it.
        mirror, swap: exchange left and right, or the two bodies where both are seen, of every other one.

    A test or validation clip that holds the very numbers of a clip of another side is left out; in strict
    protocols all clips are tested, and what equals one of them does not train. `copies` counts what is left
    out. `units` are what statements about a test resample, see `SkeletonFormat.unit`.

    Raises:
        ValueError: an unknown source, split, protocol or fold.
        FileNotFoundError, DamagedFile: see `sources.find` and `cache.parsed`.
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
        layout: str | None = None,
        frames: int = 32,
        still: bool = False,
        face: bool = False,
        part: float = 1.0,
        turn: float = 0.0,
        stretch: float = 0.0,
        hide: float = 0.0,
        mirror: bool = False,
        swap: bool = False,
    ) -> None:
        data = sources.skeletons(source)
        self.tree = sources.skeletons(layout or source).tree
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
        if protocol not in data.protocols:
            raise ValueError(
                f"unknown protocol {protocol!r} of {source}; choose one of {', '.join(data.protocols)}"
            )
        if fold not in range(data.protocols[protocol]):
            raise ValueError(
                f"unknown fold {fold!r} of {protocol}; choose one of 0 to {data.protocols[protocol] - 1}"
            )
        if frames < 1:
            raise ValueError(f"frames is {frames}; a sequence needs at least one")
        _, files, about = sources.find(source, root)
        store = cache.parsed(source, files, data.parse, strict)
        if store.damaged:
            warnings.warn(f"{source}: {len(store.damaged)} damaged files are left out", stacklevel=2)
        self.damaged = store.damaged
        self.middle, self.measured = self.tree.middle, len(data.tree)
        self.taken = self.tree.found_in(data.tree)
        self.shoulders = self.tree.index("shoulder_right"), self.tree.index("shoulder_left")
        self.spine = self.middle, self.tree.parents[self.shoulders[0]]
        label, subject, camera, names = (np.array(column) for column in zip(*store.rows, strict=True))
        self.classes = data.classes
        if about:  # of NTU's actions some
            for name, action in zip(names.tolist(), label.tolist(), strict=True):
                if str(action + 1) not in about["actions"]:
                    raise DamagedFile(f"{name} shows no action of its release; simulate it anew")
            self.classes = tuple(about["actions"].values())
            label = np.searchsorted([int(number) - 1 for number in about["actions"]], label)
        tested, unit = data.split(subject, camera, protocol, fold)
        units = np.roll(np.unique(unit[~tested]), -fold)  # of SBU the fold before the tested one validates
        held = np.isin(unit, units[-max(1, len(units) // 5) :])
        sides = {"train": ~tested, "test": tested, "fit": ~tested & ~held, "validation": ~tested & held}
        chosen, all_tested = sides[split], protocol in data.strict
        others = {  # whose numbers a clip of this side must not hold
            "train": tested & all_tested,
            "fit": tested & all_tested,
            "validation": ~chosen,
            "test": ~tested & (not all_tested),
        }[split]
        numbers = np.array(store.numbers)
        copies = chosen & np.isin(numbers, numbers[others])
        self.training = split in ("train", "fit")
        kept = np.flatnonzero(chosen & ~copies).tolist()
        if not kept:
            raise ValueError(f"{protocol} of {source} has no {split} clip under {files[0].parent}")
        clips, self.copies = [store[i] for i in kept], int(copies.sum())
        self.names = names[kept].tolist()
        self.units = [data.unit(name) for name in self.names]
        self.label = torch.from_numpy(label[kept].astype(np.int64))
        self.lengths = torch.tensor([len(clip.skeleton) for clip in clips])
        self.first = self.lengths.cumsum(0) - self.lengths
        paths = {path.stem: path for path in files} if about else {}
        self.truth = None
        if about:
            pairs = zip(self.names, self.lengths.tolist(), strict=True)
            self.truth = [simulated.truth(paths[name], length) for name, length in pairs]
        self.bodies = max(len(clip["joints"]) for clip in self.truth) if self.truth else data.bodies
        skeletons = np.concatenate([clip.skeleton[:, : self.bodies] for clip in clips])
        visible = np.concatenate([clip.visible[:, : self.bodies] for clip in clips])
        self.poses, self.seen = (torch.from_numpy(a[:, :, self.taken]) for a in (skeletons, visible))
        self.frames, self.still, self.facing = frames, still, face
        self.part, self.turn, self.stretch, self.hide = part, turn, stretch, hide
        self.mirror, self.swap = mirror, swap
        self.seed = (seed, SPLITS.index(split))
        self.fingerprint = fingerprint([array.numpy().tobytes() for array in (self.poses, self.label)])
        self.set_epoch(0)

    def __len__(self) -> int:
        return len(self.label)

    def set_epoch(self, epoch: int) -> None:
        """Draw what this epoch shows of each clip."""
        rng = np.random.default_rng([*self.seed, epoch])
        n = len(self)
        self.start = torch.from_numpy(rng.random(n))
        self.share = torch.from_numpy(rng.uniform(self.part, 1, n))
        self.angles = torch.from_numpy(rng.uniform(-self.turn, self.turn, (n, 3)).astype(np.float32))
        self.factors = torch.from_numpy(
            1 + rng.uniform(-self.stretch, self.stretch, (n, 3)).astype(np.float32)
        )
        self.hidden = torch.from_numpy(rng.random((n, self.bodies, len(self.tree))) < self.hide)
        self.flipped, self.swapped = torch.from_numpy(rng.random((2, n)) < 0.5)

    def __getitems__(self, indices: Sequence[int]) -> Sequences:
        i = torch.as_tensor(indices)
        within = self.within(i)
        poses, seen = pose.read(self.poses, self.seen, self.first[i, None] + within)
        if self.training and self.swap:
            other = (self.swapped[i] & seen[:, :, -1].any((1, 2)))[:, None, None, None]
            poses = torch.where(other[..., None], poses.flip(2), poses)
            seen = torch.where(other, seen.flip(2), seen)
        poses = pose.centre(poses, seen, self.middle, self.still)
        if self.facing:
            poses = pose.face(poses, seen, *self.shoulders, *self.spine)
        if self.training:
            if self.mirror:
                other = self.flipped[i, None, None, None, None]
                poses = torch.where(other, pose.mirror(poses, self.tree.mirror), poses)
                seen = torch.where(other[..., 0], seen[..., list(self.tree.mirror)], seen)
            poses = pose.turn(pose.scale(poses, self.factors[i]), self.angles[i])
            poses, seen = pose.hide(poses, seen, self.hidden[i])
        return Sequences(poses, seen, self.label[i], *self.acting(indices, within))

    def within(self, i: Int[Tensor, " B"]) -> Float[Tensor, "B T"]:
        """Where in the clips, in frames, this epoch reads them."""
        drawn = (self.start[i], self.share[i]) if self.training else ()
        return pose.places(self.lengths[i], self.frames, *drawn)

    def acting(self, indices: Sequence[int], within: Tensor) -> tuple[Tensor, Tensor] | tuple[()]:
        """Which joints act, and in which of the frames that are read, where it is known.

        Of two people it is known who is who only if the reader keeps their order; so both or none act.
        """
        if self.truth is None:
            return ()
        joints = torch.zeros(len(indices), self.bodies, self.measured, dtype=torch.bool)
        for row, i in enumerate(indices):
            for acting in self.truth[i]["joints"]:
                joints[row, : len(self.truth[i]["joints"]), acting] = True
        first, end = torch.tensor([self.truth[i]["frames"] for i in indices]).T[..., None]
        return joints[..., self.taken], (within >= first) & (within < end)

    def __getitem__(self, index: int) -> Sequences:
        return Sequences._make(field if field is None else field[0] for field in self.__getitems__([index]))
