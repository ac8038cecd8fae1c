"""Tables inside an open NWB file: text, columns, the drug log, analysis windows and ROIs, by plain h5py."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.drug_log import EPOCHS_NAME, TABLE_NAME, Administration
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Place, issue, nearest
from nwbswitch.schemas.nwb_text import ACCEPTED_NAMES, text

if TYPE_CHECKING:
    import h5py

MAX_ROWS = 1_000_000
_DRUG_FIELDS = ("substance", "role", "control_kind", "dose", "dose_unit")


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """One analysis window on the session clock, s."""

    window: Window
    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class RoiTable:
    """The ROIs of one plane segmentation; every field has one entry per row."""

    accepted: NDArray[np.bool_]
    cell_type: tuple[str, ...]
    roi_basis: tuple[str, ...]
    tracking_id: tuple[str, ...]
    depth_um: NDArray[np.float64]
    """NaN where the file does not state it."""


def neurodata_type(node: Any) -> str:
    """Return the NWB type of a group or dataset, or an empty string."""
    return text(node.attrs.get("neurodata_type"))


def read_administrations(nwb: h5py.File, path: Path) -> tuple[Administration, ...]:
    """Return the drug log in order of time; empty when the file holds none.

    Raises
    ------
    IssuesError
        For rows that are no administrations.
    """
    table = nwb.get(f"events/{TABLE_NAME}")
    if table is None:
        return ()
    from pydantic import ValidationError

    columns = {name: _column(table, name) for name in ("timestamp", *_DRUG_FIELDS)}
    times = columns.pop("timestamp")
    rows = []
    for index, time_s in enumerate([] if times is None else times):
        fields = {name: values[index] for name, values in columns.items() if values is not None}
        given = {name: value for name, value in fields.items() if not _is_missing(value)}
        try:
            rows.append(Administration.model_validate({"timestamp_s": time_s, **given}))
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"Row {index + 1} of the drug log: {'.'.join(map(str, first['loc']))}: {first['msg']}."
            place = Place(path, item=f"/events/{TABLE_NAME}")
            raise IssuesError([issue("bad-cell", problem, place=place)]) from error
    return tuple(sorted(rows, key=lambda row: row.timestamp_s))


def read_windows(nwb: h5py.File, path: Path) -> tuple[WindowSpan, ...]:
    """Return the analysis windows in order of their starts.

    Raises
    ------
    IssuesError
        When the file holds none, or windows of unknown names or without extent.
    """
    place = Place(path, item=f"/intervals/{EPOCHS_NAME}")
    table = nwb.get(f"intervals/{EPOCHS_NAME}")
    names = None if table is None else _column(table, "window")
    if table is None or not names:
        problem = "The file names no analysis windows, so there is nothing to compare."
        remedy = f"Add the table {EPOCHS_NAME} with a column window, e.g. by converting with epochs."
        raise IssuesError([issue("no-epochs", problem, place=place, remedy=remedy)])
    starts, stops = _column(table, "start_time") or [], _column(table, "stop_time") or []
    found, spans = [], []
    for name, start_s, stop_s in zip(names, starts, stops, strict=False):
        if name not in list(Window):
            problem = f"{name!r} is no analysis window."
            found.append(issue("unknown-word", problem, place=place, remedy=nearest(name, Window)))
        elif not (math.isfinite(start_s) and math.isfinite(stop_s) and stop_s > start_s):
            problem = f"The window {name} goes from {start_s} to {stop_s} s."
            found.append(issue("wrong-value", problem, place=place))
        else:
            spans.append(WindowSpan(Window(name), float(start_s), float(stop_s)))
    if found:
        raise IssuesError(found)
    return tuple(sorted(spans, key=lambda span: (span.start_s, span.window)))


def read_rois(segmentation: h5py.Group, n_rows: int) -> RoiTable:
    """Return the ROIs of a plane segmentation; what the file does not state is unknown, and accepted."""
    accepted = next((segmentation[name] for name in ACCEPTED_NAMES if name in segmentation), None)
    flags = np.ones(n_rows, dtype=bool)
    if accepted is not None:
        values = np.asarray(accepted[()], dtype=float)
        values = values[:, 0] if values.ndim == 2 else values
        flags[: values.size] = values[:n_rows] > 0.5
    depth = _column(segmentation, "depth_um") or []
    depth_um = np.full(n_rows, np.nan)
    depth_um[: len(depth)] = depth[:n_rows]
    return RoiTable(
        accepted=flags,
        cell_type=_words(segmentation, "cell_type", n_rows, "unknown"),
        roi_basis=_words(segmentation, "roi_basis", n_rows, "unknown"),
        tracking_id=_words(segmentation, "tracking_id", n_rows, ""),
        depth_um=depth_um,
    )


def _words(table: h5py.Group, name: str, n_rows: int, default: str) -> tuple[str, ...]:
    values = _column(table, name) or []
    words = [str(value) or default for value in values[:n_rows]]
    return tuple(words + [default] * (n_rows - len(words)))


def _column(table: h5py.Group, name: str) -> list[Any] | None:
    """Return a column as plain values, or None when the table does not have it."""
    column = table.get(name)
    if column is None or not hasattr(column, "shape") or column.ndim != 1 or column.shape[0] > MAX_ROWS:
        return None
    return [text(value) if isinstance(value, bytes) else value for value in column[()].tolist()]


def _is_missing(value: Any) -> bool:
    return value == "" or (isinstance(value, float) and math.isnan(value))
