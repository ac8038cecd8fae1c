"""How large NWB files will be, from samples of their data, and whether they fit on the disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.converters.writing.chunk_codec import encoded
from nwbswitch.converters.writing.skeleton import SkeletonIO
from nwbswitch.converters.writing.source import Source
from nwbswitch.schemas.progress import readable_bytes

if TYPE_CHECKING:
    from pynwb import NWBFile

# Chunks of 4 MB, spread over the recording: brightness and noise change over minutes.
SAMPLED_CHUNKS = 12
# What HDF5's index keeps for each chunk: address, size and offsets.
_INDEX_BYTES = 64
# Samples tell the size within 20 %; only what does not fit even so is refused.
DOUBT = 0.8


def estimated_bytes(nwbfile: NWBFile) -> int:
    """Return about how large the file will be: all of its metadata, and a sample of its large data.

    Datasets of up to `SAMPLED_CHUNKS` chunks are compressed whole, of others so many chunks spread evenly.
    """
    with TemporaryDirectory(prefix="nwbswitch-") as folder:
        path = Path(folder) / "skeleton.nwb"
        io = SkeletonIO(path)
        try:
            io.write(nwbfile)
            data = sum(
                _stored_bytes(source, shuffle=bool(dataset.shuffle)) for dataset, source in io.allocated
            )
        finally:
            io.close()
        return data + path.stat().st_size


def _stored_bytes(source: Source, *, shuffle: bool) -> int:
    grid = [-(-length // chunk) for length, chunk in zip(source.shape, source.chunks, strict=True)]
    n_chunks = math.prod(grid)
    n_sampled = min(n_chunks, SAMPLED_CHUNKS)
    sizes = []
    for number in range(n_sampled):
        # The middle one of as many equal parts as there are samples.
        index = (2 * number + 1) * n_chunks // (2 * n_sampled)
        values = np.ascontiguousarray(source.read(_chunk(index, grid, source)), source.dtype)
        sizes.append(len(encoded(values, source.chunks, shuffle=shuffle)))
    return round(sum(sizes) / n_sampled * n_chunks) + _INDEX_BYTES * n_chunks


def _chunk(index: int, grid: list[int], source: Source) -> tuple[slice, ...]:
    place = []
    for length in reversed(grid):
        index, along = divmod(index, length)
        place.append(along)
    return tuple(
        slice(along * chunk, min((along + 1) * chunk, length))
        for along, chunk, length in zip(reversed(place), source.chunks, source.shape, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Space:
    """What a conversion reads and about what it writes, and the room there is, in bytes."""

    input_bytes: int
    output_bytes: int
    replaced_bytes: int
    free_bytes: int

    @property
    def short(self) -> bool:
        """Whether the files will clearly not fit."""
        return DOUBT * self.output_bytes - self.replaced_bytes > self.free_bytes

    def as_dict(self) -> dict[str, int | bool]:
        """Return the numbers as plain JSON values."""
        return {
            "input_bytes": self.input_bytes,
            "output_bytes": self.output_bytes,
            "replaced_bytes": self.replaced_bytes,
            "free_bytes": self.free_bytes,
            "short": self.short,
        }

    def __str__(self) -> str:
        replaces = f", replacing {readable_bytes(self.replaced_bytes)}" if self.replaced_bytes else ""
        return (
            f"{readable_bytes(self.input_bytes)} to read, about {readable_bytes(self.output_bytes)} to write"
            f"{replaces} (an estimate from samples of the data); {readable_bytes(self.free_bytes)} free"
        )
