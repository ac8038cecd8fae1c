"""Suite2p output, as a study file describes it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from nwbswitch.schemas.stream_base import RoiBasis, RoiStream


class Suite2pFolder(RoiStream):
    """A Suite2p output folder: the one that holds plane0, or a plane folder itself."""

    folder_patterns: ClassVar[tuple[str, ...]] = ("**/*.npy", "**/Fall.mat")

    format: Literal["suite2p"]
    plane: int | None = Field(None, ge=0, description="Which plane, where the folder holds several.")
    roi_basis: RoiBasis | None = Field(  # type: ignore[assignment]
        None,
        description="How ROIs were found: activity or anatomical; by default as the settings of Suite2p say.",
    )

    def files(self) -> tuple[Path, ...]:
        """Return the files of the plane; the combined view and other planes are not read."""
        return tuple(each for each in super().files() if self._is_read(each))

    def _is_read(self, file: Path) -> bool:
        if not file.is_relative_to(self.path):
            return True
        folders = file.relative_to(self.path).parts[:-1]
        other = self.plane is not None and any(
            each.startswith("plane") and each != f"plane{self.plane}" for each in folders
        )
        return "combined" not in folders and not other
