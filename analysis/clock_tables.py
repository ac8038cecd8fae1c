"""How well the clocks of recordings are known: the clock tables of NWB files as one table of all sessions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nwbswitch.analysis.runs.results_folder import CLOCKS_FILE
from nwbswitch.analysis.table_file import read_table, write_csv
from nwbswitch.schemas.clock_table import (
    CLOCK_COLUMNS,
    CLOCKS,
    MODULE_NAME,
    TABLE_NAME,
    ClockMethod,
    ClockQuality,
    clock_issues,
    clock_rows,
)
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, TableError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.nwb_text import text

if TYPE_CHECKING:
    import h5py

MAX_ROWS = 10_000
"""More streams than any session has."""
MAX_BYTES = 64 << 20
"""Of one column."""


def read_clocks(nwb: h5py.File) -> tuple[ClockQuality, ...]:
    """Return the clock table of an open NWB file; empty when it holds none.

    Raises
    ------
    ValueError
        For a table that is not as `nwbswitch.schemas.clock_table` describes it.
    """
    table = nwb.get(f"processing/{MODULE_NAME}/{TABLE_NAME}")
    if table is None:
        return ()
    columns: dict[str, list[Any]] = {}
    for column in CLOCK_COLUMNS:
        node = table.get(column.name) if hasattr(table, "get") else None
        if node is None or not hasattr(node, "shape") or node.shape is None or len(node.shape) != 1:
            continue
        if node.shape[0] > MAX_ROWS or node.shape[0] * node.dtype.itemsize > MAX_BYTES:
            raise ValueError(f"{column.name} has {node.shape[0]} rows of {node.dtype.itemsize} bytes")
        values = node[()].tolist()
        columns[column.name] = [text(each) for each in values] if column.dtype == "str" else values
    return clock_rows(columns)


def readable_clocks(nwb: h5py.File, name: str, found: list[Issue]) -> tuple[ClockQuality, ...]:
    """Return the clock table of an open file; one that cannot be read is added to ``found``."""
    try:
        return read_clocks(nwb)
    except ValueError as error:
        place = Place(name, item=f"/processing/{MODULE_NAME}/{TABLE_NAME}")
        problem = f"It cannot be read: {error}."
        found.append(issue("clock-table", problem, place=place, remedy="Convert again."))
        return ()


def session_frame(rows: Sequence[ClockQuality], *, frame_s: float, session: dict[str, str]) -> pd.DataFrame:
    """Return the clock table of one session with the columns of `nwbswitch.schemas.clock_table.CLOCKS`.

    Parameters
    ----------
    rows
        The table.
    frame_s
        Frame interval of the imaging, s.
    session
        Values of the columns dataset, animal, session, source and source_digest.
    """
    cells = [{**asdict(row), "method": row.method.value} for row in rows]
    frame = pd.DataFrame(cells, columns=[column.name for column in CLOCK_COLUMNS])
    return CLOCKS.checked(frame.assign(**session, frame_ms=1000 * frame_s)[list(CLOCKS.names)])


def doubts(clocks: pd.DataFrame) -> list[Issue]:
    """Return what is doubtful about the clocks of all sessions, each by the frames of its own session."""
    found: list[Issue] = []
    for (animal, session), own in clocks.groupby(["animal", "session"], sort=True):
        frame_ms = float(own["frame_ms"].iloc[0])
        found += clock_issues(
            _qualities(own),
            frame_s=frame_ms / 1000 if math.isfinite(frame_ms) else None,
            place=Place(item=f"{animal}/{session}"),
        )
    return found


def _qualities(clocks: pd.DataFrame) -> list[ClockQuality]:
    names = [column.name for column in CLOCK_COLUMNS]
    records = clocks[names].to_dict("records")
    return [ClockQuality(**{**each, "method": ClockMethod(each["method"])}) for each in records]  # type: ignore[arg-type]


def read_clocks_file(path: Path) -> pd.DataFrame:
    """Return the table that `write_clocks_file` wrote.

    Raises
    ------
    InputFileError, TableError
        If the file is no such table.
    """
    frame = CLOCKS.checked(read_table(path, text=CLOCKS.text_names), file=path)
    unknown = sorted(set(frame["method"]) - set(ClockMethod))
    if unknown:
        raise InputFileError(path, f"names the method {unknown[0]!r}, which is none.")
    return frame


def write_clocks_file(clocks: pd.DataFrame | None, folder: Path) -> None:
    """Write the table into a folder of results; without one, take away that of earlier work."""
    if clocks is None:
        (folder / CLOCKS_FILE).unlink(missing_ok=True)
    else:
        write_csv(clocks, folder / CLOCKS_FILE)


def refuse_other_clocks(folder: Path, digests: Iterable[str]) -> None:
    """Raise unless the table in a folder, if there is one, is of files with these digests.

    Raises
    ------
    ExistingOutputError
        If it is of others, or no such table.
    """
    path = folder / CLOCKS_FILE
    if not path.exists():
        return
    try:
        others = set(read_clocks_file(path)["source_digest"]) - set(digests)
    except (InputFileError, TableError):
        others = {""}
    if others:
        raise ExistingOutputError(
            f"{path} was made from other inputs. Choose another folder or give --overwrite."
        )
