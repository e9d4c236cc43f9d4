"""Star models of voc-release5 (Girshick, Felzenszwalb, McAllester 2012), as MATLAB 5 wrote them.

    model.rules{1}(n)      component n: the symbols of its root and parts, their anchors, bias and prior
    model.rules{s}         of a part's symbol: a deformation, and the symbol of its filter
    model.filters, blocks  weights; a filter may be that of another one, mirrored
    model.bboxpred{n}      of component n: a regression of the object's box, where one was trained

A file says itself how many cells and bytes follow. So this is compared with what is there before anything is
made of it, and nothing in a file is executed.

Letters: P parts, h w a root's size in cells, p q a part's.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from companion.files import DamagedFile
from companion.ops.hog import mirrored

BIAS = 10  # what voc-release5 multiplies b by
HEADER, LARGEST = 128, 1 << 24  # bytes; of an element without compression, over 20 times the largest model's
MATRIX, COMPRESSED = 14, 15  # kinds of elements, and those of numbers
NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
CELL, STRUCT, CHAR, DOUBLE, UINT64 = 1, 2, 4, 6, 15  # kinds of matrices; 6 to 15 hold numbers
DAMAGE = (
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    *(struct.error, zlib.error),
)


def read(path: str | Path) -> dict[str, Any]:
    """A model's name, threshold, cell, interval and extra, and its components, as `models.dpm` calls them.

    Deformations there count d from the part to the anchor; here it is from the anchor to the part.

    Raises:
        FileNotFoundError: no such file.
        DamagedFile: it is no such model, or not a whole one.
        ValueError: it is a grammar model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        model = variables(path.read_bytes())["model"]
        kind = str(model["type"])
    except DAMAGE as error:
        raise DamagedFile(f"{path} holds no model of voc-release5 ({error}); get the file again") from None
    if kind != "M":
        raise ValueError(
            f"{path} is a grammar model (type {kind!r}); only star models, of type 'M', are read"
        )
    try:
        with np.errstate(all="raise"):
            named = sum(rule["rhs"].size for rule in listed(model["rules"][0]))
            if named * max(block["w"].size for block in listed(model["blocks"])) > LARGEST:
                raise ValueError(f"{named} roots and parts are too many")
            return {
                "components": [component(model, n) for n in range(len(listed(model["rules"][0])))],
                "name": str(model["class"]),
                "threshold": float(model["thresh"].item()),
                "cell": int(model["sbin"].item()),
                "interval": int(model["interval"].item()),
                "extra": bool(np.any(model["features"].get("extra_octave", False))),
            }
    except DAMAGE as error:
        raise DamagedFile(
            f"{path} is not a whole model of voc-release5 ({error}); get the file again"
        ) from None


def component(model: dict[str, Any], number: int) -> dict[str, Tensor | float | None]:
    """One structure rule: its symbols are filters, or deformation rules whose symbols are."""

    def one(of: str, label: np.ndarray | int) -> dict[str, Any]:
        return listed(model[of])[int(np.asarray(label).item()) - 1]

    def block(label: np.ndarray) -> Tensor:
        its = one("blocks", label)
        shape = its["shape"].ravel().astype(int)
        return torch.from_numpy(its["w"].ravel().astype(np.float32).reshape(shape, order="F").copy())

    def filtered(symbol: int) -> tuple[Float[Tensor, "32 h w"], Float[Tensor, "4"] | None]:
        rules, deformation = listed(model["rules"][symbol - 1]), None
        if rules:
            bend, symbol = rules[0]["def"], int(rules[0]["rhs"].item())
            signs = torch.tensor([1.0, 1 if bend["flip"].any() else -1, 1.0, -1])
            deformation = block(bend["blocklabel"]).flatten() * signs
        its = one("filters", one("symbols", symbol)["filter"])
        weights = block(its["blocklabel"]).permute(2, 0, 1)
        return mirrored(weights) if its["flip"].any() else weights, deformation

    rule = listed(model["rules"][0])[number]
    (root, _), *parts = (filtered(symbol) for symbol in rule["rhs"].ravel().astype(int).tolist())
    bends = [bend for _, bend in parts if bend is not None]
    if len(bends) < len(parts):
        raise ValueError("a part has no deformation")
    anchors = [anchor.ravel()[:2] for anchor in rule["anchor"][1 : 1 + len(parts)]]
    regressions = listed(model.get("bboxpred", []))
    boxes = [regressions[number][side].ravel() for side in ("x1", "y1", "x2", "y2")] if regressions else None
    return {
        "root": root.contiguous(),
        "parts": torch.stack([weights for weights, _ in parts])
        if parts
        else root.new_zeros(0, len(root), 1, 1),
        "anchors": torch.from_numpy(np.reshape(anchors, (-1, 2)).astype(np.int64)),
        "deformation": torch.stack(bends) if parts else root.new_zeros(0, 4),
        "bias": BIAS * block(rule["offset"]["blocklabel"]).item(),
        "prior": block(rule["loc"]["blocklabel"]).flatten(),
        "boxes": torch.from_numpy(np.stack(boxes).astype(np.float32)) if boxes else None,
    }


def listed(value: Any) -> list[dict[str, Any]]:
    """The structs of an array, of cells or of structs, that may hold only one, or none."""
    return [value] if isinstance(value, dict) else list(value)


def variables(content: bytes) -> dict[str, Any]:
    """What a file of MATLAB 5 holds: cells as lists, structs as dicts or lists of dicts, numbers as arrays.

    Raises:
        ValueError, struct.error, zlib.error: it is none, claims more than there is, or holds other things.
    """
    if len(content) < HEADER or content[124:128] != b"\x00\x01IM":
        raise ValueError("not a file of MATLAB 5")
    found = {}
    for kind, data in elements(memoryview(content)[HEADER:]):
        if kind == COMPRESSED:
            stream = zlib.decompressobj()
            inflated = stream.decompress(data, LARGEST)
            if not stream.eof:
                raise ValueError("it is cut off or too large")
            ((kind, data),) = elements(memoryview(inflated))
        if kind != MATRIX:
            raise ValueError(f"an element of kind {kind}")
        name, value = matrix(data)
        found[name] = value
    return found


def elements(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The elements that follow each other, each with its kind."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from("<II", content, at)
        start, at = at + 8, at + 8 + size + (-size % 8 if kind != COMPRESSED else 0)
        if kind >> 16:  # a small one: its size stands beside its kind, its data in place of the size
            kind, size, start, at = kind & 0xFFFF, kind >> 16, start - 4, start
        if start + size > len(content):
            raise ValueError(f"an element of {size} bytes where {len(content) - start} are left")
        yield kind, content[start : start + size]


def matrix(content: memoryview) -> tuple[str, Any]:
    """Name and value, unless it claims more cells, fields or numbers than there are."""
    if not content:
        return "", np.zeros((0, 0))
    (_, flags), (_, sizes), (_, name), *parts = elements(content)
    kind, shape = flags[0], np.frombuffer(sizes, "<i4").tolist()
    count = math.prod(shape)
    if kind == STRUCT:
        (_, length), (_, names), *parts = parts
        (length,) = struct.unpack("<i", length)
        fields = [text(names[n : n + length]) for n in range(0, len(names), length)]
    values = [matrix(data)[1] if inside == MATRIX else (inside, data) for inside, data in parts]
    if kind == CELL and len(values) == count:
        value = values
    elif kind == STRUCT and len(values) == count * len(fields) and count <= len(content):
        rows = [values[n * len(fields) : (n + 1) * len(fields)] for n in range(count)]
        value = [dict(zip(fields, row, strict=True)) for row in rows]
        value = value[0] if count == 1 else value
    elif kind == CHAR and len(values) == 1:
        value = text(values[0][1])
    elif DOUBLE <= kind <= UINT64:
        stored, data = values[0]
        value = np.frombuffer(data, NUMBERS[stored]).reshape(shape, order="F")
    else:
        raise ValueError(f"a matrix of kind {kind}, {' x '.join(map(str, shape))}, has {len(values)} parts")
    return text(name), value


def text(content: memoryview) -> str:
    """Letters up to the first that is none."""
    return content.tobytes().replace(b"\0", b" ").decode().strip()
