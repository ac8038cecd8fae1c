"""The trees and heaps in which HDF5 keeps names and chunks: whether they end.

The HDF5 library (2.0 and before) follows them on trust: a node that is its own child overflows the stack, a
neighbour that leads back and a circle of free blocks never end, and no other thread can stop that. So they
are read here first, by the HDF5 File Format Specification 3.0: superblock (II), B-trees of version 1
(III.A.1), local heaps (III.D), object headers (IV.A), and the messages symbol table, layout and continuation
(IV.A.2). Groups and chunks of the newer kind are indexed in other ways and are not examined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from nwbswitch.schemas.hdf5_lengths import attribute_lengths

MARK = b"\x89HDF\r\n\x1a\n"
MAX_SUPERBLOCK_PLACE = 1 << 26
MAX_MESSAGES = 100_000
_LAYOUT, _ATTRIBUTE, _CONTINUATION, _SYMBOLS = 0x08, 0x0C, 0x10, 0x11
_FOLLOWED = frozenset((_LAYOUT, _ATTRIBUTE, _CONTINUATION, _SYMBOLS))
_GROUP_NODE, _CHUNK_NODE = 0, 1
_NO_FREE_BLOCK = 1
_WINDOW = 4096


class BrokenFileError(ValueError):
    """A tree, heap or header that leads to a place where there is none."""


class EndlessFileError(BrokenFileError):
    """A tree, heap or header that leads back into itself."""


@dataclass(frozen=True, slots=True)
class _Message:
    kind: int
    data: bytes


class FileTrees:
    """The bytes of an HDF5 file, read apart from the library.

    Parameters
    ----------
    stream
        The file, opened for reading bytes.
    size
        Its size in bytes.

    Raises
    ------
    BrokenFileError
        When the root group cannot be followed to its end.
    """

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._base = 0
        self._address_bytes = 8
        self._length_bytes = 8
        self._window = b""
        self._window_address = 0
        root = self._root()
        if root is not None:
            self.check(root)

    def check(self, address: int) -> None:
        """Follow what an object header leads to: the names of a group, the chunks of a dataset, attributes.

        Raises
        ------
        EndlessFileError
            When it does not end.
        BrokenFileError
            When it breaks off.
        """
        for message in self._messages(address):
            if message.kind == _SYMBOLS:
                width = self._address_bytes
                self._check_tree(self._whole(message.data, 0, width), _GROUP_NODE, self._length_bytes)
                self._check_heap(self._whole(message.data, width, width))
            elif message.kind == _LAYOUT:
                self._check_layout(message.data)
            elif attribute_lengths(message.data) > self._size:
                raise EndlessFileError(
                    "an attribute states more values of variable length than the file holds"
                )

    def _root(self) -> int | None:
        """Return the address of the root group's header, or nothing when there is no superblock."""
        place = 0
        while self._read(place, 8) != MARK:
            place = max(512, 2 * place)
            if place > min(self._size, MAX_SUPERBLOCK_PLACE):
                return None
        head = self._read(place, 128)
        version = head[8]
        sizes = head[13:15] if version < 2 else head[9:11]
        if version > 3 or not all(each in (2, 4, 8) for each in sizes):
            return None
        self._address_bytes, self._length_bytes = sizes
        width = self._address_bytes
        start = {0: 24, 1: 28}.get(version, 12)
        self._base = self._whole(head, start, width)
        if version < 2:
            # base, free space, end of file and driver; then name and header of the root group's entry
            return self._whole(head, start + 4 * width + self._length_bytes, width)
        return self._whole(head, start + 3 * width, width)

    def _read(self, place: int, size: int) -> bytes:
        if place < 0 or place > self._size:
            return b""
        self._stream.seek(place)
        return self._stream.read(size)

    def _at(self, address: int, size: int) -> bytes:
        start = address - self._window_address
        if start < 0 or start + size > len(self._window):
            self._window = self._read(self._base + address, max(size, _WINDOW))
            self._window_address, start = address, 0
        data = self._window[start : start + size]
        if len(data) < size:
            raise BrokenFileError(f"something should lie at {address}, beyond the end")
        return data

    @staticmethod
    def _whole(data: bytes, start: int, size: int) -> int:
        return int.from_bytes(data[start : start + size], "little")

    def _undefined(self, address: int) -> bool:
        return address == (1 << 8 * self._address_bytes) - 1

    # ---- object headers -------------------------------------------------------------------------------

    def _messages(self, address: int) -> Iterator[_Message]:
        head = self._at(address, 16)
        new = head[:4] == b"OHDR"
        if not new and head[0] != 1:
            return
        blocks = [self._new_block(address, head) if new else (address + 16, self._whole(head, 8, 4))]
        met: set[int] = set()
        order = 2 if new and head[5] & 4 else 0
        count = 0
        while blocks:
            start, size = blocks.pop()
            if start in met or size > self._size:
                raise EndlessFileError(f"the header at {address} continues into itself")
            met.add(start)
            for message in self._block(start, size, new=new, order=order):
                count += 1
                if count > MAX_MESSAGES:
                    raise EndlessFileError(f"the header at {address} has too many messages")
                if message.kind == _CONTINUATION:
                    width = self._address_bytes
                    place = self._whole(message.data, 0, width)
                    length = self._whole(message.data, width, self._length_bytes)
                    if new:
                        blocks.append((place + 4, length - 8))  # between the mark OCHK and the checksum
                    else:
                        blocks.append((place, length))
                else:
                    yield message

    def _new_block(self, address: int, head: bytes) -> tuple[int, int]:
        """Return the first block of messages of a header of version 2."""
        flags = head[5]
        start = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        return address + start + width, self._whole(self._at(address + start, width), 0, width)

    def _block(self, start: int, size: int, *, new: bool, order: int) -> Iterator[_Message]:
        if size <= 0:
            return
        data = self._at(start, size)
        at = 0
        prefix = 4 + order if new else 8
        while at + prefix <= len(data):
            kind = data[at] if new else self._whole(data, at, 2)
            length = self._whole(data, at + (1 if new else 2), 2)
            if kind in _FOLLOWED:
                yield _Message(kind, data[at + prefix : at + prefix + length])
            at += prefix + length

    # ---- what the messages lead to --------------------------------------------------------------------

    def _check_layout(self, data: bytes) -> None:
        """Follow the chunks of a dataset where a B-tree of version 1 has them."""
        if len(data) < 3:
            return
        version = data[0]
        if version == 3 and data[1] == 2:
            dimensions, place = data[2], 3
        elif version in (1, 2) and data[2] == 2:
            dimensions, place = data[1], 8
        else:
            return
        address = self._whole(data, place, self._address_bytes)
        if not self._undefined(address):
            self._check_tree(address, _CHUNK_NODE, 8 + 8 * dimensions)

    def _check_tree(self, root: int, kind: int, key_bytes: int) -> None:
        """Follow a B-tree level by level; neighbours must be those that the level above names."""
        if self._undefined(root):
            return
        level: int | None = None
        nodes = [root]
        met: set[int] = set()
        while nodes:
            below: list[int] = []
            for position, address in enumerate(nodes):
                if address in met:
                    raise EndlessFileError(f"the tree at {root} has the node {address} twice")
                met.add(address)
                head = self._at(address, 8 + 2 * self._address_bytes)
                if head[:4] != b"TREE" or head[4] != kind or (level is not None and head[5] != level):
                    raise BrokenFileError(f"the tree at {root} has no node at {address}")
                level = head[5]
                self._check_neighbours(nodes, position, head)
                if level:
                    below += self._children(address, self._whole(head, 6, 2), key_bytes)
            level = None if level is None else level - 1
            nodes = below

    def _check_neighbours(self, nodes: list[int], position: int, head: bytes) -> None:
        width = self._address_bytes
        for place, neighbour in ((8, position - 1), (8 + width, position + 1)):
            stated = self._whole(head, place, width)
            expected = nodes[neighbour] if 0 <= neighbour < len(nodes) else None
            if stated != expected and not (expected is None and self._undefined(stated)):
                raise EndlessFileError(f"the node {nodes[position]} of a tree has a wrong neighbour")

    def _children(self, address: int, count: int, key_bytes: int) -> list[int]:
        width = self._address_bytes
        step = key_bytes + width
        data = self._at(address + 8 + 2 * width, count * step)
        return [self._whole(data, at + key_bytes, width) for at in range(0, count * step, step)]

    def _check_heap(self, address: int) -> None:
        """Follow the free blocks of a heap of names."""
        if self._undefined(address):
            return
        length = self._length_bytes
        head = self._at(address, 8 + 2 * length + self._address_bytes)
        if head[:4] != b"HEAP":
            raise BrokenFileError(f"there is no heap of names at {address}")
        free = self._whole(head, 8 + length, length)
        data = self._whole(head, 8 + 2 * length, self._address_bytes)
        met: set[int] = set()
        while free != _NO_FREE_BLOCK and free != (1 << 8 * length) - 1:
            if free in met:
                raise EndlessFileError(f"the free blocks of the heap at {address} go round in a circle")
            met.add(free)
            free = self._whole(self._at(data + free, length), 0, length)
