"""Scores of a reading of skeletons: the class, and attention against the joints and frames that act.

Letters: B clips, T frames, M bodies, J joints.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def scores(model: Callable, batch: tuple) -> dict[str, Tensor]:
    """In percent, one value a clip: `accuracy`, and how much attention lies on what acts, where it is known.

    `on_joints` is the share of the joints' weights on acting joints, in the frames of the action, and
    `on_frames` the share of the frames' weights on these frames. Two controls know nothing of the clip:
    `*_uniform`, equal weights, and `*_shuffled`, the mean over the weights of all other clips of the
    batch, NaN where there is none.

    Args:
        model: gives `logits` B C, and `joints` B T M J and `frames` B T or None.
        batch: with `poses`, `label` B, and `joints` B M J and `frames` B T or None.
    """
    read = model(batch.poses)
    found = {"accuracy": 100.0 * (read.logits.argmax(-1) == batch.label)}
    if batch.joints is None:
        return found
    during = batch.frames / batch.frames.sum(1, keepdim=True).clamp_min(1)
    shares = {}
    if read.joints is not None:
        weights = torch.einsum("btmj,bt->bmj", read.joints, during).flatten(1)
        shares["joints"] = weights, batch.joints.flatten(1).float()
    if read.frames is not None:
        weights = read.frames + 1e-12
        shares["frames"] = weights / weights.sum(1, keepdim=True), batch.frames.float()
    for name, (weights, truth) in shares.items():
        found[f"on_{name}"] = 100 * (weights * truth).sum(1)
        found[f"on_{name}_uniform"] = 100 * truth.mean(1)
        each = weights @ truth.T  # of clip i on what acts in clip j
        found[f"on_{name}_shuffled"] = 100 * (each.sum(0) - each.diagonal()) / (len(each) - 1)
    return found
