"""Statements tested over seeds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student


class Claim(NamedTuple):
    """What a slide says, over measured numbers: it holds if the interval lies above `least`."""

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
