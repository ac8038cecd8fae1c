"""Cell types per ROI, each with its evidence: from a table, a red channel, light responses or a driver line.

The two columns of Suite2p's ``redcell.npy`` are the label and what it was decided by: the share of red light
inside the ROI against its surround, or the overlap with a Cellpose mask (suite2p/detection/chan2detect.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nwbswitch.converters.biology.lab_table import LabTable, Line, read_lab_table
from nwbswitch.converters.biology.roi_labels import RoiColumn, RoiLabels
from nwbswitch.converters.biology.roi_numbers import RoiNumbers
from nwbswitch.schemas.errors import InputFileError, TableError
from nwbswitch.schemas.file_guard import load_npy_array
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.roi_labels import (
    UNKNOWN,
    CellTypes,
    DriverLineCellTypes,
    OptoTagCellTypes,
    RedChannelCellTypes,
    TableCellTypes,
    known_cell_type,
)
from nwbswitch.schemas.vocabularies import entries

RED_CELLS = "redcell.npy"
EVIDENCE_DESCRIPTION = "How the cell type is known; empty where it is not."
CONFIDENCE_DESCRIPTION = (
    "Confidence in the cell type, from 0 to 1 as the source states it; NaN where it states none."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one ROI."""

    cell_type: str
    evidence: str = ""
    confidence: float = math.nan


def cell_type_columns(source: CellTypes, rois: RoiNumbers) -> RoiLabels:
    """Return the columns cell_type, cell_type_evidence and cell_type_confidence.

    Raises
    ------
    IssuesError
        Rows that fit no ROI, doubles, unknown words.
    InputFileError
        A file that cannot be used.
    """
    match source:
        case TableCellTypes():
            found, origin = _from_table(source, rois)
        case RedChannelCellTypes():
            found, origin = _from_red_channel(source, rois)
        case OptoTagCellTypes():
            found, origin = _from_light(source, rois)
        case DriverLineCellTypes():
            origin = f"driver line: {source.line}"
            found = [Finding(source.cell_type, origin)] * rois.n_rois
    return _labels(found, origin)


def _labels(found: Sequence[Finding], origin: str) -> RoiLabels:
    vocabulary = entries("cell_types")
    present = dict.fromkeys(each.cell_type for each in found)
    meanings = []
    for word in present:
        term = vocabulary[word].identifier
        meanings.append(f"{word}: {vocabulary[word].name}" + (f" ({term})" if term else ""))
    description = f"Cell type, by {origin}. {'; '.join(meanings)}."
    return RoiLabels(
        columns=(
            RoiColumn("cell_type", description, tuple(each.cell_type for each in found)),
            RoiColumn("cell_type_evidence", EVIDENCE_DESCRIPTION, tuple(each.evidence for each in found)),
            RoiColumn(
                "cell_type_confidence",
                CONFIDENCE_DESCRIPTION,
                np.array([each.confidence for each in found], dtype=np.float64),
            ),
        ),
        sources=(f"Cell types by {origin}.",),
    )


def _rows(
    table: LabTable, source: TableCellTypes | RedChannelCellTypes | OptoTagCellTypes, rois: RoiNumbers
) -> dict[int, Line]:
    lines = table.of_session(rois.subject_id, rois.session_id)
    return rois.lines_by_row(table, lines, source.roi_column, first=source.first_roi, numbered=source.rois)


def _from_table(source: TableCellTypes, rois: RoiNumbers) -> tuple[list[Finding], str]:
    path = rois.file(source.path)
    table = read_lab_table(path, sheet=source.sheet, numeric=(source.confidence_column,))
    table.require(source.roi_column, source.cell_type_column)
    rows = _rows(table, source, rois)
    missing = Finding(source.others, f"not in {path.name}" if source.others != UNKNOWN else "")
    found = [missing] * rois.n_rois
    for row, line in rows.items():
        word = UNKNOWN
        try:
            word = known_cell_type(line.cells.get(source.cell_type_column, ""))
        except ValueError as error:
            table.found("unknown-word", str(error), line=line, item=source.cell_type_column)
        evidence = line.cells.get(source.evidence_column, "") or source.evidence
        if not evidence and word != UNKNOWN:
            evidence = f"stated in {path.name}"
        confidence = table.number(line, source.confidence_column, low=0, high=1)
        found[row] = Finding(word, evidence, confidence)
    table.stop_on_errors()
    return found, f"the table {path.name}"


def _from_red_channel(source: RedChannelCellTypes, rois: RoiNumbers) -> tuple[list[Finding], str]:
    path = _red_file(source, rois)
    marked = f"red channel ({source.line})" if source.line else "red channel"
    if path.suffix.lower() == ".npy":
        return _from_red_cells(source, rois, path, marked)
    if not source.column or source.threshold is None:
        problem = (
            "A table of red intensities needs the keys column and threshold: which ROI is red is not guessed."
        )
        raise TableError([issue("missing-value", problem, place=Place(path, item="cell_types"))])
    table = read_lab_table(path, sheet=source.sheet, numeric=(source.column,))
    table.require(source.roi_column, source.column)
    rows = _rows(table, source, rois)
    found = [Finding(UNKNOWN)] * rois.n_rois
    for row, line in rows.items():
        value = table.number(line, source.column)
        if not math.isnan(value):
            red = value >= source.threshold
            sign = ">=" if red else "<"
            evidence = f"{marked}: {source.column} {value:.6g} {sign} {source.threshold:.6g}"
            found[row] = _picked(red, source.cell_type, source.others, evidence)
    table.stop_on_errors()
    return found, f"{marked} ({source.column} of {path.name} at least {source.threshold:.6g})"


def _picked(hit: bool, cell_type: str, others: str, evidence: str, score: float = math.nan) -> Finding:
    return Finding(cell_type if hit else others, evidence, score if hit else math.nan)


def _red_file(source: RedChannelCellTypes, rois: RoiNumbers) -> Path:
    if source.path is not None:
        return rois.file(source.path)
    if rois.folder is not None:
        return rois.folder / RED_CELLS
    problem = f"Which ROIs are red is not said: give the path of {RED_CELLS} or of a table."
    raise TableError([issue("missing-value", problem, place=Place(item="cell_types.path"))])


def _from_red_cells(
    source: RedChannelCellTypes, rois: RoiNumbers, path: Path, marked: str
) -> tuple[list[Finding], str]:
    values = load_npy_array(path)
    rows = rois.rows(source.rois, Place(path))
    if values.ndim != 2 or values.shape[1] != 2 or values.dtype.kind not in "biuf":
        shape = "x".join(map(str, values.shape))
        raise InputFileError(
            path, f"holds {shape} values of type {values.dtype}, expected two columns of numbers."
        )
    if len(values) != len(rows):
        problem = f"It has {len(values)} rows for {len(rows)} ROIs."
        hint = rois.count_hint(len(values), source.rois)
        raise TableError([issue("length-differs", problem, place=Place(path), remedy=hint)])
    if not np.isin(values[:, 0], (0, 1)).all() or not np.isfinite(values).all():
        raise InputFileError(
            path, "does not hold labels 0 and 1 in its first column, and numbers in its second."
        )
    found = [Finding(UNKNOWN)] * rois.n_rois
    for row, (label, score) in zip(rows, values, strict=True):
        if source.threshold is None:
            red, how = bool(label), f"label {int(label)}, score {score:.4g}"
        else:
            red = bool(score >= source.threshold)
            how = f"score {score:.4g} {'>=' if red else '<'} {source.threshold:.6g}"
        confidence = float(score) if 0 <= score <= 1 else math.nan
        found[row] = _picked(red, source.cell_type, source.others, f"{marked}: {how}", confidence)
    rule = "its label" if source.threshold is None else f"its score of at least {source.threshold:.6g}"
    return found, f"{marked} ({rule} in {path.name}; confidence is the score there)"


def _from_light(source: OptoTagCellTypes, rois: RoiNumbers) -> tuple[list[Finding], str]:
    limits = {
        column: limit
        for column, limit in (
            (source.latency_column, source.max_latency_ms),
            (source.p_column, source.max_p),
        )
        if limit is not None
    }
    path = rois.file(source.path)
    table = read_lab_table(path, sheet=source.sheet, numeric=tuple(limits))
    table.require(source.roi_column, *limits)
    marked = f"opto-tag ({source.line})" if source.line else "opto-tag"
    rows = _rows(table, source, rois)
    found = [Finding(UNKNOWN)] * rois.n_rois
    for row, line in rows.items():
        values = {column: table.number(line, column, low=0) for column in limits}
        known = {column: value for column, value in values.items() if not math.isnan(value)}
        passed = {column: value <= limits[column] for column, value in known.items()}
        # One failed limit decides; a value that is not there decides nothing.
        if not passed or (all(passed.values()) and len(known) < len(limits)):
            continue
        told = ", ".join(
            f"{column} {value:.4g} {'<=' if passed[column] else '>'} {limits[column]:.4g}"
            for column, value in known.items()
        )
        found[row] = _picked(all(passed.values()), source.cell_type, source.others, f"{marked}: {told}")
    table.stop_on_errors()
    rule = " and ".join(f"{column} at most {limit:.4g}" for column, limit in limits.items())
    return found, f"{marked} ({rule} in {path.name})"
