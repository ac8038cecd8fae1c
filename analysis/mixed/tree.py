"""Likelihood of a nested linear mixed model by elimination from the innermost group outwards.

The covariance of the response is sigma^2 V with V = I + sum over levels of Z Psi Z'. Each level takes the
cross-products S = W'V^-1 W of its groups, as they stand without its own effects, to
S - D B D' with D = S K, A = K'S K, B = Psi (I + A Psi)^-1, adds log|I + A Psi| to log|V|, and sums the
groups of one parent (Woodbury's identity; Bates et al. 2015, section 3, has the same criterion through a
sparse factor). Written in Psi, nothing is singular where a variance is zero. The gradient goes back down
the same tree (reverse accumulation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.mixed.deviance import LOG_2_PI, Evaluation, Method, Scaling
from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.mixed.summaries import Columns, Summary, columns_of, summarise


@dataclass(frozen=True, slots=True)
class UpperLevel:
    """A level above the innermost: K (m, k), and the first group of every parent (groups are sorted)."""

    effects: np.ndarray
    starts: np.ndarray
    parent: np.ndarray


@dataclass(frozen=True, slots=True)
class Tree:
    """The deviance function of one model: summaries, levels, and the sizes it needs.

    ``block_sizes`` gives per level, innermost first, the sizes of the blocks of Psi; ``log_det_fixed`` is
    log|X'X| of the change of basis, ``groups_order`` the order in which the groups of each level are held.
    """

    summary: Summary
    upper: tuple[UpperLevel, ...]
    columns: Columns
    n_rows: int
    n_fixed: int
    block_sizes: tuple[tuple[int, ...], ...]
    log_det_fixed: float
    groups_order: tuple[np.ndarray, ...]

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return "nested"

    @property
    def scaling(self) -> Scaling:
        """The way back to the model's own units."""
        columns = self.columns
        return Scaling(columns.fixed, columns.offset, columns.scale, columns.effect_scales)

    def evaluate(
        self, psi: Sequence[np.ndarray], *, method: Method, precision: float | None = None
    ) -> Evaluation:
        """Return the criterion and its gradient at ``psi``."""
        return evaluate(self, psi, method=method, precision=precision)


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
    n_parents = frame.levels[1].n_groups if len(frame.levels) > 1 else 1
    summary = summarise(columns.matrix, Z, inverse[lowest.codes], parents[0], n_parents)
    upper = tuple(
        UpperLevel(columns.effects[i], np.flatnonzero(np.r_[True, np.diff(parents[i]) > 0]), parents[i])
        for i in range(1, len(frame.levels))
    )
    sizes = tuple(tuple(block.matrix.shape[1] for block in level.blocks) for level in frame.levels)
    log_det = 2.0 * float(np.linalg.slogdet(columns.fixed)[1])
    return Tree(
        summary, upper, columns, frame.n_rows, frame.fixed.matrix.shape[1], sizes, log_det, tuple(orders)
    )


def evaluate(
    tree: Tree, psi: Sequence[np.ndarray], *, method: Method, precision: float | None = None
) -> Evaluation:
    """Return the criterion (-2 log-likelihood or the REML criterion) and its gradient at ``psi``.

    Parameters
    ----------
    tree
        The deviance function.
    psi
        Per level, innermost first, the covariance of its effects relative to the residual variance.
    method
        ``reml`` or ``ml``.
    precision
        1 / sigma^2 of the scaled response; by default sigma^2 is at its optimum (profiled).
    """
    bottom = _Bottom(tree.summary, psi[0])
    S, log_det = bottom.sums, bottom.log_det
    passed = []
    for level, own in zip(tree.upper, psi[1:], strict=True):
        step = _Step(S, level, own)
        passed.append(step)
        S, log_det = step.sums, log_det + step.log_det
    root = S[0]
    p, nu = tree.n_fixed, tree.n_rows - (tree.n_fixed if method == "reml" else 0)
    F = root[:p, :p]
    lower = np.linalg.cholesky(F)
    c = np.linalg.solve(lower, root[:p, -1])
    residual = float(root[-1, -1] - c @ c)
    beta = np.linalg.solve(lower.T, c)
    shift = 2.0 * np.log(tree.columns.scale)
    if precision is None:
        precision = nu / residual
        fit = nu * (1.0 + LOG_2_PI + np.log(residual / nu) + shift)
    else:
        fit = nu * (LOG_2_PI - np.log(precision) + shift) + precision * residual
    criterion = log_det + fit
    u = np.zeros(len(root))
    u[:p], u[-1] = -beta, 1.0
    S_bar = precision * np.outer(u, u)
    if method == "reml":
        criterion += 2.0 * float(np.log(np.diagonal(lower)).sum()) + tree.log_det_fixed
        half = np.linalg.inv(lower)
        S_bar[:p, :p] += half.T @ half
    gradient = []
    down = S_bar[None]
    for step in reversed(passed):
        own_gradient, down = step.backward(down)
        gradient.append(own_gradient)
    gradient.append(bottom.backward(down))
    return Evaluation(float(criterion), tuple(gradient[::-1]), beta, F, residual, float(log_det))


class _Step:
    """One upper level: forward elimination of its effects, and the way back."""

    def __init__(self, S: np.ndarray, level: UpperLevel, psi: np.ndarray) -> None:
        self.level = level
        self.D = S @ level.effects
        self.A = level.effects.T @ self.D
        self.H, logs = _inverse_and_log_det(self.A, psi)
        self.log_det = float(logs.sum())
        self.B = psi @ self.H
        self.sums = np.add.reduceat(S - self.D @ self.B @ self.D.transpose(0, 2, 1), level.starts, axis=0)

    def backward(self, S_bar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradient in Psi and the derivative for the level below, given the one above."""
        if len(S_bar) > 1:
            S_bar = S_bar[self.level.parent]
        D_bar = S_bar @ self.D
        Q = self.D.transpose(0, 2, 1) @ D_bar
        H_t = self.H.transpose(0, 2, 1)
        gradient = (self.H @ self.A - self.H @ Q @ H_t).sum(axis=0)
        K = self.level.effects
        BK = self.B @ K.T
        cross = D_bar @ BK
        inner = self.B @ Q @ self.B + self.B
        return gradient, S_bar - cross - cross.transpose(0, 2, 1) + K @ inner @ K.T


class _Bottom:
    """The innermost level, from its summary."""

    def __init__(self, summary: Summary, psi: np.ndarray) -> None:
        self.summary = summary
        A = summary.kinds
        self.H, logs = _inverse_and_log_det(A, psi)
        self.per_kind = np.bincount(summary.kind, weights=summary.count, minlength=len(A))
        self.log_det = float(self.per_kind @ logs)
        rest = summary.inverses @ self.H
        self.rest = 0.5 * (rest + rest.transpose(0, 2, 1))
        self.sums = self._sums()

    def _sums(self) -> np.ndarray:
        summary, R = self.summary, self.rest[self.summary.kind]
        if summary.slopes is not None:
            D = summary.slopes
            parts = D @ R @ D.transpose(0, 2, 1)
        else:
            assert summary.products is not None
            parts = np.einsum("cikjl,ckl->cij", summary.products, R, optimize=True)
        starts = np.flatnonzero(np.r_[True, np.diff(summary.parent) > 0])
        return np.asarray(summary.within + np.add.reduceat(parts, starts, axis=0))

    def backward(self, S_bar: np.ndarray) -> np.ndarray:
        """Return the gradient in Psi."""
        summary = self.summary
        S_bar = np.broadcast_to(S_bar, (summary.n_parents, *S_bar.shape[1:]))[summary.parent]
        if summary.slopes is not None:
            Q = summary.slopes.transpose(0, 2, 1) @ S_bar @ summary.slopes
        else:
            assert summary.products is not None
            Q = np.einsum("cikjl,cij->ckl", summary.products, S_bar, optimize=True)
        n_kinds, k = len(summary.kinds), self.H.shape[1]
        flat = Q.reshape(len(Q), -1)
        per_kind = np.stack(
            [np.bincount(summary.kind, weights=flat[:, i], minlength=n_kinds) for i in range(k * k)], axis=1
        ).reshape(n_kinds, k, k)
        H_t = self.H.transpose(0, 2, 1)
        own = self.per_kind[:, None, None] * (self.H @ summary.kinds) - self.H @ per_kind @ H_t
        return np.asarray(own.sum(axis=0))


def _inverse_and_log_det(A: np.ndarray, psi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (I + A Psi)^-1 and log|I + A Psi| for every A of (groups, k, k)."""
    M = np.eye(len(psi)) + A @ psi
    if len(psi) == 1:
        return 1.0 / M, np.log(M[:, 0, 0])
    if len(psi) == 2:  # written out: a library call per 2 by 2 matrix is most of the time of a large fit
        determinant = M[:, 0, 0] * M[:, 1, 1] - M[:, 0, 1] * M[:, 1, 0]
        inverse = np.empty_like(M)
        inverse[:, 0, 0], inverse[:, 1, 1] = M[:, 1, 1], M[:, 0, 0]
        inverse[:, 0, 1], inverse[:, 1, 0] = -M[:, 0, 1], -M[:, 1, 0]
        return inverse / determinant[:, None, None], np.log(determinant)
    return np.linalg.inv(M), np.linalg.slogdet(M)[1]
