"""Spatio-temporal attention on joints (Song, Lan, Xing, Zeng, Liu, AAAI 2017).

One LSTM says which joints matter in a frame, one how much the frame matters, and a third recognises:

    s_t = U_s tanh(W_x x_t + W_h h^s_{t-1} + b_s) + b_us,   alpha_t = softmax(s_t)      one weight a joint
    x'_tk = K alpha_tk x_tk                                       what the main LSTM sees of joint k
    beta_t = relu(w_x x_t + w_h h^b_{t-1} + b_b)                                      one weight a frame
    o = 1/T sum_t beta_t z_t,   p(y) = softmax(o)                z_t: class scores of the main LSTM

    L = cross-entropy + l1 sum_k (1 - 1/T sum_t alpha_tk)^2 + l2/T sum_t |beta_t| + l3 |W|_1

The paper has neither the K nor the 1/T: here equal attention leaves input and scores as they are, so that
a part can be switched off without changing their scale. The loss could be opened in no primary source, and
l1, l2, l3 = 1e-3, 1e-4, 5e-4 are from memory. Because the alphas of a frame sum to 1, the first penalty is
least for equal weights.

Letters: B clips, T frames, M bodies, J joints, K = M J, C classes, S units of each layer.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Read(NamedTuple):
    """What a model says, and what it attended to; None where a model has no such thing."""

    logits: Float[Tensor, "B C"]
    joints: Float[Tensor, "B T M J"] | None = None  # weights, summing to 1 in each frame
    frames: Float[Tensor, "B T"] | None = None  # weights, not negative
    penalty: Float[Tensor, ""] | float = 0.0  # what the training adds to the cross-entropy


class Dropout(nn.Dropout):
    """As torch's, but for other bits: on a CPU core it draws three times as fast."""

    def forward(self, input: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        if not self.training:
            return input
        return input * torch.rand_like(input).ge_(self.p).div_(1 - self.p)


class JointAttention(nn.Module):
    """alpha: weights over the K joints of each frame, from the frames before and this one."""

    def __init__(self, joints: int, units: int) -> None:
        super().__init__()
        self.past = nn.LSTM(3 * joints, units, batch_first=True)
        self.see, self.remember = nn.Linear(3 * joints, units), nn.Linear(units, units, bias=False)
        self.weigh = nn.Linear(units, joints)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T K"]:
        before = shift(self.past(x)[0])
        return self.weigh(torch.tanh(self.see(x) + self.remember(before))).softmax(-1)


class FrameAttention(nn.Module):
    """beta: how much each frame counts, from the frames before and this one. It begins near 1."""

    def __init__(self, joints: int, units: int) -> None:
        super().__init__()
        self.past = nn.LSTM(3 * joints, units, batch_first=True)
        self.see, self.remember = nn.Linear(3 * joints, 1), nn.Linear(units, 1, bias=False)
        nn.init.ones_(self.see.bias)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T"]:
        before = shift(self.past(x)[0])
        return F.relu(self.see(x) + self.remember(before)).squeeze(-1)


def shift(states: Float[Tensor, "B T S"]) -> Float[Tensor, "B T S"]:
    """h_{t-1} in the place of h_t; zero in the first frame."""
    return F.pad(states[:, :-1], (0, 0, 1, 0))


# Algorithm 1 but for its last stage: parts in use, parts that learn, layers of the main network, length.
STAGES = (
    ({"when"}, {"when", "main"}, 1, 2),
    ({"when"}, {"main"}, 3, 2),
    ({"when"}, {"when", "main"}, 3, 1),
    ({"where"}, {"where", "main"}, 1, 2),
    ({"where"}, {"main"}, 3, 2),
    ({"where"}, {"where", "main"}, 3, 1),
    ({"where", "when"}, {"main"}, 3, 2),
)


class STALSTM(nn.Module):
    """Recognise an action from joints, and say which joints and frames it was seen in.

    Args:
        joints, bodies: J and M.
        classes: C.
        units: S.
        spatial, temporal: use the attention on joints, on frames; without both it is a plain LSTM.
        staged: train by Algorithm 1, as `anneal` says; else everything from the beginning.
        dropout: before each layer of the main LSTM but the first, and before the scores.
        even: lambda 1, against joints that are never looked at.
        short: lambda 2, against large weights of frames.
        sparse: lambda 3, of the L1 norm of all weight matrices. It is a sum, so it grows with the model; with
            the paper's 5e-4 this one does not learn.
    """

    def __init__(
        self,
        joints: int,
        bodies: int,
        classes: int,
        units: int = 100,
        spatial: bool = True,
        temporal: bool = True,
        staged: bool = True,
        dropout: float = 0.5,
        even: float = 1e-3,
        short: float = 1e-4,
        sparse: float = 1e-5,
    ) -> None:
        super().__init__()
        K = joints * bodies
        self.where = JointAttention(K, units) if spatial else None
        self.when = FrameAttention(K, units) if temporal else None
        self.main = nn.ModuleList(nn.LSTM(width, units, batch_first=True) for width in (3 * K, units, units))
        self.dropout, self.classify = Dropout(dropout), nn.Linear(units, classes)
        self.staged, self.lambdas = staged, (even, short, sparse)
        self.anneal(1.0)

    def anneal(self, done: float) -> None:
        """What is in use and what learns when the share `done` of the training is over (Algorithm 1).

        Each attention is first trained alone with one main layer, then rests while the main network grows
        to three, then learns with it; then the main network learns with both. In a model with one attention,
        or none, the stages of what it lacks are left out. A part that is not in use weighs everything alike.
        At last everything learns, for as long as all stages before: the paper's last stage is short, but
        here the learning rate falls to zero once, over all of them.
        """
        parts = {name for name in ("where", "when") if getattr(self, name) is not None}
        stages = [stage for stage in STAGES if stage[0] <= parts] if self.staged else []
        ends = [sum(length for *_, length in stages[: n + 1]) for n in range(len(stages))]
        now = [stage for stage, end in zip(stages, ends, strict=True) if done < end / ends[-1] / 2]
        self.attending, learning, self.depth, _ = now[0] if now else (parts, {*parts, "main"}, 3, 0)
        for name in parts:
            getattr(self, name).requires_grad_(name in learning)

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        B, T, M, J, _ = poses.shape
        x = poses.flatten(2)
        alpha, beta = x.new_full((B, T, M * J), 1 / (M * J)), x.new_ones(B, T)
        if "where" in self.attending:
            alpha = self.where(x)
        if "when" in self.attending:
            beta = self.when(x)
        h = (M * J * alpha.unsqueeze(-1) * poses.flatten(2, 3)).flatten(2)
        for n, layer in enumerate(self.main[: self.depth]):
            h, _ = layer(self.dropout(h) if n else h)
        scores = self.classify(self.dropout(h))
        logits = (beta.unsqueeze(-1) * scores).mean(1)
        return Read(logits, alpha.unflatten(-1, (M, J)), beta, self.penalty(alpha, beta))

    def penalty(self, alpha: Float[Tensor, "B T K"], beta: Float[Tensor, "B T"]) -> Float[Tensor, ""]:
        """The three terms that regularise; weights of parts and layers that are not in use are left alone."""
        even, short, sparse = self.lambdas
        used = [*self.main[: self.depth], self.classify, *(getattr(self, part) for part in self.attending)]
        weights = [v.abs().sum() for part in used for name, v in part.named_parameters() if "weight" in name]
        total = even * (1 - alpha.mean(1)).square().sum(1).mean() + short * beta.abs().mean()
        return total + sparse * torch.stack(weights).sum()


def objective(model: nn.Module, batch: tuple) -> Float[Tensor, ""]:
    """What `training.fit` lowers: the cross-entropy of `batch.label`, and the penalty."""
    read = model(batch.poses)
    return F.cross_entropy(read.logits, batch.label) + read.penalty
