"""The features of deformable part models: oriented gradients in cells (Felzenszwalb et al., PAMI 2010).

Each pixel votes with the length of its gradient, in the colour channel where that is largest, for one of 18
directions, in the four cells around it. A cell's histogram h is divided by the energy of the four squares of
2 x 2 cells that hold it, n_1 .. n_4, and clipped:

    18 directions      1/2 sum_j min(h_o n_j, 0.2)
    9 orientations     1/2 sum_j min((h_o + h_{o+9}) n_j, 0.2)
    4 textures         1/sqrt(18) sum_o min(h_o n_j, 0.2)
    1 border           0 here; 1 where a pyramid is padded

The border of one cell, whose squares are not whole, is left out. As in voc-release5 the picture is taken to
have a whole number of cells, rounded; missing pixels repeat the last gradient.

Letters: B images, C colours, H W their size, k the side of a cell, h w cells.
"""

import math
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from companion.ops.compiled import njit
from companion.ops.threads import each

CLIP, EPSILON = 0.2, 1e-4
TEXTURE = 18**-0.5
ANGLES = np.arange(9) * np.pi / 9
MIRRORED = torch.tensor(  # where the channels go when a picture is mirrored
    [(9 - o) % 18 for o in range(18)] + [18 + (9 - o) % 9 for o in range(9)] + [29, 30, 27, 28, 31]
)
COSINES, SINES = (f(ANGLES).astype(np.float32) for f in (np.cos, np.sin))


def hog(images: Float[Tensor, "B C H W"], cell: int = 8) -> Float[Tensor, "B 32 h w"]:
    """The features of images, which have values from 0 to 255; channels are last in memory.

    Args:
        cell: k, in pixels.

    Raises:
        ValueError: an image that has less than three cells in one direction.
    """
    B, _, H, W = images.shape
    rows, columns = (int(side / cell + 0.5) for side in (H, W))
    if min(rows, columns) < 3 or min(H, W) < 3:
        raise ValueError(f"an image of {W} x {H} pixels has less than 3 x 3 cells of {cell}")
    if images.is_cuda:
        return from_histograms(histograms(images, cell))
    source = images.detach().float().contiguous().numpy()
    found = np.empty((B, rows - 2, columns - 2, 32), np.float32)
    items = [(picture, cell, rows, columns, out) for picture, out in zip(source, found, strict=True)]
    each(one, items, torch.get_num_threads())
    return torch.from_numpy(found).permute(0, 3, 1, 2)


def histograms(images: Float[Tensor, "B C H W"], cell: int) -> Float[Tensor, "B 18 hb wb"]:
    """Votes of all pixels for the directions, with the border of one cell; by products of matrices."""
    (rows, down), (columns, across) = (axis(side, cell, images.device) for side in images.shape[2:])
    rows = rows[:, None]
    dy = images[:, :, rows + 1, columns] - images[:, :, rows - 1, columns]
    dx = images[:, :, rows, columns + 1] - images[:, :, rows, columns - 1]
    strongest = (dx.square() + dy.square()).argmax(1, keepdim=True)
    dx, dy = dx.gather(1, strongest), dy.gather(1, strongest)
    units = torch.from_numpy(np.stack([COSINES, SINES])).to(images)
    dots = units[0].view(1, 9, 1, 1) * dx + units[1].view(1, 9, 1, 1) * dy
    best = dots.abs().argmax(1, keepdim=True)
    direction = best + 9 * (dots.gather(1, best) < 0)
    votes = images.new_zeros(len(images), 18, *dx.shape[2:])
    votes.scatter_(1, direction, (dx.square() + dy.square()).sqrt())
    return down @ votes @ across.T


def axis(
    side: int, cell: int, device: torch.device
) -> tuple[Int[Tensor, " pixels"], Float[Tensor, "cells pixels"]]:
    """The pixels of one direction that vote, and how much they count in each cell."""
    cells = int(side / cell + 0.5)
    pixels = torch.arange(1, cells * cell - 1, device=device)
    off = torch.arange(cells, device=device)[:, None] - ((pixels + 0.5) / cell - 0.5)
    return pixels.clamp(max=side - 2), (1 - off.abs()).clamp_min(0)


def from_histograms(h: Float[Tensor, "B 18 hb wb"]) -> Float[Tensor, "B 32 h w"]:
    """The features, from the votes."""
    both = h[:, :9] + h[:, 9:]
    energy = both.square().sum(1, keepdim=True)
    squares = energy[:, :, 1:, 1:] + energy[:, :, 1:, :-1] + energy[:, :, :-1, 1:] + energy[:, :, :-1, :-1]
    n = (squares + EPSILON).rsqrt()
    corners = (n[:, :, 1:, 1:], n[:, :, :-1, 1:], n[:, :, 1:, :-1], n[:, :, :-1, :-1])
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    directions, orientations = (
        torch.stack([(x[inner] * corner).clamp(max=CLIP) for corner in corners], 1) for x in (h, both)
    )
    texture = TEXTURE * directions.sum(2)
    border = torch.zeros_like(texture[:, :1])
    return torch.cat([0.5 * directions.sum(1), 0.5 * orientations.sum(1), texture, border], 1)


@njit(nogil=True, fastmath=True)
@no_type_check
def one(picture, cell, rows, columns, out):
    """The features of one picture C H W, into h w 32, in loops: what the products say."""
    C, H, W = picture.shape
    last = columns * cell - 1
    length, direction = np.empty(last, np.float32), np.empty(last, np.int32)
    place, right = np.empty(last, np.int64), np.empty(last, np.float32)
    for x in range(1, last):
        p = (x + 0.5) / cell + 0.5  # one cell of margin on each side
        place[x] = 18 * int(p)
        right[x] = p - int(p)
    votes = np.zeros((rows + 2, 18 * (columns + 2)), np.float32)
    line = np.empty(18 * (columns + 2), np.float32)
    dx, dy, best = np.empty(last, np.float32), np.empty(last, np.float32), np.empty(last, np.float32)
    for y in range(1, rows * cell - 1):
        row = min(y, H - 2)
        inside = min(last, W - 1)
        for x in range(1, inside):
            dx[x] = picture[0, row, x + 1] - picture[0, row, x - 1]
            dy[x] = picture[0, row + 1, x] - picture[0, row - 1, x]
            best[x] = dx[x] * dx[x] + dy[x] * dy[x]
        for c in range(1, C):
            for x in range(1, inside):
                a = picture[c, row, x + 1] - picture[c, row, x - 1]
                b = picture[c, row + 1, x] - picture[c, row - 1, x]
                more = a * a + b * b > best[x]
                dx[x] = a if more else dx[x]
                dy[x] = b if more else dy[x]
                best[x] = a * a + b * b if more else best[x]
        for x in range(inside, last):
            dx[x], dy[x], best[x] = dx[W - 2], dy[W - 2], best[W - 2]
        for x in range(1, last):
            length[x] = math.sqrt(best[x])
            most, o = np.float32(0), np.int32(0)
            for k in range(9):
                dot = COSINES[k] * dx[x] + SINES[k] * dy[x]
                positive, negative = dot > most, -dot > most
                o = np.int32(k) if positive else (np.int32(k + 9) if negative else o)
                most = dot if positive else (-dot if negative else most)
            direction[x] = o
        line[:] = 0
        for x in range(1, last):
            at = place[x] + direction[x]
            part = right[x] * length[x]
            line[at] += length[x] - part
            line[at + 18] += part
        p = (y + 0.5) / cell + 0.5
        top, lower = int(p), np.float32(p - int(p))
        for i in range(len(line)):
            votes[top, i] += (1 - lower) * line[i]
            votes[top + 1, i] += lower * line[i]
    h = votes.reshape(rows + 2, columns + 2, 18)[1:-1, 1:-1]
    energy = np.zeros((rows, columns), np.float32)
    for y in range(rows):
        for x in range(columns):
            for o in range(9):
                energy[y, x] += (h[y, x, o] + h[y, x, o + 9]) ** 2
    for y in range(rows - 2):
        for x in range(columns - 2):
            out[y, x] = 0
            for j in range(4):
                top, left = y + 1 - j % 2, x + 1 - j // 2
                square = energy[top, left] + energy[top, left + 1]
                square += energy[top + 1, left] + energy[top + 1, left + 1]
                n = 1 / math.sqrt(square + np.float32(EPSILON))
                total = np.float32(0)
                for o in range(18):
                    part = min(h[y + 1, x + 1, o] * n, np.float32(CLIP))
                    out[y, x, o] += 0.5 * part
                    total += part
                for o in range(9):
                    both = h[y + 1, x + 1, o] + h[y + 1, x + 1, o + 9]
                    out[y, x, 18 + o] += 0.5 * min(both * n, np.float32(CLIP))
                out[y, x, 27 + j] = TEXTURE * total


def mirrored(filters: Float[Tensor, "*n 32 h w"]) -> Float[Tensor, "*n 32 h w"]:
    """The filters that see in a mirrored picture what these see in the picture."""
    return filters.flip(-1)[..., MIRRORED, :, :]
