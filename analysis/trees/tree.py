"""The nested engine: the deviance function of a model whose groups are nested, from its summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import (
    ClusterSums,
    Curvature,
    Evaluation,
    Method,
    Scaling,
    criterion_of,
)
from nwbswitch.analysis.trees.bottom import Columns, Summary
from nwbswitch.analysis.trees.clusters import check_clusters, cluster_products, cluster_rows, without
from nwbswitch.analysis.trees.curvature import curvature
from nwbswitch.analysis.trees.effects import conditional_means
from nwbswitch.analysis.trees.elimination import Elimination
from nwbswitch.analysis.trees.levels import CrossedLevel, Level, UpperLevel
from nwbswitch.analysis.trees.simulation import DrawPlan, draw_plan, simulated_summary
from nwbswitch.schemas.errors import FitError

__all__ = ["CrossedLevel", "Tree", "UpperLevel", "evaluate"]


# Fixed effects cannot be told apart when the smallest eigenvalue of Q'Q of the rows left is below this.
ALIASED: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Tree:
    """The deviance function of one model: summaries, levels, and the sizes it needs.

    ``block_sizes`` gives per level, innermost first, the sizes of the blocks of Psi; ``log_det_fixed`` is
    log|X'X| of the change of basis, ``groups_order`` the order in which the groups of each level are held.
    The columns of W at the root are Q (p), any that only random effects need, and y, the last.

    ``cluster`` is the name of the outermost grouping factor, and ``cluster_labels`` its levels in the order
    held; levels without labels are numbered from 1.
    """

    summary: Summary
    upper: tuple[Level, ...]
    columns: Columns
    n_rows: int
    n_fixed: int
    block_sizes: tuple[tuple[int, ...], ...]
    log_det_fixed: float
    groups_order: tuple[np.ndarray, ...]
    cluster: str = ""
    cluster_labels: tuple[str, ...] = ()
    _prepared: list[DrawPlan] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def engine(self) -> str:
        """Name of the engine."""
        crossed = any(isinstance(level, CrossedLevel) for level in self.upper)
        return "nested and crossed" if crossed else "nested"

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

    def cluster_sums(self, psi: Sequence[np.ndarray]) -> ClusterSums:
        """Return W'V^-1 W of every group of the outermost level.

        Raises
        ------
        FitError
            If the outermost factor is crossed with all others, or only sums over its groups were kept.
        """
        sums = cluster_products(self.summary, self.upper, psi)
        chosen = np.r_[: self.n_fixed, sums.shape[1] - 1]
        rows = cluster_rows(self.summary, self.upper)
        return ClusterSums(self.cluster, self._labels(), sums[:, chosen[:, None], chosen], rows)

    def without_cluster(self, position: int) -> Tree:
        """Return the deviance function of the rows outside one group of the outermost level.

        Raises
        ------
        FitError
            If there are no clusters, or the fixed effects cannot be told without this one.
        ValueError
            If there is no cluster of this position.
        """
        check_clusters(self.upper)
        labels = self._labels()
        summary, upper, orders = without(self.summary, self.upper, self.groups_order, position)
        if not len(summary.within):
            raise FitError(f"Without {self.cluster} {labels[position]!r} no row is left.")
        left = int(self.n_rows - cluster_rows(self.summary, self.upper)[position])
        smaller = replace(
            self,
            summary=summary,
            upper=upper,
            n_rows=left,
            groups_order=orders,
            cluster_labels=labels[:position] + labels[position + 1 :],
        )
        nothing = [np.zeros((sum(sizes), sum(sizes))) for sizes in self.block_sizes]
        products = Elimination(summary, upper, nothing).root[: self.n_fixed, : self.n_fixed]
        if np.linalg.eigvalsh(products)[0] < ALIASED or left <= self.n_fixed:
            raise FitError(
                f"Without {self.cluster} {labels[position]!r} the fixed effects cannot all be estimated: "
                "some are told apart by this one alone."
            )
        return smaller

    def simulated(
        self, psi: Sequence[np.ndarray], coefficients: np.ndarray, sigma: float, rng: np.random.Generator
    ) -> Tree:
        """Return the deviance function of a response drawn from the model, exactly distributed.

        Raises
        ------
        FitError
            If the summaries do not count the rows of each unit.
        """
        if not self._prepared:
            self._prepared.append(draw_plan(self.summary))
        plan = self._prepared[0]
        drawn = simulated_summary(self.summary, self.upper, plan, psi, coefficients, sigma, rng)
        return replace(self, summary=drawn)

    def effects(self, psi: Sequence[np.ndarray], coefficients: np.ndarray) -> tuple[np.ndarray | None, ...]:
        """Return per level the (groups, k) BLUPs in scaled units, in the order in which groups are held."""
        return conditional_means(self.summary, self.upper, psi, coefficients)

    def _labels(self) -> tuple[str, ...]:
        if self.cluster_labels:
            return self.cluster_labels
        return tuple(str(number + 1) for number in range(len(self.upper[-1].parent)))


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
    p, last = tree.n_fixed, len(passed.root) - 1
    chosen = np.append(np.arange(p), last)
    root = passed.root[chosen[:, None], chosen]
    criterion, coefficients, residual, used = criterion_of(
        root, passed.log_det, n_rows=tree.n_rows, scaling=tree.scaling, method=method, precision=precision
    )
    u = np.append(-coefficients, 1.0)
    root_bar = np.zeros_like(passed.root)
    root_bar[chosen[:, None], chosen] = used * np.outer(u, u)
    if method == "reml":
        root_bar[:p, :p] += np.linalg.inv(root[:p, :p])
    gradient = passed.gradient(root_bar)
    return Evaluation(criterion, gradient, coefficients, root[:p, :p], residual, passed.log_det)
