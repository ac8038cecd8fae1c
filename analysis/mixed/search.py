"""The search for the minimum of a criterion over theta, by second derivatives.

The criterion does not change when a column of Lambda changes its sign, so Lambda needs no bounds. A few
steps of scoring in Psi lead from afar to the region of an end; Newton steps in a trust region follow (Moré
and Sorensen 1983). In Lambda a zero column is stationary, so an end is judged in Psi: there the
gradient must be positive semidefinite on the null space of Psi, else the search goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from nwbswitch.analysis.mixed.criterion_curvature import criterion_derivatives
from nwbswitch.analysis.mixed.deviance import Deviance, Method, criterion_of
from nwbswitch.analysis.mixed.theta import theta_layout
from nwbswitch.analysis.mixed.trust_region import FLAT, trust_step

# A diagonal entry of Lambda this small is tried at zero; effects are scaled to unit mean square.
SMALL: Final = 1e-3
# The criterion may rise by this much when a small entry is set to zero.
ZERO_COST: Final = 1e-9
# A curvature is negative below this part of the largest, else rounding.
NEGATIVE: Final = 1e-8
# Newton steps end here: the parameters are then steady to about ten digits.
STEADY: Final = 1e-20
# A descent is given up when it comes as near as this to an end already reached: in Psi relative to its
# SDs, and in the criterion.
SAME: Final = 0.1
SAME_CRITERION: Final = 0.5
# A pivot below this part of its variance is zero up to rounding.
PIVOT: Final = 1e-13
# Rounding of the criterion, as a part of its size.
ROUNDING: Final = 1e-13
# A slope into the inside of Psi that is less steep than this, or than rounding, is none.
DOWNHILL: Final = 1e-6
# A descent ends when its next step promises less than this, or than ten times the rounding.
COARSE: Final = 1e-7
# No variance is less than this after a step of scoring, and no step longer than this many variances.
FLOOR: Final = 1e-3
FARTHEST: Final = 100.0
# Scoring ends when a step lowers the criterion by less than this.
SCORING_GAIN: Final = 0.1
_SCORING_STEPS: Final = 6
_ESCAPES: Final = 5
_NEWTON_STEPS: Final = 12
_STEPS: Final = 200


@dataclass(frozen=True, slots=True)
class Point:
    """The criterion at theta with two derivatives; in the entries of Psi the gradient and mean Hessian."""

    theta: np.ndarray
    value: float
    gradient: np.ndarray
    hessian: np.ndarray
    in_psi: np.ndarray
    mean_in_psi: np.ndarray


class Search:
    """The criterion as a function of theta, counting its evaluations.

    Psi is quadratic in theta: entry r is theta' T_r theta / 2, T_r being row r of ``quadratic`` (q, q, q).
    The effects of a block may be taken in another order than that of the model (`ordered`); entries of
    Psi always are in the model's.
    """

    def __init__(self, deviance: Deviance, method: Method) -> None:
        self.deviance, self.method = deviance, method
        self.layout = theta_layout(deviance)
        self.place = {entry: position for position, entry in enumerate(self.layout)}
        self.diagonal = np.array([row == column for _, row, column in self.layout], dtype=bool)
        self.blocks = [
            (level, first, size)
            for level, sizes in enumerate(deviance.block_sizes)
            for first, size in zip(np.cumsum((0, *sizes[:-1])).tolist(), sizes, strict=True)
        ]
        self.variance_of_row = np.array([self.place[level, row, row] for level, row, _ in self.layout])
        self.variance_of_column = np.array(
            [self.place[level, column, column] for level, _, column in self.layout]
        )
        table = np.array(self.layout, dtype=int).reshape(-1, 3)
        self.levels = []
        for level, sizes in enumerate(deviance.block_sizes):
            own = np.flatnonzero(table[:, 0] == level)
            self.levels.append((sum(sizes), own, table[own, 1], table[own, 2]))
        self.orders = [np.arange(size) for _, _, size in self.blocks]
        self.quadratic, self.own_variance = self._parametrisation()
        self.iterations = 0
        self.evaluations = 0
        self.reached: list[float] = []

    def _parametrisation(self) -> tuple[np.ndarray, np.ndarray]:
        """Return T (q, q, q), and per entry of theta which entry of Psi is the variance of its row."""
        q = len(self.layout)
        quadratic, own = np.zeros((q, q, q)), np.zeros(q, dtype=int)
        for (level, first, size), order in zip(self.blocks, self.orders, strict=True):
            for i in range(size):
                for j in range(i + 1):
                    high, low = sorted((first + int(order[i]), first + int(order[j])), reverse=True)
                    r = self.place[level, high, low]
                    own[self.place[level, first + i, first + j]] = self.place[
                        level, first + int(order[i]), first + int(order[i])
                    ]
                    for k in range(j + 1):
                        one = self.place[level, first + i, first + k]
                        other = self.place[level, first + j, first + k]
                        quadratic[r, one, other] += 1.0
                        quadratic[r, other, one] += 1.0
        return quadratic, own

    def entries(self, theta: np.ndarray) -> np.ndarray:
        """Return the entries of Psi in the order of `theta_layout`."""
        return np.asarray(0.5 * (self.quadratic @ theta) @ theta)

    def matrices(self, entries: np.ndarray) -> list[np.ndarray]:
        """Return the blocks of a symmetric matrix whose lower triangles are ``entries``."""
        found, begin = [], 0
        for _, _, size in self.blocks:
            rows, columns = np.triu_indices(size)  # the lower triangle by columns
            matrix = np.empty((size, size))
            end = begin + len(rows)
            matrix[rows, columns] = matrix[columns, rows] = entries[begin:end]
            found.append(matrix)
            begin = end
        return found

    def psi(self, theta: np.ndarray) -> list[np.ndarray]:
        """Return Psi of every level."""
        entries, found = self.entries(theta), []
        for k, positions, rows, columns in self.levels:
            psi = np.zeros((k, k))
            psi[rows, columns] = psi[columns, rows] = entries[positions]
            found.append(psi)
        return found

    def theta_of(self, matrices: Sequence[np.ndarray]) -> np.ndarray:
        """Return the theta of the blocks of Psi; no diagonal entry is negative, zero pivots leave zeros."""
        found = []
        for matrix, order in zip(matrices, self.orders, strict=True):
            factor = _semidefinite_factor(matrix[order[:, None], order])
            found.append(factor.T[np.triu_indices(len(order))])
        return np.concatenate(found)

    def ordered(self, point: Point) -> Point:
        """Return the point with the effects of every block from the largest to the smallest variance.

        A small pivot before a large one makes a curved valley of the criterion, in which steps are short.
        """
        matrices = self.matrices(self.entries(point.theta))
        orders = [np.argsort(-np.diagonal(matrix), kind="stable") for matrix in matrices]
        if all(np.array_equal(one, other) for one, other in zip(orders, self.orders, strict=True)):
            return point
        self.orders = orders
        self.quadratic, self.own_variance = self._parametrisation()
        return self.at(self.theta_of(matrices))

    def natural(self, theta: np.ndarray) -> np.ndarray:
        """Return the theta of the same Psi with the effects in the model's order."""
        matrices = self.matrices(self.entries(theta))
        self.orders = [np.arange(size) for _, _, size in self.blocks]
        self.quadratic, self.own_variance = self._parametrisation()
        return self.theta_of(matrices)

    def scales(self, theta: np.ndarray) -> np.ndarray:
        """Return per entry of theta the SD of its effect, or a tenth: steps are judged relative to it."""
        return np.asarray(np.maximum(np.sqrt(self.entries(theta)[self.own_variance]), 0.1))

    def at(self, theta: np.ndarray) -> Point:
        """Return the criterion with two derivatives."""
        self.evaluations += 1
        found = self.deviance.curvature(self.psi(theta))
        criterion, coefficients, residual, _ = criterion_of(
            found.root,
            found.log_det,
            n_rows=self.deviance.n_rows,
            scaling=self.deviance.scaling,
            method=self.method,
        )
        gradient, hessian, mean = criterion_derivatives(
            found, coefficients, residual, n_rows=self.deviance.n_rows, method=self.method
        )
        jacobian = self.quadratic @ theta
        bent = jacobian.T @ hessian @ jacobian + gradient @ self.quadratic.transpose(1, 0, 2)
        return Point(theta, criterion, jacobian.T @ gradient, 0.5 * (bent + bent.T), gradient, mean)

    def lowest(self, starts: Sequence[tuple[np.ndarray, bool]]) -> Point:
        """Return the lowest of the ends reached from ``starts``, each a theta and whether scoring begins."""
        ends: list[Point] = []
        for theta, scoring in starts:
            end = self.settled(theta, ends, scoring=scoring)
            self.reached.append(end.value)
            ends.append(end)
        return min(ends, key=lambda end: end.value)

    def settled(self, start: np.ndarray, ends: Sequence[Point] = (), *, scoring: bool = False) -> Point:
        """Return where the search from ``start`` ends once no boundary holds it back."""
        point = self.descend(start, ends, scoring=scoring)
        if any(point is end for end in ends):
            return point
        for _ in range(_ESCAPES):
            away = self.escape(point)
            if away is None:
                break
            lower = self.descend(away)
            if lower.value >= point.value - ROUNDING * abs(point.value):
                break
            point = lower
        return point

    def scored(self, point: Point) -> Point:
        """Return the point after steps of scoring in Psi, which leads from afar to the region of the end.

        Psi is kept positive definite; the steps end when they do not lower the criterion.
        """
        for _ in range(_SCORING_STEPS):
            entries = self.entries(point.theta)
            width = self._widths(entries)
            step, _ = trust_step(point.in_psi * width, point.mean_in_psi * np.outer(width, width), FARTHEST)
            theta = self._positive(entries + width * step)
            self.iterations += 1
            trial = self._tried(point, theta)
            gained = point.value - trial.value
            if gained > 0.0:
                point = trial
            if gained < SCORING_GAIN:
                break
        return point

    def _positive(self, entries: np.ndarray) -> np.ndarray:
        """Return the theta of Psi, or of the nearest one whose variances are not too near zero."""
        found = []
        for matrix in self.matrices(entries):
            values, vectors = np.linalg.eigh(matrix)
            found.append((vectors * np.maximum(values, FLOOR)) @ vectors.T)
        return self.theta_of(found)

    def _widths(self, entries: np.ndarray) -> np.ndarray:
        """Return for every entry of Psi the product of the two SDs, each at least a tenth."""
        sds = np.sqrt(np.maximum(entries, 0.01))
        return np.asarray(sds[self.variance_of_row] * sds[self.variance_of_column])

    def descend(self, start: np.ndarray, ends: Sequence[Point] = (), *, scoring: bool = False) -> Point:
        """Return the end of a descent, or the one of ``ends`` it runs into."""
        return self.descended(self.at(start), ends, scoring=scoring)

    def descended(
        self, point: Point, ends: Sequence[Point] = (), *, scoring: bool = False, least: float = COARSE
    ) -> Point:
        """Return the end of a descent from a point, where a step promises to gain less than ``least``."""
        radius = 1.0
        if scoring:
            point = self.scored(point)
        for _ in range(_STEPS):
            scales = self.scales(point.theta)
            step, promised = trust_step(
                point.gradient * scales, point.hessian * np.outer(scales, scales), radius
            )
            if promised < max(least, 10.0 * ROUNDING * abs(point.value)):
                break
            self.iterations += 1
            trial = self._tried(point, point.theta + scales * step)
            gained = point.value - trial.value
            length = float(np.linalg.norm(step))
            if gained < 0.25 * promised:
                radius = 0.25 * length
            elif gained > 0.75 * promised and length > 0.9 * radius:
                radius = min(2.0 * radius, 100.0)
            if gained > 1e-4 * promised:
                point = trial
                for end in ends:
                    if point.value - end.value < SAME_CRITERION and self._same(point, end):
                        return end
            elif radius < 1e-10:
                break
        return point

    def _tried(self, point: Point, theta: np.ndarray) -> Point:
        """Return the point at ``theta``; its criterion is infinite where rounding leaves none."""
        try:
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                trial = self.at(theta)
        except (np.linalg.LinAlgError, ZeroDivisionError):
            return replace(point, theta=theta, value=float("inf"))
        return trial if np.isfinite(trial.value) else replace(trial, value=float("inf"))

    def _same(self, point: Point, end: Point) -> bool:
        here, there = self.entries(point.theta), self.entries(end.theta)
        width = np.maximum(self._widths(here), self._widths(there))
        return bool(np.all(np.abs(here - there) < SAME * width))

    def upright(self, point: Point) -> Point:
        """Return the point with the signs of Lambda's columns such that no diagonal entry is negative."""
        negative = [point.theta[self.place[level, column, column]] < 0.0 for level, _, column in self.layout]
        sign = np.where(negative, -1.0, 1.0)
        return replace(
            point,
            theta=sign * point.theta,
            gradient=sign * point.gradient,
            hessian=sign[:, None] * point.hessian * sign,
        )

    def newton(self, point: Point) -> tuple[np.ndarray, float, bool]:
        """Return the Newton step, half the decrease it promises, and whether the Hessian is definite."""
        free = np.flatnonzero(~self.diagonal | (point.theta > 0.0))
        step = np.zeros_like(point.theta)
        if free.size == 0:
            return step, 0.0, True
        scales = self.scales(point.theta)[free]
        values, vectors = np.linalg.eigh(point.hessian[np.ix_(free, free)] * np.outer(scales, scales))
        flat = FLAT * max(float(np.abs(values).max()), 1e-300)
        along = vectors.T @ (point.gradient[free] * scales)
        usable = np.abs(values) > flat
        scaled = np.divide(1.0, np.abs(values), out=np.zeros_like(values), where=usable)
        step[free] = -scales * (vectors @ (scaled * along))
        return step, 0.5 * float(scaled @ along**2), bool(np.all(values > -NEGATIVE * np.abs(values).max()))

    def refined(self, point: Point) -> Point:
        """Return the point after Newton steps that do not raise the criterion."""
        for _ in range(_NEWTON_STEPS):
            step, decrease, _ = self.newton(point)
            if decrease < STEADY:
                break
            self.iterations += 1
            allowed = point.value + ROUNDING * abs(point.value)
            for halving in range(8):
                trial = point.theta + step * 0.5**halving
                trial = np.where(self.diagonal, np.maximum(trial, 0.0), trial)
                reached = self._tried(point, trial)
                if reached.value <= allowed:
                    break
            else:
                break
            point = reached
        return point

    def without_small(self, point: Point) -> Point:
        """Return the point with small variances and pivots at exactly zero where that costs nothing."""
        small = []
        for i in np.flatnonzero(self.diagonal):
            for chosen in (self.own_variance == self.own_variance[i], np.arange(len(self.layout)) == i):
                size = float(np.sqrt(np.sum(point.theta[chosen] ** 2)))
                if 0.0 < size < SMALL:
                    small.append(chosen)
                    break
        for choice in ([np.any(small, axis=0)] if len(small) > 1 else []) + small:
            if not np.any(point.theta[choice]):
                continue
            trial = self.at(np.where(choice, 0.0, point.theta))
            if trial.value <= point.value + ZERO_COST:
                point = trial
        return point

    def escape(self, point: Point) -> np.ndarray | None:
        """Return a start beside the point if the criterion falls into the inside from the boundary."""
        matrices = self.matrices(self.entries(point.theta))
        for i, (psi, gradient) in enumerate(zip(matrices, self.matrices(point.in_psi), strict=True)):
            values, vectors = np.linalg.eigh(psi)
            null = vectors[:, values <= 1e-10 * max(1.0, float(values.max()))]
            if null.shape[1] == 0:
                continue
            halved = 0.5 * (gradient + np.diag(np.diagonal(gradient)))
            slopes, directions = np.linalg.eigh(null.T @ halved @ null)
            if slopes[0] < -max(DOWNHILL, 1e3 * ROUNDING * abs(point.value)):
                inward = null @ directions[:, :1]
                matrices[i] = psi + 0.01 * inward @ inward.T + 1e-8 * np.eye(len(psi))
                return self.theta_of(matrices)
        return None


def _semidefinite_factor(psi: np.ndarray) -> np.ndarray:
    """Return the lower triangular root of ``psi`` with a diagonal that is not negative."""
    rest, found = psi.copy(), np.zeros_like(psi)
    for j in range(len(psi)):
        if rest[j, j] > PIVOT * psi[j, j] and psi[j, j] > 0.0:
            found[j:, j] = rest[j:, j] / np.sqrt(rest[j, j])
            rest = rest - np.outer(found[:, j], found[:, j])
    return found
