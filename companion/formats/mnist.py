"""MNIST (LeCun, Bottou, Bengio, Haffner, 1998): the four idx files under `root/MNIST/raw`."""

import os
from pathlib import Path

import numpy as np


def mnist_file(root: str | Path | None, name: str) -> np.ndarray:
    """One idx file of MNIST under `root/MNIST/raw` (default root: $COMPANION_DATA)."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    root = root or os.environ.get("COMPANION_DATA")
    if root is None:
        raise FileNotFoundError(
            "no data folder: pass root or set COMPANION_DATA to the folder that contains MNIST/raw"
        )
    path = Path(root) / "MNIST" / "raw" / name
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {path}; root must contain MNIST/raw with the four unpacked idx files"
        )
    try:
        return (read_image_file if "images" in name else read_label_file)(str(path)).numpy()
    except Exception as error:
        raise ValueError(
            f"{path} is not a whole idx file ({error or type(error).__name__}); download it again"
        ) from None


def read_mnist(root: str | Path | None, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images n 28 28 and labels n, uint8."""
    part = "train" if train else "t10k"
    images = mnist_file(root, f"{part}-images-idx3-ubyte")
    labels = mnist_file(root, f"{part}-labels-idx1-ubyte")
    want = 60_000 if train else 10_000
    if len(images) != want or len(labels) != want:
        raise ValueError(
            f"MNIST/raw under {root} has {len(images)} {part} images and {len(labels)} labels"
            f" instead of {want}; download it again"
        )
    return images, labels
