"""The levels above the innermost, from the groupings of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded
from nwbswitch.analysis.formulas.factor import Factor, compact
from nwbswitch.analysis.formulas.formula import Formula, RandomTerm
from nwbswitch.analysis.summaries.nesting import (
    Grouping,
    check_number_of_groups,
    combined,
    crossed_error,
    is_constant,
    one_point,
)
from nwbswitch.analysis.summaries.unit_summaries import UnitSummaries
from nwbswitch.schemas.errors import FormulaError


@dataclass(frozen=True, slots=True)
class Chain:
    """Levels above the innermost, each with the names of its groupings, innermost first.

    Groups are held sorted by parent: ``parents`` has for each level the parent of every group,
    ``labels`` the groups' labels in that order, and ``unit_group`` (u,) the group of the lowest level of
    every unit (all 0 if there is no level).
    """

    names: tuple[tuple[str, ...], ...]
    parents: tuple[np.ndarray, ...]
    labels: tuple[tuple[str, ...], ...]
    unit_group: np.ndarray

    @property
    def n_lowest(self) -> int:
        """Number of groups of the lowest level; 1 without levels."""
        return len(self.parents[0]) if self.parents else 1


def chain_of(summaries: UnitSummaries, formula: Formula, inner: Sequence[str]) -> Chain:
    """Return the levels of ``formula`` above the innermost.

    Raises
    ------
    FormulaError
        If the summaries lack a grouping.
    FitError
        If groupings are crossed, or have one group or as many as rows.
    """
    n_rows = int(summaries.n_rows.sum())
    found: dict[str, Grouping] = {}
    for bar in formula.random:
        if bar.group_name not in inner and bar.group_name not in found:
            grouping = _grouping(summaries, bar)
            check_number_of_groups(bar.group_name, grouping.n_groups, n_rows)
            found[bar.group_name] = grouping
    merged: list[list[Grouping]] = []
    for grouping in sorted(found.values(), key=lambda each: -each.n_groups):
        if merged:
            below = merged[-1][0]
            if not is_constant(grouping.codes, below.codes, one_point(below.codes, below.n_groups)):
                raise crossed_error(below.name, grouping.name)
            if below.n_groups == grouping.n_groups:
                merged[-1].append(grouping)
                continue
        merged.append([grouping])
    parents: list[np.ndarray] = []
    labels: list[tuple[str, ...]] = []
    unit_rank = np.zeros(summaries.n_units, dtype=np.int64)
    for grouping, *_ in reversed(merged):
        some_unit = one_point(grouping.codes, grouping.n_groups)
        parent = unit_rank[some_unit]
        order = np.argsort(parent, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        parents.append(parent[order])
        labels.append(grouping.at(some_unit[order]).point_labels())
        unit_rank = rank[grouping.codes]
    names = tuple(tuple(each.name for each in level) for level in merged)
    return Chain(names, tuple(parents[::-1]), tuple(labels[::-1]), unit_rank)


def _grouping(summaries: UnitSummaries, bar: RandomTerm) -> Grouping:
    name = bar.group_name
    if name in summaries.groups:
        return combined(name, (name,), (_factor(summaries.groups[name]),))
    parts = []
    for variable in bar.group:
        coded = summaries.groups.get(variable, summaries.values.get(variable))
        if coded is None:
            known = ", ".join(summaries.groups) or "none"
            raise FormulaError(
                f"The summaries have no grouping {name!r}; they have {known}. Summarise the rows again with "
                f"(1 | {name}) in the formula, or name {variable} in keep."
            )
        parts.append(_factor(coded))
    return combined(name, bar.group, parts)


def _factor(coded: Coded) -> Factor:
    if coded.codes is not None:
        return compact(Factor(coded.codes, np.array(coded.levels, dtype=object), sorted=True))
    assert coded.numbers is not None
    uniques, codes = np.unique(coded.numbers, return_inverse=True)
    return Factor(codes.astype(np.int64), uniques, sorted=True)
