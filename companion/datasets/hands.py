"""Crops around the hands of people, beside their skeletons: NTU's videos, real or simulated.

The crops of all frames are cut once and kept in one memory-mapped file, and what a network at rest sees of
them likewise, see `companion.datasets.cache`.

Letters: B clips of a batch, T frames, M bodies, K = 2 M hands (left and right of the first, ...), E = 2
things that may decide, S the side of a crop in samples, H W those of a crop or a picture, N frames of all.
"""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import getsource
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.utils.data import Dataset

from companion import media
from companion.code import closure, semantics
from companion.datasets import cache, sources
from companion.datasets.skeletons import Skeletons
from companion.files import DamagedFile, fingerprint
from companion.formats import ntu, simulated
from companion.ops.crop import cut
from companion.simulator.release import redrawn

HANDS = ntu.TREE.index("hand_left"), ntu.TREE.index("hand_right")
MOST = 2  # things that decide together
MARGIN = 1.25  # side of a crop at the evidence, in longer sides of its box


class Clips(NamedTuple):
    """A batch."""

    poses: Float[Tensor, "B T M J 3"]
    seen: Bool[Tensor, "B T M J"]
    label: Int[Tensor, " B"]
    hands: UInt8[Tensor, "B T K 3 H W"] | Float[Tensor, "B T K D"]  # crops, or what `Hands.see` made of them
    holds: Bool[Tensor, "B T K"] | None = None  # the crop shows what decides, in the frames of the action
    frames: Bool[Tensor, "B T"] | None = None  # of the action
    away: Float[Tensor, " B"] | None = None  # from a hand to what decides, in pixels of 1920 x 1080


class Hands(Dataset):
    """One side of a protocol.

    Args:
        source: simulated or ntu.
        split, protocol, fold, seed, strict: as of `Skeletons`, as are the `drawn` options.
        root: the folder that contains `ntu`; default $COMPANION_DATA, but for simulated none.
        crop: width of the square around a hand, in pixels of the full 1920 x 1080.
        side: S.
        every: of how many frames one is cut; the sequences then show the nearest ones.
        at: hands; or picture, the whole of it, as it is; or, of simulated releases, evidence, to learn how
            well what decides can be told from others if one looks there: E crops a frame, black where there
            is nothing to be seen.
        limit: bytes that the crops of the release may take.

    Raises:
        DamagedFile: a skeleton without a video, or a video that cannot be read or has another length, if
            strict; else the clip is left out with a warning, and named in `damaged`.
        ValueError: the crops would take more than the limit, an unknown `at`; and see `Skeletons`.
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
        crop: int = 160,
        side: int = 24,
        every: int = 1,
        at: str = "hands",
        limit: int = 4 << 30,
        **drawn: Any,
    ) -> None:
        for name in ("mirror", "swap"):
            if drawn.get(name):
                raise ValueError(f"{name} turns poses into others, but not crops; leave it out")
        self.body = Skeletons(source, split, protocol, fold, seed, root, strict=strict, **drawn)
        _, files, about = sources.find(source, root)
        if at not in ("hands", "picture", "evidence") or (at == "evidence" and not about):
            raise ValueError(f"at is {at!r}; choose hands, picture, or evidence of a simulated release")
        store = cuts(files, limit, crop=crop, side=side, every=every, at=at)
        self.damaged = list(dict.fromkeys([*self.body.damaged, *store.damaged.values()]))
        if store.damaged:
            if strict:
                raise DamagedFile(self.damaged[0])
            warnings.warn(f"{source}: {len(store.damaged)} videos are left out", stacklevel=2)
        place = {path.stem: n for n, path in enumerate(files)}
        self.kept = torch.tensor([i for i, name in enumerate(self.body.names) if name not in store.damaged])
        self.names = [self.body.names[i] for i in self.kept]
        self.units = [self.body.units[i] for i in self.kept]
        self.paths = [files[place[name]] for name in self.names]
        number = torch.tensor([place[name] for name in self.names])
        self.first, self.crops, self.centres = store.first[number], store.crops, store.centres
        self.classes, self.label = self.body.classes, self.body.label[self.kept]
        self.hands = min(2 * self.body.bodies, store.crops.shape[1])
        self.width, self.every = crop, every
        self.group = self.truth = None
        if about and self.body.truth:
            groups = [about["groups"][n] for n in about["actions"]]
            self.group = torch.tensor([[a == b for b in groups] for a in groups])
            self.truth = [self.body.truth[i] for i in self.kept]
            self.know(self.truth)
        cut_from = [self.body.fingerprint, *self.names, str((crop, side, every, at))]
        cut_from.append(about["fingerprint"] if about else sources.data_fingerprint(source, root))
        self.key = store.key
        self.fingerprint = fingerprint([word.encode() for word in cut_from])

    def __len__(self) -> int:
        return len(self.kept)

    def set_epoch(self, epoch: int) -> None:
        """Draw what this epoch shows of each clip."""
        self.body.set_epoch(epoch)

    @torch.no_grad()
    def see(self, net: nn.Module, device: str | torch.device = "cpu") -> None:
        """From now on give what a network at rest sees of the crops instead of the crops.

        Args:
            net: `net.see` takes crops n K 3 S S to features n K D.
            device: where it is computed; afterwards the network is where it was.
        """
        device = torch.device(device)
        weights = fingerprint([value.cpu().numpy().tobytes() for value in net.state_dict().values()])
        kind = type(net)
        code = closure(kind.__module__) if kind.__module__.startswith("companion.") else getsource(kind)
        key = cache.depends([], crops=self.key, weights=weights, code=code, device=device.type)

        def make(rows: cache.Rows) -> dict[str, str]:
            home = next((value.device for value in net.parameters()), device)
            net.to(device)
            try:
                for part in self.crops.split(1000):
                    seen = net.see(part.to(device))  # pyright: ignore[reportCallIssue]: no tensor, a method
                    rows.append(seen=seen.cpu().numpy())
            finally:
                net.to(home)
            return {}

        self.crops = cache.opened("seen", key, make, "pt").get_tensor("seen")

    def __getitems__(self, indices: Sequence[int]) -> Clips:
        i = torch.as_tensor(indices)
        body = self.body.__getitems__(self.kept[i].tolist())
        at = self.first[i, None] + self.within(i)
        batch = Clips(body.poses, body.seen, body.label, self.crops[at][:, :, : self.hands])
        if self.truth is None:
            return batch
        known = {
            "holds": self.holds[at],
            "frames": self.during[at],
            "away": self.away[at].nanmedian(1).values,
        }
        return batch._replace(**known)

    def within(self, indices: Int[Tensor, " B"]) -> Int[Tensor, "B T"]:
        """Which of the clips' cuts this epoch shows."""
        last = (self.body.lengths[self.kept[indices]] - 1) // self.every
        return (self.body.within(self.kept[indices]) / self.every).round().long().minimum(last[:, None])

    def know(self, truths: list[dict]) -> None:
        """Of each cut: in which crops what decides is to be seen, whether it is of the action, and `away`."""
        self.holds = torch.zeros(len(self.centres), self.hands, dtype=torch.bool)
        self.during = torch.zeros(len(self.centres), dtype=torch.bool)
        self.away = torch.full((len(self.centres),), torch.nan)
        for truth, start in zip(truths, self.first.tolist(), strict=True):
            scale = ntu.SIZE[0] / truth["size"][0]
            joints = torch.tensor(truth["pose"])[:: self.every]
            frames = torch.arange(0, len(truth["pose"]), self.every)
            cuts = slice(start, start + len(frames))
            first, end = truth["frames"]
            self.during[cuts] = (frames >= first) & (frames < end)
            boxes, seen = (x[frames] for x in evidence(truth))
            at = middle(boxes)[:, :, None]
            off = (scale * at - self.centres[cuts, None, : self.hands]).abs()
            self.holds[cuts] = ((off < self.width / 2).all(-1) & seen[..., None]).any(1)
            far = (at - joints[:, :, HANDS].flatten(1, 2)[:, None]).norm(dim=-1).amin(2)
            far = (scale * far).where(seen, -torch.inf).amax(1)
            self.away[cuts] = far.where(seen.any(1), torch.nan)

    def film(
        self, index: int, height: int | None = None, steps: Sequence[int] | None = None
    ) -> tuple[UInt8[Tensor, "T H W 3"], Float[Tensor, "T K 2"], Float[Tensor, "T E 4"]]:
        """To look at: the pictures of a batch's clip, and on them the hands and the boxes of what decides.

        In pixels; NaN where there is none, or none is known.

        Args:
            height: of the pictures, which are drawn anew for it; only of simulated releases of this code.
            steps: of the T frames; default all.
        """
        cuts = self.within(torch.tensor([index]))[0]
        cuts = cuts if steps is None else cuts[steps]
        frames, path = self.every * cuts, self.paths[index]
        if height:
            pictures = redrawn(path.parents[2], path.stem, height, frames.tolist()).pictures
        else:
            pictures = media.read_video(ntu.video(path), frames.tolist())
        pictures = torch.from_numpy(pictures)
        scale = pictures.shape[1] / ntu.SIZE[0]
        hands = scale * self.centres[self.first[index] + cuts][:, : self.hands]
        hands = hands.where(hands.isfinite(), torch.nan)
        if self.truth is None:
            return pictures, hands, torch.full((len(cuts), MOST, 4), torch.nan)
        boxes = torch.full((len(cuts), MOST, 4), torch.nan)
        for n, thing in enumerate(self.truth[index]["evidence"]):
            box = torch.tensor(thing["box"])[frames] * pictures.shape[1] / self.truth[index]["size"][0]
            boxes[:, n] = box.where(box.any(-1, keepdim=True), torch.nan)
        return pictures, hands, boxes

    def __getitem__(self, index: int) -> Clips:
        return Clips._make(field if field is None else field[0] for field in self.__getitems__([index]))


class Store(NamedTuple):
    """The crops of a release."""

    crops: UInt8[Tensor, "N K 3 H W"]
    centres: Float[Tensor, "N K 2"]  # in pixels of 1920 x 1080, infinite where there is nothing to cut
    first: Int[Tensor, " n"]  # frame of each clip
    damaged: dict[str, str]  # clip -> what is wrong with it
    key: str  # fingerprint of files and code


def cuts(files: Sequence[Path], limit: int, **how: int | str) -> Store:
    """The crops of all clips, cut now or by an earlier call.

    Args:
        how: see `crops_of`.

    Raises:
        ValueError: they take more than the limit.
        FileNotFoundError: no clip has a video.
    """
    both = [other for path in files for other in (path, ntu.video(path)) if other.is_file()]
    code = semantics(__file__)  # of all that this file imports, only what cuts
    key = cache.depends(both, ntu.__name__, cache.__name__, cut.__module__, code=code, how=how)

    def make(rows: cache.Rows) -> dict[str, str]:
        first, taken, damaged, threads = [0], 0, {}, len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:
            for at in range(0, len(files), 4 * threads):  # so few are in the memory at once
                some = files[at : at + 4 * threads]
                for path, part in zip(some, pool.map(partial(crops_of, **how), some), strict=True):
                    if isinstance(part, str):
                        damaged[path.stem] = part
                        first.append(first[-1])
                        continue
                    crops, centres = (tensor.numpy() for tensor in part)
                    rows.append(crops=crops, centres=centres)
                    first.append(first[-1] + len(crops))
                    taken += crops.nbytes
                    if taken > limit:
                        raise ValueError(
                            f"the crops of {len(first) - 1} of {len(files)} clips take"
                            f" {taken / 2**30:.1f} GiB; choose a smaller side, cut fewer frames (every),"
                            " or a larger limit"
                        )
        if len(damaged) == len(files):
            raise FileNotFoundError(
                f"none of the {len(files)} clips has a video; the first: {damaged[files[0].stem]}"
            )
        rows.append(first=np.array(first[:-1]))
        return damaged

    file = cache.opened("crops", key, make, "pt")
    crops, centres, first = map(file.get_tensor, ("crops", "centres", "first"))
    return Store(crops, centres, first, file.metadata() or {}, key)


def crops_of(
    path: Path, crop: int, side: int, every: int, at: str
) -> tuple[UInt8[Tensor, "T K 3 H W"], Float[Tensor, "T K 2"]] | str:
    """The crops of one clip's frames and where they are; or what is wrong with it."""
    try:
        places, given = ntu.pixels(path)
        ntu.matched(path, len(places))
        pictures = torch.from_numpy(media.read_video(ntu.video(path), range(0, len(places), every)))
    except DamagedFile as error:
        return str(error)
    scale = ntu.SIZE[0] / pictures.shape[1]
    if at == "picture":
        return pictures.permute(0, 3, 1, 2)[:, None], torch.full((len(pictures), 1, 2), torch.inf)
    if at == "hands":
        centres, seen = (
            torch.from_numpy(array[::every, :, HANDS]).flatten(1, 2) for array in (places / scale, given)
        )
        half = torch.full_like(centres, crop / scale / 2)
    else:
        around, seen = (x[::every] for x in evidence(simulated.truth(path, len(places))))
        centres = middle(around)
        half = MARGIN * (around[..., 2:] - around[..., :2]).amax(-1, keepdim=True) / 2
    boxes = torch.cat([centres - half, centres + half], -1)
    parts = zip(pictures.permute(0, 3, 1, 2).split(16), boxes.float().split(16), strict=True)
    found = torch.cat([cut(part.float(), around, side) for part, around in parts])  # full videos are large
    found = (found * seen[..., None, None, None]).round().to(torch.uint8)
    return found, torch.where(seen[..., None], scale * centres, torch.inf).float()


def evidence(truth: dict) -> tuple[Float[Tensor, "T E 4"], Bool[Tensor, "T E"]]:
    """The boxes of what decides, in pixels of the video; and when, in the action, they are to be seen."""
    first, end = truth["frames"]
    T = len(truth["pose"])
    boxes, seen = torch.zeros(T, MOST, 4), torch.zeros(T, MOST, dtype=torch.bool)
    for n, thing in enumerate(truth["evidence"]):
        boxes[:, n], seen[:, n] = torch.tensor(thing["box"]), torch.tensor(thing["visible"]) > 0.3
    seen[:first] = seen[end:] = False
    return boxes, seen


def middle(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 2"]:
    return (boxes[..., :2] + boxes[..., 2:]) / 2
