"""The estimate of a meta-regression once its studies, method and test are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nwbswitch.analysis.meta_analysis.tau2 import ESTIMATORS, Method, Studies, Tau2, Weighted, at_tau2

Test = Literal["knha", "z", "t", "adhoc"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Coefficients (p,) with their covariance, tests and intervals, and the heterogeneity.

    ``scale`` is the factor of Knapp and Hartung on the covariance, 1 without it; ``df`` are those of the
    tests, infinite for z. ``weights`` (k,) are those that the coefficients were estimated with, and
    ``rss`` the residual sum of squares weighted at tau^2.
    """

    coefficients: np.ndarray
    vcov: np.ndarray
    se: np.ndarray
    statistic: np.ndarray
    p: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    df: float
    critical: float
    scale: float
    weights: np.ndarray
    rss: float
    tau2: Tau2
    typical_variance: float
    i2: float
    h2: float
    q: float
    q_p: float


def estimate(studies: Studies, *, method: Method, test: Test, level: float = 0.95) -> Estimate:
    """Return the estimate; one study alone is its own, with normal tests and no heterogeneity.

    Standard errors of ``knha`` are those of Knapp and Hartung (2003); ``adhoc`` takes their factor only
    where it is above 1 (as they proposed against intervals shorter than those of the usual test).
    """
    from scipy.special import chdtrc, ndtr, ndtri, stdtr, stdtrit

    alone = studies.df == 0
    tau2 = Tau2(0.0, float("nan")) if alone else ESTIMATORS[method](studies)
    fixed = at_tau2(studies, 0.0)
    usual = at_tau2(studies, tau2.value)
    coefficients, vcov, rss = usual.coefficients, usual.covariance, usual.q
    weights = usual.w
    if studies.weights is not None:
        weights = studies.weights
        coefficients, vcov, rss = _with_own_weights(studies, usual)
    scale = 1.0
    if not alone and test in ("knha", "adhoc"):
        scale = usual.q / studies.df  # at the best coefficients, also when others are estimated
        scale = max(1.0, scale) if test == "adhoc" else scale
    vcov = vcov * scale
    df = float("inf") if test == "z" or alone else float(studies.df)
    upper = 0.5 + level / 2.0
    critical = float(ndtri(upper) if np.isinf(df) else stdtrit(df, upper))
    se = np.sqrt(np.diagonal(vcov))
    statistic = np.full(len(se), np.nan)
    np.divide(coefficients, se, out=statistic, where=se > 0.0)
    below = -np.abs(statistic)
    typical, i2, h2 = _heterogeneity(studies, fixed, tau2.value, method)
    return Estimate(
        coefficients=coefficients,
        vcov=vcov,
        se=se,
        statistic=statistic,
        p=np.asarray(2.0 * (ndtr(below) if np.isinf(df) else stdtr(df, below))),
        ci_low=coefficients - critical * se,
        ci_high=coefficients + critical * se,
        df=df,
        critical=critical,
        scale=scale,
        weights=weights,
        rss=rss,
        tau2=tau2,
        typical_variance=typical,
        i2=i2,
        h2=h2,
        q=0.0 if alone else fixed.q,
        q_p=1.0 if alone else float(chdtrc(studies.df, fixed.q)),
    )


def _with_own_weights(studies: Studies, usual: Weighted) -> tuple[np.ndarray, np.ndarray, float]:
    """Return coefficients, their covariance and the weighted residuals' square with the user's weights."""
    assert studies.weights is not None
    fitted = Weighted(studies, studies.weights)
    half = fitted.covariance @ (studies.design.T * studies.weights)
    residual = fitted.residual
    return fitted.coefficients, (half / usual.w) @ half.T, float(usual.w @ residual**2)


def _heterogeneity(
    studies: Studies, fixed: Weighted, tau2: float, method: Method
) -> tuple[float, float, float]:
    """Return the typical sampling variance, I^2 in percent and H^2."""
    df = studies.df
    if df == 0:
        return float("nan"), 0.0, 1.0
    typical = df / fixed.trace(np.ones(studies.k))  # Higgins and Thompson (2002), equation 9
    if method == "ee":
        return typical, 100.0 * max(0.0, 1.0 - df / fixed.q) if fixed.q > 0.0 else 0.0, fixed.q / df
    return typical, 100.0 * tau2 / (typical + tau2), tau2 / typical + 1.0


def hat_values(studies: Studies, found: Estimate) -> np.ndarray:
    """Return the diagonal (k,) of the matrix H with fitted effects H y."""
    fitted = Weighted(studies, found.weights)
    X = studies.design
    return np.asarray(found.weights * np.einsum("ij,jk,ik->i", X, fitted.covariance, X))
