"""The nested engine: the deviance function of a model whose groups are nested, from its summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.mixed.deviance import LOG_2_PI, Curvature, Evaluation, Method, Scaling
from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.mixed.summaries import Columns, Summary, columns_of, summarise
from nwbswitch.analysis.mixed.tree_curvature import curvature
from nwbswitch.analysis.mixed.tree_elimination import Elimination
from nwbswitch.analysis.mixed.tree_levels import CrossedLevel, Level, UpperLevel

__all__ = ["CrossedLevel", "Tree", "UpperLevel", "deviance_function", "evaluate"]


@dataclass(frozen=True, slots=True)
class Tree:
    """The deviance function of one model: summaries, levels, and the sizes it needs.

    ``block_sizes`` gives per level, innermost first, the sizes of the blocks of Psi; ``log_det_fixed`` is
    log|X'X| of the change of basis, ``groups_order`` the order in which the groups of each level are held.
    """

    summary: Summary
    upper: tuple[Level, ...]
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

    def curvature(self, psi: Sequence[np.ndarray]) -> Curvature:
        """Return W'V^-1 W and log|V| with two derivatives, at any Psi at which V is positive definite."""
        return curvature(self.summary, self.upper, self.block_sizes, self.n_fixed, psi)


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
    passed = Elimination(tree.summary, tree.upper, psi)
    root, log_det = passed.root, passed.log_det
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
    gradient = passed.gradient(S_bar)
    return Evaluation(float(criterion), gradient, beta, F, residual, float(log_det))
