"""The first draft of a study file: what a survey found filled in, what is missing marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.survey.probes import ASSUMED_RATE_HZ, Probe
from nwbswitch.converters.survey.sessions import GuessedSession
from nwbswitch.converters.survey.sightings import Sighting, Survey
from nwbswitch.schemas.streams import FOLDER_FORMATS

FILL_IN = "FILL IN"
NAMES = {Kind.MOVIE: "movie", Kind.ROIS: "cells", Kind.BEHAVIOR: "behavior", Kind.IMAGE: "camera"}
OWN_NAMES = {"wheel_csv": "treadmill", "medpc": "trials", "bpod": "trials"}
_DIGITS = re.compile(r"\d+")
_NAME = re.compile(r"[^A-Za-z0-9-]+")


@dataclass(frozen=True, slots=True)
class DraftStream:
    """One stream as it will stand under ``defaults``, and which sessions have it."""

    name: str
    format: str
    path: str
    """Template below the data root; ``{folder}`` stands for the session's key."""
    keys: Mapping[str, Any]
    several: bool
    sessions: frozenset[str]
    """Keys of the sessions that have it."""
    assumed_rate_hz: float | None
    """The rate of the traces or a usual one, where the files state none."""
    problem: str


def draft_streams(sessions: Sequence[GuessedSession], probes: Mapping[Path, Probe]) -> list[DraftStream]:
    """Return the streams of all sessions: recordings with the same format and place in their session."""
    found: dict[tuple[str, str, str], list[tuple[str, Sighting]]] = {}
    for session in sessions:
        for sighting in session.sightings:
            template = _template(session.key, sighting.path)
            look = _DIGITS.sub("*", template) if _is_repeated(session, sighting) else template
            keys = json.dumps(sighting.keys, sort_keys=True)
            found.setdefault((sighting.format, _common(look), keys), []).append((session.key, sighting))
    used: dict[str, int] = {}
    streams = []
    for (form, path, _), members in found.items():
        holders = [key for key, _ in members]
        problems = [probes[each.path].problem for _, each in members]
        base = OWN_NAMES.get(form, NAMES[READERS[form].kind])
        used[base] = used.get(base, 0) + 1
        streams.append(
            DraftStream(
                name=base if used[base] == 1 else f"{base}_{used[base]}",
                format=form,
                path=path,
                keys=members[0][1].keys,
                several=len(holders) > len(set(holders)),
                sessions=frozenset(holders),
                assumed_rate_hz=_assumed_rate_hz(members, sessions, probes),
                problem=next((text for text in problems if text), ""),
            )
        )
    return streams


def _assumed_rate_hz(
    members: Sequence[tuple[str, Sighting]],
    sessions: Sequence[GuessedSession],
    probes: Mapping[Path, Probe],
) -> float | None:
    """Return a rate for recordings that state none: that of traces of the same session and length."""
    if not any(probes[each.path].needs_rate for _, each in members):
        return None
    key, own = members[0]
    session = next(each for each in sessions if each.key == key)
    for other in session.sightings:
        seen = probes[other.path]
        if other.kind is Kind.ROIS and seen.rate_hz and seen.n_samples == probes[own.path].n_samples:
            return seen.rate_hz
    return ASSUMED_RATE_HZ


def _is_repeated(session: GuessedSession, sighting: Sighting) -> bool:
    alike = [
        each
        for each in session.sightings
        if each.format == sighting.format and each.keys == sighting.keys and each.kind is Kind.MOVIE
    ]
    return len(alike) > 1


def _template(key: str, path: Path) -> str:
    text = path.as_posix()
    return "{folder}" + text[len(key) :] if text.startswith(key) and key else text


def _common(template: str) -> str:
    """Return a template whose file name holds a pattern in place of what differs between sessions."""
    return re.sub(r"\*+", "*", template)


def study_text(survey: Survey, sessions: Sequence[GuessedSession], streams: Sequence[DraftStream],
               *, name: str, data_root: str, tables: Mapping[str, str]) -> str:  # fmt: skip
    """Return the study file as commented YAML."""
    imaging = any(READERS[each.format].kind in (Kind.MOVIE, Kind.ROIS) for each in streams)
    lines = [
        "# A first draft, made by looking into the raw folder. It can be converted as it is.",
        f"# What the files do not tell is marked {FILL_IN} and listed under placeholders: correct it, then",
        "# take it off that list.",
        "study:",
        f"  name: {_yaml(_NAME.sub('-', name).strip('-') or 'study')}",
        f"  title: {_yaml(name)}  # {FILL_IN}: one sentence",
        f"  institution: ''  # {FILL_IN}",
        "  # experimenters: ['Last, First']",
        "",
        f"timezone: UTC  # {FILL_IN}, e.g. Europe/Berlin: for start times without an offset",
        f"data_root: {_yaml(data_root)}",
        "",
        "placeholders:  # what the source does not state; every file says so",
        *[f"  - {each}" for each in _placeholders(survey, sessions, streams, imaging=imaging)],
        "",
        "defaults:",
        f"  description: Drug challenge.  # {FILL_IN}: what happens in a session",
        *(_imaging() if imaging else []),
        "  streams:",
    ]
    for stream in streams:
        lines += _stream(stream)
    lines += [
        "  # Windows that are compared; without them files are written but nothing can be measured.",
        "  # epochs:",
        "  #   - {window: baseline, start_s: -660, stop_s: -60, relative_to: administration}",
        "  #   - {window: drug, start_s: 60, stop_s: 660, relative_to: administration}",
        "",
        *[f"{key}: {_yaml(value)}" for key, value in tables.items()],
    ]
    if survey.refused or survey.unknown:
        lines += ["", "# Not taken up:"]
        lines += [f"#   {path.as_posix()}: {_one_line(reason)}" for path, reason in survey.refused[:50]]
        lines += [f"#   {path.as_posix()}: no format that is known" for path in survey.unknown[:50]]
        hidden = max(len(survey.refused) - 50, 0) + max(len(survey.unknown) - 50, 0)
        lines += [f"#   and {hidden} more"] if hidden else []
    return "\n".join(lines) + "\n"


def _placeholders(
    survey: Survey, sessions: Sequence[GuessedSession], streams: Sequence[DraftStream], *, imaging: bool
) -> Iterable[str]:
    if "subjects" not in survey.tables:
        yield from ("subject.age", "subject.sex", "subject.species")
    if "sessions" not in survey.tables:
        yield "start_time"
    if imaging:
        yield from ("imaging.indicator", "imaging.excitation_lambda_nm", "imaging.emission_lambda_nm")
    everywhere = {session.key for session in sessions}
    for stream in streams:
        if stream.assumed_rate_hz is not None and stream.sessions == everywhere:
            yield f"streams.{stream.name}.rate_hz"


def _imaging() -> list[str]:
    return [
        "  imaging:",
        f"    indicator: GCaMP6s  # {FILL_IN}",
        f"    excitation_lambda_nm: 920  # {FILL_IN}",
        f"    emission_lambda_nm: 510  # {FILL_IN}",
        f"    region: unknown  # {FILL_IN}: Allen Mouse Brain Atlas acronym, e.g. RSPd",
        f"    cell_type: unknown  # {FILL_IN}: e.g. excitatory, PV, SST",
        "    # depth_um: 150",
    ]


def _stream(stream: DraftStream) -> list[str]:
    kind = "folder" if stream.format in FOLDER_FORMATS else "file"
    lines = [
        f"    {stream.name}:  # a {kind} in {len(stream.sessions)} session(s)",
        f"      format: {stream.format}",
        f"      path: {_yaml(stream.path)}",
    ]
    if stream.several:
        lines.append("      parts: continuous  # or runs, when there are gaps between the files")
    if stream.problem:
        lines.append(f"      # {FILL_IN}: {_one_line(stream.problem)}")
    if stream.assumed_rate_hz is not None:
        lines.append(f"      rate_hz: {stream.assumed_rate_hz:g}  # {FILL_IN}: the files do not state it")
    for key, value in stream.keys.items():
        mark = f"  # {FILL_IN}: units" if key == "signals" and "n/a" in json.dumps(value) else ""
        lines.append(f"      {key}: {_yaml(value)}{mark}")
    return lines


def _yaml(value: Any) -> str:
    """Return a value as YAML in one line; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
