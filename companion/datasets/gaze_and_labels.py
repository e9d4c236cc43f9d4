"""Pictures that people looked at, and others whose labels are known, in the same batches.

Letters: B pictures of the first kind in a batch, and as many of the second; C classes, h w cells.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor
from torch.utils.data import Dataset

from companion.datasets.fixations import Fixations
from companion.datasets.labelled_pictures import LabelledPictures


class Both(NamedTuple):
    """A batch."""

    maps: dict[str, Num[Tensor, "B2 ..."]]  # of the pictures of the first kind, then of the second
    counts: Float[Tensor, "B h w"]
    present: Float[Tensor, "B C"]


class GazeAndLabels(Dataset):
    """As many as were looked at; beside each, one with labels that is drawn anew in every epoch.

    Raises:
        ValueError: their pictures have not the same size, so that no network sees both at once.
    """

    def __init__(self, looked: Fixations, labelled: LabelledPictures, seed: int = 0) -> None:
        sizes = [tuple(one.pictures.shown.shape[2:]) for one in (looked, labelled)]
        if sizes[0] != sizes[1]:
            raise ValueError(f"pictures of {sizes[0]} and of {sizes[1]} pixels; give both one size")
        self.looked, self.labelled, self.seed = looked, labelled, seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw which pictures stand beside each other: every one with labels equally often, or once more."""
        rng, N = np.random.default_rng([self.seed, epoch, 19]), len(self.labelled)
        rounds = -(-len(self.looked) // N)
        self.beside = np.concatenate([rng.permutation(N) for _ in range(rounds)])[: len(self.looked)]

    def __len__(self) -> int:
        return len(self.looked)

    def __getitems__(self, indices: Sequence[int]) -> Both:
        looked = self.looked.__getitems__(indices)
        labelled = self.labelled.__getitems__(self.beside[list(indices)].tolist())
        maps = {name: torch.cat([maps, labelled.maps[name]]) for name, maps in looked.maps.items()}
        return Both(maps, looked.counts, labelled.present)
