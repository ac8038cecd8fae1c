"""Movies in TIFF files, as a study file describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nwbswitch.schemas.stream_base import MovieStream

PageMeaning = Literal["frames", "planes"]

_PLANE = "Number of the only plane to take from volumes, counted from 1; all of them by default."


class TiffMovie(MovieStream):
    """A movie in TIFF files, one page per image."""

    format: Literal["tiff_movie"]
    rate_hz: float = Field(gt=0, description="Frame (volume) rate, Hz; TIFF does not state one.")
    pages: PageMeaning = Field(
        "frames",
        description="frames: pages follow each other in time. planes: the pages of a file are the planes of "
        "one volume; with parts: continuous, one volume per file.",
    )
    channel: int | None = Field(
        None, ge=1, description="Number of the channel where a file holds several, counted from 1."
    )
    plane: int | None = Field(None, ge=1, description=_PLANE)


class ScanImageMovie(MovieStream):
    """A movie of ScanImage, 3.8 to 2023: one channel, of frames or volumes, whole or one region of interest."""

    format: Literal["scanimage"]
    channel: int | str | None = Field(
        None, description="Number or name of the saved channel; needed when several were saved."
    )
    plane: int | None = Field(None, ge=1, description=_PLANE)
    slice_frame: int | None = Field(
        None,
        ge=1,
        description="Which of several frames of each slice makes up the volumes, counted from 1.",
    )
    roi: int | str | None = Field(
        None, description="Number (from 1) or name of the region of interest; needed when there are several."
    )
    use_timestamps: bool = Field(
        True, description="Take the times of frames from the files where they state them."
    )
