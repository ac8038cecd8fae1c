"""Bytes of one file that stays the same while it is read, wherever it lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

ByteRange = tuple[int, int]
"""Offset and length, in bytes."""


class ByteSource(Protocol):
    """What reading needs of a file, near or far.

    All methods raise `nwbswitch.schemas.errors.InputFileError` when the file has changed since it was
    opened, ends early, or cannot be had after the tries that its kind allows: never other bytes than those
    of the file that was opened.
    """

    @property
    def name(self) -> str:
        """What messages call the file."""
        ...

    @property
    def size(self) -> int:
        """Length of the file, bytes."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``."""
        ...

    def read_many(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        """Return the bytes of every range, in the order given; far files are asked several at a time."""
        ...

    def close(self) -> None:
        """Let go of handles and connections."""
        ...
