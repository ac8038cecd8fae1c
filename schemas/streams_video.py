"""Videos of the animal, as a study file describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from nwbswitch.schemas.stream_base import RowStream


class Video(RowStream):
    """A video that the NWB file refers to: .avi, .mp4, .m4v or .mov."""

    format: Literal["video"]
    path: Path | tuple[Path, ...] = Field(  # type: ignore[assignment]
        description="The file, or the files of one recording in their order, without gaps."
    )
    rate_hz: float | None = Field(
        None, gt=0, description="Frames per second; by default the times that the video states."
    )
    description: str = Field("", description="What the camera saw.")
    placing: Literal["link", "copy", "none"] = Field(
        "link",
        description="How the video comes beside the NWB file: as a link, as a copy, or not at all.",
    )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files in the order in which they were recorded."""
        return self.path if isinstance(self.path, tuple) else (self.path,)
