"""MAT-files of level 5, element by element, so that any of them can lie."""

from __future__ import annotations

import struct
import zlib

HEADER = b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(116) + b"\0" * 8


def element(kind: int, data: bytes, stated: int | None = None) -> bytes:
    """Return one element; ``stated`` is the length it claims."""
    return struct.pack("<II", kind, len(data) if stated is None else stated) + data + b"\0" * (-len(data) % 8)


def head(kind: int, shape: tuple[int, ...], name: bytes = b"", flags: int = 0) -> bytes:
    """Return the flags, dimensions and name of an array."""
    dims = struct.pack(f"<{len(shape)}i", *shape)
    return element(6, struct.pack("<II", kind | flags, 0)) + element(5, dims) + element(1, name)


def numbers(shape: tuple[int, ...], data: bytes, name: bytes = b"a") -> bytes:
    """Return an array of doubles."""
    return head(6, shape, name) + element(9, data)


def mat(*elements: bytes) -> bytes:
    """Return a file of these elements."""
    return HEADER + b"\x00\x01IM" + b"".join(elements)


def compressed(data: bytes) -> bytes:
    """Return an element that holds others, compressed."""
    packed = zlib.compress(data, 9)
    return struct.pack("<II", 15, len(packed)) + packed
