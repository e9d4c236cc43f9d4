"""Recognising actions from joints: the pose rows of the lecture's tables, each in a few lines.

Every model takes poses B T M J 3 and gives `Read`. Sizes and rules that no primary source could be opened
for are from memory, and each docstring says which. All of them score each frame and average the scores,
unless they say otherwise.

Letters: B clips, T frames, M bodies, J joints, K = M J, P parts, U units, C classes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from companion.models.sta_lstm import STALSTM, Dropout, Read
from companion.ops import pose
from companion.skeleton import Skeleton

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward  # of outputs


class DeepLSTM(nn.Module):
    """Three LSTM layers on all joints of a frame (Shahroudy et al., CVPR 2016)."""

    def __init__(self, tree: Skeleton, bodies: int, classes: int, units: int = 100) -> None:
        super().__init__()
        self.core = nn.LSTM(3 * bodies * len(tree), units, num_layers=3, batch_first=True, dropout=0.5)
        self.dropout, self.classify = Dropout(0.5), nn.Linear(units, classes)

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        states, _ = self.core(poses.flatten(2))
        return Read(self.classify(self.dropout(states)).mean(1))


class PartLSTM(nn.Module):
    """One memory a body part, one output gate for all (Shahroudy et al., CVPR 2016, part-aware LSTM).

        i_p, f_p, g_p = W_p [x_p, h_{t-1}],   c_p = sigma(f_p) c_p + sigma(i_p) tanh(g_p)
        o = sigma(W_o [x, h_{t-1}]),          h = o tanh [c_1 .. c_P]

    From memory: one layer; 32 units a part.
    """

    def __init__(self, tree: Skeleton, bodies: int, classes: int, units: int = 32) -> None:
        super().__init__()
        self.parts, P = [list(part) for part in tree.parts.values()], bodies * len(tree.parts)
        self.see = nn.ModuleList(
            nn.Linear(3 * len(part), 3 * units) for _ in range(bodies) for part in self.parts
        )
        self.open = nn.Linear(3 * bodies * len(tree), P * units)
        self.remember = nn.Linear(P * units, P * 4 * units, bias=False)
        self.dropout, self.classify = Dropout(0.5), nn.Linear(P * units, classes)

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        B, _, M, _, _ = poses.shape
        parts = [poses[:, :, m, part].flatten(2) for m in range(M) for part in self.parts]
        seen = torch.stack([see(part) for see, part in zip(self.see, parts, strict=True)], 2)  # B T P 3U
        out = self.open(poses.flatten(2)).unflatten(-1, (len(parts), -1))
        h = c = torch.zeros_like(out[:, 0])
        states = []
        for seen_t in torch.cat([seen, out], -1).unbind(1):
            gates = seen_t + self.remember(h.flatten(1)).view(B, len(parts), -1)
            i, f, g, o = gates.chunk(4, -1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            states.append(h.flatten(1))
        return Read(self.classify(self.dropout(torch.stack(states, 1))).mean(1))


class HBRNN(nn.Module):
    """From parts to the body by bidirectional networks (Du, Wang, Wang, CVPR 2015; the variant HBRNN-L).

    Arms and legs and trunk, each by itself; each limb with the trunk; both arms and both legs; the body.
    The last layer is an LSTM, the others are tanh networks. Two people share the layers below the last.
    From memory: 30, 60, 90 and 80 units in one direction.
    """

    def __init__(
        self, tree: Skeleton, bodies: int, classes: int, units: Sequence[int] = (30, 60, 90, 80)
    ) -> None:
        super().__init__()
        self.parts = {name: list(part) for name, part in tree.parts.items()}
        a, b, c, d = units

        def both_ways(inputs: int, size: int) -> nn.RNN:
            return nn.RNN(inputs, size, batch_first=True, bidirectional=True)

        self.part = nn.ModuleDict({name: both_ways(3 * len(part), a) for name, part in self.parts.items()})
        self.limb = nn.ModuleDict({name: both_ways(4 * a, b) for name in self.parts if name != "trunk"})
        self.both = nn.ModuleDict({name: both_ways(4 * b, c) for name in ("arm", "leg")})
        self.body = nn.LSTM(4 * c * bodies, d, batch_first=True, bidirectional=True)
        self.dropout, self.classify = Dropout(0.5), nn.Linear(2 * d, classes)

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        B, _, M, _, _ = poses.shape
        each = poses.transpose(1, 2).flatten(0, 1)  # B M, T, J, 3
        parts = {name: net(each[:, :, self.parts[name]].flatten(2))[0] for name, net in self.part.items()}
        limbs = {
            name: net(torch.cat([parts[name], parts["trunk"]], -1))[0] for name, net in self.limb.items()
        }
        halves = [
            net(torch.cat([limbs[f"left_{name}"], limbs[f"right_{name}"]], -1))[0]
            for name, net in self.both.items()
        ]
        bodies = torch.cat(halves, -1).unflatten(0, (B, M)).transpose(1, 2).flatten(2)
        states, _ = self.body(self.dropout(bodies))
        return Read(self.classify(self.dropout(states)).mean(1))


class CoOccurrenceLSTM(nn.Module):
    """Groups of units that each look at few joints (Zhu et al., AAAI 2016).

    Three bidirectional LSTM layers with fully connected layers between them. The first layer sees the
    joints through units in groups, and `penalty` lets each group choose the joints that occur together:

        l1 |W|_1 + l2 sum over groups, joints of |W_group,joint|_2

    From memory: sizes and weights. The paper also drops units inside the LSTM's gates; here between layers.
    """

    def __init__(
        self,
        tree: Skeleton,
        bodies: int,
        classes: int,
        units: int = 100,
        groups: int = 5,
        sparse: float = 1e-4,
        grouped: float = 1e-3,
    ) -> None:
        super().__init__()
        K = bodies * len(tree)
        self.groups, self.sparse, self.grouped = groups, sparse, grouped
        self.look = nn.Linear(3 * K, units)
        self.cores = nn.ModuleList(
            nn.LSTM(units, units, batch_first=True, bidirectional=True) for _ in range(3)
        )
        self.joins = nn.ModuleList(nn.Linear(2 * units, units) for _ in range(2))
        self.dropout, self.classify = Dropout(0.5), nn.Linear(2 * units, classes)

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        states = self.look(poses.flatten(2))
        for core, join in zip(self.cores, [*self.joins, nn.Identity()], strict=True):
            states = join(self.dropout(core(states)[0]))
        return Read(self.classify(states).mean(1), penalty=self.penalty())

    def penalty(self) -> Float[Tensor, ""]:
        """Few weights, and few joints a group."""
        weight = self.look.weight
        by_joint = weight.view(self.groups, weight.shape[0] // self.groups, -1, 3)
        return self.sparse * weight.abs().sum() + self.grouped * by_joint.norm(dim=(1, 3)).sum()


class STLSTM(nn.Module):
    """Memory along the frames and along the tree, with a gate for trust (Liu et al., ECCV 2016).

    The joints of a frame are read in the order of a tour over the tree. A cell follows the cell before it
    on the tour (S) and the one of the frame before (T):

        i, f_S, f_T, o, u = W [x, h_S, h_T],   p = tanh(W_p [h_S, h_T]),   x' = tanh(W_x x)
        trust = exp(-l (p - x')^2)             is the joint where the others let expect it?
        c = trust i u + (1 - trust) (f_S c_S + f_T c_T),   h = o tanh c

    Cells on one diagonal of the grid do not depend on each other and are computed at once. At each joint
    both people are read together. A frame is scored at the last stop of its tour. From memory: two layers,
    l = 0.5; the paper scores every cell.
    """

    def __init__(
        self, tree: Skeleton, bodies: int, classes: int, units: int = 64, trust: bool = True
    ) -> None:
        super().__init__()
        self.tour, widths = list(tree.tour), (3 * bodies, units)
        self.gates = nn.ModuleList(nn.Linear(width + 2 * units, 5 * units) for width in widths)
        self.expect = nn.Linear(2 * units, units) if trust else None
        self.find = nn.Linear(3 * bodies, units) if trust else None
        for gate, width in zip(self.gates, widths, strict=True):  # coordinates and states have an rms of 0.3
            nn.init.normal_(gate.weight.data[:, :width], std=3 / width**0.5)
        self.dropout, self.classify = Dropout(0.5), nn.Linear(units, classes)

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        x = poses.permute(3, 1, 0, 2, 4).flatten(3)[self.tour].flip(1)  # S T B D, the last frame first
        for n, gates in enumerate(self.gates):
            weight, bias, found = gates.weight, gates.bias, None
            if n == 0 and self.expect is not None:
                weight = torch.cat([weight, F.pad(self.expect.weight, (x.shape[-1], 0))])
                bias, found = torch.cat([bias, self.expect.bias]), torch.tanh(self.find(x))
            x = Sweep.apply(self.dropout(x) if n else x, weight, bias, found)
        return Read(self.classify(self.dropout(x[-1])).mean(0))


class Sweep(torch.autograd.Function):
    """The states of all cells of one layer of an ST-LSTM, a diagonal at once, and their gradient.

    A diagonal is one product of its inputs with all weights, and two on the way back. The gradient is
    written out because the many small steps of autograd take as long as these products.

    Args:
        x: what the cells read, the last frame first.
        weight, bias: of i, f_S, f_T, o, u and p, one below the other, for [x, h_S, h_T].
        found: x' of the cells; None for a layer without trust, whose weights end with u.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "S T B D"],
        weight: Float[Tensor, "G E"],
        bias: Float[Tensor, " G"],
        found: Float[Tensor, "S T B U"] | None,
    ) -> Float[Tensor, "S T B U"]:
        S, T, B, D = x.shape
        U = (weight.shape[1] - D) // 2
        states, kept = x.new_empty(S, T, B, U), []
        front = x.new_zeros(2, S + 1, B, U)  # h and c of the latest frame, of each stop those before it
        for d, stops, after in diagonals(S, T):
            (h_s, c_s), (h_t, c_t) = front[:, stops], front[:, after]
            seen = torch.cat([diagonal(x, d), h_s, h_t], -1)
            gates = F.linear(seen, weight, bias).to(x.dtype)  # from bf16
            i, f_s, f_t, o = gates[..., : 4 * U].sigmoid_().split(U, -1)
            u, *p = tanh_(gates[..., 4 * U :]).split(U, -1)
            new, old, trust, apart = i * u, f_s * c_s + f_t * c_t, None, None
            if found is None:
                c = old + new
            else:
                trust, apart = torch.exp(-0.5 * (p[0] - diagonal(found, d)).square()), new - old
                c = old.addcmul(trust, apart)
            tanh_c = tanh_(c.clone())
            kept += [seen, gates, front[1, stops.start : after.stop].clone(), trust, apart, tanh_c]
            front[0, after], front[1, after] = o * tanh_c, c
            diagonal(states, d).copy_(front[0, after])
        ctx.save_for_backward(weight, found, *kept)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Float[Tensor, "S T B U"]) -> tuple[Tensor | None, ...]:
        weight, found, *kept = ctx.saved_tensors
        S, T, B, U = d_states.shape
        D = weight.shape[1] - 2 * U
        d_x, d_weight, d_bias = d_states.new_empty(S, T, B, D), torch.zeros_like(weight), 0
        d_found = None if found is None else torch.empty_like(found)
        front = d_states.new_zeros(2, S + 1, B, U)  # gradients of h and c, so far
        for d, stops, after in reversed(diagonals(S, T)):
            *kept, seen, gates, c, trust, apart, tanh_c = kept
            i, f_s, f_t, o, u, *p = gates.split(U, -1)
            d_h = front[0, after] + diagonal(d_states, d)
            d_new = d_old = front[1, after] + tanh_backward(d_h * o, tanh_c)
            d_p = []
            if found is not None:
                d_new = trust * d_new
                d_old = d_old - d_new
                d_p = [d_new * apart * (diagonal(found, d) - p[0])]
                diagonal(d_found, d).copy_(-d_p[0])
            d_open = torch.cat([d_new * u, d_old * c[:-1], d_old * c[1:], d_h * tanh_c], -1)
            d_open = sigmoid_backward(d_open, gates[..., : 4 * U])
            d_rest = tanh_backward(torch.cat([d_new * i, *d_p], -1), gates[..., 4 * U :])
            d_gates = torch.cat([d_open, d_rest], -1).flatten(0, 1)
            d_weight.addmm_(d_gates.t(), seen.flatten(0, 1))
            d_bias = d_bias + d_gates.sum(0)
            d_seen, d_s, d_t = (d_gates @ weight).unflatten(0, (-1, B)).split([D, U, U], -1)
            diagonal(d_x, d).copy_(d_seen)
            front[:, after] = torch.stack([d_t, d_old * f_t])
            front[:, stops] += torch.stack([d_s, d_old * f_s])
        return d_x, d_weight, d_bias, d_found


def tanh_(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """In place, as 2 sigma(2 x) - 1: on a CPU core several times as fast as torch's."""
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def diagonals(S: int, T: int) -> list[tuple[int, slice, slice]]:
    """The number of each diagonal, the stops of the tour that it passes, and the stops after these."""
    passed = [(max(0, d - T + 1), min(d + 1, S)) for d in range(S + T - 1)]
    return [(d, slice(first, end), slice(first + 1, end + 1)) for d, (first, end) in enumerate(passed)]


def diagonal(cells: Float[Tensor, "S T B D"], d: int) -> Float[Tensor, "n B D"]:
    """A view of the cells that come d-th, in the order of the tour, where the last frame comes first."""
    return cells.diagonal(cells.shape[1] - 1 - d).movedim(-1, 0)


class TSLSTM(nn.Module):
    """An ensemble over temporal scales (Lee, Kim, Kang, Lee, ICCV 2017).

    Each network sees how far the joints have moved in so many frames, the first one where they are; the
    scores are averaged. From memory: which scales; the paper also slides windows over the clip.
    """

    def __init__(
        self,
        tree: Skeleton,
        bodies: int,
        classes: int,
        units: int = 100,
        lags: Sequence[int] = (0, 1, 5, 10),
    ) -> None:
        super().__init__()
        self.lags, inputs = lags, 3 * bodies * len(tree)
        self.cores = nn.ModuleList(nn.LSTM(inputs, units, num_layers=2, batch_first=True) for _ in lags)
        self.classify = nn.ModuleList(nn.Linear(units, classes) for _ in lags)
        self.dropout = Dropout(0.5)

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        x, scores = poses.flatten(2), []
        for lag, core, classify in zip(self.lags, self.cores, self.classify, strict=True):
            lag = min(lag, x.shape[1] - 1)
            moved = x[:, lag:] - x[:, :-lag] if lag else x
            scores.append(classify(self.dropout(core(moved)[0])).mean(1))
        return Read(torch.stack(scores).mean(0))


class VALSTM(nn.Module):
    """A network that first chooses the view (Zhang et al., ICCV 2017).

    One LSTM says by which angles each frame is turned, one by how much it is moved; three layers recognise
    what is then seen. From memory: 100 units a layer.
    """

    def __init__(self, tree: Skeleton, bodies: int, classes: int, units: int = 100) -> None:
        super().__init__()
        inputs = 3 * bodies * len(tree)
        self.around, self.along = (nn.LSTM(inputs, units, batch_first=True) for _ in range(2))
        self.angles, self.shift = nn.Linear(units, 3), nn.Linear(units, 3)
        for head in (self.angles, self.shift):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)  # it begins with the camera's view
        self.read = DeepLSTM(tree, bodies, classes, units)

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        x = poses.flatten(2)
        angles, shift = self.angles(self.around(x)[0]), self.shift(self.along(x)[0])
        moved = (poses - shift[:, :, None, None]).unsqueeze(2)
        return self.read(pose.turn(moved.float(), angles.float()).squeeze(2))


class PoseConvNet(nn.Module):
    """Convolutions over time and along the body (Baradel, Wolf, Mille, BMVC 2018, section 3.1).

    Rows are frames, columns the coordinates of the joints in the order of a tour over the tree, one body
    after the other; channels are positions, velocities and accelerations. Two convolutions of 8 x 3, each
    followed by pooling, and one that covers all, to `features`. The paper does not print the number of maps:
    60 in the second layer follow from its number of parameters.
    """

    def __init__(
        self, tree: Skeleton, bodies: int, classes: int, frames: int = 20, features: int = 1024
    ) -> None:
        super().__init__()
        self.tour = list(tree.tour)
        columns = 3 * bodies * len(self.tour)
        self.convolve = nn.Sequential(
            nn.ZeroPad2d((1, 1, 3, 4)), nn.Conv2d(3, 32, (8, 3)), nn.MaxPool2d(2, ceil_mode=True),
            nn.ReLU(),
            nn.ZeroPad2d((1, 1, 3, 4)), nn.Conv2d(32, 60, (8, 3)), nn.MaxPool2d(2, ceil_mode=True),
            nn.ReLU(),
        )  # fmt: skip
        left = 60 * -(-frames // 4) * -(-columns // 4)
        self.join = nn.Linear(left, features)
        self.dropout, self.classify = Dropout(0.5), nn.Linear(features, classes)

    def features(self, poses: Float[Tensor, "B T M J 3"]) -> Float[Tensor, "B F"]:
        """s, what the hands' attention is conditioned on."""
        moves = torch.stack([poses, *pose.derivatives(poses)], 1)  # B 3 T M J 3
        image = moves[..., self.tour, :].flatten(3)
        image = image.contiguous(memory_format=torch.channels_last)  # twice as fast a reading on a CPU
        return F.relu(self.join(self.dropout(self.convolve(image).flatten(1))))

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        return Read(self.classify(self.dropout(self.features(poses))))


class SGN(nn.Module):
    """The modern reference: joints that attend to each other (Zhang et al., CVPR 2020).

    Each joint of each frame is described by where it is, how it moves and which joint it is. Three graph
    layers exchange this between the joints of a frame, along a graph that attention computes from it:

        G = softmax(theta(z) phi(z)^T),   z' = relu(BN(G z W + z V))

    Then the largest value over joints, convolutions over time, and the largest value over frames. All
    bodies' joints form one graph. Sizes as in the paper, from memory.
    """

    def __init__(self, tree: Skeleton, bodies: int, classes: int, frames: int = 20, width: int = 64) -> None:
        super().__init__()
        K = bodies * len(tree)
        self.where, self.moves = (
            nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
            for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(3 * K) for _ in range(2))
        self.joint = nn.Parameter(torch.randn(K, width) * 0.1)
        self.frame = nn.Parameter(torch.randn(frames, 4 * width) * 0.1)
        self.theta, self.phi = nn.Linear(2 * width, 4 * width), nn.Linear(2 * width, 4 * width)
        widths = [2 * width, 2 * width, 4 * width, 4 * width]
        self.layers = nn.ModuleList(GraphLayer(a, b) for a, b in zip(widths, widths[1:], strict=False))
        self.along = nn.Sequential(
            nn.Conv1d(4 * width, 4 * width, 3, padding=1), nn.BatchNorm1d(4 * width), nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv1d(4 * width, 8 * width, 1), nn.BatchNorm1d(8 * width), nn.ReLU(),
        )  # fmt: skip
        self.dropout, self.classify = Dropout(0.5), nn.Linear(8 * width, classes)

    def forward(self, poses: Float[Tensor, "B T M J 3"]) -> Read:
        B, T = poses.shape[:2]
        parts = []
        for norm, embed, values in zip(
            self.norms, (self.where, self.moves), (poses, pose.derivatives(poses)[0]), strict=True
        ):
            even = norm(values.flatten(2).transpose(1, 2)).transpose(1, 2)
            parts.append(embed(even.unflatten(-1, (-1, 3))))  # B T K W
        z = torch.cat([sum(parts), self.joint.expand(B, T, -1, -1)], -1)
        graph = (self.theta(z) @ self.phi(z).transpose(-1, -2)).softmax(-1)  # B T K K
        for layer in self.layers:
            z = layer(z, graph)
        seen = self.along((z.amax(2) + self.frame).transpose(1, 2)).amax(2)
        looked = graph.mean(2).unflatten(-1, poses.shape[2:4])
        return Read(self.classify(self.dropout(seen)), looked)


class GraphLayer(nn.Module):
    """z' = relu(BN(G z W + z V))."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.others, self.own = nn.Linear(inputs, outputs, bias=False), nn.Linear(inputs, outputs)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(
        self, z: Float[Tensor, "B T K D"], graph: Float[Tensor, "B T K K"]
    ) -> Float[Tensor, "B T K E"]:
        new = self.others(graph @ z) + self.own(z)
        return F.relu(self.norm(new.flatten(0, 2)).view(new.shape))


ATTENDING = {  # STA-LSTM and what is left of it without its parts: spatial, temporal
    "sta-lstm": (True, True),
    "spatial": (True, False),
    "temporal": (False, True),
    "lstm": (False, False),
}
MODELS = {
    "deep-lstm": DeepLSTM,
    "part-lstm": PartLSTM,
    "hbrnn": HBRNN,
    "co-occurrence": CoOccurrenceLSTM,
    "st-lstm": STLSTM,
    "ts-lstm": TSLSTM,
    "va-lstm": VALSTM,
    "pose-convnet": PoseConvNet,
    "pose-convnet-transfer": PoseConvNet,  # that begins with the weights of another dataset
    "sgn": SGN,
}


def build(variant: str, tree: Skeleton, bodies: int, classes: int, frames: int, **options) -> nn.Module:
    """The model that records and tables call `variant`.

    Raises:
        ValueError: an unknown variant.
    """
    known(variant)
    if variant in ATTENDING:
        spatial, temporal = ATTENDING[variant]
        return STALSTM(len(tree), bodies, classes, spatial=spatial, temporal=temporal, **options)
    if MODELS[variant] in (PoseConvNet, SGN):
        options["frames"] = frames
    return MODELS[variant](tree, bodies, classes, **options)


def known(variant: str) -> None:
    """Refuse a name that no model has.

    Raises:
        ValueError: the sentence lists the names.
    """
    if variant not in (*ATTENDING, *MODELS):
        raise ValueError(f"unknown variant {variant!r}; choose one of {', '.join([*ATTENDING, *MODELS])}")
