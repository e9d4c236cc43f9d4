"""Where the evidence for a class lies, learned from labels of whole pictures (Durand et al., CVPR 2017).

WILDCAT reads a map of features with M maps of evidence for each class, takes their mean, and pools the places
of this mean to one score, which the labels of the picture train:

    z^c,m = w^c,m . x          one value a place, M maps a class ("multi-map transfer")
    z^c   = mean over m of z^c,m                                ("class-wise pooling")
    s^c   = mean of the k+ highest + alpha mean of the k- lowest places of z^c     ("spatial pooling")

The mean over m is a linear map again, so that M alters how it trains, not what it can say. Heat maps are z^c.
The same with the mean of all places is the class activation map (Zhou et al., CVPR 2016); with the maximum it
is multiple-instance learning (Oquab et al., CVPR 2015), and with log-sum-exp the softer one of Pinheiro and
Collobert (CVPR 2015).

Letters: B pictures, C classes, D channels of a layer's maps, M maps a class, h w places.
"""

from typing import NamedTuple

from jaxtyping import Float, Num, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from companion.models.picture_features import convolutions
from companion.ops import pooling

POOLINGS = ("wildcat", "average", "max", "log-sum-exp")


class Read(NamedTuple):
    """What it says of pictures."""

    logits: Float[Tensor, "B C"]  # of each class by itself
    heatmaps: Float[Tensor, "B C h w"]


class Trunk(nn.Module):
    """A network that begins from nothing, for pictures of few pixels: maps at an eighth of the size."""

    channels, layer = 64, "own"

    def __init__(self) -> None:
        super().__init__()
        behind = nn.ZeroPad2d((0, 1, 0, 1))  # else a place looks half of its size to the left, and up
        self.layers = nn.Sequential(
            *convolutions(3, ((16, 3, 2), (24, 3, 2), (32, 3, 1))),
            *(behind, nn.Conv2d(32, 48, 3, 2), nn.GroupNorm(8, 48), nn.ReLU()),
            *convolutions(48, ((64, 3, 1), (self.channels, 3, 1))),
        )

    def forward(self, pictures: UInt8[Tensor, "B 3 H W"]) -> dict[str, Float[Tensor, "B D h w"]]:
        return {self.layer: self.layers(pictures.float() / 127.5 - 1)}


class Wildcat(nn.Module):
    """Class by class: is it there, and where?

    Args:
        D: channels of the maps that it reads.
        C: classes.
        layer: the name of these maps.
        M: maps a class.
        pooling: one of `POOLINGS`.
        k_max, k_min: k+ and k-, shares of the places below 1, else numbers of them.
        alpha: weight of the lowest places.
        sharpness: of log-sum-exp.
        trunk: makes the maps from pictures, and is trained with the rest; default: they are given.

    Raises:
        ValueError: an unknown pooling, or no map a class.
    """

    def __init__(
        self,
        D: int,
        C: int,
        *,
        layer: str = "block 15",
        M: int = 4,
        pooling: str = "wildcat",
        k_max: int | float = 0.2,
        k_min: int | float = 0.2,
        alpha: float = 0.7,
        sharpness: float = 5.0,
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS or M < 1:
            raise ValueError(f"pooling {pooling!r} of {M} maps; choose {', '.join(POOLINGS)}, of at least 1")
        self.layer, self.C, self.pooling, self.trunk = layer, C, pooling, trunk
        self.k_max, self.k_min, self.alpha, self.sharpness = k_max, k_min, alpha, sharpness
        self.norm = nn.BatchNorm2d(D, affine=False)  # channels of a network at rest differ in size
        self.transfer = nn.Conv2d(D, C * M, 1)

    def forward(self, maps: dict[str, Num[Tensor, "B ..."]]) -> Read:
        if self.trunk:
            maps = self.trunk(maps["pictures"])
        z = self.transfer(self.norm(maps[self.layer].float())).unflatten(1, (self.C, -1)).mean(2)
        return Read(self.pooled(z.flatten(2)), z)

    def pooled(self, z: Float[Tensor, "B C K"]) -> Float[Tensor, "B C"]:
        """One score a class."""
        if self.pooling == "wildcat":
            return pooling.wildcat(z, self.k_max, self.k_min, self.alpha)
        if self.pooling == "log-sum-exp":
            return pooling.log_sum_exp(z, self.sharpness)
        return z.amax(-1) if self.pooling == "max" else z.mean(-1)


def objective(model: nn.Module, batch: tuple) -> Float[Tensor, ""]:
    """The loss of each class by itself, as the paper's (MultiLabelSoftMargin)."""
    return F.binary_cross_entropy_with_logits(model(batch.maps).logits, batch.present)
