"""A study as the project understands it: subjects, recording sessions and the streams of each session.

These models are the resolved form: defaults are merged, tables are read, templates are filled in. The file
a lab writes is read by `nwbswitch.schemas.study_file`.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.epochs import Epoch

RoiBasis = Literal["activity", "anatomical", "unknown"]
SESSION_CLOCK = "session"

# What file names of Linux, macOS and Windows may hold, without the underscore that separates their parts.
_NAME = r"""^[^/\\:*?"<>|\s_\x00-\x1f\x7f]{1,100}$"""
_NAME_MEANING = "Identifier, part of file names; no slash, space, underscore, colon or quote."

_DURATION = r"P(?=\d|T\d)(\d+(\.\d+)?Y)?(\d+(\.\d+)?M)?(\d+(\.\d+)?W)?(\d+(\.\d+)?D)?" + (
    r"(T(?=\d)(\d+(\.\d+)?H)?(\d+(\.\d+)?M)?(\d+(\.\d+)?S)?)?"
)
_AGE = re.compile(rf"{_DURATION}(/({_DURATION})?)?")
_SPECIES = re.compile(r"[A-Z][a-z]+ [a-z]+( [a-z]+)?|https?://purl\.obolibrary\.org/obo/NCBITaxon_\d+/?")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Clock(_Model):
    """A clock of one acquisition system: session time = own time + offset_s."""

    offset_s: float = Field(0.0, description="Session time at which this clock reads zero, s.")


class TiffMovie(_Model):
    """A single-plane movie in one TIFF file, one page per frame."""

    format: Literal["tiff_movie"]
    path: Path
    clock: str = SESSION_CLOCK
    rate_hz: float = Field(gt=0, description="Frame rate, Hz; TIFF does not state one.")


class Suite2pFolder(_Model):
    """A Suite2p output folder: the one that holds plane0, or a plane folder itself."""

    format: Literal["suite2p"]
    path: Path
    clock: str = SESSION_CLOCK
    rate_hz: float | None = Field(
        None, gt=0, description="Frame rate, Hz, when ops.npy states none; must agree with fs where it does."
    )
    roi_basis: RoiBasis = Field("activity", description="How ROIs were found: activity or anatomical.")


class Signal(_Model):
    """One column of a behaviour table."""

    column: str
    quantity: Literal["speed", "position", "distance"] = "speed"
    unit: str = Field(description="UCUM unit, e.g. cm/s; 'n/a' if the source does not state one.")
    description: str = ""


class WheelCsv(_Model):
    """Treadmill or wheel signals in a CSV file, with a time column or a constant row rate."""

    format: Literal["wheel_csv"]
    path: Path
    clock: str = SESSION_CLOCK
    time_column: str | None = Field(None, description="Column with the time in s on this stream's clock.")
    rate_hz: float | None = Field(None, gt=0, description="Row rate, Hz, when there is no time column.")
    signals: tuple[Signal, ...] = Field(min_length=1)


Stream = Annotated[TiffMovie | Suite2pFolder | WheelCsv, Field(discriminator="format")]


class Imaging(_Model):
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


class Subject(_Model):
    """One animal."""

    subject_id: str = Field(pattern=_NAME, description=_NAME_MEANING)
    species: str = Field(description="Latin binomial, e.g. Mus musculus.")
    sex: Literal["M", "F", "O", "U"]
    age: str | None = Field(
        None, description="Age at the session, ISO 8601 duration, e.g. P90D, or range, e.g. P80D/P100D."
    )
    date_of_birth: datetime | None = None
    weight_g: float | None = Field(None, gt=0)
    genotype: str = ""
    strain: str = ""
    description: str = ""

    @field_validator("age")
    @classmethod
    def _iso_duration(cls, age: str | None) -> str | None:
        if age is not None and not _AGE.fullmatch(age):
            raise ValueError("expected an ISO 8601 duration, e.g. P90D, or a range, e.g. P80D/P100D")
        return age

    @field_validator("species")
    @classmethod
    def _binomial(cls, species: str) -> str:
        if not _SPECIES.fullmatch(species):
            raise ValueError("expected a Latin binomial, e.g. Mus musculus, or an NCBI Taxonomy address")
        return species


class Session(_Model):
    """One recording session of one animal, everything resolved; paths are absolute."""

    session_id: str = Field(pattern=_NAME, description=_NAME_MEANING)
    subject: Subject
    start_time: datetime = Field(description="Start of the session with its UTC offset.")
    description: str
    imaging: Imaging | None = None
    clocks: dict[str, Clock] = Field(default_factory=dict)
    streams: dict[str, Stream] = Field(default_factory=dict)
    drug_log: tuple[Administration, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    placeholders: tuple[str, ...] = Field(
        (), description="Fields whose source does not state a value, e.g. subject.age."
    )
    notes: str = ""


class Study(_Model):
    """A study: what all its sessions share, and the sessions."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", description="Short name; used as dataset name.")
    title: str
    description: str = ""
    institution: str = ""
    lab: str = ""
    experimenters: tuple[str, ...] = Field((), description="'Last, First'; written to files only if given.")
    related_publications: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    simulated: bool = Field(False, description="True when the data were made by a simulator.")
    sessions: tuple[Session, ...] = Field(min_length=1)
