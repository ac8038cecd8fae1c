"""Elimination of one level of random effects, and the factor of what is left.

With A = Z'Z, D = Z'R of one group of the level eliminated, R being all other columns, its share of the
others' cross-products falls from R'R to R'R - D'A^+ (I - H) D, with H = (I + A Psi)^-1 (Woodbury's
identity). What is left is S = Z_r'V_1^-1 Z_r with V_1 the covariance due to that level. The others then
enter through K = Psi (I + S Psi)^-1: W'V^-1 W = S_ww - S_rw'K S_rw, and log|V| = log|V_1| + log|I + S Psi|.
This is the blocked Cholesky factor of the penalised least-squares problem of Bates et al. (2015, equations
18 to 22), its largest block diagonal, written so that a singular Psi divides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np

from nwbswitch.analysis.sparse.design import CrossProducts, Place
from nwbswitch.analysis.trees.levels import inverse_and_log_det

# Above this product of variance and cross-products, Z'V^-1 Z is taken from K without loss of digits.
AWAY_FROM_ZERO: Final = 1e-4


class Eliminated:
    """Cross-products without the effects of the first level eliminated, at one Psi.

    ``H`` (groups, k, k); ``slopes`` is H D, that is Z'V_1^-1 Z_r; ``S`` (n, n), ``S_w`` (n, m) and
    ``S_ww`` (m, m) are Z_r'V_1^-1 Z_r, Z_r'V_1^-1 W and W'V_1^-1 W.
    """

    def __init__(self, products: CrossProducts, psi: np.ndarray) -> None:
        self.products = products
        self.H, logs = inverse_and_log_det(products.kinds, psi)
        self.log_det = float(logs.sum())
        weights = products.inverses @ self.H
        weights = 0.5 * (weights + weights.transpose(0, 2, 1))
        weighted = products.slopes.mixed(weights)
        self.slopes = products.slopes.mixed(self.H)
        self.S = products.zz
        for a in range(len(psi)):
            self.S = added(self.S, products.slopes.crossed(weighted, a, a))
        weighted_w = weights @ products.slopes_w
        m = products.slopes_w.shape[2]
        self.S_w = products.zw + products.slopes.back(weighted_w)
        self.S_ww = products.ww + products.slopes_w.reshape(-1, m).T @ weighted_w.reshape(-1, m)
        self.slopes_w = self.H @ products.slopes_w

    @property
    def own(self) -> np.ndarray:
        """Z'V_1^-1 Z of every group eliminated, (groups, k, k)."""
        found = self.H @ self.products.kinds
        return np.asarray(0.5 * (found + found.transpose(0, 2, 1)))


def added(S: Any, change: Any) -> Any:
    """Return the sum, in full if ``S`` is."""
    if isinstance(S, np.ndarray) and not isinstance(change, np.ndarray):
        return S + change.toarray()
    return S + change


class Factor(Protocol):
    """What is left after the elimination: log|I + S Psi| and products with K."""

    @property
    def log_det(self) -> float:
        """log|I + S Psi|."""

    def times(self, X: np.ndarray) -> np.ndarray:
        """Return K X."""

    def left_times(self, X: np.ndarray) -> np.ndarray:
        """Return (I - K S) X."""


class DenseFactor:
    """K in full, by LAPACK."""

    def __init__(self, S: np.ndarray, places: Sequence[Place], psi: Sequence[np.ndarray]) -> None:
        self.S, self.places = S, places
        self.psi = [psi[place.level] for place in places]
        if not len(S):
            self.log_det, self.K = 0.0, np.zeros((0, 0))
            return
        roots = [_root(each) for each in self.psi]
        if any(root is None for root in roots):
            self.log_det, self.K = self._indefinite()
            return
        self.log_det, self.K = self._definite([root for root in roots if root is not None])

    def _definite(self, roots: list[np.ndarray]) -> tuple[float, np.ndarray]:
        """Return log|M| and K = L M^-1 L' of M = I + L'S L, with Psi = L L'."""
        from scipy.linalg.lapack import dpotrf, dpotri

        M = sandwiched(self.S, [root.T for root in roots], self.places)
        M.flat[:: len(M) + 1] += 1.0
        factor, status = dpotrf(M.T, lower=1, clean=0, overwrite_a=1)
        if status != 0:
            raise np.linalg.LinAlgError("I + L'S L is not positive definite.")
        log_det = 2.0 * float(np.log(np.diagonal(factor)).sum())
        inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
        lower = np.tril(inverse)
        diagonal = np.diagonal(lower).copy()
        lower += lower.T
        lower.flat[:: len(lower) + 1] = diagonal
        return log_det, sandwiched(lower, roots, self.places)

    def _indefinite(self) -> tuple[float, np.ndarray]:
        """Return the same where Psi has a negative eigenvalue but V is positive definite."""
        n = len(self.S)
        whole = np.zeros((n, n))
        for place, psi in zip(self.places, self.psi, strict=True):
            whole[place.span, place.span] = np.kron(np.eye(place.groups), psi)
        M = np.eye(n) + self.S @ whole
        sign, log_det = np.linalg.slogdet(M)
        if sign <= 0.0:
            raise np.linalg.LinAlgError("V is not positive definite.")
        K = np.linalg.solve(M.T, whole).T
        return float(log_det), 0.5 * (K + K.T)

    def times(self, X: np.ndarray) -> np.ndarray:
        """Return K X."""
        return np.asarray(self.K @ X)

    def _inverses(self) -> list[np.ndarray] | None:
        """Return Psi^-1 of every place if all are so far from singular that they cost no digits."""
        diagonal = np.diagonal(self.S)
        for place, psi in zip(self.places, self.psi, strict=True):
            if np.linalg.eigvalsh(psi)[0] * diagonal[place.span].mean() <= AWAY_FROM_ZERO:
                return None
        return [np.linalg.inv(psi) for psi in self.psi]

    def projected(self) -> np.ndarray:
        """Return Z_r'V^-1 Z_r = S - S K S, which is Psi^-1 - Psi^-1 K Psi^-1."""
        inverses = self._inverses()
        if inverses is None:
            found = self.S - self.S @ (self.K @ self.S)
            return np.asarray(0.5 * (found + found.T))
        found = -sandwiched(self.K, inverses, self.places)
        for place, inverse in zip(self.places, inverses, strict=True):
            at = place.first + np.arange(place.groups) * place.size
            for a in range(place.size):
                for b in range(place.size):
                    found[at + a, at + b] += inverse[a, b]
        return found

    def left(self) -> np.ndarray:
        """Return I - K S, which is K Psi^-1."""
        inverses = self._inverses()
        if inverses is not None:
            return times_blocks(self.K, inverses, self.places)
        return np.asarray(np.eye(len(self.S)) - self.K @ self.S)

    def left_times(self, X: np.ndarray) -> np.ndarray:
        """Return (I - K S) X, which is K Psi^-1 X."""
        inverses = self._inverses()
        if inverses is not None:
            return np.asarray(self.K @ times_blocks(X.T, inverses, self.places).T)
        return np.asarray(X - self.K @ (self.S @ X))

    def after(self, F: np.ndarray, FK: np.ndarray) -> np.ndarray:
        """Return F (I - K S) from F and F K."""
        inverses = self._inverses()
        if inverses is not None:
            return times_blocks(FK, inverses, self.places)
        return np.asarray(F - FK @ self.S)

    def block_sum(self, position: int) -> np.ndarray:
        """Return the sum over groups of Z_g'V^-1 Z_g, (k, k), for one of the places."""
        place, psi = self.places[position], self.psi[position]
        span, shape = place.span, (place.groups, place.size, place.groups, place.size)
        own = np.einsum("gagb->ab", self.S[span, span].reshape(shape))
        typical = float(np.trace(own)) / (place.groups * place.size)
        if np.linalg.eigvalsh(psi)[0] * typical > AWAY_FROM_ZERO:
            inverse = np.linalg.inv(psi)
            return np.asarray(
                place.groups * inverse
                - inverse @ np.einsum("gagb->ab", self.K[span, span].reshape(shape)) @ inverse
            )
        wide = (len(self.S), place.groups, place.size)
        across = self.S[:, span]
        taken = np.einsum("nga,ngb->ab", across.reshape(wide), (self.K @ across).reshape(wide), optimize=True)
        return np.asarray(own - 0.5 * (taken + taken.T))


def times_blocks(X: np.ndarray, factors: Sequence[np.ndarray], places: Sequence[Place]) -> np.ndarray:
    """Return X F' with F made of each level's factor (k, k), once per group."""
    out = np.empty_like(X)
    for factor, place in zip(factors, places, strict=True):
        turned = (len(X), place.groups, place.size)
        out[:, place.span] = (X[:, place.span].reshape(turned) @ factor.T).reshape(len(X), -1)
    return out


def sandwiched(S: np.ndarray, factors: Sequence[np.ndarray], places: Sequence[Place]) -> np.ndarray:
    """Return F S F' with F made of each level's factor (k, k), once per group."""
    scale = np.ones(len(S))
    for factor, place in zip(factors, places, strict=True):
        if place.size == 1:
            scale[place.span] = factor[0, 0]
    out = S * scale
    out *= scale[:, None]
    for factor, place in zip(factors, places, strict=True):
        if place.size > 1:
            span = place.span
            shape = (place.groups, place.size, len(S))
            out[span] = (factor @ out[span].reshape(shape)).reshape(-1, len(S))
            turned = (len(S), place.groups, place.size)
            out[:, span] = (out[:, span].reshape(turned) @ factor.T).reshape(len(S), -1)
    return out


def _root(psi: np.ndarray) -> np.ndarray | None:
    """Return L with Psi = L L', or None if Psi has a negative eigenvalue."""
    values, vectors = np.linalg.eigh(psi)
    if values[0] < -1e-13 * max(float(values[-1]), 0.0) or values[-1] < 0.0:
        return None
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
