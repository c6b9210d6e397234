"""Walks through the header of a GGUF file and checks that every length it claims lies within the file."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

from .folder_check import FLOATS, Tensors

MAGIC = b"GGUF"
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value of each type; 8 is a string, 9 an array (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""
STRING, ARRAY = 8, 9


def require_gguf(path: Path) -> Tensors:
    """Checks a file, and says which tensors it has.

    Without this check, a reader that trusts the lengths can run for ever.

    Raises:
        ValueError: a phrase that says what is wrong.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise ValueError("it does not begin with GGUF")
        version, tensors, values = _numbers(file, "<IQQ")
        if version not in (2, 3):
            raise ValueError(f"its version is {version}; versions 2 and 3 are read")
        _within(file, size, 12 * (tensors + values))
        for _ in range(values):
            _skip(file, size, STRING)
            (kind,) = _numbers(file, "<I")
            _skip(file, size, kind)
        kinds, elements = set(), 0
        for _ in range(tensors):
            _skip(file, size, STRING)
            (axes,) = _numbers(file, "<I")
            _within(file, size, 8 * axes)
            elements += math.prod(_numbers(file, f"<{axes}Q"))
            kinds.add(_numbers(file, "<IQ")[0])
    from gguf import GGMLQuantizationType

    dtypes = {GGMLQuantizationType(kind).name for kind in kinds}
    if whole := dtypes & {"I8", "I16", "I32", "I64"}:
        raise ValueError(f"it holds integers ({', '.join(sorted(whole))}), which are no weights")
    return Tensors(frozenset(FLOATS.get(dtype, dtype) for dtype in dtypes), tensors, elements)


def _numbers(file: BinaryIO, form: str) -> tuple[int, ...]:
    content = file.read(struct.calcsize(form))
    if len(content) < struct.calcsize(form):
        raise ValueError("it ends within its header")
    return struct.unpack(form, content)


def _within(file: BinaryIO, size: int, length: int) -> None:
    if length > size - file.tell():
        raise ValueError(f"its header claims {length:,} bytes where {size - file.tell():,} are left")


def _skip(file: BinaryIO, size: int, kind: int) -> None:
    """Skips a value; an array holds values, but no arrays."""
    count = 1
    if kind == ARRAY:
        kind, count = _numbers(file, "<IQ")
    if kind in SIZES:
        _within(file, size, count * SIZES[kind])
        file.seek(count * SIZES[kind], 1)
    elif kind == STRING:
        _within(file, size, 8 * count)
        for _ in range(count):
            (length,) = _numbers(file, "<Q")
            _within(file, size, length)
            file.seek(length, 1)
    else:
        raise ValueError(f"its header has a value of the unknown type {kind}")
