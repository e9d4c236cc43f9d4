"""Where people look, as a density that is learned: a readout of features, and what it is held against.

A readout is DeepGaze's form (Kümmerer, Wallis, Bethge, 2016): convolutions of 1 x 1 on the maps of a
network at rest, a learned blur, a centre prior, and a softmax over the places of the picture. So it is a
density, and is trained by the likelihood of fixations:

    log p(x) = log softmax( blur(f(maps))(x) + a log q(x) ),   q = where people look at other pictures

Letters: B pictures, D channels of a layer's maps, h w cells of a density, N training pictures, M observers.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Num, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from companion.models.picture_features import convolutions
from companion.ops.blur import blur, smooth

WIDTHS = (0.6, 0.9, 1.3, 2.0, 3.0, 4.5, 7.0)  # cells: what blurs of counts are chosen from
UNIFORM = (0.001, 0.01, 0.03, 0.1, 0.3)  # shares of a density without any knowledge


class Gaze(NamedTuple):
    """What a model says of pictures."""

    map: Float[Tensor, "B h w"]  # the higher, the more it expects people to look there
    log_density: Float[Tensor, "B h w"] | None = None  # of cells, where the model is a density


def log_density(values: Float[Tensor, "B h w"]) -> Float[Tensor, "B h w"]:
    """Log softmax over all cells."""
    return values.flatten(1).log_softmax(1).view_as(values)


def as_gaze(values: Float[Tensor, "B h w"]) -> Gaze:
    """Of values whose softmax is the density."""
    density = log_density(values)
    return Gaze(density, density)


def mixed(counts: Float[Tensor, "*B h w"], sigma: float, uniform: float) -> Float[Tensor, "*B h w"]:
    """Counts, blurred, as a density with a share that knows nothing."""
    spread = blur(counts, sigma)
    spread = spread / spread.sum((-2, -1), keepdim=True).clamp_min(1e-9)
    return (1 - uniform) * spread + uniform / (counts.shape[-2] * counts.shape[-1])


def chosen(counts: Float[Tensor, "N h w"]) -> tuple[float, float]:
    """The blur and the uniform share under which each picture is likeliest from the others."""

    def likelihood(sigma: float, uniform: float) -> float:
        others = (counts.sum(0) - counts).clamp_min(0)
        return (counts * mixed(others, sigma, uniform).log()).sum().item()

    return max(((s, u) for s in WIDTHS for u in UNIFORM), key=lambda pair: likelihood(*pair))


def centre_bias(counts: Float[Tensor, "N h w"]) -> Float[Tensor, "h w"]:
    """Log density of where people look whatever the picture, from pictures of training; see `chosen`."""
    return mixed(counts.sum(0), *chosen(counts)).log()


def gaussian(cells: tuple[int, int], share: float = 0.25) -> Float[Tensor, "h w"]:
    """Log density of a Gaussian in the middle, as wide as a share of height and width."""
    y, x = (torch.arange(side) - (side - 1) / 2 for side in cells)
    values = -((y[:, None] / (share * cells[0])) ** 2 + (x / (share * cells[1])) ** 2) / 2
    return log_density(values[None])[0]


class Always(nn.Module):
    """The same density for each picture."""

    def __init__(self, density: Float[Tensor, "h w"]) -> None:
        super().__init__()
        self.register_buffer("density", density)

    def forward(self, maps: dict[str, Num[Tensor, "B ..."]]) -> Gaze:
        count = len(next(iter(maps.values())))
        values = self.density.expand(count, *self.density.shape)
        return Gaze(values, values)


class Trunk(nn.Module):
    """A network of its own, which begins from nothing: maps at an eighth of the size.

    In training it sees half of the pictures mirrored, and mirrors their maps back.
    """

    channels = {"own": 96, "coarse": 96}

    def __init__(self) -> None:
        super().__init__()
        behind = nn.ZeroPad2d((0, 1, 0, 1))  # else a place looks half of its size to the left, and up
        self.layers = nn.Sequential(
            *convolutions(3, ((24, 3, 2), (32, 3, 2), (48, 3, 1))),
            *(behind, nn.Conv2d(48, 64, 3, 2), nn.GroupNorm(8, 64), nn.ReLU()),
            *convolutions(64, ((96, 3, 1), (96, 3, 1))),
        )
        self.deeper = nn.Sequential(
            *(nn.Conv2d(96, 96, 4, 2, 1), nn.GroupNorm(8, 96), nn.ReLU()),
            *convolutions(96, ((96, 3, 1), (96, 3, 1))),
        )

    def forward(self, pictures: UInt8[Tensor, "B 3 H W"]) -> dict[str, Float[Tensor, "B D h w"]]:
        turned = (torch.rand(len(pictures), 1, 1, 1) < 0.5 * self.training).to(pictures.device)
        fine = self.layers(pictures.where(~turned, pictures.flip(-1)).float() / 127.5 - 1)
        maps = {"own": fine, "coarse": self.deeper(fine)}
        return {name: found.where(~turned, found.flip(-1)) for name, found in maps.items()}


class Readout(nn.Module):
    """A density from the maps of some layers.

    Args:
        channels: D of each layer that is read.
        prior: log density of where people look at other pictures; h w is its size.
        widths: of the two hidden layers.
        dropout: share of the channels that are dropped in training.
        trunk: makes the maps from pictures, and is trained with the readout; default: they are given.
    """

    def __init__(
        self,
        channels: dict[str, int],
        prior: Float[Tensor, "h w"],
        *,
        widths: Sequence[int] = (32, 16),
        dropout: float = 0.2,
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.trunk, self.dropout = trunk, dropout
        names = {name: name.replace(" ", "_") for name in channels}
        self.names = names
        self.norm = nn.ModuleDict(
            {names[name]: nn.GroupNorm(1, D, affine=False) for name, D in channels.items()}
        )
        self.first = nn.ModuleDict({names[n]: nn.Conv2d(D, widths[0], 1) for n, D in channels.items()})
        self.second, self.last = nn.Conv2d(widths[0], widths[1], 1), nn.Conv2d(widths[1], 1, 1)
        self.log_sigma = nn.Parameter(torch.zeros(()))  # of the blur, in cells
        self.centre = nn.Parameter(torch.ones(()))  # a
        self.register_buffer("prior", prior)

    def hidden(self, maps: dict[str, Num[Tensor, "B D h2 w2"]]) -> Float[Tensor, "B D3 h w"]:
        """What the last layer reads."""
        if self.trunk:
            maps = self.trunk(maps["pictures"])
        sums: dict[torch.Size, Tensor] = {}  # of layers of one size
        for name, key in self.names.items():
            seen = F.dropout2d(self.norm[key](maps[name].float()), self.dropout, self.training)
            own = self.first[key](seen)
            sums[own.shape] = sums.get(own.shape, torch.zeros(())) + own
        # a convolution of 1 x 1, a sum and an enlargement may change places: the cheaper ones first
        total = sum(F.interpolate(own, self.prior.shape, mode="bilinear") for own in sums.values())
        return F.softplus(self.second(F.softplus(cast(Tensor, total))))

    def values(self, hidden: Float[Tensor, "B D3 h w"]) -> Float[Tensor, "B h w"]:
        """Before the prior and the softmax."""
        return smooth(self.last(hidden)[:, 0], self.log_sigma.exp())

    def forward(self, maps: dict[str, Num[Tensor, "B D h2 w2"]]) -> Gaze:
        return as_gaze(self.values(self.hidden(maps)) + self.centre * self.prior)


class Ensemble(nn.Module):
    """Readouts that differ in what they began with: the mean of their densities."""

    def __init__(self, members: Sequence[Readout]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def each(self, maps: dict[str, Num[Tensor, "B D h2 w2"]]) -> Float[Tensor, "M B h w"]:
        """The log density of each member."""
        return torch.stack([member(maps).map for member in self.members])

    def forward(self, maps: dict[str, Num[Tensor, "B D h2 w2"]]) -> Gaze:
        return as_gaze(self.each(maps).logsumexp(0))


def objective(model: nn.Module, batch: tuple) -> Float[Tensor, ""]:
    """Minus the mean log likelihood of a fixation, in nats; of an ensemble, the mean over its members."""
    density = model.each(batch.maps) if isinstance(model, Ensemble) else model(batch.maps).map[None]
    return -(batch.counts * density).sum() / batch.counts.sum() / len(density)


class FromPictures(nn.Module):
    """A model that learns nothing, on pictures.

    Args:
        of: takes pictures B 3 H W to maps.
        prior: log density that the map, which is then positive, is multiplied with.
    """

    def __init__(self, of: Callable, prior: Float[Tensor, "h w"] | None = None) -> None:
        super().__init__()
        self.of = of
        self.register_buffer("prior", prior)

    def forward(self, maps: dict[str, Num[Tensor, "B ..."]]) -> Gaze:
        found = self.of(maps["pictures"])
        low, high = found.amin((1, 2), keepdim=True), found.amax((1, 2), keepdim=True)
        found = (found - low) / (high - low).clamp_min(1e-12)
        if self.prior is not None:
            centre = F.interpolate(self.prior.exp()[None, None], found.shape[1:], mode="bilinear")[0]
            found = found * centre
        return Gaze(found)


class Observers(nn.Module):
    """What observers tell of each other at the same picture: the ceiling of all models of pictures.

    Args:
        counts: fixations of M observers at pictures of training, one tensor a picture; blur and share of
            the prior are those under which each observer is likeliest.
        prior: log density of where people look at other pictures.
        alone: one observer tells of all others; else all others of one.
        sigma: the blur, in cells; default: chosen.
    """

    def __init__(
        self,
        counts: Sequence[Float[Tensor, "M h w"]],
        prior: Float[Tensor, "h w"],
        alone: bool = False,
        sigma: int | float | None = None,
    ) -> None:
        super().__init__()
        self.alone = alone
        self.register_buffer("prior", prior)

        def likelihood(width: float, share: float) -> float:
            self.sigma, self.share = width, share
            return sum((self.told(its) * self(its)).sum().item() for its in counts)

        self.sigma, self.share = max(
            ((width, share) for width in ([sigma] if sigma else WIDTHS) for share in UNIFORM),
            key=lambda pair: likelihood(*pair),
        )

    def told(self, counts: Float[Tensor, "M h w"]) -> Float[Tensor, "M h w"]:
        """The fixations that each of its densities is about."""
        return counts.sum(0) - counts if self.alone else counts

    def forward(self, counts: Float[Tensor, "M h w"]) -> Float[Tensor, "M h w"]:
        known = counts if self.alone else counts.sum(0) - counts
        return ((1 - self.share) * mixed(known, self.sigma, 0.0) + self.share * self.prior.exp()).log()
