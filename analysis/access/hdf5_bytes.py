"""HDF5 files over any bytes, checked as those on disks are before anything is read from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from nwbswitch.analysis.access.byte_source import ByteSource
from nwbswitch.analysis.access.local_bytes import LocalBytes
from nwbswitch.analysis.access.range_file import RangeFile
from nwbswitch.schemas.hdf5_guard import open_hdf5, open_hdf5_stream

if TYPE_CHECKING:
    import h5py


@contextmanager
def open_hdf5_bytes(source: ByteSource) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading after checking it as `nwbswitch.schemas.hdf5_guard.check_hdf5` does.

    What describes the file is read, samples are not. h5py lets one thread of a process read at a time, and
    waiting for a server counts as reading: to read several far files at once, use processes.

    Raises
    ------
    UnsafeFileError
        For what could read other files or exhaust memory.
    InputFileError
        When it is no HDF5 file, is damaged, or its bytes cannot be had; the latter also when the block that
        used the file took no notice.
    """
    with watched_hdf5(source) as (handle, _):
        yield handle


@contextmanager
def watched_hdf5(source: ByteSource) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Open as `open_hdf5_bytes` does; yield the file, and what raises when one of its reads has failed.

    The HDF5 library takes some failed reads for an absent object: what was read through it is only to be
    believed after that.
    """
    if isinstance(source, LocalBytes):
        with open_hdf5(source.path) as handle:
            source.check_unchanged()
            yield handle, source.check_unchanged
        source.check_unchanged()
        return
    stream = RangeFile(source)
    opened = open_hdf5_stream(cast(BinaryIO, stream), name=source.name, size=source.size, prefetch=stream)
    try:
        with opened as handle:
            yield handle, stream.check
    except Exception:
        stream.check()
        raise
    stream.check()
