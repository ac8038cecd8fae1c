"""Tests of fixed effects by Kenward and Roger's method (1997, Biometrics 53:983).

The covariance of the coefficients is adjusted for the uncertainty of the variances, and an F statistic is
scaled and given degrees of freedom that match its first two moments. Sigma = sum gamma_r G_r is linear in
the variance parameters, so second derivatives of Sigma vanish, and nothing but the p by p matrices
P_r = -X'Sigma^-1 G_r Sigma^-1 X and Q_rs = X'Sigma^-1 G_r Sigma^-1 G_s Sigma^-1 X and the traces
tr(Sigma^-1 G_r Sigma^-1 G_s) enters; these are derivatives of F = X'V^-1 X and log|V|. The method does not
change when the parameters change linearly, so the parameters here are sigma^2 psi_r and, last, the size of
Sigma as a whole (G = V), whose derivatives follow from F itself. Variances on their boundary are kept as
parameters, and the information is the expected one (Halekoh and Hojsgaard 2014, J Stat Softw 59(9),
sections 3 and 4, follow both).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.inference.hypothesis import FTest, f_tail
from nwbswitch.analysis.inference.satterthwaite import basis_to_model
from nwbswitch.analysis.mixed.deviance import Curvature, Scaling

# Directions in which the variances have no information, relative to the best known one.
SINGULAR: Final = 1e-12
# Relative to their size, below this a dependence of the covariance on the variances is rounding.
NO_DEPENDENCE: Final = 1e-13
# So near to 2 degrees of freedom the scale is 0/0 and taken as 1 (Halekoh and Hojsgaard 2014, section 4).
NEAR_TWO: Final = 1e-2
# None of 238 null sets of 5 or 6 animals whose F was scaled by less was rejected at 5 %; of 237 of 8 animals
# with a scale above .8, 5.1 % were (arm * x with random slopes of x, three contrasts at once).
POWERLESS: Final = 0.5


@dataclass(frozen=True, slots=True)
class KenwardRoger:
    """Covariances of the fixed effects in model units and the uncertainty of the variance parameters.

    ``fixed`` (p, p) is the covariance at the estimated variances, ``adjusted`` (p, p) with its correction;
    ``derivative`` (q + 1, p, p) is d fixed / d parameter, whose covariance is ``covariance`` (q + 1, q + 1).
    """

    fixed: np.ndarray
    adjusted: np.ndarray
    derivative: np.ndarray
    covariance: np.ndarray


def kenward_roger(at: Curvature, *, n_rows: int, scaling: Scaling) -> KenwardRoger:
    """Return the adjusted covariance of the fixed effects and what the tests need.

    Parameters
    ----------
    at
        Curvature at the REML estimates.
    n_rows
        Number of rows.
    scaling
        The way back to the model's own columns.
    """
    q, p = len(at.first), len(at.root) - 1
    F = at.root[:p, :p]
    inverse = np.linalg.inv(F)
    inverse = 0.5 * (inverse + inverse.T)
    first, second = at.first[:, :p, :p], at.second[:, :, :p, :p]
    part = inverse @ first
    traces = np.einsum("rii->r", part)
    # Twice the expected information, with P = -F and Q = F for the size of Sigma.
    information = np.empty((q + 1, q + 1))
    information[:q, :q] = (
        -at.log_det_second - np.einsum("ij,rsji->rs", inverse, second) + np.einsum("rij,sji->rs", part, part)
    )
    information[:q, q] = information[q, :q] = at.log_det_first + traces
    information[q, q] = n_rows - p
    covariance = _doubled_inverse(information)
    # The size of Sigma adds nothing to the correction: Q_rs - P_r Phi P_s is zero for it.
    bias = 0.5 * second - first[:, None] @ part[None]
    between = np.einsum("rs,rsij->ij", covariance[:q, :q], bias)
    between = 0.5 * (between + between.T)
    residual = _residual(at.root)
    back = basis_to_model(scaling) * np.sqrt(residual / (n_rows - p))
    derivative = np.concatenate([-part @ inverse, inverse[None]])
    adjusted = inverse + 2.0 * inverse @ between @ inverse
    return KenwardRoger(
        back @ inverse @ back.T, back @ adjusted @ back.T, back @ derivative @ back.T, covariance
    )


def _residual(root: np.ndarray) -> float:
    return float(root[-1, -1] - root[:-1, -1] @ np.linalg.solve(root[:-1, :-1], root[:-1, -1]))


def _doubled_inverse(information: np.ndarray) -> np.ndarray:
    """Return twice the inverse of ``information``, or the pseudo-inverse if it is singular."""
    size = np.sqrt(np.maximum(np.diagonal(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    kept = values > SINGULAR * values[-1]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    return np.asarray(2.0 * inverse / np.outer(size, size))


def t_df(parts: KenwardRoger, contrast: np.ndarray) -> float:
    """Return the degrees of freedom of one contrast (p,); inf if the variances do not matter.

    For one contrast the method's general formula becomes 2 / A, A = g'W g / (l' Phi l)^2.
    """
    variance = float(contrast @ parts.fixed @ contrast)
    gradient = parts.derivative @ contrast @ contrast / variance
    spread = float(gradient @ parts.covariance @ gradient)
    return 2.0 / spread if spread > NO_DEPENDENCE else float("inf")


def f_test(parts: KenwardRoger, estimates: np.ndarray, contrasts: np.ndarray) -> FTest:
    """Return the scaled F test that ``contrasts @ estimates`` is zero; contrasts (rows, p) of full rank.

    Source: Kenward and Roger (1997), section 3, with the limits of Halekoh and Hojsgaard (2014), section 4.
    """
    n = len(contrasts)
    nan = float("nan")
    effects = contrasts @ estimates
    if np.linalg.eigvalsh(contrasts @ parts.adjusted @ contrasts.T)[0] <= 0.0:
        return FTest(nan, n, nan, nan, nan, "the adjusted covariance is not positive definite")
    wald = float(effects @ np.linalg.solve(contrasts @ parts.adjusted @ contrasts.T, effects)) / n
    if n == 1:
        den_df = t_df(parts, contrasts[0])
        return FTest(wald, 1, den_df, f_tail(wald, 1, den_df))
    # tr(Theta Phi P Phi) and tr(Theta Phi P_r Phi Theta Phi P_s Phi) in the space of the contrasts.
    lower = np.linalg.cholesky(contrasts @ parts.fixed @ contrasts.T)
    half = np.linalg.solve(lower, contrasts)
    moved = half @ parts.derivative @ half.T
    traces = np.einsum("rii->r", moved)
    a1 = float(traces @ parts.covariance @ traces)
    a2 = float(np.einsum("rs,rij,sji->", parts.covariance, moved, moved))
    den_df, scaling, reason = _moments(n, a1, a2)
    if np.isnan(den_df):
        return FTest(nan, n, nan, nan, nan, reason)
    return FTest(scaling * wald, n, den_df, f_tail(scaling * wald, n, den_df), scaling, reason)


def _moments(n: int, a1: float, a2: float) -> tuple[float, float, str]:
    """Return degrees of freedom and scale of F on ``n`` contrasts, or why there are none."""
    if a2 <= NO_DEPENDENCE:
        return float("inf"), 1.0, ""
    with np.errstate(all="ignore"):  # a division by zero ends as no answer
        b = (np.float64(a1) + 6.0 * a2) / (2.0 * n)
        g = ((n + 1) * a1 - (n + 4) * a2) / ((n + 2) * a2)
        bottom = 3.0 * n + 2.0 * (1.0 - g)
        v0 = 1.0 + g / bottom * b
        v1 = 1.0 - (n - g) / bottom * b
        v2 = 1.0 - (n + 2 - g) / bottom * b
        if abs(v0) < 1e-10:
            v0 = np.float64(0.0)
        mean = 1.0 - a2 / n
        ratio = 1.0 if max(abs(mean), abs(v1)) < 1e-14 else mean / v1
        rho = ratio**2 * v0 / v2 / n
        den_df = 4.0 + (n + 2) / (n * rho - 1.0)
        scaling = 1.0 if abs(den_df - 2.0) < NEAR_TWO else den_df * mean / (den_df - 2.0)
    if not (den_df > 0.0 and scaling > 0.0):
        nan = float("nan")
        reason = (
            "the variances are too uncertain for the approximation of Kenward and Roger (degrees of freedom "
            f"{den_df:.3g}, scale {scaling:.3g})"
        )
        return nan, nan, reason
    doubt = ""
    if mean <= 0.0:
        doubt = "the variances are so uncertain that the mean of F does not exist"
    elif scaling < POWERLESS:
        doubt = (
            f"F is scaled by {scaling:.2g}: with so few groups a test of {n} contrasts at once hardly ever "
            "rejects; test them one by one, or permute"
        )
    return float(den_df), float(scaling), doubt
