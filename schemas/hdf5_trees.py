"""The trees and heaps in which HDF5 keeps names, chunks and values of variable length: whether they end.

The HDF5 library (2.0 and before) follows them on trust: a node that is its own child overflows the stack; a
neighbour that leads back, a circle of free blocks and a value of no size never end, and no other thread can
stop that. So they are read here first, by the HDF5 File Format Specification 3.0: superblock (II), B-trees of
version 1 (III.A.1), local and global heaps (III.D, III.E), object headers (IV.A) with the messages symbol
table, layout, attribute and continuation (IV.A.2). Groups, chunks and attributes of the newer kind are
indexed in other ways and are not examined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO

from nwbswitch.schemas.hdf5_lengths import attribute_lengths

Prefetch = Callable[[Sequence[tuple[int, int]]], None]
"""Takes places and lengths, bytes."""

MARK = b"\x89HDF\r\n\x1a\n"
MAX_SUPERBLOCK_PLACE = 1 << 26
MAX_MESSAGES = 100_000
_LAYOUT, _ATTRIBUTE, _CONTINUATION, _SYMBOLS = 0x08, 0x0C, 0x10, 0x11
_FOLLOWED = frozenset((_LAYOUT, _ATTRIBUTE, _CONTINUATION, _SYMBOLS))
_GROUP_NODE, _CHUNK_NODE = 0, 1
_NO_FREE_BLOCK = 1
_WINDOW = 4096
_AHEAD = 1024
_FEW_BYTES = 64 << 10
_MAX_ANNOUNCED = 10_000
_WIDTH = 8
"""Bytes of an address or a length; the format allows others, which nobody uses."""
_UNDEFINED = (1 << 64) - 1


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
    prefetch
        Told the places and lengths of what is read next, where several are known beforehand.

    Raises
    ------
    BrokenFileError
        When the root group cannot be followed to its end.
    """

    def __init__(self, stream: BinaryIO, size: int, *, prefetch: Prefetch | None = None) -> None:
        self._stream = stream
        self._size = size
        self._prefetch = prefetch
        self._base = 0
        self._window = b""
        self._window_address = 0
        self._heaps: set[int] = set()
        root = self._root()
        if root is not None:
            self.check(root)

    @property
    def reads_ahead(self) -> bool:
        """Whether it is of use to `announce`."""
        return self._prefetch is not None

    def announce(self, addresses: Iterable[int]) -> None:
        """Read ahead what `check` and the library will read of these object headers, in few steps.

        What cannot be followed is left to `check`.
        """
        if self._prefetch is None:
            return
        headers = list(islice(addresses, _MAX_ANNOUNCED))
        self._prefetch([(self._base + address, _AHEAD) for address in headers])
        places: list[tuple[int, int]] = []
        trees: list[int] = []
        for address in headers:
            with suppress(BrokenFileError):
                for message in self._messages(address):
                    places += self._lead_to(message)
                    if message.kind == _SYMBOLS:
                        trees.append(self._whole(message.data, 0))
        self._prefetch([(self._base + address, size) for address, size in places])
        nodes: list[int] = []
        for tree in trees:
            with suppress(BrokenFileError):
                count = self._whole(self._at(tree, 8 + 2 * _WIDTH), 6, 2)
                nodes += self._children(tree, count, _WIDTH)
        self._prefetch([(self._base + node, _AHEAD) for node in nodes[:_MAX_ANNOUNCED]])

    def _lead_to(self, message: _Message) -> list[tuple[int, int]]:
        """Return the places and lengths of what a message leads to: names, chunks, few values, texts."""
        data = message.data
        if message.kind == _SYMBOLS:
            return [(self._whole(data, 0), _AHEAD), (self._whole(data, _WIDTH), _AHEAD)]
        if message.kind == _ATTRIBUTE:
            return [(heap, _WINDOW) for heap in attribute_lengths(data).heaps]
        if message.kind == _LAYOUT and data[:2] == b"\x03\x01":
            address, size = self._whole(data, 2), self._whole(data, 2 + _WIDTH)
            return [(address, size)] if size <= _FEW_BYTES else []
        if message.kind == _LAYOUT and data[:2] == b"\x03\x02":
            return [(self._whole(data, 3), _WINDOW)]
        return []

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
                self._check_tree(self._whole(message.data, 0), _GROUP_NODE, _WIDTH)
                self._check_names(self._whole(message.data, _WIDTH))
            elif message.kind == _LAYOUT:
                self._check_layout(message.data)
            elif message.kind == _ATTRIBUTE:
                stated = attribute_lengths(message.data)
                if stated.size > self._size:
                    raise EndlessFileError(
                        "an attribute states values of variable length that cannot be there"
                    )
                self.check_heaps(stated.heaps)

    def check_heaps(self, addresses: Iterable[int]) -> None:
        """Follow the values in heaps of values of variable length; each heap once.

        Raises
        ------
        EndlessFileError
            When the values of a heap do not end.
        """
        for address in addresses:
            if address in self._heaps:
                continue
            self._heaps.add(address)
            head = self._at(address, 16)
            if head[:4] != b"GCOL":
                raise BrokenFileError(f"there is no heap of values at {address}")
            size = self._whole(head, 8)
            data = self._at(address, size) if size <= self._size else b""
            at = 16
            while at + 16 <= len(data):
                number, length = self._whole(data, at, 2), self._whole(data, at + 8)
                step = 16 + length + -length % 8 if number else length
                if not 16 <= step <= len(data) - at:
                    raise EndlessFileError(f"the values in the heap at {address} do not end")
                at += step

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
        if version > 3:
            return None
        if sizes != b"\x08\x08":
            raise BrokenFileError(f"its addresses have {sizes[0]} bytes instead of 8")
        start = {0: 24, 1: 28}.get(version, 12)
        self._base = self._whole(head, start)
        # Before version 2: base, free space, end of file and driver; then name and header of the root group.
        return self._whole(head, start + (5 if version < 2 else 3) * _WIDTH)

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
    def _whole(data: bytes, start: int, size: int = 8) -> int:
        return int.from_bytes(data[start : start + size], "little")

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
                    place, length = self._whole(message.data, 0), self._whole(message.data, _WIDTH)
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
        address = self._whole(data, place)
        if address != _UNDEFINED:
            self._check_tree(address, _CHUNK_NODE, 8 + 8 * dimensions)

    def _check_tree(self, root: int, kind: int, key_bytes: int) -> None:
        """Follow a B-tree level by level; neighbours must be those that the level above names."""
        if root == _UNDEFINED:
            return
        level: int | None = None
        nodes = [root]
        met: set[int] = set()
        while nodes:
            below: list[int] = []
            if self._prefetch and len(nodes) > 1:
                self._prefetch([(self._base + address, _WINDOW) for address in nodes])
            for position, address in enumerate(nodes):
                if address in met:
                    raise EndlessFileError(f"the tree at {root} has the node {address} twice")
                met.add(address)
                head = self._at(address, 8 + 2 * _WIDTH)
                if head[:4] != b"TREE" or head[4] != kind or (level is not None and head[5] != level):
                    raise BrokenFileError(f"the tree at {root} has no node at {address}")
                level = head[5]
                self._check_neighbours(nodes, position, head)
                if level:
                    below += self._children(address, self._whole(head, 6, 2), key_bytes)
            level = None if level is None else level - 1
            nodes = below

    def _check_neighbours(self, nodes: list[int], position: int, head: bytes) -> None:
        for place, neighbour in ((8, position - 1), (8 + _WIDTH, position + 1)):
            stated = self._whole(head, place)
            expected = nodes[neighbour] if 0 <= neighbour < len(nodes) else _UNDEFINED
            if stated != expected:
                raise EndlessFileError(f"the node {nodes[position]} of a tree has a wrong neighbour")

    def _children(self, address: int, count: int, key_bytes: int) -> list[int]:
        step = key_bytes + _WIDTH
        data = self._at(address + 8 + 2 * _WIDTH, count * step)
        return [self._whole(data, at + key_bytes) for at in range(0, count * step, step)]

    def _check_names(self, address: int) -> None:
        """Follow the free blocks of a heap of names."""
        if address == _UNDEFINED:
            return
        head = self._at(address, 8 + 3 * _WIDTH)
        if head[:4] != b"HEAP":
            raise BrokenFileError(f"there is no heap of names at {address}")
        free, data = self._whole(head, 8 + _WIDTH), self._whole(head, 8 + 2 * _WIDTH)
        met: set[int] = set()
        while free not in (_NO_FREE_BLOCK, _UNDEFINED):
            if free in met:
                raise EndlessFileError(f"the free blocks of the heap at {address} go round in a circle")
            met.add(free)
            free = self._whole(self._at(data + free, _WIDTH), 0)
