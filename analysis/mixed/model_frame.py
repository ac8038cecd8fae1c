"""The rows, columns and nested groups that a mixed model is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Coded, Contrasts, Design, coded, design
from nwbswitch.analysis.formulas.expressions import rows_where, shortened
from nwbswitch.analysis.formulas.formula import Formula, RandomTerm, Term
from nwbswitch.analysis.summaries.magnitudes import require_squarable, require_squarable_products
from nwbswitch.schemas.errors import FitError, FormulaError

# A column counts as a combination of earlier ones when less than this part of its length is its own.
ALIAS_TOLERANCE = 1e-9
# A variable may be a number as an effect and a factor as a group; this marks the latter among the variables.
GROUP = "|"


@dataclass(frozen=True, slots=True)
class RandomBlock:
    """Coefficients of one bar that vary together: columns (rows, k) within the levels of a group."""

    group: str
    label: str
    matrix: np.ndarray
    names: tuple[str, ...]
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the hierarchy: the group of every row, the group above every group, and its blocks.

    ``parent`` is 0 for every group where levels need not be nested.
    """

    names: tuple[str, ...]
    codes: np.ndarray
    labels: tuple[str, ...]
    parent: np.ndarray
    blocks: tuple[RandomBlock, ...]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class ModelFrame:
    """What a mixed model needs: response, design and levels from the innermost group outwards.

    ``rows`` are the positions in the table of the rows used; ``n_excluded`` rows were left out by the
    condition and ``n_missing`` for a missing value. ``weights`` (rows,) are None where all are equal.
    """

    formula: Formula
    response: np.ndarray
    fixed: Design
    variables: dict[str, Coded]
    levels: tuple[Level, ...]
    rows: np.ndarray
    n_excluded: int
    n_missing: int
    contrasts: Contrasts = "treatment"
    weights: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows used."""
        return len(self.response)


def model_frame(
    data: pd.DataFrame,
    formula: Formula,
    *,
    where: str | None = None,
    contrasts: Contrasts = "treatment",
    nested: bool = True,
    weights: str | None = None,
) -> ModelFrame:
    """Return the model frame of ``formula`` on ``data``; ``data`` is not changed.

    Rows with a missing value in any variable of the model are left out and counted. ``contrasts`` code
    the fixed effects. With ``nested=False`` groups may be crossed in any way. ``weights`` names the column
    of row weights.

    Raises
    ------
    FormulaError
        If a column is unknown, a factor has one level, or the response is text.
    FitError
        If no row is left, a value is infinite, numbers or their products cannot be squared, the response
        is constant, a column is a combination of others, groups are crossed that must be nested, or a group
        has one level or as many levels as rows.
    """
    extra = () if weights is None else (weights,)
    columns, kept, n_excluded, n_missing = complete_rows(data, formula, where=where, extra=extra)
    response = _response(columns[""], kept)
    sizes = {name: _size(each.numbers) for name, each in columns.items() if each.numbers is not None}
    require_squarable_products([*formula.fixed, *(t for bar in formula.random for t in bar.terms)], sizes)
    fixed = design(formula.fixed, columns, len(kept), contrasts=contrasts)
    check_rank(fixed)
    levels = grouped_levels(formula.random, columns, len(kept))
    if nested:
        levels = _nested(levels)
    own = None if weights is None else _weights(data, weights, kept)
    return ModelFrame(formula, response, fixed, columns, levels, kept, n_excluded, n_missing, contrasts, own)


def complete_rows(
    data: pd.DataFrame, formula: Formula, *, where: str | None = None, extra: Sequence[str] = ()
) -> tuple[dict[str, Coded], np.ndarray, int, int]:
    """Return the variables on the complete rows, these rows' positions, and the counts left out.

    The response has the key ``""``. Columns named in ``extra`` must be complete too.
    """
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"data must be a pandas DataFrame, not {type(data).__name__}.")
    n_rows = len(data)
    selected = np.arange(n_rows)
    if where is not None:
        selected = np.flatnonzero(rows_where(where, data))
        data = data.iloc[selected]
    if data.empty:
        reason = f"the condition {shortened(where)!r} holds for no row" if where else "the table has no rows"
        raise FitError(f"There is nothing to fit: {reason}.")
    groups = {name for term in formula.random for name in term.group}
    effects = {name for term in formula.fixed for name in term}
    effects |= {name for bar in formula.random for term in bar.terms for name in term}
    found = {"": coded(formula.response, data)}
    for name, asked in formula.variables.items():
        if name in effects:
            found[name] = coded(asked, data)
        if name in groups:
            found[GROUP + name] = coded(asked, data, grouping=True)
    missing = np.zeros(len(data), dtype=bool)
    for variable in found.values():
        missing |= variable.missing
    for name in extra:
        missing |= data[name].isna().to_numpy(dtype=bool)
    kept = np.flatnonzero(~missing)
    if kept.size == 0:
        worst = max(found.values(), key=lambda each: int(each.missing.sum()))
        raise FitError(
            f"There is nothing to fit: every row misses a value, {worst.name!r} "
            f"in {int(worst.missing.sum())}."
        )
    used = {name: variable.rows(kept) for name, variable in found.items()}
    for variable in used.values():
        _check_finite(variable, selected[kept])
    return used, selected[kept], n_rows - selected.size, int(missing.sum())


def _check_finite(variable: Coded, rows: np.ndarray) -> None:
    if variable.numbers is None:
        return
    bad = np.flatnonzero(~np.isfinite(variable.numbers))
    if bad.size:
        raise FitError(
            f"{variable.name!r} is infinite in {bad.size} of {rows.size} rows, first in row "
            f"{int(rows[bad[0]]) + 1}. Leave them out with a condition (where) or mend the column."
        )
    require_squarable(variable.name, _size(variable.numbers))


def _size(numbers: np.ndarray) -> float:
    return float(np.max(np.abs(numbers), initial=0.0))


def _weights(data: pd.DataFrame, name: str, rows: np.ndarray) -> np.ndarray:
    values = data[name].iloc[rows]
    if not pd.api.types.is_numeric_dtype(values):
        raise FormulaError(f"The weights {name!r} are not numbers.")
    found = values.to_numpy(dtype=float)
    bad = int(np.sum(~((found > 0.0) & np.isfinite(found))))
    if bad:
        raise FitError(
            f"The weights {name!r} have {bad} values that are not positive and finite; leave these rows out "
            "with a condition (where)."
        )
    return found


def _response(variable: Coded, rows: np.ndarray) -> np.ndarray:
    if variable.numbers is None:
        raise FormulaError(f"The response {variable.name!r} is not a number; a linear model needs numbers.")
    response = variable.numbers
    if np.ptp(response) == 0.0:
        raise FitError(
            f"The response {variable.name!r} is {response[0]:g} in all {rows.size} rows: nothing varies."
        )
    return response


def check_rank(fixed: Design) -> None:
    """Raise FitError naming the columns that are combinations of earlier columns.

    Raises
    ------
    FitError
        If there are such columns, or no fewer columns than rows.
    """
    n_rows, n_columns = fixed.matrix.shape
    if n_columns == 0:
        raise FitError("The model has no fixed effect; keep the intercept or add a term.")
    length = np.sqrt(np.einsum("ij,ij->j", fixed.matrix, fixed.matrix))
    zero = length == 0.0
    triangle = np.linalg.qr(fixed.matrix / np.where(zero, 1.0, length), mode="r")
    own = np.zeros(n_columns)
    own[: min(n_rows, n_columns)] = np.abs(np.diagonal(triangle))
    aliased = [name for name, part in zip(fixed.names, own, strict=True) if part < ALIAS_TOLERANCE]
    if aliased:
        raise FitError(
            f"Not every effect can be told apart: {', '.join(aliased)} "
            f"{'is a combination' if len(aliased) == 1 else 'are combinations'} of the columns before. "
            "Leave the term out, or look for a combination of factor levels without rows."
        )
    if n_rows <= n_columns:
        raise FitError(f"There are {n_rows} rows for {n_columns} fixed effects; more rows are needed.")


def grouped_levels(
    random: Sequence[RandomTerm], variables: dict[str, Coded], n_rows: int
) -> tuple[Level, ...]:
    """Return the levels with the most groups first, whether nested or crossed.

    Raises
    ------
    FitError
        If a group has one level, or as many levels or effects as rows.
    """
    groupings: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}
    blocks: dict[str, list[RandomBlock]] = {}
    for term in random:
        name = term.group_name
        if name not in groupings:
            groupings[name] = _grouping(term, variables, n_rows)
            blocks[name] = []
        columns = design(term.terms, variables, n_rows)
        label = f"{name}.{len(blocks[name])}" if blocks[name] else name
        check_block(name, len(groupings[name][1]), columns, n_rows)
        blocks[name].append(RandomBlock(name, label, columns.matrix, columns.names, columns.terms))
    # Innermost first; the order of the formula decides between groupings of equal size.
    order = sorted(groupings, key=lambda name: -len(groupings[name][1]))
    merged: list[tuple[list[str], list[RandomBlock]]] = []
    for name in order:
        same = merged and len(groupings[merged[-1][0][0]][1]) == len(groupings[name][1])
        if same and _parents(groupings[merged[-1][0][0]], groupings[name]) is not None:
            merged[-1][0].append(name)
            merged[-1][1].extend(blocks[name])
        else:
            merged.append(([name], list(blocks[name])))
    levels = []
    for names, own in merged:
        codes, labels = groupings[names[0]]
        levels.append(Level(tuple(names), codes, labels, np.zeros(len(labels), dtype=np.int64), tuple(own)))
    return tuple(levels)


def _nested(levels: Sequence[Level]) -> tuple[Level, ...]:
    found = list(levels)
    for position, (own, above) in enumerate(pairwise(levels)):
        parent = _parents((own.codes, own.labels), (above.codes, above.labels))
        if parent is None:
            inner, outer = own.names[0], above.names[0]
            raise FitError(
                f"The groups {inner!r} and {outer!r} are crossed: some {inner} occurs in several {outer}, "
                "and the other way round. The nested engine cannot hold crossed factors yet. If they are "
                f"nested and only labels repeat, write (1 | {outer}/{inner})."
            )
        found[position] = replace(own, parent=parent)
    return tuple(found)


def _grouping(
    term: RandomTerm, variables: dict[str, Coded], n_rows: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    codes = np.zeros(n_rows, dtype=np.int64)
    labels: tuple[str, ...] = ("",)
    for name in term.group:
        variable = variables[GROUP + name]
        assert variable.codes is not None
        combined = codes * len(variable.levels) + variable.codes
        uniques, codes = np.unique(combined, return_inverse=True)
        before, now = np.divmod(uniques, len(variable.levels))
        labels = tuple(
            f"{labels[one]}:{variable.levels[other]}" if labels[one] else variable.levels[other]
            for one, other in zip(before.tolist(), now.tolist(), strict=True)
        )
    return codes, labels


def check_block(group: str, n_groups: int, columns: Design, n_rows: int) -> None:
    """Raise FitError if the effects of one bar cannot be told from the residual.

    Raises
    ------
    FitError
        For one group, as many groups as rows, or as many random effects as rows.
    """
    if n_groups < 2:
        raise FitError(f"The group {group!r} has one level; a variance needs at least two.")
    if n_groups >= n_rows:
        raise FitError(
            f"The group {group!r} has as many levels as there are rows ({n_rows}), so its variance cannot be "
            "told from the residual. Leave the term out."
        )
    effects = n_groups * len(columns.names)
    if effects >= n_rows:
        raise FitError(
            f"({', '.join(columns.names)} | {group}) has {effects} random effects for {n_rows} rows, so "
            "their variances cannot be told from the residual. Leave an effect out."
        )


def _parents(
    lower: tuple[np.ndarray, tuple[str, ...]], upper: tuple[np.ndarray, tuple[str, ...]]
) -> np.ndarray | None:
    """Return the upper group of each lower group, or None if a lower group lies in several."""
    codes, labels = lower
    parent = np.zeros(len(labels), dtype=np.int64)
    parent[codes] = upper[0]
    return parent if bool(np.all(parent[codes] == upper[0])) else None
