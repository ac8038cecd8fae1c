"""From data to a model and its deviance function, with the engine that its groups call for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final, Literal, get_args

import pandas as pd

from nwbswitch.analysis.formulas.coding import Contrasts
from nwbswitch.analysis.formulas.formula import Formula, Variable
from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.summaries.nesting import CrossedGroupsError
from nwbswitch.analysis.summaries.reduce import reduced
from nwbswitch.analysis.summaries.reduced_sums import inner_spread
from nwbswitch.analysis.summaries.table_rows import table_rows
from nwbswitch.analysis.summaries.table_source import table_of
from nwbswitch.analysis.summaries.unit_map import RESPONSE, summarise_rows
from nwbswitch.analysis.summaries.unit_summaries import CrossedGroups, UnitSummaries
from nwbswitch.analysis.trees.tree import Tree

# The residual is summed anew where less than this part of the squares inside units is left.
MOSTLY_EXPLAINED: Final = 1e-3
_REST: Final = "response less what is explained"

RowSource = Callable[[], ModelFrame]
Engine = Literal["auto", "nested", "sparse"]


def prepare(
    data: Any,
    formula: Formula,
    *,
    where: str | None = None,
    weights: str | None = None,
    contrasts: Contrasts = "treatment",
    engine: Engine = "auto",
) -> tuple[Model, Deviance, RowSource | None]:
    """Return the model, its deviance function, and what gives its rows when they are asked for.

    Parameters
    ----------
    data
        Rows as `table_source.table_of` takes them, or `UnitSummaries`, which have no rows.
    formula
        The model.
    where
        Condition that selects rows.
    weights
        Column of row weights.
    contrasts
        How factors among the fixed effects are coded.
    engine
        ``nested``, ``sparse``, or ``auto``: nested where the groups allow it.

    Raises
    ------
    FormulaError
        If the formula does not fit the columns.
    FitError
        If the data cannot hold the model.
    ValueError
        For a condition or weights with summaries, which were made with their own, for another engine with
        them, or for an engine that does not exist.
    """
    if engine not in get_args(Engine):
        raise ValueError(f"engine is {engine!r}; available are {', '.join(get_args(Engine))}.")
    if isinstance(data, UnitSummaries):
        for name, given in (("where", where), ("weights", weights)):
            if given is not None:
                raise ValueError(f"{name} is given when rows are summarised; summaries have their own.")
        if engine == "sparse":
            raise ValueError("engine is 'sparse'; summaries are fitted by the nested engine.")
        model, tree = reduced(data, formula, contrasts=contrasts)
        return replace(model, engine_reason=_nested_reason(model)), tree, None
    asked = [formula.response, *formula.variables.values()]
    asked += [Variable(weights, f"`{weights}`")] if weights else []
    table = table_of(data, asked, where=where)
    if engine == "sparse":
        return _crossed(table, formula, where, contrasts, weights, reason="It was asked for.")
    try:
        summaries = summarise_rows(table, formula, where=where, weights=weights, by_group=True, crossed=True)
    except CrossedGroupsError:
        if engine == "nested":
            raise
        return _crossed(table, formula, where, contrasts, weights)
    model, tree = reduced(summaries, formula, contrasts=contrasts)

    @cache
    def rows() -> ModelFrame:
        frame = model_frame(
            table, formula, where=where, contrasts=contrasts, weights=weights, nested=not summaries.crossed
        )
        place = {level.names: position for position, level in enumerate(model.levels)}
        return replace(frame, levels=tuple(sorted(frame.levels, key=lambda level: place[level.names])))

    if tree.columns.scale**2 < MOSTLY_EXPLAINED * inner_spread(summaries):
        tree = _from_residual(table, formula, weights, contrasts, tree, rows())
    return replace(model, engine_reason=_nested_reason(model, summaries.crossed)), tree, rows


def _from_residual(
    table: pd.DataFrame,
    formula: Formula,
    weights: str | None,
    contrasts: Contrasts,
    tree: Tree,
    rows: ModelFrame,
) -> Tree:
    """Return the deviance function from the response less what the fixed effects explain, row by row.

    Cross-products lose as many digits as the residual is smaller than the response.
    """
    offset = tree.columns.offset
    rest = rows.response - rows.fixed.matrix @ offset
    left = table.iloc[rows.rows].assign(**{_REST: rest})
    of_rest = replace(formula, response=Variable(formula.response.name, f"`{_REST}`"))
    summaries = summarise_rows(left, of_rest, weights=weights, by_group=True, crossed=True)
    _, found = reduced(summaries, of_rest, contrasts=contrasts)
    return replace(found, columns=replace(found.columns, offset=found.columns.offset + offset))


def _crossed(
    table: Any,
    formula: Formula,
    where: str | None,
    contrasts: Contrasts,
    weights: str | None,
    *,
    reason: str = "",
) -> tuple[Model, Deviance, RowSource]:
    from nwbswitch.analysis.sparse.model import sparse_deviance

    frame = model_frame(table, formula, where=where, contrasts=contrasts, nested=False, weights=weights)
    model, deviance = sparse_deviance(frame)
    asked = {RESPONSE: formula.response, **formula.variables}
    missing = table_rows(table, asked, where=where).missing_by_name()
    crossed = f"Groups are crossed: {', '.join(level.names[0] for level in model.levels)}."
    model = replace(model, engine_reason=reason or crossed, missing=missing)
    return model, deviance, lambda: frame


def _nested_reason(model: Model, crossed: Sequence[CrossedGroups] = ()) -> str:
    apart = {each.name: each.holder for each in crossed}
    names = [level.names[0] for level in model.levels if level.names[0] not in apart]
    nested = f"There is one level of groups: {names[0]}."
    if len(names) > 1:
        nested = f"Groups are nested: {' in '.join(names)}."
    inside = [f"{name} inside {holder}" if holder else name for name, holder in apart.items()]
    return f"{nested} Few are crossed with them: {', '.join(inside)}." if inside else nested
