"""Yes/no outcomes as counts: one row for each combination of covariates and groups.

The likelihood of yes/no outcomes depends on the rows only through the numbers of yes and no at each
combination of covariates and groups, so that ten million neurons become as many rows as there are sessions
times the values of neuron-level covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Coded, Contrasts, Design, coded, design
from nwbswitch.analysis.formulas.expressions import rows_where, shortened
from nwbswitch.analysis.formulas.formula import Formula, RandomTerm, Term, Variable
from nwbswitch.analysis.mixed.model_frame import GROUP, RandomBlock
from nwbswitch.analysis.summaries.table_source import table_of
from nwbswitch.schemas.errors import FitError, FormulaError

# Proportion times trials must be this close to a whole number, relative to the trials.
WHOLE: Final = 1e-6
_EXAMPLE: Final = (
    "Expected cbind(yes, no), a proportion with a column of trials, or a column of yes/no values."
)


@dataclass(frozen=True, slots=True)
class CountLevel:
    """One grouping: the names of its factor (several if they group alike), each row's group, its blocks."""

    names: tuple[str, ...]
    codes: np.ndarray
    labels: tuple[str, ...]
    blocks: tuple[RandomBlock, ...]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class BinomialFrame:
    """Counts with their design: ``yes`` of ``trials`` (rows,), levels with the most groups first.

    ``log_constant`` is the sum of log binomial coefficients over the rows of the table, which the
    log-likelihood of those rows contains; ``n_rows`` counts them. ``variables`` are on the summed rows.
    """

    formula: Formula
    yes: np.ndarray
    trials: np.ndarray
    fixed: Design
    variables: dict[str, Coded]
    levels: tuple[CountLevel, ...]
    log_constant: float
    n_rows: int
    n_excluded: int
    n_missing: int


@dataclass(frozen=True, slots=True)
class CompleteRows:
    """The variables on the rows used, these rows' positions in the table, and the counts left out."""

    variables: dict[str, Coded]
    responses: tuple[Coded, ...]
    positions: np.ndarray
    n_excluded: int
    n_missing: int


def complete_count_rows(
    data: Any, formula: Formula, *, where: str | None, responses: Sequence[Variable]
) -> CompleteRows:
    """Return the variables of ``formula`` and ``responses`` where none of them is missing.

    ``data`` is a table as `table_source.table_of` takes it.

    Raises
    ------
    FitError
        If no row is left or a value is infinite.
    """
    data = table_of(data, [*formula.variables.values(), *responses], where=where)
    n_table = len(data)
    selected = np.arange(n_table) if where is None else np.flatnonzero(rows_where(where, data))
    data = data.iloc[selected] if where is not None else data
    if data.empty:
        reason = f"the condition {shortened(where)!r} holds for no row" if where else "the table has no rows"
        raise FitError(f"There is nothing to fit: {reason}.")
    groups = {name for term in formula.random for name in term.group}
    effects = {name for term in formula.fixed for name in term}
    effects |= {name for bar in formula.random for term in bar.terms for name in term}
    found = {name: coded(each, data) for name, each in formula.variables.items() if name in effects}
    found |= {
        GROUP + name: coded(each, data, grouping=True)
        for name, each in formula.variables.items()
        if name in groups
    }
    answers = [coded(each, data) for each in responses]
    missing = np.zeros(len(data), dtype=bool)
    for variable in (*found.values(), *answers):
        missing |= variable.missing
    kept = np.flatnonzero(~missing)
    if kept.size == 0:
        worst = max((*found.values(), *answers), key=lambda each: int(each.missing.sum()))
        raise FitError(
            f"There is nothing to fit: every row misses a value, {worst.name!r} "
            f"in {int(worst.missing.sum())}."
        )
    complete = kept.size == len(data)
    used = found if complete else {name: variable.rows(kept) for name, variable in found.items()}
    answers = answers if complete else [each.rows(kept) for each in answers]
    for variable in (*used.values(), *answers):
        _check_finite(variable, selected[kept])
    return CompleteRows(used, tuple(answers), selected[kept], n_table - selected.size, int(missing.sum()))


def _check_finite(variable: Coded, positions: np.ndarray) -> None:
    if variable.numbers is None:
        return
    bad = np.flatnonzero(~np.isfinite(variable.numbers))
    if bad.size:
        raise FitError(
            f"{variable.name!r} is infinite in {bad.size} of {positions.size} rows, first in row "
            f"{int(positions[bad[0]]) + 1}. Leave them out with a condition (where) or mend the column."
        )


def binomial_frame(
    data: Any,
    formula: Formula,
    *,
    trials: str | None = None,
    where: str | None = None,
    contrasts: Contrasts = "treatment",
) -> BinomialFrame:
    """Return the counts of ``formula`` on ``data``, summed over rows with equal covariates and groups.

    Parameters
    ----------
    data
        One row per neuron, or per session with counts, as `table_of` takes it; it is not changed.
    formula
        Its left side is ``cbind(yes, no)``; or a proportion, with ``trials`` naming the column of
        denominators; or yes/no values: 0 and 1, true and false, or a factor of two levels, of which the
        second one is yes, as in R.
    where
        Condition that selects rows.

    Raises
    ------
    FormulaError
        If a column is unknown or the response is not of one of these kinds.
    FitError
        If counts are negative, not whole or above the trials, if no row is left, if every outcome is the
        same, or if a group has one level.
    """
    if formula.failures is not None and trials is not None:
        raise FormulaError("Both cbind(yes, no) and a column of trials are given; give one of them.")
    asked = [formula.response]
    asked += [formula.failures] if formula.failures is not None else []
    asked += [Variable(trials, f"`{trials}`")] if trials is not None else []
    rows = complete_count_rows(data, formula, where=where, responses=asked)
    yes, total = counts_of(rows, has_trials=trials is not None)
    if not total.sum() > 0.0:
        raise FitError("There is not one trial: every row has 0 yes and 0 no.")
    if yes.sum() in (0.0, total.sum()):
        outcome = "yes" if yes.sum() else "no"
        raise FitError(f"Every outcome is {outcome} ({total.sum():.0f} trials): nothing varies.")
    constant = _log_binomials(yes, total)
    n_rows = len(yes)
    key, first = combination_codes(list(rows.variables.values()), n_rows)
    if len(first) < n_rows:
        yes, total = np.bincount(key, yes), np.bincount(key, total)
        variables = {name: variable.rows(first) for name, variable in rows.variables.items()}
    else:
        variables = rows.variables
    some = np.flatnonzero(total > 0.0)
    if len(some) < len(total):
        yes, total = yes[some], total[some]
        variables = {name: variable.rows(some) for name, variable in variables.items()}
    fixed = design(formula.fixed, variables, len(yes), contrasts=contrasts)
    levels = count_levels(formula.random, variables, len(yes), contrasts=contrasts)
    for level in levels:
        _check_level(level, yes, total)
    return BinomialFrame(
        formula, yes, total, fixed, variables, levels, constant, n_rows, rows.n_excluded, rows.n_missing
    )


def counts_of(rows: CompleteRows, *, has_trials: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return yes and trials of every row, each (rows,), from the response columns."""
    first, *others = rows.responses
    if not others:
        return _truths(first, rows.positions), np.ones(len(rows.positions))
    one, other = _numbers(first), _numbers(others[0])
    if not has_trials:
        for variable, values in zip(rows.responses, (one, other), strict=True):
            _check_counts(variable.name, values, rows.positions)
        return one, one + other
    _check_counts(others[0].name, other, rows.positions)
    yes = np.round(one * other)
    bad = np.flatnonzero((one < 0.0) | (one > 1.0) | (np.abs(one * other - yes) > WHOLE * (1.0 + other)))
    if bad.size:
        raise FitError(
            f"{first.name!r} is not a whole number of {others[0].name!r} in {bad.size} rows: first in row "
            f"{int(rows.positions[bad[0]]) + 1}, {one[bad[0]]:g} of {other[bad[0]]:g}. With a column of "
            "trials the response is the proportion of yes, from 0 to 1; counts are written cbind(yes, no)."
        )
    return yes, other


def _numbers(variable: Coded) -> np.ndarray:
    if variable.numbers is None:
        raise FormulaError(f"{variable.name!r} is not a number; counts need numbers. {_EXAMPLE}")
    return variable.numbers


def _check_counts(name: str, values: np.ndarray, positions: np.ndarray) -> None:
    bad = np.flatnonzero((values < 0.0) | (values != np.round(values)) | (values > 2.0**53))
    if bad.size:
        hint = f" There are fewer trials than yes in {name!r}." if " - " in name and values.min() < 0 else ""
        raise FitError(
            f"{name!r} is not a count in {bad.size} rows: first {values[bad[0]]:g} in row "
            f"{int(positions[bad[0]]) + 1}. Expected whole numbers from 0 on.{hint}"
        )


def _truths(variable: Coded, positions: np.ndarray) -> np.ndarray:
    if variable.numbers is not None:
        bad = np.flatnonzero((variable.numbers != 0.0) & (variable.numbers != 1.0))
        if bad.size:
            raise FitError(
                f"The response {variable.name!r} is {variable.numbers[bad[0]]:g} in row "
                f"{int(positions[bad[0]]) + 1}; yes/no outcomes are 0 or 1. {_EXAMPLE}"
            )
        return variable.numbers
    assert variable.codes is not None
    if len(variable.levels) > 2:
        raise FormulaError(
            f"The response {variable.name!r} has {len(variable.levels)} values "
            f"({shortened(', '.join(variable.levels))}); yes/no outcomes have two. {_EXAMPLE}"
        )
    truth_levels = variable.levels in (("TRUE",), ("FALSE",), ("FALSE", "TRUE"))
    if len(variable.levels) < 2 and not truth_levels:
        raise FitError(
            f"The response {variable.name!r} is {variable.levels[0]!r} in every row: nothing varies."
        )
    return (variable.codes + (variable.levels == ("TRUE",))).astype(np.float64)


def _log_binomials(yes: np.ndarray, total: np.ndarray) -> float:
    from scipy.special import gammaln

    several = total > 1.0
    y, m = yes[several], total[several]
    return float(np.sum(gammaln(m + 1.0) - gammaln(y + 1.0) - gammaln(m - y + 1.0)))


def combination_codes(variables: Sequence[Coded], n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a code (rows,) for each distinct combination of values and the first row of each code."""
    key = np.zeros(n_rows, dtype=np.int64)
    for variable in variables:
        codes = variable.codes
        if codes is None:
            assert variable.numbers is not None
            codes = pd.factorize(variable.numbers)[0]
        key = pd.factorize(key * (int(codes.max()) + 1) + codes)[0].astype(np.int64)
    first = np.empty(int(key.max()) + 1, dtype=np.int64)
    first[key[::-1]] = np.arange(n_rows)[::-1]
    return key, first


def count_levels(
    random: Sequence[RandomTerm],
    variables: dict[str, Coded],
    n_rows: int,
    *,
    contrasts: Contrasts = "treatment",
) -> tuple[CountLevel, ...]:
    """Return the grouping levels, most groups first; factors that group alike share a level."""
    groupings: dict[str, tuple[np.ndarray, tuple[str, ...]]] = {}
    blocks: dict[str, list[RandomBlock]] = {}
    for term in random:
        name = term.group_name
        if name not in groupings:
            groupings[name] = group_codes(term.group, variables, n_rows)
            blocks[name] = []
        columns = design(term.terms, variables, n_rows, contrasts=contrasts)
        label = f"{name}.{len(blocks[name])}" if blocks[name] else name
        blocks[name].append(RandomBlock(name, label, columns.matrix, columns.names, columns.terms))
    merged: list[tuple[list[str], list[RandomBlock]]] = []
    for name in sorted(groupings, key=lambda each: -len(groupings[each][1])):
        alike = next((each for each in merged if _alike(groupings[each[0][0]], groupings[name])), None)
        if alike is None:
            merged.append(([name], list(blocks[name])))
        else:
            alike[0].append(name)
            alike[1].extend(blocks[name])
    return tuple(CountLevel(tuple(names), *groupings[names[0]], tuple(own)) for names, own in merged)


def group_codes(group: Term, variables: dict[str, Coded], n_rows: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the group of every row and the groups' labels, which join the labels of their factors."""
    codes = np.zeros(n_rows, dtype=np.int64)
    labels: tuple[str, ...] = ("",)
    for name in group:
        variable = variables[GROUP + name]
        assert variable.codes is not None
        uniques, codes = np.unique(codes * len(variable.levels) + variable.codes, return_inverse=True)
        before, now = np.divmod(uniques, len(variable.levels))
        labels = tuple(
            f"{labels[one]}:{variable.levels[other]}" if labels[one] else variable.levels[other]
            for one, other in zip(before.tolist(), now.tolist(), strict=True)
        )
    return codes, labels


def _alike(one: tuple[np.ndarray, tuple[str, ...]], other: tuple[np.ndarray, tuple[str, ...]]) -> bool:
    if len(one[1]) != len(other[1]):
        return False
    partner = np.zeros(len(one[1]), dtype=np.int64)
    partner[one[0]] = other[0]
    return bool(np.all(partner[one[0]] == other[0]))


def _check_level(level: CountLevel, yes: np.ndarray, trials: np.ndarray) -> None:
    name = level.names[0]
    if level.n_groups < 2:
        raise FitError(f"The group {name!r} has one level; a variance needs at least two.")
    for block in level.blocks:
        for column, effect in zip(block.matrix.T, block.names, strict=True):
            if not column.any():
                raise FitError(
                    f"{effect!r} is 0 in every row, so ({effect} | {block.group}) has no variance."
                )
    hits = np.bincount(level.codes, yes, minlength=level.n_groups)
    total = np.bincount(level.codes, trials, minlength=level.n_groups)
    if np.all((hits == 0.0) | (hits == total)):
        reason = (
            f"has one outcome per level ({level.n_groups})"
            if total.max() == 1.0
            else "has only yes or only no in every level"
        )
        raise FitError(f"The group {name!r} {reason}, so that its variance has no bound. Leave it out.")
