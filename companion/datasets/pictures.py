"""Pictures of one size, and what a network at rest makes of them: both are made once and kept.

Letters: N pictures, H W their size, D h w the maps of one layer.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float16, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from companion import media
from companion.code import closure, defined
from companion.datasets import cache
from companion.files import DamagedFile, fingerprint

PART = 4  # pictures that a network sees at once


def check(paths: Sequence[Path], official: int, where: str, about: str, read: bool = True) -> str:
    """How many of the `official` pictures of a dataset (0: nobody knows) are there and whole.

    Args:
        where: these are to be had.
        about: what else there is.
        read: decode every picture; else they are counted only.

    Raises:
        ValueError: damaged pictures; the text counts and names them.
    """
    damaged = []
    for path in paths if read else ():
        try:
            media.read_image(path)
        except DamagedFile as error:
            damaged.append(str(error))
    missing, counted = max(0, official - len(paths)), f"{len(paths)} of {official or len(paths)} pictures"
    if not damaged and not missing:
        return f"{'complete, ' * read}{counted}, {about}"
    text = f"{counted}, {len(damaged) or 'none'} damaged, {missing or 'none'} missing, {about}"
    text = "\n  ".join([text, *damaged, f"to be had at {where}"])
    if damaged:
        raise ValueError(text)
    return text


class Pictures:
    """Of files, scaled to one size whatever their shape, or drawn.

    Args:
        drawn: N 3 H W in place of files.

    Raises:
        FileNotFoundError, DamagedFile: a picture is missing or damaged.
    """

    def __init__(
        self,
        paths: Sequence[Path] = (),
        size: tuple[int, int] = (480, 640),
        drawn: UInt8[Tensor, "N 3 H W"] | None = None,
    ) -> None:
        self.maps: dict[str, Float16[Tensor, "N D h w"]] = {}
        if drawn is not None:
            self.shown, self.key = drawn, fingerprint(drawn.numpy().tobytes())
            return

        def make(rows: cache.Rows) -> dict[str, str]:
            for path in paths:
                picture = media.read_image(path)[None].float()
                scaled = F.interpolate(picture, size, mode="bilinear", antialias=True)
                rows.append(pictures=scaled.round().clamp(0, 255).byte().numpy())
            return {}

        self.key = cache.depends(paths, __name__, size=size)
        self.shown = cache.opened("pictures", self.key, make, "pt").get_tensor("pictures")

    def __len__(self) -> int:
        return len(self.shown)

    @torch.no_grad()
    def see(self, net: nn.Module, device: str | torch.device = "cpu") -> None:
        """From now on have the maps of a network at rest, in 16 bits.

        Args:
            net: takes pictures N 3 H W to a dict of layers, N D h w each.
            device: where it is computed; afterwards the network is on the CPU.
        """
        each = (value.cpu().flatten().view(torch.uint8) for value in net.state_dict().values())
        weights = fingerprint([value.numpy().tobytes() for value in each])  # NumPy has no bf16
        kind, device = type(net), torch.device(device)
        code = closure(kind.__module__) if kind.__module__.startswith("companion.") else defined(kind)
        key = cache.depends([], shown=self.key, net=repr(net), weights=weights, code=code, device=device.type)

        def make(rows: cache.Rows) -> dict[str, str]:
            net.to(device)
            for part in self.shown.split(PART):
                found = net(part.to(device))
                rows.append(**{name: maps.half().cpu().numpy() for name, maps in found.items()})
            net.cpu()
            return {}

        file = cache.opened("layers", key, make, "pt")
        self.maps = {name: file.get_tensor(name) for name in file.keys() if name != "whole"}  # noqa: SIM118
