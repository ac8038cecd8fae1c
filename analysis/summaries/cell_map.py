"""Sums of units where all that varies inside them is factors: from counts and sums per group and cell.

The rows are condensed to N, the count, and the mean response of every innermost group and cell, and to the
squares within these; columns and effects are constant in a cell, so everything else follows from the
two tables. Groups with the same counts share all but the response, so they are joined to patterns first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nwbswitch.analysis.formulas.factor import numbered
from nwbswitch.analysis.summaries.kinds import distinct_kinds, pseudo_inverse, worth_joining
from nwbswitch.analysis.summaries.unit_rows import UnitRows, UnitSums
from nwbswitch.analysis.summaries.unit_summaries import LocalColumn


def sums_of_cells(
    rows: UnitRows, columns: Sequence[LocalColumn], effects: np.ndarray, *, by_group: bool
) -> UnitSums:
    """Return the sums of every unit; arguments as of `row_map.sums_of_rows`."""
    k = effects.shape[1] if rows.inner else 0
    level = float(rows.response.mean())
    N, means, squares = _condensed(rows, level)
    unit = rows.unit_of_group
    n_units = rows.n_units
    n_cell = _by_unit(N, unit, n_units)
    share = n_cell.sum(axis=0) / len(rows.response)
    references = {name: float(share @ values) for name, values in rows.cell_numbers.items()}
    n_rows = n_cell.sum(axis=1)
    number_means = {
        name: references[name] + n_cell @ (values - references[name]) / n_rows
        for name, values in rows.cell_numbers.items()
    }
    P = rows.products(columns, references)
    B = rows.products(columns, {}) @ effects[:, :k]
    y_level = _by_unit(N * means, unit, n_units).sum(axis=1) / n_rows
    centres = np.empty((n_units, P.shape[1] + 1))
    centres[:, :-1] = n_cell @ P / n_rows[:, None]
    centres[:, 0] = 0.0
    centres[:, -1] = y_level
    means -= y_level[unit, None]  # where N is 0 this is no mean; every use has N as a factor
    pattern, counts = _patterns(N)
    A = np.einsum("hc,ck,cl->hkl", counts, B, B)
    V = (N * means) @ B
    fitted = np.einsum("gk,gkl->gl", V, pseudo_inverse(A)[pattern]) @ B.T if k else 0.0
    rest = means - fitted

    within = np.empty((n_units, P.shape[1] + 1, P.shape[1] + 1))
    P_unit = P[None] - centres[:, None, :-1]
    within[:, :-1, :-1] = P_unit.transpose(0, 2, 1) @ (n_cell[:, :, None] * P_unit)
    across = _by_unit(N * rest, unit, n_units)
    within[:, :-1, -1] = within[:, -1, :-1] = (P_unit.transpose(0, 2, 1) @ across[:, :, None])[:, :, 0]
    left = np.bincount(unit, weights=(N * rest**2).sum(axis=1), minlength=n_units)
    within[:, -1, -1] = squares + left
    kind, kinds = distinct_kinds(A)

    # Joined: groups of one unit with one pattern.
    joined, keys = numbered(unit * len(counts) + pattern)
    j_unit, j_pattern = np.divmod(keys, len(counts))
    j_count = np.bincount(joined, minlength=len(keys)).astype(float)
    weighted = counts[:, :, None] * B[None]
    raw = np.einsum("cl,hck->hlk", P, weighted)
    D = raw[j_pattern] - centres[j_unit, :-1, None] * weighted.sum(axis=1)[j_pattern][:, None, :]
    taken = (D @ pseudo_inverse(A)[j_pattern]) @ D.transpose(0, 2, 1) * j_count[:, None, None]
    if k:
        np.subtract.at(within[:, :-1, :-1], j_unit, taken)
    sums = UnitSums(
        n_rows.astype(np.int64),
        centres,
        within,
        kinds,
        *_cells(D, V, joined, j_unit, kind[j_pattern], j_count, unit, kind[pattern], by_group=by_group),
        {name: np.full(n_units, value) for name, value in references.items()},
        None,
        number_means,
    )
    centres[:, -1] += level
    return sums


def _condensed(rows: UnitRows, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts and means (groups, cells), and the squares around these means per unit."""
    shape = (rows.n_groups, len(rows.cells))
    size = shape[0] * shape[1]
    key = rows.group if rows.cell is None else rows.group * shape[1] + rows.cell
    y = rows.response - level
    N = np.bincount(key, minlength=size).astype(float)
    sums = np.bincount(key, weights=y, minlength=size)
    means = np.divide(sums, N, out=sums, where=N > 0.0)
    y -= means[key]
    np.square(y, out=y)
    per_group = np.bincount(rows.group, weights=y, minlength=rows.n_groups)
    squares = np.bincount(rows.unit_of_group, weights=per_group, minlength=rows.n_units)
    return N.reshape(shape), means.reshape(shape), squares


def _by_unit(values: np.ndarray, unit: np.ndarray, n_units: int) -> np.ndarray:
    """Return sums over the groups of a unit of (groups, columns)."""
    return np.stack([np.bincount(unit, weights=each, minlength=n_units) for each in values.T], axis=1)


def _patterns(N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pattern of counts of every group, and the distinct patterns (patterns, cells)."""
    code = np.zeros(len(N), dtype=np.int64)
    for column in N.T:
        counts = column.astype(np.int64)
        code = numbered(code * (int(counts.max()) + 1) + counts)[0]
    one = np.empty(int(code.max()) + 1, dtype=np.int64)
    one[code[::-1]] = np.arange(len(code))[::-1]
    return code, N[one]


def _cells(
    D: np.ndarray,
    V: np.ndarray,
    joined: np.ndarray,
    j_unit: np.ndarray,
    j_kind: np.ndarray,
    j_count: np.ndarray,
    unit: np.ndarray,
    kind: np.ndarray,
    *,
    by_group: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Return unit, kind, count, products, slopes and groups of the cells.

    ``D`` (joined, columns, k) is that of one group of a pattern in a unit, ``V`` (groups, k) the response's.
    """
    n_groups, k = V.shape
    m = D.shape[1] + 1
    if k == 0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, np.empty(0), None, np.empty((0, m, 0)), nothing
    n_kinds = int(kind.max()) + 1
    cell, keys = numbered(j_unit * n_kinds + j_kind)
    if by_group or not worth_joining(len(keys), m * k, n_groups):
        slopes = np.concatenate([D[joined], V[:, None, :]], axis=1)
        return unit, kind, np.ones(n_groups), None, slopes, np.arange(n_groups)
    size = m * k
    per = np.zeros((len(j_unit), size, size))
    flat = D.reshape(len(D), -1)
    per[:, :-k, :-k] = flat[:, :, None] * flat[:, None, :] * j_count[:, None, None]
    for i in range(k):
        sums = np.bincount(joined, weights=V[:, i], minlength=len(j_unit))
        per[:, :-k, size - k + i] = per[:, size - k + i, :-k] = flat * sums[:, None]
        for j in range(i + 1):
            squares = np.bincount(joined, weights=V[:, i] * V[:, j], minlength=len(j_unit))
            per[:, size - k + i, size - k + j] = per[:, size - k + j, size - k + i] = squares
    products = np.zeros((len(keys), size, size))
    np.add.at(products, cell, per)
    count = np.bincount(cell, weights=j_count, minlength=len(keys))
    cell_unit, cell_kind = np.divmod(keys, n_kinds)
    return cell_unit, cell_kind, count, products.reshape(len(keys), m, k, m, k), None, None
