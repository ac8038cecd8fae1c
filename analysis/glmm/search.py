"""The maximum of a logistic mixed model's likelihood over theta and beta together.

theta holds the lower triangles of Lambda, beta the coefficients of orthogonal columns; both are searched
jointly, as glmer does in its second stage (Bates et al. 2015, section 3), here with exact gradients: a
quasi-Newton search from several starts, then Newton steps whose Hessian also gives the standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nwbswitch.analysis.glmm.laplace import Approximation, CountColumns, probability

Criterion = Callable[
    [CountColumns, Sequence[np.ndarray], np.ndarray, Sequence[np.ndarray] | None], Approximation
]

STARTS: Final = (0.5, 0.1, 2.0)
# A standard deviation this small (logits per root mean square of its column) is tried at zero.
SMALL: Final = 1e-3
ZERO_COST: Final = 1e-9
# Where the criterion is looked at inside the boundary, and by how much it must fall to go on from there.
INSIDE: Final = (0.02, 0.3)
ESCAPE: Final = 1e-7
EXPECTED_DECREASE: Final = 1e-8
STEADY: Final = 1e-14
# No random effect is this large on the logit scale; the search must end somewhere.
LARGEST: Final = 50.0
_ESCAPES: Final = 4
# With more variances and covariances than this the best end is shaken and searched from again.
_SIMPLE: Final = 3
_SHAKES: Final = 4
_STEP: Final = 2e-4
_NEWTON_STEPS: Final = 8


@dataclass(frozen=True, slots=True)
class CountOptimum:
    """Where the search ended: theta, beta (engine units), and how.

    ``hessian`` is that of -2 log-likelihood over the entries marked in ``free`` of (theta, beta): what ended
    on the boundary is held there. ``expected_decrease`` is what one more Newton step would gain.
    """

    theta: np.ndarray
    beta: np.ndarray
    at: Approximation
    hessian: np.ndarray
    free: np.ndarray
    iterations: int
    evaluations: int
    start_criteria: tuple[float, ...]
    expected_decrease: float
    converged: bool


def theta_places(blocks: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return (level, row, column) of every entry of theta, column by column within a block."""
    places = []
    for level, sizes in enumerate(blocks):
        first = 0
        for size in sizes:
            places += [
                (level, first + row, first + column) for column in range(size) for row in range(column, size)
            ]
            first += size
    return places


def lambdas(columns: CountColumns, theta: np.ndarray) -> list[np.ndarray]:
    """Return Lambda of every level, (k, k)."""
    factors = [np.zeros((k, k)) for k in columns.sizes]
    for value, (level, row, column) in zip(theta, theta_places(columns.blocks), strict=True):
        factors[level][row, column] = value
    return factors


def fixed_only(columns: CountColumns) -> np.ndarray:
    """Return the coefficients (p,) of the logistic regression without random effects."""
    share = float(columns.yes.sum() / columns.trials.sum())
    beta = np.linalg.lstsq(
        columns.fixed, np.full(len(columns.yes), np.log(share / (1.0 - share))), rcond=None
    )[0]
    for _ in range(25):
        mu = probability(columns.fixed @ beta)
        weighted = columns.fixed * (columns.trials * mu * (1.0 - mu))[:, None]
        slope = columns.fixed.T @ (columns.yes - columns.trials * mu)
        step = np.linalg.solve(weighted.T @ columns.fixed + 1e-9 * np.eye(len(beta)), slope)
        # A long step overshoots where the curve is flat.
        beta = beta + step / max(1.0, float(np.abs(columns.fixed @ step).max()) / 3.0)
        if float(slope @ step) < 1e-8:
            break
    return np.asarray(beta)


def optimise_counts(
    columns: CountColumns, criterion: Criterion, *, starts: Sequence[float] = STARTS
) -> CountOptimum:
    """Return the minimum of ``criterion`` (-2 log-likelihood) over theta and beta.

    Parameters
    ----------
    columns
        The data.
    criterion
        `laplace.laplace`, or `quadrature.quadrature` with its nodes given.
    starts
        Standard deviations on the logit scale from which the search begins.
    """
    search = _Search(columns, criterion)
    beta = fixed_only(columns)
    found = [search.settled(np.concatenate([np.where(search.diagonal, s, 0.0), beta])) for s in starts]
    if search.n_theta > _SIMPLE:
        found += [search.settled(moved) for moved in search.shaken(min(found, key=lambda each: each[1])[0])]
    x = search.tidied(min(found, key=lambda each: each[1])[0])
    x, hessian, free, decrease, definite = search.refined(x)
    theta, beta = np.split(x, [search.n_theta])
    inside = bool(np.all(np.abs(theta) < LARGEST))
    return CountOptimum(
        theta,
        beta,
        search.at(x),
        hessian,
        free,
        search.iterations,
        search.evaluations,
        tuple(value for _, value in found),
        decrease,
        definite and decrease < EXPECTED_DECREASE and inside,
    )


class _Search:
    """The criterion as a function of x = (theta, beta); the modes of one call start the next."""

    def __init__(self, columns: CountColumns, criterion: Criterion) -> None:
        self.columns, self.criterion = columns, criterion
        self.places = theta_places(columns.blocks)
        self.diagonal = np.array([row == column for _, row, column in self.places])
        self.n_theta = len(self.places)
        self.effects: Sequence[np.ndarray] | None = None
        self.iterations = 0
        self.evaluations = 0

    def at(self, x: np.ndarray) -> Approximation:
        self.evaluations += 1
        factors = lambdas(self.columns, x[: self.n_theta])
        found = self.criterion(self.columns, factors, x[self.n_theta :], self.effects)
        self.effects = found.modes.effects
        return found

    def value(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        found = self.at(x)
        slopes = [found.factor_gradients[level][row, column] for level, row, column in self.places]
        return found.criterion, np.concatenate([slopes, found.beta_gradient])

    def descend(self, start: np.ndarray) -> tuple[np.ndarray, float]:
        from scipy.optimize import minimize

        bounds = [(0.0 if each else -LARGEST, LARGEST) for each in self.diagonal]
        bounds += [(-np.inf, np.inf)] * (len(start) - self.n_theta)
        options = {"maxiter": 500, "maxfun": 2000, "ftol": 1e-12, "gtol": 1e-5, "maxcor": 20}
        search: Any = minimize  # the stubs know no function that returns its gradient too
        result = search(self.value, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        self.iterations += int(result.nit)
        return np.asarray(result.x), float(result.fun)

    def settled(self, start: np.ndarray) -> tuple[np.ndarray, float]:
        """Return where the search from ``start`` ends, having looked inside from each boundary."""
        x, value = self.descend(start)
        for _ in range(_ESCAPES):
            x = self.tidied(x)
            away = self.escape(x, value)
            if away is None:
                break
            moved, reached = self.descend(away)
            if reached >= value - ZERO_COST:
                break
            x, value = moved, reached
        return x, value

    def shaken(self, x: np.ndarray) -> list[np.ndarray]:
        """Return places around x, entries of Lambda moved by about half their size, the same every time."""
        rng = np.random.default_rng(0)
        theta = x[: self.n_theta]
        found = []
        for _ in range(_SHAKES):
            moved = theta + rng.normal(0.0, 0.1 + 0.5 * np.abs(theta))
            moved = np.where(self.diagonal, np.abs(moved), moved)
            found.append(np.concatenate([moved, x[self.n_theta :]]))
        return found

    def escape(self, x: np.ndarray, value: float) -> np.ndarray | None:
        """Return a place beside the boundary where the criterion is lower, if there is one.

        An effect without variance gets one, alone or correlated with the later effects of its bar: where it
        is correlated the criterion can fall although it rises with the variance alone.
        """
        for i in np.flatnonzero(self.diagonal & (x[: self.n_theta] == 0.0)):
            level, _, column = self.places[i]
            below = [
                j for j, (own, row, c) in enumerate(self.places) if (own, c) == (level, column) and row > c
            ]
            for inside in INSIDE:
                for sign in (0.0, 1.0, -1.0) if below else (0.0,):
                    moved = x.copy()
                    moved[i] = inside
                    for j in below if sign else ():
                        entries = [
                            k
                            for k, (own, row, _) in enumerate(self.places)
                            if (own, row) == (level, self.places[j][1])
                        ]
                        size = float(np.linalg.norm(x[entries]))
                        moved[entries] = 0.6 * x[entries]
                        moved[j] = 0.8 * sign * size
                    if self.value(moved)[0] < value - ESCAPE:
                        return moved
        return None

    def tidied(self, x: np.ndarray) -> np.ndarray:
        """Return x with small rows of Lambda at exactly zero where that costs nothing, and no idle column.

        With a zero on the diagonal of column c the entries below only rotate the later effects; these are
        taken into the later columns (Cholesky's factor of a semidefinite matrix).
        """
        factors = lambdas(self.columns, x[: self.n_theta])
        for level, sizes in enumerate(self.columns.blocks):
            first = 0
            for size in sizes:
                for row in range(first, first + size):
                    if 0.0 < np.linalg.norm(factors[level][row]) < SMALL:
                        kept = factors[level][row].copy()
                        factors[level][row] = 0.0
                        if self.value(self.packed(factors, x))[0] > self.value(x)[0] + ZERO_COST:
                            factors[level][row] = kept
                    elif 0.0 < factors[level][row, row] < SMALL:
                        kept = factors[level][row].copy()
                        factors[level][row, row] = 0.0
                        if self.value(self.packed(factors, x))[0] > self.value(x)[0] + ZERO_COST:
                            factors[level][row] = kept
                part = slice(first, first + size)
                if np.any(np.diagonal(factors[level])[part] == 0.0):
                    factors[level][part, part] = _semidefinite_root(factors[level][part, part])
                first += size
        return self.packed(factors, x)

    def packed(self, factors: Sequence[np.ndarray], x: np.ndarray) -> np.ndarray:
        theta = [factors[level][row, column] for level, row, column in self.places]
        return np.concatenate([theta, x[self.n_theta :]])

    def refined(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, bool]:
        """Return x after Newton steps, the Hessian over what is free, and whether this is a minimum."""
        for _ in range(_NEWTON_STEPS):
            free, hessian, step, decrease, definite = self.newton(x)
            if decrease < STEADY or not definite:
                break
            value = self.value(x)[0]
            for halving in range(8):
                trial = x + step * 0.5**halving
                trial[: self.n_theta] = np.where(
                    self.diagonal, np.maximum(trial[: self.n_theta], 0.0), trial[: self.n_theta]
                )
                if self.value(trial)[0] <= value + 1e-13 * abs(value):
                    break
            else:
                break
            x = trial
            self.iterations += 1
        return x, hessian, free, decrease, definite

    def newton(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, bool]:
        fixed = np.ones(len(x) - self.n_theta, dtype=bool)
        free = np.concatenate([self.held(x), fixed])
        places = np.flatnonzero(free)
        gradient = self.value(x)[1][free]
        hessian = np.empty((len(places), len(places)))
        for j, place in enumerate(places):
            h = _STEP * max(1.0, abs(x[place]))
            moved = x.copy()
            moved[place] = x[place] + h
            up = self.value(moved)[1][free]
            moved[place] = x[place] - h
            hessian[:, j] = (up - self.value(moved)[1][free]) / (2.0 * h)
        hessian = 0.5 * (hessian + hessian.T)
        values, vectors = np.linalg.eigh(hessian)
        definite = bool(values[0] > 1e-9 * values[-1])
        along = vectors.T @ gradient
        size = np.maximum(np.abs(values), 1e-9 * max(float(np.abs(values).max()), 1e-300))
        step = np.zeros_like(x)
        step[places] = -vectors @ (along / size)
        return free, hessian, step, 0.5 * float(along @ (along / size)), definite

    def held(self, x: np.ndarray) -> np.ndarray:
        """Return which entries of theta are free: columns with a zero on the diagonal stay at zero."""
        zero = {
            (level, column)
            for value, (level, row, column) in zip(x[: self.n_theta], self.places, strict=True)
            if row == column and value == 0.0
        }
        return np.array([(level, column) not in zero for level, _, column in self.places])


def _semidefinite_root(factor: np.ndarray) -> np.ndarray:
    """Return the lower triangle with the same product whose columns with a zero diagonal are zero."""
    rest = factor @ factor.T
    size = np.sqrt(np.diagonal(rest))
    root = np.zeros_like(factor)
    for c in range(len(factor)):
        pivot = rest[c, c]
        if pivot > 1e-12 * size[c] ** 2 and pivot > 0.0:
            root[c:, c] = rest[c:, c] / np.sqrt(pivot)
            rest = rest - np.outer(root[:, c], root[:, c])
    return root
