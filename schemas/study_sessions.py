"""One recording session: settings of all levels laid over each other, placeholders filled, files found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.merge import merged
from nwbswitch.schemas.streams import FOLDER_FORMATS, FORMATS, Stream
from nwbswitch.schemas.streams_wheel import WheelCsv
from nwbswitch.schemas.study import Session
from nwbswitch.schemas.study_checks import (
    canonical_words,
    clock_issues,
    overlap_issues,
    repeated_signals,
    resolved_epochs,
    timing_issues,
    tool_issues,
    wheel_issues,
)
from nwbswitch.schemas.study_findings import findings, shown
from nwbswitch.schemas.study_paths import filled, links_out, matches
from nwbswitch.schemas.study_positions import KeyPath, Places, place_of

FILLERS: dict[str, str] = {
    "subject.age": "P0D/",
    "subject.sex": "U",
    "start_time": "2000-01-01T00:00:00+00:00",
}
"""What stands in for a value that is not stated: an open age range, unknown sex, a marked date."""

COMMON_NAMES = {
    "mouse": "Mus musculus",
    "rat": "Rattus norvegicus",
    "zebrafish": "Danio rerio",
    "human": "Homo sapiens",
    "marmoset": "Callithrix jacchus",
    "macaque": "Macaca mulatta",
}

_STREAM: TypeAdapter[Stream] = TypeAdapter(Stream)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sessions of a study share when they are resolved."""

    data_root: Path
    timezone: tzinfo | None


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings as text values, and where each was written."""

    value: dict[str, Any]
    places: Places


@dataclass(frozen=True, slots=True)
class Draft:
    """A session before it is checked: its settings, the names for path templates, drugs and placeholders.

    ``drug_log`` is None when mistakes, reported elsewhere, kept it from being read.
    """

    settings: Layer
    names: Mapping[str, str]
    drug_log: tuple[Administration, ...] | None
    placeholders: tuple[tuple[str, Place], ...]


def resolve_session(
    draft: Draft, surroundings: Surroundings, *, known_subject: bool = True
) -> tuple[Session | None, list[Issue]]:
    """Return the session, or None when something in it is wrong, and all that was found.

    With ``known_subject`` false the subject was reported already, and nothing more is said of it.
    """
    value, places = dict(draft.settings.value), draft.settings.places
    found = _fill_placeholders(value, draft)
    found += _resolve_times(value, places, surroundings.timezone)
    imaging = value.get("imaging")
    if isinstance(imaging, dict):
        value["imaging"], more = canonical_words(imaging, places, ("imaging",), mouse=_is_mouse(value))
        found += more
    found += _resolve_clocks(value, draft, surroundings.data_root)
    found += _resolve_streams(value, draft, surroundings.data_root)
    found += _resolve_epochs(value, draft)
    found += _resolve_tools(value, draft)
    if known_subject:
        found += _subject_issues(value, places)
    value["drug_log"] = draft.drug_log or ()
    value["placeholders"] = tuple(name for name, _ in draft.placeholders)
    try:
        return Session.model_validate(value), found
    except ValidationError as error:
        refused = findings(error, places)
        if not known_subject:
            refused = [each for each in refused if not each.message.startswith("subject")]
        return None, found + refused


def _is_mouse(value: Mapping[str, Any]) -> bool:
    """Return whether the subject is a house mouse, or whether its species is not known."""
    subject = value.get("subject")
    species = subject.get("species") if isinstance(subject, dict) else None
    if not isinstance(species, str):
        return True
    name = COMMON_NAMES.get(species.casefold(), species).casefold()
    return name.startswith("mus musculus") or name.rstrip("/").endswith("ncbitaxon_10090")


def _fill_placeholders(value: dict[str, Any], draft: Draft) -> list[Issue]:
    found = []
    known = [*FILLERS, *_paths(value)]
    for name, place in draft.placeholders:
        if name not in known:
            message = f"The placeholder {name!r} is not a field of this session."
            found.append(issue("unknown-word", message, place=place, remedy=nearest(name, known)))
            continue
        *outer, last = name.split(".")
        target = value
        for key in outer:
            target[key] = dict(target[key]) if isinstance(target.get(key), dict) else {}
            target = target[key]
        filler = FILLERS.get(name)
        if filler is not None and target.get(last) is None:
            target[last] = filler
            message = f"{name} is not stated by the source and was filled with {filler!r}."
        else:
            message = f"{name} is not stated by the source; {shown(target.get(last))} is assumed."
        found.append(issue("placeholder", message, place=place))
    return found


def _paths(value: object, prefix: str = "") -> list[str]:
    if not isinstance(value, dict):
        return []
    found = []
    for key, each in value.items():
        found += [f"{prefix}{key}", *_paths(each, f"{prefix}{key}.")]
    return found


def _resolve_times(value: dict[str, Any], places: Places, zone: tzinfo | None) -> list[Issue]:
    found: list[Issue] = []
    if value.get("start_time") is not None:
        value["start_time"], found = _time(value["start_time"], places, ("start_time",), zone)
    subject = value.get("subject")
    if isinstance(subject, dict) and subject.get("date_of_birth") is not None:
        birth, more = _time(subject["date_of_birth"], places, ("subject", "date_of_birth"), zone)
        value["subject"] = {**subject, "date_of_birth": birth}
        found += more
    return found


def _time(text: object, places: Places, path: KeyPath, zone: tzinfo | None) -> tuple[datetime, list[Issue]]:
    """Return a time with its UTC offset; a stand-in when there is an issue, which is then reported here."""
    stand_in = datetime.fromisoformat(FILLERS["start_time"])
    place, name = place_of(places, path), path[-1]
    remedy = "Write it as 2026-03-01T14:30:00+01:00."
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None:
        message = f"{name} is {shown(text)}, expected a date and time in ISO 8601."
        return stand_in, [issue("wrong-value", message, place=place, remedy=remedy)]
    if moment.tzinfo is not None:
        return moment, []
    if zone is None:
        message = f"{name} {text} has no UTC offset, and the study names no timezone."
        remedy = "Name one at the top of the study file, e.g. timezone: Europe/Berlin, or write the offset."
        return stand_in, [issue("wrong-value", message, place=place, remedy=remedy)]
    early, late = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
    if early.utcoffset() != late.utcoffset() and moment.time() != datetime.min.time():
        message = f"{name} {text} happens twice or never in {zone}, where clocks change then."
        return stand_in, [issue("wrong-value", message, place=place, remedy="Write the UTC offset.")]
    return early, []


def _resolve_clocks(value: dict[str, Any], draft: Draft, root: Path) -> list[Issue]:
    """Find the files that clocks name."""
    clocks = value.get("clocks")
    found: list[Issue] = []
    if isinstance(clocks, dict):
        resolved = {}
        for name, clock in clocks.items():
            resolved[name], more = with_files(clock, draft, root, ("clocks", name))
            found += more
        value["clocks"] = resolved
    return found


def _resolve_streams(value: dict[str, Any], draft: Draft, root: Path) -> list[Issue]:
    streams = value.get("streams")
    if not isinstance(streams, dict):
        return []
    found: list[Issue] = []
    clocks = value.get("clocks")
    names = list(clocks) if isinstance(clocks, dict) else []
    resolved = {}
    taken: set[tuple[bool, str]] = set()
    for name, stream in streams.items():
        path: KeyPath = ("streams", name)
        resolved[name] = stream
        if not isinstance(stream, dict):
            continue
        resolved[name], more = with_files(stream, draft, root, path)
        found += more
        if isinstance(stream.get("imaging"), dict):
            whole = merged(value.get("imaging") or {}, stream["imaging"])
            words, more = canonical_words(
                whole, draft.settings.places, (*path, "imaging"), mouse=_is_mouse(value)
            )
            resolved[name]["imaging"] = words
            found += more
        try:
            typed = _STREAM.validate_python(resolved[name])
        except ValidationError:
            continue
        found += clock_issues(typed.clock, names, draft.settings.places, (*path, "clock"))
        found += timing_issues(typed, name, streams, draft.settings.places, path)
        if isinstance(typed, WheelCsv):
            file = resolved[name]["path"] if isinstance(resolved[name]["path"], Path) else None
            found += wheel_issues(typed, file, draft.settings.places, path)
            found += repeated_signals(typed, taken, draft.settings.places, path)
    value["streams"] = resolved
    return found


def with_files(settings: Any, draft: Draft, root: Path, path: KeyPath) -> tuple[Any, list[Issue]]:
    """Return the settings of a stream or clock with every ``path`` in them found below ``root``.

    Whether a path is a file or a folder follows from the format; a wrong format is reported elsewhere.
    """
    if not isinstance(settings, dict):
        return settings, []
    resolved: dict[str, Any] = dict(settings)
    found: list[Issue] = []
    for key, value in settings.items():
        if isinstance(value, dict) and key != "imaging":
            resolved[key], more = with_files(value, draft, root, (*path, key))
            found += more
    stated = settings.get("path")
    listed = stated if isinstance(stated, list) else [stated]
    is_stream = len(path) == 2 and path[0] == "streams"
    known = not is_stream or settings.get("format") in tuple(FORMATS)
    if not known or not listed or not all(isinstance(each, str) for each in listed):
        return resolved, found
    folder = settings["format"] in FOLDER_FORMATS if is_stream else None
    several = is_stream and settings.get("parts", "single") != "single"
    place = place_of(draft.settings.places, (*path, "path"))
    files: list[Path] = []
    for each in listed:
        pattern, unknown = filled(str(each), draft.names, place)
        found += unknown
        if not unknown:
            hits, more = matches(root, pattern, place, folder=folder, several=several)
            files += hits
            found += more
    for file in files:
        found += links_out(root, file, place) if file.is_dir() else []
    if files:
        resolved["path"] = files if several or isinstance(stated, list) else files[0]
    return resolved, found


def _resolve_tools(value: dict[str, Any], draft: Draft) -> list[Issue]:
    """Write regions, cell types and ligands of viruses and actuators as the vocabulary spells them."""
    found: list[Issue] = []
    for key in ("viruses", "actuators"):
        tools = value.get(key)
        if not isinstance(tools, dict):
            continue
        value[key] = dict(tools)
        for name, tool in tools.items():
            if isinstance(tool, dict):
                value[key][name], more = canonical_words(
                    tool, draft.settings.places, (key, name), mouse=_is_mouse(value)
                )
                found += more
    return found + tool_issues(value, draft.settings.places)


def _resolve_epochs(value: dict[str, Any], draft: Draft) -> list[Issue]:
    epochs = value.get("epochs")
    if not isinstance(epochs, list) or draft.drug_log is None:
        return []
    try:
        typed = [Epoch.model_validate(each) for each in epochs]
    except ValidationError:
        return []
    resolved, found = resolved_epochs(typed, draft.drug_log, draft.settings.places, ("epochs",))
    if not found:
        value["epochs"] = resolved
        found = overlap_issues(resolved, draft.settings.places, ("epochs",))
    return found


def _subject_issues(value: dict[str, Any], places: Places) -> list[Issue]:
    subject = value.get("subject")
    if not isinstance(subject, dict):
        return []
    found = []
    if subject.get("age") is None and subject.get("date_of_birth") is None:
        message = f"Neither age nor date_of_birth of {subject.get('subject_id')} is given."
        remedy = "Give one, or list subject.age under placeholders if the source does not state it."
        found.append(issue("missing-value", message, place=place_of(places, ("subject",)), remedy=remedy))
    species = subject.get("species")
    if isinstance(species, str) and species.casefold() in COMMON_NAMES:
        message = f"The species is {species!r}, expected its Latin name."
        remedy = f"Did you mean {COMMON_NAMES[species.casefold()]!r}?"
        place = place_of(places, ("subject", "species"))
        found.append(issue("unknown-word", message, place=place, remedy=remedy))
        value["subject"] = {**subject, "species": COMMON_NAMES[species.casefold()]}
    return found
