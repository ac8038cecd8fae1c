"""Counts of all sessions of a cells file that may be larger than memory, read a piece at a time.

Only the columns that estimates are made from are read, text as codes. A session is put together when its
last row has come: in a table of `measure`, where every session has row groups of its own, one session at a
time is open. A table that mixes its sessions is read too; then all of them are open until the end.

Needed are `COUNT_BYTES` per row of the table for the counts themselves, and `OPEN_BYTES` more per row of
the sessions that are open at the same time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from nwbswitch.analysis.estimands.cell_rows import (
    KEYS,
    NEEDED,
    SessionKey,
    SessionRows,
    joined_rows,
    rows_by_session,
    rows_per_session,
)
from nwbswitch.analysis.estimands.counts import SessionCounts, read_sessions, session_counts
from nwbswitch.schemas.errors import InputFileError, TableError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.progress import readable_bytes
from nwbswitch.schemas.tables import CELLS

COUNT_BYTES = 24
OPEN_BYTES = 68
BATCH_ROWS = 1 << 17


def read_cells(path: Path | str) -> list[SessionCounts]:
    """Return the counts of every session and cell type of a cells file, ordered as `read_sessions` does.

    Parameters
    ----------
    path
        Cells table: Parquet of any size, CSV or TSV up to 2 GiB.

    Raises
    ------
    InputFileError
        When the file is missing, damaged, or needs more memory than there is.
    TableError
        When the table does not fit its specification, or rows contradict each other.
    """
    from nwbswitch.analysis.table_file import read_table

    path = Path(path)
    if path.suffix.lower() != ".parquet":
        return read_sessions(read_table(path, text=CELLS.text_names))
    n_rows = _checked_rows(path)
    try:
        sizes = _rows_per_session(path)
        found = [session_counts(rows) for rows in _sessions(path, sizes)]
    except MemoryError as error:
        needed = readable_bytes(n_rows * (COUNT_BYTES + OPEN_BYTES))
        raise InputFileError(
            path,
            f"holds {n_rows} rows, for which memory is too little; at most {needed} are needed.",
            "Sort the table by session, which needs a quarter of it, or estimate fewer sessions at once.",
        ) from error
    return sorted(found, key=lambda each: (each.dataset, each.animal, each.session, each.cell_type))


def _checked_rows(path: Path) -> int:
    """Return the number of rows of a Parquet file whose columns can be those of a cells table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from nwbswitch.analysis.table_file import require_plausible

    if not path.is_file():
        raise InputFileError(path, "no such table.", "Give a .csv, .tsv or .parquet file.")
    try:
        require_plausible(path)
        schema = pq.read_schema(path)
        n_rows = int(pq.read_metadata(path).num_rows)
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InputFileError(path, f"cannot be read as PARQUET ({reason}).") from error
    known = set(CELLS.names)
    found = CELLS.issues(pd.DataFrame({name: [] for name in schema.names if name in known}), file=path)
    for name, times in Counter(schema.names).items():
        place = Place(path, item=f"cells.{name}")
        if name in known and times > 1:
            found.append(issue("duplicate-id", f"The column {name!r} is there twice.", place=place))
        elif name in known and pa.types.is_nested(schema.field(name).type):
            found.append(issue("bad-cell", f"The column {name!r} holds lists or tables.", place=place))
    if found:
        raise TableError(found)
    if not n_rows:
        raise InputFileError(path, "the table has no rows.")
    return n_rows


def _batches(path: Path, columns: tuple[str, ...]) -> Iterator[pd.DataFrame]:
    """Yield pieces of a Parquet file with text as categories, `BATCH_ROWS` rows at most in each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
        present = [name for name in columns if name in schema.names]
        texts = [name for name in present if name in CELLS.text_names and _is_text(schema.field(name).type)]
        with pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=present):
                frame: pd.DataFrame = batch.to_pandas()
                yield frame
    except (OSError, ValueError, pa.ArrowException) as error:
        if isinstance(error, MemoryError):
            raise
        reason = str(error).partition("\n")[0]
        raise InputFileError(path, f"cannot be read as PARQUET ({reason}).") from error


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _rows_per_session(path: Path) -> Counter[SessionKey]:
    """Return how many rows each session and cell type has, from the columns of their names alone."""
    sizes: Counter[SessionKey] = Counter()
    for frame in _batches(path, KEYS):
        sizes.update(rows_per_session(frame))
    return sizes


def _sessions(path: Path, sizes: Counter[SessionKey]) -> Iterator[SessionRows]:
    """Yield the rows of each session as soon as they are complete."""
    waiting: dict[SessionKey, list[SessionRows]] = {}
    missing = Counter(sizes)
    first_row = 0
    for frame in _batches(path, NEEDED.names):
        found = NEEDED.issues(frame, file=path)
        if found:
            raise TableError([_counted_from(each, first_row) for each in found])
        first_row += len(frame)
        for rows in rows_by_session(frame):
            waiting.setdefault(rows.key, []).append(rows)
            missing[rows.key] -= rows.neuron.size
            if missing[rows.key] == 0:
                yield joined_rows(waiting.pop(rows.key))
    if waiting:
        raise InputFileError(path, "was changed while it was read.", "Run the command again.")


def _counted_from(found: Issue, first_row: int) -> Issue:
    if not first_row or not found.message.startswith("Row "):
        return found
    message = f"{found.message} Rows are counted from row {first_row + 1} of the file."
    return issue(found.code, message, place=found.place, remedy=found.remedy)
