"""Maps of several layers of a network at rest, of whole pictures.

What ImageNet has taught is kept as it is: BatchNorm is folded into the convolutions before it, and the
products may be computed in bf16, where the processor has it.

Letters: N pictures, H W their size, D h w a layer's maps.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from companion.models.backbones import Block, EfficientNetLite0, lite0

LAYERS = {"block 4": 4, "block 7": 7, "block 10": 10, "block 14": 14, "block 15": 15}  # and "head"
PRECISIONS = {"f32": torch.float32, "bf16": torch.bfloat16}
CHANNELS = {"block 4": 40, "block 7": 80, "block 10": 112, "block 14": 192, "block 15": 320, "head": 1280}


class Layers(nn.Module):
    """EfficientNet-Lite0, at rest, which gives the maps behind some of its blocks.

    Args:
        trained: on ImageNet; else with random weights, as torch's generator gives them.
        precision: of all it computes with: f32, or bf16, faster where the processor has it.

    Raises:
        ValueError: another precision.
        ModuleNotFoundError, DamagedFile: see `backbones.lite0`.
    """

    def __init__(self, trained: bool = True, precision: str = "f32") -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}; choose {' or '.join(PRECISIONS)}")
        net = lite0() if trained else EfficientNetLite0().eval().requires_grad_(False)
        self.stem = folded(net.stem)
        for block in net.blocks:
            assert isinstance(block, Block)
            block.expand = folded(block.expand) if block.expand else None
            block.depthwise, block.project = folded(block.depthwise), folded(block.project)
        self.blocks, self.head, self.classify = net.blocks, folded(net.head), net.classify
        self.to(PRECISIONS[precision], memory_format=torch.channels_last)

    def forward(self, pictures: UInt8[Tensor, "N 3 H W"]) -> dict[str, Float[Tensor, "N D h w"]]:
        """The maps of every layer, by name."""
        x = pictures.to(self.stem.weight.dtype, memory_format=torch.channels_last)
        x, found = F.relu6(self.stem((x - 127) / 128)), {}  # up to 255, bf16 has all whole numbers
        numbers = {number: name for name, number in LAYERS.items()}
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in numbers:
                found[numbers[number]] = x
        found |= {"head": F.relu6(self.head(x))}
        return {name: maps.float() for name, maps in found.items()}


def folded(layers: nn.Sequential) -> nn.Module:
    """A convolution that does what it and the BatchNorm behind it did."""
    conv, norm = layers
    return fuse_conv_bn_eval(conv, norm)
