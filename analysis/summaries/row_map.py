"""Sums of units from rows with numbers or weights, in chunks of whole innermost groups.

Rows are taken with weight w as sqrt(w) times their columns. What the effects Z of a group leave over of the
centred columns C is C - Z A^+ D' with A = Z'wZ, D = C'wZ; its squares are summed instead of
subtracting D A^+ D' from C'wC, which would cost digits where groups differ much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from nwbswitch.analysis.summaries.kinds import cells_of, distinct_kinds, pseudo_inverse
from nwbswitch.analysis.summaries.unit_rows import UnitRows, UnitSums
from nwbswitch.analysis.summaries.unit_summaries import LocalColumn

CHUNK: Final = 1 << 17
# Below this many rows per unit, one product of columns at a time is quicker than one matrix at a time.
_FEW_ROWS: Final = 60


def sums_of_rows(
    rows: UnitRows, columns: Sequence[LocalColumn], effects: np.ndarray, *, by_group: bool
) -> UnitSums:
    """Return the sums of every unit.

    Parameters
    ----------
    rows
        The rows.
    columns
        Columns inside units, the constant first.
    effects
        (columns, k) weights of Z.
    by_group
        Keep one cell per innermost group.
    """
    reader = _Reader(rows, columns, effects)
    n_units, m = rows.n_units, len(columns) + 1
    k = effects.shape[1] if rows.inner else 0
    n_rows = np.bincount(rows.unit_of_group, weights=reader.sizes, minlength=n_units)
    total = np.zeros((n_units, m))
    weight = np.zeros(n_units)
    for chunk in reader.chunks():
        C, _, w = reader.columns(chunk)
        units, starts = reader.units(chunk)
        total[units] += np.add.reduceat(C if w is None else C * w[:, None], starts)
        weight[units] += np.diff(np.r_[starts, len(C)]) if w is None else np.add.reduceat(w, starts)
    centres = total / weight[:, None]
    centres[:, 0] = 0.0
    within = np.zeros((n_units, m, m))
    D = np.empty((rows.n_groups, m, k))
    A = np.empty((rows.n_groups, k, k))
    for chunk in reader.chunks():
        C, Z, w = reader.columns(chunk)
        units, starts = reader.units(chunk)
        C -= np.repeat(centres[units], np.diff(np.r_[starts, len(C)]), axis=0)
        if w is not None:
            root = np.sqrt(w)[:, None]
            C, Z = C * root, Z * root
        if k:
            groups, group_starts = reader.groups(chunk)
            sizes = np.diff(np.r_[group_starts, len(C)])
            for j in range(k):
                D[groups, :, j] = np.add.reduceat(C * Z[:, [j]], group_starts)
                for i in range(j + 1):
                    A[groups, i, j] = A[groups, j, i] = np.add.reduceat(Z[:, i] * Z[:, j], group_starts)
            fitted = pseudo_inverse(A[groups]) @ D[groups].transpose(0, 2, 1)
            for j in range(k):
                C -= Z[:, [j]] * np.repeat(fitted[:, j], sizes, axis=0)
        _add_squares(within, C, units, starts)
    centres[:, -1] += reader.level
    kind, kinds = distinct_kinds(A)
    cell_unit, cell_kind, count, products, slopes = cells_of(
        D, kind, kinds, rows.unit_of_group, by_group=by_group
    )
    log_weights = None
    if rows.weights is not None:
        per_group = np.bincount(rows.group, weights=np.log(rows.weights), minlength=rows.n_groups)
        log_weights = np.bincount(rows.unit_of_group, weights=per_group, minlength=n_units)
    groups_kept = np.arange(rows.n_groups) if slopes is not None else None
    return UnitSums(
        n_rows.astype(np.int64),
        centres,
        within,
        kinds,
        cell_unit,
        cell_kind,
        count,
        products,
        slopes,
        groups_kept,
        reader.references,
        log_weights,
        reader.references,
    )


def _add_squares(within: np.ndarray, C: np.ndarray, units: np.ndarray, starts: np.ndarray) -> None:
    """Add C'C of the rows of each unit to ``within``."""
    if len(C) >= _FEW_ROWS * len(starts):
        for unit, first, last in zip(
            units.tolist(), starts.tolist(), [*starts[1:].tolist(), len(C)], strict=True
        ):
            part = C[first:last]
            within[unit] += part.T @ part
        return
    m = C.shape[1]
    for i in range(m):
        for j in range(i + 1):
            sums = np.add.reduceat(C[:, i] * C[:, j], starts)
            within[units, i, j] += sums
            if i != j:
                within[units, j, i] += sums


class _Reader:
    """Columns of chunks of whole groups, in the order of groups."""

    def __init__(self, rows: UnitRows, columns: Sequence[LocalColumn], effects: np.ndarray) -> None:
        self.rows, self.names = rows, [column.numbers for column in columns]
        self.indicators, self.effects = rows.indicators(columns), effects
        self.sizes = np.bincount(rows.group, minlength=rows.n_groups)
        in_order = bool(np.all(rows.group[1:] >= rows.group[:-1]))
        self.order = None if in_order else np.argsort(rows.group, kind="stable")
        self.firsts = np.cumsum(self.sizes) - self.sizes
        self.level = float(rows.response.mean())
        self.references = {name: self._unit_means(values) for name, values in rows.numbers.items()}
        for name, values in rows.cell_numbers.items():
            self.references[name] = self._unit_means(values[self._cell(slice(None))])

    def _unit_means(self, values: np.ndarray) -> np.ndarray:
        rows = self.rows
        sums = np.bincount(rows.group, weights=values, minlength=rows.n_groups)
        sums = np.bincount(rows.unit_of_group, weights=sums, minlength=rows.n_units)
        return np.asarray(sums / np.bincount(rows.unit_of_group, weights=self.sizes, minlength=rows.n_units))

    def _cell(self, taken: slice | np.ndarray) -> np.ndarray:
        if self.rows.cell is None:
            return np.zeros(len(self.rows.response[taken]), dtype=np.int64)
        return np.asarray(self.rows.cell[taken])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield (first group, last group)."""
        ends = self.firsts + self.sizes
        first = 0
        while first < len(ends):
            last = max(int(np.searchsorted(ends, self.firsts[first] + CHUNK)), first + 1)
            yield first, last
            first = last

    def groups(self, chunk: tuple[int, int]) -> tuple[slice, np.ndarray]:
        """Return the groups of a chunk and where the rows of each start."""
        first, last = chunk
        return slice(first, last), self.firsts[first:last] - self.firsts[first]

    def units(self, chunk: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the units of a chunk and where the rows of each start."""
        first, last = chunk
        own = self.rows.unit_of_group[first:last]
        new = np.flatnonzero(np.r_[True, own[1:] != own[:-1]])
        return own[new], self.firsts[first + new] - self.firsts[first]

    def columns(self, chunk: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return the columns with the response last, Z, and the weights of the rows of a chunk."""
        first, last = chunk
        start, stop = int(self.firsts[first]), int(self.firsts[last - 1] + self.sizes[last - 1])
        rows = self.rows
        taken: slice | np.ndarray = slice(start, stop) if self.order is None else self.order[start:stop]
        sizes = self.sizes[first:last]
        units = rows.unit_of_group[first:last]
        cell = self._cell(taken)
        raw = {name: values[taken] for name, values in rows.numbers.items()}
        raw |= {name: values[cell] for name, values in rows.cell_numbers.items()}
        near = {name: values - np.repeat(self.references[name][units], sizes) for name, values in raw.items()}
        base = self.indicators[cell]
        C = np.empty((stop - start, len(self.names) + 1))
        Z = np.zeros((stop - start, self.effects.shape[1]))
        for j, names in enumerate(self.names):
            C[:, j] = base[:, j]
            for name in names:
                C[:, j] *= near[name]
            for effect in np.flatnonzero(self.effects[j]):
                value = base[:, j]
                for name in names:
                    value = value * raw[name]
                Z[:, effect] += self.effects[j, effect] * value
        C[:, -1] = rows.response[taken] - self.level
        weights = None if rows.weights is None else rows.weights[taken]
        return C, Z, weights
