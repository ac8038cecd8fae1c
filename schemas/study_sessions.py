"""One recording session: settings of all levels laid over each other, placeholders filled, files found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.species import MOUSE, by_common_name, latin_name
from nwbswitch.schemas.study import Session
from nwbswitch.schemas.study_checks import (
    canonical_words,
    overlap_issues,
    resolved_epochs,
    tool_issues,
)
from nwbswitch.schemas.study_findings import findings, shown
from nwbswitch.schemas.study_positions import KeyPath, Places, place_of
from nwbswitch.schemas.study_streams import Finder, resolve_clocks, resolve_streams
from nwbswitch.schemas.substances import find_substance

FILLERS: dict[str, str] = {
    "subject.age": "P0D/",
    "subject.sex": "U",
    "start_time": "2000-01-01T00:00:00+00:00",
}
"""What stands in for a value that is not stated: an open age range, unknown sex, a marked date."""


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
    finder = Finder(surroundings.data_root, draft.names, places)
    found += resolve_clocks(value, finder)
    found += resolve_streams(value, finder, mouse=_is_mouse(value))
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
    return latin_name(species) == MOUSE


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
                ligand = find_substance(str(tool.get("ligand") or ""))
                if ligand is not None:
                    value[key][name]["ligand"] = ligand.name
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
    name = by_common_name(species) if isinstance(species, str) else None
    if name is not None:
        message = f"The species is {species!r}, expected its Latin name."
        remedy = f"Did you mean {name!r}?"
        place = place_of(places, ("subject", "species"))
        found.append(issue("unknown-word", message, place=place, remedy=remedy))
        value["subject"] = {**subject, "species": name}
    return found
