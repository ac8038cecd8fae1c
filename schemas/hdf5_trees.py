"""The trees and heaps in which HDF5 keeps names, chunks and values of variable length: whether they end.

The HDF5 library (2.0 and before) follows them on trust: a node that is its own child overflows the stack; a
neighbour that leads back, a circle of free blocks and a value of no size never end, and no other thread can
stop that. So they are read here first, by the HDF5 File Format Specification 3.0: superblock (II), B-trees of
version 1 (III.A.1), local and global heaps (III.D, III.E), object headers (IV.A) with the messages symbol
table, layout, attribute and continuation (IV.A.2). Groups, chunks and attributes of the newer kind are
indexed in other ways and are not examined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from nwbswitch.schemas.hdf5_lengths import attribute_lengths
from nwbswitch.schemas.hdf5_structures import (
    ATTRIBUTE,
    CHUNK_NODE,
    CONTINUATION,
    GROUP_NODE,
    LAYOUT,
    NODE_HEAD,
    SYMBOLS,
    UNDEFINED,
    WIDTH,
    BrokenFileError,
    EndlessFileError,
    FileStructures,
    Message,
)

MAX_MESSAGES = 100_000
_NO_FREE_BLOCK = 1


class FileTrees(FileStructures):
    """What objects of an HDF5 file lead to, followed to its end.

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
        super().__init__(stream, size)
        self._heaps: set[int] = set()
        root = self.root()
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
            if message.kind == SYMBOLS:
                self._check_tree(self.whole(message.data, 0), GROUP_NODE, WIDTH)
                self._check_names(self.whole(message.data, WIDTH))
            elif message.kind == LAYOUT and (tree := self.chunk_tree(message.data)):
                self._check_tree(tree[0], CHUNK_NODE, tree[1])
            elif message.kind == ATTRIBUTE:
                stated = attribute_lengths(message.data)
                if stated.size > self.size:
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
            head = self.at(address, 16)
            if head[:4] != b"GCOL":
                raise BrokenFileError(f"there is no heap of values at {address}")
            size = self.whole(head, 8)
            data = self.at(address, size) if size <= self.size else b""
            at = 16
            while at + 16 <= len(data):
                number, length = self.whole(data, at, 2), self.whole(data, at + 8)
                step = 16 + length + -length % 8 if number else length
                if not 16 <= step <= len(data) - at:
                    raise EndlessFileError(f"the values in the heap at {address} do not end")
                at += step

    # ---- object headers -------------------------------------------------------------------------------

    def _messages(self, address: int) -> Iterator[Message]:
        header = self.header(address)
        if header is None:
            return
        blocks = [header.first]
        met: set[int] = set()
        count = 0
        while blocks:
            start, size = blocks.pop()
            if start in met or size > self.size:
                raise EndlessFileError(f"the header at {address} continues into itself")
            met.add(start)
            for message in self.messages(header, (start, size)):
                count += 1
                if count > MAX_MESSAGES:
                    raise EndlessFileError(f"the header at {address} has too many messages")
                if message.kind == CONTINUATION:
                    blocks.append(self.continued(header, message))
                else:
                    yield message

    # ---- what the messages lead to --------------------------------------------------------------------

    def _check_tree(self, root: int, kind: int, key_bytes: int) -> None:
        """Follow a B-tree level by level; neighbours must be those that the level above names."""
        if root == UNDEFINED:
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
                head = self.at(address, NODE_HEAD)
                if head[:4] != b"TREE" or head[4] != kind or (level is not None and head[5] != level):
                    raise BrokenFileError(f"the tree at {root} has no node at {address}")
                level = head[5]
                self._check_neighbours(nodes, position, head)
                if level:
                    below += self.children(address, self.whole(head, 6, 2), key_bytes)
            level = None if level is None else level - 1
            nodes = below

    def _check_neighbours(self, nodes: list[int], position: int, head: bytes) -> None:
        for place, neighbour in ((8, position - 1), (8 + WIDTH, position + 1)):
            stated = self.whole(head, place)
            expected = nodes[neighbour] if 0 <= neighbour < len(nodes) else UNDEFINED
            if stated != expected:
                raise EndlessFileError(f"the node {nodes[position]} of a tree has a wrong neighbour")

    def _check_names(self, address: int) -> None:
        """Follow the free blocks of a heap of names."""
        if address == UNDEFINED:
            return
        head = self.at(address, 8 + 3 * WIDTH)
        if head[:4] != b"HEAP":
            raise BrokenFileError(f"there is no heap of names at {address}")
        free, data = self.whole(head, 8 + WIDTH), self.whole(head, 8 + 2 * WIDTH)
        met: set[int] = set()
        while free not in (_NO_FREE_BLOCK, UNDEFINED):
            if free in met:
                raise EndlessFileError(f"the free blocks of the heap at {address} go round in a circle")
            met.add(free)
            free = self.whole(self.at(data + free, WIDTH), 0)
