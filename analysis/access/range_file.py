"""A file-like object over any bytes, for the HDF5 library: few requests, few bytes, bounded memory."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from nwbswitch.analysis.access.byte_source import ByteRange, ByteSource
from nwbswitch.schemas.errors import InputFileError

BLOCK_BYTES = 4 << 10
"""What is kept and let go of together."""
BEFORE_BYTES, AFTER_BYTES = 32 << 10, 96 << 10
"""What is read around a place that is asked for: what describes one object lies close together."""
MAX_AFTER_BYTES = 1 << 20
"""What it grows to while places follow on each other."""
MAX_WINDOWS = 64
"""Of more places than these, read ahead, only the blocks themselves are read."""
HEAD_BYTES = 512 << 10
TAIL_BYTES = 512 << 10
"""Writers put what describes the file before and after its large data: both are read first, together."""
DIRECT_BYTES = 512 << 10
"""Reads from this size on are samples: they pass without being kept."""
MAX_BYTES = 64 << 20


class RangeFile(io.RawIOBase):
    """Reads a `ByteSource` in aligned blocks and keeps those that were used last.

    The HDF5 library holds a lock of the whole process while it reads from here: two files never wait for
    their servers at the same time in one process. So recordings are read in processes of their own.

    Parameters
    ----------
    source
        Where the bytes come from; it is not closed with this object.
    max_bytes
        Of blocks that are kept.
    """

    def __init__(self, source: ByteSource, *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self._failure: InputFileError | None = None
        self._source = source
        self._size = source.size
        self._max_blocks = max(max_bytes, 4 * MAX_AFTER_BYTES) // BLOCK_BYTES
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._place = 0
        self._after = AFTER_BYTES
        self._next = -1
        self._ahead = 0

    def __repr__(self) -> str:
        """Return the name of the source, which h5py then gives as the name of the file."""
        return self._source.name

    def check(self) -> None:
        """Raise what made a read fail, ever.

        Raises
        ------
        InputFileError
            As the source raised it.
        """
        if self._failure is not None:
            raise self._failure

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the place where the next read begins, bytes."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which may lie beyond the end."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("there is nothing before the beginning of a file")
        self._place = start + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as fit or are left; return their number."""
        view = memoryview(buffer).cast("B")
        start = self._place
        stop = min(start + len(view), self._size)
        length = max(stop - start, 0)
        if length >= DIRECT_BYTES:
            view[:length] = self._read([(start, length)])[0]
        elif length:
            self._copy(start, stop, view)
        self._place = start + length
        return length

    def has(self, place: ByteRange) -> bool:
        """Tell whether bytes can be read without asking for them; beyond the end there are none."""
        offset, length = place
        return all(n in self._blocks for n in _numbers(max(offset, 0), min(offset + length, self._size)))

    def prefetch(self, near: Sequence[ByteRange], exact: Sequence[ByteRange]) -> bool:
        """Read places in one go, of the former also what is around them.

        Returns
        -------
        bool
            Whether more may be read ahead: not without end, whatever a file says of itself.
        """
        wanted: set[int] = set()
        for offset, length in (*near, *exact):
            if offset >= 0 and length > 0:
                wanted.update(_numbers(offset, min(offset + length, self._size)))
        wanted.difference_update(self._blocks)
        nearby = {n for offset, length in near for n in _numbers(max(offset, 0), offset + length)} & wanted
        if len(nearby) <= MAX_WINDOWS:
            wanted |= {n for number in nearby for n in self._around(number, AFTER_BYTES)}
        self._ahead += len(wanted)
        if self._ahead > self._max_blocks // 2:
            return False
        self._load(wanted)
        return True

    def _copy(self, start: int, stop: int, view: memoryview) -> None:
        if not self._blocks:
            self._load(self._first())
        for number in _numbers(start, stop):
            if number not in self._blocks:
                self._load(self._window(number))
            self._blocks.move_to_end(number)
            block = self._blocks[number]
            base = number * BLOCK_BYTES
            begin, end = max(start, base), min(stop, base + len(block))
            view[begin - start : end - start] = block[begin - base : end - base]

    def _first(self) -> set[int]:
        if self._size <= HEAD_BYTES + TAIL_BYTES:
            return set(_numbers(0, self._size))
        return {*_numbers(0, HEAD_BYTES), *_numbers(self._size - TAIL_BYTES, self._size)}

    def _window(self, number: int) -> range:
        """Return the blocks around one; more when it follows on those that were read last."""
        self._after = min(2 * self._after, MAX_AFTER_BYTES) if number == self._next else AFTER_BYTES
        window = self._around(number, self._after)
        self._next = window.stop
        return window

    def _around(self, number: int, after: int) -> range:
        start = max(number * BLOCK_BYTES - BEFORE_BYTES, 0)
        return _numbers(start, min(number * BLOCK_BYTES + after, self._size))

    def _load(self, numbers: Iterable[int]) -> None:
        """Read the blocks that are not there yet, and let go of those that were not used for longest."""
        missing = sorted(number for number in numbers if number not in self._blocks)
        if not missing:
            return
        edges = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(missing)) if b != a + 1), len(missing)]
        runs = [(missing[a] * BLOCK_BYTES, (b - a) * BLOCK_BYTES) for a, b in pairwise(edges)]
        runs = [(offset, min(length, self._size - offset)) for offset, length in runs]
        for (offset, _), data in zip(runs, self._read(runs), strict=True):
            for at in range(0, len(data), BLOCK_BYTES):
                self._blocks[(offset + at) // BLOCK_BYTES] = data[at : at + BLOCK_BYTES]
        while len(self._blocks) > self._max_blocks:
            self._blocks.popitem(last=False)

    def _read(self, ranges: Sequence[ByteRange]) -> list[bytes]:
        try:
            return self._source.read_many(ranges)
        except InputFileError as error:
            self._failure = self._failure or error
            raise


def _numbers(start: int, stop: int) -> range:
    """Return the numbers of the blocks that bytes from ``start`` to before ``stop`` lie in."""
    return range(start // BLOCK_BYTES, -(-stop // BLOCK_BYTES))
