"""Attention to hands, driven by pose: two models of Baradel, Wolf and Mille that the lecture's slides mix.

PoseConditioned (arXiv 1703.10106; BMVC 2018). A pose network summarises the whole sequence as s. A recurrent
network reads the hands of one frame after the other:

    p_t = softmax(f_p(h_{t-1}, s))             one weight a hand
    v~_t = sum_k p_tk v_tk                      v_tk: what the glimpse network sees of hand k
    h_t = LSTM(v~_t, h_{t-1}),   u_t = relu(W_u h_t)
    p' = softmax(f_p'(p_1 .. p_T, s)),   u~ = sum_t p'_t u_t

STAHands (ICCV workshop 2017). The same idea with other inputs: p_t comes from positions, velocities and
accelerations of the joints, p' from how much they move, and GRU states are pooled.

In both the streams are fused late, by the sum of their scores, and trained one after the other: the pose
stream first; then it rests.

Differences: v comes from a small network that is trained here, not from a frozen Inception-v3. The paper does
not say how the weights p_t of PoseConditioned are normalised ("sigmoid activation"): here hidden units are
sigmoids, and weights sum to 1.

Letters: B clips, T frames, M bodies, J joints, K = 2 M hands, S side of a crop, D what is seen of a crop,
F pose features, H state, C classes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from companion.models.skeleton_baselines import PoseConvNet
from companion.ops import pose
from companion.skeleton import Skeleton


class Read(NamedTuple):
    """What the model says, and what it attended to; None where it has no such thing."""

    logits: Float[Tensor, "B C"]  # the sum of the streams'
    pose: Float[Tensor, "B C"]
    rgb: Float[Tensor, "B C"] | None = None
    hands: Float[Tensor, "B T K"] | None = None  # weights, summing to 1 in each frame
    frames: Float[Tensor, "B T"] | None = None  # weights, summing to 1


class Glimpse(nn.Module):
    """What three convolutions and a linear layer see of a crop; nothing of a black one, which is none."""

    def __init__(self, side: int, features: int, maps: Sequence[int] = (16, 32, 64)) -> None:
        super().__init__()
        widths = [3, *maps]
        self.see = nn.Sequential(
            *(
                layer
                for a, b in zip(widths, maps, strict=False)
                for layer in (nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(8, b), nn.ReLU())
            ),
            nn.Flatten(),
            nn.Linear(maps[-1] * (-(-side // 2 ** len(maps))) ** 2, features),
            nn.ReLU(),
        )

    def forward(self, crops: UInt8[Tensor, "B T K 3 S S"]) -> Float[Tensor, "B T K D"]:
        there = crops.flatten(3).amax(-1) > 0
        seen = self.see(crops[there].float() / 127.5 - 1)
        return seen.new_zeros(*there.shape, seen.shape[-1]).masked_scatter(there[..., None], seen)


class PoseConditioned(nn.Module):
    """The RGB stream of the BMVC paper.

    Args:
        read: how the hands of a frame are joined: attention, sum (equal weights), or concat.
        temporal: pool over time by attention, else by the mean.
        conditions: what p_t depends on, state and pose.
    """

    def __init__(
        self,
        hands: int,
        frames: int,
        features: int,
        classes: int,
        side: int,
        seen: int = 64,
        units: int = 128,
        read: str = "attention",
        temporal: bool = True,
        conditions: Sequence[str] = ("state", "pose"),
    ) -> None:
        super().__init__()
        self.read, self.conditions = read, conditions
        self.glimpse = Glimpse(side, seen)
        inputs = units * ("state" in conditions) + features * ("pose" in conditions)
        self.where = mlp(inputs, 256, hands, nn.Sigmoid()) if read == "attention" else None
        self.cell = nn.LSTMCell(seen * (hands if read == "concat" else 1), units)
        self.out = nn.Linear(units, units)
        self.when = mlp(frames * hands + features, 512, frames, nn.Sigmoid()) if temporal else None
        self.dropout, self.classify = nn.Dropout(0.5), nn.Linear(units, classes)

    def forward(
        self,
        poses: Float[Tensor, "B T M J 3"],
        s: Float[Tensor, "B F"],
        crops: UInt8[Tensor, "B T K 3 S S"],
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B T K"], Float[Tensor, "B T"]]:
        v = self.glimpse(crops)
        B, T, K, _ = v.shape
        h = c = v.new_zeros(B, self.cell.hidden_size)
        weights, states = [], []
        for v_t in v.unbind(1):
            p = v.new_full((B, K), 1 / K)
            if self.where is not None:
                given = {"state": h, "pose": s}
                p = self.where(torch.cat([given[name] for name in self.conditions], -1)).softmax(-1)
            seen = v_t.flatten(1) if self.read == "concat" else torch.einsum("bk,bkd->bd", p, v_t)
            h, c = self.cell(seen, (h, c))
            weights.append(p)
            states.append(h)
        p, u = torch.stack(weights, 1), F.relu(self.out(torch.stack(states, 1)))
        when = v.new_full((B, T), 1 / T)
        if self.when is not None:
            when = self.when(torch.cat([p.flatten(1), s], -1)).softmax(-1)
        return self.classify(self.dropout(torch.einsum("bt,btu->bu", when, u))), p, when


class STAHands(nn.Module):
    """The RGB stream of the ICCV workshop paper. Both attentions begin equal."""

    def __init__(
        self,
        hands: int,
        frames: int,
        features: int,
        classes: int,
        side: int,
        coordinates: int,
        seen: int = 64,
        units: int = 128,
    ) -> None:
        super().__init__()
        self.glimpse = Glimpse(side, seen)
        self.where = mlp(3 * coordinates, 256, hands, nn.ReLU())
        self.core = nn.GRU(seen, units, batch_first=True)
        self.when = mlp(2 * frames, 32, frames, nn.ReLU())
        for head in (self.where, self.when):
            nn.init.zeros_(head[-1].weight)
            nn.init.zeros_(head[-1].bias)
        self.dropout, self.classify = nn.Dropout(0.5), nn.Linear(units, classes)

    def forward(
        self,
        poses: Float[Tensor, "B T M J 3"],
        s: Float[Tensor, "B F"],
        crops: UInt8[Tensor, "B T K 3 S S"],
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B T K"], Float[Tensor, "B T"]]:
        speed, change = pose.derivatives(poses)
        p = self.where(torch.cat([x.flatten(2) for x in (poses, speed, change)], -1)).softmax(-1)
        h, _ = self.core(torch.einsum("btk,btkd->btd", p, self.glimpse(crops)))
        moves = torch.stack([x.norm(dim=-1).sum((2, 3)) for x in (speed, change)], -1)
        when = self.when(moves.flatten(1)).softmax(-1)
        return self.classify(self.dropout(torch.einsum("bt,btu->bu", when, h))), p, when


class DeepGRU(nn.Module):
    """The pose stream of the ICCV workshop paper: three GRU layers on the joints; each frame is scored."""

    def __init__(self, coordinates: int, classes: int, units: int = 150) -> None:
        super().__init__()
        self.core = nn.GRU(coordinates, units, num_layers=3, batch_first=True, dropout=0.5)
        self.dropout, self.classify = nn.Dropout(0.5), nn.Linear(units, classes)

    def features(self, poses: Float[Tensor, "B T M J 3"]) -> Float[Tensor, "B F"]:
        """The mean state; scores are linear in it, so theirs is its score."""
        return self.core(poses.flatten(2))[0].mean(1)


class Streams(nn.Module):
    """A pose stream and an RGB stream, trained one after the other, fused by the sum of their scores.

    Args:
        pose: has `features`, `dropout` and `classify`.
        rgb: see `PoseConditioned.forward`; None leaves the pose stream alone.
        first: share of the training that the pose stream has for itself.
    """

    def __init__(self, pose: nn.Module, rgb: nn.Module | None, first: float = 0.4) -> None:
        super().__init__()
        self.pose, self.rgb, self.first = pose, rgb, first if rgb is not None else 1.0
        self.anneal(0.0)

    def anneal(self, done: float) -> None:
        """Whose turn it is when the share `done` of the training is over."""
        self.turn = "pose" if done < self.first else "rgb"
        self.pose.requires_grad_(self.turn == "pose")
        self.pose.train(self.training and self.turn == "pose")

    def forward(self, poses: Float[Tensor, "B T M J 3"], crops: UInt8[Tensor, "B T K 3 S S"]) -> Read:
        s = self.pose.features(poses)
        scores = self.pose.classify(self.pose.dropout(s))
        if self.rgb is None or (self.training and self.turn == "pose"):
            return Read(scores, scores)
        rgb, hands, frames = self.rgb(poses, s.detach(), crops)
        return Read(scores + rgb, scores, rgb, hands, frames)


def objective(model: nn.Module, batch: tuple) -> Float[Tensor, ""]:
    """What `training.fit` lowers: the cross-entropy of the stream whose turn it is."""
    read = model(batch.poses, batch.crops)
    return F.cross_entropy(read.pose if read.rgb is None else read.rgb, batch.label)


def mlp(inputs: int, hidden: int, outputs: int, act: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), act, nn.Linear(hidden, outputs))


ORDERS = ("tour", "once", "random")
RGB = {  # variants of PoseConditioned
    "hands": {},
    "sum": {"read": "sum", "temporal": False},
    "concat": {"read": "concat", "temporal": False},
    "spatial": {"temporal": False},
    "temporal": {"read": "sum"},
    "state": {"conditions": ("state",)},
    "pose": {"conditions": ("pose",)},
}


def reordered(tree: Skeleton, order: str) -> Skeleton:
    """The tree with another order of joints for the pose network (BMVC 2018, Table 3).

    Args:
        order: tour (each bone forth and back), once (the same without double entries), or random.
    """
    other = replace(tree)
    if order == "once":
        other.__dict__["tour"] = tuple(dict.fromkeys(tree.tour))
    elif order == "random":
        other.__dict__["tour"] = tuple(torch.randperm(len(tree)).tolist())
    return other


def build(
    variant: str,
    tree: Skeleton,
    bodies: int,
    classes: int,
    frames: int,
    side: int,
    features: int = 256,
    first: float = 0.4,
    **options: object,
) -> Streams:
    """The model that records and tables call `variant`.

    pose-tour, pose-once, pose-random    the pose stream alone, by the order of joints
    hands                                PoseConditioned, and its parts: see `RGB`
    sta-hands                            STAHands with its DeepGRU

    Args:
        features: F; the paper has 1024.

    Raises:
        ValueError: an unknown variant.
    """
    coordinates, K = 3 * bodies * len(tree), 2 * bodies
    if variant == "sta-hands":
        rgb = STAHands(K, frames, 150, classes, side, coordinates, **options)
        return Streams(DeepGRU(coordinates, classes), rgb, first)
    kind, _, order = variant.partition("-")
    if variant not in RGB and (kind != "pose" or order not in ORDERS):
        known = [*(f"pose-{order}" for order in ORDERS), *RGB, "sta-hands"]
        raise ValueError(f"unknown variant {variant!r}; choose one of {', '.join(known)}")
    net = PoseConvNet(reordered(tree, order or "tour"), bodies, classes, frames, features)
    if order:
        return Streams(net, None)
    rgb = PoseConditioned(K, frames, features, classes, side, **{**RGB[variant], **options})
    return Streams(net, rgb, first)
