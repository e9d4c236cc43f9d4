"""Recognition of clips from whole frames, without attention: the RGB rows beside Glimpse Clouds.

C3D (Tran, Bourdev, Fergus, Torresani, Paluri, ICCV 2015): eight convolutions of 3 x 3 x 3 with pooling
between them, and two layers that see everything. ResNet-50 + LSTM: a network on pictures, and a recurrent one
on what it sees of each frame. The global model of Glimpse Clouds (Baradel, Wolf, Mille, Taylor, CVPR 2018):
the same feature maps, averaged over all their places.

Letters: B clips, T frames, D channels, H W of a frame, h w of a map, S state, C classes.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from companion.files import DamagedFile
from companion.models.backbones import of_imagenet, read_weights
from companion.models.glimpse_clouds import Look


class Read(NamedTuple):
    """What the model says, and which places speak for each class."""

    logits: Float[Tensor, "B C"]
    heatmaps: Float[Tensor, "B T C h w"] | None = None  # class activation maps


class C3D(nn.Module):
    """The paper's network on clips of any length and size.

    Args:
        frames, size: T, and H W, which the first layer that sees everything is built for.
        width: channels of the first convolution, of which all others are multiples; the paper has 64.
        joined: of the two layers that see everything; the paper has 4096.
    """

    def __init__(
        self, frames: int, size: tuple[int, int], classes: int, width: int = 64, joined: int = 4096
    ) -> None:
        super().__init__()
        layers, inputs, left = [], 3, [frames, *size]
        for repeats, wide, pool in ((1, 1, 1), (1, 2, 2), (2, 4, 2), (2, 8, 2), (2, 8, 2)):
            for _ in range(repeats):
                layers += [nn.Conv3d(inputs, wide * width, 3, padding=1), nn.ReLU()]
                nn.init.kaiming_normal_(layers[-2].weight)  # else little is left behind eight layers
                inputs = wide * width
            layers.append(nn.MaxPool3d((pool, 2, 2), ceil_mode=True))
            left = [-(-side // by) for side, by in zip(left, (pool, 2, 2), strict=True)]
        self.convolve = nn.Sequential(*layers)
        T, h, w = left
        self.join = nn.Sequential(
            nn.Linear(inputs * T * h * w, joined), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(joined, joined), nn.ReLU(), nn.Dropout(0.5),
        )  # fmt: skip
        self.classify = nn.Linear(joined, classes)

    def forward(self, frames: UInt8[Tensor, "B T 3 H W"]) -> Read:
        clips = frames.transpose(1, 2).float() / 127.5 - 1
        return Read(self.classify(self.join(self.convolve(clips).flatten(1))))


class ResNetLSTM(nn.Module):
    """A ResNet on frames, an LSTM on what it sees, and the mean of the scores after all frames.

    Args:
        imagenet: torchvision's file of weights for this depth, which the ResNet begins with; its statistics
            then rest. Without it all is learned from scratch.
        depth: 50 as in the papers, or 18.

    Raises:
        DamagedFile: the file holds other weights.
    """

    def __init__(
        self, classes: int, imagenet: str | Path | None = None, depth: int = 50, state: int = 512
    ) -> None:
        super().__init__()
        net = {18: resnet18, 50: resnet50}[depth]()
        self.rest = imagenet is not None
        if imagenet is not None:
            try:
                net.load_state_dict(read_weights(imagenet))
            except RuntimeError:
                raise DamagedFile(f"{imagenet} holds weights of another network than resnet{depth}") from None
        self.see = nn.Sequential(*[*net.children()][:-1], nn.Flatten())
        self.core = nn.LSTM(net.fc.in_features, state, batch_first=True)
        self.dropout, self.classify = nn.Dropout(0.5), nn.Linear(state, classes)

    def train(self, mode: bool = True) -> "ResNetLSTM":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and self.rest:
                module.eval()
        return self

    def forward(self, frames: UInt8[Tensor, "B T 3 H W"]) -> Read:
        seen = self.see(of_imagenet(frames.flatten(0, 1))).unflatten(0, frames.shape[:2])
        return Read(self.classify(self.dropout(self.core(seen)[0])).mean(1))


class Global(nn.Module):
    """What is left of Glimpse Clouds without glimpses: all places of all frames count alike.

    Args:
        seen: D.
        features: of the network that would see crops and sees whole maps here; 0: none, the paper.
    """

    def __init__(self, seen: int, classes: int, features: int = 0) -> None:
        super().__init__()
        self.look = Look(seen, features) if features else None
        self.dropout, self.classify = nn.Dropout(0.5), nn.Linear(features or seen, classes)

    def forward(self, maps: Float[Tensor, "B T D h w"]) -> Read:
        if self.look is not None:
            maps = self.look.maps(maps.flatten(0, 1)).unflatten(0, maps.shape[:2])
        logits = self.classify(self.dropout(maps.mean((1, 3, 4))))
        heatmaps = torch.einsum("cd,btdhw->btchw", self.classify.weight, maps)
        return Read(logits, heatmaps)
