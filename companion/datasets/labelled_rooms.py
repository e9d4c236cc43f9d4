"""Rooms with labels of what they hold, and no places: what a network can learn to see from."""

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from companion.datasets.labelled_pictures import Labelled
from companion.datasets.rooms import labelled
from companion.files import fingerprint


class LabelledRooms(Dataset):
    """One side.

    Args:
        split, seed: see `rooms.rooms`.
        count: of rooms to train on; `tested` of all others.
    """

    def __init__(self, split: str, seed: int = 0, *, count: int = 300, tested: int = 300) -> None:
        drawn = labelled(split, count if split == "train" else tested, seed)
        self.pictures, self.present = drawn
        self.units = [str(n) for n in range(len(self))]
        self.fingerprint = fingerprint([part.numpy().tobytes() for part in drawn])

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitems__(self, indices: Sequence[int]) -> Labelled:
        i = torch.as_tensor(indices)
        return Labelled({"pictures": self.pictures[i]}, self.present[i], i)
