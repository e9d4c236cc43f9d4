"""The part of chapter 02 about the order in which people look: what earlier fixations tell of the next."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from companion.datasets.fixations import Fixations, Scanpaths, Steps
from companion.metrics import scanpaths as compared
from companion.models import scanpaths
from companion.training import Experiment, Scores, evaluate, summary

KINDS = ("static", "next-fixation", "inhibition")
LAGS = 4


def model(kind: str, cells: tuple[int, int]) -> nn.Module:
    """Static: the picture alone; next-fixation: with what was learned of the fixations before; inhibition:
    with the textbook's rule, of which only the sharpness of the density is learned.
    """
    if kind == "static":
        return scanpaths.Static()
    return scanpaths.NextFixation(cells, LAGS, inhibited=kind == "inhibition")


@dataclass(frozen=True)
class Scanning(Experiment):
    """Tested on single fixations, and on whole scanpaths that the model draws.

    Args:
        looked: the pictures of the test, and who looked at them.
    """

    looked: Callable[[], Fixations] = field(kw_only=True)

    def evaluate(self, model: nn.Module, seed: int) -> Scores:
        steps, test = self.test(), self.looked()
        rows, columns = evaluate(model, steps, self.score, seed=seed), alike(model, steps, test, seed)
        number = np.bincount(steps.picture, minlength=len(test))
        for name, values in rows.items():  # the mean of each picture first, as of all scores of gaze
            total = np.bincount(steps.picture, values, len(test))
            columns[name] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        return summary(columns, test.units, self.units)


def bits(model: Callable, batch: Steps) -> dict[str, Float[Tensor, " S"]]:
    """`history`: bits by which a model tells a fixation better than the picture alone."""
    with_history = scanpaths.told(model(*batch[:3]), batch.cell)
    return {"history": (with_history - scanpaths.told(batch.density, batch.cell)) / math.log(2)}


def alike(model: nn.Module, steps: Scanpaths, test: Fixations, seed: int) -> dict[str, np.ndarray]:
    """How like people's scanpaths a model's are (`alike`), and those of other people (`people_alike`).

    Of each observer the model draws a path as long as theirs, and it stands against the other observers', as
    the observer's own does.
    """
    found = {"alike": np.full(len(test), np.nan), "people_alike": np.full(len(test), np.nan)}
    rng, cells = torch.Generator().manual_seed(seed), np.array(test.cells[::-1])
    for n in range(len(test)):
        people = [path[:, :2] for path in test.scanpaths(n)]
        if len(people) < 2:
            continue
        longest, (height, width) = max(map(len, people)), test.size[n].tolist()
        drawn = scanpaths.sampled(model, steps.densities[n], len(people), longest, LAGS, rng).numpy()
        drawn = (drawn + 0.5) / cells * [width, height] - 0.5
        like = partial(compared.alike, width=width, height=height)
        pairs = [(i, j) for i in range(len(people)) for j in range(len(people)) if i != j]
        found["people_alike"][n] = np.mean([like(people[i], people[j]) for i, j in pairs if i < j])
        found["alike"][n] = np.mean([like(drawn[i, : len(people[i])], people[j]) for i, j in pairs])
    return found


@torch.no_grad()
def densities(readout: nn.Module, data: Fixations) -> Float[Tensor, "N h w"]:
    """Of each picture."""
    parts = [data.__getitems__(part.tolist()) for part in torch.arange(len(data)).split(50)]
    return torch.cat([readout(part.maps).log_density for part in parts])
