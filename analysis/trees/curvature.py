"""Second derivatives of a nested likelihood, carried through the tree beside the cross-products.

Each step takes S = W'V^-1 W, as it stands without a level's own effects, to S* = (S^-1 + K Psi K')^-1,
that is S - D B D' with D = S K, A = K'S K, H = (I + A Psi)^-1, B = Psi H. With E = I - K B D', P = S*K and
Q = K'S*K, the derivatives in parameters r, s of the levels below and t, u of the level itself, where
G_t = d Psi / d t, are (differentiating the inverse twice; Magnus and Neudecker 2019, chapters 8 and 10)

    S*_r = E'S_r E                 S*_rs = E'(S_rs - S_r K B K'S_s - S_s K B K'S_r) E
    S*_t = -P G_t P'               S*_rt = -(P G_t K'S*_r + S*_r K G_t P')
                                   S*_tu = P (G_t Q G_u + G_u Q G_t) P'

and log|I + A Psi| adds tr(B A_r), tr(Q G_t), tr(B A_rs) - tr(B A_r B A_s), tr(K'S*_r K G_t) and
-tr(Q G_t Q G_u) to those of log|V|. Nothing is divided by Psi, so its boundary is no exception.

A stack holds S, the q first derivatives and the q (q + 1) / 2 second ones, lower triangle by rows, as
(groups, m, stack, m): so one product of small matrices serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import Curvature
from nwbswitch.analysis.trees.bottom import Summary
from nwbswitch.analysis.trees.levels import (
    CrossedLevel,
    Level,
    covariance_of,
    effects_of,
    inverse_and_log_det,
    kept_columns,
)

# Groups are taken in pieces whose stacks have about this many numbers.
PIECE: Final = 500_000

# Stacks of the groups from one position to another, and their share of the stack of log|V|.
_Source = Callable[[int, int], tuple[np.ndarray, np.ndarray]]


def curvature(
    summary: Summary,
    upper: Sequence[Level],
    block_sizes: Sequence[tuple[int, ...]],
    n_fixed: int,
    psi: Sequence[np.ndarray],
) -> Curvature:
    """Return W'V^-1 W and log|V| with two derivatives in the entries of Psi."""
    q, levels = 0, list(zip(psi, block_sizes, strict=True))
    source: _Source
    if summary.kinds.shape[1]:
        own, sizes = levels.pop(0)
        G = directions(sizes)
        q = len(G)
        source = _bottom(summary, own, G)
    else:
        source = _within(summary)
    n_groups, n_columns = summary.n_parents, summary.within.shape[1]
    total = np.zeros(_stack(q))
    for level, (own, sizes) in zip(upper, levels, strict=True):
        G = directions(sizes)
        stacks, added = _above(source, n_groups, n_columns, q, level, own, G)
        total = _widened(total, q, q + len(G)) + added
        q += len(G)
        n_groups, n_columns = len(stacks), stacks.shape[1]
        source = _held(stacks, q)
    stacks, added = source(0, 1)
    total += added
    fixed_and_response = np.append(np.arange(n_fixed), n_columns - 1)
    found = stacks[0].transpose(1, 0, 2)[:, fixed_and_response][:, :, fixed_and_response]
    rows, columns = _triangle(q)
    second = np.empty((q, q, *found.shape[1:]))
    second[rows, columns] = second[columns, rows] = found[1 + q :]
    log_det_second = np.empty((q, q))
    log_det_second[rows, columns] = log_det_second[columns, rows] = total[1 + q :]
    return Curvature(
        found[0],
        found[1 : 1 + q],
        second,
        float(total[0]) + summary.log_det,
        total[1 : 1 + q].copy(),
        log_det_second,
    )


def directions(sizes: tuple[int, ...]) -> np.ndarray:
    """Return d Psi of one level per parameter, (q, k, k): lower triangles of its blocks by columns."""
    k, first, found = sum(sizes), 0, []
    for size in sizes:
        for column in range(first, first + size):
            for row in range(column, first + size):
                G = np.zeros((k, k))
                G[row, column] = G[column, row] = 1.0
                found.append(G)
        first += size
    return np.array(found).reshape(len(found), k, k)


def _stack(q: int) -> int:
    return 1 + q + q * (q + 1) // 2


@cache
def _triangle(q: int) -> tuple[np.ndarray, np.ndarray]:
    return np.tril_indices(q)


def _widened(total: np.ndarray, q: int, wider: int) -> np.ndarray:
    """Return a stack of q parameters as one of more parameters, later ones being zero."""
    out = np.zeros(_stack(wider))
    out[: 1 + q] = total[: 1 + q]
    out[1 + wider : 1 + wider + len(total) - 1 - q] = total[1 + q :]
    return out


def _pieces(first: int, last: int, numbers_each: int) -> Iterator[tuple[int, int]]:
    step = max(1, PIECE // max(numbers_each, 1))
    for start in range(first, last, step):
        yield start, min(start + step, last)


def _held(stacks: np.ndarray, q: int) -> _Source:
    nothing = np.zeros(_stack(q))
    return lambda first, last: (stacks[first:last], nothing)


def _within(summary: Summary) -> _Source:
    nothing = np.zeros(1)
    return lambda first, last: (summary.within[first:last, :, None, :], nothing)


def _bottom(summary: Summary, psi: np.ndarray, G: np.ndarray) -> _Source:
    """Return stacks of the innermost level: W'V^-1 Z = D H' takes the place of P, Z'V^-1 Z that of Q."""
    A, q = summary.kinds, len(G)
    H, logs = inverse_and_log_det(A, psi)
    H_t = H.transpose(0, 2, 1)
    Q = A @ H_t
    rows, columns = _triangle(q)
    rest = summary.inverses @ H
    weights = np.empty((len(A), _stack(q), *psi.shape))
    weights[:, 0] = 0.5 * (rest + rest.transpose(0, 2, 1))
    weights[:, 1 : 1 + q] = -H_t[:, None] @ G @ H[:, None]
    weights[:, 1 + q :] = H_t[:, None] @ _doubled(Q, G)[:, rows, columns] @ H[:, None]
    QG = Q[:, None] @ G
    logs_second = -np.einsum("grkl,gslk->grs", QG, QG)[:, rows, columns]
    logs = np.concatenate([logs[:, None], np.einsum("grkk->gr", QG), logs_second], axis=1)
    n_columns = summary.within.shape[1]

    def stacks_of(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        begin, end = np.searchsorted(summary.parent, [first, last])
        out = np.zeros((last - first, n_columns, _stack(q), n_columns))
        out[:, :, 0] = summary.within[first:last]
        for low, high in _pieces(int(begin), int(end), out[0].size):
            part = _cell_stacks(summary, weights, low, high)
            if end - begin == last - first:  # one cell for each parent
                out[low - begin : high - begin] += part
                continue
            parent = summary.parent[low:high]
            starts = np.append(0, np.flatnonzero(np.diff(parent)) + 1)
            out[parent[starts] - first] += np.add.reduceat(part, starts, axis=0)
        counts = np.bincount(summary.kind[begin:end], weights=summary.count[begin:end], minlength=len(A))
        return out, counts @ logs

    return stacks_of


def _cell_stacks(summary: Summary, weights: np.ndarray, low: int, high: int) -> np.ndarray:
    R = weights[summary.kind[low:high]]
    n_cells, n_stack, k, _ = R.shape
    if summary.slopes is not None:
        D = summary.slopes[low:high]
        m = D.shape[1]
        left = D @ R.transpose(0, 2, 1, 3).reshape(n_cells, k, n_stack * k)
        found = left.reshape(n_cells, m * n_stack, k) @ D.transpose(0, 2, 1)
        return np.asarray(found.reshape(n_cells, m, n_stack, m))
    assert summary.products is not None
    m = summary.products.shape[1]
    flat = summary.products[low:high].transpose(0, 1, 3, 2, 4).reshape(n_cells, m * m, k * k)
    found = flat @ R.reshape(n_cells, n_stack, k * k).transpose(0, 2, 1)
    return np.asarray(found.reshape(n_cells, m, m, n_stack).transpose(0, 1, 3, 2))


def _doubled(Q: np.ndarray, G: np.ndarray) -> np.ndarray:
    """Return G_t Q G_u + G_u Q G_t, (groups, q, q, k, k)."""
    product = G[:, None] @ (Q[:, None, None] @ G)
    return np.asarray(product + product.transpose(0, 2, 1, 3, 4))


def _above(
    source: _Source, n_groups: int, n_columns: int, q: int, level: Level, psi: np.ndarray, G: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the stacks of the parents of a level's groups, and what the level adds to log|V|."""
    K = effects_of(level, n_columns)
    psi = covariance_of(level, psi)
    if isinstance(level, CrossedLevel):
        G = np.array([covariance_of(level, each) for each in G])
    kept = kept_columns(level, n_columns)
    wider = q + len(G)
    sums: list[np.ndarray] = []
    total = np.zeros(_stack(wider))
    for first, last in _pieces(0, n_groups, n_columns**2 * (2 * _stack(wider) + q * q)):
        stacks, logs = source(first, last)
        part, own_logs = _eliminated(stacks, q, K, psi, G)
        total += _widened(logs, q, wider) + own_logs
        if kept is not None:
            part = part[:, kept][:, :, :, kept]
        low, high = np.searchsorted(level.starts, [first, last])
        starts = level.starts[low:high] - first
        if high == low or starts[0] > 0:  # the piece begins inside a parent
            starts = np.r_[0, starts]
            own = np.add.reduceat(part, starts, axis=0)
            sums[-1][-1] += own[0]
            own = own[1:]
        else:
            own = np.add.reduceat(part, starts, axis=0)
        if len(own):
            sums.append(own)
    return sums[0] if len(sums) == 1 else np.concatenate(sums), total


def _eliminated(
    stacks: np.ndarray, q: int, K: np.ndarray, psi: np.ndarray, G: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the stacks after one step, (groups, m, stack, m), and the step's stack of log|V|."""
    n, m = stacks.shape[:2]
    k, own = len(psi), len(G)
    wider = q + own
    rows, columns = _triangle(q)
    S = stacks[:, :, 0]
    D = S @ K
    A = K.T @ D
    H, logs = inverse_and_log_det(A, psi)
    B = psi @ H
    P = D @ H.transpose(0, 2, 1)
    P_t = P.transpose(0, 2, 1)
    Q = K.T @ P
    out = np.empty((n, m, _stack(wider), m))
    total = np.zeros(_stack(wider))
    out[:, :, 0] = S - D @ B @ D.transpose(0, 2, 1)
    total[0] = logs.sum()

    if q:
        SK = stacks[:, :, 1:] @ K
        A_all = (K.T @ SK.reshape(n, m, -1)).reshape(n, k, -1, k)
        BA = (B @ A_all.reshape(n, k, -1)).reshape(n, k, -1, k)
        traces = np.einsum("gkrk->r", BA)
        BA = BA[:, :, :q]
        total[1 : 1 + q] = traces[:q]
        crossed = BA.transpose(2, 0, 1, 3).reshape(q, -1) @ BA.transpose(2, 0, 3, 1).reshape(q, -1).T
        total[1 + wider : 1 + wider + len(rows)] = traces[q:] - crossed[rows, columns]
        first = SK[:, :, :q].reshape(n, m * q, k)
        cross = (first @ B) @ first.transpose(0, 2, 1)
        cross = cross.reshape(n, m, q, m, q).transpose(0, 1, 2, 4, 3)
        inner = stacks[:, :, 1:].copy()
        inner[:, :, q:] -= cross[:, :, rows, columns] + cross[:, :, columns, rows]
        E = -K @ (B @ D.transpose(0, 2, 1))
        E.reshape(n, -1)[:, :: m + 1] += 1.0
        inner = E.transpose(0, 2, 1) @ inner.reshape(n, m, -1)
        inner = (inner.reshape(n, -1, m) @ E).reshape(n, m, -1, m)
        out[:, :, 1 : 1 + q] = inner[:, :, :q]
        out[:, :, 1 + wider : 1 + wider + len(rows)] = inner[:, :, q:]

    PG = (P @ G.transpose(1, 0, 2).reshape(k, own * k)).reshape(n, m * own, k)
    out[:, :, 1 + q : 1 + wider] = -(PG @ P_t).reshape(n, m, own, m)
    QG = Q[:, None] @ G
    total[1 + q : 1 + wider] = np.einsum("grkk->r", QG)
    own_second = -QG.transpose(1, 0, 2, 3).reshape(own, -1) @ QG.transpose(1, 0, 3, 2).reshape(own, -1).T
    own_rows, own_columns = _triangle(own)
    middle = _doubled(Q, G)[:, own_rows, own_columns].transpose(0, 2, 1, 3)
    both_own = (P @ middle.reshape(n, k, -1)).reshape(n, -1, k) @ P_t
    both_own = both_own.reshape(n, m, -1, m)
    for t in range(own):
        begin = 1 + wider + (q + t) * (q + t + 1) // 2 + q
        out[:, :, begin : begin + t + 1] = both_own[:, :, t * (t + 1) // 2 : (t + 1) * (t + 2) // 2]
        total[begin : begin + t + 1] = own_second[t, : t + 1]
    if q:
        KS = K.T @ out[:, :, 1 : 1 + q].reshape(n, m, q * m)
        mixed = (PG @ KS).reshape(n, m, own, q, m)
        mixed = -(mixed + mixed.transpose(0, 4, 2, 3, 1))
        mixed_logs = np.einsum("gkrl,tlk->tr", KS.reshape(n, k, q, m) @ K, G)
        for t in range(own):
            begin = 1 + wider + (q + t) * (q + t + 1) // 2
            out[:, :, begin : begin + q] = mixed[:, :, t]
            total[begin : begin + q] = mixed_logs[t]
    return out, total
