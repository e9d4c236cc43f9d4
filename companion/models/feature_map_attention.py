"""Soft attention over the feature maps of a video (Sharma, Kiros, Salakhutdinov, ICLR workshop 2016).

A recurrent state says where to look in the next frame, and the frame is read as a weighted mean:

    l_t = softmax(W h_(t-1))                one weight for each place, summing to 1
    x_t = sum_i l_ti X_ti                   what the LSTM reads of frame t
    h_t = LSTM(x_t, h_(t-1))                three layers; h_0 and c_0 are what a small network makes of the
                                            mean of all X
    y_t = softmax(V tanh(U h_t))            the answer is the mean over t

The authors' code differs: weights come from a small network of the features and the state, and the LSTM has
one layer. Beside the soft weights stand two other ways of reading: one place alone, drawn from the weights
and learned by REINFORCE (hard attention, Mnih et al. 2014, Xu et al. 2015), and a window with a gradient to
where it is cut (Jaderberg et al. 2015).

Letters: B clips, T frames, D channels of a map, h w its size, K = h w places, S size of the state, C classes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional as F

from companion.ops.spatial_transformer import tents

ATTENTION = ("soft", "hard", "crop")
READERS = (*ATTENTION, "mean", "max")
SIDE = 3  # samples on a window's side


class Read(NamedTuple):
    """What is said of clips."""

    logits: Float[Tensor, "B T C"]  # after each frame
    weights: Float[Tensor, "B T h w"] | None = None  # of the places of each frame, summing to 1 or less
    log_probs: Float[Tensor, "B T"] | None = None  # of the places that were drawn, in training
    baselines: Float[Tensor, "B T"] | None = None  # the reward that was expected before


def answer(logits: Float[Tensor, "B T C"]) -> Float[Tensor, "B C"]:
    """The mean over frames of what is said after each, as probabilities."""
    return logits.softmax(-1).mean(1)


class FeatureMapAttention(nn.Module):
    """Recognise a clip from its feature maps, and say where it looked.

    Args:
        D, C: channels and classes.
        size: h w.
        S: size of each layer's state.
        layers: of the LSTM.
        reads: how a frame is read: soft (weights), hard (one place), crop (a window), or without attention:
            the mean or the max over all places.
        of_features: weights come from features and state, as in the authors' code, not from the state alone.
        dropout: of what the answer is read from, in training.

    Raises:
        ValueError: an unknown way to read, or features asked for where a window is read.
    """

    def __init__(
        self,
        D: int,
        C: int,
        size: tuple[int, int],
        *,
        S: int = 128,
        layers: int = 3,
        reads: str = "soft",
        of_features: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if reads not in READERS or (of_features and reads not in ("soft", "hard")):
            raise ValueError(
                f"reads is {reads!r}, of_features {of_features}; choose one of {', '.join(READERS)},"
                " and of_features with soft or hard only"
            )
        self.size, self.reads, self.layers = size, reads, layers
        self.begin = nn.Sequential(nn.Linear(D, S), nn.Tanh(), nn.Linear(S, 2 * layers * S))
        self.lstm = nn.LSTM(D, S, layers, batch_first=True)
        self.hidden, self.dropout, self.classify = nn.Linear(S, S), nn.Dropout(dropout), nn.Linear(S, C)
        self.where = self.seen = self.known = self.expect = None
        if reads in ATTENTION and of_features:
            self.seen, self.known, self.where = nn.Linear(D, S, bias=False), nn.Linear(S, S), nn.Linear(S, 1)
        elif reads in ATTENTION:
            self.where = nn.Linear(S, 4 if reads == "crop" else size[0] * size[1])
        if reads == "hard":
            self.expect = nn.Linear(S, 1)

    def forward(self, maps: Num[Tensor, "B T D h w"]) -> Read:
        cubes = maps.to(self.hidden.weight.dtype).flatten(3).mT  # B T K D
        B, T = cubes.shape[:2]
        start = self.begin(cubes.mean((1, 2))).tanh().view(B, 2, self.layers, -1)
        state = tuple(start.permute(1, 2, 0, 3).contiguous())
        if self.where is None:
            seen = cubes.mean(2) if self.reads == "mean" else cubes.amax(2)
            return Read(self.say(self.lstm(seen, state)[0]))
        projected = self.seen(cubes) if self.seen else None
        states, weights, log_probs, baselines = [], [], [], []
        for t in range(T):
            known = state[0][-1]  # of the last layer
            its, log_prob = self.weigh(known, None if projected is None else projected[:, t])
            weights.append(its)
            log_probs.append(log_prob)
            if self.expect and self.training:
                baselines.append(self.expect(known.detach())[:, 0])
            seen = torch.einsum("bk,bkd->bd", its, cubes[:, t])
            out, state = self.lstm(seen[:, None], state)
            states.append(out[:, 0])
        logits, shown = self.say(torch.stack(states, 1)), torch.stack(weights, 1).unflatten(-1, self.size)
        if not baselines:
            return Read(logits, shown)
        return Read(logits, shown, torch.stack(log_probs, 1), torch.stack(baselines, 1))

    def say(self, states: Float[Tensor, "B T S"]) -> Float[Tensor, "B T C"]:
        """The classes after each frame."""
        return self.classify(self.dropout(self.hidden(states).tanh()))

    def weigh(
        self, known: Float[Tensor, "B S"], features: Float[Tensor, "B K S"] | None
    ) -> tuple[Float[Tensor, "B K"], Float[Tensor, " B"] | None]:
        """Of each place its weight; and of one that was drawn, how probable it was.

        Hard attention draws a place in training, and takes the most probable one when tested.
        """
        assert self.where is not None
        if features is not None and self.known:
            scores = self.where((features + self.known(known)[:, None]).tanh())[..., 0]
        else:
            scores = self.where(known)
        if self.reads == "crop":
            return self.window(scores), None
        if self.reads == "soft":
            return scores.softmax(-1), None
        policy = torch.distributions.Categorical(logits=scores)
        drawn = policy.sample() if self.training else scores.argmax(-1)
        return F.one_hot(drawn, scores.shape[1]).to(scores.dtype), policy.log_prob(drawn)

    def window(self, scores: Float[Tensor, "B 4"]) -> Float[Tensor, "B K"]:
        """What a window takes of each place: its middle and extent from four numbers."""
        centre, extent = scores[:, None, :2].tanh(), scores[:, None, 2:].sigmoid()
        sides = [
            tents(centre[..., axis], extent[..., axis], SIDE, self.size[1 - axis])[:, 0].mean(1)
            for axis in (0, 1)
        ]
        return (sides[1][:, :, None] * sides[0][:, None]).flatten(1)

    def multiply_adds(self, frames: int) -> dict[str, int]:
        """Of one clip when it is tested, by part, counted; of what comes behind the backbone's maps.

        `begin` needs the mean of all maps, whatever is read; a maximum counts as a mean. Hard attention reads
        one place of each frame.
        """
        S, D, K = self.hidden.in_features, self.lstm.input_size, self.size[0] * self.size[1]
        begin = frames * K * D + S * D + 2 * self.layers * S * S
        look, read = 0, K * D
        if self.seen:
            look = K * D * S + S * S + K * S
        elif self.where:
            look = S * self.where.out_features
        if self.reads == "hard":
            read = D
        if self.reads == "crop":
            look += SIDE * sum(self.size) + K
        state = 4 * S * (D + S) + (self.layers - 1) * 8 * S * S
        each = {"look": look, "read": read, "state": state, "say": S * S + S * self.classify.out_features}
        return {"begin": begin} | {name: frames * cost for name, cost in each.items()}


class CubeRegression(nn.Module):
    """Softmax regression of all features of a frame, as in the paper's table."""

    def __init__(self, D: int, C: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.classify = nn.Linear(D * size[0] * size[1], C)

    def forward(self, maps: Num[Tensor, "B T D h w"]) -> Read:
        return Read(self.classify(maps.to(self.classify.weight.dtype).flatten(2)))

    def multiply_adds(self, frames: int) -> dict[str, int]:
        """Of one clip, of what comes behind the backbone's maps."""
        return {"say": frames * self.classify.in_features * self.classify.out_features}


def objective(
    model: nn.Module,
    maps: Num[Tensor, "B T D h w"],
    label: Int[Tensor, " B"],
    *,
    doubly_stochastic: int | float = 0.0,
    reinforce: float = 1.0,
) -> Float[Tensor, ""]:
    """What `fit` lowers: (sum_t cross-entropy_t + lambda sum_i (1 - sum_t l_ti)^2) / T.

    Of hard attention also the squared error of the baselines and REINFORCE, with the probability that the
    clip's own class gets in the end as the reward.

    Args:
        doubly_stochastic: lambda, which asks that every place is looked at as long as others.
        reinforce: weight of REINFORCE.
    """
    said = model(maps)
    B, T = said.logits.shape[:2]
    total = F.cross_entropy(said.logits.flatten(0, 1), label.repeat_interleave(T))
    if doubly_stochastic and said.weights is not None:
        total = total + doubly_stochastic * (1 - said.weights.sum(1)).square().sum((1, 2)).mean() / T
    if said.log_probs is None or said.baselines is None:
        return total
    reward = answer(said.logits.detach())[torch.arange(B), label]
    ahead = reward[:, None] - said.baselines
    return total + ahead.square().mean() - reinforce * (said.log_probs * ahead.detach()).mean()
