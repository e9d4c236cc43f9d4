"""Maps of whole pictures: of several layers of a network at rest, or of a small one from scratch.

What ImageNet has taught is kept as it is: BatchNorm is folded into the convolutions before it, and the
products may be computed in bf16, where the processor has it.

Letters: N pictures, H W their size, D h w a layer's maps.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from companion.models.backbones import Block, EfficientNetLite0, lite0

LAYERS = ("block 4", "block 7", "block 10", "block 14", "block 15", "head")  # the last of each size, and more
PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}
WIDTHS = {0: 16, 2: 24, 4: 40, 7: 80, 10: 112, 14: 192, 15: 320}  # D of the blocks up to this one
FEW = 8  # pictures that tell an untrained network how large its maps are
CHANNELS = {f"block {n}": next(D for last, D in WIDTHS.items() if n <= last) for n in range(16)} | {
    "head": 1280
}


def channels(layers: Sequence[str] = LAYERS) -> dict[str, int]:
    """D of each of these layers.

    Raises:
        ValueError: there is no such layer.
    """
    if unknown := [name for name in layers if name not in CHANNELS]:
        raise ValueError(f"unknown layer {unknown[0]!r}; choose block 0 to block 15, or head")
    return {name: CHANNELS[name] for name in layers}


class Layers(nn.Module):
    """EfficientNet-Lite0, at rest, which gives the maps behind some of its blocks.

    Args:
        like: pictures, for random weights, see `untrained`; default: the weights of ImageNet.
        precision: of all it computes with: f32, or bf16, faster where the processor has it.
        layers: whose maps it gives; what lies behind the last of them is left out.

    Raises:
        ValueError: another precision, or an unknown layer.
        ModuleNotFoundError, DamagedFile: see `backbones.lite0`.
    """

    def __init__(
        self,
        like: UInt8[Tensor, "N 3 H W"] | None = None,
        precision: str = "f32",
        layers: Sequence[str] = LAYERS,
    ) -> None:
        super().__init__()
        self.layers = tuple(channels(layers))
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; choose {' or '.join(PRECISIONS)}")
        net = lite0() if like is None else untrained(like)
        self.stem = folded(net.stem)
        for block in net.blocks:
            assert isinstance(block, Block)
            block.expand = folded(block.expand) if block.expand else None
            block.depthwise, block.project = folded(block.depthwise), folded(block.project)
        self.blocks, self.head, self.classify = net.blocks, folded(net.head), net.classify
        if "head" not in layers:
            last = max(int(name.split()[1]) for name in layers)
            self.blocks, self.head, self.classify = net.blocks[: last + 1], None, None
        self.to(PRECISIONS[precision], memory_format=torch.channels_last)

    def forward(self, pictures: UInt8[Tensor, "N 3 H W"]) -> dict[str, Float[Tensor, "N D h w"]]:
        """The maps of its layers, by name."""
        x = pictures.to(self.stem.weight.dtype, memory_format=torch.channels_last)
        x, found = F.relu6(self.stem((x - 127) / 128)), {}  # up to 255, bf16 has all whole numbers
        for number, block in enumerate(self.blocks):
            x = found[f"block {number}"] = block(x)
        if self.head:
            found["head"] = F.relu6(self.head(x))
        return {name: found[name].float() for name in self.layers}

    def extra_repr(self) -> str:
        return ", ".join(self.layers)


@torch.no_grad()
def untrained(pictures: UInt8[Tensor, "N 3 H W"]) -> EfficientNetLite0:
    """Random weights, as torch's generator gives them, and BatchNorms with the statistics of some pictures.

    As in training: else each block would make its maps some ten times fainter, and the last ones vanish.
    """
    net = EfficientNetLite0().train()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the statistics are those of all that is seen
    net.scores(pictures)
    return net.eval().requires_grad_(False)


def folded(layers: nn.Sequential) -> nn.Module:
    """A convolution that does what it and the BatchNorm behind it did."""
    conv, norm = layers
    return fuse_conv_bn_eval(conv, norm)


def convolutions(inputs: int, stages: Sequence[tuple[int, int, int]]) -> nn.Sequential:
    """What learns from scratch: convolutions, each with GroupNorm and ReLU.

    Args:
        stages: width, side of the kernel, and stride of each.
    """
    layers: list[nn.Module] = []
    for width, side, stride in stages:
        layers += [nn.Conv2d(inputs, width, side, stride, side // 2), nn.GroupNorm(8, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers)
