"""The minimum of a mixed model's criterion over the covariances of its random effects.

Each block of Psi is written as Lambda Lambda' with Lambda lower triangular and a diagonal that is not
negative (Bates et al. 2015, section 2.3). A quasi-Newton search from several starts is finished by Newton
steps. In Lambda every point with a zero variance is stationary, so the end is judged in Psi: there the
gradient must be positive semidefinite on the null space of Psi, else the search goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance, Evaluation, Method

STARTS: Final = (1.0, 0.25, 3.0)
# A diagonal entry of Lambda this small is tried at zero; effects are scaled to unit mean square.
SMALL: Final = 1e-3
# The criterion may rise by this much when a small entry is set to zero.
ZERO_COST: Final = 1e-9
# Converged: a Newton step would lower the criterion by less than this.
EXPECTED_DECREASE: Final = 1e-8
# Newton steps end here: the parameters are then steady to about ten digits.
STEADY: Final = 1e-20
_ESCAPES: Final = 5
_NEWTON_STEPS: Final = 12


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where the search ended and how.

    ``theta`` holds the lower triangles of all blocks, column by column, innermost level first;
    ``start_criteria`` the criterion each start reached; ``expected_decrease`` what one more Newton step
    would gain; ``zero`` marks the diagonal entries that ended on the boundary.
    """

    theta: np.ndarray
    evaluation: Evaluation
    method: Method
    zero: np.ndarray
    iterations: int
    evaluations: int
    start_criteria: tuple[float, ...]
    expected_decrease: float
    converged: bool


def theta_layout(deviance: Deviance) -> list[tuple[int, int, int]]:
    """Return (level, row, column) of every entry of theta."""
    layout = []
    for level, sizes in enumerate(deviance.block_sizes):
        first = 0
        for size in sizes:
            layout += [
                (level, first + row, first + column) for column in range(size) for row in range(column, size)
            ]
            first += size
    return layout


def factors_of(deviance: Deviance, theta: np.ndarray) -> list[np.ndarray]:
    """Return Lambda of every level."""
    factors = [np.zeros((sum(sizes), sum(sizes))) for sizes in deviance.block_sizes]
    for value, (level, row, column) in zip(theta, theta_layout(deviance), strict=True):
        factors[level][row, column] = value
    return factors


def psi_of(deviance: Deviance, theta: np.ndarray) -> list[np.ndarray]:
    """Return Psi of every level."""
    return [factor @ factor.T for factor in factors_of(deviance, theta)]


def theta_gradient(deviance: Deviance, theta: np.ndarray, gradient: Sequence[np.ndarray]) -> np.ndarray:
    """Return the gradient in theta from the gradients in Psi (chain rule: 2 G Lambda)."""
    products = [2.0 * G @ factor for G, factor in zip(gradient, factors_of(deviance, theta), strict=True)]
    return np.array([products[level][row, column] for level, row, column in theta_layout(deviance)])


def jacobian_of(function: Callable[[np.ndarray], np.ndarray], theta: np.ndarray) -> np.ndarray:
    """Return d function / d theta, (outputs, theta), by central differences of fourth order."""
    columns = []
    for i, value in enumerate(theta):
        step = 1e-3 * max(abs(value), 0.1)
        shifted = []
        for multiple in (1.0, -1.0, 2.0, -2.0):
            moved = theta.copy()
            moved[i] = value + multiple * step
            shifted.append(function(moved))
        near, far = shifted[0] - shifted[1], shifted[2] - shifted[3]
        columns.append((8.0 * near - far) / (12.0 * step))
    return np.stack(columns, axis=-1) if columns else np.empty((0, 0))


def optimise(deviance: Deviance, *, method: Method) -> Optimum:
    """Return the minimum of the criterion of ``deviance``: the third step of a fit."""
    search = _Search(deviance, method)
    found = [search.settled(np.where(search.diagonal, start, 0.0)) for start in STARTS]
    criteria = tuple(criterion for _, criterion in found)
    theta = search.refined(min(found, key=lambda each: each[1])[0])
    theta = search.refined(search.without_small(theta))
    decrease, definite = search.expected_decrease(theta)
    converged = definite and decrease < EXPECTED_DECREASE and search.escape(theta) is None
    return Optimum(
        theta,
        deviance.evaluate(psi_of(deviance, theta), method=method),
        method,
        search.diagonal & (theta == 0.0),
        search.iterations,
        search.evaluations,
        criteria,
        decrease,
        converged,
    )


class _Search:
    """The criterion as a function of theta, counting its evaluations."""

    def __init__(self, deviance: Deviance, method: Method) -> None:
        self.deviance, self.method = deviance, method
        self.layout = theta_layout(deviance)
        self.diagonal = np.array([row == column for _, row, column in self.layout])
        self.iterations = 0
        self.evaluations = 0

    def value(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        self.evaluations += 1
        found = self.deviance.evaluate(psi_of(self.deviance, theta), method=self.method)
        return found.criterion, theta_gradient(self.deviance, theta, found.gradient)

    def descend(self, start: np.ndarray) -> tuple[np.ndarray, float]:
        from scipy.optimize import minimize

        bounds = [(0.0, None) if each else (None, None) for each in self.diagonal]
        options = {"maxiter": 500, "maxfun": 2000, "ftol": 1e-14, "gtol": 1e-7, "maxcor": 20}
        search: Any = minimize  # the stubs know no function that returns its gradient too
        result = search(self.value, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        self.iterations += int(result.nit)
        return np.asarray(result.x), float(result.fun)

    def settled(self, start: np.ndarray) -> tuple[np.ndarray, float]:
        """Return where the search from ``start`` ends once no boundary holds it back."""
        theta, criterion = self.descend(start)
        for _ in range(_ESCAPES):
            away = self.escape(self.without_small(theta))
            if away is None:
                break
            moved, reached = self.descend(away)
            if reached >= criterion:
                break
            theta, criterion = moved, reached
        return theta, criterion

    def _free(self, theta: np.ndarray) -> np.ndarray:
        return np.flatnonzero(~self.diagonal | (theta > 0.0))

    def _newton(self, theta: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """Return the Newton step, half the decrease it promises, and whether the Hessian is definite."""
        free = self._free(theta)
        if free.size == 0:
            return np.zeros_like(theta), 0.0, True
        gradient = self.value(theta)[1][free]

        def slope(part: np.ndarray) -> np.ndarray:
            full = theta.copy()
            full[free] = part
            return np.asarray(self.value(full)[1][free])

        hessian = jacobian_of(slope, theta[free])
        values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
        flat = 1e-7 * max(float(np.abs(values).max()), 1e-300)
        along = vectors.T @ gradient
        usable = np.abs(values) > flat
        scale = np.divide(1.0, np.abs(values), out=np.zeros_like(values), where=usable)
        step = np.zeros_like(theta)
        step[free] = -vectors @ (scale * along)
        return step, 0.5 * float(scale @ along**2), bool(np.all(values > -flat))

    def refined(self, theta: np.ndarray) -> np.ndarray:
        """Return theta after Newton steps that do not raise the criterion."""
        value = self.value(theta)[0]
        for _ in range(_NEWTON_STEPS):
            step, decrease, _ = self._newton(theta)
            if decrease < STEADY:
                break
            self.iterations += 1
            for halving in range(8):
                trial = theta + step * 0.5**halving
                trial = np.where(self.diagonal, np.maximum(trial, 0.0), trial)
                reached = self.value(trial)[0]
                if reached <= value + 1e-13 * abs(value):
                    break
            else:
                break
            theta, value = trial, min(reached, value)
        return theta

    def without_small(self, theta: np.ndarray) -> np.ndarray:
        """Return theta with small diagonal entries at exactly zero where that costs nothing."""
        for i in np.flatnonzero(self.diagonal & (theta > 0.0) & (theta < SMALL)):
            trial = theta.copy()
            trial[i] = 0.0
            if self.value(trial)[0] <= self.value(theta)[0] + ZERO_COST:
                theta = trial
        return theta

    def expected_decrease(self, theta: np.ndarray) -> tuple[float, bool]:
        _, decrease, definite = self._newton(theta)
        return decrease, definite

    def escape(self, theta: np.ndarray) -> np.ndarray | None:
        """Return a start beside theta if the criterion falls into the inside from the boundary."""
        found = self.deviance.evaluate(psi_of(self.deviance, theta), method=self.method)
        factors = factors_of(self.deviance, theta)
        for level, sizes in enumerate(self.deviance.block_sizes):
            first = 0
            for size in sizes:
                part = slice(first, first + size)
                first += size
                psi = factors[level][part, part] @ factors[level][part, part].T
                values, vectors = np.linalg.eigh(psi)
                null = vectors[:, values <= 1e-10 * max(1.0, float(values.max()))]
                if null.shape[1] == 0:
                    continue
                slopes, directions = np.linalg.eigh(null.T @ found.gradient[level][part, part] @ null)
                if slopes[0] < -1e-6:
                    inward = null @ directions[:, :1]
                    moved = psi + 0.01 * inward @ inward.T + 1e-8 * np.eye(size)
                    return self._replaced(theta, level, part.start, np.linalg.cholesky(moved))
        return None

    def _replaced(self, theta: np.ndarray, level: int, first: int, factor: np.ndarray) -> np.ndarray:
        moved = theta.copy()
        for i, (own, row, column) in enumerate(self.layout):
            if own == level and first <= column < first + len(factor):
                moved[i] = factor[row - first, column - first]
        return moved
