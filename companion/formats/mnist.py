"""MNIST (LeCun, Bottou, Bengio, Haffner, 1998): the four unpacked idx files under `root/MNIST/raw`."""

import os
from pathlib import Path

import numpy as np

from companion.files import DamagedFile

NAMES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def files(root: str | Path | None = None) -> list[Path]:
    """The four files under a root, default $COMPANION_DATA.

    Raises:
        FileNotFoundError: no root, or one of them is missing.
    """
    root = root or os.environ.get("COMPANION_DATA")
    if root is None:
        raise FileNotFoundError(
            "no data folder: pass root or set COMPANION_DATA to the folder that contains MNIST/raw"
        )
    paths = [Path(root) / "MNIST" / "raw" / name for name in NAMES]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(
                f"no file {path}; root must contain MNIST/raw with the four unpacked idx files"
            )
    return paths


def parse(path: Path) -> np.ndarray:
    """One idx file: images n 28 28 or labels n, uint8.

    Raises:
        DamagedFile: it is not whole, holds something else, or is still compressed.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            raise DamagedFile(f"{path} is still compressed; unpack it with gunzip")
    images = "images" in path.name
    try:
        values = (read_image_file if images else read_label_file)(str(path)).numpy()
    except Exception as error:
        raise DamagedFile(
            f"{path} is not a whole idx file ({error or type(error).__name__}); download it again"
        ) from None
    if values.shape[1:] != (28, 28) if images else values.max(initial=0) > 9:
        what = f"images of {values.shape[1:]}, not 28 x 28" if images else f"a label {values.max()}, above 9"
        raise DamagedFile(f"{path} holds {what}; download it again")
    return values


def read(root: str | Path | None, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images n 28 28 and labels n, uint8, of the training or the test files.

    Raises:
        OSError, ValueError: a file is missing or not whole; the sentence names it.
    """
    paths = files(root)
    images, labels = map(parse, paths[:2] if train else paths[2:])
    want = 60_000 if train else 10_000
    if len(images) != want or len(labels) != want:
        raise ValueError(
            f"{paths[0].parent} has {len(images)} {'training' if train else 'test'} images and {len(labels)}"
            f" labels instead of {want}; download it again"
        )
    return images, labels
