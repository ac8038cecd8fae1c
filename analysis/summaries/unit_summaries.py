"""Cross-products per unit, in the unit's own columns: all that a nested model needs from the rows.

A unit is a group of the level above the innermost grouping factor, as a recording session is above its
neurons. Its columns are products of what varies inside units: indicators of factor levels and numbers.
What is constant in a unit (drug, dose, animal) is kept as a value and enters afterwards, so any coding of
it, and any join with units summed elsewhere, needs no rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded

SUMMARY_VERSION = 1


@dataclass(frozen=True, slots=True)
class LocalColumn:
    """A column inside units: the product of numeric variables and of indicators (variable, level)."""

    numbers: tuple[str, ...] = ()
    indicators: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class InnerEffect:
    """A random effect of the innermost group: the bar it belongs to, R's name, and Z as local columns.

    ``weights`` gives Z = sum of weight times local column (without centring).
    """

    label: str
    name: str
    term: tuple[str, ...]
    weights: tuple[tuple[LocalColumn, float], ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """What was summed; summaries join only if their definitions agree.

    ``response`` is R's name of the response, ``inner`` the name of the innermost grouping factor,
    ``unit`` that of the unit or "" if all rows are one unit; ``weights`` the column of row weights or "".
    """

    version: int
    response: str
    inner: str
    unit: str
    effects: tuple[InnerEffect, ...]
    where: str
    weights: str


@dataclass(frozen=True, slots=True)
class CrossedGroups:
    """Groups of a factor crossed with the innermost one inside the groups of ``holder`` ("" if in none).

    Their numbers inside the holder are a factor among the columns or values, named "|" and ``name``.
    ``labels`` has the groups in order of holder and number, ``holders`` the label of each one's holder, and
    ``varying`` the variables that vary inside these groups.
    """

    name: str
    holder: str
    holders: tuple[str, ...]
    labels: tuple[str, ...]
    varying: frozenset[str]


@dataclass(frozen=True, slots=True)
class UnitSummaries:
    """Cross-products of units, u of them, with m = len(columns) + 1 columns, the response last.

    The first column is the constant. ``centres`` (u, m) were subtracted from the columns before summing
    (0 for the constant), so that an offset costs no digits. ``within`` (u, m, m) are sums over rows of
    what the effects of the innermost groups leave over. A cell is a set of innermost groups of one unit
    with equal Z'Z: ``cell_unit``, ``cell_kind`` (row of ``kinds`` (kinds, k, k)) and ``cell_count``;
    ``products`` (cells, m, k, m, k) sums vec(D) vec(D)' over them, D = W'Z. Where kinds are too many for
    that, ``slopes`` (cells, m, k) holds D itself, one cell per group, and ``products`` is None.

    ``groups`` has for every grouping factor at or above the unit its coded labels per unit, ``values``
    every other variable that is constant in each unit, coded per unit. ``levels`` has the levels of every
    factor among the columns. ``n_rows`` (u,) counts rows.

    A number enters the columns after its ``references`` (u,) were subtracted, so that products of a
    covariate far from zero cost no digits either; one that is not listed was not shifted. ``log_weights``
    (u,) is the sum of log w over rows, None without row weights. ``missing`` counts missing values by
    variable, ``ranges`` has the least and greatest value of each number among the columns, ``labels``
    those of the innermost groups where there is one cell per group and they were kept. ``crossed`` are
    factors crossed with the innermost one.

    ``means`` (u,) are the plain means over rows of each number among the columns, which row weights do not
    enter; without weights they may be left out.
    """

    definition: Definition
    columns: tuple[LocalColumn, ...]
    levels: Mapping[str, tuple[str, ...]]
    groups: Mapping[str, Coded]
    values: Mapping[str, Coded]
    n_rows: np.ndarray
    centres: np.ndarray
    within: np.ndarray
    kinds: np.ndarray
    cell_unit: np.ndarray
    cell_kind: np.ndarray
    cell_count: np.ndarray
    products: np.ndarray | None
    slopes: np.ndarray | None
    n_missing: int
    n_excluded: int
    references: Mapping[str, np.ndarray] = field(default_factory=dict)
    log_weights: np.ndarray | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    crossed: tuple[CrossedGroups, ...] = ()
    means: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.n_rows)

    def mean_of(self, name: str) -> np.ndarray:
        """Return the plain mean (u,) of a number among the columns over the rows of each unit."""
        if name in self.means:
            return self.means[name]
        centres = self.centres[:, self.columns.index(LocalColumn((name,)))]
        return np.asarray(centres + self.references.get(name, 0.0))
