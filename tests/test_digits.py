import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from companion.datasets.digits import PATCH, PROTOCOLS, SPLITS, Digits, ink_boxes
from companion.files import DamagedFile
from companion.formats.mnist import parse

ROOT = os.environ.get("COMPANION_DATA")
needs_mnist = pytest.mark.skipif(
    not (ROOT and (Path(ROOT) / "MNIST/raw").is_dir()), reason="MNIST is not under COMPANION_DATA"
)


def obvious(data: Digits, i: int) -> np.ndarray:
    """One canvas, drawn pixel block by pixel block."""
    canvas = np.zeros((data.side, data.side), np.float32)
    x, y = data.corner[i]
    canvas[y : y + 28, x : x + 28] = data.images[i] / np.float32(255)
    for c in range(data.clutter):
        (u, v), (x, y) = data.cut[i, c], data.place[i, c]
        patch = data.images[data.other[i, c], v : v + PATCH, u : u + PATCH]
        canvas[y : y + PATCH, x : x + PATCH] += patch / np.float32(255)
    return canvas.clip(max=1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_canvases_equal_the_obvious_ones(protocol):
    data = Digits("digits", "validation", protocol, seed=3)
    batch = data.__getitems__([0, 7, 199])
    for image, i in zip(batch.image, [0, 7, 199], strict=True):
        np.testing.assert_allclose(image, obvious(data, i), atol=1e-6)
    torch.testing.assert_close(data[7].image, batch.image[1])


def test_the_box_holds_the_ink():
    data = Digits("digits", "test", "translated-60")
    batch = data.__getitems__(range(50))
    for image, box in zip(batch.image, batch.box.int().tolist(), strict=True):
        x0, y0, x1, y1 = box
        ink = (image > 0.25).nonzero()
        assert ink.amin(0).tolist() == [y0, x0] and ink.amax(0).tolist() == [y1 - 1, x1 - 1]


def test_box_by_hand():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 5:9, 10:12] = 200
    assert ink_boxes(image).tolist() == [[10, 5, 12, 9]]


def test_one_seed_one_canvas_and_epochs_differ():
    one, other = (Digits("digits", "train", "cluttered-60", seed=1) for _ in range(2))
    torch.testing.assert_close(one.__getitems__([3, 4]).image, other.__getitems__([3, 4]).image)
    other.set_epoch(1)
    assert not torch.equal(one.__getitems__([3, 4]).image, other.__getitems__([3, 4]).image)


def test_splits_share_no_digit():
    for splits in SPLITS.values():
        of_training_files = sorted((first, last) for train, first, last in splits.values() if train)
        assert all(a[1] <= b[0] for a, b in zip(of_training_files, of_training_files[1:], strict=False))
    parts = [Digits("digits", split) for split in ("train", "validation", "test")]
    assert sum(len(part) for part in parts) == 1797
    assert all(np.bincount(part.labels).min() > 10 for part in parts)


def test_units_are_the_images_of_the_source():
    parts = [Digits("digits", split) for split in ("train", "validation", "test")]
    assert [unit for part in parts for unit in part.units] == [str(n) for n in range(1797)]
    assert all(len(part.units) == len(part) for part in parts)


def test_clutter_is_never_the_digit_itself():
    data = Digits("digits", "train", "cluttered-100")
    assert (data.other != np.arange(len(data))[:, None]).all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("svhn", "train"), "unknown source 'svhn'; choose one of digits, mnist"),
        (("digits", "all"), "unknown split 'all'"),
        (("digits", "test", "rotated"), "unknown protocol 'rotated'"),
    ],
)
def test_unknown_names_are_refused(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        Digits(*words)


def test_missing_root_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=f"no file {tmp_path}.*root must contain MNIST/raw"):
        Digits("mnist", "train", root=tmp_path)
    monkeypatch.delenv("COMPANION_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="pass root or set COMPANION_DATA"):
        Digits("mnist", "train")


@pytest.mark.parametrize("content", [b"", b"\x00\x00\x08\x03\x00\x00\x00\x05", b"not an idx file at all"])
@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_corrupt_idx_file_is_named(tmp_path, name, content):
    path = tmp_path / "MNIST" / "raw" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is not a whole idx file"):
        parse(path)


def test_a_file_that_is_still_compressed_is_named(tmp_path):
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(gzip.compress(b"\x00\x00\x08\x03"))
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte is still compressed; unpack it"):
        parse(path)


def idx(path: Path, array: np.ndarray) -> None:
    """A file in MNIST's format: magic number, sizes and bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = np.array([0x800 + array.ndim, *array.shape], ">i4")
    path.write_bytes(sizes.tobytes() + array.tobytes())


@pytest.mark.parametrize(
    "name, array, sentence",
    [
        (
            "t10k-images-idx3-ubyte",
            np.zeros((4, 14, 56), np.uint8),
            r"holds images of \(14, 56\), not 28 x 28",
        ),
        ("t10k-labels-idx1-ubyte", np.array([3, 10], np.uint8), "holds a label 10, above 9"),
    ],
)
def test_an_idx_file_of_other_things_is_named(tmp_path, name, array, sentence):
    idx(tmp_path / name, array)
    with pytest.raises(DamagedFile, match=f"{name} {sentence}; download it again"):
        parse(tmp_path / name)


def test_mnist_is_split_as_in_the_paper(tmp_path):
    """50,000 of the training files train, their last 10,000 validate; each image holds file and number."""
    for file, (name, count) in enumerate({"train": 60_000, "t10k": 10_000}.items()):
        images = np.zeros((count, 28, 28), np.uint8)
        images[:, 0, 0], images[:, 14, :2] = file, np.arange(count, dtype=">u2").view(np.uint8).reshape(-1, 2)
        idx(tmp_path / f"MNIST/raw/{name}-images-idx3-ubyte", images)
        idx(tmp_path / f"MNIST/raw/{name}-labels-idx1-ubyte", np.full(count, file, np.uint8))
    for split, file, numbers in (
        ("train", 0, range(50_000)),
        ("validation", 0, range(50_000, 60_000)),
        ("test", 1, range(10_000)),
    ):
        data = Digits("mnist", split, root=tmp_path)
        assert (data.images[:, 0, 0] == file).all() and (data.labels == file).all()
        found = data.images[:, 14, :2].astype(int) @ [256, 1]
        assert found.tolist() == list(numbers) == [int(unit) for unit in data.units], split


@needs_mnist
def test_mnist_is_whole_and_a_truncated_copy_is_refused(tmp_path):
    data = Digits("mnist", "test", root=ROOT)
    assert len(data) == 10_000 and data.labels[:5].tolist() == [7, 2, 1, 0, 4]
    shutil.copytree(Path(ROOT) / "MNIST", tmp_path / "MNIST")
    images = tmp_path / "MNIST/raw/t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte is not a whole idx file"):
        Digits("mnist", "test", root=tmp_path)
