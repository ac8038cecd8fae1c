"""What describes an HDF5 file, read ahead in few round trips where its bytes are far away.

The HDF5 library, and the guard before it, follow one address after the other: each may cost a round trip to a
server. Here all objects are followed at the same time, and what any of them needs next is asked for together.
Nothing is judged, and what cannot be followed is left to those who come after. By the HDF5 File Format
Specification 3.0: B-trees and symbol table nodes (III.A.1, III.B), heaps of names (III.D), messages (IV.A.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from nwbswitch.schemas.hdf5_lengths import attribute_lengths
from nwbswitch.schemas.hdf5_structures import (
    ATTRIBUTE,
    CONTINUATION,
    LAYOUT,
    LINK,
    NODE_HEAD,
    SYMBOLS,
    TYPE,
    UNDEFINED,
    WIDTH,
    WINDOW,
    BrokenFileError,
    FileStructures,
    Message,
)

MAX_OBJECTS = 20_000
MAX_DEPTH = 64
MAX_NODES = 4096
"""Of one tree; larger ones are left to those who come after."""
_AHEAD = 1024
_FEW_BYTES = 64 << 10
_MAX_BLOCKS = 64
_MAX_HEAPS = 64
_VARIABLE = 9
_ENTRY_BYTES = 2 * WIDTH + 24
"""Of a symbol table node: name, header, kind and scratch space."""

Place = tuple[int, int]
"""Offset in the file and length, bytes."""


class Prefetch(Protocol):
    """Bytes that can be read ahead."""

    def has(self, place: Place) -> bool:
        """Tell whether bytes are there already, or never will be."""
        ...

    def prefetch(self, near: Sequence[Place], exact: Sequence[Place]) -> bool:
        """Read places, of the former also what is around them; return whether more may be asked for."""
        ...


@dataclass(frozen=True, slots=True)
class _Wish:
    places: list[Place]
    is_near: bool = True
    """Whether more of use lies around."""


_Task = Iterator[_Wish]


def read_ahead(stream: BinaryIO, size: int, prefetch: Prefetch) -> None:
    """Read what describes the objects of a file, as far as it can be followed, without samples."""
    structures = FileStructures(stream, size)
    with suppress(BrokenFileError):
        root = structures.root()
        if root is not None:
            _Explorer(structures, prefetch).run(root)


class _Explorer:
    """Follows all objects of a file at the same time: tasks say which bytes they need next."""

    def __init__(self, structures: FileStructures, prefetch: Prefetch) -> None:
        self._file = structures
        self._prefetch = prefetch
        self._met: set[int] = set()
        self._ready: list[_Task] = []

    def run(self, root: int) -> None:
        """Follow everything that the root group leads to."""
        self._meet(root, 0)
        while self._ready:
            waiting: list[tuple[_Task, _Wish]] = []
            while self._ready:
                task = self._ready.pop()
                try:
                    wish = next(task)
                except (StopIteration, BrokenFileError, IndexError):
                    continue
                if all(map(self._prefetch.has, wish.places)):
                    self._ready.append(task)
                else:
                    waiting.append((task, wish))
            near = [place for _, wish in waiting if wish.is_near for place in wish.places]
            exact = [place for _, wish in waiting if not wish.is_near for place in wish.places]
            if not self._prefetch.prefetch(near, exact):
                return
            self._ready = [task for task, _ in waiting]

    def _meet(self, address: int, depth: int) -> None:
        if address not in self._met and len(self._met) < MAX_OBJECTS and depth <= MAX_DEPTH:
            self._met.add(address)
            self._ready.append(self._object(address, depth))

    def _wish(self, address: int, size: int, *, is_near: bool = True) -> _Wish:
        return _Wish([(self._file.base + address, size)], is_near)

    def _object(self, address: int, depth: int) -> _Task:
        """Follow an object header through its blocks."""
        yield self._wish(address, _AHEAD)
        header = self._file.header(address)
        if header is None:
            return
        blocks = [header.first]
        met: set[int] = set()
        variable = False
        while blocks and len(met) < _MAX_BLOCKS:
            block = blocks.pop()
            if block[0] in met or block[1] > _FEW_BYTES:
                return
            met.add(block[0])
            yield self._wish(*block)
            for message in self._file.messages(header, block):
                if message.kind == CONTINUATION:
                    blocks.append(self._file.continued(header, message))
                elif message.kind == TYPE:
                    variable = message.data[0] & 0x0F == _VARIABLE
                else:
                    self._ready.append(self._message(message, depth, variable))

    def _message(self, message: Message, depth: int, variable: bool) -> _Task:
        data = message.data
        if message.kind == SYMBOLS:
            yield from self._names(self._file.whole(data, WIDTH))
            yield from self._members(self._file.whole(data, 0), depth)
        elif message.kind == LINK:
            if data[0] == 1 and not (data[1] & 8 and data[2]):  # a hard link, whose address comes last
                self._meet(self._file.whole(data[-WIDTH:], 0), depth + 1)
        elif message.kind == ATTRIBUTE:
            yield self._heaps(attribute_lengths(data).heaps)
        elif message.kind == LAYOUT and data[:2] == b"\x03\x01":
            yield from self._values(self._file.whole(data, 2), self._file.whole(data, 2 + WIDTH), variable)
        elif message.kind == LAYOUT and (tree := self._file.chunk_tree(data)):
            yield from self._nodes(*tree)

    def _heaps(self, addresses: set[int]) -> _Wish:
        return _Wish([(self._file.base + each, WINDOW) for each in sorted(addresses)[:_MAX_HEAPS]])

    def _values(self, address: int, size: int, variable: bool) -> _Task:
        """Follow values without chunks when they are few, and texts to their heaps."""
        if address == UNDEFINED or size > _FEW_BYTES:
            return
        yield self._wish(address, size)
        if variable:
            data = self._file.at(address, size)
            yield self._heaps({self._file.whole(data, at + 4) for at in range(0, len(data) - 15, 16)} - {0})

    def _names(self, address: int) -> _Task:
        """Follow a heap of names."""
        yield self._wish(address, _AHEAD)
        head = self._file.at(address, 8 + 3 * WIDTH)
        size = self._file.whole(head, 8)
        if size <= _FEW_BYTES:
            yield self._wish(self._file.whole(head, 8 + 2 * WIDTH), size)

    def _members(self, tree: int, depth: int) -> _Task:
        """Follow the tree of a group to its members."""
        yield self._wish(tree, _AHEAD)
        for nodes in self._levels(tree, WIDTH):
            yield _Wish([(self._file.base + node, _AHEAD) for node in nodes])
            for node in nodes:
                head = self._file.at(node, 8)
                if head[:4] == b"SNOD":
                    count = self._file.whole(head, 6, 2)
                    entries = self._file.at(node + 8, count * _ENTRY_BYTES)
                    for at in range(0, len(entries), _ENTRY_BYTES):
                        self._meet(self._file.whole(entries, at + WIDTH), depth + 1)

    def _nodes(self, tree: int, key_bytes: int) -> _Task:
        """Follow the tree of the chunks of a dataset, without the chunks."""
        yield self._wish(tree, WINDOW)
        for nodes in self._levels(tree, key_bytes, lowest=1):
            yield _Wish([(self._file.base + node, WINDOW) for node in nodes], is_near=False)

    def _levels(self, tree: int, key_bytes: int, *, lowest: int = 0) -> Iterator[list[int]]:
        """Yield what the nodes of each level lead to, which must be there when one goes on."""
        nodes = [tree]
        met = 1
        while nodes:
            heads = [self._file.at(node, NODE_HEAD) for node in nodes]
            if any(head[:4] != b"TREE" or head[5] < lowest for head in heads):
                return
            counts = [self._file.whole(head, 6, 2) for head in heads]
            met += sum(counts)
            if met > MAX_NODES:
                return
            found = [self._file.children(*each, key_bytes) for each in zip(nodes, counts, strict=True)]
            level = heads[0][5]
            nodes = [node for each in found for node in each]
            yield nodes
            if level == 0:
                return
