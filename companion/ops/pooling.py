"""From a map of evidence to one score: what weakly supervised models do with the places of a class.

Letters: B images, C classes, K places.
"""

import math

from jaxtyping import Float
from torch import Tensor


def places(k: int | float, K: int) -> int:
    """How many of K places are meant: a share of them below 1, else their number.

    Raises:
        ValueError: below 0, or more than there are.
    """
    if not 0 <= k <= K:
        raise ValueError(f"k is {k:g} of {K} places; give a share from 0 to 1, or a number up to {K}")
    return round(k) if k >= 1 else max(round(k * K), k > 0)


def wildcat(
    maps: Float[Tensor, "B C K"], k_max: int | float, k_min: int | float, alpha: float
) -> Float[Tensor, "B C"]:
    """Mean of the k+ highest, and alpha times that of the k- lowest places (Durand et al. 2017, eq. 2).

    The authors' program halves the sum.

    Args:
        k_max, k_min: k+ and k-; see `places`. k- of 0 leaves the lowest out.

    Raises:
        ValueError: k+ of 0, or see `places`.
    """
    K = maps.shape[-1]
    high, low = places(k_max, K), places(k_min, K)
    if not high:
        raise ValueError("k+ is 0; at least one place must be read")
    score = maps.topk(high, sorted=False).values.mean(-1)
    return score + alpha * maps.topk(low, largest=False, sorted=False).values.mean(-1) if low else score


def log_sum_exp(maps: Float[Tensor, "B C K"], sharpness: float) -> Float[Tensor, "B C"]:
    """Between the mean (sharpness 0) and the maximum (Pinheiro and Collobert, CVPR 2015, eq. 1)."""
    return ((sharpness * maps).logsumexp(-1) - math.log(maps.shape[-1])) / sharpness
