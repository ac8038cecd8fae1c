"""The same NWB file as a folder of Zarr arrays, for work on local disks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hdmf.build import DatasetBuilder
from hdmf.data_utils import AbstractDataChunkIterator

from nwbswitch.converters.writing.chunk_codec import Array
from nwbswitch.converters.writing.chunk_grid import Selection
from nwbswitch.converters.writing.chunk_writer import Progress, chunk_writer
from nwbswitch.converters.writing.disk_errors import disk_errors
from nwbswitch.converters.writing.report import DatasetReport
from nwbswitch.converters.writing.skeleton import unmarked
from nwbswitch.converters.writing.source import Source, source_of
from nwbswitch.schemas.errors import InputFileError, MissingExtraError

if TYPE_CHECKING:
    from pynwb import NWBFile


@dataclass(frozen=True, slots=True)
class ZarrTarget:
    """A Zarr array; its chunks are files, which several threads write at once."""

    array: Any
    path: Path
    verify: bool

    def pack(self, part: Selection, values: Array) -> None:
        """Write one chunk, and read it back."""
        with disk_errors(self.path):
            self.array[part] = values
            if self.verify:
                found = np.ascontiguousarray(self.array[part])
                if not np.array_equal(found.reshape(-1).view(np.uint8), values.reshape(-1).view(np.uint8)):
                    raise InputFileError(
                        self.path,
                        f"the chunk at {tuple(each.start for each in part)} of {self.array.name} reads "
                        "differently from what was written.",
                        "Memory or disk may be failing: try another disk.",
                    )

    def store(self, part: Selection, packed: None) -> None:
        """All is done."""


class _Allocation(AbstractDataChunkIterator):  # type: ignore[misc]
    """Shape, type and chunks of an array without any data: hdmf-zarr makes the array and leaves it empty."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __iter__(self) -> _Allocation:
        return self

    def __next__(self) -> Any:
        raise StopIteration

    def recommended_chunk_shape(self) -> tuple[int, ...]:
        return self.source.chunks

    def recommended_data_shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @property
    def maxshape(self) -> tuple[int, ...]:
        return self.source.shape


def write_zarr(
    nwbfile: NWBFile, path: Path, *, threads: int | None, verify: bool, progress: Progress | None
) -> tuple[DatasetReport, ...]:
    """Write an NWB file as Zarr; parameters and errors are those of `write_nwb`."""
    with disk_errors(path), unmarked(nwbfile), _opened(path) as (io, allocated):
        io.write(nwbfile)
    total_bytes = sum(source.nbytes for _, source in allocated)
    with chunk_writer(
        threads=threads,
        chunk_bytes=max((source.chunk_bytes for _, source in allocated), default=0),
        total_bytes=total_bytes,
        progress=progress,
    ) as writer:
        for array, source in allocated:
            writer.fill(ZarrTarget(array, path, verify), source)
    return tuple(
        DatasetReport(
            array.name, source.shape, str(source.dtype), source.chunks, source.nbytes, array.nbytes_stored
        )
        for array, source in allocated
    )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, list[tuple[Any, Source]]]]:
    """Yield an NWBZarrIO that only allocates large arrays, and the list of these with their sources."""
    try:
        import numcodecs
        from hdmf_zarr import NWBZarrIO
    except ImportError as error:
        raise MissingExtraError("hdmf-zarr", "zarr") from error
    allocated: list[tuple[Any, Source]] = []

    class SkeletonZarrIO(NWBZarrIO):  # type: ignore[misc]
        def write_dataset(self, parent: Any, builder: DatasetBuilder, **options: Any) -> Any:
            data = builder.data
            source = None if self.get_written(builder) else source_of(data, builder.dtype)
            if source is None:
                return super().write_dataset(parent, builder, **options)
            builder["data"] = _Allocation(source)
            try:
                array = super().write_dataset(parent, builder, **options)
            finally:
                builder["data"] = data
            allocated.append((array, source))
            return array

    io = SkeletonZarrIO(str(path), mode="w")
    # NWBZarrIO does not hand its argument object_codec_class on, and numcodecs refuses the default, pickle.
    io._ZarrIO__codec_cls = numcodecs.JSON
    try:
        yield io, allocated
    finally:
        io.close()
