"""Pictures with labels of what they show, and boxes that serve for scoring only.

Letters: B pictures of a batch, C classes, D h w maps of a layer, n things of a picture.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Num, UInt8
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from companion.datasets import pictures
from companion.datasets.pictures import Pictures
from companion.datasets.still_lifes import SHAPES, SIZE, still_lifes
from companion.files import fingerprint
from companion.formats import pascal_voc, yolo
from companion.formats.labelled import LabelledFormat, Labels

FORMATS = {**pascal_voc.FORMATS, "coco128": yolo.FORMAT}
SOURCES = ("still_lifes", *FORMATS)


class Labelled(NamedTuple):
    """A batch."""

    maps: dict[str, Num[Tensor, "B ..."]]  # of a network's layers; or "pictures", B 3 H W
    present: Float[Tensor, "B C"]  # 1 or 0
    index: Int[Tensor, " B"]  # of the pictures in the data set


def form(source: str) -> LabelledFormat:
    """The format of a source on disk.

    Raises:
        ValueError: an unknown one.
    """
    if source not in FORMATS:
        raise ValueError(f"unknown source {source!r}; choose one of {', '.join(SOURCES)}")
    return FORMATS[source]


def data_fingerprint(source: str, root: str | Path | None = None) -> str:
    """Of a source on disk, without reading the pictures, of which names and sizes count."""
    about = []
    for split in ("train",) if form(source).folds else ("train", "test"):
        for path, beside in zip(*form(source).files(root, split), strict=True):
            about.append(f"{split} {path.name} {path.stat().st_size}".encode())
            about.append(beside.read_bytes() if beside.is_file() else b"")
    return fingerprint(about)


@cache
def parsed(
    source: str, split: str, root: str | Path | None
) -> tuple[list[Path], list[Labels], tuple[str, ...]]:
    """Pictures of a split, their labels, and the names of the classes."""
    its = form(source)
    paths, beside = its.files(root, split)
    names = its.classes(root)
    return paths, [its.parse(path, own, names) for path, own in zip(paths, beside, strict=True)], names


def check(source: str, root: str | Path | None = None, read: bool = True) -> str:
    """Is a source on disk whole? See `pictures.check`."""
    its = form(source)
    sides = [parsed(source, split, root) for split in (("train",) if its.folds else ("train", "test"))]
    things = sum(len(one.kinds) for _, labels, _ in sides for one in labels)
    about = f"{things} things of {len(sides[0][2])} classes"
    return pictures.check([path for own, *_ in sides for path in own], its.pictures, its.where, about, read)


def scaled(pictures: UInt8[Tensor, "N 3 H W"], size: tuple[int, int]) -> UInt8[Tensor, "N 3 H2 W2"]:
    """Drawn pictures at another size."""
    if pictures.shape[2:] == size:
        return pictures
    return F.interpolate(pictures, size, mode="bilinear")


class LabelledPictures(Dataset):
    """One side. `present` is 1 for what a picture shows, `ignored` where all of a class are marked difficult.
    `boxes` are of things of these classes, in shares of width and height, `things` of all.

    Args:
        source: one of `SOURCES`.
        split: train or test; or validation, a fifth of the training pictures, and fit, the others.
        fold: which is tested, where a source has folds.
        seed: of drawn pictures.
        root: the folder that contains the dataset's folder; default $COMPANION_DATA.
        size: H and W that pictures are scaled to, whatever their shape.
        least: a class must be in so many pictures of the source; others are left out.
        count: of drawn pictures on each side.

    Raises:
        ValueError: an unknown name, or no class in so many pictures.
        FileNotFoundError, DamagedFile: see the formats.
    """

    def __init__(
        self,
        source: str,
        split: str,
        fold: int = 0,
        seed: int = 0,
        root: str | Path | None = None,
        *,
        size: Sequence[int] = (448, 448),
        least: int = 1,
        count: int = 300,
    ) -> None:
        if split not in ("train", "fit", "validation", "test"):
            raise ValueError(f"unknown split {split!r}; choose train, fit, validation or test")
        size = size[0], size[1]
        if source == "still_lifes":
            drawn = still_lifes("train" if split == "fit" else split, count, seed)
            self.pictures, self.classes = Pictures(drawn=scaled(drawn.pictures, size)), SHAPES
            sizes = [SIZE] * count
            things = zip(drawn.kinds, drawn.boxes, strict=True)
            every = [(np.array(kinds), boxes.numpy(), np.zeros(len(kinds), bool)) for kinds, boxes in things]
            around = [boxes for _, boxes, _ in every]
            chosen, names = np.arange(count), [str(n) for n in range(count)]
        else:
            folds = form(source).folds
            if folds and not 0 <= fold < folds:
                raise ValueError(f"unknown fold {fold} of {source}; choose one of 0 to {folds - 1}")
            paths, labels, known = parsed(source, "test" if split == "test" and not folds else "train", root)
            frequent = np.zeros(len(known), int)
            for one in labels if split == "train" or folds else parsed(source, "train", root)[1]:
                frequent[np.unique(one.kinds)] += 1
            kept = np.flatnonzero(frequent >= least)
            if not len(kept):
                raise ValueError(f"no class of {source} is in {least} pictures; choose a smaller number")
            place = np.full(len(known), -1)
            place[kept] = np.arange(len(kept))
            around = [it.boxes for it in labels]
            every = [(place[it.kinds], it.boxes, it.difficult) for it in labels]
            every = [tuple(part[kinds >= 0] for part in (kinds, *rest)) for kinds, *rest in every]
            order = np.random.default_rng(0).permutation(len(paths))
            tested = order[fold::folds] if folds else order[:0]
            chosen = np.sort(tested if folds and split == "test" else np.setdiff1d(order, tested))
            if split in ("fit", "validation"):
                held = order[(fold + 1) % folds :: folds] if folds else order[::5]
                chosen = np.sort(held) if split == "validation" else np.setdiff1d(chosen, held)
            self.pictures, self.classes = Pictures(paths, size), tuple(known[n] for n in kept)
            sizes, names = [one.size for one in labels], [path.name for path in paths]
        self.chosen = torch.from_numpy(chosen)
        self.units = self.names = [names[n] for n in chosen]
        self.kinds = [torch.from_numpy(every[n][0]) for n in chosen]
        scale = [np.array(sizes[n][::-1] * 2) for n in chosen]
        self.boxes = [torch.from_numpy(every[n][1] / own) for n, own in zip(chosen, scale, strict=True)]
        self.things = [torch.from_numpy(around[n] / own) for n, own in zip(chosen, scale, strict=True)]
        self.present, self.ignored = torch.zeros(2, len(chosen), len(self.classes))
        for row, (n, kinds) in enumerate(zip(chosen, self.kinds, strict=True)):
            hard = torch.from_numpy(every[n][2])
            self.ignored[row, kinds[hard]] = 1
            self.present[row, kinds[~hard]], self.ignored[row, kinds[~hard]] = 1, 0
        words = [self.pictures.key, *self.classes, *self.names]
        parts = [self.present.numpy().tobytes(), *(boxes.numpy().tobytes() for boxes in self.boxes)]
        self.fingerprint = fingerprint([*(word.encode() for word in words), *parts])

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitems__(self, indices: Sequence[int]) -> Labelled:
        i = torch.as_tensor(indices)
        at = self.chosen[i]
        maps = {name: maps[at] for name, maps in self.pictures.maps.items()}
        return Labelled(maps or {"pictures": self.pictures.shown[at]}, self.present[i], i)

    def __getitem__(self, index: int) -> Labelled:
        one = self.__getitems__([index])
        return Labelled({name: maps[0] for name, maps in one.maps.items()}, one.present[0], one.index[0])
