"""Recurrent models of visual attention (Mnih, Heess, Graves, Kavukcuoglu, NIPS 2014), arXiv version.

An agent sees an image only through glimpses, and each glimpse decides where the next one lies:

    rho_t = rho(x, l_{t-1})                   S patches, each twice as wide as the one before
    g_t = relu(A relu(A1 rho_t) + B relu(B1 l_{t-1}))       what was seen, and where
    h_t = relu(C h_{t-1} + D g_t)             or an LSTM
    l_t ~ N(mu(h_t), sigma^2)                 a hard decision: no gradient passes
    p(y) = softmax(E h_T)                     only after the last glimpse

The reward R_t is the probability of the right class, which is the mean of the paper's reward (1 if a class
drawn from it is right) and has less noise. Cross-entropy trains what leads to the class; REINFORCE,
sum_t grad log N(l_t; mu(h_t), sigma^2) (R_t - b_t) with a baseline b_t fitted to R_t, trains mu.
The mean is kept within the image by a tanh; the paper's is linear.

Letters: B images, H W their size, T glimpses, S scales, g side of a glimpse, K positions of the
soft reader's grid, C classes.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from companion.ops.crop import Retina


class Read(NamedTuple):
    """What a model says and where it looked; None where a model has no such thing."""

    logits: Float[Tensor, "B C"]  # after the last glimpse
    steps: Float[Tensor, "B T C"] | None = None  # after each
    locations: Float[Tensor, "B T 2"] | None = None  # (x, y) in [-1, 1]; T = K for the soft reader
    weights: Float[Tensor, "B T K"] | None = None  # of the soft reader, over the K positions
    log_probs: Float[Tensor, "B T-1"] | None = None  # of the T - 1 decisions of the policy
    baselines: Float[Tensor, "B T-1"] | None = None


class GlimpseNetwork(nn.Module):
    """What was seen and where, as one vector."""

    def __init__(self, side: int, scales: int, part: int, width: int) -> None:
        super().__init__()
        self.see = nn.Linear(scales * side**2, part)
        self.place = nn.Linear(2, part)
        self.join = nn.Linear(2 * part, width)  # A and B side by side: one product
        # Ink is sparse: a pixel's rms is 0.3.
        for layer, gain in ((self.see, 3), (self.place, 1), (self.join, 1)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            layer.weight.data *= gain
            nn.init.zeros_(layer.bias)

    def forward(
        self, patches: Float[Tensor, "*n S g g"], centres: Float[Tensor, "*n 2"]
    ) -> Float[Tensor, "*n D"]:
        parts = torch.cat([self.see(patches.flatten(-3)), self.place(centres)], -1)
        return F.relu(self.join(F.relu(parts)))


class RectifiedCell(nn.Module):
    """h_t = relu(C h_{t-1} + D g_t)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.past, self.now = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(self.past.weight)
        nn.init.kaiming_normal_(self.now.weight, nonlinearity="relu")
        nn.init.zeros_(self.past.bias)

    def forward(self, seen: Float[Tensor, "B D"], h: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        return F.relu(self.past(h) + self.now(seen))


class RAM(nn.Module):
    """Recurrent attention model.

    Args:
        n_glimpses: T.
        side: g, samples on a glimpse's side.
        scales: S, patches of a glimpse.
        sigma: standard deviation of the policy, in units of half the image, when training begins.
        sigma_end: and when it ends; `anneal` leads from one to the other.
        policy: "learned", or "random" for glimpses anywhere (the control).
        core: "rectified" (the paper's for images) or "lstm" (its choice for the Catch game).
        hidden_locator: width of a hidden layer before mu; 0 is the paper's.
        location_detached: no gradient of the class passes through the locations (the paper).
        state_detached: REINFORCE trains mu alone. Else it also shapes the state that mu reads, without
            which the digit's position can hardly be read from the state.
    """

    def __init__(
        self,
        n_glimpses: int = 6,
        side: int = 8,
        scales: int = 1,
        sigma: float = 0.3,
        sigma_end: float = 0.05,
        policy: str = "learned",
        core: str = "rectified",
        hidden_locator: int = 0,
        location_detached: bool = True,
        state_detached: bool = False,
        classes: int = 10,
        width: int = 256,
    ) -> None:
        super().__init__()
        check_glimpses(n_glimpses)
        if policy not in ("learned", "random") or core not in ("rectified", "lstm"):
            raise ValueError(f"policy {policy!r} must be learned or random, core {core!r} rectified or lstm")
        if not min(sigma, sigma_end) > 0:
            raise ValueError(f"sigma is {sigma} and sigma_end {sigma_end}; both must be above 0")
        self.n_glimpses, self.side, self.scales, self.width = n_glimpses, side, scales, width
        self.policy, self.sigmas, self.sigma = policy, (sigma, sigma_end), sigma
        self.location_detached, self.state_detached = location_detached, state_detached
        self.glimpse = GlimpseNetwork(side, scales, width // 2, width)
        self.core = nn.LSTMCell(width, width) if core == "lstm" else RectifiedCell(width)
        self.classify = nn.Linear(width, classes)
        if policy == "learned" and n_glimpses > 1:
            hidden = [nn.Linear(width, hidden_locator), nn.ReLU()] if hidden_locator else []
            self.locate = nn.Sequential(*hidden, nn.Linear(hidden_locator or width, 2))
            self.baseline = nn.Linear(width, 1)

    def anneal(self, done: float) -> None:
        """Narrow the policy when the share `done` of the training is over: search first, then aim."""
        start, end = self.sigmas
        self.sigma = start * (end / start) ** done

    def forward(self, images: Float[Tensor, "B H W"]) -> Read:
        B, T = len(images), self.n_glimpses
        retina = Retina(images, self.side, self.scales)
        state = images.new_zeros(B, self.width)
        state = (state, state) if isinstance(self.core, nn.LSTMCell) else state
        anywhere = torch.rand(T if self.policy == "random" else 1, B, 2, device=images.device) * 2 - 1
        noise = torch.randn(T, B, 2, device=images.device) * self.sigma
        locations, means, states = [anywhere[0]], [], []
        for t in range(T):
            seen = self.glimpse(retina(locations[t].detach()), locations[t])
            state = self.core(seen, state)
            states.append(state[0] if isinstance(state, tuple) else state)
            if t + 1 == T:
                break
            if self.policy == "random":
                locations.append(anywhere[t + 1])
                continue
            means.append(torch.tanh(self.locate(states[t].detach() if self.state_detached else states[t])))
            location = means[t] + noise[t]
            locations.append(location.detach() if self.location_detached else location)
        past, places = torch.stack(states, 1), torch.stack(locations, 1)
        steps = self.classify(past)
        if not means:
            return Read(steps[:, -1], steps, places)
        off = (places[:, 1:].detach() - torch.stack(means, 1)) / self.sigma
        baselines = self.baseline(past[:, :-1].detach()).squeeze(-1)
        return Read(steps[:, -1], steps, places, log_probs=-off.square().sum(-1) / 2, baselines=baselines)


class SoftReader(nn.Module):
    """The same glimpses read softly: all places of a grid, weighted by additive scores.

    e_tk = w tanh(U h_{t-1} + V g_k), a_t = softmax(e_t), h_t = core(sum_k a_tk g_k, h_{t-1})
    (Bahdanau, Cho and Bengio 2015; Xu et al. 2015). Everything is differentiable, and every place
    is seen: the cost grows with the grid, RAM's does not.

    Args:
        n_glimpses: T reads.
        grid: places on a side, K = grid^2.
    """

    def __init__(
        self,
        n_glimpses: int = 6,
        side: int = 8,
        scales: int = 1,
        grid: int = 5,
        classes: int = 10,
        width: int = 256,
    ) -> None:
        super().__init__()
        check_glimpses(n_glimpses)
        self.n_glimpses, self.side, self.scales, self.width = n_glimpses, side, scales, width
        line = torch.linspace(1 / grid - 1, 1 - 1 / grid, grid)
        self.register_buffer("places", torch.cartesian_prod(line, line).flip(1), persistent=False)
        self.glimpse = GlimpseNetwork(side, scales, width // 2, width)
        self.core = RectifiedCell(width)
        self.from_state = nn.Linear(width, width // 2)
        self.from_glimpse = nn.Linear(width, width // 2, bias=False)
        self.score = nn.Linear(width // 2, 1, bias=False)
        self.classify = nn.Linear(width, classes)

    def forward(self, images: Float[Tensor, "B H W"]) -> Read:
        places = self.places.expand(len(images), -1, -1)
        seen = self.glimpse(Retina(images, self.side, self.scales)(places), places)  # B K D
        keys = self.from_glimpse(seen)
        h = images.new_zeros(len(images), self.width)
        weights, states = [], []
        for _ in range(self.n_glimpses):
            scores = self.score(torch.tanh(self.from_state(h)[:, None] + keys))
            weights.append(scores.squeeze(-1).softmax(-1))
            h = self.core(torch.einsum("bk,bkd->bd", weights[-1], seen), h)
            states.append(h)
        steps = self.classify(torch.stack(states, 1))
        return Read(steps[:, -1], steps, places, torch.stack(weights, 1))


class FullyConnected(nn.Module):
    """The paper's baseline: two hidden layers on the whole image."""

    def __init__(self, pixels: int, width: int = 256, classes: int = 10) -> None:
        super().__init__()
        self.hidden = nn.Sequential(
            nn.Linear(pixels**2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.classify = nn.Linear(width, classes)

    def forward(self, images: Float[Tensor, "B H W"]) -> Read:
        return Read(self.classify(self.hidden(images.flatten(1))))


class Convolutional(nn.Module):
    """The paper's baseline: 10 x 10 filters with stride 5, then a hidden layer.

    The text says 16 filters, both captions say 8; the hidden layer has 256 units, 86 at 100 x 100.
    """

    def __init__(self, pixels: int, filters: int = 16, classes: int = 10) -> None:
        super().__init__()
        cells, width = ((pixels - 10) // 5 + 1) ** 2, 86 if pixels == 100 else 256
        self.convolve = nn.Conv2d(1, filters, 10, stride=5)
        self.hidden = nn.Linear(filters * cells, width)
        self.classify = nn.Linear(width, classes)

    def forward(self, images: Float[Tensor, "B H W"]) -> Read:
        maps = F.relu(self.convolve(images[:, None]))
        return Read(self.classify(F.relu(self.hidden(maps.flatten(1)))))


def build(variant: str, pixels: int, side: int, scales: int, **options: float | str | bool) -> nn.Module:
    """The model that records and tables call `variant`.

    Args:
        variant: ram-T, random-T or soft-T for T glimpses, fc-W for W hidden units, or conv.
        pixels: side of the image.
        side: g of a glimpse, with `scales` S.
        options: RAM's other arguments.

    Raises:
        ValueError: an unknown variant.
    """
    kind, _, digits = variant.partition("-")
    number = int(digits) if digits.isdigit() else None
    match kind, number:
        case "ram" | "random", int():
            return RAM(number, side, scales, policy="random" if kind == "random" else "learned", **options)
        case "soft", int():
            return SoftReader(number, side, scales)
        case "fc", int():
            return FullyConnected(pixels, number)
        case "conv", None:
            return Convolutional(pixels)
    raise ValueError(
        f"unknown variant {variant!r}; choose ram-T, random-T, soft-T (T glimpses), fc-W (W units) or conv"
    )


def check_glimpses(n_glimpses: int) -> None:
    if n_glimpses < 1:
        raise ValueError(f"n_glimpses is {n_glimpses}; a model needs at least one glimpse")


def loss(
    read: Read,
    labels: Int[Tensor, " B"],
    feedback: str = "each",
    reward: str = "next",
    reinforce: float = 0.3,
    normalized: bool = False,
) -> Float[Tensor, ""]:
    """Cross-entropy, squared error of the baselines, and REINFORCE. The paper: last, last, not normalized.

    Args:
        feedback: when the class is asked for: after the "last" glimpse, or after "each" (the earlier ones
            together count as much as the last).
        reward: what rewards a decision: the class after the glimpse that it leads to ("next"), or after the
            "last" one.
        reinforce: weight of REINFORCE.
        normalized: divide what a decision won or lost by its rms over the batch.
    """
    for name, value, known in (("feedback", feedback, "each last"), ("reward", reward, "next last")):
        if value not in known.split():
            raise ValueError(f"{name} is {value!r}; it must be {known.replace(' ', ' or ')}")
    total = F.cross_entropy(read.logits, labels)
    if read.steps is None:
        return total
    T = read.steps.shape[1]
    if feedback == "each" and T > 1:
        total = total + F.cross_entropy(read.steps[:, :-1].flatten(0, 1), labels.repeat_interleave(T - 1))
    if read.log_probs is None:
        return total
    right = read.steps.detach().softmax(-1).gather(2, labels[:, None, None].expand(-1, T, 1)).squeeze(-1)
    advantage = (right[:, 1:] if reward == "next" else right[:, -1:]) - read.baselines
    gain = advantage.detach()
    if normalized:
        gain = gain / gain.square().mean(0).sqrt().clamp_min(1e-6)
    policy = -(read.log_probs * gain).sum(1).mean()
    return total + advantage.square().mean() + reinforce * policy


def objective(model: nn.Module, batch: tuple, **options: str | float) -> Float[Tensor, ""]:
    """What `training.fit` lowers: the loss of one reading of `batch.image` against `batch.label`."""
    return loss(model(batch.image), batch.label, **options)
