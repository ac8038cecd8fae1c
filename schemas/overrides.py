"""What a reanalyst states of recordings where their files are silent, unclear or wrong.

One YAML file for any number of recordings: ``defaults`` for all of them, and ``sources``, each with a
pattern of names and what holds there. Nothing in it changes a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nwbswitch.schemas.drug_checks import canonical_administration, check_administration
from nwbswitch.schemas.drug_log import Administration, ControlKind, Role, repeated
from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.issues import Issue, Place, has_errors, issue
from nwbswitch.schemas.merge import merged
from nwbswitch.schemas.roi_labels import known_cell_type
from nwbswitch.schemas.study_document import LoggedAdministration
from nwbswitch.schemas.study_findings import findings, shown, unknown_key
from nwbswitch.schemas.study_positions import Places, moved, place_of, read_yaml

FILL_IN = "FILL IN"
"""Stands in proposals for what nobody but the user knows; a file that still holds it is refused."""
STATE_IT = "State it in a file of overrides:"
"""Before the lines of a proposal."""
NO_NEUROPIL = "none"

StatedKind = Literal["raw", "dff", "demixed", "denoised", "deconvolved"]


class Orientation(StrEnum):
    """Which axis of a matrix of traces is time."""

    FRAMES_FIRST = "frames_first"
    ROIS_FIRST = "rois_first"


class TimeUnit(StrEnum):
    """What time stamps count."""

    S = "s"
    MS = "ms"
    US = "us"
    FRAMES = "frames"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)


class Activity(_Part):
    """Which traces are measured and how they are read: of one plane, or of all where none is named."""

    plane: str = Field("", description="Name or path of the plane segmentation; empty for all planes.")
    series: str = Field("", description="Path of the series that is measured in this plane.")
    kind: StatedKind | None = Field(None, description="What its numbers are.")
    neuropil: str | None = Field(None, description="Path of the neuropil's series, or none.")
    neuropil_subtracted: bool | None = Field(
        None, description="Whether neuropil is subtracted from the traces already."
    )
    orientation: Orientation | None = Field(None, description="Which axis of the matrix is time.")
    rate_hz: float | None = Field(
        None, gt=0, description="Frames per second: in place of what the file says, time stamps too."
    )
    start_s: float | None = Field(None, description="Time of the first frame, s on the session clock.")
    timestamps: str = Field(
        "", description="Path of other time stamps: a dataset, or a series that has them."
    )
    timestamps_unit: TimeUnit | None = Field(
        None, description="What the time stamps count; frames need rate_hz too."
    )
    leave_out: bool = Field(False, description="Do not measure this plane.")

    @field_validator("series", "neuropil", "timestamps")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        return path if not path or path == NO_NEUROPIL else "/" + path.strip("/")

    @model_validator(mode="after")
    def _one_meaning(self) -> Activity:
        if self.timestamps_unit is TimeUnit.FRAMES and self.rate_hz is None:
            raise ValueError("time stamps that count frames need rate_hz too")
        if self.timestamps_unit not in (None, TimeUnit.FRAMES) and self.rate_hz is not None:
            raise ValueError("give rate_hz in place of the time stamps, or timestamps_unit to read them")
        if self.leave_out and not (self.plane or self.series):
            raise ValueError("leave_out needs the plane, or a series of it")
        return self


class Choice(_Part):
    """Which rows of a table count, by one of its columns; without values or above, those that are true."""

    column: str = Field(min_length=1, description="Name of the column.")
    values: tuple[str, ...] = Field((), description="Rows with one of these values count.")
    above: float | None = Field(None, description="Rows with a number above this count.")

    @model_validator(mode="after")
    def _one_rule(self) -> Choice:
        if self.values and self.above is not None:
            raise ValueError("give values or above, not both")
        return self


class Control(_Part):
    """A session without a drug: what was done in its place, or nothing at all."""

    kind: ControlKind = Field(description="none when nothing was given; else saline, vehicle, sham, pseudo.")
    timestamp_s: float | None = Field(None, description="When, s on the session clock.")
    substance: str = Field("", description="What was given, e.g. the name of the vehicle.")

    @model_validator(mode="after")
    def _timed(self) -> Control:
        if (self.kind is ControlKind.NONE) != (self.timestamp_s is None):
            raise ValueError("a control has a timestamp_s, and kind none has not")
        return self


class Override(_Part):
    """What is stated of a recording; what is not given is as the file says."""

    dataset: str | None = Field(None, min_length=1, description="Name of the data set.")
    subject_id: str | None = Field(None, min_length=1, description="The animal.")
    session_id: str | None = Field(None, min_length=1, description="The recording session.")
    start_time: str | None = Field(None, description="Start of the session, ISO 8601 with its offset.")
    activity: tuple[Activity, ...] = Field(
        (), description="Which traces are measured, and how they are read."
    )
    windows: tuple[Epoch, ...] | None = Field(None, description="Analysis windows, in place of the file's.")
    administrations: tuple[LoggedAdministration, ...] | None = Field(
        None, description="What was given, in place of all that the file says."
    )
    control: Control | None = Field(None, description="A session without a drug.")
    drug_codes: dict[str, str] = Field(
        {}, description="The lab's own codes and the substances they stand for, e.g. RSK: ketamine."
    )
    cell_type: str | None = Field(None, description="Cell type of all neurons, from the vocabulary.")
    region: str | None = Field(None, min_length=1, description="Region of all neurons, Allen acronym.")
    layer: str | None = Field(None, min_length=1, description="Cortical layer of all neurons, e.g. 2/3.")
    depth_um: float | None = Field(None, description="Depth of all neurons below the pia, um.")
    indicator: str | None = Field(None, min_length=1, description="E.g. GCaMP6s.")
    accepted: Choice | None = Field(None, description="Which ROIs count as cells.")
    points: Choice | None = Field(None, description="Which rows of the table of units count.")
    points_unit_s: float | None = Field(
        None, gt=0, description="Seconds in one unit of the times of spikes, where they are not in s."
    )

    @field_validator("cell_type")
    @classmethod
    def _known(cls, word: str | None) -> str | None:
        return word and known_cell_type(word)

    @field_validator("start_time")
    @classmethod
    def _dated(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                raise ValueError("expected a date and time such as 2023-05-04T10:30:00+02:00") from None
            if moment.tzinfo is None:
                raise ValueError("expected an offset from UTC, such as 2023-05-04T10:30:00+02:00")
        return text

    @model_validator(mode="after")
    def _one_story(self) -> Override:
        if self.control is not None and self.administrations is not None:
            raise ValueError("give administrations or control, not both")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of all that is stated."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def stated_administrations(self) -> tuple[Administration, ...] | None:
        """Return what was given, in order of time and in the vocabulary's words; None where not stated."""
        rows: list[Administration] = []
        if self.control is not None:
            kind, timestamp_s = self.control.kind, self.control.timestamp_s
            if timestamp_s is None:
                return ()
            rows = [
                Administration(
                    timestamp_s=timestamp_s,
                    substance=self.control.substance or kind.value,
                    role=Role.VEHICLE,
                    control_kind=kind,
                )
            ]
        elif self.administrations is None:
            return None
        for each in self.administrations or ():
            rows += repeated(_plain(each), each.repeats, each.every_h)
        return tuple(sorted(map(canonical_administration, rows), key=lambda row: row.timestamp_s))


class SourceOverride(Override):
    """What is stated of the sources whose names match a pattern."""

    match: str = Field(
        min_length=1,
        description="Name of the source, or its end, with the wildcards * and ?, e.g. sub-12/*_ses-3*.nwb.",
    )


class OverridesDocument(_Part):
    """A file of overrides of nwbswitch."""

    defaults: Override = Field(Override(), description="What holds for all sources.")
    sources: tuple[SourceOverride, ...] = Field(
        (), description="What holds for some; of several entries that match a source, later ones win."
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    match: str
    stated: Mapping[str, Any]
    place: Place


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is stated of sources, each by its name. Make it with `load_overrides`."""

    defaults: Mapping[str, Any] = field(default_factory=dict)
    entries: tuple[_Entry, ...] = ()
    warnings: tuple[Issue, ...] = ()

    def for_source(self, name: str) -> Override:
        """Return what is stated of a source: defaults, then each entry that matches, key by key."""
        stated = dict(self.defaults)
        for entry in self.entries:
            if _matches(entry.match, name):
                other = {"control": "administrations", "administrations": "control"}
                gone = {other[key] for key in entry.stated if key in other}
                stated = merged({key: each for key, each in stated.items() if key not in gone}, entry.stated)
        return Override.model_validate(stated)

    def unmatched(self, names: Iterable[str]) -> list[Issue]:
        """Return a finding for each entry that matches none of the names."""
        known = list(names)
        example = f", such as {known[0]}" if known else ""
        return [
            issue(
                "override-unmatched",
                f"The pattern {entry.match!r} matches none of {len(known)} sources.",
                place=entry.place,
                remedy=f"Patterns are compared with the ends of names{example}.",
            )
            for entry in self.entries
            if not any(_matches(entry.match, name) for name in known)
        ]


def load_overrides(path: Path | str) -> Overrides:
    """Return the overrides that a YAML file states.

    Raises
    ------
    StudyError
        With all mistakes at once, each with its line.
    """
    file = Path(path)
    document = read_yaml(file)
    found = list(document.issues)
    value = document.value if document.value is not None else {}
    if not isinstance(value, dict):
        message = "The file does not hold a mapping with defaults and sources."
        raise StudyError([*found, issue("wrong-value", message, place=Place(file, 1))])
    known = OverridesDocument.model_fields
    places = document.places
    found += [unknown_key(key, place_of(places, (key,)), known) for key in value if key not in known]
    defaults = value.get("defaults") or {}
    _check(defaults, Override, moved(places, ("defaults",)), found)
    listed = value.get("sources") or []
    if not isinstance(listed, list):
        message = f"sources is {shown(listed)}, expected a list."
        raise StudyError([*found, issue("wrong-value", message, place=place_of(places, ("sources",)))])
    entries = []
    for position, each in enumerate(listed):
        own = moved(places, ("sources", position))
        if _check(each, SourceOverride, own, found):
            stated = {key: one for key, one in each.items() if key != "match"}
            entries.append(_Entry(each["match"], stated, place_of(own, ("match",))))
    if has_errors(found):
        raise StudyError(sorted(found, key=lambda each: each.place.line or 0))
    return Overrides(defaults, tuple(entries), tuple(found))


def _check(value: Any, model: type[Override], places: Places, found: list[Issue]) -> bool:
    """Return whether a part of the file is as its model wants; add what is not to ``found``."""
    stated = (
        {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value
    )
    try:
        override = model.model_validate(stated)
    except ValidationError as error:
        found += findings(error, places, root=model)
        return False
    for position, row in enumerate(override.administrations or ()):
        try:
            repeated(_plain(row), row.repeats, row.every_h)
        except ValueError as error:
            place = place_of(places, ("administrations", position))
            found.append(issue("wrong-value", f"{error}.", place=place))
        for each in check_administration(_plain(row), Place()):
            name = each.place.item.rpartition(".")[2]
            place = place_of(places, ("administrations", position, name))
            found.append(issue(each.code, each.message, place=place, remedy=each.remedy))
    return True


def _plain(row: LoggedAdministration) -> Administration:
    return Administration(**row.model_dump(exclude={"repeats", "every_h"}))


def _matches(pattern: str, name: str) -> bool:
    """Return whether a pattern fits the end of a name; no wildcard reaches beyond its folder."""
    wanted, parts = pattern.split("/"), name.split("/")
    ends = parts[-len(wanted) :]
    return len(ends) == len(wanted) and all(map(fnmatchcase, ends, wanted))


def proposal(name: str, stated: Mapping[str, Any]) -> str:
    """Return an entry for one source as YAML, to be completed and pasted into a file of overrides."""
    import glob

    import yaml

    entry = {"match": glob.escape(name.rpartition("/")[2] or name), **stated}
    text = yaml.safe_dump({"sources": [entry]}, sort_keys=False, default_flow_style=None, width=100)
    return f"{STATE_IT}\n{text}".rstrip("\n")
