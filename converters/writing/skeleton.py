"""NWB files in which pynwb has written everything but the large data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.build import DatasetBuilder
from hdmf.data_utils import AbstractDataChunkIterator
from pynwb import NWBHDF5IO, NWBFile

from nwbswitch.converters.writing.chunk_codec import LEVEL
from nwbswitch.converters.writing.source import MIN_ARRAY_BYTES, Source, plain_dtype, source_of

_COMPOUND_NUMBERS = frozenset(
    ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
)
_SOURCE_FIELD = "_AbstractContainer__container_source"


class SkeletonIO(NWBHDF5IO):  # type: ignore[misc]
    """Writes an NWB file as pynwb does, but only allocates what can be filled chunk by chunk.

    Attributes
    ----------
    allocated : list of tuple
        Each empty dataset with its source.
    """

    def __init__(self, path: Path) -> None:
        """Make the file."""
        self.allocated: list[tuple[h5py.Dataset, Source]] = []
        super().__init__(str(path), "w")

    def write_dataset(self, parent: h5py.Group, builder: DatasetBuilder, **options: Any) -> None:
        """Write one dataset, or allocate it and remember its source."""
        data = builder.data
        source = None if self.get_written(builder) else source_of(data, builder.dtype)
        wrapper = _compressed(builder) if source is None else _allocation(source)
        if wrapper is None:
            super().write_dataset(parent, builder, **options)
            return
        builder["data"] = wrapper
        try:
            super().write_dataset(parent, builder, **options)
        finally:
            builder["data"] = data
        if source is not None:
            self.allocated.append((wrapper.dataset, source))


def _allocation(source: Source) -> H5DataIO:
    return H5DataIO(
        shape=source.shape,
        dtype=source.dtype,
        chunks=source.chunks,
        # A recording may go on later; in a chunked dataset this costs nothing.
        maxshape=(None, *source.shape[1:]),
        compression="gzip",
        compression_opts=LEVEL,
        shuffle=source.dtype.itemsize > 1,
    )


def _compressed(builder: DatasetBuilder) -> H5DataIO | None:
    """Return compression by HDF5 itself, for numbers that only pynwb can write; None for anything else."""
    data = builder.data
    if isinstance(builder.dtype, list):
        # Pixel masks and the like, which arrive as lists of rows.
        types = [each["dtype"] for each in builder.dtype]
        suits = (
            isinstance(data, list | np.ndarray)
            and all(isinstance(each, str) and each in _COMPOUND_NUMBERS for each in types)
            and len(data) * len(types) * 4 >= MIN_ARRAY_BYTES
        )
    elif isinstance(data, AbstractDataChunkIterator):
        # Of unknown length, or of a type that HDF5 has to convert.
        suits = data.dtype is not None and plain_dtype(data.dtype) is not None
    else:
        suits = isinstance(data, np.ndarray) and data.nbytes >= MIN_ARRAY_BYTES and data.dtype.kind in "biufc"
    return H5DataIO(data=data, compression="gzip", shuffle=True) if suits else None


@contextmanager
def unmarked(nwbfile: NWBFile) -> Iterator[None]:
    """Leave the objects of a file in memory as they were: pynwb notes in them where they were written.

    hdmf has no public way to take this back, and without it they could not be written a second time.
    """
    fresh = []
    todo: list[Any] = [nwbfile]
    while todo:
        container = todo.pop()
        todo.extend(container.children)
        if container.container_source is None:
            fresh.append(container)
    try:
        yield
    finally:
        for container in fresh:
            setattr(container, _SOURCE_FIELD, None)
