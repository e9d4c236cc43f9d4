"""Image files."""

from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.io import ImageReadMode, read_image


def read(path: str | Path) -> UInt8[Tensor, "3 H W"]:
    """An image in three colours of 8 bits, whatever it has: grey, 16 bits, transparency, which is dropped.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is empty, cut off, or no image.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        picture = read_image(str(path), ImageReadMode.RGB)
    except RuntimeError as error:
        why = str(error).splitlines()[0].rpartition(", ")[2]
        raise ValueError(f"{path} is no whole image ({why}); get the file again") from None
    return picture if picture.dtype == torch.uint8 else (picture.float() / 257).round().to(torch.uint8)
