"""Compiled loops on several maps or images at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def each(call: Callable[..., None], items: Iterable[tuple], threads: int) -> None:
    """`call(*item)` for each item, on so many threads; `call` sets the lock free."""
    items = list(items)
    if min(threads, len(items)) <= 1:
        for item in items:
            call(*item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(call, *item) for item in items]:
            done.result()
