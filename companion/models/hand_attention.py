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

What sees the crops rests too: an Inception-v3 with ImageNet weights, as in the papers (`Inception`), or a
small network that is first trained alone on crops (`Crops`), which the simulated releases are for. The paper
does not say how the weights p_t of PoseConditioned are normalised ("sigmoid activation"): here hidden units
are sigmoids, and weights sum to 1.

Letters: B clips, T frames, M bodies, J joints, K = 2 M hands, E things that decide, S side of a crop, H W of
any picture, D what is seen of one, F pose features, C classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import inception_v3
from torchvision.transforms import v2

from companion.files import DamagedFile
from companion.models.skeleton_baselines import PoseConvNet
from companion.ops import pose
from companion.skeleton import Skeleton


class Read(NamedTuple):
    """What the model says, and what it attended to; None where it has no such thing."""

    logits: Float[Tensor, "B C"]  # of several streams the sum
    pose: Float[Tensor, "B C"] | None = None
    rgb: Float[Tensor, "B C"] | None = None
    hands: Float[Tensor, "B T K"] | None = None  # weights, summing to 1 in each frame
    frames: Float[Tensor, "B T"] | None = None  # weights, summing to 1


class Pooled(nn.Module):
    """The class from some crops of a clip, or pictures: the mean of their scores.

    Args:
        glimpse: from crops or pictures to D features.
        taken: crops of each clip that a training step looks at.
    """

    def __init__(self, glimpse: nn.Module, classes: int, seen: int, taken: int) -> None:
        super().__init__()
        self.glimpse = glimpse
        self.dropout, self.classify, self.taken = nn.Dropout(0.3), nn.Linear(seen, classes), taken

    def see(
        self, crops: UInt8[Tensor, "*n 3 H W"], which: Bool[Tensor, "*n"] | None = None
    ) -> Float[Tensor, "*n D"]:
        """Of each crop, or of some."""
        return glimpses(lambda part: self.glimpse(part.float() / 127.5 - 1), crops, which)

    def looks(self, crops: UInt8[Tensor, "B T K 3 H W"]) -> Bool[Tensor, "B T K"]:
        """At which crops of a batch: in training at some that are not black, else at all of them."""
        which = present(crops)
        if not self.training:
            return which
        drawn = torch.rand(which.shape, device=crops.device) * which
        least = drawn.flatten(1).topk(min(self.taken, drawn[0].numel())).values[:, -1]
        return which & (drawn >= least[:, None, None])

    def forward(self, poses: Float[Tensor, "B T M J 3"], crops: UInt8[Tensor, "B T K 3 H W"]) -> Read:
        which = self.looks(crops)
        scores = self.classify(self.dropout(self.see(crops, which))) * which[..., None]
        return Read(scores.sum((1, 2)) / which.sum((1, 2))[:, None].clamp_min(1))


class Crops(Pooled):
    """What is to be seen of single crops, wherever they come from.

    A crop is cut into patches of 4 x 4 samples, which one more convolution and a linear layer join. Only
    what `see` gives is used later.

    Args:
        side: S, a multiple of 4.
        seen: D.
        taken: see `Pooled`.
    """

    def __init__(self, side: int, classes: int, seen: int = 64, taken: int = 16) -> None:
        glimpse = nn.Sequential(
            nn.Conv2d(3, 32, 4, 4), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(64 * (side // 4 - 2) ** 2, seen), nn.ReLU(),
        )  # fmt: skip
        super().__init__(glimpse, classes, seen, taken)


class Whole(Pooled):
    """The control of crops: pictures of any size, and the mean of what is seen at all their places.

    Samples and patches are those of `Crops`; where something is, is lost.

    Args:
        scale: samples a pixel.
    """

    def __init__(self, classes: int, scale: float, seen: int = 64, taken: int = 3) -> None:
        glimpse = nn.Sequential(
            nn.Upsample(scale_factor=scale, mode="bilinear"),
            nn.Conv2d(3, 32, 4, 4), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, seen, 3), nn.BatchNorm2d(seen), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip
        super().__init__(glimpse, classes, seen, taken)

    def see(
        self, crops: UInt8[Tensor, "*n 3 H W"], which: Bool[Tensor, "*n"] | None = None
    ) -> Float[Tensor, "*n D"]:
        """Of each picture, or of some; few at once, for they are large."""

        def seen(part: Tensor) -> Tensor:
            return torch.cat([self.glimpse(some.float() / 127.5 - 1) for some in part.split(256)])

        return glimpses(seen, crops, which)


class Evidence(Crops):
    """Crops of several things that decide together: what is seen of each, joined before the scores."""

    def __init__(self, side: int, classes: int, things: int, seen: int = 64, taken: int = 16) -> None:
        super().__init__(side, classes, seen, taken)
        self.join = nn.Sequential(nn.Dropout(0.5), nn.Linear(things * seen, 128), nn.ReLU())
        self.classify = nn.Linear(128, classes)

    def forward(self, poses: Float[Tensor, "B T M J 3"], crops: UInt8[Tensor, "B T E 3 S S"]) -> Read:
        which = self.looks(crops)
        seen = self.see(crops, which).sum(1) / which.sum(1)[..., None].clamp_min(1)
        return Read(self.classify(self.dropout(self.join(seen.flatten(1)))))


class Inception(nn.Module):
    """What an Inception-v3 sees of single crops: D = 2048, the last layer before its scores. It rests.

    Args:
        weights: of torchvision's inception_v3, in its file (inception_v3_google-0cc3c7bd.pth).

    Raises:
        FileNotFoundError: no such file.
        ValueError: it holds something else. It is read without executing code.
    """

    def __init__(self, weights: str | Path) -> None:
        super().__init__()
        if not Path(weights).is_file():
            raise FileNotFoundError(f"no file {weights}; download torchvision's weights of inception_v3")
        net = inception_v3(weights=None, init_weights=False)
        content = BytesIO(Path(weights).read_bytes())  # of a file, torch would reserve what it claims to hold
        try:
            net.load_state_dict(torch.load(content, map_location="cpu", weights_only=True))
        except Exception as error:  # of torch's own reader of pickles, many kinds
            raise DamagedFile(
                f"{weights} holds no weights of torchvision's inception_v3 ({type(error).__name__});"
                " download them again"
            ) from None
        if not all(value.isfinite().all() for value in net.state_dict().values()):
            raise DamagedFile(f"{weights} holds a weight that is NaN or infinite; download them again")
        net.fc = nn.Identity()
        self.net = net.eval().requires_grad_(False)
        self.ready = v2.Compose(
            [v2.Resize((299, 299)), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
        )

    def see(self, crops: UInt8[Tensor, "*n 3 H W"]) -> Float[Tensor, "*n D"]:
        """Of each crop."""
        return glimpses(
            lambda part: torch.cat([self.net(self.ready(some)) for some in part.split(64)]), crops
        )


def glimpses(
    see: Callable, crops: UInt8[Tensor, "*n 3 H W"], which: Bool[Tensor, "*n"] | None = None
) -> Float[Tensor, "*n D"]:
    """What a network sees of some crops; zero of the others and of black ones, where there was no hand."""
    which = present(crops) if which is None else which
    found = see(crops[which])
    return found.new_zeros(*which.shape, found.shape[-1]).masked_scatter(which[..., None], found)


def present(crops: UInt8[Tensor, "*n 3 H W"]) -> Bool[Tensor, "*n"]:
    """Which crops are not black."""
    return crops.flatten(-3).amax(-1) > 0


class PoseConditioned(nn.Module):
    """The RGB stream of the BMVC paper.

    Args:
        read: how the hands of a frame are joined: attention, sum (equal weights), or concat.
        temporal: pool over time by attention, else by the mean.
        conditions: what p_t depends on, state and pose; the weights of frames always depend on the pose.
    """

    def __init__(
        self,
        hands: int,
        frames: int,
        features: int,
        classes: int,
        seen: int = 64,
        units: int = 128,
        read: str = "attention",
        temporal: bool = True,
        conditions: Sequence[str] = ("state", "pose"),
    ) -> None:
        super().__init__()
        self.read, self.conditions = read, conditions
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
        v: Float[Tensor, "B T K D"],
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B T K"], Float[Tensor, "B T"]]:
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
        classes: int,
        coordinates: int,
        seen: int = 64,
        units: int = 128,
    ) -> None:
        super().__init__()
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
        v: Float[Tensor, "B T K D"],
    ) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B T K"], Float[Tensor, "B T"]]:
        speed, change = pose.derivatives(poses)
        p = self.where(torch.cat([x.flatten(2) for x in (poses, speed, change)], -1)).softmax(-1)
        h, _ = self.core(torch.einsum("btk,btkd->btd", p, v))
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


class PoseStream(nn.Module):
    """A pose network by itself; `net` has `features`, `dropout` and `classify`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def read(self, poses: Float[Tensor, "B T M J 3"]) -> tuple[Float[Tensor, "B F"], Float[Tensor, "B C"]]:
        """s, and the scores."""
        s = self.net.features(poses)
        return s, self.net.classify(self.net.dropout(s))

    def forward(self, poses: Float[Tensor, "B T M J 3"], v: Tensor) -> Read:
        return Read(self.read(poses)[1])


class Streams(nn.Module):
    """An RGB stream beside a pose stream that rests, fused by the sum of their scores.

    Args:
        pose: trained.
        rgb: see `PoseConditioned.forward`.
    """

    def __init__(self, pose: PoseStream, rgb: nn.Module) -> None:
        super().__init__()
        self.pose, self.rgb = pose.requires_grad_(False), rgb

    def train(self, mode: bool = True) -> "Streams":
        super().train(mode)
        self.pose.eval()
        return self

    def forward(self, poses: Float[Tensor, "B T M J 3"], v: Float[Tensor, "B T K D"]) -> Read:
        s, scores = self.pose.read(poses)
        rgb, hands, frames = self.rgb(poses, s, v)
        return Read(scores + rgb, scores, rgb, hands, frames)


def objective(model: nn.Module, batch: tuple) -> Float[Tensor, ""]:
    """What `training.fit` lowers: the cross-entropy of what learns, the RGB stream where there is one."""
    read = model(batch.poses, batch.hands)
    return F.cross_entropy(read.logits if read.rgb is None else read.rgb, batch.label)


def mlp(inputs: int, hidden: int, outputs: int, act: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), act, nn.Linear(hidden, outputs))


RGB = {  # variants of PoseConditioned
    "hands": {},
    "sum": {"read": "sum", "temporal": False},
    "concat": {"read": "concat", "temporal": False},
    "spatial": {"temporal": False},
    "temporal": {"read": "sum"},
    "by-state": {"conditions": ("state",)},
    "by-pose": {"conditions": ("pose",)},
}


def pose_stream(
    order: str, tree: Skeleton, bodies: int, classes: int, frames: int, features: int = 256
) -> PoseStream:
    """The pose network of PoseConditioned, by the order of its joints (BMVC 2018, Table 3).

    Args:
        order: tour (each bone forth and back), once (the same without double entries), or random; or gru,
            the pose network of STAHands.
        features: F; the paper has 1024.
    """
    if order == "gru":
        return PoseStream(DeepGRU(3 * bodies * len(tree), classes))
    tours = {
        "tour": tree.tour,
        "once": tuple(dict.fromkeys(tree.tour)),
        "random": tuple(torch.randperm(len(tree)).tolist()),
    }
    if order not in tours:
        raise ValueError(f"unknown order {order!r}; choose one of {', '.join(tours)}, gru")
    other = replace(tree)
    other.__dict__["tour"] = tours[order]  # what the cached property would hold
    return PoseStream(PoseConvNet(other, bodies, classes, frames, features))


def streams(
    variant: str, pose: PoseStream, hands: int, frames: int, classes: int, **options: object
) -> Streams:
    """The RGB stream that records and tables call `variant`, beside a trained pose stream.

    hands       PoseConditioned; `RGB` lists what is left of it without its parts
    sta-hands   STAHands, whose pose stream has the order gru

    Raises:
        ValueError: an unknown variant.
    """
    classify = pose.net.classify
    if variant == "sta-hands":
        rgb = STAHands(hands, frames, classes, pose.net.core.input_size, **options)
    elif variant in RGB:
        rgb = PoseConditioned(hands, frames, classify.in_features, classes, **{**RGB[variant], **options})
    else:
        raise ValueError(f"unknown variant {variant!r}; choose one of {', '.join(RGB)}, sta-hands")
    return Streams(pose, rgb)
