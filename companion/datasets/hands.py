"""Crops around the hands of people, beside their skeletons: NTU's videos, real or simulated.

The crops of all frames are cut once and kept in one memory-mapped file, which is made anew when the release
or the code that cuts changes.

Letters: B clips of a batch, T frames, M bodies, K = 2 M hands (left and right of the first, ...), S the side
of a crop in samples, N frames of all clips together.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from companion import video
from companion.clips import DamagedClip
from companion.datasets import ntu
from companion.datasets.simulator import release
from companion.datasets.skeletons import Skeletons
from companion.files import REPOSITORY, fingerprint, scratch, write_whole
from companion.ops.crop import cut

HANDS = ntu.TREE.index("hand_left"), ntu.TREE.index("hand_right")


class Clips(NamedTuple):
    """A batch."""

    poses: Float[Tensor, "B T M J 3"]
    seen: Bool[Tensor, "B T M J"]
    label: Int[Tensor, " B"]
    hands: UInt8[Tensor, "B T K 3 S S"] | Float[Tensor, "B T K D"]  # crops, or what `Hands.see` made of them
    group: Bool[Tensor, "B C"] | None = None  # the classes of the clip's group, where there are groups
    holds: Bool[Tensor, "B T K"] | None = None  # the crop shows what decides, in the frames of the action
    frames: Bool[Tensor, "B T"] | None = None  # of the action


class Hands(Dataset):
    """One side of a protocol.

    Args:
        source: simulated or ntu.
        split, protocol, fold, seed, strict: as of `Skeletons`, as are the `drawn` options.
        root: the folder that contains `ntu`; default $COMPANION_DATA.
        crop: width of the square around a hand, in pixels of the full 1920 x 1080.
        side: S.
        limit: bytes that the crops of the release may take.

    Raises:
        DamagedClip: a skeleton without a video, or a video that cannot be read or has another length, if
            strict; else the clip is left out with a warning, and named in `damaged`.
        ValueError: the crops would take more than the limit; and see `Skeletons`.
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
        crop: int = 200,
        side: int = 24,
        limit: int = 4 << 30,
        **drawn: object,
    ) -> None:
        self.body = Skeletons(source, split, protocol, fold, seed, root, strict=strict, **drawn)
        files = ntu.files(root)
        about = release.manifest(files)
        store = keep(files, crop, side, limit)
        self.damaged = self.body.damaged + list(store.damaged.values())
        if store.damaged:
            if strict:
                raise DamagedClip(self.damaged[0])
            warnings.warn(f"{source}: {len(store.damaged)} videos are left out", stacklevel=2)
        place = {path.stem: n for n, path in enumerate(files)}
        self.kept = torch.tensor([i for i, name in enumerate(self.body.names) if name not in store.damaged])
        self.names = [self.body.names[i] for i in self.kept]
        self.paths = [files[place[name]] for name in self.names]
        number = torch.tensor([place[name] for name in self.names])
        self.first, self.crops, self.centres = store.first[number], store.crops, store.centres
        self.classes, self.label = self.body.classes, self.body.label[self.kept]
        self.hands, self.width = 2 * self.body.bodies, crop
        self.group = self.truth = None
        if about:
            groups = [about["groups"][str(n)] for n in about["actions"]]
            self.group = torch.tensor([[a == b for b in groups] for a in groups])
            self.truth = [self.body.truth[i] for i in self.kept]
        cut_from = [self.body.fingerprint, *self.names, str((crop, side)), store.source]
        self.fingerprint = fingerprint([word.encode() for word in cut_from])

    def __len__(self) -> int:
        return len(self.kept)

    def set_epoch(self, epoch: int) -> None:
        """Draw what this epoch shows of each clip."""
        self.body.set_epoch(epoch)

    @torch.no_grad()
    def see(self, net: Callable) -> None:
        """From now on give what a network sees of the crops instead of the crops.

        Args:
            net: crops n K 3 S S to features n K D.
        """
        self.crops = torch.cat([net(part) for part in self.crops.split(1000)])

    def __getitems__(self, indices: Sequence[int]) -> Clips:
        i = torch.as_tensor(indices)
        body = self.body.__getitems__(self.kept[i].tolist())
        within = self.body.within(self.kept[i]).round().long()
        at = self.first[i, None] + within
        batch = Clips(body.poses, body.seen, body.label, self.crops[at][:, :, : self.hands])
        if self.truth is None:
            return batch
        truth = [self.shown(n, t) for n, t in zip(indices, within, strict=True)]
        holds, during = (torch.stack(column) for column in zip(*truth, strict=True))
        return batch._replace(group=self.group[body.label], holds=holds, frames=during)

    def shown(self, index: int, frames: Int[Tensor, " T"]) -> tuple[Bool[Tensor, "T K"], Bool[Tensor, " T"]]:
        """In which crops the middle of what decides is visible, in frames of the action; and these frames."""
        truth = self.truth[index]
        box, visible = (torch.tensor(truth[name])[frames] for name in ("box", "visible"))
        scale = ntu.SIZE[0] / truth["size"][0]
        middle = scale * (box[:, :2] + box[:, 2:]) / 2
        first, end = truth["frames"]
        during = (frames >= first) & (frames < end)
        centres = self.centres[self.first[index] + frames][:, : self.hands]
        inside = ((middle[:, None] - centres).abs() < self.width / 2).all(-1)
        return inside & (during & (visible > 0.3))[:, None], during

    def film(
        self, index: int
    ) -> tuple[UInt8[Tensor, "T H W 3"], Float[Tensor, "T K 2"], Float[Tensor, "T 4"] | None]:
        """To look at: the pictures of a batch's clip, and on them the hands and the box of what decides.

        In pixels; NaN where there is none.
        """
        frames = self.body.within(self.kept[[index]])[0].round().long()
        pictures = torch.from_numpy(video.read(ntu.video(self.paths[index]), frames.tolist()))
        scale = pictures.shape[1] / ntu.SIZE[0]
        hands = scale * self.centres[self.first[index] + frames][:, : self.hands]
        hands = hands.where(hands.isfinite(), torch.nan)
        if self.truth is None:
            return pictures, hands, None
        box = torch.tensor(self.truth[index]["box"])[frames]
        return pictures, hands, box.where(box.any(-1, keepdim=True), torch.nan)

    def __getitem__(self, index: int) -> Clips:
        return Clips(*(field if field is None else field[0] for field in self.__getitems__([index])))


class Store(NamedTuple):
    """The crops of a release."""

    crops: UInt8[Tensor, "N K 3 S S"]
    centres: Float[Tensor, "N K 2"]  # in pixels of 1920 x 1080, infinite where the hand is not seen
    first: Int[Tensor, " n"]  # frame of each clip
    damaged: dict[str, str]  # clip -> what is wrong with it
    source: str  # fingerprint of files and code


def keep(files: Sequence[Path], crop: int, side: int, limit: int) -> Store:
    """The crops of all clips, cut now or by an earlier call."""
    code = (__file__, ntu.__file__, video.__file__, sys.modules[cut.__module__].__file__)
    both = [other for path in files for other in (path, ntu.video(path)) if other.is_file()]
    stats = [(str(path), stat.st_size, stat.st_mtime_ns) for path in both for stat in [path.stat()]]
    parts = [*(Path(path).read_bytes() for path in code), json.dumps([stats, crop, side]).encode()]
    source = fingerprint(parts)
    stem = f"hands-{crop}-{side}.{fingerprint(os.path.commonpath(files).encode())}"
    path = REPOSITORY / scratch() / "cache" / f"{stem}.{source}.safetensors"
    if not path.is_file():
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            found, taken = [], 0
            for part in pool.map(partial(crops_of, crop=crop, side=side), files):
                found.append(part)
                taken += 0 if isinstance(part, str) else part[0].nbytes
                if taken > limit:
                    pool.shutdown(cancel_futures=True)
                    raise ValueError(
                        f"the crops of {len(found)} of {len(files)} clips take {taken / 2**30:.1f} GiB;"
                        " choose a smaller side, or a larger limit"
                    )
        whole = [part for part in found if not isinstance(part, str)]
        if not whole:
            raise FileNotFoundError(f"none of the {len(files)} clips has a video; the first: {found[0]}")
        lengths = [0 if isinstance(part, str) else len(part[0]) for part in found]
        tensors = {
            "crops": torch.cat([crops for crops, _ in whole]),
            "centres": torch.cat([centres for _, centres in whole]),
            "first": torch.tensor(lengths).cumsum(0) - torch.tensor(lengths),
        }
        bad = {file.stem: part for file, part in zip(files, found, strict=True) if isinstance(part, str)}
        write_whole(path, save(tensors, {"damaged": json.dumps(bad)}))
    for old in set(path.parent.glob(f"{stem}.*.safetensors")) - {path}:
        old.unlink(missing_ok=True)
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in ("crops", "centres", "first")}
        return Store(**tensors, damaged=json.loads(file.metadata()["damaged"]), source=source)


def crops_of(
    path: Path, crop: int, side: int
) -> tuple[UInt8[Tensor, "T K 3 S S"], Float[Tensor, "T K 2"]] | str:
    """The crops around the hands of one clip and where they are; or what is wrong with it."""
    try:
        places, given = ntu.pixels(path)
        pictures = video.read(ntu.video(path))
    except (DamagedClip, FileNotFoundError) as error:
        return str(error)
    if len(pictures) != len(places):
        return (
            f"{ntu.video(path)} has {len(pictures)} frames, its skeleton {len(places)}; download both again"
        )
    centres, seen = (torch.from_numpy(array[:, :, HANDS]).flatten(1, 2) for array in (places, given))
    corner = torch.tensor([crop / 2, crop / 2])
    boxes = torch.cat([centres - corner, centres + corner], -1) * (pictures.shape[1] / ntu.SIZE[0])
    found = cut(torch.from_numpy(pictures).permute(0, 3, 1, 2).float(), boxes.float(), side)
    found = (found * seen[..., None, None, None]).round().to(torch.uint8)
    return found, torch.where(seen[..., None], centres, torch.inf).float()
