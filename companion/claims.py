"""Statements tested over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student


class Claim(NamedTuple):
    """What a slide says, over measured numbers: it holds if the interval lies above `least`.

    That something is at chance holds if the interval lies below `least`; see `at_chance`.
    """

    name: str
    effect: float
    low: float
    high: float
    least: float
    n: int
    holds: bool


def claim(name: str, effects: Sequence[float], least: float = 0.0) -> Claim:
    """Test that the mean effect over seeds exceeds `least`, by Student's 95 % interval.

    Args:
        effects: one paired difference (or ratio) a seed, at least two.

    Raises:
        ValueError: fewer than two seeds, which give no interval.
    """
    values = np.asarray(effects, float)
    if values.size < 2:
        raise ValueError(f"claim {name!r} has {values.size} seed; an interval needs at least two")
    mean = values.mean()
    half = student.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size)
    return Claim(name, mean, mean - half, mean + half, least, values.size, bool(mean - half > least))


def at_chance(name: str, right: int, clips: int, seeds: int, chance: float, margin: float = 5.0) -> Claim:
    """Test that no more is read right than by chance, on the clips of all seeds together, in percent.

    It holds if a one-sided exact binomial test at 0.01 does not reject chance, and if the upper 95 % bound
    (Clopper and Pearson) is below chance + margin, so that too few clips cannot show it.

    Args:
        right, clips: how many were read right of how many that do not depend on each other.
        chance: in percent.

    Returns:
        The claim; effect, lower and upper 95 % bound are what exceeds chance.
    """
    test = binomtest(right, clips, chance / 100, alternative="greater")
    interval = binomtest(right, clips, chance / 100).proportion_ci(0.90)
    low, high = (100 * bound - chance for bound in interval)
    holds = test.pvalue >= 0.01 and high < margin
    return Claim(name, 100 * right / clips - chance, low, high, margin, seeds, bool(holds))
