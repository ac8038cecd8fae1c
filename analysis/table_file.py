"""Tables on disk: CSV, TSV and Parquet in, CSV and Parquet out."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.files import replaced

MAX_TEXT_BYTES = 2 << 30
MIN_SUSPECT_BYTES = 2 << 30
MAX_RATIO = 2000
"""Values in memory to bytes in the file; of spikes, where most columns are constant, some hundred."""
BATCH_ROWS = 1_000_000
"""Rows that are in memory at a time where a table is gone through piece by piece."""
_MISSING = ["", "#N/A", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]


def read_table(
    path: Path | str, *, text: Collection[str] = (), columns: Collection[str] | None = None
) -> pd.DataFrame:
    """Return the table in a ``.csv``, ``.tsv`` or ``.parquet`` file.

    Parameters
    ----------
    path
        The file.
    text
        Columns of a text table whose values are identifiers or words: ``01`` and ``NA`` stay as written.
    columns
        Columns to read of a Parquet table, all by default; those that it does not have are not read.

    Raises
    ------
    InputFileError
        If the file is missing, empty, of another kind, too large for text (2 GiB) or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputFileError(path, "no such table.", "Give a .csv, .tsv or .parquet file.")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".parquet"):
        raise InputFileError(
            path, f"a table of kind {suffix or '(none)'!r} is not read here.", "Use CSV or Parquet."
        )
    if suffix != ".parquet" and path.stat().st_size > MAX_TEXT_BYTES:
        raise InputFileError(path, "a text table of more than 2 GiB.", "Convert it to Parquet first.")
    try:
        if suffix == ".parquet":
            require_plausible(path)
            frame = _read_parquet(path, columns)
        else:
            frame = _read_text(path, sep="," if suffix == ".csv" else "\t", text=frozenset(text))
    except (ValueError, OSError, MemoryError, UnicodeDecodeError, pd.errors.EmptyDataError) as error:
        reason = str(error).partition("\n")[0]
        raise InputFileError(path, f"cannot be read as {suffix[1:].upper()} ({reason}).") from error
    if frame.empty:
        raise InputFileError(path, "the table has no rows.")
    if suffix != ".parquet":
        for name in _text_columns(frame):
            frame[name] = frame[name].map(_as_written)
    return frame


def _read_parquet(path: Path, columns: Collection[str] | None) -> pd.DataFrame:
    import pyarrow.parquet as pq

    chosen = None
    if columns is not None:
        names = pq.read_schema(path).names
        # Without a known column the reader's caller says what is missing, from the first one.
        chosen = [name for name in names if name in columns] or names[:1]
    return pd.read_parquet(path, columns=chosen, page_checksum_verification=True)


def require_plausible(path: Path) -> None:
    """Raise when a Parquet file states far more rows than can be in it: they would be made in memory.

    Raises
    ------
    UnsafeFileError
        It does.
    OSError, ValueError
        It is none.
    """
    import pyarrow.parquet as pq

    found = pq.read_metadata(path)
    n_bytes = 8 * found.num_rows * found.num_columns
    if n_bytes > max(MIN_SUSPECT_BYTES, MAX_RATIO * path.stat().st_size):
        problem = (
            f"states {found.num_rows} rows of {found.num_columns} columns in {path.stat().st_size} bytes."
        )
        raise UnsafeFileError(path, problem)


def distinct_rows(path: Path, columns: Collection[str]) -> pd.DataFrame:
    """Return the distinct rows of some columns of a Parquet table, those that it has, a piece at a time.

    Memory follows the distinct rows, not the table.

    Raises
    ------
    InputFileError
        If the file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: pd.DataFrame | None = None
    names: list[str] = []
    try:
        require_plausible(path)
        with pq.ParquetFile(path) as file:
            names = [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(BATCH_ROWS, columns=names):
                piece = batch.to_pandas().drop_duplicates()
                found = piece if found is None else pd.concat([found, piece]).drop_duplicates()
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
        raise InputFileError(path, f"cannot be read as PARQUET ({str(error)[:200]}).") from error
    return pd.DataFrame(columns=names) if found is None else found.reset_index(drop=True)


def _read_text(path: Path, *, sep: str, text: frozenset[str]) -> pd.DataFrame:
    names = pd.read_csv(path, sep=sep, encoding="utf-8-sig", nrows=0).columns
    return pd.read_csv(
        path,
        sep=sep,
        encoding="utf-8-sig",
        dtype=dict.fromkeys(text.intersection(names), str),
        keep_default_na=False,
        na_values={name: _MISSING for name in names if name not in text},
    )


def write_csv(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a table as CSV, atomically, with 10 significant digits and text that no spreadsheet runs."""
    safe = frame.copy()
    for name in _text_columns(safe):
        safe[name] = safe[name].map(_inert)
    with replaced(path) as partial:
        safe.to_csv(partial, index=False, float_format="%.10g", encoding="utf-8")


def write_parquet(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a table as Parquet, atomically; categories and their order are kept."""
    with replaced(path) as partial:
        frame.to_parquet(partial, index=False)


_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")


def _text_columns(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.select_dtypes(["object", "string"]).columns]


def _inert(value: object) -> object:
    return "'" + value if isinstance(value, str) and value.startswith(_RUN_BY_SPREADSHEETS) else value


def _as_written(value: object) -> object:
    """Take off the quote that `write_csv` put before text such as an arm named +MK-801."""
    guarded = isinstance(value, str) and value[:1] == "'" and value[1:].startswith(_RUN_BY_SPREADSHEETS)
    return value[1:] if guarded and isinstance(value, str) else value
