"""Points in CSV files with three or four header rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.behavior.pose import Pose
from nwbswitch.converters.behavior.pose_columns import (
    LABELS,
    LABELS_REMEDY,
    PoseColumns,
    check_frames,
    pose_columns,
)
from nwbswitch.schemas.errors import InputFileError, TableError, UnsafeFileError
from nwbswitch.schemas.issues import Place, issue

HEADERS = (["scorer", "bodyparts", "coords"], ["scorer", "individuals", "bodyparts", "coords"])
MAX_LINE_BYTES = 1 << 20
MAX_BYTES = 16 << 30
BLOCK_BYTES = 8 << 20


def read_pose_csv(path: Path, *, individual: str | None, software: str) -> Pose:
    """Open a CSV of points; all its lines are counted, its cells are read later.

    Raises
    ------
    InputFileError
        What is no such table, or labels of single frames.
    UnsafeFileError
        A file or a line that is too long.
    """
    if not path.is_file():
        raise InputFileError(path, "is not there.")
    if path.stat().st_size > MAX_BYTES:
        raise UnsafeFileError(path, f"has {path.stat().st_size} bytes, more than the {MAX_BYTES} read.")
    try:
        labels, n_header, first = _header(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputFileError(path, f"is not a CSV table in UTF-8: {error}.") from error
    if first is not None and not first[0].strip().lstrip("-").replace(".0", "").isdecimal():
        raise InputFileError(path, LABELS, LABELS_REMEDY)
    columns = pose_columns(path, labels, individual=individual)
    n = _count_lines(path) - n_header
    return Pose(
        path,
        columns.keypoints,
        n,
        lambda: _blocks(path, columns, n_header, len(labels)),
        software=software,
        comments=f"Found by {columns.scorer}.",
    )


def _header(path: Path) -> tuple[list[tuple[str, ...]], int, list[str] | None]:
    """Return the labels of the columns, the number of header rows and the first row below them."""
    rows: list[list[str]] = []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for _ in range(5):
            line = stream.readline(MAX_LINE_BYTES)
            if len(line) == MAX_LINE_BYTES:
                raise UnsafeFileError(path, f"has a line of {MAX_LINE_BYTES} characters or more.")
            if line.strip():
                rows.append(next(csv.reader([line], strict=True)))
    names = [row[0].strip() for row in rows]
    header = next((each for each in HEADERS if names[: len(each)] == each), None)
    if header is None:
        raise InputFileError(
            path, "does not begin with header rows scorer, (individuals,) bodyparts and coords."
        )
    head = rows[: len(header)]
    if len({len(row) for row in head}) != 1:
        raise InputFileError(path, "has header rows of different length.")
    first = rows[len(header)] if len(rows) > len(header) else None
    return [tuple(cells) for cells in zip(*(row[1:] for row in head), strict=True)], len(header), first


def _count_lines(path: Path) -> int:
    """Return the number of lines that are not empty."""
    count, rest = 0, b""
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            lines = (rest + block).split(b"\n")
            rest = lines.pop()
            if len(rest) > MAX_LINE_BYTES:
                raise UnsafeFileError(path, f"has a line of more than {MAX_LINE_BYTES} bytes.")
            count += sum(1 for line in lines if line.strip())
    return count + bool(rest.strip())


def _blocks(path: Path, columns: PoseColumns, n_header: int, n_columns: int) -> Iterator[NDArray[Any]]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    names = [str(place) for place in range(n_columns + 1)]
    start = 0
    try:
        with arrow_csv.open_csv(
            path,
            read_options=arrow_csv.ReadOptions(
                skip_rows=n_header, column_names=names, block_size=BLOCK_BYTES
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.float64()), null_values=["", "nan", "NaN", "NA"]
            ),
        ) as reader:
            for batch in reader:
                rows = np.stack([each.to_numpy(zero_copy_only=False) for each in batch.columns], axis=1)
                check_frames(path, rows[:, 0], start)
                start += len(rows)
                yield columns.block(rows[:, 1:])
    except pa.ArrowInvalid as error:
        raise _first_fault(path, n_header, n_columns, error) from error


def _first_fault(path: Path, n_header: int, n_columns: int, error: Exception) -> Exception:
    """Return the error about the first line that is no row of numbers."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if number <= n_header or not row:
                continue
            if len(row) != n_columns + 1:
                problem = f"The row has {len(row)} cells, the header has {n_columns + 1}."
                return TableError([issue("bad-cell", problem, place=Place(path, number))])
            for cell in row:
                try:
                    float(cell or "nan")
                except ValueError:
                    problem = f"The cell {cell[:40]!r} is not a number."
                    return TableError([issue("bad-cell", problem, place=Place(path, number))])
    return InputFileError(path, f"is not a table of numbers: {str(error)[:200]}.")
