"""How right an answer is, whether attention lies on the evidence, and how well labels are told.

Letters: B questions, h w regions of a picture; P pictures, C labels.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

AGREE = 3  # people, of ten, who must have said the same


def credit(said: str, answers: Sequence[str]) -> float:
    """What an answer is worth, from 0 to 1.

    Where one person answered, it is right or wrong. Where several did, as in VQA, min(n / 3, 1) of the n who
    said the same, averaged over all sets in which one of them is left out (Antol et al., ICCV 2015).
    """
    people, same = len(answers), sum(one == said for one in answers)
    if people == 1:
        return float(same)
    without_one, without_other = min((same - 1) / AGREE, 1), min(same / AGREE, 1)
    return (same * without_one + (people - same) * without_other) / people


def shares(boxes: Float[Tensor, "B 4"], size: tuple[int, int]) -> Float[Tensor, "B h w"]:
    """How much of each region a box covers, from 0 to 1.

    Args:
        boxes: x0 y0 x1 y1 as shares of the picture's width and height.
    """
    sides = []
    for axis, cells in zip((1, 0), size, strict=True):
        low, high = cells * boxes[:, axis, None], cells * boxes[:, axis + 2, None]
        edge = torch.arange(cells + 1, device=boxes.device)
        sides.append((torch.minimum(edge[1:], high) - torch.maximum(edge[:-1], low)).clamp_min(0))
    return sides[0][:, :, None] * sides[1][:, None]


def on_evidence(weights: Float[Tensor, "B h w"], boxes: Float[Tensor, "B 4"]) -> Float[Tensor, " B"]:
    """The share of the attention in a box, each region's spread evenly over it; NaN without a box.

    Uniform attention gives the box's share of the picture.
    """
    return (weights * shares(boxes, (weights.shape[1], weights.shape[2]))).sum((1, 2))


def label_ranking(scores: Float[Tensor, "P C"], present: Float[Tensor, "P C"]) -> Float[Tensor, " P"]:
    """Of each picture the label-ranking average precision, from 0 to 1; NaN if it shows nothing.

    For each label that is there: of the labels that score as high or higher, the share that is there; the
    mean over these labels.
    """
    above = (scores[:, None] >= scores[..., None]).to(scores.dtype)  # of label 1, does label 2 score as high?
    share = (above * present[:, None]).sum(2) / above.sum(2)
    return (share * present).sum(1) / present.sum(1)
