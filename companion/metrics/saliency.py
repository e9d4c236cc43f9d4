"""How well a map of a picture tells where people look.

The definitions are those of pysaliency, the library behind the Tübingen benchmark; where the MIT
benchmark's program differs, the docstring says how. Fixations are rows (x, y) of whole pixels; a pixel that
is looked at twice counts twice (MIT's program counts it once).

Letters: H W a picture's size, F its fixations, N fixations elsewhere.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from companion.ops.blur import blur

SIGMA = 24.0  # pixels, of the blur that makes a map of fixations: of OSIE's program, 1 degree of sight
EPSILON = 2.2204e-16  # of MIT's program


def at(values: Float[Tensor, "H W"], places: Int[Tensor, "F 2"]) -> Float[Tensor, " F"]:
    """The values of a map where people looked."""
    return values[places[:, 1], places[:, 0]]


def counted(places: Int[Tensor, "F 2"], height: int, width: int) -> Float[Tensor, "H W"]:
    """How many fixations each pixel has."""
    flat = places[:, 1] * width + places[:, 0]
    return torch.bincount(flat, minlength=height * width).view(height, width).float()


def fixation_map(
    places: Int[Tensor, "F 2"], height: int, width: int, sigma: float = SIGMA
) -> Float[Tensor, "H W"]:
    """Where people looked as a density: their fixations blurred, summing to 1.

    Raises:
        ValueError: no fixation.
    """
    if not len(places):
        raise ValueError("a picture without fixations has no map of them; leave it out")
    return density(blur(counted(places, height, width), sigma))


def density(values: Float[Tensor, "H W"]) -> Float[Tensor, "H W"]:
    """A map that sums to 1: as it is, or raised so that its least value is 0 if that is below.

    MIT's program subtracts the least value always, which changes SIM.

    Raises:
        ValueError: a value is not finite, or none is above the others.
    """
    if not values.isfinite().all():
        raise ValueError("a map holds NaN or infinity; mend the model that made it")
    values = (values - values.min().clamp_max(0)).double()
    if not values.sum() > 0:
        raise ValueError("a map of zeros cannot sum to 1; score it by AUC or NSS")
    return (values / values.sum()).float()


def auc(positive: Float[Tensor, " F"], negative: Float[Tensor, " N"]) -> float:
    """How often a positive is above a negative; equal ones count half: the area under the ROC curve.

    Raises:
        ValueError: there are no positives or no negatives.
    """
    if not len(positive) or not len(negative):
        raise ValueError("an area under the ROC curve needs values of both kinds")
    ordered = positive.sort().values
    below, upto = (torch.searchsorted(ordered, negative, right=right) for right in (False, True))
    above = len(ordered) - (below + upto).double() / 2
    return above.mean().item() / len(ordered)


def auc_judd(values: Float[Tensor, "H W"], places: Int[Tensor, "F 2"]) -> float:
    """Fixated pixels against all that nobody looked at (Judd et al., ICCV 2009).

    Both programs add a jitter of 1e-7 to break ties, which half credit does exactly.
    """
    free: Bool[Tensor, "H W"] = counted(places, *values.shape) == 0
    return auc(at(values, places), values[free])


def shuffled_auc(
    values: Float[Tensor, "H W"], places: Int[Tensor, "F 2"], others: Int[Tensor, "N 2"]
) -> float:
    """The same against fixations of other pictures, which a centre bias explains as well (Zhang et al. 2008).

    pysaliency takes all other pictures and all thresholds; MIT's program ten, and steps of 0.1.
    """
    return auc(at(values, places), at(values, others))


def nss(values: Float[Tensor, "H W"], places: Int[Tensor, "F 2"]) -> float:
    """Mean over fixations of the map with mean 0 and deviation 1 (Peters et al. 2005); a constant map: 0."""
    values = values.double()
    spread = values.std(correction=0)
    return ((at(values, places) - values.mean()) / spread).mean().item() if spread > 0 else 0.0


def cc(values: Float[Tensor, "H W"], looked: Float[Tensor, "H W"]) -> float:
    """Pearson's correlation with the map of fixations; 0 of a constant map."""
    one, other = (it.double() - it.double().mean() for it in (values, looked))
    norm = one.norm() * other.norm()
    return ((one * other).sum() / norm).item() if norm > 0 else 0.0


def sim(values: Float[Tensor, "H W"], looked: Float[Tensor, "H W"]) -> float:
    """What two densities have in common: the sum of the lesser ones."""
    return torch.minimum(density(values), density(looked)).sum().item()


def kl(values: Float[Tensor, "H W"], looked: Float[Tensor, "H W"]) -> float:
    """Divergence of the fixations' density from the map's, in nats, with MIT's constants.

    A map with zeros where people looked is punished by the constant.
    """
    p, q = density(values).double(), density(looked).double()
    return (q * torch.log(EPSILON + q / (p + EPSILON))).sum().item()


def information_gain(
    log_density: Float[Tensor, "H W"], base: Float[Tensor, "H W"], places: Int[Tensor, "F 2"]
) -> float:
    """By how many bits a fixation is more probable than under another density (Kümmerer et al. 2015).

    Args:
        log_density, base: natural logarithms of densities that sum to 1.

    Raises:
        ValueError: one of them does not.
    """
    for values in (log_density, base):
        total = values.double().logsumexp((0, 1)).exp().item()
        if not abs(total - 1) < 1e-3:
            raise ValueError(f"a density sums to {total:.4g}, not to 1; give log probabilities of pixels")
    return (at(log_density, places) - at(base, places)).double().mean().item() / math.log(2)
