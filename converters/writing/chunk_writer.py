"""Fills HDF5 datasets chunk by chunk: one reader, compression on all cores, one writer that reads back."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbswitch.converters.writing.chunk_codec import Array, codec, encoded
from nwbswitch.converters.writing.chunk_grid import Selection, shape_of, shifted, tiles, whole
from nwbswitch.converters.writing.source import Source
from nwbswitch.schemas.errors import InputFileError

# What was read and is not yet written, in bytes; with one block more this bounds the memory.
IN_FLIGHT_BYTES = 96 << 20
MAX_THREADS = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """Where a chunk begins in its dataset, and size and CRC-32 of its bytes in the file."""

    offset: tuple[int, ...]
    size: int
    crc32: int


@dataclass(slots=True)
class ChunkWriter:
    """Threads that compress chunks and one that writes them; used through `chunk_writer`."""

    threads: int
    verify: bool
    progress: Progress | None
    total_bytes: int
    _pool: ThreadPoolExecutor
    _writer: ThreadPoolExecutor
    _in_flight: deque[tuple[Future[Any], int]] = field(default_factory=deque)
    _in_flight_bytes: int = 0
    _done_bytes: int = 0

    def fill(
        self, dataset: h5py.Dataset, source: Source, *, part: Selection | None = None
    ) -> list[Future[StoredChunk]]:
        """Write a source to an allocated dataset of the same shape, type and chunks."""
        written = []
        shuffle = bool(dataset.shuffle)
        for block_part in tiles(part or whole(source.shape), source.block):
            self._make_room(int(np.prod(shape_of(block_part))) * source.dtype.itemsize)
            block = source.read(block_part)
            for chunk_part in tiles(block_part, source.chunks):
                piece = block[shifted(chunk_part, block_part)]
                packed = self._pool.submit(_pack, piece, source, shuffle=shuffle)
                future = self._writer.submit(_store, dataset, chunk_part, packed, verify=self.verify)
                size = int(np.prod(piece.shape)) * source.dtype.itemsize
                self._in_flight.append((future, size))
                self._in_flight_bytes += size
                written.append(future)
            del block
        return written

    def finish(self) -> None:
        """Wait until all is written."""
        while self._in_flight:
            self._settle()

    def _make_room(self, size: int) -> None:
        while self._in_flight and self._in_flight_bytes + size > IN_FLIGHT_BYTES:
            self._settle()

    def _settle(self) -> None:
        future, size = self._in_flight.popleft()
        future.result()
        self._in_flight_bytes -= size
        self._done_bytes += size
        if self.progress is not None:
            self.progress(self._done_bytes, self.total_bytes)

    def stop(self) -> None:
        """Drop what has not begun and wait for what has: at most one chunk per thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown(wait=True, cancel_futures=True)
        self._pool.shutdown(wait=True)


@contextmanager
def chunk_writer(
    *, threads: int | None, verify: bool, progress: Progress | None, total_bytes: int
) -> Iterator[ChunkWriter]:
    """Yield a writer and end its threads, whatever happens."""
    count = usable_threads(threads)
    writer = ChunkWriter(
        count,
        verify,
        progress,
        total_bytes,
        ThreadPoolExecutor(count, thread_name_prefix="compress"),
        ThreadPoolExecutor(1, thread_name_prefix="write"),
    )
    try:
        yield writer
        writer.finish()
    finally:
        writer.stop()


def usable_threads(threads: int | None) -> int:
    """Return the number of threads that compress: by default one per core this process may use, up to 8."""
    if threads is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return min(cores or 1, MAX_THREADS)
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    return threads


def _pack(piece: Array, source: Source, *, shuffle: bool) -> tuple[Array, bytes]:
    values = np.ascontiguousarray(piece, source.dtype)
    return values, encoded(values, source.chunks, shuffle=shuffle)


def _store(
    dataset: h5py.Dataset, part: Selection, packed: Future[tuple[Array, bytes]], *, verify: bool
) -> StoredChunk:
    """Write one chunk; read it back through HDF5's own filters and compare every byte."""
    values, stored = packed.result()
    offset = tuple(each.start for each in part)
    dataset.id.write_direct_chunk(offset, stored)
    if verify:
        found = np.empty(values.shape, values.dtype)
        dataset.read_direct(found, part)
        if not np.array_equal(found.reshape(-1).view(np.uint8), values.reshape(-1).view(np.uint8)):
            raise not_as_written(Path(dataset.file.filename), dataset.name, offset)
    return StoredChunk(offset, len(stored), codec().crc32(stored))


def not_as_written(path: Path, name: str, offset: tuple[int, ...]) -> InputFileError:
    """Return the error about a chunk that reads differently from what was written."""
    return InputFileError(
        path,
        f"the chunk at {offset} of {name} reads differently from what was written.",
        "The memory or the disk may be failing: try another disk.",
    )
