"""The line along which chunks are read, packed on all cores and stored in their order."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from nwbswitch.converters.writing.chunk_codec import Array
from nwbswitch.converters.writing.chunk_grid import Selection, shape_of, shifted, tiles, whole
from nwbswitch.converters.writing.source import Source

# What was read and is not yet stored; with it wait the compressed bytes.
IN_FLIGHT_BYTES = 80 << 20
# What the threads need for packing: a chunk contiguous, shuffled and compressed, each at once.
PACKING_BYTES = 128 << 20
MAX_THREADS = 8

Progress = Callable[[int, int], None]


class Target(Protocol):
    """A dataset that is stored chunk by chunk."""

    def pack(self, part: Selection, values: Array) -> Any:
        """Do all that several threads can do at once for one chunk of contiguous values."""

    def store(self, part: Selection, packed: Any) -> None:
        """Do the rest; one chunk after another."""


@dataclass(slots=True)
class ChunkWriter:
    """Threads that pack chunks and one that stores them; made by `chunk_writer`."""

    packers: ThreadPoolExecutor
    storer: ThreadPoolExecutor
    progress: Progress | None
    total_bytes: int
    _in_flight: deque[tuple[Future[None], int]] = field(default_factory=deque)
    _in_flight_bytes: int = 0
    _done_bytes: int = 0

    def fill(self, target: Target, source: Source, *, part: Selection | None = None) -> None:
        """Read a source, or a part that begins at a chunk, once and in blocks, and hand on its chunks."""
        first: Array | None = None
        reused = False
        for index, block_part in enumerate(tiles(part or whole(source.shape), source.block)):
            if index == 1 and not source.lasting:
                # A reader may fill the same memory for every block: seen before anything is lost by it.
                self.finish()
            self._make_room(math.prod(shape_of(block_part)) * source.dtype.itemsize)
            block = source.read(block_part)
            if index == 0:
                first = block
            elif index == 1 and first is not None:
                reused = not source.lasting and np.may_share_memory(first, block)
                first = None
            if reused:
                block = block.copy()
            for chunk_part in tiles(block_part, source.chunks):
                self._hand_on(target, chunk_part, block[shifted(chunk_part, block_part)], source.dtype)

    def _hand_on(self, target: Target, part: Selection, values: Array, dtype: np.dtype[Any]) -> None:
        packed = self.packers.submit(_pack, target, part, values, dtype)
        stored = self.storer.submit(_store, target, part, packed)
        self._in_flight.append((stored, values.size * dtype.itemsize))
        self._in_flight_bytes += values.size * dtype.itemsize

    def _make_room(self, size: int) -> None:
        while self._in_flight and self._in_flight_bytes + size > IN_FLIGHT_BYTES:
            self._settle()

    def finish(self) -> None:
        """Wait until everything is stored."""
        while self._in_flight:
            self._settle()

    def _settle(self) -> None:
        stored, size = self._in_flight.popleft()
        stored.result()
        self._in_flight_bytes -= size
        self._done_bytes += size
        if self.progress is not None:
            self.progress(self._done_bytes, self.total_bytes)

    def stop(self) -> None:
        """Drop what has not begun and wait for what has: at most one chunk per thread."""
        self.packers.shutdown(wait=False, cancel_futures=True)
        self.storer.shutdown(wait=True, cancel_futures=True)
        self.packers.shutdown(wait=True)


@contextmanager
def chunk_writer(
    *, threads: int | None, chunk_bytes: int, total_bytes: int, progress: Progress | None = None
) -> Iterator[ChunkWriter]:
    """Yield a writer; at the end everything is stored or, on any error, its threads are stopped.

    Parameters
    ----------
    threads
        Number of threads that pack.
    chunk_bytes
        Size of the largest chunk; with very large ones fewer threads run, to keep within memory.
    progress
        Called in this thread with the number of bytes stored and in all.
    """
    at_once = max(PACKING_BYTES // max(3 * chunk_bytes, 1), 1)
    writer = ChunkWriter(
        ThreadPoolExecutor(min(usable_threads(threads), at_once), thread_name_prefix="pack"),
        ThreadPoolExecutor(1, thread_name_prefix="store"),
        progress,
        total_bytes,
    )
    try:
        yield writer
        writer.finish()
    finally:
        writer.stop()


def usable_threads(threads: int | None) -> int:
    """Return the number of threads that pack: by default one per core this process may use, up to 8.

    Raises
    ------
    ValueError
        For less than one.
    """
    if threads is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return min(cores or 1, MAX_THREADS)
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    return threads


def _pack(target: Target, part: Selection, values: Array, dtype: np.dtype[Any]) -> Any:
    return target.pack(part, np.ascontiguousarray(values, dtype))


def _store(target: Target, part: Selection, packed: Future[Any]) -> None:
    target.store(part, packed.result())
