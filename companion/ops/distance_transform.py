"""The generalised distance transform: the best score that a part can have if its anchor is at each place.

    D(x, y) = max_{dx, dy} R(x + dx, y + dy) - (a_x dx^2 + b_x dx + a_y dy^2 + b_y dy)

The cost is a sum over the directions, so rows are transformed first, then columns. In one direction,

    D(d) = b d - a d^2 + max_s (g(s) + 2 a d s),   g(s) = R(s) - a s^2 - b s,

the largest of n straight lines at n places: their upper envelope is found in linear time, and then read from
left to right (Felzenszwalb and Huttenlocher, Theory of Computing 2012, section 4.1, with parabolas).

voc-release5 looks only at -4 <= dx, dy <= 4: `reach`.

Letters: N maps, H W their size.
"""

from collections.abc import Sequence
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from companion.ops.compiled import njit
from companion.ops.threads import each

SMALL = 1 << 19  # places in all for which threads are not worth their start


class Spread(NamedTuple):
    """A transformed map, and the places y W + x from where its values come."""

    scores: Float[Tensor, "N H W"]
    places: Int[Tensor, "N H W"]


def spread(scores: Float[Tensor, "N H W"], weights: Float[Tensor, "N 4"], reach: int | None = None) -> Spread:
    """The transform of each map with its own weights a_x, b_x, a_y, b_y, on the CPU.

    Args:
        reach: how far a part may be from its anchor in each direction; None: anywhere.

    Raises:
        ValueError: a quadratic weight is not above zero, a score or a weight is NaN or infinite, there are
            not as many weights as maps, or `reach` is below zero.
    """
    return spreads([scores], weights, reach)[0]


def spreads(
    scores: Sequence[Float[Tensor, "N _ _"]], weights: Float[Tensor, "N 4"], reach: int | None = None
) -> list[Spread]:
    """The same of N maps at several scales, all at once: threads that start beside torch's wait for them."""
    if reach is not None and reach < 0:
        raise ValueError(f"reach is {reach}; choose 0 or more, or None")
    if any(len(maps) != len(weights) for maps in scores):
        raise ValueError(f"{[len(maps) for maps in scores]} maps need as many weights, not {len(weights)}")
    if not (weights.isfinite().all() and (weights[:, ::2] > 0).all()):
        raise ValueError(f"the weights of dx^2 and dy^2 must be numbers above 0, not {weights.tolist()}")
    if not all(end.isfinite() for maps in scores if maps.numel() for end in maps.aminmax()):
        raise ValueError("a map of scores holds NaN or an infinite number")
    threads = torch.get_num_threads() if sum(maps.numel() for maps in scores) > SMALL else 1
    cost, found, items = weights.detach().double().numpy(), [], []
    for maps in scores:
        source = maps.detach().float().contiguous().numpy()
        out, at = np.empty_like(source), np.empty(source.shape, np.int32)
        found.append(Spread(torch.from_numpy(out), torch.from_numpy(at)))
        several = min(threads, len(source))
        parts = [slice(len(source) * n // several, len(source) * (n + 1) // several) for n in range(several)]
        items += [tuple(array[part] for array in (source, cost, out, at)) for part in parts]
    if reach is None:
        each(envelopes, items, threads)
    else:
        each(windows, [(*item, reach) for item in items], threads)
    return found


def soft(
    scores: Float[Tensor, "N H W"], weights: Float[Tensor, "N 4"], temperature: float = 1.0
) -> Float[Tensor, "N H W"]:
    """A differentiable transform: t log sum exp(. / t) in place of the maximum, met as t goes to 0."""
    for side, (a, b) in ((-1, weights[:, 0:2].T), (-2, weights[:, 2:4].T)):
        moved = scores.transpose(side, -1)
        places = torch.arange(moved.shape[-1], device=scores.device)
        d = places - places[:, None]  # where the part is, from its anchor
        cost = a[:, None, None] * d.square() + b[:, None, None] * d
        best = ((moved.unsqueeze(-2) - cost.unsqueeze(1)) / temperature).logsumexp(-1)
        scores = (temperature * best).transpose(side, -1)
    return scores


@njit(nogil=True)
@no_type_check
def envelope(f, a, b, g, line, start, apart, out, at):
    """One row or column, in linear time; g, line and start are room for its lines."""
    n, size = len(f), 0
    for s in range(n):
        g[s] = f[s] - (a * s + b) * s
        meet = -np.inf
        while size:  # a line is on top from where it meets the one before
            meet = (g[line[size - 1]] - g[s]) * apart[s - line[size - 1]]
            if meet > start[size - 1]:
                break
            size -= 1
        line[size], start[size] = s, meet if size else -np.inf
        size += 1
    start[size] = n - 1
    first = 0
    for k in range(size):
        s, end = line[k], int(max(min(start[k + 1], n - 1), -1) + 1)
        for d in range(first, end):
            out[d], at[d] = f[s] - (a * (s - d) + b) * (s - d), s
        first = max(first, end)


@njit(nogil=True)
@no_type_check
def envelopes(scores, cost, out, at):
    """The rows of some maps, then their columns."""
    N, H, W = scores.shape
    n = max(H, W)
    g, line, start, apart = np.empty(n), np.empty(n, np.int64), np.empty(n + 1), np.empty((2, n + 1))
    rows, columns = np.empty((H, W), np.float32), np.empty((H, W), np.int32)
    f, best, y_best = np.empty(H, np.float32), np.empty(H, np.float32), np.empty(H, np.int32)
    for m in range(N):
        apart[0] = 1 / (2 * cost[m, 0] * np.arange(n + 1))
        apart[1] = 1 / (2 * cost[m, 2] * np.arange(n + 1))
        for y in range(H):
            envelope(scores[m, y], cost[m, 0], cost[m, 1], g, line, start, apart[0], rows[y], columns[y])
        for x in range(W):
            f[:] = rows[:, x]
            envelope(f, cost[m, 2], cost[m, 3], g, line, start, apart[1], best, y_best)
            for y in range(H):
                out[m, y, x], at[m, y, x] = best[y], W * y_best[y] + columns[y_best[y], x]


@njit(nogil=True)
@no_type_check
def better(f, a, b, d, by, best, way):
    """Takes what lies d away, where that is better."""
    price = np.float32((a * d + b) * d)
    for x in range(len(f)):
        more = f[x] - price > best[x]
        best[x] = f[x] - price if more else best[x]
        way[x] = by if more else way[x]


@njit(nogil=True)
@no_type_check
def windows(scores, cost, out, at, reach):
    """The same from places near by, by trying them all."""
    N, H, W = scores.shape
    rows, dx, dy = np.empty((H, W), np.float32), np.empty((H, W), np.int32), np.empty(W, np.int32)
    for m in range(N):
        rows[:], out[m] = -np.inf, -np.inf
        for y in range(H):
            for d in range(max(-reach, 1 - W), min(reach, W - 1) + 1):
                first, end = max(0, -d), min(W, W - d)
                f, best, way = scores[m, y, first + d : end + d], rows[y, first:end], dx[y, first:end]
                better(f, cost[m, 0], cost[m, 1], d, np.int32(d), best, way)
        for y in range(H):
            for d in range(max(-reach, -y), min(reach, H - 1 - y) + 1):
                better(rows[y + d], cost[m, 2], cost[m, 3], d, np.int32(d), out[m, y], dy)
            for x in range(W):
                at[m, y, x] = W * (y + dy[x]) + x + dx[y + dy[x], x]
