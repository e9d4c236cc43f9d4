"""Files of MATLAB 5, read without executing anything: cells, structs, texts and numbers.

A file says itself how many cells and bytes follow. So this is compared with what is there before anything is
made of it.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

HEADER, LARGEST = 128, 1 << 24  # bytes; of an element without compression, over 20 times the largest model's
MATRIX, COMPRESSED = 14, 15  # kinds of elements, and those of numbers
NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
CELL, STRUCT, CHAR, DOUBLE, UINT64 = 1, 2, 4, 6, 15  # kinds of matrices; 6 to 15 hold numbers
DAMAGE = (
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    *(struct.error, zlib.error),
)  # what a file that is none, or is cut off, or changed, ends in


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


def listed(value: Any) -> list[dict[str, Any]]:
    """The structs of an array, of cells or of structs, that may hold only one, or none."""
    return [value] if isinstance(value, dict) else list(value)


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
