"""Cross-products per innermost group: all that the likelihood of a nested model needs from the rows.

The columns W = [Q, extra random-effect columns, y] are cut from the data once. Q is an orthonormal basis
of the fixed effects and y the least-squares residual, so neither an offset of the response nor the scale
of a covariate costs digits. With D = W'Z and A = Z'Z per innermost group, a group contributes
C + D A^+ (I + A Psi)^-1 D' to W'V^-1 W, where C are cross-products of what Z leaves over (Woodbury's
identity). Groups with the same A share one sum of vec(D) vec(D)', so cost and memory do not grow with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.schemas.errors import FitError

# A random-effect column lies in the span of the fixed effects when less than this part is outside.
SPAN_TOLERANCE: Final = 1e-10
# A fit whose residual is below this part of the response is exact up to rounding.
EXACT_FIT_TOLERANCE: Final = 1e-13


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns W of the rows, and how they give back the model's own.

    ``matrix`` is (rows, m); ``fixed`` (p, p) turns Q into X: X = Q fixed; ``offset`` (p,) is the
    least-squares coefficient taken out of the response, which was then divided by ``scale``.
    ``effects`` holds per level the (m, k) matrix K with Z = W K, Z scaled to unit mean square by
    ``effect_scales`` (k,).
    """

    matrix: np.ndarray
    fixed: np.ndarray
    offset: np.ndarray
    scale: float
    effects: tuple[np.ndarray, ...]
    effect_scales: tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Cross-products of one innermost level, summed within the groups of the level above.

    ``within`` is (parents, m, m). ``products`` is (cells, m, k, m, k), the sum over groups with equal Z'Z
    of vec(D) vec(D)', or ``slopes`` (groups, m, k) holds D itself; ``parent``, ``kind`` and ``count``
    belong to the cells (or groups): the parent, the row of ``kinds`` (kinds, k, k) = Z'Z, and how many
    groups; ``inverses`` are the pseudo-inverses of the kinds. Cells are sorted by parent. ``rows``
    (parents,) counts rows; without it nothing can be simulated and clusters not be told by size.
    ``log_weights`` (parents,) sums log w over rows where these have weights w: V is then that of
    sqrt(w) times the rows, and log|V| of the rows themselves is less by these sums.

    With k = 0 there is no innermost level: ``within`` are the full cross-products W'W of the parents, there
    are no cells, and all levels of the tree are upper ones. So is held what has one level with
    not too many groups, so that these can be taken one by one.
    """

    within: np.ndarray
    kinds: np.ndarray
    inverses: np.ndarray
    parent: np.ndarray
    kind: np.ndarray
    count: np.ndarray
    products: np.ndarray | None
    slopes: np.ndarray | None
    order: np.ndarray
    rows: np.ndarray | None = None
    log_weights: np.ndarray | None = None

    @property
    def log_det(self) -> float:
        """Part of log|V| that comes from row weights."""
        return 0.0 if self.log_weights is None else -float(self.log_weights.sum())

    @property
    def n_parents(self) -> int:
        """Number of groups in the level above."""
        return len(self.within)


def columns_of(frame: ModelFrame) -> Columns:
    """Return the columns W of a model frame.

    Raises
    ------
    FitError
        If the fixed effects reproduce the response exactly.
    """
    X = frame.fixed.matrix
    lengths = np.sqrt(np.einsum("ij,ij->j", X, X))
    Q, triangle = np.linalg.qr(X / lengths)
    first = Q.T @ frame.response
    residual = frame.response - Q @ first
    second = Q.T @ residual  # a second pass removes what rounding left of a large offset
    residual = residual - Q @ second
    scale = float(np.sqrt(residual @ residual / len(residual)))
    typical = float(np.sqrt(frame.response @ frame.response / len(residual)))
    if scale <= EXACT_FIT_TOLERANCE * typical:
        raise FitError("The fixed effects reproduce the response exactly: there is no residual to model.")
    parts, effects, scales = [Q], [], []
    n_columns = Q.shape[1]
    for level in frame.levels:
        Z = np.concatenate([block.matrix for block in level.blocks], axis=1)
        size = np.sqrt(np.einsum("ij,ij->j", Z, Z) / len(Z))
        if np.any(size == 0.0):
            names = [name for block in level.blocks for name in block.names]
            raise FitError(f"The random effect {names[int(np.argmin(size))]!r} is zero in every row.")
        Z = Z / size
        basis = np.concatenate(parts, axis=1)
        mapping = basis.T @ Z
        outside = Z - basis @ mapping
        again = basis.T @ outside
        mapping, outside = mapping + again, outside - basis @ again
        left = np.sqrt(np.einsum("ij,ij->j", outside, outside) / len(Z))
        if np.any(left > SPAN_TOLERANCE):
            new, coefficients = np.linalg.qr(outside[:, left > SPAN_TOLERANCE])
            full = np.zeros((new.shape[1], Z.shape[1]))
            full[:, left > SPAN_TOLERANCE] = coefficients
            parts.append(new)
            n_columns += new.shape[1]
            mapping = np.concatenate([mapping, full])
        effects.append(mapping)
        scales.append(size)
    W = np.concatenate([*parts, residual[:, None] / scale], axis=1)
    padded = tuple(np.pad(K, ((0, n_columns + 1 - len(K)), (0, 0))) for K in effects)
    fixed = triangle * lengths
    return Columns(W, fixed, np.linalg.solve(fixed, first + second), scale, padded, tuple(scales))


def whole_groups(W: np.ndarray, codes: np.ndarray, n_groups: int) -> Summary:
    """Return the cross-products W'W of every group, without an innermost level (k = 0).

    ``codes`` (rows,) are the groups of rows, from 0 without gaps.
    """
    order = np.argsort(codes, kind="stable")
    rows = np.bincount(codes, minlength=n_groups)
    within = np.stack([part.T @ part for part in np.split(W[order], np.cumsum(rows)[:-1])])
    nothing, no_effect = np.empty(0, dtype=np.int64), np.empty((1, 0, 0))
    return Summary(
        within, no_effect, no_effect, nothing, nothing, np.empty(0), None, None, nothing, rows.astype(float)
    )


def summarise(W: np.ndarray, Z: np.ndarray, codes: np.ndarray, parent: np.ndarray, n_parents: int) -> Summary:
    """Return the cross-products of the innermost level.

    Parameters
    ----------
    W
        (rows, m) columns.
    Z
        (rows, k) random-effect columns of the innermost level.
    codes
        (rows,) group of each row, from 0 without gaps.
    parent
        (groups,) group of the level above.
    n_parents
        Number of groups above; 1 if the level is the only one.
    """
    n_groups, n_columns, n_effects = len(parent), W.shape[1], Z.shape[1]
    order = np.argsort(parent, kind="stable")
    position = np.empty(n_groups, dtype=np.int64)
    position[order] = np.arange(n_groups)
    codes = position[codes]
    if np.any(codes[1:] < codes[:-1]):
        rows = np.argsort(codes, kind="stable")
        W, Z, codes = W[rows], Z[rows], codes[rows]
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    parent_of_group = parent[order]
    D = np.stack([np.add.reduceat(W * Z[:, [j]], starts) for j in range(n_effects)], axis=2)
    A = np.empty((n_groups, n_effects, n_effects))
    for i in range(n_effects):
        for j in range(i + 1):
            A[:, i, j] = A[:, j, i] = np.add.reduceat(Z[:, i] * Z[:, j], starts)
    kind, kinds = _distinct(A)
    inverses = pseudo_inverse(kinds)
    fitted = inverses[kind] @ D.transpose(0, 2, 1)
    rest = W - np.einsum("nk,nkm->nm", Z, fitted[codes])
    parent_starts = starts[np.flatnonzero(np.r_[True, parent_of_group[1:] != parent_of_group[:-1]])]
    n_rows = np.diff(np.r_[parent_starts, len(codes)]).astype(float)
    within = np.empty((n_parents, n_columns, n_columns))
    for i in range(n_columns):
        for j in range(i + 1):
            within[:, i, j] = within[:, j, i] = np.add.reduceat(rest[:, i] * rest[:, j], parent_starts)
    cell_key = parent_of_group * len(kinds) + kind
    cells, cell_of_group = np.unique(cell_key, return_inverse=True)
    if len(cells) * n_columns * n_effects > n_groups:
        ones = np.ones(n_groups)
        return Summary(within, kinds, inverses, parent_of_group, kind, ones, None, D, order, n_rows)
    by_cell = np.argsort(cell_of_group, kind="stable")
    cell_starts = np.flatnonzero(np.r_[True, np.diff(cell_of_group[by_cell]) > 0])
    flat = D.reshape(n_groups, -1)[by_cell]
    size = flat.shape[1]
    products = np.empty((len(cells), size, size))
    for i in range(size):
        for j in range(i + 1):
            products[:, i, j] = products[:, j, i] = np.add.reduceat(flat[:, i] * flat[:, j], cell_starts)
    count = np.bincount(cell_of_group).astype(float)
    shape = (len(cells), n_columns, n_effects, n_columns, n_effects)
    cell_parent, cell_kind = np.divmod(cells, len(kinds))
    sums = products.reshape(shape)
    return Summary(within, kinds, inverses, cell_parent, cell_kind, count, sums, None, order, n_rows)


def _distinct(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each matrix the row of the distinct ones, equal up to rounding of the sums."""
    flat = A.reshape(len(A), -1)
    size = np.abs(flat).max()
    code = np.zeros(len(A), dtype=np.int64)
    for column in np.round(flat / (size * 1e-13)).T if size else ():
        inner, values = pd.factorize(column)
        code = pd.factorize(code * len(values) + inner)[0]
    first = np.unique(code, return_index=True)[1]
    return code, A[first]


def pseudo_inverse(A: np.ndarray) -> np.ndarray:
    """Return the Moore-Penrose inverse of every symmetric matrix of (kinds, k, k)."""
    if A.shape[1] == 1:
        return np.asarray(np.divide(1.0, A, out=np.zeros_like(A), where=A > 0.0))
    return np.asarray(np.linalg.pinv(A, rcond=1e-10, hermitian=True))
