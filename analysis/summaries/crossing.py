"""Groups that are crossed with others inside a holder, numbered there.

Neurons followed over the sessions of an animal are crossed with these sessions, and animals hold both. The
groups of such a factor get numbers inside their holder, which make a factor of few levels: its
indicators ride among the columns of units, and the tree eliminates them together at the holder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded
from nwbswitch.analysis.formulas.formula import RandomTerm
from nwbswitch.analysis.summaries.nesting import CrossedGroupsError, Grouping, Nest, is_constant, one_point
from nwbswitch.analysis.summaries.unit_summaries import CrossedGroups

# So many columns, groups times effects, a crossed factor can have in one holder; more are left to the sparse
# engine, which was faster from 32 on (40 times at 100).
MAX_CROSSED: Final = 24
MARK: Final = "|"
"""Put before the name of a grouping, this names the factor of its numbers inside the holder."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """A crossed grouping: the number of every row's group inside its holder, and what is known of groups."""

    codes: np.ndarray
    slot: np.ndarray
    levels: tuple[str, ...]
    groups: CrossedGroups


def crossings_of(nest: Nest, random: Sequence[RandomTerm]) -> tuple[Crossing, ...]:
    """Return the crossed groupings of a nest, numbered inside the lowest level that holds them.

    ``random`` are the bars, whose terms are the effects of groups.

    Raises
    ------
    CrossedGroupsError
        If a holder has groups of one with more than `MAX_CROSSED` effects.
    """
    effects = {grouping.name: 0 for grouping in nest.crossed}
    for bar in random:
        if bar.group_name in effects:
            effects[bar.group_name] += len(bar.terms)
    return tuple(_crossing(grouping, nest, effects[grouping.name]) for grouping in nest.crossed)


def _crossing(grouping: Grouping, nest: Nest, n_effects: int) -> Crossing:
    some_row = one_point(grouping.codes, grouping.n_groups)
    at_groups = grouping.at(some_row)
    holder, of_group = "", np.zeros(grouping.n_groups, dtype=np.int64)
    holder_labels: tuple[str, ...] = ("",)
    unit_of_row = nest.unit_of_group[nest.group]
    for level in nest.above:
        codes = level.codes[unit_of_row]
        if is_constant(codes, grouping.codes, some_row):
            holder, of_group, holder_labels = level.name, codes[some_row], level.labels()
            break
    order = np.lexsort((at_groups.rank(), of_group))
    firsts = np.flatnonzero(np.r_[True, np.diff(of_group[order]) > 0])
    sizes = np.diff(np.r_[firsts, len(order)])
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order)) - np.repeat(firsts, sizes)
    n = int(sizes.max())
    if n * n_effects > MAX_CROSSED:
        inside = f" inside one {holder}" if holder else ""
        raise CrossedGroupsError(
            f"The groups {grouping.name!r} are crossed with {nest.inner[0].name!r} and there are {n} of "
            f"them{inside}, with {n * n_effects} effects; sums of units hold at most {MAX_CROSSED}."
        )
    labels = np.array(at_groups.point_labels(), dtype=object)[order]
    facts = CrossedGroups(
        grouping.name,
        holder,
        tuple(holder_labels[code] for code in of_group[order].tolist()),
        tuple(labels.tolist()),
        frozenset(),
    )
    return Crossing(grouping.codes, number[grouping.codes], tuple(str(i + 1) for i in range(n)), facts)


def varies_inside(values: np.ndarray, crossing: Crossing) -> bool:
    """Return whether a variable takes several values in one group of a crossed factor."""
    n_groups = len(crossing.groups.labels)
    return not is_constant(values, crossing.codes, one_point(crossing.codes, n_groups))


def slot_variable(name: str) -> str:
    """Return the name of the factor of numbers of a crossed grouping."""
    return MARK + name


def slot_factor(crossing: Crossing, rows: np.ndarray) -> Coded:
    """Return the numbers at some rows."""
    codes = crossing.slot[rows]
    name = slot_variable(crossing.groups.name)
    return Coded(name, np.zeros(len(codes), dtype=bool), codes=codes, levels=crossing.levels)


def slots_in_holders(groups: CrossedGroups, holders: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return how many groups each of ``holders`` has, and the groups in the order of these holders."""
    place = {label: position for position, label in enumerate(holders)}
    of_group = np.array([place[label] for label in groups.holders], dtype=np.int64)
    return np.bincount(of_group, minlength=len(holders)), np.argsort(of_group, kind="stable")
