"""HDF5 datasets with shuffle and gzip, written by chunks that were compressed outside HDF5, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from nwbswitch.converters.writing.chunk_codec import Array, codec, encoded
from nwbswitch.converters.writing.chunk_grid import Selection
from nwbswitch.converters.writing.disk_errors import disk_errors
from nwbswitch.schemas.errors import InputFileError

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """Where a chunk begins in its dataset, and size and CRC-32 of its bytes in the file."""

    offset: tuple[int, ...]
    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Hdf5Target:
    """A dataset with the filters gzip and perhaps shuffle.

    With ``verify`` every chunk is read back through HDF5's own filters, right after it was written, and
    compared byte by byte with the values that its source delivered.
    """

    path: Path
    dataset: h5py.Dataset
    verify: bool
    # Asking HDF5 for these in every thread would make the threads wait for each other.
    name: str
    chunks: tuple[int, ...]
    shuffle: bool
    written: list[StoredChunk] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, dataset: h5py.Dataset, *, verify: bool) -> Self:
        """Return the target that a dataset of a file is."""
        return cls(path, dataset, verify, str(dataset.name), tuple(dataset.chunks), bool(dataset.shuffle))

    def pack(self, part: Selection, values: Array) -> tuple[Array, bytes]:
        """Shuffle and compress."""
        return values, encoded(values, self.chunks, shuffle=self.shuffle)

    def store(self, part: Selection, packed: tuple[Array, bytes]) -> None:
        """Write one chunk and read it back."""
        values, stored = packed
        offset = tuple(each.start for each in part)
        with disk_errors(self.path):
            self.dataset.id.write_direct_chunk(offset, stored)
            if self.verify:
                found = np.empty(values.shape, values.dtype)
                self.dataset.read_direct(found, part)
                if not np.array_equal(_octets(found), _octets(values)):
                    raise _not_as_written(self.path, self.name, offset)
        self.written.append(StoredChunk(offset, len(stored), codec().crc32(stored)))


def compare_stored(path: Path, written: Mapping[str, Sequence[StoredChunk]]) -> None:
    """Compare the bytes of every chunk in the closed file with what was written to it.

    These bytes were decoded by HDF5 and found equal to the source when they were written. A CRC-32 misses
    an accidental change of a chunk once in 2**32 times, and none that is shorter than 33 bits.

    Raises
    ------
    InputFileError
        Naming the dataset and the chunk.
    """
    import h5py

    with h5py.File(path, "r") as file, path.open("rb") as stream:
        for name, chunks in written.items():
            dataset = file[name]
            for chunk in chunks:
                found = dataset.id.get_chunk_info_by_coord(chunk.offset)
                if found.filter_mask or found.size != chunk.size or found.byte_offset is None:
                    raise _not_as_written(path, name, chunk.offset)
                stream.seek(found.byte_offset)
                if codec().crc32(stream.read(found.size)) != chunk.crc32:
                    raise _not_as_written(path, name, chunk.offset)


def _octets(values: Array) -> Array:
    return values.reshape(-1).view(np.uint8)


def _not_as_written(path: Path, name: str, offset: tuple[int, ...]) -> InputFileError:
    return InputFileError(
        path,
        f"the chunk at {offset} of {name} reads differently from what was written.",
        "Memory or disk may be failing: try another disk.",
    )
