"""What every stream of a recording session states: where it is, and how its samples come to their times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nwbswitch.schemas.roi_labels import CellTypes, Tracking
from nwbswitch.schemas.study_clocks import SESSION_CLOCK, FrameTimes
from nwbswitch.schemas.whole_numbers import FirstNumber

RoiBasis = Literal["activity", "anatomical", "unknown"]
Parts = Literal["single", "continuous", "runs"]


class StudyModel(BaseModel):
    """A part of a study; nothing may be added or changed, and no number may be infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Imaging(StudyModel):
    """The microscope and what it looked at."""

    device: str = "two-photon microscope"
    device_description: str = ""
    indicator: str = Field(description="Calcium indicator, e.g. GCaMP6s.")
    excitation_lambda_nm: float = Field(gt=0)
    emission_lambda_nm: float = Field(gt=0)
    region: str = Field(description="Allen Mouse Brain Atlas acronym, e.g. RSPd; 'unknown' if not stated.")
    depth_um: float | None = Field(None, ge=0, description="Depth below the pia, um.")
    pixel_size_um: tuple[float, float] | None = Field(None, description="Pixel size (x, y), um.")
    cell_type: str = Field("unknown", description="Cell type of the ROIs, from the vocabulary.")
    description: str = ""


class StreamBase(StudyModel):
    """One raw data stream of a recording session."""

    folder_patterns: ClassVar[tuple[str, ...]] = ("**/*",)
    """What is read of a stream whose path is a folder."""

    path: Path
    clock: str = Field(SESSION_CLOCK, description="Clock that the times of this stream count on.")
    start_s: float = Field(
        0.0,
        description="Time of the first sample on its clock, s; where samples have times of their own, the "
        "time of their zero.",
    )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The file or folder of the stream, or its files where there are several."""
        return (self.path,)

    def files(self) -> tuple[Path, ...]:
        """Return every file that the stream is read from, in natural order of names."""
        found: dict[Path, None] = {}
        for path in _paths(self):
            if path.is_dir():
                below = (each for pattern in self.folder_patterns for each in path.glob(pattern))
                found |= dict.fromkeys(sorted((each for each in below if each.is_file()), key=natural_order))
            else:
                found[path] = None
        return tuple(found)


def natural_order(path: Path | str) -> tuple[tuple[int, int | str], ...]:
    """Return a key that sorts run_2 before run_10."""
    parts = re.split(r"(\d+)", str(path))
    return tuple((0, int(each)) if each.isdecimal() else (1, each) for each in parts)


def _paths(model: BaseModel) -> Iterator[Path]:
    """Yield the paths of a stream and of the files it names besides, e.g. of pulses."""
    for name in type(model).model_fields:
        value: Any = getattr(model, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Path):
                yield each
            elif isinstance(each, BaseModel):
                yield from _paths(each)


class RowStream(StreamBase):
    """A stream whose samples may have pulses of their own, or be the frames of another stream."""

    frame_times: FrameTimes | None = Field(
        None,
        description="Pulses that mark the samples of this stream, e.g. the frame clock of the microscope.",
    )

    timing_of: str | None = Field(
        None, description="Stream whose frames are the samples of this one, in the same number."
    )


class TableStream(RowStream):
    """A stream of rows, each of which may name the imaging frame during which it was taken."""

    frame_column: str | None = Field(
        None, description="Column with the number of the imaging frame of each row, of the stream timing_of."
    )
    first_frame: FirstNumber = Field(0, description="Number of the first frame in frame_column.")

    @model_validator(mode="after")
    def _counts_frames_of_something(self) -> TableStream:
        if self.frame_column is not None and self.timing_of is None:
            raise ValueError("frame_column needs timing_of, the stream whose frames it counts")
        return self


class ImagingStream(RowStream):
    """A stream of one imaging plane."""

    rate_hz: float | None = Field(
        None, gt=0, description="Frame rate, Hz, when the files state none; must agree where they do."
    )
    imaging: Imaging | None = Field(
        None, description="What differs from the session's imaging, e.g. depth_um of a second plane."
    )


class MovieStream(ImagingStream):
    """A movie in one file, or in several that follow each other."""

    path: Path | tuple[Path, ...]  # type: ignore[assignment]
    parts: Parts = Field(
        "single",
        description="single: one file. continuous: several files of one acquisition, in natural order of "
        "their names, without gaps. runs: one file per run, with gaps between them.",
    )
    part_start_s: tuple[float, ...] = Field(
        (), description="Start of each run on the stream's clock, s, when the files do not state them."
    )

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files in the order in which they were taken."""
        return self.path if isinstance(self.path, tuple) else (self.path,)


class RoiStream(ImagingStream):
    """Regions of interest and their traces, of one imaging plane."""

    roi_basis: RoiBasis = Field("activity", description="How ROIs were found: activity or anatomical.")
    cell_types: CellTypes | None = Field(
        None, description="Cell type of each ROI, with the evidence; by default that of imaging."
    )
    tracking: Tracking | None = Field(
        None, description="Identity of each ROI across the recording sessions of the animal."
    )
