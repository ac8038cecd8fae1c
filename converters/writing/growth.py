"""Recordings that go on: frames, samples and times added at the end of datasets in a file that is there."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from nwbswitch.converters.writing.chunk_codec import Array, codec
from nwbswitch.converters.writing.chunk_grid import Selection, block_shape, shape_of
from nwbswitch.converters.writing.chunk_writer import Progress, chunk_writer
from nwbswitch.converters.writing.disk_errors import disk_errors
from nwbswitch.converters.writing.hdf5_target import Hdf5Target, compare_stored
from nwbswitch.converters.writing.report import DatasetReport, WriteReport
from nwbswitch.converters.writing.source import Source, plain_dtype, source_of
from nwbswitch.converters.writing.undo_file import UndoFile
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.files import locked
from nwbswitch.schemas.hdf5_guard import check_hdf5

_GZIP = [h5py.h5z.FILTER_DEFLATE]
_SHUFFLE_GZIP = [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE]


@dataclass(frozen=True, slots=True)
class _Growth:
    """A dataset and what is added to it."""

    dataset: h5py.Dataset
    added: Source
    old_shape: tuple[int, ...]

    @property
    def new_shape(self) -> tuple[int, ...]:
        return (self.old_shape[0] + self.added.shape[0], *self.old_shape[1:])

    @property
    def changed(self) -> Selection:
        """What is written: the new rows and those that share a chunk with them."""
        start = self.old_shape[0] - self.old_shape[0] % self.dataset.chunks[0]
        return (slice(start, self.new_shape[0]), *(slice(0, length) for length in self.old_shape[1:]))

    def source(self) -> Source:
        """Return the whole dataset as it will be."""
        chunks = self.dataset.chunks
        itemsize = self.dataset.dtype.itemsize
        axes = range(len(chunks) - 1, -1, -1)
        together = [axis for axis in axes if axis and self.added.block[axis] == self.added.shape[axis]]
        block = block_shape(shape_of(self.changed), chunks, itemsize, axes=axes, together=together)
        return Source(self.new_shape, self.dataset.dtype, chunks, block, self._read, lasting=False)

    def _read(self, part: Selection) -> Array:
        rows, rest, old = part[0], part[1:], self.old_shape[0]
        pieces = []
        if rows.start < old:
            pieces.append(self.dataset[(slice(rows.start, min(rows.stop, old)), *rest)])
        if rows.stop > old:
            pieces.append(self.added.read((slice(max(rows.start - old, 0), rows.stop - old), *rest)))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def append_nwb(
    path: Path | str,
    data: Mapping[str, Any],
    *,
    threads: int | None = None,
    verify: bool = True,
    progress: Progress | None = None,
) -> WriteReport:
    """Append to datasets of an NWB or HDF5 file along their first axis, in place.

    Only the chunks that are new and the incomplete ones at the old end are written, so that the time depends
    on what is added and not on what is there.

    Parameters
    ----------
    path : Path
        The file. No other program may have it open.
    data : dict
        By the path of a dataset in the file, what to add to it: a GenericDataChunkIterator or an array whose
        shape is that of the dataset but for the first axis. The datasets have gzip, with or without shuffle,
        and may grow, as those of `write_nwb` do.
    threads, verify, progress
        As for `write_nwb`.

    Raises
    ------
    InputFileError
        A dataset is missing or cannot be appended to, or the file does not hold what was written to it.
    ValueError
        Shape or type do not fit, or a time series would have more samples than timestamps or fewer.
    OSError
        The disk is full or cannot be written to.

    Notes
    -----
    On any error the file becomes what it was, byte by byte. If the computer stops in the middle it may be
    damaged: where that matters, append to a copy inside `nwbswitch.schemas.files.replaced`.
    """
    started = time.perf_counter()
    path = Path(path)
    check_hdf5(path)
    with _changed(path) as file:
        growths = [_growth(path, file, name, each) for name, each in data.items()]
        _check_times(file, growths)
        sources = [each.source() for each in growths]
        targets = [Hdf5Target.of(path, each.dataset, verify=verify) for each in growths]
        total_bytes = sum(math.prod(shape_of(each.changed)) * each.added.dtype.itemsize for each in growths)
        with chunk_writer(
            threads=threads,
            chunk_bytes=max((source.chunk_bytes for source in sources), default=0),
            total_bytes=total_bytes,
            progress=progress,
        ) as writer:
            for growth, target, source in zip(growths, targets, sources, strict=True):
                with disk_errors(path):
                    growth.dataset.resize(growth.new_shape)
                writer.fill(target, source, part=growth.changed)
        reports = tuple(_report(*each) for each in zip(growths, targets, strict=True))
    if verify:
        compare_stored(
            path, {report.name: target.written for report, target in zip(reports, targets, strict=True)}
        )
    return WriteReport(path, reports, codec().name, verify, time.perf_counter() - started)


@contextmanager
def _changed(path: Path) -> Iterator[h5py.File]:
    """Yield the file for changes, which are taken back on any error."""
    with ExitStack() as stack:
        try:
            # On Windows a lock would keep out our own second handle as well.
            if sys.platform != "win32":
                stack.enter_context(locked(path))
        except BlockingIOError as error:
            raise InputFileError(path, "is open in another program.", "Close it there first.") from error
        raw = UndoFile(path)
        stack.callback(raw.close)
        file = None
        try:
            file = h5py.File(raw, "r+")
            yield file
            with disk_errors(path):
                file.close()
        except BaseException:
            raw.undo()
            if file is not None:
                # HDF5 still wants to write what it had in mind; that goes nowhere now.
                with suppress(Exception):
                    file.close()
            raise


def _growth(path: Path, file: h5py.File, name: str, data: Any) -> _Growth:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise InputFileError(
            path, f"holds no dataset {name}.", "Name one by its path, as h5dump -n lists it."
        )
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(place)[0] for place in range(plan.get_nfilters())]
    dtype = plain_dtype(dataset.dtype)
    if dataset.chunks is None or filters not in (_GZIP, _SHUFFLE_GZIP) or dtype is None:
        raise InputFileError(
            path,
            f"{name} cannot be appended to: it has no chunks, other filters than shuffle and gzip, or no "
            "plain numbers.",
            "Write the file again with nwbswitch.",
        )
    added = source_of(data, dtype, min_bytes=0)
    if added is None:
        raise ValueError(
            f"{name}: what is appended must be an array or a GenericDataChunkIterator of {dtype} with "
            f"one row or more, not {type(data).__name__} of {getattr(data, 'dtype', 'unknown type')}"
        )
    shape: tuple[int, ...] = dataset.shape
    if added.shape[1:] != shape[1:]:
        raise ValueError(f"{name} has the shape {shape}, what is appended {added.shape}")
    limit = dataset.maxshape[0]
    if limit is not None and shape[0] + added.shape[0] > limit:
        raise InputFileError(
            path, f"{name} is limited to {limit} rows.", "Write the file again with nwbswitch."
        )
    return _Growth(dataset, added, shape)


def _check_times(file: h5py.File, growths: Sequence[_Growth]) -> None:
    """Refuse to leave a time series with more samples than timestamps, or fewer."""

    def length(dataset: h5py.Dataset) -> int:
        return next((each.new_shape[0] for each in growths if each.dataset == dataset), dataset.shape[0])

    def check(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Group):
            return
        data, times = node.get("data"), node.get("timestamps")
        if not isinstance(data, h5py.Dataset) or not isinstance(times, h5py.Dataset):
            return
        if any(each.dataset in (data, times) for each in growths) and length(data) != length(times):
            raise ValueError(
                f"{name} would have {length(data)} samples and {length(times)} timestamps; append to both"
            )

    file.visititems(check)


def _report(growth: _Growth, target: Hdf5Target) -> DatasetReport:
    return DatasetReport(
        target.name,
        growth.new_shape,
        str(growth.dataset.dtype),
        target.chunks,
        growth.added.nbytes,
        sum(each.size for each in target.written),
    )
