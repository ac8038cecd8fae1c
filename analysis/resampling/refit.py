"""A fit from a start near its optimum, for models fitted again and again to slightly other data.

One quasi-Newton search over Lambda without bounds: a column of Lambda and its negative give the same Psi,
and a bound at zero would hold back a correlation that has to change its sign. A column of zeros is always
stationary, so at the end the gradient in Psi decides: if it is negative along a direction without variance,
the criterion falls into the inside, and the search goes on from there. The criterion ends within about 1e-7
of its minimum; `optimise` goes on to all digits and takes up to three times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance, Evaluation, Method
from nwbswitch.analysis.mixed.optimum import (
    SMALL,
    factors_of,
    psi_of,
    theta_gradient,
    theta_layout,
)

# A search starts at least this far from the boundary.
INSIDE: Final = 0.05
# Slopes in theta and in Psi flatter than this count as zero.
FLAT: Final = 1e-4
_SEARCHES: Final = 4


@dataclass(frozen=True, slots=True)
class Refit:
    """Where the search ended; ``singular`` if a variance is zero or a correlation 1 or -1."""

    theta: np.ndarray
    evaluation: Evaluation
    method: Method
    converged: bool
    singular: bool


def refit(deviance: Deviance, *, method: Method, start: np.ndarray) -> Refit:
    """Return the minimum of the criterion, searched from ``start``, a theta as of `theta_layout`."""
    layout = theta_layout(deviance)
    diagonal = np.array([row == column for _, row, column in layout], dtype=bool)
    theta = np.where(diagonal, np.maximum(start, INSIDE), start)
    best, at, reached = theta, None, np.inf
    inward: np.ndarray | None = None
    for _ in range(_SEARCHES):
        theta, criterion = _descend(deviance, method, theta)
        if at is None or criterion < reached:
            best, reached = _settled(deviance, method, theta, criterion, diagonal)
            at = deviance.evaluate(psi_of(deviance, best), method=method)
        inward = _inward(deviance, best, at)
        if inward is None:
            break
        theta = inward
    assert at is not None
    slope = theta_gradient(deviance, best, at.gradient)
    inside = ~diagonal | (best > 0.0)
    converged = bool(np.all(np.abs(slope[inside]) < 1e2 * FLAT)) and inward is None
    singular = any(
        len(psi) > 0 and float(np.linalg.eigvalsh(psi)[0]) < SMALL**2 for psi in _blocks(deviance, best)
    )
    return Refit(best, at, method, converged, singular)


def _settled(
    deviance: Deviance, method: Method, theta: np.ndarray, criterion: float, diagonal: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return theta and criterion with small diagonal entries at zero if that costs nothing."""
    small = diagonal & (theta < SMALL)
    if small.any():
        trial = np.where(small, 0.0, theta)
        reached = deviance.evaluate(psi_of(deviance, trial), method=method).criterion
        if reached <= criterion + 1e-9:
            return trial, reached
    return theta, criterion


def _descend(deviance: Deviance, method: Method, start: np.ndarray) -> tuple[np.ndarray, float]:
    from scipy.optimize import minimize

    def value(theta: np.ndarray) -> tuple[float, np.ndarray]:
        found = deviance.evaluate(psi_of(deviance, theta), method=method)
        return found.criterion, theta_gradient(deviance, theta, found.gradient)

    options = {"maxiter": 300, "maxfun": 600, "ftol": 1e-13, "gtol": FLAT, "maxcor": 20}
    search: Any = minimize  # the stubs know no function that returns its gradient too
    found = search(value, start, jac=True, method="L-BFGS-B", options=options)
    factors = factors_of(deviance, np.asarray(found.x))
    signs = [np.where(np.diagonal(factor) < 0.0, -1.0, 1.0) for factor in factors]
    turned = [factor * sign for factor, sign in zip(factors, signs, strict=True)]
    theta = np.array([turned[level][row, column] for level, row, column in theta_layout(deviance)])
    return theta, float(found.fun)


def _blocks(deviance: Deviance, theta: np.ndarray) -> list[np.ndarray]:
    """Return Psi of every bar."""
    blocks = []
    for psi, sizes in zip(psi_of(deviance, theta), deviance.block_sizes, strict=True):
        first = 0
        for size in sizes:
            blocks.append(psi[first : first + size, first : first + size])
            first += size
    return blocks


def _inward(deviance: Deviance, theta: np.ndarray, found: Evaluation) -> np.ndarray | None:
    """Return a start beside ``theta`` if the criterion falls from the boundary into the inside."""
    factors = factors_of(deviance, theta)
    moved, any_moved = theta.copy(), False
    for level, sizes in enumerate(deviance.block_sizes):
        first = 0
        for size in sizes:
            part = slice(first, first + size)
            psi = factors[level][part, part] @ factors[level][part, part].T
            values, vectors = np.linalg.eigh(psi)
            null = vectors[:, values <= SMALL**2]
            if null.shape[1]:
                slopes, directions = np.linalg.eigh(null.T @ found.gradient[level][part, part] @ null)
                if slopes[0] < -FLAT:
                    inward = null @ directions[:, :1]
                    whole = psi + INSIDE**2 * inward @ inward.T + 1e-8 * np.eye(size)
                    factor = np.linalg.cholesky(whole)
                    for i, (own, row, column) in enumerate(theta_layout(deviance)):
                        if own == level and first <= column < first + size:
                            moved[i] = factor[row - first, column - first]
                    any_moved = True
            first += size
    return moved if any_moved else None
