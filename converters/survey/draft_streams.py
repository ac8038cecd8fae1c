"""The streams of a first study file: recordings that are alike in all sessions, under one path."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.survey.probes import ASSUMED_RATE_HZ, Probe
from nwbswitch.converters.survey.sessions import GuessedSession
from nwbswitch.converters.survey.sightings import Sighting
from nwbswitch.schemas.issues import Place
from nwbswitch.schemas.streams import FOLDER_FORMATS
from nwbswitch.schemas.study_paths import filled, matches

NAMES = {Kind.MOVIE: "movie", Kind.ROIS: "cells", Kind.BEHAVIOR: "pose", Kind.IMAGE: "camera"}
OWN_NAMES = {"wheel_csv": "treadmill", "bpod_encoder": "wheel", "medpc": "events", "bpod": "task"}
# Keys that tell recordings of one file apart, and so belong to the name of the stream.
_TELLING = {"plane": "plane", "track": "", "individual": ""}
_DIGITS = re.compile(r"\d+")
_NAME = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class DraftStream:
    """One stream as it will stand under ``defaults``, and which sessions have it."""

    name: str
    format: str
    paths: tuple[str, ...]
    """Templates below the data root, several where no pattern tells the files from others."""
    keys: Mapping[str, Any]
    several: bool
    sessions: frozenset[str]
    """Keys of the sessions that have it."""
    assumed_rate_hz: float | None
    """The rate of the traces or a usual one, where the files state none."""
    problem: str
    """Why it cannot be opened as it is; empty when it can."""


@dataclass(frozen=True, slots=True)
class _Member:
    session: GuessedSession
    sighting: Sighting
    template: str
    """Its path, with the names of its session in braces."""


def draft_streams(
    root: Path, sessions: Sequence[GuessedSession], probes: Mapping[Path, Probe]
) -> list[DraftStream]:
    """Return the streams of all sessions: recordings of the same format and place in their session.

    Numbers in file names may differ between sessions, and within one when they are parts of a movie. A
    pattern stands for them only if it finds exactly the recordings that are meant.
    """
    groups: dict[tuple[str, ...], list[_Member]] = {}
    for session in sessions:
        for sighting in session.sightings:
            seen = probes[sighting.path]
            template = _template(session, sighting.path)
            keys = json.dumps(sighting.keys, sort_keys=True)
            alike = (sighting.format, _pattern(template), keys, seen.frame, str(bool(seen.problem)))
            groups.setdefault(alike, []).append(_Member(session, sighting, template))
    used: dict[str, int] = {}
    streams = []
    for group in groups.values():
        for paths, members in _with_paths(root, group):
            name = _stream_name(members[0].sighting)
            used[name] = used.get(name, 0) + 1
            streams.append(
                DraftStream(
                    name=name if used[name] == 1 else f"{name}_{used[name]}",
                    format=members[0].sighting.format,
                    paths=paths,
                    keys=members[0].sighting.keys,
                    several=len(members) > len({each.session.key for each in members}),
                    sessions=frozenset(each.session.key for each in members),
                    assumed_rate_hz=_assumed_rate_hz(members, probes),
                    problem=probes[members[0].sighting.path].problem,
                )
            )
    return streams


def _with_paths(root: Path, group: list[_Member]) -> list[tuple[tuple[str, ...], list[_Member]]]:
    """Return members that go under one path, or one list of paths, with it."""
    templates = list(dict.fromkeys(each.template for each in group))
    if len(templates) == 1:
        return [((templates[0],), group)]
    pattern = _pattern(templates[0])
    many = len(group) > len({each.session.key for each in group})
    movies = group[0].sighting.kind is Kind.MOVIE and not _told_apart(group)
    if (movies or not many) and _finds(root, pattern, group):
        return [((pattern,), group)]
    if movies and many and len({each.session.key for each in group}) == 1:
        return [(tuple(templates), group)]
    return [((own,), [each for each in group if each.template == own]) for own in templates]


def _told_apart(group: Sequence[_Member]) -> bool:
    """Whether files of a session are separate recordings: each holds several, told apart by keys."""
    return any(key in group[0].sighting.keys for key in _TELLING)


def _finds(root: Path, pattern: str, group: Sequence[_Member]) -> bool:
    """Whether a pattern finds in every session the recordings that are meant, and nothing else."""
    wanted: dict[str, set[Path]] = {}
    for each in group:
        wanted.setdefault(each.session.key, set()).add((root / each.sighting.path).resolve())
    is_folder = group[0].sighting.format in FOLDER_FORMATS
    for session in {each.session.key: each.session for each in group}.values():
        text, unknown = filled(pattern, _names(session), Place())
        found, _ = matches(root, text, Place(), folder=is_folder, several=True)
        if unknown or {path.resolve() for path in found} != wanted[session.key]:
            return False
    return True


def _names(session: GuessedSession) -> dict[str, str]:
    return {"folder": session.key, "subject_id": session.subject_id, "session_id": session.session_id}


def _template(session: GuessedSession, path: Path) -> str:
    """Return a path with its session's folder, animal and name in braces, and the rest as a literal."""
    text = path.as_posix()
    inside = bool(session.key) and text.startswith(session.key)
    rest = glob.escape(text[len(session.key) :] if inside else text)
    for key, name in (("session_id", session.session_id), ("subject_id", session.subject_id)):
        if len(name) > 1:
            rest = re.sub(rf"(?<![A-Za-z0-9{{]){re.escape(name)}(?![A-Za-z0-9}}])", f"{{{key}}}", rest)
    return "{folder}" + rest if inside else rest


def _pattern(template: str) -> str:
    """Return a template with ``*`` in place of numbers in its last part."""
    folder, slash, name = template.rpartition("/")
    return folder + slash + re.sub(r"\*+", "*", _DIGITS.sub("*", name))


def _stream_name(sighting: Sighting) -> str:
    base = OWN_NAMES.get(sighting.format, NAMES[sighting.kind])
    told = [f"{word}{sighting.keys[key]}" for key, word in _TELLING.items() if key in sighting.keys]
    return "_".join([base, *(_NAME.sub("-", each).strip("-") for each in told)]).rstrip("_")


def _assumed_rate_hz(members: Sequence[_Member], probes: Mapping[Path, Probe]) -> float | None:
    """Return a rate for recordings that state none: that of traces of the same session and length."""
    if not any(probes[each.sighting.path].needs_rate for each in members):
        return None
    own = members[0]
    for other in own.session.sightings:
        seen = probes[other.path]
        same = seen.n_samples == probes[own.sighting.path].n_samples
        if READERS[other.format].kind is Kind.ROIS and seen.rate_hz and same:
            return seen.rate_hz
    return ASSUMED_RATE_HZ
