"""Solution of the estimating equations sum D_i' V_i^-1 (y_i - mu_i) = 0 over clusters i.

Liang and Zeger (1986, Biometrika 73:13-22), with working covariance V = phi A^1/2 R A^1/2, where A holds the
variances of the family and R is the identity or has one correlation alpha off the diagonal, so that
R^-1 = {I - alpha / (1 + (m - 1) alpha) 1 1'} / (1 - alpha) for m rows. With Pearson residuals e, phi is their
mean square and alpha the mean product of two in a cluster, over phi. The dispersion of the negative binomial
makes the sum of squares of e equal to rows minus coefficients (Breslow 1984, Appl Stat 33:38-44).
Coefficients and these moments are found in turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from nwbswitch.analysis.gee.families import Family, Moments, moments
from nwbswitch.schemas.errors import FitError

Correlation = Literal["independence", "exchangeable"]

CONVERGED: Final = 1e-11
_ROUNDS: Final = 200
_STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class Clusters:
    """Rows of counts in clusters: response and trials (rows,), design (rows, p), offset, cluster codes."""

    response: np.ndarray
    trials: np.ndarray
    matrix: np.ndarray
    offset: np.ndarray
    codes: np.ndarray

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return int(self.codes.max()) + 1

    @property
    def sizes(self) -> np.ndarray:
        """Rows of each cluster."""
        return np.bincount(self.codes, minlength=self.n_clusters)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return sums of ``values`` (rows, ...) over each cluster."""
        flat = values.reshape(len(values), -1)
        found = [np.bincount(self.codes, column, minlength=self.n_clusters) for column in flat.T]
        return np.stack(found, axis=1).reshape(self.n_clusters, *values.shape[1:])


@dataclass(frozen=True, slots=True)
class Solution:
    """Coefficients (p,) and the moments they were found with.

    ``information`` (clusters, p, p) are D' V^-1 D and ``scores`` (clusters, p) D' V^-1 (y - mu).
    """

    coefficients: np.ndarray
    information: np.ndarray
    scores: np.ndarray
    dispersion: float
    scale: float
    alpha: float
    rounds: int
    converged: bool


def solve(data: Clusters, *, family: Family, correlation: Correlation) -> Solution:
    """Return the solution for one family and working correlation.

    Raises
    ------
    FitError
        If the correlation estimated is none for clusters of this size, or coefficients run away.
    """
    beta = _start(data, family)
    dispersion, scale, alpha = 0.0, 1.0, 0.0
    converged, rounds = False, 0
    while not converged and rounds < _ROUNDS:
        rounds += 1
        found = _scored(data, family, beta, dispersion, scale, alpha)
        beta = found.coefficients
        before = np.array([dispersion, scale, alpha])
        eta = data.matrix @ beta + data.offset
        if family == "negative-binomial":
            dispersion = _dispersion(data, moments(family, eta, data.trials, 0.0))
        at = moments(family, eta, data.trials, dispersion)
        residual = (data.response - at.mean) / np.sqrt(at.variance)
        scale = float(np.mean(residual**2))
        if correlation == "exchangeable":
            alpha = _alpha(data, residual, scale)
        now = np.array([dispersion, scale, alpha])
        converged = found.converged and bool(np.all(np.abs(now - before) <= CONVERGED * (1.0 + np.abs(now))))
    return replace(found, dispersion=dispersion, scale=scale, alpha=alpha, rounds=rounds, converged=converged)


def _start(data: Clusters, family: Family) -> np.ndarray:
    if family == "binomial":
        share = (data.response + 0.5) / (data.trials + 1.0)
        target = np.log(share / (1.0 - share))
    else:
        target = np.log(data.response + 0.5)
    return np.asarray(np.linalg.lstsq(data.matrix, target - data.offset, rcond=None)[0])


def _scored(
    data: Clusters, family: Family, beta: np.ndarray, dispersion: float, scale: float, alpha: float
) -> Solution:
    """Return the coefficients that solve the equations at given moments, by Fisher scoring."""
    for _ in range(_STEPS):
        at = moments(family, data.matrix @ beta + data.offset, data.trials, dispersion)
        information, scores = _cluster_terms(data, at, scale, alpha)
        total = information.sum(axis=0)
        try:
            step = np.linalg.solve(total, scores.sum(axis=0))
        except np.linalg.LinAlgError:
            break
        decrease = float(step @ total @ step)
        if not np.isfinite(decrease):
            break
        if decrease < CONVERGED**2:
            return Solution(beta, information, scores, dispersion, scale, alpha, 0, converged=True)
        # No row's predictor moves by more than 2 at once: the exponential overshoots.
        beta = beta + step / max(1.0, float(np.abs(data.matrix @ step).max()) / 2.0)
    else:
        return Solution(beta, information, scores, dispersion, scale, alpha, 0, converged=False)
    raise FitError(
        "The estimating equations have no solution: some coefficient runs away. Look for a group without "
        "events, or a row with far more events or a far longer exposure than the others."
    )


def _cluster_terms(data: Clusters, at: Moments, scale: float, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    root = np.sqrt(at.variance)
    columns = data.matrix * (at.slope / root)[:, None]
    residual = (data.response - at.mean) / root
    information = data.sums(columns[:, :, None] * columns[:, None, :])
    scores = data.sums(columns * residual[:, None])
    if alpha:
        share = alpha / (1.0 + (data.sizes - 1.0) * alpha)
        sums, own = data.sums(columns), data.sums(residual)
        information = information - share[:, None, None] * sums[:, :, None] * sums[:, None, :]
        scores = scores - share[:, None] * sums * own[:, None]
    weight = scale * (1.0 - alpha)
    return information / weight, scores / weight


def _dispersion(data: Clusters, at: Moments) -> float:
    from scipy.optimize import brentq

    squares = (data.response - at.mean) ** 2
    left = float(len(data.response) - data.matrix.shape[1])

    def excess(dispersion: float) -> float:
        return float(np.sum(squares / (at.mean + dispersion * at.mean**2))) - left

    if excess(0.0) <= 0.0:
        return 0.0  # no more scatter than Poisson
    upper = 1.0
    while excess(upper) > 0.0:
        upper *= 4.0
    return float(brentq(excess, 0.0, upper, xtol=1e-14, rtol=1e-13))


def _alpha(data: Clusters, residual: np.ndarray, scale: float) -> float:
    pairs = float(np.sum(data.sizes * (data.sizes - 1.0)) / 2.0)
    if pairs == 0.0:
        raise FitError("Every cluster has one row, so there is no correlation within; use independence.")
    products = 0.5 * float(np.sum(data.sums(residual) ** 2) - np.sum(residual**2))
    alpha = float(products / pairs / scale)
    largest = float(data.sizes.max())
    if not -1.0 / (largest - 1.0) < alpha < 1.0:
        raise FitError(
            f"The correlation estimated within clusters is {alpha:.3g}, which clusters of {largest:.0f} rows "
            "cannot have. Use correlation 'independence'."
        )
    return alpha
