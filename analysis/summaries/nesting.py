"""Groups from rows: which grouping is innermost, what is above it, and whether they are nested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded, ordered
from nwbswitch.analysis.formulas.factor import Factor, compact, numbered
from nwbswitch.analysis.formulas.formula import RandomTerm, Term
from nwbswitch.analysis.summaries.table_rows import TableRows
from nwbswitch.schemas.errors import FitError


@dataclass(frozen=True, slots=True)
class Grouping:
    """The groups of one grouping factor: ``codes`` (points,) from 0 without gaps.

    A group is a combination of the values of ``parts``; points are rows, or groups further inside.
    """

    name: str
    codes: np.ndarray
    n_groups: int
    variables: Term
    parts: tuple[Factor, ...]

    def labels(self) -> tuple[str, ...]:
        """Return the label of every group: those of its parts, joined by ':'."""
        return self.at(one_point(self.codes, self.n_groups)).point_labels()

    def point_labels(self) -> tuple[str, ...]:
        """Return the label of the group of every point."""
        texts = [part.labels(part.codes) for part in self.parts]
        return tuple(map(":".join, zip(*texts, strict=True)))

    def at(self, points: np.ndarray) -> Grouping:
        """Return the grouping of some points that hold all groups."""
        parts = tuple(Factor(part.codes[points], part.uniques, part.sorted) for part in self.parts)
        return Grouping(self.name, self.codes[points], self.n_groups, self.variables, parts)

    def rank(self) -> np.ndarray:
        """Return for points that are one of each group, in the order of codes, the rank of their label."""
        labelled = self.coded().codes
        assert labelled is not None
        by_code = np.empty(self.n_groups, dtype=np.int64)
        by_code[self.codes] = labelled
        return by_code

    def coded(self) -> Coded:
        """Return the grouping of the points as a factor, its levels in order."""
        if len(self.parts) == 1:
            return ordered(self.name, compact(self.parts[0]))
        labels = np.array(self.labels(), dtype=object)
        return ordered(self.name, Factor(self.codes, labels, sorted=False))


def grouping_of(rows: TableRows, group: Term, name: str) -> Grouping:
    """Return the groups of rows with equal values of the variables of ``group``."""
    parts = tuple(rows.factor(each) for each in group)
    return combined(name, group, parts)


def combined(name: str, variables: Term, parts: Sequence[Factor]) -> Grouping:
    """Return the combinations of several factors that occur."""
    codes, n_groups = parts[0].codes, len(parts[0].uniques)
    for part in parts[1:]:
        codes, found = numbered(codes * len(part.uniques) + part.codes)
        n_groups = len(found)
    return Grouping(name, codes, n_groups, variables, tuple(parts))


def groupings_of(
    rows: TableRows, random: Sequence[RandomTerm], *, partial: bool = False
) -> dict[str, Grouping]:
    """Return every grouping of a formula, with the most groups first.

    ``partial`` rows are a part of the data: a factor may have one group in them.

    Raises
    ------
    FitError
        If a grouping has one group, or as many as there are rows.
    """
    found: dict[str, Grouping] = {}
    for term in random:
        if term.group_name not in found:
            grouping = grouping_of(rows, term.group, term.group_name)
            if not partial:
                check_number_of_groups(term.group_name, grouping.n_groups, rows.n_rows)
            found[term.group_name] = grouping
    return dict(sorted(found.items(), key=lambda item: -item[1].n_groups))


def check_number_of_groups(name: str, n_groups: int, n_rows: int) -> None:
    """Raise FitError if the variance between groups cannot be told from anything.

    Raises
    ------
    FitError
        For one group, or as many groups as rows.
    """
    if n_groups < 2:
        raise FitError(f"The group {name!r} has one level; a variance needs at least two.")
    if n_groups >= n_rows:
        raise FitError(
            f"The group {name!r} has as many levels as there are rows ({n_rows}), so its variance cannot be "
            "told from the residual. Leave the term out."
        )


def check_number_of_effects(name: str, effects: Sequence[str], n_groups: int, n_rows: int) -> None:
    """Raise FitError if a bar has as many random effects as there are rows.

    Raises
    ------
    FitError
        It has.
    """
    n_effects = n_groups * len(effects)
    if n_effects >= n_rows:
        raise FitError(
            f"({', '.join(effects)} | {name}) has {n_effects} random effects for {n_rows} rows, so "
            "their variances cannot be told from the residual. Leave an effect out."
        )


def one_point(codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return for every group the position of one of its points."""
    found = np.empty(n_groups, dtype=np.int64)
    found[codes] = np.arange(codes.size)
    return found


def is_constant(values: np.ndarray, codes: np.ndarray, points: np.ndarray) -> bool:
    """Return whether ``values`` are the same in all points of each group; ``points`` has one of each."""
    return bool(np.array_equal(values[points][codes], values))


@dataclass(frozen=True, slots=True)
class Nest:
    """Rows in innermost groups, these in units, and all groupings at or above the units.

    ``inner`` are the groupings of the innermost level, several if they group alike, none if units are the
    innermost groups that count. ``group`` (rows,) counts groups so that ``unit_of_group`` does not
    decrease; ``group_rows`` and ``unit_rows`` have one row of each. ``above`` has the groupings by
    unit, with the most groups first: that of the units leads; without it there is one unit. ``crossed``
    are groupings of rows that are nested neither way.
    """

    inner: tuple[Grouping, ...]
    above: tuple[Grouping, ...]
    group: np.ndarray
    unit_of_group: np.ndarray
    n_units: int
    group_rows: np.ndarray
    unit_rows: np.ndarray
    crossed: tuple[Grouping, ...] = ()

    @property
    def n_groups(self) -> int:
        """Number of innermost groups."""
        return len(self.unit_of_group)


def nest_of(groupings: dict[str, Grouping], *, crossed: bool = False) -> Nest:
    """Return the nest of groupings that are sorted by their number of groups, most first.

    Raises
    ------
    CrossedGroupsError
        If two of them are crossed and ``crossed`` does not allow it.
    """
    first, *others = groupings.values()
    some_row = one_point(first.codes, first.n_groups)
    inner = [first]
    above: list[Grouping] = []
    apart: list[tuple[Grouping, Grouping]] = []
    for other in others:
        below = above[-1] if above else first
        if not is_constant(other.codes, first.codes, some_row):
            apart.append((first, other))
        elif other.n_groups == first.n_groups:
            inner.append(other)
        elif above and not _nested_at(below, other, some_row):
            apart.append((below, other))
        else:
            above.append(other)
    if apart and not crossed:
        raise crossed_error(apart[0][0].name, apart[0][1].name)
    outside = tuple(other for _, other in apart)
    if not above:
        unit = np.zeros(first.n_groups, dtype=np.int64)
        return Nest(tuple(inner), (), first.codes, unit, 1, some_row, some_row[:1], outside)
    units = above[0].at(some_row)
    rank = units.at(one_point(units.codes, units.n_groups)).rank()
    unit = rank[units.codes]
    group = first.codes
    if np.any(unit[1:] < unit[:-1]):
        order = np.argsort(unit, kind="stable")
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        group, unit, some_row = place[group], unit[order], some_row[order]
    unit_rows = some_row[one_point(unit, units.n_groups)]
    by_unit = tuple(each.at(unit_rows) for each in above)
    return Nest(tuple(inner), by_unit, group, unit, units.n_groups, some_row, unit_rows, outside)


def _nested_at(lower: Grouping, upper: Grouping, rows: np.ndarray) -> bool:
    """Return whether the groups of ``lower`` lie in those of ``upper``, at some rows."""
    codes = lower.codes[rows]
    return is_constant(upper.codes[rows], codes, one_point(codes, lower.n_groups))


def of_groups(nest: Nest) -> Nest:
    """Return the nest whose units are the innermost groups themselves."""
    at_groups = tuple(grouping.at(nest.group_rows) for grouping in nest.inner)
    rank = at_groups[0].rank()
    place = np.empty(nest.n_groups, dtype=np.int64)
    place[rank] = np.arange(nest.n_groups)
    return Nest(
        (),
        tuple(grouping.at(place) for grouping in at_groups),
        rank[nest.group],
        np.arange(nest.n_groups),
        nest.n_groups,
        nest.group_rows[place],
        nest.group_rows[place],
    )


class CrossedGroupsError(FitError):
    """Two groupings are not nested, so the tree of groups cannot hold them."""


def crossed_error(inner: str, outer: str) -> CrossedGroupsError:
    """Return the error for two groupings that are not nested."""
    return CrossedGroupsError(
        f"The groups {inner!r} and {outer!r} are crossed: some {inner} occurs in several {outer}, and the "
        "other way round. Sums of units cannot hold crossed factors. If they are nested and only labels "
        f"repeat, write (1 | {outer}/{inner})."
    )
