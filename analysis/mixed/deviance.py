"""What an engine knows about one model: the contract between engines, the search and inference.

All values are in the engine's own basis: fixed effects in an orthonormal basis Q of the model matrix X, the
response as its least-squares residual divided by ``scale``, and random-effect columns divided by their root
mean square. `Scaling` leads back. W is [Q, y]; V = I + sum over levels of Z Psi Z', and the covariance of
the response is sigma^2 V.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import numpy as np

Method = Literal["reml", "ml"]
LOG_2_PI: Final = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, slots=True)
class Scaling:
    """How the engine's basis leads back to the model's own columns and units.

    ``fixed`` (p, p) turns Q into X: X = Q fixed, so that X'X = fixed' fixed. ``offset`` (p,) is the
    coefficient of X taken out of the response, which was then divided by ``scale``: a coefficient b of Q
    is ``offset + scale * solve(fixed, b)``. ``effect_scales`` holds per level the (k,) divisors of Z: a
    covariance Psi of the engine is ``scale^2 sigma^2 Psi / outer(effect_scales, effect_scales)``.
    """

    fixed: np.ndarray
    offset: np.ndarray
    scale: float
    effect_scales: tuple[np.ndarray, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The criterion at one point, with what follows from it.

    ``gradient`` has one symmetric matrix per level, d criterion / d Psi; ``coefficients`` (p,) are those of
    Q; ``information`` (p, p) is Q'V^-1 Q; ``residual`` the weighted residual sum of squares; ``log_det``
    log|V|.
    """

    criterion: float
    gradient: tuple[np.ndarray, ...]
    coefficients: np.ndarray
    information: np.ndarray
    residual: float
    log_det: float


@dataclass(frozen=True, slots=True)
class Curvature:
    """W'V^-1 W and log|V| with their first and second derivatives in the entries of Psi.

    The q parameters are the entries of the lower triangles of all blocks of Psi, in the order of
    `optimum.theta_layout`; V = I + sum psi_r G_r is linear in them (an entry off the diagonal moves both
    of its places). ``root`` (m, m), m = p + 1, is W'V^-1 W; ``first`` (q, m, m) = -W'V^-1 G_r V^-1 W;
    ``second`` (q, q, m, m) = W'V^-1 (G_r V^-1 G_s + G_s V^-1 G_r) V^-1 W. ``log_det_first`` (q,) is
    tr(V^-1 G_r) and ``log_det_second`` (q, q) is -tr(V^-1 G_r V^-1 G_s).
    """

    root: np.ndarray
    first: np.ndarray
    second: np.ndarray
    log_det: float
    log_det_first: np.ndarray
    log_det_second: np.ndarray


@dataclass(frozen=True, slots=True)
class ClusterSums:
    """W_g'V_g^-1 W_g of every independent cluster g, (clusters, m, m), and the clusters' labels.

    ``group`` is the name of the outermost grouping factor; clusters are its levels, between which the
    responses are independent, so the sum over clusters is the root.
    """

    group: str
    labels: tuple[str, ...]
    sums: np.ndarray
    n_rows: np.ndarray


class Deviance(Protocol):
    """The deviance function of one model: the second step of a fit, whatever the engine.

    Psi is given as one (k, k) covariance per level, relative to the residual variance, innermost level
    first; ``block_sizes`` gives per level the sizes of its diagonal blocks (one per bar of the formula).
    """

    @property
    def engine(self) -> str:
        """Name of the engine, for `info`."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def n_fixed(self) -> int:
        """Number p of fixed effects."""

    @property
    def block_sizes(self) -> tuple[tuple[int, ...], ...]:
        """Sizes of the blocks of Psi, per level."""

    @property
    def scaling(self) -> Scaling:
        """The way back to the model's own units."""

    def evaluate(
        self, psi: Sequence[np.ndarray], *, method: Method, precision: float | None = None
    ) -> Evaluation:
        """Return -2 log-likelihood or the REML criterion at ``psi``, with its gradient.

        ``precision`` is 1 / sigma^2 of the scaled response; by default sigma^2 is at its optimum.
        """

    def curvature(self, psi: Sequence[np.ndarray]) -> Curvature:
        """Return W'V^-1 W and log|V| with two derivatives."""

    def cluster_sums(self, psi: Sequence[np.ndarray]) -> ClusterSums:
        """Return W'V^-1 W cluster by cluster.

        Raises
        ------
        FitError
            If the model has no independent clusters, its outermost groups being crossed.
        """

    def without_cluster(self, position: int) -> Deviance:
        """Return the deviance function of the rows outside one cluster, in the same basis."""

    def simulated(
        self, psi: Sequence[np.ndarray], coefficients: np.ndarray, sigma: float, rng: np.random.Generator
    ) -> Deviance:
        """Return the deviance function of a response drawn from the model, in the same basis.

        ``coefficients`` (p,) are those of Q and ``sigma`` the residual SD of the scaled response.
        """

    def effects(self, psi: Sequence[np.ndarray], coefficients: np.ndarray) -> tuple[np.ndarray | None, ...]:
        """Return per level the (groups, k) conditional means of the effects (BLUPs) in scaled units.

        A level is None where only sums over its groups were kept.
        """


def criterion_of(
    root: np.ndarray,
    log_det: float,
    *,
    n_rows: int,
    scaling: Scaling,
    method: Method,
    precision: float | None = None,
) -> tuple[float, np.ndarray, float, float]:
    """Return criterion, coefficients, residual and precision from W'V^-1 W and log|V|.

    Source: Bates et al. 2015, equations 34 (ML) and 42 (REML).
    """
    p = len(root) - 1
    nu = n_rows - (p if method == "reml" else 0)
    lower = np.linalg.cholesky(root[:p, :p])
    c = np.linalg.solve(lower, root[:p, -1])
    residual = float(root[-1, -1] - c @ c)
    shift = 2.0 * np.log(scaling.scale)
    if precision is None:
        precision = nu / residual
        fit = nu * (1.0 + LOG_2_PI + np.log(residual / nu) + shift)
    else:
        fit = nu * (LOG_2_PI - np.log(precision) + shift) + precision * residual
    criterion = log_det + fit
    if method == "reml":
        criterion += 2.0 * float(np.log(np.diagonal(lower)).sum())
        criterion += 2.0 * float(np.linalg.slogdet(scaling.fixed)[1])
    return float(criterion), np.linalg.solve(lower.T, c), residual, precision
