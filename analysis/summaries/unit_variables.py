"""Which variables of a model are constant in every unit, and which make columns inside units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Coded, ordered, require_two_levels
from nwbswitch.analysis.formulas.factor import Factor, compact, numbered
from nwbswitch.analysis.formulas.formula import Formula
from nwbswitch.analysis.summaries.crossing import Crossing, slot_factor, slot_variable, varies_inside
from nwbswitch.analysis.summaries.nesting import Nest, is_constant, one_point
from nwbswitch.analysis.summaries.table_rows import TableRows
from nwbswitch.analysis.summaries.unit_summaries import CrossedGroups
from nwbswitch.schemas.errors import FormulaError

# Levels of a factor among the effects: inside units each is a column of every unit, else one of the model.
MAX_LEVELS_INSIDE: Final = 400
MAX_LEVELS: Final = 5_000
# A number with at most this many values is counted by value; all combinations are at most MAX_CELLS.
MAX_VALUES: Final = 32
MAX_CELLS: Final = 128
_SAMPLE: Final = 4_096


@dataclass(frozen=True, slots=True)
class UnitVariables:
    """Variables of effects, by where they vary.

    ``values`` are those constant in every unit, by unit. Of the others, ``factors`` with their ``levels``
    and numbers that take few values give the cells that occur: ``cells`` (cells, factors) and
    ``cell_numbers`` (cells,), with the ``cell`` of every row (None if there is one). ``numbers`` are
    by row. ``crossed`` are the crossed groupings, whose numbers are among the values or factors.
    """

    values: Mapping[str, Coded]
    factors: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    cells: np.ndarray
    cell: np.ndarray | None
    cell_numbers: Mapping[str, np.ndarray]
    numbers: Mapping[str, np.ndarray]
    crossed: tuple[CrossedGroups, ...] = ()

    @property
    def local(self) -> tuple[str, ...]:
        """Names of the variables that make columns inside units."""
        return (*self.factors, *self.cell_numbers, *self.numbers)

    def levels_inside(self) -> dict[str, Sequence[str] | None]:
        """Return the levels of every local variable, None for numbers."""
        return {**self.levels, **dict.fromkeys((*self.cell_numbers, *self.numbers))}

    def range_of(self, name: str) -> tuple[float, float]:
        """Return the least and the greatest value of a local number."""
        values = self.cell_numbers[name] if name in self.cell_numbers else self.numbers[name]
        return float(values.min()), float(values.max())

    def sizes(self) -> dict[str, float]:
        """Return the greatest absolute value of every number."""
        ranges = {name: self.range_of(name) for name in (*self.cell_numbers, *self.numbers)}
        found = {name: max(abs(low), abs(high)) for name, (low, high) in ranges.items()}
        for name, coded in self.values.items():
            if coded.numbers is not None:
                found[name] = float(np.abs(coded.numbers).max())
        return found


def unit_variables(
    rows: TableRows,
    formula: Formula,
    nest: Nest,
    keep: Sequence[str],
    crossings: Sequence[Crossing] = (),
    *,
    partial: bool = False,
) -> UnitVariables:
    """Return the variables of all effects of ``formula``, and those to keep.

    In ``partial`` rows a factor that is constant in every unit may have one level.

    Raises
    ------
    FormulaError
        If a factor has one level, or more than can be columns, or a variable to keep varies in a unit.
    FitError
        If a number is infinite.
    """
    effects = {name for term in formula.fixed for name in term}
    effects |= {name for bar in formula.random for term in bar.terms for name in term}
    inner = {each.name for each in nest.inner}
    forced = {
        name for bar in formula.random if bar.group_name in inner for term in bar.terms for name in term
    }
    values: dict[str, Coded] = {}
    numbers: dict[str, np.ndarray] = {}
    levels: dict[str, tuple[str, ...]] = {}
    cells = _Cells()
    varying: dict[str, set[str]] = {each.groups.name: set() for each in crossings}
    for name in [*(each for each in formula.variables if each in effects), *keep]:
        if rows.is_number(name):
            numeric = rows.numbers(name)
            _note_variation(name, numeric, crossings, varying)
            if name not in forced and _constant_in_units(numeric, nest):
                at = numeric[nest.unit_rows]
                values[name] = Coded(name, np.zeros(len(at), dtype=bool), numbers=at.astype(float))
            else:
                _refuse_keeping(name, effects)
                few = _few_values(numeric)
                if few is None or not cells.join(name, *few, is_factor=False):
                    numbers[name] = numeric
            continue
        factor = rows.factor(name)
        n_levels = len(factor.uniques)
        _note_variation(name, factor.codes, crossings, varying)
        if name not in forced and _constant_in_units(factor.codes, nest):
            at_units = compact(Factor(factor.codes[nest.unit_rows], factor.uniques, factor.sorted))
            if name in effects:
                _check_levels(name, n_levels, MAX_LEVELS)
            values[name] = ordered(name, at_units)
            if name in effects and not partial:
                require_two_levels(name, values[name].levels)
            continue
        _refuse_keeping(name, effects)
        _check_levels(name, n_levels, MAX_LEVELS_INSIDE)
        coded = ordered(name, factor)
        assert coded.codes is not None
        require_two_levels(name, coded.levels)
        levels[name] = coded.levels
        cells.join(name, coded.codes, np.arange(n_levels), is_factor=True)
    for crossing in crossings:
        name = slot_variable(crossing.groups.name)
        if _constant_in_units(crossing.slot, nest):
            values[name] = slot_factor(crossing, nest.unit_rows)
        else:
            levels[name] = crossing.levels
            cells.join(name, crossing.slot, np.arange(len(crossing.levels)), is_factor=True)
    factors = np.column_stack([cells.values[name] for name in levels]) if levels else None
    return UnitVariables(
        values,
        tuple(levels),
        levels,
        np.zeros((cells.n_cells, 0), dtype=np.int64) if factors is None else factors,
        cells.cell,
        {name: each for name, each in cells.values.items() if name not in levels},
        numbers,
        tuple(replace(each.groups, varying=frozenset(varying[each.groups.name])) for each in crossings),
    )


def _note_variation(
    name: str, values: np.ndarray, crossings: Sequence[Crossing], varying: dict[str, set[str]]
) -> None:
    for crossing in crossings:
        if varies_inside(values, crossing):
            varying[crossing.groups.name].add(name)


class _Cells:
    """Combinations of values that occur, grown variable by variable."""

    def __init__(self) -> None:
        self.cell: np.ndarray | None = None
        self.n_cells = 1
        self.values: dict[str, np.ndarray] = {}

    def join(self, name: str, codes: np.ndarray, uniques: np.ndarray, *, is_factor: bool) -> bool:
        """Add a variable; a number is left out, with false returned, where cells would be too many."""
        if not is_factor and self.n_cells * len(uniques) > MAX_CELLS:
            return False
        key = codes if self.cell is None else self.cell * len(uniques) + codes
        self.cell, found = numbered(key)
        before, now = np.divmod(found, len(uniques))
        self.values = {other: each[before] for other, each in self.values.items()}
        self.values[name] = uniques[now]
        self.n_cells = len(found)
        return True


def _few_values(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return codes and values of a number that takes few, or None."""
    if len(np.unique(numbers[:_SAMPLE])) > MAX_VALUES:
        return None
    whole = numbers.astype(np.int64) if np.abs(numbers).max() < 2.0**53 else None
    if whole is not None and np.array_equal(whole, numbers):
        codes, values = numbered(whole)
    else:
        codes, values = pd.factorize(numbers)
    return (codes, values.astype(float)) if len(values) <= MAX_VALUES else None


def _constant_in_units(values: np.ndarray, nest: Nest) -> bool:
    if not is_constant(values, nest.group, nest.group_rows):
        return False
    by_group = values[nest.group_rows]
    return is_constant(by_group, nest.unit_of_group, one_point(nest.unit_of_group, nest.n_units))


def _refuse_keeping(name: str, effects: set[str]) -> None:
    if name not in effects:
        raise FormulaError(
            f"{name!r} varies within units, so it cannot be kept as their value; add it to the formula."
        )


def _check_levels(name: str, n_levels: int, limit: int) -> None:
    if n_levels > limit:
        raise FormulaError(
            f"{name!r} has {n_levels} levels, and each would be a column of the model; at most {limit} are "
            f"possible. If it is a number, make it one; if it is a group, write (1 | {name})."
        )
