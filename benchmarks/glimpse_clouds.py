"""The head of Glimpse Clouds, 4 clips of 8 frames, 3 glimpses and 3 workers, on maps of 2048 channels.

The reference loops over clips' frames, glimpses, workers and pairs of glimpses (`tests/glimpse_loops.py`).
The products of the recurrent cells are timed alone, as each of the two makes them, and a second ratio stands
without them. Memory is what tensors take more at a step's highest point than before it.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.benchmark import Timer

from companion.models.glimpse_clouds import GlimpseClouds
from companion.ops.recurrent import Repeated

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from glimpse_loops import read

B, T, G, K, D, E, S, C = 4, 8, 3, 3, 2048, 1024, 512, 60


def seconds(what: partial) -> float:
    """Median time of a call."""
    timer = Timer("what()", globals={"what": what}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=3).median


def forward(call: partial) -> None:
    with torch.no_grad():
        call()


def both(call: partial) -> None:
    """Forward and backward."""
    call().logits.logsumexp(-1).sum().backward()


def products(model: GlimpseClouds, backward: bool, product: Callable) -> None:
    """All that the cells of locator and workers multiply in a reading."""
    cell, workers = model.locator.cell, model.workers.cells
    with torch.set_grad_enabled(backward):
        total = torch.zeros(())
        for cells, rows in ((cell, T * G), (workers, T)):
            for matrix in (cells.read, cells.recur):
                times = product(matrix)
                seen = torch.randn(len(matrix), B, matrix.shape[1], requires_grad=backward)
                for _ in range(rows):
                    total = total + times(seen).sum()
        if backward:
            total.backward()


def plain(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda seen: seen @ matrix


def highest(call: partial) -> float:
    """MiB that a step takes at its highest point: all that is allocated and not yet freed."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        both(call)
    now = most = 0
    for event in found.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most / 2**20


def show(side: int) -> None:
    """All numbers of one size of the maps."""
    model = GlimpseClouds(D, E, C, S, glimpses=G, workers=K)
    maps, context = torch.randn(B, T, D, side, side).relu(), torch.randn(B, T, E)
    ours, loops = partial(model, maps, context), partial(read, model, maps, context)
    for name, run in {"forward": forward, "forward and backward": both}.items():
        bare = [seconds(partial(products, model, run is both, how)) for how in (Repeated, plain)]
        fast, slow = (seconds(partial(run, call)) for call in (ours, loops))
        print(
            f"{side} x {side}, {name}: {B / fast:.1f} clips/s, loops {B / slow:.1f}, ratio {slow / fast:.1f};"
            f" without the cells' products ({bare[0] * 1e3:.0f} and {bare[1] * 1e3:.0f} ms)"
            f" {(slow - bare[1]) / (fast - bare[0]):.1f}"
        )
    print(f"{side} x {side}, memory of a step: {highest(ours):.0f} MiB, loops {highest(loops):.0f} MiB")


if __name__ == "__main__":
    for side in (7, 14):
        show(side)
