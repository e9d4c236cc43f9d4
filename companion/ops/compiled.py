"""Numba's compiler, which keeps what it has compiled where it may, and does without where it may not."""

from collections.abc import Callable
from contextlib import suppress
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
            made: Any = numba.njit(cache=True, **options)(function)
        except (FileNotFoundError, RuntimeError):  # none of them is there and can be written
            return numba.njit(**options)(function)
        for name in ("load_overload", "save_overload"):
            setattr(made._cache, name, without_fail(getattr(made._cache, name)))
        return made

    return compiled


def without_fail(call: Callable) -> Callable:
    """The same, or None where the disk is full or a kept file is damaged."""

    def called(*args: Any) -> Any:
        with suppress(Exception):
            return call(*args)

    return called
