"""Sums of a cells table over blocks: one row per neuron and window, read in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nwbswitch.analysis.table_file import require_plausible
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.tables import CELLS, TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS = (
    "dataset",
    "animal",
    "session",
    "plane",
    "neuron",
    "cell_type",
    "arm",
    "window",
    "source",
    "source_digest",
)
_SUMS = ("exposure_s", "n_events")
_BATCH_ROWS = 1 << 19

NEURON_SUMS = TableSpec(
    "cells",
    "one neuron in one analysis window",
    tuple(column for column in CELLS.columns if column.name in {*_KEYS, *_SUMS}),
)


def neuron_sums(path: Path) -> pd.DataFrame:
    """Return events and exposure of every neuron in every window, columns of `NEURON_SUMS`.

    Words are categories. Memory follows the number of neurons, not of blocks.

    Raises
    ------
    InputFileError
        If the file is missing, empty or no Parquet file.
    TableError
        If it lacks columns or holds other values.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputFileError(path, "no such table.", "Run nwbswitch measure into this folder first.")
    keys = list(_KEYS)
    sums = [(name, "sum") for name in _SUMS]
    try:
        require_plausible(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            there = set(file.schema_arrow.names)
            if not file.metadata.num_rows:
                raise InputFileError(path, "the table has no rows.")
            if not set(NEURON_SUMS.names) <= there:
                NEURON_SUMS.checked(pd.DataFrame(columns=sorted(there)), file=path)
            pieces: list[pa.Table] = []
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(NEURON_SUMS.names)):
                if not pieces:
                    NEURON_SUMS.checked(batch.to_pandas(), file=path)
                columns = {
                    column.name: pc.fill_null(pc.cast(batch[column.name], pa.string()), "")
                    if column.dtype == "str"
                    else pc.cast(batch[column.name], pa.int64() if column.dtype == "int" else pa.float64())
                    for column in NEURON_SUMS.columns
                }
                pieces.append(_summed(pa.table(columns), keys, sums))
    except (OSError, ValueError, TypeError, NotImplementedError, MemoryError) as error:
        if isinstance(error, InputFileError):
            raise
        reason = str(error).partition("\n")[0]
        raise InputFileError(path, f"cannot be read as PARQUET ({reason}).") from error
    whole = _summed(pa.concat_tables(pieces), keys, sums).sort_by([(name, "ascending") for name in keys])
    words = [name for name in keys if name in NEURON_SUMS.text_names]
    frame: pd.DataFrame = whole.select(list(NEURON_SUMS.names)).to_pandas(categories=words)
    return frame


def _summed(table: pa.Table, keys: list[str], sums: list[tuple[str, str]]) -> pa.Table:
    found = table.group_by(keys).aggregate(sums)
    return found.rename_columns([name.removesuffix("_sum") for name in found.column_names])
