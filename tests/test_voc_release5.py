"""Files of voc-release5: whole ones, and what only says that it is one."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from companion.files import DamagedFile
from companion.formats.voc_release5 import LARGEST, read, variables
from companion.models.dpm import detect, read_release
from companion.ops.hog import mirrored


def release(path, **changes):
    """A file in voc-release5's layout: one component, a root of 3 x 4 and one part, its filter mirrored.

    A change to None leaves the field out.
    """

    def block(shape, w):
        return {"w": np.asarray(w, float), "shape": np.array(shape, float)}

    rng = np.random.default_rng(0)
    blocks = [
        block((3, 4, 32), rng.normal(size=(3, 4, 32)).flatten(order="F")),
        block((3, 3, 32), rng.normal(size=(3, 3, 32)).flatten(order="F")),
        block((1, 1), [-0.25]),
        block((1, 3), [0, 0.1, 0.2]),
        block((1, 4), [0.1, 0.02, 0.3, 0.04]),
    ]
    deformation = [{"type": "D", "rhs": 2.0, "def": {"blocklabel": 5.0, "flip": 0.0}}]
    deformation += [{"type": "D", "rhs": 4.0, "def": {"blocklabel": 5.0, "flip": 1.0}}]
    whole = {
        "type": "S",
        "rhs": np.array([3, 5], np.uint8),
        "offset": {"blocklabel": 3.0},
        "loc": {"blocklabel": 4.0},
    }
    anchors = np.empty(2, object)
    anchors[:] = [np.array([0.0, 0, 0]), np.array([2.0, 1, 1])]
    whole["anchor"] = anchors
    rules = np.empty(5, object)
    rules[:] = [whole, np.zeros(0), deformation[0], np.zeros(0), deformation[1]]
    model = {
        "class": "thing", "type": "M", "thresh": -0.5, "sbin": 8.0, "interval": 2.0, "rules": rules,
        "filters": [{"blocklabel": 1.0, "flip": 0.0}, {"blocklabel": 2.0, "flip": 1.0}],
        "symbols": [{"filter": f} for f in (0.0, 1.0, 0.0, 2.0, 0.0)],
        "blocks": blocks, "features": {"extra_octave": 1.0},
        "bboxpred": [{side: rng.normal(size=5) for side in ("x1", "y1", "x2", "y2")}],
    }  # fmt: skip
    model = {name: value for name, value in (model | changes).items() if value is not None}
    savemat(path, {"model": model}, do_compression=True)
    return blocks


def picture():
    return 255 * torch.rand(3, 70, 90, generator=torch.Generator().manual_seed(0))


def test_a_model_is_read(tmp_path):
    blocks = release(tmp_path / "thing.mat")
    thing = read_release(tmp_path / "thing.mat")
    (component,) = thing.components
    assert thing[1:] == ("thing", -0.5, 8, 2, True)
    root = blocks[0]["w"].reshape(3, 4, 32, order="F")
    np.testing.assert_allclose(component.root.numpy(), root.transpose(2, 0, 1), atol=1e-6)
    part = torch.from_numpy(blocks[1]["w"].reshape(3, 3, 32, order="F").transpose(2, 0, 1).copy()).float()
    torch.testing.assert_close(component.parts[0], mirrored(part))
    assert component.anchors.tolist() == [[2, 1]] and component.bias == -2.5
    torch.testing.assert_close(component.deformation[0], torch.tensor([0.1, 0.02, 0.3, -0.04]))
    assert component.boxes.shape == (4, 5) and detect(thing, picture(), 0.0)


def test_a_model_without_a_regression_finds_its_roots_windows(tmp_path):
    whole, without = tmp_path / "whole.mat", tmp_path / "without.mat"
    release(whole)
    for nothing in (None, np.zeros(0)):
        release(without, bboxpred=nothing)
        (component,) = read_release(without).components
        assert component.boxes is None
        assert all(
            torch.equal(torch.as_tensor(a), torch.as_tensor(b))
            for a, b in zip(component[:6], read_release(whole).components[0][:6], strict=True)
        )
    assert detect(read_release(without), picture(), 0.0)


@pytest.mark.parametrize("symbol", [3.0, 2.0])
def test_a_root_alone_is_a_model(tmp_path, symbol):
    """Its symbol is that of a deformation, as in the trained ones, or of the filter itself."""
    path = tmp_path / "thing.mat"
    anchors, rules = np.empty(1, object), np.empty(3, object)
    anchors[:] = [np.zeros(3)]
    whole = {"type": "S", "rhs": symbol, "offset": {"blocklabel": 3.0}, "loc": {"blocklabel": 4.0}}
    bend = {"type": "D", "rhs": 2.0, "def": {"blocklabel": 5.0, "flip": 0.0}}
    rules[:] = [whole | {"anchor": anchors}, np.zeros(0), bend]
    blocks = release(path, rules=rules, bboxpred=None)
    (component,) = read_release(path).components
    root = blocks[0]["w"].reshape(3, 4, 32, order="F")
    np.testing.assert_allclose(component.root.numpy(), root.transpose(2, 0, 1), atol=1e-6)
    assert len(component.parts) == len(component.anchors) == len(component.deformation) == 0
    found = detect(read_release(path), picture(), -1e9)
    assert found and found[0].part_boxes.shape == (0, 4)


def test_files_that_are_no_star_model_are_refused(tmp_path):
    path = tmp_path / "model.mat"
    with pytest.raises(FileNotFoundError, match="no file .*model.mat"):
        read(path)
    release(path)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 255
    for content in (
        b"",
        b"no model",
        b"0" * 100,
        bytes(500),
        whole[:128],
        whole[:140],
        whole[:900],
        bytes(damaged),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="model.mat holds no model of voc-release5"):
            read(path)
    savemat(path, {"other": 1})
    with pytest.raises(ValueError, match="model.mat holds no model of voc-release5"):
        read(path)
    release(path, type="G")
    with pytest.raises(ValueError, match="is a grammar model .type 'G'.; only star models"):
        read(path)
    release(path, blocks=[])
    with pytest.raises(ValueError, match="is not a whole model of voc-release5"):
        read(path)
    release(path, thresh=0.0, bboxpred=[{side: np.full(5, np.nan) for side in ("x1", "y1", "x2", "y2")}])
    with pytest.raises(ValueError, match="holds a weight that is NaN or infinite"):
        read_release(path)


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind: int, shape: tuple[int, ...], *rest: bytes, size: int | None = None) -> bytes:
    """An array of MATLAB's named "model"; `size` is what it says of its own bytes."""
    parts = [element(6, struct.pack("<II", kind, 0)), element(5, struct.pack(f"<{len(shape)}i", *shape))]
    content = b"".join([*parts, element(1, b"model"), *rest])
    return struct.pack("<II", 14, len(content) if size is None else size) + content


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
BILLION = 10**9
CLAIMS = {
    "cells": matrix(1, (BILLION, 1)),
    "cells, and bytes": matrix(1, (BILLION, 1), size=BILLION),
    "structs": matrix(2, (BILLION, 1), element(5, struct.pack("<i", 8)), element(1, b"")),
    "letters": matrix(4, (1, BILLION), element(16, b"")),
    "numbers": matrix(6, (BILLION, 1), element(9, bytes(8))),
    "a sparse matrix": matrix(
        5, (BILLION, BILLION), element(5, bytes(4)), element(5, bytes(8)), element(9, b"")
    ),
    "negative": matrix(1, (-1, -BILLION)),
    "bytes of numbers": matrix(6, (1, 1), struct.pack("<II", 9, 2**32 - 1), size=2**20),
}


def nested(depth: int) -> bytes:
    """A cell in a cell in a cell."""
    cells, inside = [], 0
    for _ in range(depth):
        cells.append(matrix(1, (1, 1), size=48 + inside))
        inside += len(cells[-1])
    return b"".join(reversed(cells))


def packed(content: bytes) -> bytes:
    small = zlib.compress(content)
    return struct.pack("<II", 15, len(small)) + small


CLAIMS["bytes of nothing"] = packed(element(14, bytes(LARGEST)))
CLAIMS["cells in cells"] = nested(20_000)
FILES = {**CLAIMS, **{f"{name}, packed": packed(content) for name, content in CLAIMS.items()}}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_what_a_file_claims_is_not_made(tmp_path, content):
    path = tmp_path / "claims.mat"
    path.write_bytes(HEADER + content)
    tracemalloc.start()
    with pytest.raises(ValueError, match="claims.mat holds no model of voc-release5"):
        read(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * LARGEST


def test_a_root_that_is_named_again_and_again_is_not_made_so_often(tmp_path):
    path = tmp_path / "thing.mat"
    anchors, rules = np.empty(1, object), np.empty(2, object)
    anchors[:] = [np.zeros(3)]
    whole = {"type": "S", "rhs": np.full(100_000, 2.0), "offset": {"blocklabel": 3.0}}
    rules[:] = [whole | {"anchor": anchors, "loc": {"blocklabel": 4.0}}, np.zeros(0)]
    release(path, rules=rules)
    with pytest.raises(DamagedFile, match="thing.mat is not a whole .* .100000 roots and parts are too many"):
        read(path)


def test_a_file_that_is_larger_than_any_model_is_not_read(tmp_path):
    path = tmp_path / "thing.mat"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(DamagedFile, match="thing.mat holds no model of voc-release5 .it is too large"):
        read(path)


def test_a_file_that_is_cut_off_gives_no_shorter_text():
    letters = HEADER + matrix(4, (1, 8), element(16, b"aeroplan"))
    assert variables(letters) == {"model": "aeroplan"}
    with pytest.raises(ValueError, match="an element of 64 bytes where 60 are left"):
        variables(letters[:-4])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("release") / "whole.mat"
    release(path)
    content = path.read_bytes()
    return content[:128] + zlib.decompress(content[136:])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.data())
def test_a_changed_byte_is_a_sentence_or_a_model(whole, tmp_path, data):
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "changed.mat"
    path.write_bytes(changed)
    try:
        assert read_release(path).components
    except ValueError as error:
        assert str(path) in str(error)
