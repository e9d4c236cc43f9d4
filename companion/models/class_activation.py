"""What a network that was trained for recognition only attends to, read from its last maps.

    z^c(x) = w^c . f(x) + b^c         the evidence for a class at a place
    cam           z of the class that the network finds likeliest         (Zhou et al., CVPR 2016)
    log-sum-exp   log sum over c of exp z^c(x): evidence for any class
    energy        mean over channels of f(x)^2, which needs no class

Letters: B pictures, D channels, h w places.
"""

import torch
from jaxtyping import Num
from torch import Tensor, nn

from companion.models.gaze import Gaze

MAPS = ("cam", "log-sum-exp", "energy")


class ClassActivation(nn.Module):
    """A map of a picture.

    Args:
        classify: from the mean over places to the classes, as it was trained; it stays at rest.
        kind: one of `MAPS`.
        layer: the name of the maps that `classify` reads.

    Raises:
        ValueError: an unknown kind.
    """

    def __init__(self, classify: nn.Linear, kind: str, layer: str = "head") -> None:
        super().__init__()
        if kind not in MAPS:
            raise ValueError(f"unknown map {kind!r}; choose one of {', '.join(MAPS)}")
        self.classify, self.kind, self.layer = classify.requires_grad_(False), kind, layer

    def forward(self, maps: dict[str, Num[Tensor, "B ..."]]) -> Gaze:
        features = maps[self.layer].float()
        if self.kind == "energy":
            return Gaze(features.square().mean(1))
        evidence = torch.einsum("bdhw,cd->bchw", features, self.classify.weight)
        evidence = evidence + self.classify.bias[:, None, None]
        if self.kind == "log-sum-exp":
            return Gaze(evidence.logsumexp(1))
        said = evidence.mean((2, 3)).argmax(1)
        return Gaze(evidence[torch.arange(len(said)), said])
