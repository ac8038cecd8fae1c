"""From rows to cross-products per unit: the only pass over the rows that a nested model needs.

Variables that are constant in every unit stay values of units; the others make columns inside units. Where
all of these are factors the rows are first condensed to counts and sums per innermost group and cell
(`cell_map`), else they are read in chunks of whole groups (`row_map`). Both give the same sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded, ordered
from nwbswitch.analysis.formulas.factor import compact
from nwbswitch.analysis.formulas.formula import Formula, Term, Variable
from nwbswitch.analysis.summaries.cell_map import sums_of_cells
from nwbswitch.analysis.summaries.crossing import crossings_of, slot_variable
from nwbswitch.analysis.summaries.inner_effects import bars_of, inner_effects
from nwbswitch.analysis.summaries.local_columns import local_columns, needed_sets
from nwbswitch.analysis.summaries.magnitudes import require_squarable_products
from nwbswitch.analysis.summaries.nesting import (
    Nest,
    check_number_of_effects,
    groupings_of,
    nest_of,
    of_groups,
)
from nwbswitch.analysis.summaries.row_map import sums_of_rows
from nwbswitch.analysis.summaries.table_rows import response_of, table_rows, weights_of
from nwbswitch.analysis.summaries.table_source import table_of
from nwbswitch.analysis.summaries.unit_rows import UnitRows, UnitSums, effect_table
from nwbswitch.analysis.summaries.unit_summaries import (
    SUMMARY_VERSION,
    CrossedGroups,
    Definition,
    InnerEffect,
    LocalColumn,
    UnitSummaries,
)
from nwbswitch.analysis.summaries.unit_variables import unit_variables
from nwbswitch.schemas.errors import FitError

MAX_COLUMNS: Final = 400
MAX_BYTES: Final = 4 << 30
_FEW: Final = 100_000
# Innermost groups are kept one by one, with their labels, up to this many.
MAX_LABELS: Final = 2_000
# A table of groups and cells may have this many times more entries than there are rows.
_CELLS_PER_ROW: Final = 2
RESPONSE: Final = ""


def summarise_rows(
    data: Any,
    formula: Formula,
    *,
    where: str | None = None,
    weights: str | None = None,
    keep: Sequence[str] = (),
    by_group: bool = False,
    partial: bool = False,
    crossed: bool = False,
) -> UnitSummaries:
    """Return the cross-products of the units of a table.

    A unit is a group of the level above the innermost grouping factor, or all rows if there is none.

    Parameters
    ----------
    data
        A table as `table_source.table_of` takes it; it is not changed.
    formula
        The model. Its innermost random term is fixed by the summaries; fixed terms and groups above can be
        changed when fitting, as far as their variables are here.
    where
        Condition that selects rows.
    weights
        Column of row weights: the variance of a row is sigma^2 / weight, as in lme4.
    keep
        Further columns to keep as values of units.
    by_group
        Keep few innermost groups one by one, for their conditional means; the units of a model of one
        level are then its groups.
    partial
        The table is a part of the data: factors may have one level in it, and the response one value.
    crossed
        Allow groups that are crossed inside others, a few in each; such sums cannot be joined.

    Raises
    ------
    FormulaError
        If a column is unknown, a factor has one level or too many, or the response is text.
    FitError
        If no row is left, a value is infinite, numbers or their products cannot be squared, the response
        is constant, groups are crossed (too many of them, if ``crossed``), or a group has one level or as
        many levels as rows.
    """
    asked = {RESPONSE: formula.response, **formula.variables}
    for name in (*keep, *([weights] if weights else [])):
        asked.setdefault(name, Variable(name, f"`{name}`"))
    rows = table_rows(table_of(data, list(asked.values()), where=where), asked, where=where)
    nest = nest_of(groupings_of(rows, formula.random, partial=partial), crossed=crossed)
    response = response_of(rows, RESPONSE, partial=partial)
    few = by_group and nest.n_groups <= MAX_LABELS
    if few and not nest.above and not nest.crossed:
        nest = of_groups(nest)
    variables = unit_variables(rows, formula, nest, keep, crossings_of(nest, formula.random), partial=partial)
    require_squarable_products(_terms(formula, ()), variables.sizes())
    levels: dict[str, Sequence[str] | None] = variables.levels_inside()
    levels |= {name: coded.levels if coded.is_factor else None for name, coded in variables.values.items()}
    bars = bars_of(formula, levels)
    sizes = {each.name: each.n_groups for each in (*nest.inner, *nest.above, *nest.crossed)}
    for bar in () if partial else bars:
        check_number_of_effects(bar.group, bar.names, sizes[bar.group], rows.n_rows)
    columns = local_columns(
        needed_sets(_terms(formula, variables.crossed), variables.local),
        variables.factors,
        variables.levels,
        variables.cells,
    )
    _check_size(columns, nest.n_units)
    effects = _occurring(inner_effects(bars, [each.name for each in nest.inner]), columns)
    unit_rows = UnitRows(
        bool(nest.inner),
        nest.group,
        nest.unit_of_group,
        nest.n_units,
        variables.factors,
        variables.levels,
        variables.cells,
        variables.cell,
        variables.cell_numbers,
        variables.numbers,
        response,
        None if weights is None else weights_of(rows, weights),
    )
    condensed = (
        weights is None
        and not variables.numbers
        and nest.n_groups * len(variables.cells) <= _CELLS_PER_ROW * rows.n_rows + _FEW
    )
    summed = (sums_of_cells if condensed else sums_of_rows)(
        unit_rows, columns, effect_table(effects, columns), by_group=few
    )
    _require_effects(effects, summed)
    definition = Definition(
        SUMMARY_VERSION,
        formula.response.name,
        nest.inner[0].name if nest.inner else "",
        nest.above[0].name if nest.above else "",
        effects,
        where or "",
        weights or "",
    )
    labels = None
    if summed.groups is not None and nest.inner and nest.n_groups <= MAX_LABELS:
        labels = nest.inner[0].at(nest.group_rows).point_labels()
    return UnitSummaries(
        definition,
        columns,
        variables.levels,
        _groups_of(nest),
        variables.values,
        summed.n_rows,
        summed.centres,
        summed.within,
        summed.kinds,
        summed.cell_unit,
        summed.cell_kind,
        summed.cell_count,
        summed.products,
        summed.slopes,
        rows.n_missing,
        rows.n_excluded,
        summed.references,
        summed.log_weights,
        rows.missing_by_name(),
        {name: variables.range_of(name) for name in (*variables.cell_numbers, *variables.numbers)},
        labels,
        variables.crossed,
        summed.means,
    )


def _terms(formula: Formula, crossed: Sequence[CrossedGroups]) -> list[Term]:
    """Return all terms; those of a crossed group are crossed with its numbers."""
    names = {each.name for each in crossed}
    found = list(formula.fixed)
    for bar in formula.random:
        own = (slot_variable(bar.group_name),) if bar.group_name in names else ()
        found += [(*own, *term) for term in bar.terms]
    return found


def _check_size(columns: Sequence[LocalColumn], n_units: int) -> None:
    """Raise FitError if the sums would not fit into memory.

    Raises
    ------
    FitError
        They would not.
    """
    n_bytes = 8 * n_units * (len(columns) + 1) ** 2
    if len(columns) > MAX_COLUMNS or n_bytes > MAX_BYTES:
        widest = columns[-1]
        names = ":".join((*widest.numbers, *(name for name, _ in widest.indicators)))
        raise FitError(
            f"The terms make {len(columns)} columns inside {n_units} units, and at most {MAX_COLUMNS} and "
            f"{MAX_BYTES >> 30} GiB of sums are possible. Most come from {names}: leave a term out, or use "
            "factors with fewer levels."
        )


def _occurring(effects: Sequence[InnerEffect], columns: Sequence[LocalColumn]) -> tuple[InnerEffect, ...]:
    """Return effects without the columns of combinations of levels that have no rows."""
    known = set(columns)
    return tuple(
        replace(each, weights=tuple(item for item in each.weights if item[0] in known)) for each in effects
    )


def _require_effects(effects: Sequence[InnerEffect], summed: UnitSums) -> None:
    """Raise FitError if an effect is zero in every row.

    Raises
    ------
    FitError
        One is.
    """
    for i, effect in enumerate(effects):
        if not np.any(summed.kinds[:, i, i] > 0.0):
            raise FitError(f"The random effect {effect.name!r} is zero in every row.")


def _groups_of(nest: Nest) -> dict[str, Coded]:
    """Return the groupings by unit, and the variables that they are made of."""
    found = {each.name: each.coded() for each in nest.above}
    for grouping in nest.above:
        for name, part in zip(grouping.variables, grouping.parts, strict=True):
            if name not in found:
                found[name] = ordered(name, compact(part))
    return found
