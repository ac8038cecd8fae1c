"""The engine for crossed and partly crossed groups: the deviance function by penalised least squares.

The level with most effects is eliminated group by group, the rest by a dense factor (`sparse_elimination`).
Source: Bates et al. (2015, Journal of Statistical Software 67(1), sections 3 and 4); the order of
elimination is that of a blocked Cholesky factor whose first block is diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.mixed.deviance import Curvature, Evaluation, Method, Scaling, criterion_of
from nwbswitch.analysis.mixed.sparse_curvature import Projected, curvature_of, dense_traces, own_block_sum
from nwbswitch.analysis.mixed.sparse_design import CrossProducts, Rows
from nwbswitch.analysis.mixed.sparse_elimination import DenseFactor, Eliminated


@dataclass(frozen=True, slots=True)
class SparseDeviance:
    """The deviance function of a model with any groups, from cross-products of its rows."""

    rows: Rows
    products: CrossProducts
    scaling: Scaling

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return "sparse"

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.rows.columns)

    @property
    def n_fixed(self) -> int:
        """Number p of fixed effects."""
        return int(self.rows.columns.shape[1]) - 1

    @property
    def block_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the blocks of Psi, per level."""
        return tuple(level.block_sizes for level in self.rows.levels)

    def _factored(self, psi: Sequence[np.ndarray]) -> tuple[Eliminated, DenseFactor]:
        eliminated = Eliminated(self.products, psi[self.products.eliminated])
        return eliminated, DenseFactor(eliminated.S, self.products.places, psi)

    def evaluate(
        self, psi: Sequence[np.ndarray], *, method: Method, precision: float | None = None
    ) -> Evaluation:
        """Return the criterion and its gradient at ``psi``."""
        eliminated, factor = self._factored(psi)
        projected = Projected(eliminated, factor)
        root, p = projected.root, self.n_fixed
        criterion, beta, residual, used = criterion_of(
            root,
            projected.log_det,
            n_rows=self.n_rows,
            scaling=self.scaling,
            method=method,
            precision=precision,
        )
        u = np.append(-beta, 1.0)
        weight = used * np.outer(u, u)
        if method == "reml":
            weight[:p, :p] += np.linalg.inv(root[:p, :p])
        sums = {self.products.eliminated: own_block_sum(eliminated, factor)}
        for position, place in enumerate(self.products.places):
            sums[place.level] = factor.block_sum(position)
        gradient = []
        for level, U in enumerate(projected.effects()):
            part = sums[level] - np.einsum("gam,gbm->ab", U @ weight, U, optimize=True)
            gradient.append(0.5 * (part + part.T))
        return Evaluation(criterion, tuple(gradient), beta, root[:p, :p], residual, projected.log_det)

    def curvature(self, psi: Sequence[np.ndarray]) -> Curvature:
        """Return W'V^-1 W and log|V| with two derivatives."""
        eliminated, factor = self._factored(psi)
        traces = dense_traces(eliminated, factor, self.block_sizes)
        return curvature_of(Projected(eliminated, factor), self.block_sizes, traces)
