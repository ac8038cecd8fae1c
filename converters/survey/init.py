"""A study file, tables of animals and sessions and an empty drug log from a look into a raw folder."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nwbswitch.converters.survey.draft_streams import DraftStream, draft_streams
from nwbswitch.converters.survey.probes import Probe, probe
from nwbswitch.converters.survey.sessions import GuessedSession, guess_sessions
from nwbswitch.converters.survey.sightings import Sighting, Survey, survey
from nwbswitch.converters.survey.study_draft import FILL_IN, study_text
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError
from nwbswitch.schemas.files import replaced
from nwbswitch.schemas.jobs import run_jobs
from nwbswitch.schemas.text_table import read_lines

FILES = ("study.yaml", "subjects.csv", "sessions.csv", "drug_log.csv")
DRUG_COLUMNS = (
    "subject_id", "session_id", "timestamp_s", "substance", "salt", "dose", "dose_unit", "dose_basis",
    "route", "role", "control_kind",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InitResult:
    """What was found and written."""

    study: Path
    survey: Survey
    sessions: tuple[GuessedSession, ...]
    streams: tuple[DraftStream, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "study": str(self.study),
            "sessions": [
                {
                    "subject_id": each.subject_id,
                    "session_id": each.session_id,
                    "folder": each.key,
                    "streams": [
                        {"format": found.format, "path": found.path.as_posix()} for found in each.sightings
                    ],
                }
                for each in self.sessions
            ],
            "refused": [{"path": path.as_posix(), "reason": reason} for path, reason in self.survey.refused],
            "unknown": [path.as_posix() for path in self.survey.unknown],
        }

    def summary(self) -> str:
        """Return what a person reads at the end."""
        subjects = len({each.subject_id for each in self.sessions})
        used = [each for each in self.streams if not each.problem]
        formats = ", ".join(f"{each.name} ({each.format})" for each in used[:12])
        formats += f" and {len(used) - 12} more" if len(used) > 12 else ""
        marks = self.study.read_text(encoding="utf-8").count(f"# {FILL_IN}")
        what = formats or "no stream that can be opened as it is"
        drugs = "taken over" if "drug_log" in self.survey.tables else "to be filled in"
        lines = [
            f"{len(self.sessions)} session(s) of {subjects} animal(s): {what}",
            f"{self.study}: {marks} values to fill in",
            f"{self.study.parent / FILES[3]}: {drugs}",
        ]
        if len(used) < len(self.streams):
            lines.append(f"{len(self.streams) - len(used)} stream(s) wait for a decision; it says which")
        if self.survey.refused:
            lines.append(f"{len(self.survey.refused)} file(s) could not be read; they are listed at its end")
        if self.survey.unknown:
            lines.append(f"{len(self.survey.unknown)} file(s) are of no known format")
        if used:
            lines.append(f"Then: nwbswitch convert {self.study} -o try --stub")
        return "\n".join(lines)


def init(raw: Path | str, out_dir: Path | str, *, overwrite: bool = False) -> InitResult:
    """Look into a raw folder and write the draft of a study: study.yaml and its three tables.

    Formats are recognised by content, animals and sessions guessed from names. What the files state is filled
    in; everything else is marked. Tables that lie in the raw folder under the names subjects, sessions and
    drug_log are taken over.

    Parameters
    ----------
    raw
        Folder with the raw data; it is not changed.
    out_dir
        Folder for the study file and its tables.
    overwrite
        Replace a study file that is there.

    Raises
    ------
    InputFileError
        ``raw`` is no folder or holds no recording of a known format.
    ExistingOutputError
        ``out_dir`` holds a study file, and ``overwrite`` is not given.
    """
    root, folder = Path(raw).absolute(), Path(out_dir).absolute()
    present = [name for name in FILES if (folder / name).exists()]
    if present and not overwrite:
        raise ExistingOutputError(
            f"{folder / present[0]} is there. Use --overwrite to replace it, or another folder."
        )
    found = survey(root)
    if not found.sightings:
        raise _nothing(found)
    sessions = guess_sessions(found.sightings)
    probes = _probes(found)
    known = _taken_over(found)
    sessions = _renamed(sessions, known.get("sessions", []))
    streams = draft_streams(root, sessions, probes)
    texts = {
        "subjects.csv": _subjects(sessions, known.get("subjects")),
        "sessions.csv": _sessions(sessions, streams, probes, known.get("sessions", [])),
        "drug_log.csv": _drug_log(known.get("drug_log")),
        "study.yaml": study_text(
            found,
            sessions,
            streams,
            name=root.name,
            data_root=_data_root(root, folder),
            tables={"subjects": "subjects.csv", "sessions": "sessions.csv", "drug_log": "drug_log.csv"},
            starts_known=all(_stated_start(each, probes) for each in sessions),
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with replaced(folder / name) as draft:
            draft.write_text(text, encoding="utf-8", newline="")
    return InitResult(folder / "study.yaml", found, tuple(sessions), tuple(streams))


def _nothing(found: Survey) -> InputFileError:
    """Return the error for a folder without recordings: what there is, and what to do with it."""
    reasons = [f"{path.name}: {reason}" for path, reason in found.refused[:3]]
    problem = " ".join(["holds no recording of a known format.", *reasons])
    if any(path.suffix.lower() == ".nwb" for path in found.unknown):
        return InputFileError(
            found.root, problem, "It holds NWB files: add drug log and windows with nwbswitch annotate."
        )
    endings = sorted({path.suffix.lower() or path.name for path in found.unknown})
    there = f"It holds {', '.join(endings[:8])}. " if endings else ""
    remedy = (
        f"{there}Tables can be named in a study file by hand (series, wheel_csv, trials); docs/formats.md "
        "lists what is read."
    )
    return InputFileError(found.root, problem, remedy)


def _data_root(root: Path, folder: Path) -> str:
    """Return the raw folder as seen from the study's; as it is when they have little in common."""
    relative = Path(os.path.relpath(root, folder))
    return root.as_posix() if relative.parts[:3] == ("..",) * 3 else relative.as_posix()


def _probes(found: Survey) -> dict[Path, Probe]:
    """Open every recording once, with progress."""
    outcomes = run_jobs(partial(probe, found.root), found.sightings, label="look into", describe=_describe)
    return {outcome.item.path: outcome.value or Probe(problem=outcome.reason) for outcome in outcomes}


def _describe(sighting: Sighting) -> str:
    return sighting.path.as_posix()


def _taken_over(found: Survey) -> dict[str, list[dict[str, str]]]:
    """Return the rows of the lab's own tables."""
    tables = {}
    for name, path in found.tables.items():
        lines = [cells for _, cells in read_lines(found.root / path)]
        header = lines[0] if lines else []
        tables[name] = [dict(zip(header, cells, strict=False)) for cells in lines[1:]]
    return tables


def _renamed(sessions: Sequence[GuessedSession], rows: Sequence[dict[str, str]]) -> list[GuessedSession]:
    """Return the sessions with the names that the lab's table gives them, where they differ in spelling."""
    by_fold = {
        (row.get("subject_id", "").casefold(), row.get("session_id", "").casefold()): row for row in rows
    }
    result = []
    for each in sessions:
        row = by_fold.get((each.subject_id.casefold(), each.session_id.casefold()))
        result.append(
            replace(each, subject_id=row["subject_id"], session_id=row["session_id"]) if row else each
        )
    return result


def _subjects(sessions: Sequence[GuessedSession], known: list[dict[str, str]] | None) -> str:
    names = list(dict.fromkeys(each.subject_id for each in sessions))
    rows = {row.get("subject_id", ""): row for row in known or []}
    blank = {"species": "Mus musculus", "sex": "", "age": ""} if known is None else {}
    columns = list(dict.fromkeys(["subject_id", *blank, *(key for row in known or [] for key in row)]))
    return _csv(columns, [{"subject_id": name, **blank, **rows.get(name, {})} for name in names])


def _sessions(
    sessions: Sequence[GuessedSession],
    streams: Sequence[DraftStream],
    probes: Mapping[Path, Probe],
    known: Sequence[dict[str, str]],
) -> str:
    rows = {
        (row.get("subject_id"), row.get("session_id")): {
            key: cell for key, cell in row.items() if not key.startswith("streams.")
        }
        for row in known
    }
    used = [each for each in streams if not each.problem]
    partly = [each for each in used if any(session.key not in each.sessions for session in sessions)]
    table = []
    for each in sessions:
        row = {
            "subject_id": each.subject_id,
            "session_id": each.session_id,
            "start_time": _start(each, probes),
            **rows.get((each.subject_id, each.session_id), {}),
            "folder": each.key,
        }
        row |= {f"streams.{stream.name}": "null" for stream in partly if each.key not in stream.sessions}
        row["placeholders"] = ";".join(
            f"streams.{stream.name}.rate_hz"
            for stream in partly
            if stream.assumed_rate_hz is not None and each.key in stream.sessions
        )
        table.append(row)
    columns = list(dict.fromkeys(key for row in table for key in row))
    filled = [name for name in columns if name != "placeholders" or any(row[name] for row in table)]
    return _csv(filled, table)


def _start(session: GuessedSession, probes: Mapping[Path, Probe]) -> str:
    """Return the start of a session as its files state it, else the day that its name tells."""
    day = f"{session.day.isoformat()}T00:00:00" if session.day else ""
    return _stated_start(session, probes) or day


def _stated_start(session: GuessedSession, probes: Mapping[Path, Probe]) -> str:
    """Return the start of a session as its files state it; empty where none does."""
    stated = [probes[each.path].started for each in session.sightings]
    starts = sorted(each for each in stated if each is not None and each.tzinfo is not None)
    local = sorted(each for each in stated if each is not None and each.tzinfo is None)
    return (starts or local)[0].isoformat(timespec="seconds") if starts or local else ""


def _drug_log(known: list[dict[str, str]] | None) -> str:
    columns = list(known[0]) if known else list(DRUG_COLUMNS)
    return _csv(columns, known or [])


def _csv(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
