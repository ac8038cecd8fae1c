"""The engine for crossed and partly crossed groups: the deviance function by penalised least squares.

The level with most effects is eliminated group by group, the rest by a factor (`sparse_elimination`), part
by independent part (`sparse_parts`). Source: Bates et al. (2015, Journal of Statistical Software 67(1),
sections 3 and 4); the order of elimination is that of a blocked Cholesky factor whose first block is
diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from nwbswitch.analysis.sparse.clusters import add_cluster_sums, clusters_of
from nwbswitch.analysis.sparse.curvature import (
    Projected,
    curvature_of,
    factored,
    log_det_gradient,
    traces_of,
)
from nwbswitch.analysis.sparse.design import (
    CrossProducts,
    Rows,
    cross_products,
    remainder,
    with_columns,
)
from nwbswitch.analysis.sparse.elimination import Eliminated, Factor
from nwbswitch.analysis.sparse.parts import parts_of
from nwbswitch.schemas.errors import FitError

# Fixed effects cannot be told apart when the smallest eigenvalue of Q'Q of the rows left is below this.
ALIASED: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that share no group with others: ``positions`` of them, and per level of their ``groups``."""

    rows: Rows
    products: CrossProducts
    positions: np.ndarray
    groups: tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class SparseDeviance:
    """The deviance function of a model with any groups, from cross-products of its rows."""

    rows: Rows
    parts: tuple[Part, ...]
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

    def evaluate(
        self, psi: Sequence[np.ndarray], *, method: Method, precision: float | None = None
    ) -> Evaluation:
        """Return the criterion and its gradient at ``psi``."""
        p = self.n_fixed
        root, log_det = np.zeros((p + 1, p + 1)), self.rows.log_det
        sums = [np.zeros_like(each) for each in psi]
        effects = []
        for part in self.parts:
            eliminated, factor = _factored(part, psi)
            projected = Projected(eliminated, factor)
            root += projected.root
            log_det += projected.log_det
            effects.append(projected.effects())
            for own, added in zip(sums, log_det_gradient(eliminated, factor, self.block_sizes), strict=True):
                own += added
        criterion, beta, residual, used = criterion_of(
            root, log_det, n_rows=self.n_rows, scaling=self.scaling, method=method, precision=precision
        )
        u = np.append(-beta, 1.0)
        weight = used * np.outer(u, u)
        if method == "reml":
            weight[:p, :p] += np.linalg.inv(root[:p, :p])
        for by_level in effects:
            for own, U in zip(sums, by_level, strict=True):
                wide = U.transpose(1, 0, 2)
                own -= np.tensordot(wide @ weight, wide, axes=([1, 2], [1, 2]))
        gradient = tuple(0.5 * (own + own.T) for own in sums)
        return Evaluation(criterion, gradient, beta, root[:p, :p], residual, log_det)

    def curvature(self, psi: Sequence[np.ndarray]) -> Curvature:
        """Return W'V^-1 W and log|V| with two derivatives.

        They are exact, but where the factor is sparse the second derivatives of log|V| are differences of
        exact first ones, good to about nine digits.
        """
        found: Curvature | None = None
        for part in self.parts:
            eliminated, factor = _factored(part, psi)
            traces = traces_of(eliminated, factor, self.block_sizes)
            own = curvature_of(Projected(eliminated, factor), self.block_sizes, traces)
            found = own if found is None else _sum_of(found, own)
        assert found is not None
        return replace(found, log_det=found.log_det + self.rows.log_det)

    def cluster_sums(self, psi: Sequence[np.ndarray]) -> ClusterSums:
        """Return W'V^-1 W of every independent cluster, in the order of the outermost groups.

        A cluster is what hangs together through crossed groups; it is named by its outermost groups.

        Raises
        ------
        FitError
            If all rows hang together; the message names the crossed factors.
        """
        clusters = clusters_of(self.rows)
        sums = np.zeros((len(clusters.labels), self.n_fixed + 1, self.n_fixed + 1))
        for part in self.parts:
            eliminated, factor = _factored(part, psi)
            rest = remainder(part.rows, part.products)
            of_rows = clusters.of_rows[part.positions]
            add_cluster_sums(sums, clusters, part.groups, of_rows, rest, eliminated, factor)
        rows = np.bincount(clusters.of_rows, minlength=len(sums))
        return ClusterSums(clusters.group, clusters.labels, sums, rows)

    def without_cluster(self, position: int) -> SparseDeviance:
        """Return the deviance function of the rows outside one cluster, in the same basis.

        Raises
        ------
        FitError
            If there are no clusters, or the fixed effects cannot be told without this one.
        ValueError
            If there is no cluster of this position.
        """
        clusters = clusters_of(self.rows)
        if not 0 <= position < len(clusters.labels):
            raise ValueError(f"There is no cluster {position}; there are {len(clusters.labels)}.")
        rows = self.rows.some(np.flatnonzero(clusters.of_rows != position))
        p = self.n_fixed
        left = rows.columns[:, :p]
        if len(left) <= p or np.linalg.eigvalsh(left.T @ left)[0] < ALIASED:
            raise FitError(
                f"Without {clusters.group} {clusters.labels[position]!r} the fixed effects cannot all be "
                "estimated: some are told apart by this one alone."
            )
        return deviance_of(rows, self.scaling, self.parts[0].products.eliminated)

    def simulated(
        self, psi: Sequence[np.ndarray], coefficients: np.ndarray, sigma: float, rng: np.random.Generator
    ) -> SparseDeviance:
        """Return the deviance function of a response drawn from the model row by row, in the same basis."""
        rows = self.rows
        response = rows.columns[:, :-1] @ coefficients + sigma * rng.standard_normal(self.n_rows)
        for level, covariance in zip(rows.levels, psi, strict=True):
            values, vectors = np.linalg.eigh(covariance)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            drawn = sigma * rng.standard_normal((level.n_groups, len(root))) @ root.T
            response += np.einsum("nk,nk->n", level.values, drawn[level.codes])
        whole = rows.with_response(response)
        parts = []
        for part in self.parts:
            own = part.rows.with_response(response[part.positions])
            parts.append(replace(part, rows=own, products=with_columns(part.products, own)))
        return SparseDeviance(whole, tuple(parts), self.scaling)

    def effects(self, psi: Sequence[np.ndarray], coefficients: np.ndarray) -> tuple[np.ndarray | None, ...]:
        """Return per level the (groups, k) conditional means of the effects (BLUPs) in scaled units.

        They are Psi Z'V^-1 (y - Q b) (Robinson 1991, equation 1.2).
        """
        u = np.append(-coefficients, 1.0)
        found = [np.empty((level.n_groups, level.values.shape[1])) for level in self.rows.levels]
        for part in self.parts:
            by_level = Projected(*_factored(part, psi)).effects()
            for out, groups, U, own in zip(found, part.groups, by_level, psi, strict=True):
                out[groups] = (U @ u) @ own
        return tuple(found)


def deviance_of(rows: Rows, scaling: Scaling, eliminated: int) -> SparseDeviance:
    """Return the deviance function of rows, with the level to be eliminated first.

    Raises
    ------
    FitError
        If the crossed effects are too many to be factored.
    """
    parts = []
    for positions, groups in parts_of(rows, eliminated):
        own = rows if len(positions) == len(rows.columns) else rows.some(positions)
        parts.append(Part(own, cross_products(own, eliminated), positions, groups))
    return SparseDeviance(rows, tuple(parts), scaling)


def _factored(part: Part, psi: Sequence[np.ndarray]) -> tuple[Eliminated, Factor]:
    eliminated = Eliminated(part.products, psi[part.products.eliminated])
    return eliminated, factored(eliminated, psi)


def _sum_of(one: Curvature, other: Curvature) -> Curvature:
    return Curvature(
        one.root + other.root,
        one.first + other.first,
        one.second + other.second,
        one.log_det + other.log_det,
        one.log_det_first + other.log_det_first,
        one.log_det_second + other.log_det_second,
    )
