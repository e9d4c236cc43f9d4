"""Scores of glimpses on whole frames: the class within its group, where glimpses lie, and who follows what.

Letters: B clips, T frames, G glimpses a frame, K workers, E things that may decide, M bodies, J joints,
N things that a glimpse may show, C classes. Places are x y in units of half the picture.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Boxes = Float[Tensor, "B T E 4"]  # x0 y0 x1 y1; NaN where a thing is not seen


def within(
    logits: Float[Tensor, "B C"], label: Int[Tensor, " B"], groups: dict[str, Bool[Tensor, " C"]]
) -> dict[str, Float[Tensor, " B"]]:
    """In percent: `accuracy`, and `within_*`, of a group's clips, when it is known that it is this one."""
    found = {"accuracy": 100.0 * (logits.argmax(-1) == label)}
    for group, classes in groups.items():
        inside = classes.to(label.device)
        best = logits.masked_fill(~inside, -torch.inf).argmax(-1)
        found[f"within_{group}"] = (100.0 * (best == label)).where(inside[label], torch.nan)
    return found


def inside(places: Float[Tensor, "B T G 2"], boxes: Boxes) -> Bool[Tensor, "B T G E"]:
    """Whether each place lies in each box."""
    at, box = places[:, :, :, None], boxes[:, :, None]
    return ((at >= box[..., :2]) & (at <= box[..., 2:])).all(-1)


def covered(glimpses: Float[Tensor, "B T G 4"], boxes: Boxes) -> Bool[Tensor, "B T G E"]:
    """Whether the middle of each box lies in the window of each glimpse."""
    middle = (boxes[..., :2] + boxes[..., 2:])[:, :, None] / 2
    off = (middle - glimpses[:, :, :, None, :2]).abs()
    return (off <= glimpses[:, :, :, None, 2:]).all(-1)


def share(hits: Bool[Tensor, "B T G E"], boxes: Boxes) -> Float[Tensor, " B"]:
    """In percent, of all that is seen of what decides, what some glimpse hits; NaN of none."""
    there = ~boxes[..., 0].isnan()
    return 100 * (hits.any(2) & there).sum((1, 2)) / there.sum((1, 2))


def shown(
    places: Float[Tensor, "B T G 2"], boxes: Boxes, joints: Float[Tensor, "B T M J 2"]
) -> Bool[Tensor, "B T G N"]:
    """What each glimpse shows, N = E + M + 1: the first of what decides, of the people, or nothing of these.

    A glimpse shows somebody if it lies in the box around the joints.
    """
    low, high = joints.nan_to_num(torch.inf).amin(3), joints.nan_to_num(-torch.inf).amax(3)
    every = torch.cat([inside(places, boxes), inside(places, torch.cat([low, high], -1))], -1)
    every = torch.cat([every, torch.ones_like(every[..., :1])], -1)
    return every & (every.cumsum(-1) == 1)


def information(dealt: Float[Tensor, "B T G K"], things: Bool[Tensor, "B T G N"]) -> Float[Tensor, " B"]:
    """Mutual information between a clip's workers and what the glimpses show that they are dealt, in bits."""
    joint = torch.einsum("btgk,btgn->bkn", dealt, things.to(dealt.dtype)) / (dealt.shape[1] * dealt.shape[2])
    apart = joint.sum(2, keepdim=True) * joint.sum(1, keepdim=True)
    return torch.xlogy(joint, joint / apart.clamp_min(1e-12)).sum((1, 2)) / torch.tensor(2.0).log()
