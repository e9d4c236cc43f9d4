"""Stacked attention networks for questions about pictures (Yang, He, Gao, Deng, Smola, CVPR 2016).

And what they are held against: no picture, no question, no attention, and cross-attention with several heads.

A question is read into one vector, a picture into a vector for each of its regions. Each layer of attention
(a hop) weights the regions by what is known so far, and adds what they hold:

    v_i = tanh(W_I f_i + b_I)                           regions
    h_i = tanh(W_A v_i + W_Q u^(k-1) + b_A)             u^0 = v_Q, the question
    p_i = softmax(w h_i + b)
    u^k = u^(k-1) + sum_i p_i v_i
    answer = softmax(W u^K + b)

The authors' code differs: tanh is taken of W_A v_i and of W_Q u + b_A before they are added, and once more of
w h_i + b, so that of N regions none can weigh more than e / (e + (N - 1) / e).

Letters: P pictures of a batch, B questions about them, L words, V words known, A answers, h w regions of a
picture (N in all), D channels of their features, d the size of all vectors, K hops.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Num, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from companion.models.picture_features import convolutions

FREQUENCIES = torch.tensor([0.5, 1.0, 2.0, 4.0])  # turns over the picture, of the code of places
PADDING = 0  # the word that stands behind the last one


class Answered(NamedTuple):
    """What is said to questions."""

    logits: Float[Tensor, "B A"]
    weights: Float[Tensor, "B K h w"]  # of each hop, summing to 1 over the regions; K = 0 without attention


class Trunk(nn.Module):
    """A network that begins from nothing: maps at an eighth of the size, and the mean around each place.

    The convolutions see 23 pixels of the picture, around the middle of the place, and 39 with the places
    around: a thing of a room, what it lies on, and often a part of what is behind. (The norms see all of it.)
    """

    channels = {"own": 96, "around": 96}

    def __init__(self) -> None:
        super().__init__()
        behind = nn.ZeroPad2d((0, 1, 0, 1))  # else a place looks half of its size to the left, and up
        self.layers = nn.Sequential(
            *convolutions(3, ((24, 3, 2), (48, 3, 2), (64, 3, 1))),
            *(behind, nn.Conv2d(64, 96, 3, 2), nn.GroupNorm(8, 96), nn.ReLU()),
            *convolutions(96, ((96, 1, 1),)),
        )

    def forward(self, pictures: UInt8[Tensor, "P 3 H W"]) -> dict[str, Float[Tensor, "P D h w"]]:
        own = self.layers(pictures.float() / 127.5 - 1)
        return {"own": own, "around": F.avg_pool2d(own, 3, 1, 1, count_include_pad=False)}


class Regions(nn.Module):
    """v_i of a picture's regions, from maps of one or more layers, side by side.

    Args:
        channels: of each layer that is read.
        places: does it also read where a region lies, as sines and cosines of x and y? Not in the paper.
        trunk: makes the maps from pictures, and is trained with the rest; default: they are given.
    """

    def __init__(
        self, channels: dict[str, int], d: int, dropout: float, places: bool, trunk: nn.Module | None
    ) -> None:
        super().__init__()
        self.trunk, self.names, self.places = trunk, tuple(channels), places
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(sum(channels.values()) + 4 * len(FREQUENCIES) * places, d)

    def forward(self, maps: dict[str, Num[Tensor, "P ..."]]) -> Float[Tensor, "P h w d"]:
        if self.trunk:
            maps = self.trunk(maps["pictures"])
        read = [maps[name].to(self.project.weight.dtype) for name in self.names]
        seen = torch.cat([F.interpolate(one, read[0].shape[2:], mode="bilinear") for one in read], 1)
        seen = self.dropout(seen.permute(0, 2, 3, 1))
        if self.places:
            y, x = (torch.linspace(-1, 1, side).to(seen) for side in seen.shape[1:3])
            place = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
            angle = torch.pi * FREQUENCIES.to(seen) * place[..., None]
            where = torch.cat([angle.sin(), angle.cos()], -1).flatten(-2)
            seen = torch.cat([seen, where.expand(len(seen), *where.shape)], -1)
        return torch.tanh(self.project(seen))


class WordsInOrder(nn.Module):
    """A question as the last state of an LSTM."""

    def __init__(self, V: int, E: int, d: int, dropout: float) -> None:
        super().__init__()
        self.embed, self.dropout = nn.Embedding(V, E, PADDING), nn.Dropout(dropout)
        self.read = nn.LSTM(E, d, batch_first=True)

    def forward(self, words: Int[Tensor, "B L"]) -> Float[Tensor, "B d"]:
        states, _ = self.read(self.dropout(self.embed(words)))
        last = (words != PADDING).sum(1).clamp_min(1) - 1
        return states[torch.arange(len(words)), last]


class WordsInGroups(nn.Module):
    """A question as the highest answers of filters on one, two and three words."""

    def __init__(self, V: int, E: int, d: int, dropout: float) -> None:
        super().__init__()
        self.embed, self.dropout = nn.Embedding(V, E, PADDING), nn.Dropout(dropout)
        sizes = {1: d // 4, 2: d // 4, 3: d - 2 * (d // 4)}
        self.filters = nn.ModuleList(nn.Conv1d(E, width, n, padding=n - 1) for n, width in sizes.items())

    def forward(self, words: Int[Tensor, "B L"]) -> Float[Tensor, "B d"]:
        seen, length = self.dropout(self.embed(words)).mT, (words != PADDING).sum(1)[:, None, None]
        found = []
        for each in self.filters:
            answers = each(seen)  # those that see no word say nothing
            none = (
                torch.arange(answers.shape[-1], device=words.device)
                >= length + answers.shape[-1] - words.shape[1]
            )
            found.append(answers.masked_fill(none, -torch.inf).amax(-1).tanh())
        return torch.cat(found, 1)


READERS = {"lstm": WordsInOrder, "cnn": WordsInGroups}


class Hop(nn.Module):
    """One layer of attention.

    Args:
        tanh_apart: as in the authors' code: a tanh of each summand, not of their sum.
        tanh_logits: as there: a tanh of what goes into the softmax.
    """

    def __init__(self, d: int, inner: int, dropout: float, tanh_apart: bool, tanh_logits: bool) -> None:
        super().__init__()
        self.tanh_apart, self.tanh_logits = tanh_apart, tanh_logits
        self.of_regions, self.of_known = nn.Linear(d, inner, bias=False), nn.Linear(d, inner)
        self.dropout, self.weigh = nn.Dropout(dropout), nn.Linear(inner, 1)

    def forward(
        self, regions: Float[Tensor, "P N d"], known: Float[Tensor, "B d"], picture: Int[Tensor, " B"]
    ) -> Float[Tensor, "B N"]:
        one, other = self.of_regions(regions)[picture], self.of_known(known)[:, None]
        hidden = one.tanh() + other.tanh() if self.tanh_apart else (one + other).tanh()
        logits = self.weigh(self.dropout(hidden))[..., 0]
        return (logits.tanh() if self.tanh_logits else logits).softmax(-1)


class StackedAttention(nn.Module):
    """Answer a question by weighting a picture's regions, hop after hop.

    Args:
        channels: D of each layer that is read.
        V, A: words and answers.
        hops: K; with 0 the question alone is read.
        d, inner, embedding: sizes of vectors, of h, and of words.
        reader: of questions, one of `READERS`.
        dropout: of features, words, h and what the answer is read from, in training.
        tanh_apart, tanh_logits: as the authors' code has it, see `Hop`.
        places: see `Regions`.
        trunk: makes the maps from pictures; default: they are given.

    Raises:
        ValueError: an unknown reader, or fewer than 0 hops.
    """

    def __init__(
        self,
        channels: dict[str, int],
        V: int,
        A: int,
        *,
        hops: int = 2,
        d: int = 128,
        inner: int = 128,
        embedding: int = 64,
        reader: str = "lstm",
        dropout: float = 0.0,
        tanh_apart: bool = False,
        tanh_logits: bool = False,
        places: bool = True,
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if reader not in READERS or hops < 0:
            raise ValueError(
                f"{hops} hops, questions read by {reader!r}; choose 0 or more, and {' or '.join(READERS)}"
            )
        self.encode = READERS[reader](V, embedding, d, dropout)
        self.regions = Regions(channels, d, dropout, places, trunk) if hops else None
        self.hops = nn.ModuleList(Hop(d, inner, dropout, tanh_apart, tanh_logits) for _ in range(hops))
        self.dropout, self.answer = nn.Dropout(dropout), nn.Linear(d, A)

    def forward(
        self, maps: dict[str, Num[Tensor, "P ..."]], picture: Int[Tensor, " B"], words: Int[Tensor, "B L"]
    ) -> Answered:
        known, weights = self.encode(words), []
        if self.regions is None:
            return Answered(self.answer(self.dropout(known)), known.new_zeros(len(known), 0, 1, 1))
        regions = self.regions(maps)
        size, regions = regions.shape[1:3], regions.flatten(1, 2)
        own = F.one_hot(picture, len(regions)).to(regions)  # spares the regions of each question
        for hop in self.hops:
            weights.append(hop(regions, known, picture))
            known = known + torch.einsum("bp,bn,pnd->bd", own, weights[-1], regions)
        return Answered(self.answer(self.dropout(known)), torch.stack(weights, 1).unflatten(-1, size))


class Pooled(nn.Module):
    """Answer from the mean of all regions: nothing is attended.

    Args:
        known: what is read: "picture"; or picture and question, as their "sum" or side by side
            ("concatenation", with a hidden layer behind it).
        more: see `StackedAttention`.

    Raises:
        ValueError: another word for `known`, or an unknown reader.
    """

    def __init__(
        self,
        channels: dict[str, int],
        V: int,
        A: int,
        *,
        known: str = "concatenation",
        d: int = 128,
        embedding: int = 64,
        reader: str = "lstm",
        dropout: float = 0.0,
        places: bool = True,
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if known not in ("picture", "sum", "concatenation") or reader not in READERS:
            raise ValueError(
                f"known is {known!r}, questions read by {reader!r}; choose picture, sum or concatenation,"
                f" and {' or '.join(READERS)}"
            )
        self.known = known
        self.encode = None if known == "picture" else READERS[reader](V, embedding, d, dropout)
        self.regions = Regions(channels, d, dropout, places, trunk)
        self.join = nn.Linear(2 * d, d) if known == "concatenation" else None
        self.dropout, self.answer = nn.Dropout(dropout), nn.Linear(d, A)

    def forward(
        self, maps: dict[str, Num[Tensor, "P ..."]], picture: Int[Tensor, " B"], words: Int[Tensor, "B L"]
    ) -> Answered:
        seen = self.regions(maps).mean((1, 2))[picture]
        if self.encode:
            asked = self.encode(words)
            seen = torch.cat([seen, asked], 1) if self.join else seen + asked
        if self.join:
            seen = torch.tanh(self.join(seen))
        return Answered(self.answer(self.dropout(seen)), seen.new_zeros(len(seen), 0, 1, 1))


class CrossAttention(nn.Module):
    """A question that attends to regions with several heads, as in transformers (Vaswani et al., NIPS 2017).

    In each of K layers the question's vector is the query, and regions are keys and values; what the heads
    read is added to it, and then what a small network makes of that. Weights are the mean over heads.

    Args:
        hops: K.
        heads: of each layer.
        more: see `StackedAttention`.

    Raises:
        ValueError: an unknown reader, no layer, or heads that do not divide d.
    """

    def __init__(
        self,
        channels: dict[str, int],
        V: int,
        A: int,
        *,
        hops: int = 2,
        heads: int = 4,
        d: int = 128,
        embedding: int = 64,
        reader: str = "lstm",
        dropout: float = 0.0,
        places: bool = True,
        trunk: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if reader not in READERS or hops < 1 or d % heads:
            raise ValueError(
                f"{hops} layers, d {d}, {heads} heads, questions read by {reader!r}; choose 1 layer or more,"
                f" d a multiple of heads, and {' or '.join(READERS)}"
            )
        self.encode = READERS[reader](V, embedding, d, dropout)
        self.regions = Regions(channels, d, dropout, places, trunk)
        self.attend = nn.ModuleList(
            nn.MultiheadAttention(d, heads, dropout, batch_first=True) for _ in range(hops)
        )
        self.feed_forward = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * d, d)
            )
            for _ in range(hops)
        )
        self.norm = nn.ModuleList(nn.LayerNorm(d) for _ in range(hops + 1))
        self.dropout, self.answer = nn.Dropout(dropout), nn.Linear(d, A)

    def forward(
        self, maps: dict[str, Num[Tensor, "P ..."]], picture: Int[Tensor, " B"], words: Int[Tensor, "B L"]
    ) -> Answered:
        known, regions, weights = self.encode(words), self.regions(maps), []
        size, keys = regions.shape[1:3], regions.flatten(1, 2)[picture]
        for attend, feed_forward, norm in zip(self.attend, self.feed_forward, self.norm, strict=False):
            read, weight = attend(norm(known)[:, None], keys, keys)
            weights.append(weight[:, 0])
            known = known + read[:, 0]
            known = known + feed_forward(known)
        logits = self.answer(self.dropout(self.norm[-1](known)))
        return Answered(logits, torch.stack(weights, 1).unflatten(-1, size))


class Ensemble(nn.Module):
    """Models that differ in what they began with: the mean of what they say, and of where they look."""

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def each(
        self, maps: dict[str, Num[Tensor, "P ..."]], picture: Int[Tensor, " B"], words: Int[Tensor, "B L"]
    ) -> list[Answered]:
        """What each member says."""
        return [member(maps, picture, words) for member in self.members]

    def forward(
        self, maps: dict[str, Num[Tensor, "P ..."]], picture: Int[Tensor, " B"], words: Int[Tensor, "B L"]
    ) -> Answered:
        logits, weights = zip(*self.each(maps, picture, words), strict=True)
        together = torch.stack([one.log_softmax(1) for one in logits]).logsumexp(0)
        return Answered(together, torch.stack(weights).mean(0))


class MostFrequent(nn.Module):
    """Says to everything what was the answer most often.

    Args:
        answers: of training, numbers of A answers, or -1.
    """

    def __init__(self, answers: Int[Tensor, " Q"], A: int) -> None:
        super().__init__()
        self.register_buffer("often", torch.bincount(answers[answers >= 0], minlength=A).float())

    def forward(
        self, maps: dict[str, Num[Tensor, "P ..."]], picture: Int[Tensor, " B"], words: Int[Tensor, "B L"]
    ) -> Answered:
        return Answered(self.often.expand(len(words), -1), self.often.new_zeros(len(words), 0, 1, 1))


def objective(
    model: nn.Module,
    batch: tuple,
    *,
    each: float,
    smoothing: float = 0.0,
    besides: Callable[[Answered], Float[Tensor, " B"]] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy of the answers, of a question whose answer is not known 0; the mean over pictures.

    Of an ensemble the mean over its members.

    Args:
        each: questions a picture, on average: divides the sum over a picture's questions. Not the number in
            the batch, so that several processes share a batch as one has it.
        smoothing: so much of the truth is spread over all answers.
        besides: what each question adds to its cross-entropy.
    """
    asked = batch.maps, batch.picture, batch.words
    said = model.each(*asked) if isinstance(model, Ensemble) else [model(*asked)]
    totals = [
        F.cross_entropy(one.logits, batch.answer, ignore_index=-1, label_smoothing=smoothing, reduction="sum")
        for one in said
    ]
    if besides:
        totals = [total + besides(one).sum() for total, one in zip(totals, said, strict=True)]
    return sum(totals) / len(said) / (len(next(iter(batch.maps.values()))) * each)
