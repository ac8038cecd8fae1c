"""A model whose fixed effects are held on a line, plane or point: the null model of a test.

The constraint L beta = value leaves b = b0 + N a with free a. Then Q N takes the place of Q and y - Q b0
that of y, so W'V^-1 W of the restricted model is K' (W'V^-1 W) K with K = [N, -b0; 0, 1], whatever V is:
no engine needs its rows for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nwbswitch.analysis.mixed.deviance import (
    ClusterSums,
    Curvature,
    Deviance,
    Evaluation,
    Method,
    Scaling,
    criterion_of,
)
from nwbswitch.analysis.mixed.optimum import theta_layout
from nwbswitch.analysis.trees.elimination import Elimination
from nwbswitch.analysis.trees.tree import Tree


@dataclass(frozen=True, slots=True)
class Restricted:
    """The deviance function of ``whole`` with b = ``origin`` (p,) + ``basis`` (p, free) a.

    Its coefficients are a.
    """

    whole: Deviance
    basis: np.ndarray
    origin: np.ndarray

    @property
    def engine(self) -> str:
        """Name of the engine."""
        return self.whole.engine

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.whole.n_rows

    @property
    def n_fixed(self) -> int:
        """Number of free directions."""
        return int(self.basis.shape[1])

    @property
    def block_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the blocks of Psi, per level."""
        return self.whole.block_sizes

    @property
    def scaling(self) -> Scaling:
        """Scaling with a as the model's own coefficients, in units of the scaled response."""
        free = self.n_fixed
        return replace(self.whole.scaling, fixed=np.eye(free), offset=np.zeros(free))

    @property
    def _columns(self) -> np.ndarray:
        p, free = self.basis.shape
        K = np.zeros((p + 1, free + 1))
        K[:p, :free], K[:p, -1], K[-1, -1] = self.basis, -self.origin, 1.0
        return K

    def evaluate(
        self, psi: Sequence[np.ndarray], *, method: Method, precision: float | None = None
    ) -> Evaluation:
        """Return the criterion and its gradient at ``psi``."""
        root, log_det, gradient_of = _root_of(self.whole, psi)
        K = self._columns
        root = K.T @ root @ K
        criterion, coefficients, residual, used = criterion_of(
            root,
            log_det,
            n_rows=self.n_rows,
            scaling=self.scaling,
            method=method,
            precision=precision,
        )
        u = np.append(-coefficients, 1.0)
        root_bar = used * np.outer(u, u)
        if method == "reml":
            root_bar[:-1, :-1] += np.linalg.inv(root[:-1, :-1])
        gradient = gradient_of(K @ root_bar @ K.T)
        return Evaluation(criterion, gradient, coefficients, root[:-1, :-1], residual, log_det)

    def curvature(self, psi: Sequence[np.ndarray]) -> Curvature:
        """Return W'V^-1 W of the restricted columns and log|V| with two derivatives."""
        found, K = self.whole.curvature(psi), self._columns
        return replace(
            found, root=K.T @ found.root @ K, first=K.T @ found.first @ K, second=K.T @ found.second @ K
        )

    def cluster_sums(self, psi: Sequence[np.ndarray]) -> ClusterSums:
        """Return W'V^-1 W of the restricted columns cluster by cluster."""
        found, K = self.whole.cluster_sums(psi), self._columns
        return replace(found, sums=K.T @ found.sums @ K)

    def without_cluster(self, position: int) -> Deviance:
        """Return the restricted deviance function of the rows outside one cluster."""
        return Restricted(self.whole.without_cluster(position), self.basis, self.origin)

    def simulated(
        self, psi: Sequence[np.ndarray], coefficients: np.ndarray, sigma: float, rng: np.random.Generator
    ) -> Deviance:
        """Return the restricted deviance function of a response drawn from the restricted model."""
        full = self.origin + self.basis @ coefficients
        return Restricted(self.whole.simulated(psi, full, sigma, rng), self.basis, self.origin)

    def effects(self, psi: Sequence[np.ndarray], coefficients: np.ndarray) -> tuple[np.ndarray | None, ...]:
        """Return the conditional means of the effects."""
        return self.whole.effects(psi, self.origin + self.basis @ coefficients)


def _root_of(
    whole: Deviance, psi: Sequence[np.ndarray]
) -> tuple[np.ndarray, float, Callable[[np.ndarray], tuple[np.ndarray, ...]]]:
    """Return W'V^-1 W, log|V| and the gradient in Psi of log|V| + sum(root_bar * root), given root_bar.

    The nested engine goes back down its tree; any other has its first derivatives in `curvature`.
    """
    if isinstance(whole, Tree):
        passed = Elimination(whole.summary, whole.upper, psi)
        own = np.r_[: whole.n_fixed, len(passed.root) - 1]

        def down_the_tree(root_bar: np.ndarray) -> tuple[np.ndarray, ...]:
            wide = np.zeros_like(passed.root)
            wide[np.ix_(own, own)] = root_bar
            return passed.gradient(wide)

        return passed.root[np.ix_(own, own)], passed.log_det, down_the_tree
    found, layout = whole.curvature(psi), theta_layout(whole)

    def by_entries(root_bar: np.ndarray) -> tuple[np.ndarray, ...]:
        slopes = found.log_det_first + np.einsum("qij,ij->q", found.first, root_bar)
        gradient = [np.zeros((sum(sizes), sum(sizes))) for sizes in whole.block_sizes]
        for slope, (level, row, column) in zip(slopes, layout, strict=True):
            # An entry off the diagonal moves two places of Psi, each by half of the slope.
            gradient[level][row, column] = gradient[level][column, row] = (
                slope if row == column else 0.5 * slope
            )
        return tuple(gradient)

    return found.root, found.log_det, by_entries


def restricted(deviance: Deviance, contrasts: np.ndarray, values: np.ndarray) -> Restricted:
    """Return ``deviance`` under the constraint that ``contrasts @ beta`` equals ``values``.

    Parameters
    ----------
    deviance
        The deviance function of the whole model.
    contrasts
        (r, p) of full rank, in the model's own columns.
    values
        (r,), in units of the response.

    Raises
    ------
    ValueError
        If the shapes do not fit or the contrasts are not of full rank.
    """
    scaling, p = deviance.scaling, deviance.n_fixed
    contrasts = np.atleast_2d(np.asarray(contrasts, dtype=float))
    values = np.atleast_1d(np.asarray(values, dtype=float))
    if contrasts.shape[1] != p or values.shape != (len(contrasts),):
        raise ValueError(
            f"contrasts must be (r, {p}) with r values, not {contrasts.shape} with {values.shape}."
        )
    inside = contrasts @ np.linalg.inv(scaling.fixed)
    inside_values = (values - contrasts @ scaling.offset) / scaling.scale
    lengths = np.linalg.norm(inside, axis=1)
    if np.any(lengths == 0.0):
        raise ValueError("A contrast of zeros constrains nothing; leave it out.")
    left, sizes, directions = np.linalg.svd(inside / lengths[:, None])
    if np.any(sizes < 1e-10) or len(sizes) < len(contrasts):
        raise ValueError("The contrasts are combinations of each other; leave one out.")
    rank = len(contrasts)
    origin = directions[:rank].T @ ((left.T @ (inside_values / lengths)) / sizes)
    return Restricted(deviance, directions[rank:].T, origin)
