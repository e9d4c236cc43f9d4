"""Where a picture draws the eye by itself: models of bottom-up saliency that learn nothing.

Spectral residual (Hou and Zhang, CVPR 2007), Itti, Koch and Niebur (PAMI 1998), and graph-based visual
saliency (Harel, Koch and Perona, NIPS 2006). Each takes pictures to a map of its own size.

Letters: B pictures, H W their size, h w a map's, L maps of features.
"""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from companion.ops.blur import smooth

WIDE, AFTER = 64, 2.5  # of spectral residual: the width it works at, and the blur of its map
CENTRES, STEPS = (2, 3, 4), (3, 4)  # of Itti: levels of the pyramid, and how much coarser the surround is
LEVELS, LONGEST = (
    (2, 3, 4),
    32,
)  # of GBVS: levels that features are taken from, and the longer side of its maps
REACH, FOCUS, LAST = 0.15, 0.06, 0.02  # of GBVS: activation, concentration and last blur, in widths
ANGLES = tuple(n * math.pi / 4 for n in range(4))


def spectral_residual(pictures: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w"]:
    """What is unexpected in the spectrum: S = g * |F^-1(exp(R + i phase))|^2, R = L - 3 x 3 mean of L."""
    H, W = pictures.shape[-2:]
    grey = pictures.float().mean(1, keepdim=True)
    small = F.interpolate(grey, (round(WIDE * H / W), WIDE), mode="bilinear", antialias=True)[:, 0]
    spectrum = torch.fft.fft2(small)
    log = (spectrum.abs() + 1e-9).log()
    around = F.avg_pool2d(F.pad(log[:, None], (1, 1, 1, 1), mode="circular"), 3, 1)[:, 0]
    back = torch.fft.ifft2(torch.polar((log - around).exp(), spectrum.angle()))
    return smooth(back.abs().square(), AFTER)


def pyramid(maps: Float[Tensor, "B L H W"], levels: int) -> list[Float[Tensor, "B L _ _"]]:
    """Each level blurred and half as large as the one before."""
    found = [maps]
    for _ in range(levels - 1):
        size = [max(1, side // 2) for side in found[-1].shape[-2:]]
        found.append(F.interpolate(found[-1], size, mode="bilinear", antialias=True))
    return found


def opponents(pictures: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
    """Intensity, red against green, and blue against yellow; colours count where it is bright enough."""
    r, g, b = (pictures.float() / 255).unbind(1)
    bright = (r + g + b) / 3
    seen = bright > bright.amax((1, 2), keepdim=True) / 10
    r, g, b = (torch.where(seen, c / bright.clamp_min(1e-6), 0.0) for c in (r, g, b))
    yellow = (r + g) / 2 - (r - g).abs() / 2 - b
    red, green, blue = r - (g + b) / 2, g - (r + b) / 2, b - (r + g) / 2
    pairs = red.clamp_min(0) - green.clamp_min(0), blue.clamp_min(0) - yellow.clamp_min(0)
    return torch.stack([bright, *pairs], 1)


def oriented(grey: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 4 H W"]:
    """How strongly edges run in each of four directions: magnitudes of Gabor filters of 9 x 9."""
    place = torch.arange(-4.0, 5.0)
    y, x = torch.meshgrid(place, place, indexing="ij")
    filters = []
    for angle in ANGLES:
        along = 2 * math.pi / 4 * (x * math.cos(angle) + y * math.sin(angle))
        window = torch.exp(-(x**2 + y**2) / (2 * 2.0**2))
        for wave in (along.cos(), along.sin()):
            filters.append(window * (wave - (window * wave).sum() / window.sum()))
    answers = F.conv2d(F.pad(grey, (4, 4, 4, 4), mode="replicate"), torch.stack(filters)[:, None])
    return answers.unflatten(1, (4, 2)).square().sum(2).sqrt()


def promoted(maps: Float[Tensor, "B L h w"]) -> Float[Tensor, "B L h w"]:
    """Itti's N: scaled to 1, and multiplied by (1 - mean of the other local maxima) squared."""
    low = maps.amin((2, 3), keepdim=True)
    maps = (maps - low) / (maps.amax((2, 3), keepdim=True) - low).clamp_min(1e-9)
    peak = (F.max_pool2d(maps, 7, 1, 3) == maps) & (maps > 0.1) & (maps < 1)
    mean = (maps * peak).sum((2, 3)) / peak.sum((2, 3)).clamp_min(1)
    return maps * (1 - mean).square()[..., None, None]


def itti_koch(pictures: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w"]:
    """Differences of centre and surround in intensity, colour and orientation, at several scales."""
    colours = pyramid(opponents(pictures), max(CENTRES) + max(STEPS) + 1)
    edges = [oriented(level[:, :1]) for level in colours]
    size = colours[max(CENTRES)].shape[-2:]

    def conspicuous(levels: list[Tensor]) -> Tensor:
        total = 0
        for centre in CENTRES:
            fine = levels[centre]
            for step in STEPS:
                coarse = F.interpolate(levels[centre + step], fine.shape[-2:], mode="bilinear")
                total = total + F.interpolate(promoted((fine - coarse).abs()), size, mode="bilinear")
        return total

    colour, edge = conspicuous(colours), conspicuous(edges)
    parts = [colour[:, :1], colour[:, 1:].sum(1, keepdim=True), promoted(edge).sum(1, keepdim=True)]
    return torch.cat([promoted(part) for part in parts], 1).mean(1)


def gbvs(pictures: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w"]:
    """Where a walker stays who goes between places the more often the more they differ."""
    H, W = pictures.shape[-2:]
    scale = LONGEST / max(H, W)
    h, w = round(H * scale), round(W * scale)
    colours = pyramid(opponents(pictures), max(LEVELS) + 1)
    every = []
    for level in LEVELS:
        maps = torch.cat([colours[level], oriented(colours[level][:, :1])], 1)
        every.append(F.interpolate(maps, (h, w), mode="bilinear", antialias=True))
    stacked = torch.stack(every, 1)  # B levels 7 h w
    low, high = stacked.amin((3, 4), keepdim=True), stacked.amax((3, 4), keepdim=True)
    maps = 0.01 + (stacked - low) / (high - low).clamp_min(1e-9)
    y, x = torch.meshgrid(torch.arange(float(h)), torch.arange(float(w)), indexing="ij")
    place = torch.stack([x.flatten(), y.flatten()], 1)
    far = torch.cdist(place, place).square()
    found = pictures.new_zeros((len(pictures), 7, h * w), dtype=torch.float32)
    for n, its in enumerate(maps.flatten(3).transpose(1, 2)):  # 7 levels h*w; one picture's chains at a time
        flat = its.flatten(0, 1)
        differ = (flat.log()[:, :, None] - flat.log()[:, None]).abs()
        active = settled(differ * torch.exp(-far / (2 * (REACH * w) ** 2)))
        drawn = active[:, None] * torch.exp(-far / (2 * (FOCUS * w) ** 2))
        found[n] = settled(drawn).view(7, len(LEVELS), -1).mean(1)
    parts = [found[:, 0], found[:, 1:3].sum(1), found[:, 3:].sum(1)]
    parts = [part / part.sum(1, keepdim=True) for part in parts]
    return smooth(torch.stack(parts, 1).mean(1).view(-1, h, w), LAST * w)


def settled(weights: Float[Tensor, "L K K"], steps: int = 100) -> Float[Tensor, "L K"]:
    """How often a Markov chain is in each state in the end; weights[l, i, j] lead from i to j."""
    chain = weights / weights.sum(2, keepdim=True).clamp_min(1e-12)
    state = torch.full(chain.shape[:2], 1 / chain.shape[1])
    for _ in range(steps):
        state = (state[:, None] @ chain)[:, 0]
    return state


MODELS = {"spectral-residual": spectral_residual, "itti-koch": itti_koch, "gbvs": gbvs}
