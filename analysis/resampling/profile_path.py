"""The smallest -2 log-likelihood with one variance parameter held at a value.

Free are the entries of T, the factor of each bar's covariance in units of the scaled response, and the log
of its residual SD s. With Psi = T T' / s^2 and the gradient G in Psi, the gradient is 2 G T / s^2 in T, and
2 n - 2 r / s^2 - 2 tr(G Psi) in log s, r being the residual sum of squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.optimum import Optimum, psi_of

# Length, in SD of the scaled response, of an effect that is to vanish.
VANISHING: Final = 0.01
# Where a search ends on the boundary it is tried once more from this far inside.
INSIDE: Final = 0.1


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """One bar: its level, the first of its ``size`` effects there, and the effects that come first in T."""

    level: int
    first: int
    size: int
    leading: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A parameter held at a value: an SD or a correlation of one bar, or the residual SD.

    ``units`` is the size in the model's units of one unit of the engine.
    """

    kind: Literal["sd", "cor", "sigma"]
    place: BlockPlace | None
    units: float


@dataclass(frozen=True, slots=True)
class Point:
    """The smallest criterion at one value, and the free parameters (in the order of `_Layout`) there."""

    criterion: float
    free: np.ndarray


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which entry (level, row, column) of T each free parameter is; the last one is log s.

    ``bounded`` entries are lengths: those of the first two rows of a bar whose correlation is held. All
    others are free, since a column of T and its negative are the same. ``direction`` is the place of the
    second row's length, and its level, row and first column, else None.
    """

    entries: tuple[tuple[int, int, int], ...]
    diagonal: np.ndarray
    bounded: np.ndarray
    direction: tuple[int, int, int, int] | None
    held: Held | None

    @property
    def n_free(self) -> int:
        """Number of free parameters."""
        extra = 0 if self.held is not None and self.held.kind == "sigma" else 1
        return len(self.entries) + extra


def best_point(
    deviance: Deviance, held: Held | None, value: float, optimum: Optimum, start: Point | None
) -> Point:
    """Return the smallest criterion with ``held`` at ``value``.

    Parameters
    ----------
    deviance
        The deviance function, restricted if a fixed effect is held.
    held, value
        What is held; None holds no variance parameter.
    optimum
        The minimum by maximum likelihood, from which the first search starts.
    start
        A point at a near value.
    """
    layout = _layout(deviance, held)
    first = _from_optimum(deviance, layout, optimum) if start is None else start.free
    starts = [first]
    for position in np.flatnonzero(layout.bounded):
        # A correlation costs nothing where one of the two effects vanishes, far from where it does not.
        vanishing = first.copy()
        vanishing[position] = VANISHING
        starts.append(vanishing)
    found = min((_descend(deviance, layout, value, each) for each in starts), key=lambda each: each.criterion)
    at_zero = np.zeros(layout.n_free, dtype=bool)
    at_zero[: len(layout.entries)] = layout.diagonal & (np.abs(found.free[: len(layout.entries)]) < 1e-3)
    if at_zero.any():
        # In T a zero is always stationary; the other side of it has to be looked at.
        again = _descend(deviance, layout, value, np.where(at_zero, INSIDE, found.free))
        found = min(found, again, key=lambda each: each.criterion)
    return found


def _layout(deviance: Deviance, held: Held | None) -> _Layout:
    entries: list[tuple[int, int, int]] = []
    diagonal, bounded, direction = [], [], None
    for level, sizes in enumerate(deviance.block_sizes):
        first = 0
        for size in sizes:
            order, kind = list(range(size)), ""
            if held is not None and held.place is not None:
                place = held.place
                if (place.level, place.first) == (level, first):
                    order = [*place.leading, *(i for i in order if i not in place.leading)]
                    kind = held.kind
            for column in range(size):
                for row in range(column, size):
                    if kind == "sd" and row == 0 and column == 0:
                        continue
                    if kind == "cor" and row == 1 and column == 0:
                        direction = (len(entries), level, first + order[1], first)
                    elif kind == "cor" and row == 1 and column == 1:
                        continue
                    entries.append((level, first + order[row], first + column))
                    is_length = kind == "cor" and row == 1 and column == 0
                    diagonal.append(row == column or is_length)
                    bounded.append(kind == "cor" and column == 0 and row < 2)
            first += size
    return _Layout(
        tuple(entries), np.array(diagonal, dtype=bool), np.array(bounded, dtype=bool), direction, held
    )


def _factors(
    deviance: Deviance, layout: _Layout, value: float, free: np.ndarray
) -> tuple[list[np.ndarray], float]:
    """Return T of every level and s."""
    factors = [np.zeros((sum(sizes), sum(sizes))) for sizes in deviance.block_sizes]
    for entry, (level, row, column) in zip(free, layout.entries, strict=False):
        factors[level][row, column] = entry
    held = layout.held
    if held is not None and held.kind == "sigma":
        return factors, value / held.units
    if held is not None and held.place is not None:
        place = held.place
        if held.kind == "sd":
            factors[place.level][place.first + place.leading[0], place.first] = value / held.units
        elif layout.direction is not None:
            position, level, row, column = layout.direction
            factors[level][row, column] = free[position] * value
            factors[level][row, column + 1] = free[position] * np.sqrt(max(1.0 - value**2, 0.0))
    return factors, float(np.exp(free[-1]))


def _value(deviance: Deviance, layout: _Layout, value: float, free: np.ndarray) -> tuple[float, np.ndarray]:
    factors, s = _factors(deviance, layout, value, free)
    psi = [T @ T.T / s**2 for T in factors]
    found = deviance.evaluate(psi, method="ml", precision=s**-2)
    slopes = [2.0 * G @ T / s**2 for G, T in zip(found.gradient, factors, strict=True)]
    gradient = np.empty(layout.n_free)
    for i, (level, row, column) in enumerate(layout.entries):
        gradient[i] = slopes[level][row, column]
    if layout.direction is not None:
        position, level, row, column = layout.direction
        across = np.sqrt(max(1.0 - value**2, 0.0))
        gradient[position] = value * slopes[level][row, column] + across * slopes[level][row, column + 1]
    if layout.n_free > len(layout.entries):
        within = sum(float(np.sum(G * own)) for G, own in zip(found.gradient, psi, strict=True))
        gradient[-1] = 2.0 * deviance.n_rows - 2.0 * found.residual / s**2 - 2.0 * within
    return found.criterion, gradient


def _descend(deviance: Deviance, layout: _Layout, value: float, start: np.ndarray) -> Point:
    from scipy.optimize import minimize

    if layout.n_free == 0:
        return Point(_value(deviance, layout, value, start)[0], start)
    bounds: list[tuple[float | None, float | None]] = [
        (0.0, None) if each else (None, None) for each in layout.bounded
    ]
    bounds += [(None, None)] * (layout.n_free - len(layout.entries))
    search: Any = minimize  # the stubs know no function that returns its gradient too
    options = {"maxiter": 500, "maxfun": 1000, "ftol": 1e-15, "gtol": 1e-7, "maxcor": 20}
    found = search(
        lambda free: _value(deviance, layout, value, free),
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options=options,
    )
    return Point(float(found.fun), np.asarray(found.x))


def _from_optimum(deviance: Deviance, layout: _Layout, optimum: Optimum) -> np.ndarray:
    """Return the free parameters at the optimum."""
    s2 = optimum.evaluation.residual / deviance.n_rows
    covariances = [s2 * psi for psi in psi_of(deviance, optimum.theta)]
    held = layout.held
    factors = []
    for level, sizes in enumerate(deviance.block_sizes):
        T = np.zeros_like(covariances[level])
        first = 0
        for size in sizes:
            order = np.arange(size)
            if held is not None and held.place is not None:
                place = held.place
                if (place.level, place.first) == (level, first):
                    rest = [i for i in range(size) if i not in place.leading]
                    order = np.array([*place.leading, *rest])
            rows = first + order
            T[rows, first : first + size] = _semidefinite_factor(covariances[level][np.ix_(rows, rows)])
            first += size
        factors.append(T)
    free = np.zeros(layout.n_free)
    for i, (level, row, column) in enumerate(layout.entries):
        free[i] = factors[level][row, column]
    if layout.direction is not None:
        position, level, row, column = layout.direction
        free[position] = np.hypot(factors[level][row, column], factors[level][row, column + 1])
    if layout.n_free > len(layout.entries):
        free[-1] = 0.5 * np.log(s2)
    return free


def _semidefinite_factor(covariance: np.ndarray) -> np.ndarray:
    """Return lower triangular T with T T' = ``covariance``, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    _, upper = np.linalg.qr((vectors * np.sqrt(np.maximum(values, 0.0))).T)
    triangle = upper.T
    signs = np.where(np.diagonal(triangle) < 0.0, -1.0, 1.0)
    return np.asarray(triangle * signs)
