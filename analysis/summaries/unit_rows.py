"""Rows as the map to units takes them, and the sums that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.summaries.unit_summaries import InnerEffect, LocalColumn


@dataclass(frozen=True, slots=True)
class UnitRows:
    """Rows with their innermost group, cell and numbers.

    ``group`` (rows,) counts the innermost groups so that ``unit_of_group`` does not decrease; without an
    innermost level (``inner`` false) groups are the units themselves. A cell is a combination of the levels
    of the ``factors`` that vary inside units, and of the values of numbers that take few: ``cells``
    (cells, factors) holds codes, ``cell_numbers`` (cells,) values, and ``cell`` the cell of every row, None
    if there is one cell. ``numbers`` are the others, by row.
    """

    inner: bool
    group: np.ndarray
    unit_of_group: np.ndarray
    n_units: int
    factors: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    cells: np.ndarray
    cell: np.ndarray | None
    cell_numbers: Mapping[str, np.ndarray]
    numbers: Mapping[str, np.ndarray]
    response: np.ndarray
    weights: np.ndarray | None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.response)

    @property
    def n_groups(self) -> int:
        """Number of innermost groups."""
        return len(self.unit_of_group)

    def indicators(self, columns: Sequence[LocalColumn]) -> np.ndarray:
        """Return the (cells, columns) products of the indicators of every column."""
        table = np.ones((len(self.cells), len(columns)))
        for j, column in enumerate(columns):
            for name, level in column.indicators:
                code = self.levels[name].index(level)
                table[:, j] *= self.cells[:, self.factors.index(name)] == code
        return table

    def products(self, columns: Sequence[LocalColumn], references: Mapping[str, float]) -> np.ndarray:
        """Return the (cells, columns) values of columns of cells, numbers taken from their references."""
        table = self.indicators(columns)
        for j, column in enumerate(columns):
            for name in column.numbers:
                table[:, j] *= self.cell_numbers[name] - references.get(name, 0.0)
        return table


@dataclass(frozen=True, slots=True)
class UnitSums:
    """Sums of units and of cells of innermost groups, as `UnitSummaries` holds them.

    ``groups`` (groups,) is the innermost group of every cell where there is one cell per group; ``means``
    has the plain mean (u,) of every number, whatever the weights of rows.
    """

    n_rows: np.ndarray
    centres: np.ndarray
    within: np.ndarray
    kinds: np.ndarray
    cell_unit: np.ndarray
    cell_kind: np.ndarray
    cell_count: np.ndarray
    products: np.ndarray | None
    slopes: np.ndarray | None
    groups: np.ndarray | None
    references: Mapping[str, np.ndarray]
    log_weights: np.ndarray | None
    means: Mapping[str, np.ndarray]


def effect_table(effects: Sequence[InnerEffect], columns: Sequence[LocalColumn]) -> np.ndarray:
    """Return the (columns, effects) weights of Z = columns @ weights."""
    place = {column: position for position, column in enumerate(columns)}
    table = np.zeros((len(columns), len(effects)))
    for j, effect in enumerate(effects):
        for column, weight in effect.weights:
            if column in place:
                table[place[column], j] += weight
    return table
