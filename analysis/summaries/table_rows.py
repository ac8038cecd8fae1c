"""The complete rows of a table, variable by variable, so that only what is looked at is in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Coded, ordered
from nwbswitch.analysis.formulas.expressions import Values, evaluate, rows_where, shortened
from nwbswitch.analysis.formulas.factor import (
    Factor,
    compact,
    factor_of,
    factor_of_values,
    is_number,
    plain_column,
)
from nwbswitch.analysis.formulas.formula import Variable
from nwbswitch.analysis.summaries.magnitudes import require_squarable
from nwbswitch.schemas.errors import FitError, FormulaError


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows of a table that miss no variable; ``rows`` are their positions, None for all rows.

    ``missing`` counts the missing values of each variable among the rows that the condition selects.
    """

    frame: pd.DataFrame
    variables: Mapping[str, Variable]
    rows: np.ndarray | None
    n_rows: int
    n_excluded: int
    n_missing: int
    missing: Mapping[str, int]
    evaluated: Mapping[str, Values] = field(default_factory=dict)

    def missing_by_name(self) -> dict[str, int]:
        """Return the counts of missing values under the names of the variables."""
        return {self.variables[key].name: count for key, count in self.missing.items()}

    def is_number(self, name: str) -> bool:
        """Return whether a variable is a number as an effect."""
        variable = self.variables[name]
        if variable.as_factor:
            return False
        if name in self.evaluated:
            return self.evaluated[name].kind == "number"
        column = plain_column(variable, self.frame)
        return column is not None and is_number(column)

    def numbers(self, name: str) -> np.ndarray:
        """Return the (n_rows,) values of a numeric variable, which may be those of the table itself.

        Raises
        ------
        FitError
            If a value is infinite, or too large or too small to be squared.
        """
        if name in self.evaluated:
            values = self.evaluated[name].data
            found = values if self.rows is None else values[self.rows]
        else:
            column = self._column(name)
            found = column.to_numpy(dtype=np.float64, na_value=np.nan)
        size = max(abs(float(found.min())), abs(float(found.max())))
        if not np.isfinite(size):
            self._require_finite(name, found)
        require_squarable(self.variables[name].name, size)
        return np.asarray(found)

    def factor(self, name: str) -> Factor:
        """Return a variable as a factor of the values that occur."""
        if name in self.evaluated:
            values = self.evaluated[name]
            if self.rows is not None:
                values = Values(values.data[self.rows], values.missing[self.rows])
            return factor_of_values(values)
        return compact(factor_of(self._column(name)))

    def coded(self, name: str) -> Coded:
        """Return a variable as it enters effects: numbers, or a factor with its levels in order."""
        if self.is_number(name):
            numbers = self.numbers(name)
            return Coded(name, np.zeros(len(numbers), dtype=bool), numbers=numbers)
        return ordered(name, self.factor(name))

    def _column(self, name: str) -> pd.Series:
        column = plain_column(self.variables[name], self.frame)
        assert column is not None
        return column if self.rows is None else column.iloc[self.rows]

    def _require_finite(self, name: str, values: np.ndarray) -> None:
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            row = int(bad[0]) if self.rows is None else int(self.rows[bad[0]])
            raise FitError(
                f"{self.variables[name].name!r} is infinite in {bad.size} of {values.size} rows, first in "
                f"row {row + 1}. Leave them out with a condition (where) or mend the column."
            )


def table_rows(
    frame: pd.DataFrame, variables: Mapping[str, Variable], *, where: str | None = None
) -> TableRows:
    """Return the rows of ``frame`` that meet a condition and miss none of ``variables``.

    Raises
    ------
    FormulaError
        If a column is unknown, or the condition cannot be read.
    FitError
        If no row is left.
    """
    n_all = len(frame)
    selected = None if where is None else np.flatnonzero(rows_where(where, frame))
    n_selected = n_all if selected is None else selected.size
    if n_selected == 0:
        reason = f"the condition {shortened(where)!r} holds for no row" if where else "the table has no rows"
        raise FitError(f"There is nothing to fit: {reason}.")
    evaluated: dict[str, Values] = {}
    counts: dict[str, int] = {}
    missing: np.ndarray | None = None
    for name, variable in variables.items():
        absent = _missing(name, variable, frame, evaluated)
        if absent is None:
            continue
        absent = absent if selected is None else absent[selected]
        n_absent = int(np.count_nonzero(absent))
        if n_absent:
            counts[name] = n_absent
            missing = absent if missing is None else missing | absent
    n_missing = 0 if missing is None else int(np.count_nonzero(missing))
    if n_missing == n_selected:
        worst = max(counts, key=counts.__getitem__)
        raise FitError(
            f"There is nothing to fit: every row misses a value, {variables[worst].name!r} "
            f"in {counts[worst]}."
        )
    rows = selected
    if missing is not None:
        kept = np.flatnonzero(~missing)
        rows = kept if selected is None else selected[kept]
    return TableRows(
        frame, variables, rows, n_selected - n_missing, n_all - n_selected, n_missing, counts, evaluated
    )


def _missing(
    name: str, variable: Variable, frame: pd.DataFrame, evaluated: dict[str, Values]
) -> np.ndarray | None:
    """Return where a variable is missing, or None where it cannot be; expressions are evaluated once."""
    column = plain_column(variable, frame)
    if column is None:
        values = evaluate(variable.code, frame, what=f"The variable {variable.name!r}:")
        evaluated[name] = values
        return values.missing
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iub":
        return None
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "f":
        values_ = column.to_numpy()
        return np.isnan(values_) if np.isnan(values_.sum()) else None
    return np.asarray(column.isna(), dtype=bool)


def require_varying(name: str, values: np.ndarray) -> None:
    """Raise FitError if a response is the same in all rows.

    Raises
    ------
    FitError
        It is.
    """
    if values.min() == values.max():
        raise FitError(f"The response {name!r} is {values[0]:g} in all {values.size} rows: nothing varies.")


def weights_of(rows: TableRows, name: str) -> np.ndarray:
    """Return the row weights.

    Raises
    ------
    FormulaError
        If they are no numbers.
    FitError
        If one is not positive.
    """
    if not rows.is_number(name):
        raise FormulaError(f"The weights {name!r} are not numbers.")
    values = rows.numbers(name)
    if values.min() <= 0.0:
        raise FitError(
            f"The weights {name!r} have {int(np.sum(values <= 0.0))} values that are not positive; leave "
            "these rows out with a condition (where)."
        )
    return values


def response_of(rows: TableRows, name: str, *, partial: bool = False) -> np.ndarray:
    """Return the response, which may be constant in ``partial`` rows.

    Raises
    ------
    FormulaError
        If it is no number.
    FitError
        If it is infinite somewhere, or constant.
    """
    if not rows.is_number(name):
        shown = rows.variables[name].name
        raise FormulaError(f"The response {shown!r} is not a number; a linear model needs numbers.")
    values = rows.numbers(name)
    if not partial:
        require_varying(rows.variables[name].name, values)
    return values
