"""The building blocks of HDF5 files, read as bytes: superblock, object headers and their messages.

By the HDF5 File Format Specification 3.0: superblock (II), B-trees of version 1 (III.A.1), object headers
(IV.A).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MARK = b"\x89HDF\r\n\x1a\n"
MAX_SUPERBLOCK_PLACE = 1 << 26
TYPE, LINK, LAYOUT, ATTRIBUTE, CONTINUATION, SYMBOLS = 0x03, 0x06, 0x08, 0x0C, 0x10, 0x11
"""Messages in object headers (IV.A.2)."""
GROUP_NODE, CHUNK_NODE = 0, 1
WIDTH = 8
"""Bytes of an address or a length; the format allows others, which nobody uses."""
NODE_HEAD = 8 + 2 * WIDTH
UNDEFINED = (1 << 64) - 1
WINDOW = 4096
_FOLLOWED = frozenset((TYPE, LINK, LAYOUT, ATTRIBUTE, CONTINUATION, SYMBOLS))


class BrokenFileError(ValueError):
    """A tree, heap or header that leads to a place where there is none."""


class EndlessFileError(BrokenFileError):
    """A tree, heap or header that leads back into itself."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an object header."""

    kind: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """The beginning of an object header."""

    is_new: bool
    """Whether it is of version 2."""
    first: tuple[int, int]
    """Address and length of the first block of messages."""
    order: int
    """Bytes for the order of creation in each message."""


class FileStructures:
    """The bytes of an HDF5 file, read apart from the library.

    Parameters
    ----------
    stream
        The file, opened for reading bytes.
    size
        Its size in bytes.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.size = size
        self.base = 0
        self._stream = stream
        self._window = b""
        self._window_address = 0

    def root(self) -> int | None:
        """Return the address of the root group's header, or nothing when there is no superblock."""
        place = 0
        while self._read(place, 8) != MARK:
            place = max(512, 2 * place)
            if place > min(self.size, MAX_SUPERBLOCK_PLACE):
                return None
        head = self._read(place, 128)
        version = head[8]
        sizes = head[13:15] if version < 2 else head[9:11]
        if version > 3:
            return None
        if sizes != b"\x08\x08":
            raise BrokenFileError(f"its addresses have {sizes[0]} bytes instead of 8")
        start = {0: 24, 1: 28}.get(version, 12)
        self.base = self.whole(head, start)
        # Before version 2: base, free space, end of file and driver; then name and header of the root group.
        return self.whole(head, start + (5 if version < 2 else 3) * WIDTH)

    def _read(self, place: int, size: int) -> bytes:
        if place < 0 or place > self.size:
            return b""
        self._stream.seek(place)
        return self._stream.read(size)

    def at(self, address: int, size: int) -> bytes:
        """Return the bytes at an address.

        Raises
        ------
        BrokenFileError
            When they lie beyond the end.
        """
        start = address - self._window_address
        if start < 0 or start + size > len(self._window):
            self._window = self._read(self.base + address, max(size, WINDOW))
            self._window_address, start = address, 0
        data = self._window[start : start + size]
        if len(data) < size:
            raise BrokenFileError(f"something should lie at {address}, beyond the end")
        return data

    @staticmethod
    def whole(data: bytes, start: int, size: int = 8) -> int:
        """Return a whole number."""
        return int.from_bytes(data[start : start + size], "little")

    def header(self, address: int) -> Header | None:
        """Return how an object header begins, or nothing when it is of an unknown version."""
        head = self.at(address, 16)
        if head[:4] != b"OHDR":
            return Header(False, (address + 16, self.whole(head, 8, 4)), 0) if head[0] == 1 else None
        flags = head[5]
        start = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        first = address + start + width, self.whole(self.at(address + start, width), 0, width)
        return Header(True, first, 2 if flags & 4 else 0)

    def messages(self, header: Header, block: tuple[int, int]) -> Iterator[Message]:
        """Yield those messages of one block of a header that lead somewhere, or say what is there."""
        start, size = block
        if size <= 0:
            return
        data = self.at(start, size)
        at = 0
        prefix = 4 + header.order if header.is_new else 8
        while at + prefix <= len(data):
            kind = data[at] if header.is_new else self.whole(data, at, 2)
            length = self.whole(data, at + (1 if header.is_new else 2), 2)
            if kind in _FOLLOWED:
                yield Message(kind, data[at + prefix : at + prefix + length])
            at += prefix + length

    def continued(self, header: Header, message: Message) -> tuple[int, int]:
        """Return the block that a continuation leads to."""
        place, length = self.whole(message.data, 0), self.whole(message.data, WIDTH)
        # In the newer version it lies between the mark OCHK and the checksum.
        return (place + 4, length - 8) if header.is_new else (place, length)

    def chunk_tree(self, layout: bytes) -> tuple[int, int] | None:
        """Return address and length of a key of the B-tree of version 1 that a layout message leads to."""
        if len(layout) < 3:
            return None
        version = layout[0]
        if version == 3 and layout[1] == 2:
            dimensions, place = layout[2], 3
        elif version in (1, 2) and layout[2] == 2:
            dimensions, place = layout[1], 8
        else:
            return None
        address = self.whole(layout, place)
        return None if address == UNDEFINED else (address, 8 + 8 * dimensions)

    def children(self, address: int, count: int, key_bytes: int) -> list[int]:
        """Return what the entries of a node of a B-tree lead to."""
        step = key_bytes + WIDTH
        data = self.at(address + NODE_HEAD, count * step)
        return [self.whole(data, at + key_bytes) for at in range(0, count * step, step)]
