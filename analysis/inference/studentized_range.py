"""Tail of the studentized range: the largest difference of k means, in standard errors.

With W the range of k standard normal values, P(W > w) = k integral phi(z) [Phi(z)^(k-1) - (Phi(z) -
Phi(z - w))^(k-1)] dz (David and Nagaraja 2003, section 2.3, its complement), and dividing by s, with df s^2
chi-square, gives one more integral. Every term is positive, so a small tail keeps its digits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

# Around its middle w/2 the inner integrand is below 1e-18 of its peak beyond this distance.
REACH: Final = 9.0
INNER_POINTS: Final = 128
OUTER_POINTS: Final = 200
COARSE_POINTS: Final = 48
PASSES: Final = 10
# What lies this far below the peak of the outer integrand, on the logarithm's scale, is left out.
DEPTH: Final = 40.0


def studentized_range_tail(q: float, n_means: int, df: float) -> float:
    """Return P(Q > q) for the studentized range of ``n_means`` means; accurate to 1e-9 of itself.

    Parameters
    ----------
    q
        The value: the square root of 2 times |t| for a difference of two means.
    n_means
        Number k of means, at least 2.
    df
        Degrees of freedom; infinite for the range of normal values.
    """
    if q <= 0.0:
        return 1.0
    if np.isinf(df):
        return float(min(_range_tail(np.array([q]), n_means, INNER_POINTS)[0], 1.0))
    # log s runs from where the range is certainly beyond q to where s has no density left.
    low = -np.log1p(q) - (DEPTH + 10.0) / df - 1.0
    high = 0.5 * np.log((df + 2.0 * np.sqrt(df * DEPTH) + 2.0 * DEPTH) / df)
    for _ in range(PASSES):  # narrowed to where the integrand lives
        points = np.linspace(low, high, COARSE_POINTS)
        logs = _log_integrand(points, q, n_means, df, COARSE_POINTS)
        alive = np.flatnonzero(logs > logs.max() - DEPTH)
        if len(alive) > 0.8 * COARSE_POINTS:
            break
        low, high = points[max(alive[0] - 1, 0)], points[min(alive[-1] + 1, COARSE_POINTS - 1)]
    points = np.linspace(low, high, OUTER_POINTS)
    logs = _log_integrand(points, q, n_means, df, INNER_POINTS)
    peak = logs.max()
    total = float(np.exp(logs - peak).sum() * (points[1] - points[0]))
    return float(min(np.exp(peak) * total, 1.0))


def _log_integrand(u: np.ndarray, q: float, n_means: int, df: float, n_inner: int) -> np.ndarray:
    half = 0.5 * df
    density = np.log(2.0) + _log_gamma_rest(half) + half * (2.0 * u - np.expm1(2.0 * u))
    with np.errstate(divide="ignore"):
        return np.asarray(density + np.log(_range_tail(q * np.exp(u), n_means, n_inner)))


def _log_gamma_rest(x: float) -> float:
    """Return x log x - x - log Gamma(x) without the cancellation of its large terms."""
    from scipy.special import gammaln

    if x < 1e4:
        return float(x * np.log(x) - x - gammaln(x))
    return float(0.5 * np.log(x / (2.0 * np.pi)) - 1.0 / (12.0 * x))  # Stirling's series


def _range_tail(w: np.ndarray, n_means: int, n_inner: int) -> np.ndarray:
    """Return P(range of n_means normal values > w) for every w."""
    from scipy.special import log_ndtr

    nodes, weights = _nodes(n_inner)
    z = 0.5 * w[:, None] + REACH * nodes
    log_all = log_ndtr(z)
    share = np.minimum(np.exp(log_ndtr(z - w[:, None]) - log_all), 1.0)
    with np.errstate(divide="ignore"):
        lost = -np.expm1((n_means - 1) * np.log1p(-share))
    inner = np.exp(-0.5 * z**2 + (n_means - 1) * log_all) / np.sqrt(2.0 * np.pi) * lost
    return np.asarray(np.minimum(n_means * REACH * (inner @ weights), 1.0))


@lru_cache(maxsize=4)
def _nodes(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(n)
