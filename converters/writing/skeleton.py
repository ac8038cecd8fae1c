"""An NWB file in which pynwb has written everything but the large data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.build import DatasetBuilder
from pynwb import NWBHDF5IO

from nwbswitch.converters.writing.chunk_codec import LEVEL
from nwbswitch.converters.writing.source import Source, source_of


class SkeletonIO(NWBHDF5IO):  # type: ignore[misc]
    """Writes an NWB file as pynwb does, but only allocates what can be filled chunk by chunk.

    Attributes
    ----------
    allocated : list of tuple
        Each empty dataset with its source.
    """

    def __init__(self, path: Path) -> None:
        """Make the file."""
        super().__init__(path, "w")
        self.allocated: list[tuple[h5py.Dataset, Source]] = []

    def write_dataset(self, parent: h5py.Group, builder: DatasetBuilder, **options: Any) -> None:
        """Write one dataset, or allocate it and remember its source."""
        data = builder.data
        source = source_of(data, builder.dtype)
        if source is None or self.get_written(builder):
            super().write_dataset(parent, builder, **options)
            return
        wrapper = H5DataIO(
            shape=source.shape,
            dtype=source.dtype,
            chunks=source.chunks,
            # A recording may go on later; with chunks this costs nothing.
            maxshape=(None, *source.shape[1:]),
            compression="gzip",
            compression_opts=LEVEL,
            shuffle=source.dtype.itemsize > 1,
        )
        builder["data"] = wrapper
        try:
            super().write_dataset(parent, builder, **options)
        finally:
            builder["data"] = data
        self.allocated.append((wrapper.dataset, source))
