"""Movies in TIFF files, as a study file describes them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from nwbswitch.schemas.ome_files import ome_files
from nwbswitch.schemas.stream_base import MovieStream

PageMeaning = Literal["frames", "planes"]

_PLANE = "Number of the only plane to take from volumes, counted from 1; all of them by default."

_TIMESTAMPS = "Take the times of frames from the files where they state them."


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
    photons: Literal[1, 2] = Field(2, description="1 for a one-photon movie, e.g. of a miniscope.")


class ScanImageMovie(MovieStream):
    """A movie of ScanImage, 3.8 to 2023: one channel, of frames or volumes, whole or one region."""

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
    use_timestamps: bool = Field(True, description=_TIMESTAMPS)


class OmeTiffMovie(MovieStream):
    """A movie in OME-TIFF, also of Micro-Manager: one channel, of frames or volumes."""

    format: Literal["ome_tiff"]
    channel: int | str | None = Field(
        None, description="Number (from 1) or name of the channel; needed when there are several."
    )
    plane: int | None = Field(None, ge=1, description=_PLANE)
    image: int | str | None = Field(
        None,
        description="Number (from 1) or name of the image, e.g. a position; needed when there are several.",
    )
    use_timestamps: bool = Field(True, description=_TIMESTAMPS)

    def files(self) -> tuple[Path, ...]:
        """Return the files that are named, and those that belong to their sets."""
        sets = (each for path in self.paths for each in ome_files(path))
        return tuple(dict.fromkeys((*super().files(), *sets)))


class BrukerTSeries(MovieStream):
    """A Prairie View TSeries: the folder with its XML and TIFF files."""

    folder_patterns: ClassVar[tuple[str, ...]] = ("*.xml", "*.env", "*.tif", "*.tiff")

    format: Literal["bruker"]
    channel: int | str | None = Field(
        None, description="Number or name of the channel, as the XML has it; needed when there are several."
    )
    plane: int | None = Field(None, ge=1, description=_PLANE)
    use_timestamps: bool = Field(True, description=_TIMESTAMPS)


class ThorMovie(MovieStream):
    """A ThorImage recording: the folder with its Experiment.xml, and TIFF files or a raw file."""

    folder_patterns: ClassVar[tuple[str, ...]] = ("Experiment.xml", "*.tif", "*.tiff", "*.raw")

    format: Literal["thor"]
    channel: int | str | None = Field(
        None,
        description="Name, e.g. ChanA, or number (from 1) of the channel; needed when there are several.",
    )
    plane: int | None = Field(None, ge=1, description=_PLANE)
    source: Literal["tiff", "raw"] | None = Field(
        None, description="Which files to read where a folder holds the recording as TIFF and as raw file."
    )
