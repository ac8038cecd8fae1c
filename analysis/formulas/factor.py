"""Columns as factors: which distinct value each row has, found without a hash table where that can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.expressions import Values
from nwbswitch.analysis.formulas.formula import Variable
from nwbswitch.schemas.errors import FormulaError

# A table of the whole range of integers is made when it is at most this many times as long as the column.
_RANGE: Final = 4
_SMALL: Final = 100_000
_LARGEST: Final = 2**62


@dataclass(frozen=True, slots=True)
class Factor:
    """Distinct values ``uniques`` and for every row the position of its own, -1 where it is missing.

    ``sorted`` says that the values are in the order of levels already.
    """

    codes: np.ndarray
    uniques: np.ndarray
    sorted: bool

    def labels(self, positions: np.ndarray | None = None) -> tuple[str, ...]:
        """Return the distinct values, or those at ``positions``, as R writes levels."""
        values = self.uniques if positions is None else self.uniques[positions]
        match values.dtype.kind:
            case "b":
                return tuple("TRUE" if each else "FALSE" for each in values)
            case "i" | "u":
                return tuple(map(str, values.tolist()))
            case "f":
                return tuple(f"{each:.15g}" for each in values.tolist())
            case _:
                return tuple(map(str, values.tolist()))


def plain_column(variable: Variable, frame: pd.DataFrame) -> pd.Series | None:
    """Return the column of the table that the variable is, or None if it is an expression."""
    code = variable.code
    name = code[1:-1] if code.count("`") == 2 and code[0] == code[-1] == "`" else ""
    if not name or name not in frame.columns:
        return None
    if not frame.columns.is_unique and int(np.sum(frame.columns == name)) > 1:
        return None
    column: pd.Series = frame[name]
    return column


def is_number(column: pd.Series) -> bool:
    """Return whether a column holds numbers rather than truth values, categories or text."""
    kinds = pd.api.types
    return (
        not isinstance(column.dtype, pd.CategoricalDtype)
        and kinds.is_numeric_dtype(column.dtype)
        and not kinds.is_bool_dtype(column.dtype)
        and not kinds.is_complex_dtype(column.dtype)
    )


def factor_of(column: pd.Series) -> Factor:
    """Return a column of a table as a factor; a categorical keeps its order and all its categories.

    Raises
    ------
    FormulaError
        If it holds lists or other values that cannot be compared.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        own = column.cat
        names = np.array([str(each) for each in own.categories], dtype=object)
        return Factor(own.codes.to_numpy().astype(np.int64), names, sorted=True)
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        return _of_integers(column.to_numpy())
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "b":
        return Factor(column.to_numpy().astype(np.int64), np.array([False, True]), sorted=True)
    if is_number(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        codes, uniques = pd.factorize(numbers)
        return Factor(codes.astype(np.int64, copy=False), uniques, sorted=False)
    missing = np.asarray(column.isna(), dtype=bool)
    if pd.api.types.is_bool_dtype(column.dtype):
        truths = column.fillna(value=False).to_numpy(dtype=bool).astype(np.int64)
        return Factor(np.where(missing, -1, truths), np.array([False, True]), sorted=True)
    return _of_text(column, missing)


def factor_of_values(values: Values) -> Factor:
    """Return the value of an expression as a factor."""
    data: Any = values.data
    codes, uniques = pd.factorize(data)
    codes = np.where(values.missing, -1, codes).astype(np.int64)
    return compact(Factor(codes, np.asarray(uniques), sorted=False))


def compact(factor: Factor) -> Factor:
    """Return a factor without the values that do not occur."""
    codes = factor.codes
    if codes.size == 0:
        return Factor(codes, factor.uniques[:0], factor.sorted)
    present = np.zeros(len(factor.uniques) + 1, dtype=bool)
    present[codes] = True
    if present[:-1].all():
        return factor
    rank = np.cumsum(present) - 1
    rank[-1] = -1
    return Factor(rank[codes], factor.uniques[present[:-1]], factor.sorted)


def numbered(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each integer the rank of its value among those that occur, and these values, sorted."""
    if keys.size == 0:
        return keys.astype(np.int64), keys
    low, high = int(keys.min()), int(keys.max())
    span = high - low + 1
    if span > max(_RANGE * keys.size, _SMALL) or high > _LARGEST:
        codes, values = pd.factorize(keys, sort=True)
        return codes.astype(np.int64, copy=False), np.asarray(values)
    shifted = keys.astype(np.int64, copy=False)
    shifted = shifted - low if low else shifted
    present = np.zeros(span, dtype=bool)
    present[shifted] = True
    if present.all():
        return shifted, np.arange(low, high + 1)
    return (np.cumsum(present) - 1)[shifted], np.flatnonzero(present) + low


def _of_integers(values: np.ndarray) -> Factor:
    codes, uniques = numbered(values)
    return Factor(codes, uniques, sorted=True)


def _of_text(column: pd.Series, missing: np.ndarray) -> Factor:
    if isinstance(column.dtype, pd.StringDtype) and column.dtype.storage == "pyarrow":
        runs = _runs(column)
        if runs is not None:
            return runs
    try:
        codes, found = pd.factorize(column)
    except TypeError as error:
        kind = type(column[~missing].iloc[0]).__name__
        raise FormulaError(
            f"The column {str(column.name)!r} holds values that cannot be compared, such as a {kind}; "
            "a factor needs text, numbers or truth values."
        ) from error
    uniques = np.asarray(found, dtype=object)
    if pd.api.types.infer_dtype(uniques, skipna=False) not in ("string", "empty"):
        # Values of other types are levels by their text.
        text = column.astype(object).where(~missing, "").astype(str).to_numpy(dtype=object)
        text_codes, texts = pd.factorize(text)
        text_codes = np.where(missing, -1, text_codes)
        return compact(Factor(text_codes.astype(np.int64), np.asarray(texts, dtype=object), sorted=False))
    return Factor(codes.astype(np.int64, copy=False), uniques, sorted=False)


def _runs(column: pd.Series) -> Factor | None:
    """Return a text column as a factor from its runs of equal values, or None where runs are short."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pa.array(column)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    runs = pc.run_end_encode(array, run_end_type=pa.int64())
    ends = np.asarray(runs.run_ends)
    if 2 * len(ends) > len(array):
        return None
    found = pc.dictionary_encode(runs.values)
    codes = np.asarray(pc.fill_null(found.indices, -1)).astype(np.int64)
    codes = np.repeat(codes, np.diff(ends, prepend=0))
    return Factor(codes, np.asarray(found.dictionary.to_pylist(), dtype=object), sorted=False)
