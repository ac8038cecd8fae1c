"""What a writer says of its work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """One dataset that was written chunk by chunk.

    Attributes
    ----------
    name : str
        Path inside the file.
    source_bytes, stored_bytes : int
        Size before and after compression.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    source_bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class WriteReport:
    """A file that was written, or added to.

    Attributes
    ----------
    datasets : tuple of DatasetReport
        Those written chunk by chunk; pynwb wrote all others.
    codec : str
        "isa-l", "zlib" (where the package isal is missing) or "zarr".
    verified : bool
        Whether all of ``datasets`` was read back and found equal to its source.
    seconds : float
        Wall time.
    """

    path: Path
    datasets: tuple[DatasetReport, ...]
    codec: str
    verified: bool
    seconds: float

    @property
    def source_bytes(self) -> int:
        """Size of ``datasets`` before compression."""
        return sum(each.source_bytes for each in self.datasets)

    @property
    def stored_bytes(self) -> int:
        """Size of ``datasets`` as stored."""
        return sum(each.stored_bytes for each in self.datasets)
