"""The highest likelihood of a multilevel meta-analysis: several starts, then Newton's method.

The likelihood of variance components can have several maxima, and components can be 0. Starts are spread
over the total heterogeneity and its division among the parts; the best of them are improved within the
bounds by L-BFGS-B (Byrd et al. 1995, SIAM J Sci Comput 16:1190-1208), and the lowest is finished by Newton
steps with the exact second derivatives on the coordinates that are not at a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from nwbswitch.analysis.meta_analysis.multilevel_charts import JointChart
from nwbswitch.analysis.meta_analysis.multilevel_likelihood import (
    Data,
    Method,
    criterion,
    derivatives,
    gradient,
    solve,
)

_TOTALS = (0.01, 0.1, 0.5, 1.0, 3.0)
_MAX_STARTS = 4
_MAX_GRID = 60
_NEWTON_STEPS = 60
_GRADIENT = 1e-9
# Stands for a covariance too far away to be inverted; a search that ends there is no candidate.
_IMPOSSIBLE = 1e100


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where the search ended, in the units of `Data`.

    ``at_bound`` says which coordinates are at a bound; ``rises`` are the end values of all starts above the
    lowest.
    """

    phi: np.ndarray
    theta: np.ndarray
    criterion: float
    gradient: float
    converged: bool
    at_bound: np.ndarray
    evaluations: int
    rises: tuple[float, ...]


class _Objective:
    """The criterion as a function of the coordinates, counting its evaluations."""

    def __init__(self, data: Data, chart: JointChart, method: Method) -> None:
        self.data, self.chart, self.method = data, chart, method
        self.evaluations = 0

    def value(self, phi: np.ndarray) -> float:
        self.evaluations += 1
        try:
            return criterion(self.data, solve(self.data, self.chart.entries(phi)), self.method)
        except np.linalg.LinAlgError:
            return float("inf")

    def value_and_gradient(self, phi: np.ndarray) -> tuple[float, np.ndarray]:
        self.evaluations += 1
        try:
            solved = solve(self.data, self.chart.entries(phi))
        except np.linalg.LinAlgError:
            return _IMPOSSIBLE, np.zeros_like(phi)
        slope = gradient(self.data, solved, self.method)
        return criterion(self.data, solved, self.method), self.chart.jacobian(phi).T @ slope

    def curvature(self, phi: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Return criterion, gradient, second derivatives, and a positive stand-in for the latter."""
        self.evaluations += 1
        solved = solve(self.data, self.chart.entries(phi))
        first, second, expected = derivatives(self.data, solved, self.method)
        jacobian = self.chart.jacobian(phi)
        exact = jacobian.T @ second @ jacobian + self.chart.curvature(phi, first)
        value = criterion(self.data, solved, self.method)
        return value, jacobian.T @ first, exact, jacobian.T @ expected @ jacobian


def search(data: Data, chart: JointChart, method: Method, *, starts: Sequence[np.ndarray] = ()) -> Optimum:
    """Return the lowest criterion found.

    Parameters
    ----------
    data, chart, method
        The likelihood and the coordinates of its covariance.
    starts
        Coordinates to start from; by default they are chosen from a grid.
    """
    objective = _Objective(data, chart, method)
    bounds = chart.bounds
    if not len(bounds):
        empty = np.empty(0)
        theta = chart.entries(empty)
        return Optimum(empty, theta, objective.value(empty), 0.0, True, np.empty(0, bool), 1, ())
    ends = [_descend(objective, each, bounds) for each in (starts or _starts(objective, chart))]
    values = [value for value, _ in ends]
    best = int(np.argmin(values))
    phi, slope, converged = _newton(objective, ends[best][1], bounds)
    lowest = objective.value(phi)
    at_bound = (phi <= bounds[:, 0]) | (phi >= bounds[:, 1])
    rises = tuple(max(0.0, value - lowest) for value in values)
    theta = chart.entries(phi)
    return Optimum(phi, theta, lowest, slope, converged, at_bound, objective.evaluations, rises)


def _starts(objective: _Objective, chart: JointChart) -> list[np.ndarray]:
    """Return the best of a grid of totals and their divisions, distinct in their division."""
    n_parts = len(chart.parts)
    shares = [np.full(n_parts, 1.0 / n_parts)]
    if n_parts > 1:
        for main in range(n_parts):
            share = np.full(n_parts, 0.1 / (n_parts - 1))
            share[main] = 0.9
            shares.append(share)
    data = objective.data
    spread = float(data.effect @ data.effect) / max(1, data.n - data.p)
    grid = list(product(range(len(shares)), _TOTALS))[:_MAX_GRID]
    found = []
    for place, total in grid:
        phi = chart.start([max(spread, 0.1) * total * each for each in shares[place]])
        found.append((objective.value(phi), place, phi))
    found.sort(key=lambda each: each[0])
    chosen: dict[int, np.ndarray] = {}
    for _, place, phi in found:
        chosen.setdefault(place, phi)
    # The smallest total leads into maxima near the boundary that the best of the grid may not reach.
    low = chart.start([0.001 * max(spread, 0.1)] * n_parts)
    return [*list(chosen.values())[:_MAX_STARTS], low]


def _descend(objective: _Objective, start: np.ndarray, bounds: np.ndarray) -> tuple[float, np.ndarray]:
    from scipy.optimize import minimize

    inside = np.clip(start, bounds[:, 0], bounds[:, 1])
    ranges = [(low, None if np.isinf(high) else high) for low, high in bounds.tolist()]
    ranges = [(None if low is not None and np.isinf(low) else low, high) for low, high in ranges]
    found = minimize(
        objective.value_and_gradient,
        inside,
        jac=True,
        method="L-BFGS-B",
        bounds=ranges,
        options={"maxiter": 200, "ftol": 1e-11, "gtol": 1e-6},
    )
    return float(found.fun), np.asarray(found.x, dtype=float)


def _newton(objective: _Objective, phi: np.ndarray, bounds: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """Return the minimum near ``phi``, the largest slope left, and whether it is one."""
    value, slope, exact, expected = objective.curvature(phi)
    for _ in range(_NEWTON_STEPS):
        free = _free(phi, slope, bounds)
        if not free.any() or float(np.abs(slope[free]).max()) < _GRADIENT:
            break
        step = np.zeros_like(phi)
        step[free] = -_solved(exact[np.ix_(free, free)], expected[np.ix_(free, free)], slope[free])
        moved = _along(objective, phi, step, value, bounds)
        if moved is None:
            break
        phi = moved
        previous = value
        value, slope, exact, expected = objective.curvature(phi)
        if abs(previous - value) < 1e-15 * max(1.0, abs(value)) and float(np.abs(step).max()) < 1e-12:
            break
    free = _free(phi, slope, bounds)
    largest = float(np.abs(slope[free]).max()) if free.any() else 0.0
    return phi, largest, largest < 1e-5


def _free(phi: np.ndarray, slope: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    held = (phi <= bounds[:, 0]) & (slope >= 0.0) | (phi >= bounds[:, 1]) & (slope <= 0.0)
    return ~held


def _solved(exact: np.ndarray, expected: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return the Newton step, or a descent step where the second derivatives are not positive."""
    for matrix in (exact, expected):
        size = np.sqrt(np.maximum(np.abs(np.diagonal(matrix)), 1e-300))
        values, vectors = np.linalg.eigh(matrix / np.outer(size, size))
        if values[0] > 1e-10:
            unit = vectors @ ((vectors.T @ (slope / size)) / values)
            return np.asarray(unit / size)
    return slope / max(1.0, float(np.abs(slope).max()))


def _along(
    objective: _Objective, phi: np.ndarray, step: np.ndarray, value: float, bounds: np.ndarray
) -> np.ndarray | None:
    """Return the first point along the step that is not higher, each coordinate stopped at its bound."""
    length = 1.0
    slack = 1e-13 * max(1.0, abs(value))
    for _ in range(40):
        moved = np.clip(phi + length * step, bounds[:, 0], bounds[:, 1])
        if objective.value(moved) <= value + slack and not np.array_equal(moved, phi):
            return moved
        length *= 0.5
    return None
