"""Pictures and where people looked at them: OSIE, Saliency in Crowd, anybody's table, or simulated observers.

    five_folds      the pictures of one fold are tested, the others train
    observers       the same, and observers with an even number train, those with an odd one are tested: so
                    neither picture nor observer is known

Letters: N pictures, H W their size, B pictures of a batch, h w cells that a density is made of, F fixations.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.utils.data import Dataset

from companion.datasets import pictures
from companion.datasets.pictures import Pictures
from companion.datasets.still_lifes import SIZE, still_lifes
from companion.files import fingerprint
from companion.formats.crowd_gaze import Faces, faces
from companion.formats.fixations import GazeFormat, Recording

RECORDED = ("osie", "crowd_gaze", "eye_tracking")
SOURCES = ("still_lifes", *RECORDED)
PROTOCOLS = ("five_folds", "observers")
FOLDS = 5


class Looked(NamedTuple):
    """A batch."""

    maps: dict[str, Num[Tensor, "B D h2 w2"]]  # of a network's layers; or "pictures", B 3 H W
    counts: Float[Tensor, "B h w"]  # fixations in each cell
    index: Int[Tensor, " B"]  # of the pictures in the data set


def form(source: str) -> GazeFormat:
    """The format of a recorded source.

    Raises:
        ValueError: an unknown one.
    """
    if source not in RECORDED:
        raise ValueError(f"unknown source {source!r}; choose one of {', '.join(SOURCES)}")
    return import_module(f"companion.formats.{source}").FORMAT


def data_fingerprint(source: str, root: str | Path | None = None) -> str:
    """Of a recorded source's data, without reading the pictures, of which names and sizes count."""
    paths, beside = form(source).files(root)
    about = [f"{path.name} {path.stat().st_size}".encode() for path in paths]
    return fingerprint([*about, *(path.read_bytes() for path in beside)])


@cache
def recorded(source: str, root: str | Path | None) -> Recording:
    """All of a recorded source."""
    return form(source).parse(*form(source).files(root))


def check(source: str, root: str | Path | None = None, read: bool = True) -> str:
    """Is a recorded source whole? See `pictures.check`."""
    its, data = form(source), recorded(source, root)
    observers = len({*data.observer.tolist()})
    about = f"{len(data.picture)} fixations of {observers} observers, {data.outside} outside left out"
    return pictures.check(data.paths, its.pictures, its.where, about, read)


@cache
def found_faces(root: str | Path | None) -> Faces:
    """All faces of Saliency in Crowd."""
    paths, beside = form("crowd_gaze").files(root)
    return faces(paths, beside[1])


def folds(count: int) -> list[np.ndarray]:
    """Pictures dealt to five folds at random, always alike."""
    order = np.random.default_rng(0).permutation(count)
    return [np.sort(order[n::FOLDS]) for n in range(FOLDS)]


class Fixations(Dataset):
    """One side of a protocol.

    `faces`: of each picture of Saliency in Crowd boxes x0 y0 x1 y1 in pixels, and poses (0 frontal,
    1 profile, 2 from behind); else empty.

    Args:
        source: one of `SOURCES`.
        split: train or test; or validation, a fifth of the training pictures, and fit, the others.
        protocol, fold: see the module.
        seed: of simulated observers and their pictures.
        root: the folder that contains the dataset's folder; default $COMPANION_DATA.
        cells: h and w.
        size: H and W that pictures are scaled to, for a network.
        count: of simulated pictures on each side.

    Raises:
        ValueError: an unknown name, or too few pictures.
        FileNotFoundError, DamagedFile: see the formats.
    """

    def __init__(
        self,
        source: str,
        split: str,
        protocol: str = "five_folds",
        fold: int = 0,
        seed: int = 0,
        root: str | Path | None = None,
        *,
        cells: Sequence[int] = (60, 80),
        size: Sequence[int] = (480, 640),
        count: int = 300,
    ) -> None:
        if split not in ("train", "fit", "validation", "test") or protocol not in PROTOCOLS:
            raise ValueError(
                f"split is {split!r}, protocol {protocol!r}; choose train, fit, validation or test,"
                f" and {' or '.join(PROTOCOLS)}"
            )
        self.cells, self.faces = (cells[0], cells[1]), []
        if source == "still_lifes":
            scenes = still_lifes("train" if split == "fit" else split, count, seed)
            rows, self.outside, self.names = scenes.fixations, 0, [str(n) for n in range(count)]
            self.size = np.tile(SIZE, (count, 1))
            picture, self.observer, self.order = rows[:, :3].astype(int).T
            self.place, self.duration = rows[:, 3:5], rows[:, 5]
            self.pictures, chosen = Pictures(drawn=scenes.pictures), np.arange(count)
        else:
            data = recorded(source, root)
            if len(data.paths) < 2 * FOLDS:
                raise ValueError(f"{source} has {len(data.paths)} pictures; five folds need {2 * FOLDS}")
            if not 0 <= fold < FOLDS:
                raise ValueError(f"unknown fold {fold} of {source}; choose one of 0 to {FOLDS - 1}")
            dealt, N = folds(len(data.paths)), len(data.paths)
            chosen = dealt[fold] if split == "test" else np.setdiff1d(np.arange(N), dealt[fold])
            if split in ("fit", "validation"):
                held = dealt[(fold + 1) % FOLDS]
                chosen = held if split == "validation" else np.setdiff1d(chosen, held)
            mine = np.isin(data.picture, chosen)
            if protocol == "observers":
                mine &= data.observer % 2 == (split in ("test", "validation"))
            self.pictures, self.outside = Pictures(data.paths, (size[0], size[1])), data.outside
            picture = np.searchsorted(chosen, data.picture[mine])
            self.names, self.size = [data.paths[n].name for n in chosen], data.size[chosen]
            self.observer, self.order, self.place, self.duration = (
                field[mine] for field in (data.observer, data.order, data.place, data.duration)
            )
            if source == "crowd_gaze":
                known = found_faces(root)
                for n in chosen:
                    its = known.picture == n
                    self.faces.append((torch.from_numpy(known.box[its]), torch.from_numpy(known.pose[its])))
        self.picture, self.chosen = picture, torch.from_numpy(chosen)
        self.units = self.names
        self.first = np.searchsorted(picture, np.arange(len(chosen) + 1))
        words = [self.pictures.key, str(self.cells), *self.names]
        parts = [self.place.tobytes(), picture.tobytes(), self.observer.tobytes()]
        self.fingerprint = fingerprint([*(word.encode() for word in words), *parts])
        cell = self.cell(np.arange(len(picture)))
        flat = torch.from_numpy((picture * self.cells[0] + cell[:, 1]) * self.cells[1] + cell[:, 0])
        counts = torch.bincount(flat, minlength=len(chosen) * self.cells[0] * self.cells[1])
        self.counts = counts.view(len(chosen), *self.cells).float()

    def __len__(self) -> int:
        return len(self.chosen)

    def cell(self, rows: np.ndarray) -> Int[np.ndarray, "F 2"]:
        """The cell x y that each of these fixations falls into."""
        cells = np.array(self.cells[::-1])
        share = (self.place[rows] + 0.5) / self.size[self.picture[rows], ::-1]
        return (share * cells).astype(int).clip(0, cells - 1)

    def pixels(self, index: int) -> Int[Tensor, "F 2"]:
        """Where people looked at one picture, x y in whole pixels of it."""
        place = self.place[self.first[index] : self.first[index + 1]].round().astype(int)
        return torch.from_numpy(place.clip(0, self.size[index, ::-1] - 1))

    def elsewhere(self, index: int) -> Int[Tensor, "F 2"]:
        """Where people looked at the other pictures, scaled to this one's size."""
        other = np.flatnonzero(self.picture != index)
        share = (self.place[other] + 0.5) / self.size[self.picture[other], ::-1]
        extent = self.size[index, ::-1]
        return torch.from_numpy((share * extent).astype(int).clip(0, extent - 1))

    def scanpaths(self, index: int) -> list[Float[np.ndarray, "n 3"]]:
        """Of each observer of one picture: x, y and milliseconds of the fixations in their order."""
        rows = slice(self.first[index], self.first[index + 1])
        found, who = np.column_stack([self.place[rows], self.duration[rows]]), self.observer[rows]
        return [found[who == observer] for observer in np.unique(who)]

    def __getitems__(self, indices: Sequence[int]) -> Looked:
        i = torch.as_tensor(indices)
        at = self.chosen[i]
        maps = {name: maps[at] for name, maps in self.pictures.maps.items()}
        return Looked(maps or {"pictures": self.pictures.shown[at]}, self.counts[i], i)

    def __getitem__(self, index: int) -> Looked:
        one = self.__getitems__([index])
        return Looked({name: maps[0] for name, maps in one.maps.items()}, one.counts[0], one.index[0])


class Together(Dataset):
    """Several sets as one, to train on; `index` tells of the pictures of their own sets."""

    def __init__(self, *sets: Fixations) -> None:
        self.sets, self.ends = sets, np.cumsum([len(one) for one in sets])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitems__(self, indices: Sequence[int]) -> Looked:
        i = np.asarray(indices)
        which, starts = np.searchsorted(self.ends, i, "right"), self.ends - [len(one) for one in self.sets]
        parts = [
            one.__getitems__((i[which == n] - starts[n]).tolist())
            for n, one in enumerate(self.sets)
            if (which == n).any()
        ]
        maps = {name: torch.cat([part.maps[name] for part in parts]) for name in parts[0].maps}
        counts = torch.cat([part.counts for part in parts])
        return Looked(maps, counts, torch.cat([part.index for part in parts]))


class Steps(NamedTuple):
    """A batch of fixations, each but the first of its scanpath, and what came before."""

    density: Float[Tensor, "S h w"]  # log density of the picture
    before: Int[Tensor, "S L 2"]  # cells x y of earlier fixations, the last one first
    known: Float[Tensor, "S L"]  # 1, or 0 where the path is shorter
    cell: Int[Tensor, "S 2"]  # x y, where it went


class Scanpaths(Dataset):
    """All fixations but the first ones.

    Args:
        data: the pictures, and who looked at them.
        densities: log density of each of its pictures.
        lags: L, how many earlier fixations are told.
    """

    def __init__(self, data: Fixations, densities: Float[Tensor, "N h w"], lags: int) -> None:
        rows = np.arange(len(data.picture))
        cells = torch.from_numpy(data.cell(rows))
        starts = np.r_[True, (np.diff(data.picture) != 0) | (np.diff(data.observer) != 0)]
        step = rows - np.maximum.accumulate(np.where(starts, rows, 0))  # of its path
        own = np.flatnonzero(~starts)
        back = own[:, None] - 1 - np.arange(lags)
        self.known = torch.from_numpy(np.arange(lags) < step[own, None]).float()
        self.before, self.cell = cells[back.clip(0)], cells[own]
        self.picture, self.densities = torch.from_numpy(data.picture[own]), densities
        self.units = [data.names[n] for n in data.picture[own]]

    def __len__(self) -> int:
        return len(self.cell)

    def __getitems__(self, indices: Sequence[int]) -> Steps:
        i = torch.as_tensor(indices)
        return Steps(self.densities[self.picture[i]], self.before[i], self.known[i], self.cell[i])
