"""Scores of a reading of hands: the class within its group, and attention against the thing that decides.

Letters: B clips, T frames, K hands, C classes.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool
from torch import Tensor


def scorer(groups: dict[str, Bool[Tensor, " C"]], away: tuple[str, Sequence[int]] | None = None) -> Callable:
    """Scores for `training.evaluate`: in percent, one value a clip, NaN where it is not defined.

    `accuracy`, `accuracy_pose` and `accuracy_rgb` of the fused scores and of each stream; `within_*`, of the
    clips of a group: the same, when it is known that it is this group. `share_*`: how many clips are of it.

    `on_hand`, over frames in which some hands show what decides and some do not: the share of the weights
    of the hands that are there on those that do. Two controls: `on_hand_uniform`, equal weights, and
    `on_hand_shuffled`, the same model given the pose of a random other clip of the batch, NaN where there is
    none. `on_frames` is the share of the frames' weights on those of the action, `on_frames_uniform` that of
    equal weights.

    With `away`, within_<group>_to_<edge>: the clips whose thing is no farther from a hand than this edge, in
    pixels of the full picture, but farther than the edge before.

    Args:
        groups: name -> its classes.
        away: a group, and the edges.
    """

    def scores(model: Callable, batch: tuple) -> dict[str, Tensor]:
        read = model(batch.poses, batch.hands)
        found = {}
        for name, logits in {"": read.logits, "_pose": read.pose, "_rgb": read.rgb}.items():
            if logits is not None:
                found[f"accuracy{name}"] = 100.0 * (logits.argmax(-1) == batch.label)
                for group, classes in groups.items():
                    inside = classes.to(batch.label.device)
                    best = logits.masked_fill(~inside, -torch.inf).argmax(-1)
                    right = 100.0 * (best == batch.label)
                    found[f"within_{group}{name}"] = right.where(inside[batch.label], torch.nan)
        for group, classes in groups.items():
            found[f"share_{group}"] = 100.0 * classes.to(batch.label.device)[batch.label]
        group, edges = away or (None, ())
        if group in groups and batch.away is not None:
            for low, high in pairwise([0, *edges]):
                inside = (batch.away > low) & (batch.away <= high)
                found[f"within_{group}_to_{high}"] = found[f"within_{group}"].where(inside, torch.nan)
        if read.hands is None or batch.holds is None:
            return found
        order = torch.randperm(len(batch.poses))
        other = torch.empty_like(order).index_copy(0, order, order.roll(1))  # never the clip itself
        other = model(batch.poses[other], batch.hands)
        there = batch.hands.flatten(3).amax(-1) > 0
        holds = batch.holds & there
        usable = holds.any(-1) & (there & ~holds).any(-1)
        for name, weights in {"": read.hands, "_shuffled": other.hands, "_uniform": there.float()}.items():
            share = (weights * holds).sum(-1) / (weights * there).sum(-1) * usable
            found[f"on_hand{name}"] = 100 * share.nan_to_num().sum(1) / usable.sum(1)
        if len(order) == 1:  # there is no other clip
            found["on_hand_shuffled"] = torch.full_like(found["on_hand"], torch.nan)
        found["on_frames"] = 100 * (read.frames * batch.frames).sum(1)
        found["on_frames_uniform"] = 100 * batch.frames.float().mean(1)
        return found

    return scores
