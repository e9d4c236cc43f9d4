"""Glimpses that are placed before anything is seen in them: by rules, by chance, or by a locator that begins
at joints. No paper has these models: they are what the locator of Glimpse Clouds is measured against.

    l_tg = sum_j (M_gj + dM_gj(c_t, y_t)) y_tj + o_g(c_t, y_t)    y_tj: joints found in the frame
    z_tg = what a small network sees in crop(Z_t, l_tg)
    z~_g = sum_t a_tg z_tg,   a_g = softmax over t of w_g . z_tg  each glimpse has frames of its own
    class = sum_g W_g z~_g + MLP [z~_1 .. z~_G]                   what each tells, and all together

M is a rule: a hand, or what lies 1.5 forearms beyond it. Without dM and o, which are learned, it stays one.
The context decides where to look and nothing else: given to the class as well it is a way to know rooms by
heart.

Letters: B clips, T frames, G glimpses, D channels of the map, E channels of the context, J = 16 joints of two
bodies, F features, C classes.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from companion.models.context import ARMS, FOUND
from companion.models.glimpse_clouds import Clouds, Look
from companion.models.glimpse_clouds import Read as Followed
from companion.ops.spatial_transformer import crop

BEYOND = 1.5  # forearms
SIZE = 40 / 160, 40 / 90  # of a window at first, in halves of the picture: 40 pixels of 160 x 90
TILE = 0.25, 0.5  # the extent of windows that stand side by side in two rows of four, and leave nothing out
GRID = tuple((x, y) for y in (-0.5, 0.5) for x in (-0.75, -0.25, 0.25, 0.75))
NEAR = 0.05  # by how much places are moved about in training, so that what is seen does not depend on them
SIDE = 8  # samples of a crop


class Read(NamedTuple):
    """What the model says, and what it looked at."""

    logits: Float[Tensor, "B C"]
    glimpses: Float[Tensor, "B T G 4"]  # x y s_x s_y, in units of half the picture
    weights: Float[Tensor, "B T G"]  # of frames, summing to 1 over them


def rule(name: str) -> Float[Tensor, "G J"]:
    """How much of each joint the place of each glimpse has: hands, joints (hands and heads), forearms.

    Raises:
        ValueError: an unknown name.
    """
    hands = [{f"hand_{side}": 1.0} for side in ("left", "right")]
    ends = [{f"hand_{side}": 1 + BEYOND, f"elbow_{side}": -BEYOND} for side in ("left", "right")]
    rules = {"hands": hands, "joints": [*hands, {"head": 1.0}], "forearms": [*hands, *ends]}
    if name not in rules:
        raise ValueError(f"at is {name!r}; choose one of {', '.join(rules)}, windows or random")
    names = ("head", "neck", *ARMS)
    one = torch.tensor([[own.get(joint, 0.0) for joint in names] for own in rules[name]])
    return torch.block_diag(one, one)


class Places(nn.Module):
    """Where glimpses lie in each frame.

    Args:
        context: E.
        at: hands, joints or forearms, see `rule`; windows, side by side over the whole picture; or as many
            random places.
        learned: the rule is where a learned locator begins.
    """

    def __init__(self, context: int, at: str = "forearms", learned: bool = False) -> None:
        super().__init__()
        self.random, self.locate = at == "random", None
        if at in ("windows", "random"):
            mix, place = torch.zeros(len(GRID), 2 * len(FOUND)), torch.tensor(GRID)
        else:
            mix = rule(at)
            place = torch.zeros(len(mix), 2)
        (G, J), extent = mix.shape, torch.tensor(TILE if at == "windows" else SIZE).expand(len(mix), 2)
        self.mix, self.place, self.extent = (
            nn.Parameter(start, requires_grad=learned) for start in (mix, place, extent.log())
        )
        if learned:
            self.locate = nn.Sequential(
                nn.Linear(context + 2 * J, 128), nn.ReLU(), nn.Linear(128, G * (J + 2))
            )
            nn.init.zeros_(self.locate[-1].weight)
            nn.init.zeros_(self.locate[-1].bias)

    def forward(
        self, context: Float[Tensor, "B T E"], found: Float[Tensor, "B T 2 J2 2"]
    ) -> Float[Tensor, "B T G 4"]:
        (G, J), joints = self.mix.shape, found.flatten(2, 3)
        mix, place = self.mix, self.place
        if self.locate is not None:
            change = self.locate(torch.cat([context, joints.flatten(2)], -1)).unflatten(-1, (G, J + 2))
            mix, place = mix + change[..., :J], place + change[..., J:]
        at = mix @ joints + place
        if self.random:
            at = 2 * torch.rand_like(at) - 1
        if self.training:
            at = at + NEAR * torch.randn_like(at)
        return torch.cat([at, self.extent.exp().expand_as(at)], -1)


class PlacedGlimpses(nn.Module):
    """Recognise a clip from G glimpses of each frame, each of which weights over the frames follow.

    Args:
        seen: D.
        context, at, learned: see `Places`.
        features: F.
        hidden: of the network that sees crops, and of the classifier.
        crop_gradient: False: what is seen does not tell the locator where to go.
    """

    def __init__(
        self,
        seen: int,
        context: int,
        classes: int,
        at: str = "forearms",
        learned: bool = False,
        features: int = 64,
        hidden: tuple[int, int] = (32, 128),
        crop_gradient: bool = True,
    ) -> None:
        super().__init__()
        self.crop_gradient, self.places = crop_gradient, Places(context, at, learned)
        G = len(self.places.mix)
        self.look = Look(seen, features, hidden[0])
        self.when = nn.Parameter(torch.zeros(G, features))
        self.dropout = nn.Dropout(0.5)
        # Without what each tells by itself, what lies beyond a hand was not learned beside what lies in it.
        self.each = nn.Linear(G * features, classes)
        self.together = nn.Sequential(
            nn.Linear(G * features, hidden[1]), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden[1], classes)
        )

    def forward(
        self,
        maps: Float[Tensor, "B T D H W"],
        context: Float[Tensor, "B T E"],
        found: Float[Tensor, "B T 2 J2 2"],
    ) -> Read:
        l = self.places(context, found)
        at = l if self.crop_gradient else l.detach()
        crops = crop(maps.flatten(0, 1), at.flatten(0, 1), SIDE)
        z = self.look(crops.flatten(0, 1)).unflatten(0, l.shape[:3])
        weights = (z * self.when).sum(-1).softmax(1)
        seen = self.dropout(torch.einsum("btg,btgf->bgf", weights, z).flatten(1))
        return Read(self.each(seen) + self.together(seen), l, weights)


class PlacedClouds(Clouds):
    """The memory and the workers of Glimpse Clouds, given glimpses that are placed so.

    Args:
        context, at, learned: see `Places`.
        others: see `Clouds`.
    """

    def __init__(
        self,
        seen: int,
        context: int,
        classes: int,
        at: str = "forearms",
        learned: bool = False,
        **others: Any,
    ) -> None:
        places = Places(context, at, learned)
        super().__init__(seen, classes, glimpses=len(places.mix), **others)
        self.places = places

    def forward(
        self,
        maps: Float[Tensor, "B T D H W"],
        context: Float[Tensor, "B T E"],
        found: Float[Tensor, "B T 2 J2 2"],
    ) -> Followed:
        l = self.places(context, found)
        z = self.seen(maps.flatten(0, 1), l.flatten(0, 1)).unflatten(0, l.shape[:2])
        return self.recognise(maps.shape[1], lambda t, known: (z[:, t], l[:, t]), maps)
