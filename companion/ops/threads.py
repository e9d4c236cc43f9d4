"""Compiled loops on several maps or images at once."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import torch


def each(call: Callable[..., None], items: Iterable[tuple]) -> None:
    """`call(*item)` for each item, on as many threads as torch uses; `call` sets the lock free."""
    items = list(items)
    threads = min(torch.get_num_threads(), len(items))
    if threads <= 1:
        for item in items:
            call(*item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(call, *item) for item in items]:
            done.result()
