"""The same neuron across recording sessions: an identity for each ROI, from a tracking result or a table."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from nwbswitch.converters.biology.lab_table import SESSION_KEYS, LabTable, Line, read_lab_table
from nwbswitch.converters.biology.roi_labels import RoiColumn, RoiLabels
from nwbswitch.converters.biology.roi_numbers import RoiNumbers
from nwbswitch.converters.biology.tracked_sessions import (
    TrackedSession,
    TrackingResult,
    read_caiman,
    read_cellreg,
    read_roicat,
)
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.roi_labels import (
    CaimanTracking,
    CellRegTracking,
    RoicatTracking,
    TableTracking,
    Tracking,
)

MAX_ID = 100
DESCRIPTION = (
    "Identity of the neuron across recording sessions: ROIs of one subject that share a tracking_id, in any "
    "of its files, are the same neuron; empty where the ROI was not tracked."
)


@dataclass(frozen=True, slots=True)
class _Identities:
    """The name and score of each tracked ROI by row, and what they mean."""

    names: dict[int, str]
    scores: dict[int, float] | None
    means: str
    score_means: str
    made_by: str


def tracking_columns(source: Tracking, rois: RoiNumbers) -> RoiLabels:
    """Return the columns tracking_id and, where the source has scores, tracking_score.

    Raises
    ------
    IssuesError
        An ROI that is two neurons, a neuron that is two ROIs, or an ROI that is not there.
    InputFileError
        A file that cannot be used.
    """
    path = rois.file(source.path)
    match source:
        case TableTracking():
            found = _from_table(source, rois, path)
        case RoicatTracking():
            found = _from_map(source, rois, path, read_roicat(path))
        case CellRegTracking():
            found = _from_map(source, rois, path, read_cellreg(path))
        case CaimanTracking():
            found = _from_map(source, rois, path, read_caiman(path, source))
    start = f"{rois.subject_id}-" + (f"{source.field_of_view}-" if source.field_of_view else "")
    names = [""] * rois.n_rois
    for row, name in found.names.items():
        names[row] = name if name.startswith(start) else start + name
    _refuse_doubles(names, path)
    form = f"<subject_id>-{'<field of view>-' if source.field_of_view else ''}<{found.means}>"
    description = f"{DESCRIPTION} Form: {form}. Tracked by {found.made_by}."
    columns = [RoiColumn("tracking_id", description, tuple(names))]
    if found.scores is not None:
        scores = np.full(rois.n_rois, math.nan)
        for row, score in found.scores.items():
            scores[row] = score
        text = f"How well the neuron was tracked: {found.score_means}; NaN where there is no score."
        columns.append(RoiColumn("tracking_score", text, scores))
    return RoiLabels(tuple(columns), (f"Neurons tracked across sessions by {found.made_by}.",))


def _from_map(
    source: RoicatTracking | CellRegTracking | CaimanTracking,
    rois: RoiNumbers,
    path: Path,
    result: TrackingResult,
) -> _Identities:
    position = _position(source, rois, path, len(result.sessions))
    mine = result.sessions[position - 1]
    rows = rois.rows(source.rois, Place(path))
    _check_extent(source, rois, path, mine, len(rows))
    at = rows[mine.numbers].tolist()
    scores = None if mine.scores is None else dict(zip(at, mine.scores.tolist(), strict=True))
    return _Identities(
        names=dict(zip(at, map(str, mine.neurons.tolist()), strict=True)),
        scores=scores,
        means=result.number_means,
        score_means=result.score_means,
        made_by=f"{result.software} ({path.name}, session {position} of {len(result.sessions)})",
    )


def _position(
    source: RoicatTracking | CellRegTracking | CaimanTracking, rois: RoiNumbers, path: Path, count: int
) -> int:
    """Return which of the tracked sessions this one is, from 1."""
    place = Place(path, item="tracking")
    if source.sessions:
        if len(source.sessions) != count:
            problem = f"sessions names {len(source.sessions)} sessions, but {count} were tracked."
            raise IssuesError([issue("length-differs", problem, place=place)])
        if rois.session_id not in source.sessions:
            problem = f"sessions does not name {rois.session_id!r}."
            remedy = nearest(rois.session_id, source.sessions) or f"It names {', '.join(source.sessions)}."
            raise IssuesError([issue("unknown-word", problem, place=place, remedy=remedy)])
        return source.sessions.index(rois.session_id) + 1
    position = source.position or 0
    if not 1 <= position <= count:
        problem = f"There is no session {position}: {count} were tracked."
        raise IssuesError([issue("wrong-value", problem, place=place, remedy="Sessions count from 1.")])
    return position


def _check_extent(
    source: RoicatTracking | CellRegTracking | CaimanTracking,
    rois: RoiNumbers,
    path: Path,
    mine: TrackedSession,
    count: int,
) -> None:
    """Raise when the tracked ROIs are not those of the segmentation."""
    kind = "ROIs" if source.rois == "all" else "accepted ROIs"
    last = int(mine.numbers.max()) if mine.numbers.size else -1
    if mine.n_rois is not None and mine.n_rois != count:
        problem = f"{mine.n_rois} ROIs of this session were tracked, the segmentation has {count} {kind}."
        hint = rois.count_hint(mine.n_rois, source.rois)
        raise IssuesError([issue("length-differs", problem, place=Place(path), remedy=hint)])
    if last >= count:
        problem = f"It names ROI {last}, counted from 0, but the segmentation has {count} {kind}."
        hint = rois.count_hint(last + 1, source.rois)
        raise IssuesError([issue("wrong-value", problem, place=Place(path), remedy=hint)])


def shared_identities(planes: Mapping[str, Collection[str]], place: Place) -> list[Issue]:
    """Return a finding for each two planes of one recording session that share an identity.

    ``planes`` holds the tracking_id of each ROI by the name of the plane; empty ones are not tracked.
    """
    found = []
    for one, other in combinations(planes, 2):
        shared = sorted((set(planes[one]) & set(planes[other])) - {""})
        if shared:
            problem = f"{shared[0]} is in {one} and in {other}, so one of them is another neuron."
            remedy = "Give the tracking of each plane its own field_of_view."
            found.append(issue("duplicate-id", problem, place=place, remedy=remedy))
    return found


def _refuse_doubles(names: Sequence[str], path: Path) -> None:
    first: dict[str, int] = {}
    found: list[Issue] = []
    for row, name in enumerate(names):
        if name and name in first:
            problem = f"The ROIs {first[name]} and {row} of one session are both neuron {name}."
            found.append(issue("duplicate-id", problem, place=Place(path), remedy="Keep one of them."))
        first.setdefault(name, row)
    if found:
        raise IssuesError(found)


def _from_table(source: TableTracking, rois: RoiNumbers, path: Path) -> _Identities:
    table = read_lab_table(path, sheet=source.sheet, numeric=(source.score_column,))
    long = not source.session_column and "session_id" in table.columns
    column = source.session_column or rois.session_id
    if not long and (source.session_column or column in table.columns):
        return _from_wide(source, rois, table, column)
    if not long and source.roi_column not in table.columns:
        remedy = nearest(rois.session_id, table.columns) or (
            "Name the column of this session as session_column, or give session_id, roi and tracking_id."
        )
        message = f"There is no column {rois.session_id!r}, nor {source.roi_column!r}."
        table.found("missing-column", message, remedy=remedy)
    table.require(source.roi_column, source.id_column)
    lines = table.of_session(rois.subject_id, rois.session_id)
    rows = rois.lines_by_row(table, lines, source.roi_column, first=source.first_roi, numbered=source.rois)
    names = {row: _name(table, line, source.id_column) for row, line in rows.items()}
    return _identities(source, table, rows, {row: name for row, name in names.items() if name})


def _from_wide(source: TableTracking, rois: RoiNumbers, every: LabTable, column: str) -> _Identities:
    every.require(column)
    subject = SESSION_KEYS[0]
    lines = [
        line
        for line in every.lines
        if subject not in every.columns or line.cells.get(subject) == rois.subject_id
    ]
    if not lines:
        known = sorted({line.cells.get(subject, "") for line in every.lines})
        message = f"No row has subject_id {rois.subject_id!r}."
        every.found("unknown-word", message, item=subject, remedy=nearest(rois.subject_id, known))
    numbers = {line.number: str(n) for n, line in enumerate(every.lines, start=1)}
    present = [line for line in lines if line.cells.get(column, "").casefold() not in ("", "nan")]
    rows = rois.lines_by_row(every, present, column, first=source.first_roi, numbered=source.rois)
    if source.id_column in every.columns:
        names = {row: _name(every, line, source.id_column) for row, line in rows.items()}
        for row, line in rows.items():
            if not names[row]:
                every.found("missing-value", "The neuron has no name.", line=line, item=source.id_column)
        _refuse_repeated_rows(every, lines, source.id_column)
    else:
        names = {row: numbers[line.number] for row, line in rows.items()}
    return _identities(source, every, rows, names)


def _refuse_repeated_rows(table: LabTable, lines: list[Line], column: str) -> None:
    first: dict[str, int] = {}
    for line in lines:
        name = line.cells.get(column, "")
        if name and name in first:
            message = f"The neuron {name!r} is there twice, before in line {first[name]}."
            table.found("duplicate-id", message, line=line, item=column, remedy="Keep one row per neuron.")
        first.setdefault(name, line.number)


def _name(table: LabTable, line: Line, column: str) -> str:
    text = line.cells.get(column, "")
    if len(text) > MAX_ID or not text.isprintable():
        table.found("bad-cell", f"{column} is no name of a neuron: {text[:40]!r}.", line=line, item=column)
        return ""
    return text


def _identities(
    source: TableTracking, table: LabTable, rows: dict[int, Line], names: dict[int, str]
) -> _Identities:
    scores = None
    if source.score_column in table.columns:
        scores = {row: table.number(rows[row], source.score_column) for row in names}
    table.stop_on_errors()
    named = source.id_column in table.columns
    return _Identities(
        names=names,
        scores=scores,
        means=f"{source.id_column} of {table.path.name}"
        if named
        else f"row of {table.path.name}, counted from 1",
        score_means=f"{source.score_column} of {table.path.name}",
        made_by=f"{source.software or 'a table of the lab'} ({table.path.name})",
    )
