"""Glimpse Clouds (Baradel, Wolf, Mille, Taylor, CVPR 2018): attention in feature space, no pose at test time.

In each frame a recurrent locator places G glimpses on the feature map Z_t, one after the other, wherever it
likes: nothing asks that glimpses of neighbouring frames lie close together.

    h_g = GRU([z_{g-1}, r], h_{g-1})          z_{g-1}: the glimpse before, r: what the workers know so far
    l_g = W [h_g, c_t]                        x y s_x s_y; c_t: the context, what the whole frame shows
    z_g = mean of crop(Z_t, l_g)              with a gradient to l_g; or what a small network sees in it
    v_g = z_g * MLP(l_g)                      what was seen, and where

K recurrent workers follow what the glimpses show. Each glimpse is dealt to the workers, softly, as those
glimpses of the past that look like it were; older ones count less:

    a_gk = sum_m w_gm p_mk / sum_m w_gm,      w_gm = exp(-d(v_g, v_m) - age_m / 4)
    p_g = softmax(a_g / 0.1)                  over the workers; m runs over all glimpses of earlier frames
    r^k_t = GRU^k(sum_g p_gk v_g, r^k_{t-1})

d is the Euclidean distance after a learned linear map of the standardised v: a positive definite
Mahalanobis metric, whose scale does not depend on the batch. In the first frame, which has no past, p_g is
learned. Each worker scores the classes after each frame; the mean of all is the answer.

The paper's details are known here from memory and from its public release. Four arguments of
`GlimpseClouds` switch to what the release computes instead.

Letters: B clips, T frames, G glimpses a frame, K workers, D channels, E channels of the context, H W of the
map, S state of a worker or the locator, C classes, J joints, M glimpses of earlier frames, P size of the
metric.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from companion.ops.recurrent import Repeated
from companion.ops.spatial_transformer import crop, pooled

MEMORY = 4.0  # frames after which a glimpse of the past counts for 1 / e
TEMPERATURE = 0.1  # below 1 / K: above it, weights that follow earlier weights all become equal
START = -1.0  # a glimpse begins sigmoid(START) = 0.27 of the map wide


class Read(NamedTuple):
    """What the model says, and what it looked at."""

    logits: Float[Tensor, "B C"]
    steps: Float[Tensor, "B T K C"]  # of each worker after each frame
    glimpses: Float[Tensor, "B T G 4"]  # x y s_x s_y, in units of half the picture
    workers: Float[Tensor, "B T G K"]  # how each glimpse is dealt to the workers, summing to 1


class Look(nn.Module):
    """What a glimpse sees of early features, in which a mean tells little: two convolutions and a maximum."""

    def __init__(self, seen: int, features: int, hidden: int = 32) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(seen, hidden, 3), nn.Conv2d(hidden, features, 3)

    def maps(self, x: Float[Tensor, "N D H W"]) -> Float[Tensor, "N D2 h w"]:
        """Of any size.

        Raises:
            ValueError: too small for two convolutions of 3 x 3.
        """
        if min(x.shape[2:]) < 5:
            raise ValueError(
                f"{x.shape[2]} x {x.shape[3]} samples are too few for features; take 5, or 0 features"
            )
        return self.second(self.first(x).relu()).relu()

    def forward(self, crops: Float[Tensor, "N D S S"]) -> Float[Tensor, "N D2"]:
        return self.maps(crops).amax((2, 3))


class Cells(nn.Module):
    """N recurrent cells (GRU) side by side, each with weights of its own."""

    def __init__(self, number: int, inputs: int, state: int) -> None:
        super().__init__()
        self.state = state
        self.read, self.recur = drawn(number, inputs, 3 * state), drawn(number, state, 3 * state)
        self.read_bias, self.recur_bias = (drawn(number, 1, 3 * state) for _ in range(2))

    def begin(self, which: slice = slice(None)) -> Callable[[Tensor, Tensor], Tensor]:
        """The step of one reading, for some of the cells: inputs N B I and states N B S to states N B S."""
        read, recur = Repeated(self.read[which]), Repeated(self.recur[which])
        read_bias, recur_bias = self.read_bias[which], self.recur_bias[which]

        def step(seen: Tensor, h: Tensor) -> Tensor:
            reset, update, new = (read(seen) + read_bias).chunk(3, -1)
            own_reset, own_update, own_new = (recur(h) + recur_bias).chunk(3, -1)
            new = (new + (reset + own_reset).sigmoid() * own_new).tanh()
            return torch.lerp(new, h, (update + own_update).sigmoid())

        return step


def drawn(*shape: int) -> nn.Parameter:
    """Weights as PyTorch's recurrent cells begin, for three gates."""
    bound = (3 / shape[-1]) ** 0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


class Locator(nn.Module):
    """Where to look next. Its state goes on from each frame's last glimpse to the next frame's first.

    W of the paper is two layers, so that extents, which no loss but the class's holds, may learn more slowly.
    """

    def __init__(self, seen: int, state: int, context: int) -> None:
        super().__init__()
        self.cell = Cells(1, seen + state, state)
        self.place, self.extent = (nn.Linear(state + context, 2) for _ in range(2))
        nn.init.zeros_(self.place.bias)
        nn.init.constant_(self.extent.bias, START)

    def forward(self, h: Float[Tensor, "B S"], c: Float[Tensor, "B E"]) -> Float[Tensor, "B 4"]:
        """x y s_x s_y, given its state."""
        told = torch.cat([h, c], -1)
        return torch.cat([self.place(told).tanh(), self.extent(told).sigmoid()], -1)


class Workers(nn.Module):
    """K recurrent networks side by side, each with weights, a state and a classifier of its own.

    Args:
        shared_state: the release: every worker goes on from the first one's state, so that the others
            never see their own past.
    """

    def __init__(
        self, workers: int, seen: int, classes: int, state: int = 512, shared_state: bool = False
    ) -> None:
        super().__init__()
        self.shared_state = shared_state
        self.cells = Cells(workers, seen, state)
        self.classify = nn.Parameter(nn.init.xavier_uniform_(torch.empty(workers, state, classes)))
        self.classify_bias = nn.Parameter(torch.zeros(workers, 1, classes))

    def begin(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The step of one reading: what workers see, K B D, and their states, K B S, to the next states."""
        if not self.shared_state:
            return self.cells.begin()
        lead, follow = self.cells.begin(slice(1)), self.cells.begin(slice(1, None))

        def step(seen: Tensor, r: Tensor) -> Tensor:
            first = lead(seen[:1], r[:1])
            return torch.cat([first, follow(seen[1:], first.expand_as(r[1:]))])

        return step

    def scores(self, r: Float[Tensor, "K N S"]) -> Float[Tensor, "K N C"]:
        return torch.baddbmm(self.classify_bias, r, self.classify)


class Memory(nn.Module):
    """Deals glimpses to workers, as those of the past that look like them were dealt.

    Args:
        size: P, of the space in which glimpses are compared.
        reversed_decay: the release: the oldest glimpses count most.
        batch_metric: the release: the metric is the inverse covariance of the first batch's glimpses, and is
            not learned. (There it is not kept with the weights either, so that a loaded model has another
            one; here it is.)
    """

    def __init__(
        self,
        glimpses: int,
        workers: int,
        seen: int,
        size: int = 256,
        reversed_decay: bool = False,
        batch_metric: bool = False,
    ) -> None:
        super().__init__()
        self.reversed_decay = reversed_decay
        self.size = seen if batch_metric else min(size, seen)
        self.metric = None if batch_metric else nn.Linear(seen, self.size, bias=False)
        if self.metric:
            nn.init.orthogonal_(self.metric.weight, 1 / math.sqrt(2 * self.size))
        else:
            self.register_buffer("inverse", torch.zeros(seen, seen))  # until there is a first batch
        self.first = nn.Parameter(torch.randn(glimpses, workers))

    def keys(self, v: Float[Tensor, "B G D"]) -> Float[Tensor, "B G P"]:
        """Where glimpses lie in the space in which they are compared; unrelated ones are about 1 apart."""
        return self.metric(F.layer_norm(v, v.shape[-1:])) if self.metric else v

    def forward(
        self,
        keys: Float[Tensor, "B G P"],
        past: Float[Tensor, "B M P"],
        dealt: Float[Tensor, "B M K"],
    ) -> Float[Tensor, "B G K"]:
        """p of the glimpses of one frame, given those of all earlier ones, oldest first."""
        if not past.shape[1]:
            return (self.first.softmax(-1)).expand(len(keys), -1, -1)
        if self.metric:
            apart = distances(keys, past)
        else:
            if not self.inverse.any():
                self.inverse.copy_(inverse_covariance(past.detach().flatten(0, 1)))
            apart = mahalanobis(keys, past, self.inverse)
        G = keys.shape[1]
        age = torch.arange(past.shape[1] // G, 0, -1, dtype=keys.dtype, device=keys.device)
        age = (age.flip(0) if self.reversed_decay else age).repeat_interleave(G)
        weights = (-apart - age / MEMORY).softmax(-1)
        return (weights @ dealt / TEMPERATURE).softmax(-1)


def inverse_covariance(samples: Float[Tensor, "N D"]) -> Float[Tensor, "D D"]:
    """Of the release.

    Raises:
        ValueError: it is singular: no more samples than channels, or a channel that never changes.
    """
    try:
        return torch.linalg.inv(samples.T.cov())
    except torch.linalg.LinAlgError:
        N, D = samples.shape
        dead = int((samples.std(0) == 0).sum())
        raise ValueError(
            f"the covariance of the first batch's {N} glimpses of {D} channels, {dead} of which never change,"
            " is singular: there is no such metric; learn it (batch_metric=False)"
        ) from None


def mahalanobis(
    a: Float[Tensor, "B G D"], b: Float[Tensor, "B M D"], inverse: Float[Tensor, "D D"]
) -> Float[Tensor, "B G M"]:
    """Squared distances of the release, which clamps what a matrix that is not positive makes of them."""
    own, other = ((x @ inverse * x).sum(-1) for x in (a, b))
    return (own[..., None] + other[:, None] - 2 * a @ inverse @ b.transpose(1, 2)).clamp(0, 1e5)


def distances(a: Float[Tensor, "B G P"], b: Float[Tensor, "B M P"]) -> Float[Tensor, "B G M"]:
    """Euclidean distances, by products; with a finite slope where two are equal."""
    squared = a.square().sum(-1)[..., None] + b.square().sum(-1)[:, None] - 2 * a @ b.transpose(1, 2)
    return (squared.clamp_min(0) + 1e-6).sqrt()


class Clouds(nn.Module):
    """Distributed recognition: what is left of the model when somebody else places the glimpses.

    Args:
        seen: D, channels of the map.
        features: of a small network that sees the crops (`Look`); 0, the paper: the mean of a crop.
        glimpses: G.
        workers: K.
        state: S, of each worker.
        side: samples on a crop's side.
        crop_gradient: False, the release: no gradient passes through the crop to where it is cut.
        shared_worker_state, reversed_decay, batch_metric: see `Workers` and `Memory`.

    Raises:
        ValueError: no glimpse, or no worker.
    """

    def __init__(
        self,
        seen: int,
        classes: int,
        *,
        glimpses: int = 3,
        workers: int = 3,
        state: int = 512,
        side: int = 7,
        features: int = 0,
        crop_gradient: bool = True,
        shared_worker_state: bool = False,
        reversed_decay: bool = False,
        batch_metric: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("glimpses", glimpses), ("workers", workers)):
            if value < 1:
                raise ValueError(f"{name} is {value}; there must be at least one")
        self.glimpses, self.side, self.crop_gradient = glimpses, side, crop_gradient
        self.look = Look(seen, features) if features else None
        seen = features or seen
        self.where = nn.Sequential(nn.Linear(4, 256), nn.ReLU(), nn.Linear(256, seen))
        self.memory = Memory(
            glimpses, workers, seen, reversed_decay=reversed_decay, batch_metric=batch_metric
        )
        self.workers = Workers(workers, seen, classes, state, shared_worker_state)

    def seen(self, maps: Float[Tensor, "N D H W"], l: Float[Tensor, "N G 4"]) -> Float[Tensor, "N G D2"]:
        """z of some glimpses of each map."""
        at = l if self.crop_gradient else l.detach()
        if self.look is None:
            return pooled(maps, at, self.side)
        return self.look(crop(maps, at, self.side).flatten(0, 1)).unflatten(0, at.shape[:2])

    def recognise(self, T: int, cloud: Callable[[int, Tensor], tuple[Tensor, Tensor]], like: Tensor) -> Read:
        """Read a clip frame by frame.

        Args:
            cloud: gives z, B G D, and l, B G 4, of a frame, told its number and what the workers know, B S.
            like: any tensor of B clips.
        """
        B, follow = len(like), self.workers.begin()
        r = like.new_zeros(len(self.workers.classify), B, self.workers.cells.state)
        past, dealt = like.new_zeros(B, 0, self.memory.size), like.new_zeros(B, 0, len(r))
        places, states = [], []
        for t in range(T):
            z, l = cloud(t, r.sum(0))
            v = z * self.where(l)
            keys = self.memory.keys(v)
            p = self.memory(keys, past, dealt)
            past, dealt = torch.cat([past, keys], 1), torch.cat([dealt, p], 1)
            r = follow(torch.einsum("bgk,bgd->kbd", p, v), r)
            places.append(l)
            states.append(r)
        steps = self.workers.scores(torch.stack(states, 2).flatten(1, 2)).unflatten(1, (B, T))
        steps = steps.permute(1, 2, 0, 3)
        return Read(steps.mean((1, 2)), steps, torch.stack(places, 1), dealt.unflatten(1, (T, -1)))


class GlimpseClouds(Clouds):
    """The attention and the workers, on feature maps that a backbone has made.

    Args:
        context: E.
        state: S, of each worker and of the locator.
        others: see `Clouds`.
    """

    def __init__(self, seen: int, context: int, classes: int, state: int = 512, **others: Any) -> None:
        super().__init__(seen, classes, state=state, **others)
        self.locator = Locator(self.where[-1].out_features, state, context)

    def forward(self, maps: Float[Tensor, "B T D H W"], context: Float[Tensor, "B T E"]) -> Read:
        B, T = maps.shape[:2]
        aim = self.locator.cell.begin()
        z, h = maps.new_zeros(B, self.where[-1].out_features), maps.new_zeros(1, B, self.locator.cell.state)

        def cloud(t: int, known: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal z, h
            seen, places = [], []
            for _ in range(self.glimpses):
                h = aim(torch.cat([z, known], -1)[None], h)
                places.append(self.locator(h[0], context[:, t]))
                z = self.seen(maps[:, t], places[-1][:, None])[:, 0]
                seen.append(z)
            return torch.stack(seen, 1), torch.stack(places, 1)

        return self.recognise(T, cloud, maps)


def diversity(glimpses: Float[Tensor, "B T G 4"]) -> Float[Tensor, ""]:
    """L_G1 = sum over pairs of a frame's glimpses of 1 / (1 + |l_g - l_g'|): they shall spread."""
    G = glimpses.shape[2]
    one, other = torch.triu_indices(G, G, 1, device=glimpses.device)
    apart = (glimpses[:, :, one] - glimpses[:, :, other]).square().sum(-1)
    return 2 * (1 / (1 + (apart + 1e-6).sqrt())).sum(-1).mean()


def attraction(glimpses: Float[Tensor, "B T G 4"], joints: Float[Tensor, "B T J 2"]) -> Float[Tensor, ""]:
    """L_G2 = sum over a frame's glimpses of the distance to the nearest joint; NaN where one is not seen."""
    if not joints.shape[2]:
        return glimpses.new_zeros(())
    known = ~joints.isnan().any(-1)[:, :, None]
    off = (glimpses[..., None, :2] - joints.nan_to_num()[:, :, None]).square().sum(-1)
    nearest = (off.masked_fill(~known, torch.inf).amin(-1) + 1e-6).sqrt()
    return nearest.where(nearest.isfinite(), 0).sum(-1).mean()
