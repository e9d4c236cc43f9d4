"""Image files of all kinds, and files that are none."""

import numpy as np
import pytest
import torch
from PIL import Image

from companion import pictures

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "stored, want",
    [
        (RGB, RGB),
        (RGB[..., 0], RGB[..., :1].repeat(3, -1)),
        (np.concatenate([RGB, RGB[..., :1]], -1), RGB),
        (257 * RGB[..., 0].astype(np.uint16), RGB[..., :1].repeat(3, -1)),
    ],
)
def test_every_kind_is_read_in_three_colours(tmp_path, stored, want):
    Image.fromarray(stored).save(tmp_path / "picture.png")
    read = pictures.read(tmp_path / "picture.png")
    assert read.dtype == torch.uint8 and np.array_equal(read.permute(1, 2, 0).numpy(), want)


def test_files_that_are_no_image_are_named(tmp_path):
    path = tmp_path / "picture.jpg"
    with pytest.raises(FileNotFoundError, match="no file .*picture.jpg"):
        pictures.read(path)
    Image.fromarray(RGB.repeat(9, 0)).save(path)
    for content in (b"", b"no image", path.read_bytes()[:900]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"picture.jpg is no whole image \(.*\); get the file again"):
            pictures.read(path)
