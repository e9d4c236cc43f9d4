"""Crops with a gradient to where they are cut (Jaderberg et al., Spatial transformer networks, NIPS 2015).

A glimpse (x, y, s_x, s_y) reads a map at the places x + s_x u, y + s_y v, where u and v run evenly from -1
to 1; -1 and 1 are the centres of the outer samples of the map, beyond which it is zero. Reading between
samples is linear along each axis, so a crop is two products with matrices of tents:

    Z' = A_y Z A_x^T,    A_x[i, j] = max(0, 1 - |x_i - j|),  x_i in samples of the map

It equals `grid_sample` with corners aligned, and so do its gradients; it has a deterministic backward pass
on CUDA too.

Letters: N maps, G glimpses of each, D channels, H W size of a map, S samples on a crop's side.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Glimpses = Float[Tensor, "N G 4"]  # x y s_x s_y, in units of half the map


def tents(
    centre: Float[Tensor, "N G"], extent: Float[Tensor, "N G"], side: int, length: int
) -> Float[Tensor, "N G S L"]:
    """What each of a crop's samples along one axis takes of each of the map's."""
    line = torch.linspace(-1, 1, side, dtype=centre.dtype, device=centre.device)
    place = (centre[..., None] + extent[..., None] * line + 1) * ((length - 1) / 2)
    off = place[..., None] - torch.arange(length, dtype=centre.dtype, device=centre.device)
    # At a sample itself the slope is that towards the next one, as `grid_sample` has it.
    return torch.where(off >= 0, 1 - off, 1 + off) * ((off >= -1) & (off < 1))


def crop(maps: Float[Tensor, "N D H W"], glimpses: Glimpses, side: int) -> Float[Tensor, "N G D S S"]:
    """What each glimpse shows, S x S samples."""
    H, W = maps.shape[-2:]
    x, y, s_x, s_y = glimpses.unbind(-1)
    columns = tents(x, s_x, side, W).flatten(1, 2)  # N GS W
    part = maps @ columns.transpose(1, 2)[:, None]  # N D H GS
    part = part.unflatten(-1, (-1, side))
    return torch.einsum("ngyh,ndhgx->ngdyx", tents(y, s_y, side, H), part)


def pooled(maps: Float[Tensor, "N D H W"], glimpses: Glimpses, side: int) -> Float[Tensor, "N G D"]:
    """The mean over each crop's samples, without making the crop: the mean of tents is a weight a sample."""
    H, W = maps.shape[-2:]
    x, y, s_x, s_y = glimpses.unbind(-1)
    along, down = tents(x, s_x, side, W).mean(2), tents(y, s_y, side, H).mean(2)
    weights = down[..., :, None] * along[..., None, :]  # N G H W
    return weights.flatten(2) @ maps.flatten(2).transpose(1, 2)
