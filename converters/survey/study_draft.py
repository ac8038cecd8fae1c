"""The first draft of a study file: what a survey found filled in, what is missing marked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.survey.draft_streams import DraftStream
from nwbswitch.converters.survey.sessions import GuessedSession
from nwbswitch.converters.survey.sightings import Survey

FILL_IN = "FILL IN"
_NAME = re.compile(r"[^A-Za-z0-9-]+")


def study_text(
    survey: Survey,
    sessions: Sequence[GuessedSession],
    streams: Sequence[DraftStream],
    *,
    name: str,
    data_root: str,
    tables: Mapping[str, str],
    starts_known: bool,
) -> str:
    """Return the study file as commented YAML."""
    imaging = any(READERS[each.format].kind in (Kind.MOVIE, Kind.ROIS) for each in streams)
    waiting = sum(bool(stream.problem) for stream in streams)
    rest = f"; {waiting} stream(s) wait for a decision." if waiting else "."
    state = f"It can be converted as it is{rest}"
    lines = [
        f"# A first draft, made by looking into the raw folder. {state}",
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
        *[f"  - {each}" for each in _placeholders(survey, sessions, streams, imaging, starts_known)],
        "",
        "defaults:",
        f"  description: Drug challenge.  # {FILL_IN}: what happens in a session",
        *(_imaging() if imaging else []),
        "  streams:",
    ]
    for stream in streams:
        lines += _stream(stream, len(sessions))
    if all(stream.problem for stream in streams):
        lines[lines.index("  streams:")] = "  streams: {}"
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
    survey: Survey,
    sessions: Sequence[GuessedSession],
    streams: Sequence[DraftStream],
    imaging: bool,
    starts_known: bool,
) -> Iterable[str]:
    if "subjects" not in survey.tables:
        yield from ("subject.age", "subject.sex", "subject.species")
    if "sessions" not in survey.tables and not starts_known:
        yield "start_time"
    if imaging:
        yield from ("imaging.indicator", "imaging.excitation_lambda_nm", "imaging.emission_lambda_nm")
    everywhere = {session.key for session in sessions}
    for stream in streams:
        if stream.assumed_rate_hz is not None and stream.sessions == everywhere and not stream.problem:
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


def _stream(stream: DraftStream, n_sessions: int) -> list[str]:
    """Return a stream; one that cannot be opened before something is decided is a comment."""
    where = (
        ""
        if len(stream.sessions) == n_sessions
        else f"  # in {len(stream.sessions)} of {n_sessions} sessions"
    )
    paths = stream.paths[0] if len(stream.paths) == 1 else list(stream.paths)
    lines = [f"{stream.name}:{where}", f"  format: {stream.format}", f"  path: {_yaml(paths)}"]
    if stream.several:
        lines.append("  parts: continuous  # or runs, when there are gaps between the files")
    if stream.assumed_rate_hz is not None:
        lines.append(f"  rate_hz: {stream.assumed_rate_hz:g}  # {FILL_IN}: the files do not state it")
    for key, value in stream.keys.items():
        lines += _key(key, value)
    if stream.problem:
        reason = f"{FILL_IN}: this one is left out: {_one_line(stream.problem)}"
        return [f"    # {each}" for each in (reason, *lines)]
    return [f"    {each}" for each in lines]


def _key(key: str, value: Any) -> list[str]:
    """Return a key of a stream; lists and mappings go below it, one entry a line."""
    mark = f"  # {FILL_IN}: {_MARKS[key]}" if key in _MARKS and _is_open(key, value) else ""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"  {key}:{mark}", *(f"    - {_yaml(each)}" for each in value)]
    return [f"  {key}: {_yaml(value)}{mark}"]


_MARKS = {"signals": "units", "events": "what happened at these times"}


def _is_open(key: str, value: Any) -> bool:
    return key == "events" or "n/a" in json.dumps(value)


def _yaml(value: Any) -> str:
    """Return a value as YAML in one line, without quotes where it needs none."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=1 << 20)
    return text.removesuffix("\n").removesuffix("\n...")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
