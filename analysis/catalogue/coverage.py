"""What was looked into for an answer and what was not: nothing found is no proof that nothing is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nwbswitch.analysis.catalogue.scans import Plan


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far the answer reaches."""

    archive: str
    """Address of the archive."""
    listed_at: str
    """When its dandisets were listed, ISO 8601; empty for never."""
    n_dandisets: int
    """In the catalogue."""
    n_passing: int
    """Of them, those that may have what is asked for beside the drug."""
    n_looked_into: int
    """Of them, those whose files were looked into."""
    n_undescribed: int
    """Dandisets that could not be looked at, since the archive did not answer."""
    n_unlisted: int
    """Versions whose files could not be listed as they are now."""
    n_files: int
    """NWB files that may have what is asked for beside the drug."""
    n_read: int
    n_refused: int
    n_zarr: int
    waiting: Plan
    """Files that are still to be read."""
    unstated: tuple[tuple[str, int], ...]
    """What is not stated, and by how many files that were left out for it."""
    named_otherwise: tuple[tuple[str, int], ...]
    """Why files name the drug without it being given in the recording session, and how many do."""

    @property
    def n_silent(self) -> int:
        """Dandisets that pass and whose texts do not name the drug: their files were not looked into."""
        return self.n_passing - self.n_looked_into

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        counts = {"unstated": dict(self.unstated), "named_otherwise": dict(self.named_otherwise)}
        return {**asdict(self), "n_silent": self.n_silent, **counts}
