"""One attention for looking and for recognising: the lecture's "can we jointly predict gaze and the
scrutinised object? Loss: recognition performance".

A readout of maps of a network at rest (see `gaze`) gives a density over places. What a picture shows is read
there: every place has evidence z^c for each class, and the density weighs it.

    a(x) = softmax of the readout's values;   s^c = sum over x of a(x) z^c(x)

Gaze trains the density, the labels train the density and the evidence, through one trunk of 1 x 1
convolutions; either loss may be left out. The prior of where people look at other pictures takes part in
the density that gaze is told by, and not in a(x): labels alone know nothing of gaze.

Letters: B pictures, C classes, h w cells.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.nn import functional as F

from companion.models.gaze import Gaze, Readout, as_gaze


class Attended(NamedTuple):
    """What it says of pictures."""

    logits: Float[Tensor, "B C"]  # of each class by itself
    attention: Float[Tensor, "B h w"]  # a, its log
    gaze: Gaze  # with the prior


class JointAttention(nn.Module):
    """Density and classes.

    Args:
        readout: whose hidden layers both read.
        C: classes.
        attends: without it all places weigh the same, a control.
    """

    def __init__(self, readout: Readout, C: int, attends: bool = True) -> None:
        super().__init__()
        self.readout, self.attends = readout, attends
        self.evidence = nn.Conv2d(readout.last.in_channels, C, 1)

    def forward(self, maps: dict[str, Num[Tensor, "B ..."]]) -> Attended:
        hidden = self.readout.hidden(maps)
        values = self.readout.values(hidden)
        if not self.attends:
            values = torch.zeros_like(values)
        attention = as_gaze(values).map
        logits = torch.einsum("bhw,bchw->bc", attention.exp(), self.evidence(hidden))
        return Attended(logits, attention, as_gaze(values + self.readout.centre * self.readout.prior))


def objective(model: nn.Module, batch: tuple, *, gaze: int | float, labels: int | float) -> Float[Tensor, ""]:
    """Nats a fixation and nats a label, each with its weight.

    Args:
        batch: `maps` of pictures that were looked at, `counts` of them, then of pictures with labels,
            `present` of them.
    """
    said, B = model(batch.maps), len(batch.counts)
    looked = (batch.counts * said.gaze.map[:B]).sum() / batch.counts.sum()
    told = F.binary_cross_entropy_with_logits(said.logits[B:], batch.present)
    return labels * told - gaze * looked
