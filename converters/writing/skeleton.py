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
from hdmf.data_utils import AbstractDataChunkIterator, GenericDataChunkIterator
from pynwb import NWBHDF5IO, NWBFile

from nwbswitch.converters.writing.chunk_codec import LEVEL
from nwbswitch.converters.writing.source import MIN_ARRAY_BYTES, Source, plain_dtype, source_of

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
    if isinstance(data, GenericDataChunkIterator):
        # Empty, or of a type that HDF5 has to convert.
        suits = plain_dtype(data.dtype) is not None and 0 not in data.maxshape
    elif isinstance(data, AbstractDataChunkIterator):
        suits = data.dtype is not None and plain_dtype(data.dtype) is not None
    else:
        fields = builder.dtype if isinstance(builder.dtype, list) else []
        suits = (
            isinstance(data, np.ndarray)
            and data.ndim > 0
            and data.nbytes >= MIN_ARRAY_BYTES
            and not data.dtype.hasobject
            and all(isinstance(each["dtype"], str) and each["dtype"] != "object" for each in fields)
            and (bool(fields) or plain_dtype(data.dtype) is not None)
        )
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
