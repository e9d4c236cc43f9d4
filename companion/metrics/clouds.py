"""Scores of glimpses on whole frames: the class within its group, where glimpses lie, and who follows what.

Letters: B clips, T frames, G glimpses a frame, K workers, E things that may decide, M bodies, J joints,
N things that a glimpse may show, C classes. Places are x y in units of half the picture.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

Boxes = Float[Tensor, "B T E 4"]  # x0 y0 x1 y1; NaN where a thing is not seen
WINDOWS = 3, 8  # at so many peaks, as many as models have glimpses
HALF = 1920 / 2, 1080 / 2  # of a picture, in the pixels that distances are told in


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


def peaks(heatmaps: Float[Tensor, "B T h w"], number: int, apart: int = 5) -> Float[Tensor, "B T G 2"]:
    """The places of the highest values of each map that are the highest in a window of `apart` x `apart`."""
    h, w = heatmaps.shape[2:]
    top = F.max_pool2d(heatmaps, apart, 1, apart // 2)
    best = heatmaps.masked_fill(heatmaps < top, -torch.inf).flatten(2).topk(min(number, h * w)).indices
    y, x = (2 * at / (size - 1) - 1 for at, size in ((best // w, h), (best % w, w)))
    return torch.stack([x, y], -1)


def hand_errors(
    found: Float[Tensor, "B T M 2 2"], hands: Float[Tensor, "B T M 2 2"], boxes: Boxes
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Of the hand nearest to what decides: how far off it is found, and how far that thing is from it.

    Medians over the frames in which something that decides is seen, in pixels of 1920 x 1080.

    Args:
        found, hands: of each body left and right, where a network finds them and where they are.
    """
    half = torch.tensor(HALF, device=hands.device)
    middle = half * (boxes[..., :2] + boxes[..., 2:]) / 2  # B T E 2
    true, seen = ((half * x).flatten(2, 3) for x in (hands, found))  # B T N 2
    far = (middle[:, :, :, None] - true[:, :, None]).norm(dim=-1)  # B T E N
    near, which = far.nan_to_num(torch.inf).min(-1)
    off = (seen - true).norm(dim=-1)[:, :, None].expand_as(far).gather(-1, which[..., None])[..., 0]
    off, near = (x.where(near.isfinite(), torch.nan).flatten(1).nanmedian(1).values for x in (off, near))
    return off, near


def scorer(
    groups: dict[str, Bool[Tensor, " C"]],
    read: Callable,
    hands: Callable | None = None,
    size: tuple[float, float] = (0.25, 0.25),
    away: tuple[str, Sequence[int]] | None = None,
) -> Callable:
    """Scores for `training.evaluate`: in percent, one value a clip, NaN where it is not defined.

    `accuracy` and `within_*`, see `within`. Of a model with glimpses, for each group: `covered_*`, how much
    of what decides lies with its middle in a window, and `centred_*`, how much has a glimpse's middle in its
    box, see `share`; each with a control, `*_other_*`: the glimpses of another clip of the batch. Of a model
    with class activation maps the same of windows at the highest peaks of the map of the class that it says:
    `covered_of_3_*` at three peaks, and so on. Of a model with workers: `information`, and
    `information_shuffled`, see `information`, in bits.

    With `hands`: `hand_error_*`, see `hand_errors`. With `away`: `within_<group>_to_<edge>` and
    `hand_error_<group>_to_<edge>`: the clips whose thing is no farther from a hand than this edge, but
    farther than the edge before.

    Args:
        groups: name -> its classes.
        read: called as read(model, batch).
        hands: called with a batch, gives where the hands are found and where they are, see `hand_errors`.
        size: of windows at peaks, s_x s_y.
    """

    def scores(model: Callable, batch: tuple) -> dict[str, Tensor]:
        said = read(model, batch)
        found = within(said.logits, batch.label, groups)
        if batch.boxes is None:
            return found
        clouds = {}
        if getattr(said, "glimpses", None) is not None:
            clouds[""] = said.glimpses
        if getattr(said, "heatmaps", None) is not None:
            best = said.heatmaps[torch.arange(len(batch.label)), :, said.logits.argmax(-1)]
            at = peaks(best, max(WINDOWS))
            windows = torch.cat([at, at.new_tensor(size).expand_as(at)], -1)
            clouds |= {f"_of_{number}": windows[:, :, :number] for number in WINDOWS}
        every, order = {}, torch.randperm(len(batch.label))
        other = torch.empty_like(order).index_copy(0, order, order.roll(1))  # never the clip itself
        if len(order) > 1:
            clouds |= {f"{name}_other": cloud[other] for name, cloud in clouds.items()}
        for name, cloud in clouds.items():
            every[f"covered{name}"] = share(covered(cloud, batch.boxes), batch.boxes)
            every[f"centred{name}"] = share(inside(cloud[..., :2], batch.boxes), batch.boxes)
        if getattr(said, "workers", None) is not None:
            things = shown(said.glimpses[..., :2], batch.boxes, batch.joints)
            order = torch.rand(said.workers.shape[:3], device=things.device).flatten(1).argsort(1)
            mixed = said.workers.flatten(1, 2).gather(
                1, order[..., None].expand(-1, -1, said.workers.shape[3])
            )
            found["information"] = information(said.workers, things)
            found["information_shuffled"] = information(mixed.view_as(said.workers), things)
        if hands is not None:
            every["hand_error"], near = hand_errors(*hands(batch), batch.boxes)
            group, edges = away or (None, ())
            for low, high in pairwise([0, *edges] if group in groups else []):
                right, there = found[f"within_{group}"], (near > low) & (near <= high)
                found[f"within_{group}_to_{high}"] = right.where(there, torch.nan)
                off = every["hand_error"].where(there & ~right.isnan(), torch.nan)
                found[f"hand_error_{group}_to_{high}"] = off
        for name, values in every.items():
            for group, classes in groups.items():
                inside_it = classes.to(batch.label.device)[batch.label]
                found[f"{name}_{group}"] = values.where(inside_it, torch.nan)
        return found

    return scores
