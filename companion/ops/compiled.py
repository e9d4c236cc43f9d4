"""Numba's compiler, which keeps what it has compiled where it may, and does without where it may not."""

from collections.abc import Callable
from typing import Any

import numba
from numba.core import config

from companion.files import scratch

settings: Any = config


def njit(**options: Any) -> Callable[[Callable], Callable]:
    """`numba.njit` with a cache in NUMBA_CACHE_DIR, or else in `scratch`, the package or the user's cache."""

    def compiled(function: Callable) -> Callable:
        try:
            settings.CACHE_DIR = settings.CACHE_DIR or str(scratch() / "numba")
            return numba.njit(cache=True, **options)(function)
        except (FileNotFoundError, RuntimeError):  # none of them is there and can be written
            return numba.njit(**options)(function)

    return compiled
