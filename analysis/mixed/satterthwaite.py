"""Degrees of freedom by Satterthwaite's method for t and F tests of fixed effects.

The variance of a contrast, f = l' C l, is a function of the variance parameters. With g its gradient and
A the covariance of the parameters (twice the inverse Hessian of the criterion) the degrees of freedom are
2 f^2 / (g' A g) (Satterthwaite 1946; Giesbrecht and Burns 1985; Kuznetsova et al. 2017). An F
test of several contrasts is split into independent t tests whose degrees of freedom are joined by matching
the mean of the F distribution (Fai and Cornelius 1996). The parameters are the entries of Lambda
and sigma^2, so a variance that ended at zero drops out by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance, Evaluation
from nwbswitch.analysis.mixed.optimum import Optimum, jacobian_of, psi_of, theta_gradient

# Directions of the Hessian flatter than this carry no information and are left out.
FLAT: Final = 1e-8


@dataclass(frozen=True, slots=True)
class VarianceParameters:
    """Covariance of the variance parameters, and how the fixed effects' covariance depends on them.

    ``covariance`` is (q, q); ``derivative`` (q, p, p) is d C / d parameter; ``fixed`` (p, p) is C. The last
    parameter is sigma^2; all are those of the scaled response and basis of `summaries.Columns`, with C
    carried back to the model's own columns and units.
    """

    covariance: np.ndarray
    derivative: np.ndarray
    fixed: np.ndarray


def variance_parameters(deviance: Deviance, optimum: Optimum) -> VarianceParameters:
    """Return what Satterthwaite's method needs to know at the optimum."""
    at = optimum.evaluation
    nu = deviance.n_rows - (deviance.n_fixed if optimum.method == "reml" else 0)
    sigma2 = at.residual / nu
    back = np.linalg.inv(deviance.scaling.fixed) * deviance.scaling.scale
    q = len(optimum.theta)

    def at_theta(theta: np.ndarray, precision: float) -> Evaluation:
        return deviance.evaluate(psi_of(deviance, theta), method=optimum.method, precision=precision)

    def slope_and_inverse(theta: np.ndarray) -> np.ndarray:
        found = at_theta(theta, 1.0 / sigma2)
        slope = theta_gradient(deviance, theta, found.gradient)
        return np.concatenate([slope, np.linalg.inv(found.information).ravel()])

    moved = jacobian_of(slope_and_inverse, optimum.theta) if q else np.empty((0, 0))
    hessian = np.empty((q + 1, q + 1))
    hessian[:q, :q] = 0.5 * (moved[:q] + moved[:q].T) if q else 0.0
    # The gradient is linear in 1 / sigma^2; the slope of the residual sum of squares is its coefficient.
    slopes = [
        theta_gradient(deviance, optimum.theta, at_theta(optimum.theta, precision).gradient)
        for precision in (1.0 / sigma2, 2.0 / sigma2)
    ]
    hessian[:q, q] = hessian[q, :q] = -(slopes[1] - slopes[0]) / sigma2
    hessian[q, q] = nu / sigma2**2
    unscaled = np.linalg.inv(at.information)
    derivative = np.empty((q + 1, *unscaled.shape))
    for i in range(q):
        derivative[i] = sigma2 * moved[q:, i].reshape(unscaled.shape)
    derivative[q] = unscaled
    fixed = back @ unscaled @ back.T * sigma2
    return VarianceParameters(_doubled_inverse(hessian), back @ derivative @ back.T, fixed)


def _doubled_inverse(hessian: np.ndarray) -> np.ndarray:
    """Return twice the inverse of ``hessian`` over the directions in which it is positive."""
    size = np.sqrt(np.maximum(np.diagonal(hessian), FLAT))
    values, vectors = np.linalg.eigh(hessian / np.outer(size, size))
    kept = values > FLAT
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return np.asarray(2.0 * inverse / np.outer(size, size))


def t_df(parameters: VarianceParameters, contrast: np.ndarray) -> float:
    """Return the degrees of freedom of one contrast (p,) of the fixed effects; inf if nothing is unsure."""
    variance = float(contrast @ parameters.fixed @ contrast)
    gradient = np.einsum("i,qij,j->q", contrast, parameters.derivative, contrast)
    spread = float(gradient @ parameters.covariance @ gradient)
    return 2.0 * variance**2 / spread if spread > 0.0 else float("inf")


@dataclass(frozen=True, slots=True)
class FTest:
    """An F test of fixed effects."""

    f: float
    num_df: int
    den_df: float
    p: float


def f_test(parameters: VarianceParameters, estimates: np.ndarray, contrasts: np.ndarray) -> FTest:
    """Return the F test that ``contrasts @ estimates`` is zero, contrasts being (rows, p) of full rank."""
    from scipy.stats import f as f_distribution

    values, vectors = np.linalg.eigh(contrasts @ parameters.fixed @ contrasts.T)
    own = vectors.T @ contrasts
    squares = (own @ estimates) ** 2 / values
    statistic = float(squares.mean())
    num_df = len(contrasts)
    den_df = joined_df(np.array([t_df(parameters, row) for row in own]))
    # scipy's F has no infinite denominator; 1e12 is the same to all digits.
    p = float(f_distribution.sf(statistic, num_df, min(den_df, 1e12)))
    return FTest(statistic, num_df, den_df, p)


def joined_df(df: np.ndarray) -> float:
    """Return the denominator degrees of freedom of an F made of independent t tests with ``df``.

    The mean of the sum of squares is E = sum df / (df - 2); q F has this mean when the denominator has
    2 E / (E - q) degrees of freedom (Fai and Cornelius 1996). With a df of 2 or less the mean
    does not exist, and 2 is returned.
    """
    if np.all(np.isinf(df)) or (np.all(np.isfinite(df)) and np.ptp(df) < 1e-8):
        return float(df.mean())
    if np.any(df <= 2.0):
        return 2.0
    mean = float(np.sum(1.0 / (1.0 - 2.0 / df)))  # df / (df - 2), also where df is infinite
    return 2.0 * mean / (mean - len(df))
