"""Where people look next, given where they looked before in the same picture.

The density of a picture, times what distance and direction from earlier fixations make of it (the form of
Kümmerer and Bethge, 2021, with a table in place of a network):

    log p(x_t | x_1 .. x_t-1) = log softmax( s log p(x) + sum_l k_l(x - x_t-l) )

The textbook's inhibition of return (Itti and Koch, 2001) is a k that is given: what was seen is left alone.

Letters: h w cells of a density, S steps of scanpaths, L earlier fixations that count, R rings of distance,
A directions.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

RINGS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # cells: knots between which a table is linear
DIRECTIONS = 8
INHIBITED = 3.0  # cells: standard deviation of what fixed inhibition leaves alone


def corners(h: int, w: int) -> tuple[Int[Tensor, "H W 4"], Float[Tensor, "H W 4"]]:
    """Of each displacement y x from -(h - 1) -(w - 1) on: four entries of a table R A, and their weights."""
    y, x = torch.meshgrid(torch.arange(1.0 - h, h), torch.arange(1.0 - w, w), indexing="ij")
    far, turn = torch.hypot(x, y), torch.atan2(y, x) % (2 * math.pi) * DIRECTIONS / (2 * math.pi)
    knots = torch.tensor(RINGS)
    ring = torch.bucketize(far, knots, right=True).clamp(1, len(RINGS) - 1)
    out = ((far - knots[ring - 1]) / (knots[ring] - knots[ring - 1])).clamp(0, 1)
    first, over = turn.floor().long() % DIRECTIONS, turn % 1
    entries, weights = [], []
    for own, share in ((ring - 1, 1 - out), (ring, out)):
        for angle, part in ((first, 1 - over), ((first + 1) % DIRECTIONS, over)):
            entries.append(own * DIRECTIONS + angle)
            weights.append(share * part)
    return torch.stack(entries, -1), torch.stack(weights, -1)


class NextFixation(nn.Module):
    """The density of the next fixation.

    Args:
        cells: h w.
        lags: L.
        inhibited: earlier fixations, all that are given, are left alone by a fixed rule, and nothing is
            learned of them.
    """

    def __init__(self, cells: tuple[int, int], lags: int = 4, inhibited: bool = False) -> None:
        super().__init__()
        self.cells, self.lags, self.inhibited = cells, lags, inhibited
        self.scale = nn.Parameter(torch.ones(()))  # s
        self.table = nn.Parameter(torch.zeros(lags, len(RINGS) * DIRECTIONS), requires_grad=not inhibited)
        entries, weights = corners(*cells)
        self.register_buffer("entries", entries, persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def kernels(self) -> Float[Tensor, "L H W"]:
        """k of every displacement y x, from -(h - 1) -(w - 1) on."""
        h, w = self.cells
        if self.inhibited:
            y, x = torch.meshgrid(torch.arange(1.0 - h, h), torch.arange(1.0 - w, w), indexing="ij")
            near = torch.exp(-(x.square() + y.square()) / (2 * INHIBITED**2))
            return torch.log1p(-near.clamp_max(1 - 1e-4)).expand(self.lags, -1, -1)
        return (self.table[:, self.entries] * self.weights).sum(-1)

    def forward(
        self, density: Float[Tensor, "S h w"], before: Int[Tensor, "S L 2"], known: Float[Tensor, "S L"]
    ) -> Float[Tensor, "S h w"]:
        """Log density of the next fixation.

        Args:
            density: log density of the picture, of each step.
            before: cells x y of the fixations before it, the last one first.
            known: 1, or 0 where there was none.
        """
        h, w = self.cells
        kernels = self.kernels()
        rows = torch.arange(h) - before[..., 1:] + h - 1  # S L h: displacements, as indices
        columns = torch.arange(w) - before[..., :1] + w - 1
        lag = torch.arange(self.lags)[:, None, None]
        moved = kernels[lag, rows[..., None], columns[..., None, :]]  # S L h w
        values = self.scale * density + (known[..., None, None] * moved).sum(1)
        return values.flatten(1).log_softmax(1).view_as(values)


class Static(nn.Module):
    """The density of the picture, wherever people looked before."""

    def forward(
        self, density: Float[Tensor, "S h w"], before: Int[Tensor, "S L 2"], known: Float[Tensor, "S L"]
    ) -> Float[Tensor, "S h w"]:
        return density


def told(values: Float[Tensor, "S h w"], cell: Int[Tensor, "S 2"]) -> Float[Tensor, " S"]:
    """Of each map its value at one cell x y."""
    return values[torch.arange(len(values)), cell[:, 1], cell[:, 0]]


def objective(model: nn.Module, batch: tuple) -> Float[Tensor, ""]:
    """Minus the mean log likelihood of the next fixation, in nats."""
    return -told(model(*batch[:3]), batch.cell).mean()


@torch.no_grad()
def sampled(
    model: nn.Module, density: Float[Tensor, "h w"], paths: int, steps: int, lags: int, rng: torch.Generator
) -> Int[Tensor, "P S 2"]:
    """Scanpaths of a model: cells x y. The first fixation is drawn from the density itself.

    Args:
        density: log density of the picture.
        paths, steps: P and S.
        lags: L, how many earlier fixations the model is told.
    """
    h, w = density.shape
    every, found = density.expand(paths, h, w), []
    for step in range(steps):
        back = found[::-1][:lags]
        before = torch.stack([*back, *[torch.zeros(paths, 2, dtype=torch.long)] * (lags - len(back))], 1)
        known = (torch.arange(lags) < len(back)).float().expand(paths, lags)
        values = model(every, before, known) if step else every
        flat = torch.multinomial(values.flatten(1).exp(), 1, generator=rng)[:, 0]
        found.append(torch.stack([flat % w, flat // w], 1))
    return torch.stack(found, 1)
