"""The nested engine's deviance function straight from the rows of a model frame.

An independent way to the same sums as `mixed.unit_map` and `mixed.reduce`: the columns are made
orthonormal on the rows themselves, and the cross-products taken of these.
"""

import numpy as np

from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.summaries.kinds import distinct_kinds, pseudo_inverse
from nwbswitch.analysis.trees.bottom import Columns, Summary
from nwbswitch.analysis.trees.tree import Tree, UpperLevel
from nwbswitch.schemas.errors import FitError

# A random-effect column lies in the span of the fixed effects when less than this part is outside.
SPAN_TOLERANCE = 1e-10
# A fit whose residual is below this part of the response is exact up to rounding.
EXACT_FIT_TOLERANCE = 1e-13
# One level with at most this many groups is held group by group, so that they can be taken one by one.
HELD_ONE_BY_ONE = 2_000


def deviance_function(frame: ModelFrame) -> Tree:
    """Return the deviance function of a model frame: the second step of a fit.

    Raises
    ------
    FitError
        If the fixed effects reproduce the response, or a random effect is zero in every row.
    """
    columns = columns_of(frame)
    orders, parents = [], []
    rank = np.zeros(1, dtype=np.int64)
    for level in reversed(frame.levels):
        parent = rank[level.parent]
        order = np.argsort(parent, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        orders.append(order)
        parents.append(parent[order])
    orders, parents = orders[::-1], parents[::-1]
    lowest = frame.levels[0]
    Z = np.concatenate([block.matrix for block in lowest.blocks], axis=1) / columns.effect_scales[0]
    inverse = np.empty(len(orders[0]), dtype=np.int64)
    inverse[orders[0]] = np.arange(len(orders[0]))
    codes = inverse[lowest.codes]
    first = 1
    if len(frame.levels) > 1:
        summary = summarise(columns.matrix, Z, codes, parents[0], frame.levels[1].n_groups)
    elif lowest.n_groups > HELD_ONE_BY_ONE:
        summary = summarise(columns.matrix, Z, codes, parents[0], 1)
    else:
        summary, first = whole_groups(columns.matrix, codes, lowest.n_groups), 0
    upper = tuple(
        UpperLevel(columns.effects[i], np.flatnonzero(np.r_[True, np.diff(parents[i]) > 0]), parents[i])
        for i in range(first, len(frame.levels))
    )
    outermost = frame.levels[-1]
    labels = tuple(outermost.labels[i] for i in orders[-1])
    sizes = tuple(tuple(block.matrix.shape[1] for block in level.blocks) for level in frame.levels)
    log_det = 2.0 * float(np.linalg.slogdet(columns.fixed)[1])
    return Tree(
        summary,
        upper,
        columns,
        frame.n_rows,
        frame.fixed.matrix.shape[1],
        sizes,
        log_det,
        tuple(orders),
        outermost.names[0],
        labels,
    )


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
    kind, kinds = distinct_kinds(A)
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
