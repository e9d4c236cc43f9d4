"""The generalised distance transform: the best score that a part can have if its anchor is at each place.

    D(x, y) = max_{dx, dy} R(x + dx, y + dy) - (a_x dx^2 + b_x dx + a_y dy^2 + b_y dy)

The cost is a sum over the directions, so rows are transformed first, then columns. In one direction,

    D(d) = b d - a d^2 + max_s (g(s) + 2 a d s),   g(s) = R(s) - a s^2 - b s,

the largest of n straight lines at n places: their upper envelope is found in linear time, and then read from
left to right (Felzenszwalb and Huttenlocher, Theory of Computing 2012, section 4.1, with parabolas).

voc-release5 looks only at -4 <= dx, dy <= 4: `reach`.

Letters: N maps, H W their size.
"""

from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import njit
from torch import Tensor

from companion.ops.threads import each

SMALL = 1 << 16  # places for which a further thread is not worth its start


class Spread(NamedTuple):
    """A transformed map, and the places y W + x from where its values come."""

    scores: Float[Tensor, "N H W"]
    places: Int[Tensor, "N H W"]


def spread(scores: Float[Tensor, "N H W"], weights: Float[Tensor, "N 4"], reach: int | None = None) -> Spread:
    """The transform of each map with its own weights a_x, b_x, a_y, b_y, on the CPU.

    Args:
        reach: how far a part may be from its anchor in each direction; None: anywhere.

    Raises:
        ValueError: a quadratic weight is not above zero, or a score or a weight is NaN or infinite.
    """
    if not (weights.isfinite().all() and (weights[:, ::2] > 0).all()):
        raise ValueError(f"the weights of dx^2 and dy^2 must be numbers above 0, not {weights.tolist()}")
    if not scores.isfinite().all():
        raise ValueError("a map of scores holds NaN or an infinite number")
    N, H, W = scores.shape
    places = torch.arange(H * W, dtype=torch.int32).view(1, H, W).expand(N, H, W)
    found = along(Spread(scores.detach().float(), places), weights[:, :2], reach)
    return along(found, weights[:, 2:], reach)


def along(found: Spread, weights: Float[Tensor, "N 2"], reach: int | None) -> Spread:
    """The transform along the last axis; it comes back transposed."""
    source, places = (x.contiguous().numpy() for x in found)
    cost, out, at = weights.detach().double().numpy(), np.empty_like(source), np.empty_like(places)
    several = min(torch.get_num_threads(), len(source), 1 + source.size // SMALL)
    parts = [slice(len(source) * n // several, len(source) * (n + 1) // several) for n in range(several)]
    maps = [tuple(array[part] for array in (source, places, cost, out, at)) for part in parts]
    if reach is None:
        each(envelope, maps)
    else:
        each(window, [(*some, reach) for some in maps])
    return Spread(torch.from_numpy(out).mT, torch.from_numpy(at).mT)


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


@njit(cache=True, nogil=True)
@no_type_check
def envelope(scores, places, cost, out, at):
    """The rows of some maps, in linear time."""
    n = scores.shape[2]
    g, line, start, apart = np.empty(n), np.empty(n, np.int64), np.empty(n + 1), np.empty(n + 1)
    for m in range(len(scores)):
        a, b = cost[m]
        apart[:] = 1 / (2 * a * np.arange(n + 1))
        for row in range(scores.shape[1]):
            f, size = scores[m, row], 0
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
                    out[m, row, d] = f[s] - (a * (s - d) + b) * (s - d)
                    at[m, row, d] = places[m, row, s]
                first = max(first, end)


@njit(cache=True, nogil=True)
@no_type_check
def window(scores, places, cost, out, at, reach):
    """The same from places near by, by trying them all."""
    n = scores.shape[2]
    reach = min(reach, n - 1)
    best, off = np.empty(n, np.float32), np.empty(n, np.int32)
    for m in range(len(scores)):
        for row in range(scores.shape[1]):
            best[:] = -np.inf
            for d in range(-reach, reach + 1):
                price, by = np.float32((cost[m, 0] * d + cost[m, 1]) * d), np.int32(d)
                first, end = max(0, -d), min(n, n - d)
                f, top, way = scores[m, row, first + d : end + d], best[first:end], off[first:end]
                for x in range(len(f)):
                    more = f[x] - price > top[x]
                    top[x] = f[x] - price if more else top[x]
                    way[x] = by if more else way[x]
            for x in range(n):
                out[m, row, x], at[m, row, x] = best[x], places[m, row, x + off[x]]
