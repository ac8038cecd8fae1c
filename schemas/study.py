"""A study as the project understands it: subjects, recording sessions and the streams of each session.

These models are the resolved form: defaults are merged, tables are read, templates are filled in. The file
a lab writes is read by `nwbswitch.schemas.study_file`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from pydantic import Field, field_validator

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.genetic_tools import Actuator, Virus
from nwbswitch.schemas.stream_base import Imaging, StudyModel
from nwbswitch.schemas.streams import Stream
from nwbswitch.schemas.study_clocks import Clock

Archive = Literal["raw", "processed", "both"]
RawFile = Literal["same", "separate"]

# What file names of Linux, macOS and Windows may hold, without the underscore that separates their parts.
_NAME = r"""^[^/\\:*?"<>|\s_\x00-\x1f\x7f]{1,100}$"""
_NAME_MEANING = "Identifier, part of file names; no slash, space, underscore, colon or quote."

_DURATION = r"P(?=\d|T\d)(\d+(\.\d+)?Y)?(\d+(\.\d+)?M)?(\d+(\.\d+)?W)?(\d+(\.\d+)?D)?" + (
    r"(T(?=\d)(\d+(\.\d+)?H)?(\d+(\.\d+)?M)?(\d+(\.\d+)?S)?)?"
)
_AGE = re.compile(rf"{_DURATION}(/({_DURATION})?)?")
_SPECIES = re.compile(r"[A-Z][a-z]+ [a-z]+( [a-z]+)?|https?://purl\.obolibrary\.org/obo/NCBITaxon_\d+/?")


class Subject(StudyModel):
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


class Session(StudyModel):
    """One recording session of one animal, everything resolved; paths are absolute."""

    session_id: str = Field(pattern=_NAME, description=_NAME_MEANING)
    subject: Subject
    start_time: datetime = Field(description="Start of the session with its UTC offset.")
    description: str
    imaging: Imaging | None = None
    clocks: dict[str, Clock] = Field(default_factory=dict)
    streams: dict[str, Stream] = Field(default_factory=dict)
    drug_log: tuple[Administration, ...] = ()
    viruses: dict[str, Virus] = Field(default_factory=dict)
    actuators: dict[str, Actuator] = Field(default_factory=dict)
    surgery: str = Field("", description="Surgery and anaesthesia during it, as text.")
    epochs: tuple[Epoch, ...] = ()
    archive: Archive = Field("both", description="What is written: raw movies, processed data, or both.")
    raw_file: RawFile = Field(
        "same", description="Whether raw movies go into the same file as the rest, or into a separate one."
    )
    placeholders: tuple[str, ...] = Field(
        (), description="Fields whose source does not state a value, e.g. subject.age."
    )
    notes: str = ""


class Study(StudyModel):
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
