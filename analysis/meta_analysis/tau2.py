"""Estimators of the variance between studies, tau^2, in a meta-regression.

Study i has effect y_i with known variance v_i and moderators X_i: y ~ N(X beta, V + tau^2 I). With weights
w the residual maker is P = W - W X (X'W X)^-1 X'W. Formulas as collected by Veroniki et al. (2016) and
Viechtbauer (2005), in the form that allows moderators (Raudenbush 2009). Estimates below zero are zero.
`genq` takes weights that the user gives (DerSimonian and Kacker 2007, generalised method of moments);
`hsk` is Hunter and Schmidt's with the small-sample factor k / (k - p) (Brannick et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

Method = Literal["ee", "dl", "pm", "reml", "ml", "he", "hs", "hsk", "sj", "eb", "genq"]


@dataclass(frozen=True, slots=True)
class Studies:
    """Effects (k,), their variances (k,) and the moderators (k, p), intercept included.

    ``weights`` (k,) replace the inverse variances in the estimate of the coefficients; None for the usual.
    """

    effect: np.ndarray
    variance: np.ndarray
    design: np.ndarray
    weights: np.ndarray | None = None

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.effect)

    @property
    def df(self) -> int:
        """Studies minus coefficients."""
        return len(self.effect) - int(self.design.shape[1])

    def rows(self, chosen: np.ndarray) -> Studies:
        """Return the studies of a mask or of positions."""
        weights = None if self.weights is None else self.weights[chosen]
        return Studies(self.effect[chosen], self.variance[chosen], self.design[chosen], weights)


class Tau2(NamedTuple):
    """An estimate of tau^2 and its standard error (not a number for `ee`)."""

    value: float
    se: float


class Weighted:
    """Weighted least squares of the studies, and the traces of its residual maker P.

    Parameters
    ----------
    studies
        The studies.
    weights
        (k,) weights.
    """

    def __init__(self, studies: Studies, weights: np.ndarray) -> None:
        self.w = weights
        X = studies.design
        length = np.sqrt(np.einsum("ij,ij->j", X, X))
        root = np.sqrt(weights)
        Q, triangle = np.linalg.qr(root[:, None] * X / length)
        self._half = Q / root[:, None]  # X (X'WX)^-1 X' = half half'
        back = np.linalg.inv(triangle) / length[:, None]
        self.coefficients = back @ (Q.T @ (root * studies.effect))
        self.covariance = back @ back.T
        # Residuals from the orthonormal basis keep their digits where a column has a large offset.
        self.residual = studies.effect - self._half @ (Q.T @ (root * studies.effect))
        self.q = float(weights @ self.residual**2)
        self.log_det = 2.0 * float(np.log(np.abs(np.diagonal(triangle))).sum() + np.log(length).sum())

    def trace(self, s: np.ndarray) -> float:
        """Return tr(P S) for a diagonal S given as (k,)."""
        return float(self.w @ s - np.sum(self.w**2 * s * np.sum(self._half**2, axis=1)))

    def trace_squared(self, s: np.ndarray) -> float:
        """Return tr(P S P S) for a diagonal S given as (k,)."""
        once = self._half.T @ ((self.w**2 * s)[:, None] * self._half)
        twice = np.sum(self.w**3 * s**2 * np.sum(self._half**2, axis=1))
        return float(np.sum((self.w * s) ** 2) - 2.0 * twice + np.sum(once * once.T))


def at_tau2(studies: Studies, tau2: float) -> Weighted:
    """Return the weighted least squares with inverse-variance weights at ``tau2``."""
    return Weighted(studies, 1.0 / (studies.variance + tau2))


def generalised_q(studies: Studies, tau2: float) -> float:
    """Return the residual sum of squares weighted at ``tau2``; it falls with tau^2 (DerSimonian 2007)."""
    return at_tau2(studies, tau2).q


def tau2_where_q_is(studies: Studies, target: float) -> float:
    """Return the tau^2 at which the generalised Q equals ``target``, or 0 if it is below that at 0."""
    from scipy.optimize import brentq

    if generalised_q(studies, 0.0) <= target:
        return 0.0
    high = _scale(studies)
    while generalised_q(studies, high) > target:
        high *= 4.0
    return float(
        brentq(lambda t: generalised_q(studies, t) - target, 0.0, high, xtol=1e-18 * high, rtol=1e-15)
    )


def _scale(studies: Studies) -> float:
    return float(np.ptp(studies.effect)) ** 2 + float(studies.variance.mean())


def _equal_effects(studies: Studies) -> Tau2:
    return Tau2(0.0, float("nan"))


def _moment(studies: Studies, fitted: Weighted, shift: float, slope: float) -> Tau2:
    """Return (Q - shift) / slope with the standard error of the quadratic form Q."""
    value = max(0.0, (fitted.q - shift) / slope)
    total = studies.variance + value
    return Tau2(value, float(np.sqrt(2.0 * fitted.trace_squared(total))) / slope)


def _dersimonian_laird(studies: Studies) -> Tau2:
    fitted = at_tau2(studies, 0.0)
    return _moment(studies, fitted, studies.df, fitted.trace(np.ones(studies.k)))


def _hedges(studies: Studies) -> Tau2:
    fitted = Weighted(studies, np.ones(studies.k))
    return _moment(studies, fitted, fitted.trace(studies.variance), studies.df)


def _hunter_schmidt(studies: Studies) -> Tau2:
    fitted = at_tau2(studies, 0.0)
    return _moment(studies, fitted, studies.k, float(fitted.w.sum()))


def _hunter_schmidt_corrected(studies: Studies) -> Tau2:
    fitted = at_tau2(studies, 0.0)
    factor = studies.k / studies.df
    return _moment(studies, fitted, studies.k / factor, float(fitted.w.sum()) / factor)


def _generalised_q_moment(studies: Studies) -> Tau2:
    if studies.weights is None:
        raise ValueError("method 'genq' needs weights: name their column.")
    fitted = Weighted(studies, studies.weights)
    return _moment(studies, fitted, fitted.trace(studies.variance), fitted.trace(np.ones(studies.k)))


def _sidik_jonkman(studies: Studies) -> Tau2:
    first = float(np.var(studies.effect))
    if first == 0.0:
        return Tau2(0.0, float("nan"))
    return _moment(studies, at_tau2(studies, first), 0.0, studies.df / first)


def _paule_mandel(studies: Studies) -> Tau2:
    value = tau2_where_q_is(studies, float(studies.df))
    weights = at_tau2(studies, value).w
    return Tau2(value, float(np.sqrt(2.0 * studies.k**2 / studies.df) / weights.sum()))


def log_likelihood(studies: Studies, tau2: float, *, restricted: bool) -> float:
    """Return the log-likelihood at ``tau2``; restricted as Harville (1974), with the term log|X'X|."""
    fitted = at_tau2(studies, tau2)
    n = studies.df if restricted else studies.k
    value = -0.5 * (n * np.log(2.0 * np.pi) - np.log(fitted.w).sum() + fitted.q)
    if restricted:
        value += 0.5 * (Weighted(studies, np.ones(studies.k)).log_det - fitted.log_det)
    return float(value)


def _relative_likelihoods(studies: Studies, grid: np.ndarray, *, restricted: bool) -> np.ndarray:
    """Return the log-likelihood at every tau^2 of ``grid``, up to one constant."""
    # In an orthonormal basis normal equations are good enough to tell points of a grid apart.
    basis = np.linalg.qr(studies.design)[0]
    w = 1.0 / (studies.variance + grid[:, None])
    pairs = basis[:, :, None] * basis[:, None, :]
    cross = np.tensordot(w, pairs, axes=1)
    solution = np.linalg.solve(cross, ((w * studies.effect) @ basis)[:, :, None])[:, :, 0]
    residual = studies.effect - solution @ basis.T
    value = 0.5 * (np.log(w).sum(axis=1) - np.sum(w * residual**2, axis=1))
    if restricted:
        value -= 0.5 * np.linalg.slogdet(cross)[1]
    return np.asarray(value)


def _score(studies: Studies, tau2: float, *, restricted: bool) -> float:
    """Return twice the derivative of the log-likelihood in tau^2."""
    fitted = at_tau2(studies, tau2)
    spread = fitted.trace(np.ones(studies.k)) if restricted else float(fitted.w.sum())
    return float(np.sum((fitted.w * fitted.residual) ** 2)) - spread


def _likelihood(studies: Studies, *, restricted: bool) -> Tau2:
    from scipy.optimize import brentq, minimize_scalar

    # The likelihood can have several maxima: take the best of a grid, then the root of the score beside it.
    grid = np.r_[0.0, _scale(studies) * np.logspace(-8, 1.5, 96)]
    best = int(np.argmax(_relative_likelihoods(studies, grid, restricted=restricted)))
    low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])

    def score(t: float) -> float:
        return _score(studies, t, restricted=restricted)

    if best == 0 and score(0.0) <= 0.0:
        value = 0.0
    elif score(low) > 0.0 > score(high):
        value = float(brentq(score, low, high, xtol=1e-18 * high, rtol=1e-15))
    else:
        found = minimize_scalar(
            lambda t: -log_likelihood(studies, t, restricted=restricted), bounds=(low, high), method="bounded"
        )
        value = float(found.x)
    fitted = at_tau2(studies, value)
    information = fitted.trace_squared(np.ones(studies.k)) if restricted else float(np.sum(fitted.w**2))
    return Tau2(value, float(np.sqrt(2.0 / information)))


def _reml(studies: Studies) -> Tau2:
    return _likelihood(studies, restricted=True)


def _ml(studies: Studies) -> Tau2:
    return _likelihood(studies, restricted=False)


ESTIMATORS: Final[dict[Method, Callable[[Studies], Tau2]]] = {
    "ee": _equal_effects,
    "dl": _dersimonian_laird,
    "pm": _paule_mandel,
    "reml": _reml,
    "ml": _ml,
    "he": _hedges,
    "hs": _hunter_schmidt,
    "hsk": _hunter_schmidt_corrected,
    "sj": _sidik_jonkman,
    # The empirical Bayes estimate solves the same equation as that of Paule and Mandel (Morris 1983).
    "eb": _paule_mandel,
    "genq": _generalised_q_moment,
}
"""From the name of a method to its function."""
