"""Traces of drawn ROIs: tables of ImageJ's Multi Measure, tables with a column per ROI, and MAT-files."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from nwbswitch.converters.behavior.signal_table import read_columns
from nwbswitch.converters.segmentation.mat_traces import mat_traces
from nwbswitch.converters.segmentation.rois import ArrayTraces, Traces
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.mat_guard import mat_variables
from nwbswitch.schemas.mat_values import NUMBERS
from nwbswitch.schemas.streams_segmentation import TraceTable

MAX_HEADER = 1 << 24
MAX_SHORT_NAME = 9
"""Names of this length or longer that begin with a digit are ImageJ's own (0012-0034)."""


def table_traces(table: TraceTable, names: Sequence[str], files: ExitStack) -> Traces:
    """Return the traces of ROIs in the order of ``names``.

    Raises
    ------
    InputFileError, TableError
        When the table is damaged, or has traces of another number of ROIs.
    """
    if table.path.suffix.lower() == ".mat":
        return _mat_traces(table, len(names), files)
    columns = _columns(table, names)
    values = read_columns(table.path, columns)[0]
    return ArrayTraces(np.column_stack([values[name] for name in columns]), frames_first=True)


def _header(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            cells = next(csv.reader([stream.readline(MAX_HEADER)]), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(file, f"cannot be read as a CSV table: {error}.", "Save it as CSV.") from error
    return [cell.strip() for cell in cells]


def _columns(table: TraceTable, names: Sequence[str]) -> list[str]:
    """Return the column of each ROI, as ``RoiManager.multiMeasure`` of ImageJ calls it, or by its name."""
    header = _header(table.path)
    pattern = re.compile(rf"{re.escape(table.measure)}(\d+|\(.+\))")
    measured = [name for name in header if pattern.fullmatch(name)]
    if measured and len(measured) != len(names):
        raise InputFileError(
            table.path,
            f"has {table.measure} of {len(measured)} ROIs, the ROI set has {len(names)} ROIs.",
            "Measure the ROIs of this set, or give the set that was measured.",
        )
    for wanted in (
        [_heading(table.measure, name, number) for number, name in enumerate(names, 1)],
        [f"{table.measure}{number}" for number in range(1, len(names) + 1)],
        list(names),
    ):
        if len(set(wanted)) == len(wanted) and set(wanted) <= set(header):
            return wanted
    found = len(measured) or len([name for name in header if name])
    raise InputFileError(
        table.path,
        f"has {found} columns, none of which are {table.measure}1 to {table.measure}{len(names)} or named "
        f"as the {len(names)} ROIs; they are {', '.join(header[:20])}.",
        "Measure in ImageJ by More > Multi Measure with one row per slice, or name another measure.",
    )


def _heading(measure: str, name: str, number: int) -> str:
    named = bool(name) and (len(name) < MAX_SHORT_NAME or not name[0].isdigit())
    return f"{measure}({name})" if named else f"{measure}{number}"


def _mat_traces(table: TraceTable, n_rois: int, files: ExitStack) -> Traces:
    known = mat_variables(table.path)
    matrices = [name for name, each in known.items() if each.class_name in NUMBERS and min(each.shape) > 1]
    if table.variable is None and len(matrices) != 1:
        raise InputFileError(
            table.path,
            f"holds {len(matrices)} matrices of numbers: {', '.join(matrices)[:200]}.",
            "Name the one with the traces: traces: {variable: ...}.",
        )
    name = matrices[0] if table.variable is None else table.variable
    if name not in known:
        raise InputFileError(table.path, f"has no variable {name}; it has {', '.join(known)[:200]}.")
    traces = mat_traces(table.path, name, known[name], files, frames_first=table.rows == "frames")
    if traces.shape[0] != n_rois:
        other = "rois" if table.rows == "frames" else "frames"
        turned = f" Give rows: {other} if it is the other way round." if traces.shape[1] == n_rois else ""
        raise InputFileError(
            table.path,
            f"has {traces.shape[0]} traces in {name}, the ROI set has {n_rois} ROIs.",
            f"Give the table that belongs to this set.{turned}",
        )
    return traces
