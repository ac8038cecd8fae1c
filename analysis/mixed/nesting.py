"""Groups from rows: which grouping is innermost, what is above it, and whether they are nested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded, ordered
from nwbswitch.analysis.formulas.factor import Factor, numbered
from nwbswitch.analysis.formulas.formula import RandomTerm, Term
from nwbswitch.analysis.mixed.table_rows import TableRows
from nwbswitch.schemas.errors import FitError


@dataclass(frozen=True, slots=True)
class Grouping:
    """The groups of one grouping factor: ``codes`` (points,) from 0 without gaps.

    A group is a combination of the values of ``parts``; points are rows, or groups further inside.
    """

    name: str
    codes: np.ndarray
    n_groups: int
    parts: tuple[Factor, ...]

    def labels(self) -> tuple[str, ...]:
        """Return the label of every group: those of its parts, joined by ':'."""
        some_point = one_point(self.codes, self.n_groups)
        texts = [part.labels(part.codes[some_point]) for part in self.parts]
        return tuple(map(":".join, zip(*texts, strict=True)))

    def at(self, points: np.ndarray) -> Grouping:
        """Return the grouping of some points that hold all groups."""
        parts = tuple(Factor(part.codes[points], part.uniques, part.sorted) for part in self.parts)
        return Grouping(self.name, self.codes[points], self.n_groups, parts)

    def coded(self) -> Coded:
        """Return the grouping of the points as a factor, its levels in order."""
        if len(self.parts) == 1:
            return ordered(self.name, self.parts[0])
        labels = np.array(self.labels(), dtype=object)
        return ordered(self.name, Factor(self.codes, labels, sorted=False))


def grouping_of(rows: TableRows, group: Term, name: str) -> Grouping:
    """Return the groups of rows with equal values of the variables of ``group``."""
    parts = tuple(rows.factor(each) for each in group)
    return combined(name, parts)


def combined(name: str, parts: Sequence[Factor]) -> Grouping:
    """Return the combinations of several factors that occur."""
    codes, n_groups = parts[0].codes, len(parts[0].uniques)
    for part in parts[1:]:
        codes, found = numbered(codes * len(part.uniques) + part.codes)
        n_groups = len(found)
    return Grouping(name, codes, n_groups, tuple(parts))


def groupings_of(rows: TableRows, random: Sequence[RandomTerm]) -> dict[str, Grouping]:
    """Return every grouping of a formula, with the most groups first.

    Raises
    ------
    FitError
        If a grouping has one group, or as many as there are rows.
    """
    found: dict[str, Grouping] = {}
    for term in random:
        if term.group_name not in found:
            grouping = grouping_of(rows, term.group, term.group_name)
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


def crossed_error(inner: str, outer: str) -> FitError:
    """Return the error for two groupings that are not nested."""
    return FitError(
        f"The groups {inner!r} and {outer!r} are crossed: some {inner} occurs in several {outer}, and the "
        "other way round. The nested engine cannot hold crossed factors. If they are nested and only "
        f"labels repeat, write (1 | {outer}/{inner})."
    )
