"""What a whole frame tells: the first stage of Glimpse Clouds (Baradel, Wolf, Mille, Taylor, CVPR 2018).

    u_t = trunk(Z_t)                   Z_t: the feature map of a backbone
    c_t = mean over places of u_t      the context
    y_t = W_p c_t                      the pose of two bodies, in training only: L_P = |y_t - true joints|
    class = mean over frames of W c_t  the global model

What comes later rests on it: the trunk, and the backbone below it, are not trained any further.

A mean over all places keeps little of where something is. So that glimpses may begin at joints, this network
also finds eight joints of each body as the middle of a distribution over places (integral regression; Sun,
Xiao, Wei, Liang, Wei, ECCV 2018), which the paper does not have:

    x_j = sum over places p of softmax_p(h_j(u_t)) p

Of two bodies the left one comes first; a body that is alone stands in both places.

Letters: B clips, T frames, N of both, D channels of a backbone's map, E channels of the context, H W of the
map, h w of the trunk's, M bodies, J joints of a skeleton, C classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float16, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from companion.models.backbones import of_imagenet
from companion.skeleton import KINECT_V2

ARMS = ("elbow_left", "wrist_left", "hand_left", "elbow_right", "wrist_right", "hand_right")
FOUND = tuple(map(KINECT_V2.index, ("head", "spine_shoulder", *ARMS)))
# A hand that is raised decides more and is seen less: its arm counts five times, and wrists and hands more.
WEIGHTS, RAISED = (1.0, 1, 2, 3, 3, 2, 3, 3), 5.0
LEFT, RIGHT = slice(2, 5), slice(5, 8)  # of the joints found


class Frame(NamedTuple):
    """What each frame tells. Places are x y in units of half the picture."""

    logits: Float[Tensor, "B C"]  # of the clip
    context: Float[Tensor, "B T E"]
    pose: Float[Tensor, "B T 2 J 2"]  # regressed from the context
    found: Float[Tensor, "B T 2 8 2"]  # joints: head, neck, and of both arms elbow, wrist and hand


class Residual(nn.Module):
    """Looks at each channel by itself, then mixes them at each place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False)
        self.norm = nn.GroupNorm(8, width)
        self.mix = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.ReLU(), nn.Conv2d(2 * width, width, 1))

    def forward(self, x: Float[Tensor, "N E h w"]) -> Float[Tensor, "N E h w"]:
        return x + self.mix(self.norm(self.look(x)))


class Context(nn.Module):
    """Context and pose, and the class that the context alone tells.

    Args:
        seen: D.
        blocks: of the trunk; 0: the map itself is u, and E is D, as in the paper.
        width: E.
        joints: J.
    """

    def __init__(self, seen: int, classes: int, blocks: int = 4, width: int = 64, joints: int = 25) -> None:
        super().__init__()
        self.trunk = nn.Identity()
        if blocks:
            first = nn.Conv2d(seen, width, 3, 2, 1), nn.GroupNorm(8, width), nn.ReLU()
            last = nn.GroupNorm(8, width), nn.ReLU()
            self.trunk = nn.Sequential(*first, *(Residual(width) for _ in range(blocks)), *last)
        self.width = width if blocks else seen
        self.heat = nn.Conv2d(self.width, 2 * len(FOUND), 1)
        self.regress = nn.Linear(self.width, 2 * joints * 2)
        self.dropout, self.classify = nn.Dropout(0.5), nn.Linear(self.width, classes)

    def forward(self, maps: Float[Tensor, "B T D H W"] | Float16[Tensor, "B T D H W"]) -> Frame:
        u = self.trunk(maps.flatten(0, 1).float())
        context = u.mean((2, 3)).unflatten(0, maps.shape[:2])
        found = middle(self.heat(u)).unflatten(0, maps.shape[:2])
        pose = self.regress(context).tanh().unflatten(-1, (2, -1, 2))
        logits = self.classify(self.dropout(context.mean(1)))
        return Frame(logits, context, pose, found.unflatten(2, (2, -1)))


class FromFrames(nn.Module):
    """The context network on top of a backbone that is trained with it.

    Args:
        backbone: takes frames N 3 H W to maps N D h w.
    """

    def __init__(self, backbone: nn.Module, context: Context) -> None:
        super().__init__()
        self.backbone, self.context = backbone, context

    def forward(self, frames: UInt8[Tensor, "B T 3 H W"]) -> Frame:
        return self.context(self.backbone(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]))


class FromClips(nn.Module):
    """The first stage of the paper: context and pose from one map of a clip, the class from a later one.

    Args:
        backbone: takes clips B 3 T H W to both maps, as `companion.models.backbones.ResNet50` does.
        wide: channels of the maps.
    """

    def __init__(self, backbone: nn.Module, classes: int, wide: tuple[int, int] = (1024, 2048)) -> None:
        super().__init__()
        self.backbone, self.context = backbone, Context(wide[0], classes, blocks=0)
        self.dropout, self.classify = nn.Dropout(0.5), nn.Linear(wide[1], classes)

    def maps(self, frames: UInt8[Tensor, "B T 3 H W"]) -> tuple[Float[Tensor, "B T D h w"], Frame]:
        """The later map, and what each frame tells."""
        colours = of_imagenet(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        early, late = self.backbone(colours.transpose(1, 2))
        logits = self.classify(self.dropout(late.mean((2, 3, 4))))
        return late.transpose(1, 2), self.context(early.transpose(1, 2))._replace(logits=logits)

    def forward(self, frames: UInt8[Tensor, "B T 3 H W"]) -> Frame:
        return self.maps(frames)[1]


class Behind(nn.Module):
    """A second stage on the maps of a first one that rests, in training too: its statistics do not change.

    Args:
        told: what the second stage takes beside the maps, names of `Frame`.
    """

    def __init__(self, first: FromClips, second: nn.Module, told: Sequence[str]) -> None:
        super().__init__()
        self.first, self.second, self.told = first.requires_grad_(False).eval(), second, told

    def train(self, mode: bool = True) -> "Behind":
        super().train(mode)
        self.first.eval()
        return self

    def forward(self, frames: UInt8[Tensor, "B T 3 H W"]) -> tuple:
        with torch.no_grad():
            maps, frame = self.first.maps(frames)
        return self.second(maps, *(getattr(frame, name) for name in self.told))


def middle(heat: Float[Tensor, "N J h w"]) -> Float[Tensor, "N J 2"]:
    """The mean place of each distribution exp(heat), x y in units of half the map."""
    share = heat.flatten(2).softmax(-1).unflatten(2, heat.shape[2:])
    down, across = (torch.linspace(-1, 1, size, device=heat.device) for size in heat.shape[2:])
    return torch.stack([share.sum(2) @ across.to(heat.dtype), share.sum(3) @ down.to(heat.dtype)], -1)


def two(joints: Float[Tensor, "B T M J 2"]) -> Float[Tensor, "B T 2 J 2"]:
    """Two bodies, the left one first; one that is alone twice; NaN where there is none."""
    if not joints.shape[2]:
        return joints.new_full((*joints.shape[:2], 2, *joints.shape[3:]), torch.nan)
    one, other = joints[:, :, 0], joints[:, :, -1]
    gone, alone = (body.isnan().flatten(2).all(-1)[..., None, None] for body in (one, other))
    one, other = one.where(~gone, other), other.where(~alone, one)
    turn = (other[..., 0].nanmean(-1) < one[..., 0].nanmean(-1))[..., None, None]
    return torch.stack([other.where(turn, one), one.where(turn, other)], 2)


def pose_loss(frame: Frame, joints: Float[Tensor, "B T M J 2"]) -> Float[Tensor, ""]:
    """L_P of the regressed pose and of the joints found: mean absolute errors, raised arms weighing more.

    Joints that are not known do not count; a clip without any has the loss 0. Every clip counts alike, so
    that processes which share a batch learn what one would.
    """
    if not joints.shape[2]:
        return joints.new_zeros(())
    true = two(joints)
    found = true[:, :, :, FOUND]
    weights = torch.tensor(WEIGHTS, device=found.device).expand(found.shape[:-1]).clone()
    for arm in (LEFT, RIGHT):
        elbow, _, hand = found[:, :, :, arm, 1].unbind(-1)
        weights[:, :, :, arm] *= 1 + (RAISED - 1) * (hand < elbow)[..., None]  # y grows downwards
    every = missed(frame.pose, true, torch.ones_like(true[..., 0])) + missed(frame.found, found, weights)
    return every.mean()


def missed(
    found: Float[Tensor, "B T 2 J 2"], true: Float[Tensor, "B T 2 J 2"], weights: Float[Tensor, "B T 2 J"]
) -> Float[Tensor, " B"]:
    """Mean absolute error of what is known of each clip."""
    known: Bool[Tensor, "B T 2 J 2"] = ~true.isnan()
    weights = weights[..., None] * known
    off = (found - true.nan_to_num()).abs()
    return (weights * off).flatten(1).sum(1) / weights.flatten(1).sum(1).clamp_min(1)


def objective(model: nn.Module, batch: tuple, weight: float = 10.0) -> Float[Tensor, ""]:
    """L_D + weight L_P."""
    frame = model(batch.frames)
    return F.cross_entropy(frame.logits, batch.label) + weight * pose_loss(frame, batch.joints)
