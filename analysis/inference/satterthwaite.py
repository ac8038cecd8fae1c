"""Degrees of freedom by Satterthwaite's method for t and F tests of fixed effects.

The variance of a contrast, f = l' C l, is a function of the variance parameters. With g its gradient and
A the covariance of the parameters (twice the inverse Hessian of the criterion) the degrees of freedom are
2 f^2 / (g' A g) (Satterthwaite 1946; Giesbrecht and Burns 1985; Kuznetsova et al. 2017). An F
test of several contrasts is split into independent t tests whose degrees of freedom are joined by matching
the mean of the F distribution (Fai and Cornelius 1996). The parameters are the entries of Lambda
and sigma^2, so a variance that ended at zero drops out by itself; all derivatives are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.inference.hypothesis import FTest, f_tail
from nwbswitch.analysis.mixed.deviance import Curvature, Deviance, Method, Scaling
from nwbswitch.analysis.mixed.optimum import Optimum, factors_of, psi_of, theta_layout

# Directions of the Hessian flatter than this carry no information and are left out.
FLAT: Final = 1e-8


@dataclass(frozen=True, slots=True)
class VarianceParameters:
    """Covariance of the variance parameters, and how the fixed effects' covariance depends on them.

    ``covariance`` is (q, q); ``derivative`` (q, p, p) is d C / d parameter; ``fixed`` (p, p) is C. The last
    parameter is sigma^2, the others are the entries of Lambda; both are those of the engine's scaled
    columns and response, with C carried back to the model's own columns and units.
    """

    covariance: np.ndarray
    derivative: np.ndarray
    fixed: np.ndarray


def variance_parameters(
    deviance: Deviance, optimum: Optimum, curvature: Curvature | None = None
) -> VarianceParameters:
    """Return what Satterthwaite's method needs to know at the optimum.

    ``curvature`` is that of ``deviance`` at the optimum, computed if it is not given.
    """
    at = deviance.curvature(psi_of(deviance, optimum.theta)) if curvature is None else curvature
    p = deviance.n_fixed
    nu = deviance.n_rows - (p if optimum.method == "reml" else 0)
    slopes = _Slopes(at, p, optimum.method)
    sigma2 = slopes.residual / nu
    change, bend = _chain(deviance, optimum.theta, slopes.gradient(sigma2))
    q = len(optimum.theta)
    hessian = np.empty((q + 1, q + 1))
    hessian[:q, :q] = change.T @ slopes.hessian(sigma2) @ change + bend
    hessian[:q, q] = hessian[q, :q] = -(change.T @ slopes.residual_first) / sigma2**2
    hessian[q, q] = nu / sigma2**2
    derivative = np.empty((q + 1, p, p))
    moved = -slopes.inverse @ at.first[:, :p, :p] @ slopes.inverse
    derivative[:q] = sigma2 * np.einsum("rt,rij->tij", change, moved)
    derivative[q] = slopes.inverse
    back = basis_to_model(deviance.scaling)
    fixed = back @ slopes.inverse @ back.T * sigma2
    return VarianceParameters(_doubled_inverse(hessian), back @ derivative @ back.T, fixed)


def basis_to_model(scaling: Scaling) -> np.ndarray:
    """Return the (p, p) matrix that turns coefficients of Q into those of X, in the response's units."""
    return np.asarray(np.linalg.inv(scaling.fixed) * scaling.scale)


class _Slopes:
    """Derivatives of the criterion in the entries of Psi, sigma^2 being fixed.

    The criterion is log|V| + nu log sigma^2 + r / sigma^2, with log|F| under REML, where
    F = Q'V^-1 Q and the residual r = u'(W'V^-1 W) u with u = (-b, 1) at the best coefficients b.
    """

    def __init__(self, at: Curvature, p: int, method: Method) -> None:
        F = at.root[:p, :p]
        self.inverse = np.linalg.inv(F)
        self.inverse = 0.5 * (self.inverse + self.inverse.T)
        u = np.append(-np.linalg.solve(F, at.root[:p, -1]), 1.0)
        self.residual = float(u @ at.root @ u)
        along = at.first @ u
        self.residual_first = along @ u
        self.residual_second = at.second @ u @ u - 2.0 * along[:, :p] @ self.inverse @ along[:, :p].T
        self.log_first, self.log_second = at.log_det_first, at.log_det_second
        if method == "reml":
            part = self.inverse @ at.first[:, :p, :p]
            self.log_first = self.log_first + np.einsum("rii->r", part)
            self.log_second = (
                self.log_second
                + np.einsum("ij,rsji->rs", self.inverse, at.second[:, :, :p, :p])
                - np.einsum("rij,sji->rs", part, part)
            )

    def gradient(self, sigma2: float) -> np.ndarray:
        return np.asarray(self.log_first + self.residual_first / sigma2)

    def hessian(self, sigma2: float) -> np.ndarray:
        return np.asarray(self.log_second + self.residual_second / sigma2)


def _chain(deviance: Deviance, theta: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return d psi / d theta (q, q) and sum_r gradient_r d2 psi_r / d theta d theta.

    With Psi = Lambda Lambda' the derivative of Psi_ij in Lambda_ab is delta_ia Lambda_jb + delta_ja
    Lambda_ib, and the second one in Lambda_ab and Lambda_cb is delta_ia delta_jc + delta_ja delta_ic.
    """
    layout = theta_layout(deviance)
    factors = factors_of(deviance, theta)
    q = len(layout)
    change, bend = np.zeros((q, q)), np.zeros((q, q))
    place = {entry: position for position, entry in enumerate(layout)}
    for t, (level, a, b) in enumerate(layout):
        for r, (own, i, j) in enumerate(layout):
            if own == level:
                change[r, t] = (i == a) * factors[level][j, b] + (j == a) * factors[level][i, b]
        for s, (own, c, d) in enumerate(layout):
            if own == level and b == d:
                entry = place[level, max(a, c), min(a, c)]
                bend[t, s] = gradient[entry] * (2.0 if a == c else 1.0)
    return change, bend


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
    gradient = parameters.derivative @ contrast @ contrast
    spread = float(gradient @ parameters.covariance @ gradient)
    return 2.0 * variance**2 / spread if spread > 0.0 else float("inf")


def f_test(parameters: VarianceParameters, estimates: np.ndarray, contrasts: np.ndarray) -> FTest:
    """Return the F test that ``contrasts @ estimates`` is zero, contrasts being (rows, p) of full rank."""
    values, vectors = np.linalg.eigh(contrasts @ parameters.fixed @ contrasts.T)
    own = vectors.T @ contrasts
    squares = (own @ estimates) ** 2 / values
    statistic = float(squares.mean())
    num_df = len(contrasts)
    den_df = joined_df(np.array([t_df(parameters, row) for row in own]))
    return FTest(statistic, num_df, den_df, f_tail(statistic, num_df, den_df))


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
