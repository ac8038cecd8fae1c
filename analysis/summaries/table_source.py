"""Tables of any kind as pandas, with only the columns that a model needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nwbswitch.analysis.formulas.expressions import columns_used
from nwbswitch.analysis.formulas.formula import Variable
from nwbswitch.schemas.errors import FormulaError
from nwbswitch.schemas.issues import nearest


def table_of(data: Any, variables: Iterable[Variable], *, where: str | None = None) -> pd.DataFrame:
    """Return a table as pandas.

    Parameters
    ----------
    data
        A pandas DataFrame, which is returned as it is; any table that speaks Arrow (polars, pyarrow) or
        the dataframe interchange protocol; or the path of a .parquet, .csv or .tsv file.
    variables
        Variables that will be asked for.
    where
        Condition that will be asked for.

    Raises
    ------
    InputFileError
        If a file cannot be read.
    FormulaError
        If a file or an Arrow table lacks a column.
    TypeError
        If ``data`` is none of these, or its columns have several levels.
    """
    if isinstance(data, pd.DataFrame) and isinstance(data.columns, pd.MultiIndex):
        raise TypeError(
            f"data has columns of {data.columns.nlevels} levels (a MultiIndex); flatten them first, e.g. "
            "data.columns = ['_'.join(map(str, each)) for each in data.columns]."
        )
    if isinstance(data, pd.DataFrame):
        return data
    needed = {name for variable in variables for name in columns_used(variable.code)}
    needed |= set(columns_used(where)) if where else set()
    if isinstance(data, str | Path):
        from nwbswitch.analysis.table_file import read_table

        found = read_table(data, columns=needed)
        if not needed <= set(found.columns):
            _require_columns(needed, list(read_table(data).columns))
        return found
    if hasattr(data, "__arrow_c_stream__"):
        import pyarrow as pa

        table = pa.table(data)
        _require_columns(needed, table.column_names)
        kept = [name for name in table.column_names if name in needed] or table.column_names[:1]
        narrow: pd.DataFrame = table.select(kept).to_pandas()
        return narrow
    if hasattr(data, "__dataframe__"):
        from pandas.api.interchange import from_dataframe

        return from_dataframe(data)
    raise TypeError(
        f"data must be a table (pandas, polars, pyarrow) or the path of one, not {type(data).__name__}; a "
        "pandas DataFrame is the common case."
    )


def _require_columns(needed: set[str], names: Sequence[str]) -> None:
    for name in sorted(needed - set(names)):
        known = nearest(name, names) or f"Columns are {', '.join(names[:20])}."
        raise FormulaError(f"The table has no column {name!r}. {known}")
