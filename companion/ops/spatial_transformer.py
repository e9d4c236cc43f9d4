"""Crops with a gradient to where they are cut (Jaderberg et al., Spatial transformer networks, NIPS 2015).

A glimpse (x, y, s_x, s_y) reads a map at the places x + s_x u, y + s_y v, where u and v run evenly from -1
to 1; -1 and 1 are the centres of the outer samples of the map, beyond which it is zero. Reading between
samples is linear along each axis, so a crop is two products with matrices of tents:

    Z' = A_y Z A_x^T,    A_x[i, j] = max(0, 1 - |x_i - j|),  x_i in samples of the map

Both equal `grid_sample` with corners aligned, and so do their gradients. On a CPU that is what is called, for
it is faster; on CUDA it has no deterministic backward pass, and the products have one.

Letters: N maps, G glimpses of each, D channels, H W size of a map, S samples on a crop's side.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

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
    return (products if maps.is_cuda else samples)(maps, glimpses, side)


def products(maps: Float[Tensor, "N D H W"], glimpses: Glimpses, side: int) -> Float[Tensor, "N G D S S"]:
    """A crop as two products."""
    N, D, H, W = maps.shape
    x, y, s_x, s_y = glimpses.unbind(-1)
    columns = tents(x, s_x, side, W).flatten(1, 2)  # N GS W
    part = (maps.flatten(1, 2) @ columns.transpose(1, 2)).unflatten(1, (D, H)).unflatten(-1, (-1, side))
    part = part.permute(0, 3, 2, 1, 4).flatten(3)  # N G H DS
    return (tents(y, s_y, side, H) @ part).unflatten(-1, (D, side)).transpose(2, 3)


def samples(maps: Float[Tensor, "N D H W"], glimpses: Glimpses, side: int) -> Float[Tensor, "N G D S S"]:
    """A crop as the library samples it, all glimpses of a map below each other."""
    line = torch.linspace(-1, 1, side, dtype=maps.dtype, device=maps.device)
    x, y, s_x, s_y = glimpses[..., None].unbind(2)
    across, down = (x + s_x * line)[:, :, None], (y + s_y * line)[..., None]
    places = torch.stack(torch.broadcast_tensors(across, down), -1).flatten(1, 2)  # N GS S 2
    return F.grid_sample(maps, places, align_corners=True).unflatten(2, (-1, side)).transpose(1, 2)


def pooled(maps: Float[Tensor, "N D H W"], glimpses: Glimpses, side: int) -> Float[Tensor, "N G D"]:
    """The mean over each crop's samples, without making the crop: the mean of tents is a weight a sample."""
    H, W = maps.shape[-2:]
    x, y, s_x, s_y = glimpses.unbind(-1)
    along, down = tents(x, s_x, side, W).mean(2), tents(y, s_y, side, H).mean(2)
    weights = down[..., :, None] * along[..., None, :]  # N G H W
    return weights.flatten(2) @ maps.flatten(2).transpose(1, 2)
