"""Parts of arrays from byte ranges alone, several pieces at a time, decoded in threads."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.access.array_plan import Piece, Selection, checked_selection, planned_pieces
from nwbswitch.analysis.access.arrays import Part
from nwbswitch.analysis.access.byte_source import ByteSource
from nwbswitch.analysis.access.cached_bytes import CachedBytes
from nwbswitch.analysis.access.chunk_decoding import DamagedChunkError, Octets, copy_values, decoded
from nwbswitch.analysis.access.hdf5_bytes import watched_hdf5
from nwbswitch.analysis.access.local_bytes import LocalBytes
from nwbswitch.analysis.access.stored_array import StoredArray
from nwbswitch.schemas.errors import InputFileError

if TYPE_CHECKING:
    import h5py

LEAST_GROUP_BYTES, GROUP_BYTES = 1 << 20, 4 << 20
"""Stored bytes that are asked for together and then decoded, fewer while threads have none."""
FAR_THREADS = 16
"""Groups under way together where most of the time is waiting."""
LARGE_BYTES = 64 << 20
"""Pieces that unpack to more are unpacked one by one: stored, they may be a thousand times smaller."""
MAX_RESULT_BYTES = 4 << 30
"""All parts of one call."""


@dataclass(frozen=True, slots=True)
class _Target:
    values: NDArray[Any]
    octets: Octets


class ArrayReader:
    """Reads parts of arrays whose chunks are known; implements `nwbswitch.analysis.access.arrays.Arrays`.

    Parameters
    ----------
    source
        The file in which the chunks lie; it is not closed with this object.
    threads
        Number of groups of chunks that are read and decoded together. By default one per core for a file on
        a disk, and more for one that is far away.
    """

    def __init__(self, source: ByteSource, *, threads: int | None = None) -> None:
        self._source = source
        cores = _cores()
        self._n_threads = threads or (cores if isinstance(source, LocalBytes) else max(FAR_THREADS, cores))
        self._threads: ThreadPoolExecutor | None = None
        self._library: tuple[h5py.File, Callable[[], None]] | None = None
        self._stack = ExitStack()
        self._large = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads, and close the file for the HDF5 library where that was needed."""
        self._stack.close()
        self._threads = self._library = None

    def read_many(self, parts: Sequence[Part]) -> list[NDArray[Any]]:
        """Return every part in the dtype in which it is stored; chunks of all parts are fetched together.

        Memory, beside the result, is that of the chunks under way: about `GROUP_BYTES` for each thread.

        Raises
        ------
        InputFileError
            When bytes are missing, damaged or those of another version of the file; it names the array and
            the place.
        ValueError
            For a selection that does not lie inside its array.
        """
        plain = [(array, checked_selection(array, selection)) for array, selection in parts]
        if sum(map(_n_bytes, plain)) > MAX_RESULT_BYTES:
            raise InputFileError(
                self._source.name, f"has more than {MAX_RESULT_BYTES >> 30} GB in what is read at once."
            )
        targets = [_target(part) for part in plain]
        try:
            pieces = planned_pieces(plain)
        except ValueError as error:
            raise InputFileError(self._source.name, f"has a damaged index: {error}.") from error
        written = [piece for piece in pieces if piece.offset >= 0]
        for piece in pieces[: len(pieces) - len(written)]:
            _fill(piece, targets)
        self._take_all(list(_groups(written, self._n_threads)), targets)
        for number, (array, selection) in enumerate(plain):
            if not array.by_ranges:
                targets[number] = _target((array, selection), self._by_library(array, selection))
        return [target.values for target in targets]

    def _take_all(self, groups: Sequence[Sequence[Piece]], targets: Sequence[_Target]) -> None:
        if self._n_threads == 1 or len(groups) < 2:
            for group in groups:
                self._take(group, targets)
            return
        if self._threads is None:
            made = ThreadPoolExecutor(self._n_threads, thread_name_prefix="arrays")
            self._threads = self._stack.enter_context(made)
        tasks = [self._threads.submit(self._take, group, targets) for group in groups]
        try:
            done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            wait(tasks)

    def _take(self, group: Sequence[Piece], targets: Sequence[_Target]) -> None:
        """Read and decode pieces, and copy what is wanted of them."""
        found = self._source.read_many([(piece.offset, piece.n_bytes) for piece in group])
        for piece, stored in zip(group, found, strict=True):
            with self._large if piece.plain_bytes > LARGE_BYTES else nullcontext():
                self._put(piece, stored, targets)

    def _put(self, piece: Piece, stored: bytes, targets: Sequence[_Target]) -> None:
        octets, shuffled = self._decoded(piece, stored)
        for use in piece.uses:
            target = targets[use.part]
            copy_values(
                octets,
                shuffled,
                piece.shape,
                inside=use.inside,
                target=target.values,
                target_octets=target.octets,
                into=use.into,
            )

    def _decoded(self, piece: Piece, stored: bytes) -> tuple[Octets, bool]:
        """Decode a piece; what was kept of it may be what a proxy or a server once sent wrong."""
        try:
            return _decoded(piece, stored)
        except DamagedChunkError as error:
            damage = error
        if isinstance(self._source, CachedBytes):
            try:
                return _decoded(piece, self._source.read_anew(piece.offset, piece.n_bytes))
            except DamagedChunkError as error:
                damage = error
        raise InputFileError(
            self._source.name,
            f"is damaged in {piece.array.object_path}: {damage}, at byte {piece.offset}.",
            "The copy may be incomplete.",
        ) from damage

    def _by_library(self, array: StoredArray, selection: Selection) -> NDArray[Any]:
        """Read through the HDF5 library what byte ranges are not enough for."""
        if self._library is None:
            self._library = self._stack.enter_context(watched_hdf5(self._source))
        handle, check = self._library
        try:
            dataset = handle[array.object_path]
            if dataset.shape != array.shape or np.dtype(dataset.dtype).str != array.dtype:
                raise InputFileError(
                    self._source.name, f"has another array at {array.object_path} than its outline says."
                )
            return np.asarray(dataset[selection]).astype(array.dtype, copy=False)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            check()
            raise InputFileError(
                self._source.name, f"is damaged in {array.object_path}: {str(error)[:200]}."
            ) from error
        finally:
            check()


def _decoded(piece: Piece, stored: bytes) -> tuple[Octets, bool]:
    itemsize = np.dtype(piece.array.dtype).itemsize
    return decoded(stored, piece.array.filters, piece.skipped, n_bytes=piece.plain_bytes, itemsize=itemsize)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _lengths(selection: Selection) -> tuple[int, ...]:
    return tuple(each.stop - each.start for each in selection)


def _n_bytes(part: tuple[StoredArray, Selection]) -> int:
    return math.prod(_lengths(part[1])) * np.dtype(part[0].dtype).itemsize


def _target(part: tuple[StoredArray, Selection], values: NDArray[Any] | None = None) -> _Target:
    """Return memory for a part; values are set when the library has read them."""
    array, selection = part
    if values is not None or not array.by_ranges:
        found = np.empty(0, dtype=array.dtype) if values is None else values
        return _Target(found, np.empty(0, dtype=np.uint8))
    shape, kind = _lengths(selection), np.dtype(array.dtype)
    octets = np.empty(math.prod(shape) * kind.itemsize, dtype=np.uint8)
    return _Target(octets.view(kind).reshape(shape), octets.reshape(*shape, kind.itemsize))


def _fill(piece: Piece, targets: Sequence[_Target]) -> None:
    for use in piece.uses:
        values = targets[use.part].values
        values[use.into] = np.asarray(piece.array.fill_value).astype(values.dtype)


def _groups(pieces: Sequence[Piece], n_threads: int) -> Iterator[list[Piece]]:
    """Yield neighbours together, until there is enough for one thread."""
    share = sum(piece.n_bytes for piece in pieces) // n_threads
    enough = min(max(share, LEAST_GROUP_BYTES), GROUP_BYTES)
    group: list[Piece] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += piece.n_bytes
        if size >= enough:
            yield group
            group, size = [], 0
    if group:
        yield group
