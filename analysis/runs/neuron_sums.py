"""Sums of a cells table over blocks: one row per neuron and window, read in pieces."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from nwbswitch.analysis.table_file import require_plausible
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.tables import CELLS, TableSpec

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

    Memory follows the number of neurons, not of blocks.

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
            pieces = []
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(NEURON_SUMS.names)):
                table = pa.Table.from_batches([batch])
                for name in keys:
                    column = table[name]
                    if pa.types.is_dictionary(column.type):
                        column = pc.cast(column, column.type.value_type)
                    table = table.set_column(table.schema.get_field_index(name), name, column)
                summed = table.group_by(keys).aggregate(sums)
                pieces.append(summed.rename_columns([*_names(summed.column_names)]))
    except (OSError, ValueError, TypeError, NotImplementedError, MemoryError) as error:
        if isinstance(error, InputFileError):
            raise
        reason = str(error).partition("\n")[0]
        raise InputFileError(path, f"cannot be read as PARQUET ({reason}).") from error
    whole = pa.concat_tables(pieces, promote_options="permissive").group_by(keys).aggregate(sums)
    frame = whole.rename_columns(_names(whole.column_names)).to_pandas()
    checked = NEURON_SUMS.checked(frame, file=path)
    return checked.sort_values(keys, ignore_index=True)


def _names(columns: list[str]) -> list[str]:
    return [name.removesuffix("_sum") for name in columns]
