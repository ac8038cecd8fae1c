"""The file form of a study: what a lab writes, before tables are read and defaults are merged."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.genetic_tools import Actuator, Virus
from nwbswitch.schemas.stream_base import Imaging
from nwbswitch.schemas.streams import FORMATS
from nwbswitch.schemas.study import Archive, RawFile, Subject
from nwbswitch.schemas.study_clocks import Clock
from nwbswitch.schemas.substance import Substance


class _PartOf:
    """JSON Schema of a mapping with some of a model's fields; what is missing comes from a wider level."""

    def __init__(self, *models: type[BaseModel]) -> None:
        self.models = models

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        parts = [_optional(handler(model.__pydantic_core_schema__), handler) for model in self.models]
        return parts[0] if len(parts) == 1 else {"anyOf": parts}


def _optional(schema: JsonSchemaValue, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Return an object schema without required fields, where null may stand for 'take the default away'."""
    whole = handler.resolve_ref_schema(schema)
    fields = {
        name: each if "anyOf" in each else {"anyOf": [each, {"type": "null"}]}
        for name, each in whole["properties"].items()
    }
    return {**{key: whole[key] for key in whole if key != "required"}, "properties": fields}


PartialImaging = Annotated[dict[str, Any], _PartOf(Imaging)]
PartialClock = Annotated[dict[str, Any], _PartOf(Clock)]
PartialStream = Annotated[dict[str, Any], _PartOf(*FORMATS.values())]
PartialVirus = Annotated[dict[str, Any], _PartOf(Virus)]
PartialActuator = Annotated[dict[str, Any], _PartOf(Actuator)]
PartialSubject = Annotated[dict[str, Any], _PartOf(Subject)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class Settings(_Entry):
    """What a study, a subject and a session may each set; the narrower level wins, key by key.

    Lists replace lists; null takes a setting away. Paths may hold {subject_id}, {session_id} and any other
    column of the session table, and the wildcards of a shell; they must match exactly one file.
    """

    imaging: PartialImaging | None = Field(None, description="The microscope and what it looked at.")
    clocks: dict[str, PartialClock | None] | None = Field(None, description="Clocks by name.")
    streams: dict[str, PartialStream | None] | None = Field(None, description="Raw data by name.")
    epochs: tuple[Epoch, ...] | None = Field(None, description="Analysis windows.")
    viruses: dict[str, PartialVirus | None] | None = Field(None, description="Viral injections by name.")
    actuators: dict[str, PartialActuator | None] | None = Field(None, description="Actuators by name.")
    surgery: str | None = Field(None, description="Surgery and anaesthesia during it, as text.")
    archive: Archive | None = Field(
        None, description="What is written: raw movies, processed data, or both (the default)."
    )
    raw_file: RawFile | None = Field(
        None, description="Raw movies in the same file as the rest (the default), or in a separate one."
    )


class Defaults(Settings):
    """Settings of every session, unless the subject or the session says otherwise."""

    description: str | None = Field(None, description="What happens in a session.")
    notes: str | None = None


class SubjectEntry(Settings):
    """One animal, with settings for all its sessions."""

    subject_id: str = Field(
        description="Identifier, part of file names; no slash, space, underscore, colon or quote."
    )
    species: str | None = Field(None, description="Latin binomial, e.g. Mus musculus.")
    sex: str | None = Field(None, description="M, F, O or U.")
    age: str | None = Field(None, description="Age, ISO 8601 duration, e.g. P90D.")
    date_of_birth: str | None = None
    weight_g: float | None = Field(None, gt=0)
    genotype: str | None = None
    strain: str | None = None
    description: str | None = Field(None, description="Anything else about the animal.")


class LoggedAdministration(Administration):
    """One administration, or a regimen of several at equal intervals."""

    repeats: int = Field(1, ge=1, description="How often it was given.")
    every_h: float | None = Field(None, gt=0, description="Hours from one administration to the next.")


class SessionEntry(Defaults):
    """One recording session, with its own settings. Other columns may serve as names in paths."""

    model_config = ConfigDict(
        json_schema_extra={"additionalProperties": {"type": ["string", "number"]}},
    )

    session_id: str = Field(
        description="Identifier, part of file names; no slash, space, underscore, colon or quote."
    )
    subject_id: str = Field(description="The animal, as in subjects.")
    start_time: str | None = Field(None, description="ISO 8601; without an offset it is in timezone.")
    subject: PartialSubject | None = Field(None, description="What differs on the day, e.g. age, weight_g.")
    drug_log: tuple[LoggedAdministration, ...] | None = Field(
        None, description="Administrations in this session."
    )
    placeholders: tuple[str, ...] | None = Field(None, description="Fields without a stated value.")


class AdministrationEntry(LoggedAdministration):
    """One administration and the session it belongs to."""

    subject_id: str
    session_id: str


class StudyHeader(_Entry):
    """What is said once for the whole study."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", description="Short name; used as dataset name.")
    title: str
    description: str = ""
    institution: str = ""
    lab: str = ""
    experimenters: tuple[str, ...] = Field((), description="'Last, First'; written to files only if given.")
    related_publications: tuple[str, ...] = Field((), description="DOIs or URLs.")
    keywords: tuple[str, ...] = ()
    simulated: bool = Field(False, description="True when the data were made by a simulator.")


class StudyDocument(_Entry):
    """A study file of nwbswitch."""

    study: StudyHeader
    timezone: str = Field("", description="IANA name, e.g. Europe/Berlin, for start times without an offset.")
    data_root: str = Field(
        "",
        description="Folder that paths of streams are relative to and must stay in; the study file's folder "
        "if empty. ${NAME} and ${NAME:-default} stand for environment variables, here only.",
    )
    defaults: Defaults = Field(Defaults(), description="Settings of every session.")
    subjects: str | tuple[SubjectEntry, ...] = Field(
        description="A table (.csv, .xlsx, .xlsx#Sheet) with one animal per row, or a list."
    )
    sessions: str | tuple[SessionEntry, ...] = Field(
        description="A table with one recording session per row, or a list. Dotted columns reach inside, "
        "e.g. imaging.depth_um."
    )
    drug_log: str | tuple[AdministrationEntry, ...] = Field(
        (), description="A table with one administration per row, or a list."
    )
    substances: tuple[Substance, ...] = Field(
        (), description="Compounds of the lab that the vocabulary does not hold."
    )
    placeholders: tuple[str, ...] = Field(
        (), description="Fields whose source does not state a value, e.g. subject.age, start_time."
    )
