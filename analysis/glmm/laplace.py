"""Laplace approximation of the log-likelihood of a logistic mixed model, with its exact gradient.

With u standard normal and eta = X beta + Z Lambda u, the modes u minimise D(beta, theta, u) =
deviance(eta) + u'u, found by Newton steps (penalised iteratively reweighted least squares), and
-2 log L is about D + log|H|, H = I + Lambda' Z' W Z Lambda (Pinheiro and Chao 2006, J Comput Graph Stat
15:58-81, equation 9; Bates et al. 2015 for Lambda). The gradient follows H and the modes as beta and
theta move: with r = y - mu, v the variances of eta given the data (rows of Z Lambda H^-1 Lambda' Z'), W' the
derivative of the weights, g = v W', and t = H^-1 Lambda' Z' g,

    d/d beta        X'(g - 2 r - W Z Lambda t)
    d/d Lambda[j,c] sum over rows z_j {u_c (g - 2 r - W Z Lambda t) + 2 W (H^-1 Lambda' z)_c + r t_c}.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from nwbswitch.analysis.glmm.crossed import Crossing, crossed_factor, crossing
from nwbswitch.analysis.glmm.data import BinomialFrame
from nwbswitch.analysis.glmm.tree import Nesting, nesting, tree_factor

# The modes are found when a Newton step would lower the penalised deviance by less than this. log|H| moves
# with the first power of their error, which is about the root of the decrease.
MODE_DECREASE: Final = 1e-22
# Below this, rounding may keep the decrease from falling further.
_ROUNDING: Final = 1e-14
_STEPS: Final = 100
_HALVINGS: Final = 30


class Factor(Protocol):
    """H factorised."""

    @property
    def log_det(self) -> float:
        """Logarithm of the determinant."""

    def solve(self, right: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return H^-1 times ``right``, one (groups, k) array for each level."""

    def row_covariances(self, columns: np.ndarray) -> np.ndarray:
        """Return the entries of H^-1 u on each row's own effects, (rows, K)."""


@dataclass(frozen=True, slots=True)
class CountColumns:
    """Counts and columns in the engine's units and order of rows.

    ``fixed`` (rows, p) are the orthogonal columns X R^-1 with mean square 1, so that the coefficients of X
    are R^-1 times theirs; ``random[l]`` (rows, k) the columns of each level divided by ``scales[l]`` (k,),
    their root mean squares; ``shape`` where the groups are; ``blocks[l]`` the number of effects of each bar.
    """

    yes: np.ndarray
    trials: np.ndarray
    fixed: np.ndarray
    triangle: np.ndarray
    random: tuple[np.ndarray, ...]
    scales: tuple[np.ndarray, ...]
    blocks: tuple[tuple[int, ...], ...]
    shape: Nesting | Crossing

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of effects of each level."""
        return tuple(each.shape[1] for each in self.random)

    @property
    def n_groups(self) -> tuple[int, ...]:
        """Number of groups of each level."""
        return tuple(len(each) for each in self.shape.codes)

    def factor(self, columns: np.ndarray, weights: np.ndarray) -> Factor:
        """Return H factorised for the rows' ``columns`` (rows, K) and ``weights`` (rows,)."""
        if isinstance(self.shape, Nesting):
            return tree_factor(self.shape, self.sizes, columns, weights)
        return crossed_factor(self.shape, self.sizes, columns, weights)

    def group_sums(self, level: int, values: np.ndarray) -> np.ndarray:
        """Return the sums (groups, k) of ``values`` (rows, k) over each group of a level."""
        codes, n = self.shape.groups[level], self.n_groups[level]
        return np.stack([np.bincount(codes, column, minlength=n) for column in values.T], axis=1)


def count_columns(frame: BinomialFrame) -> CountColumns:
    """Return the columns of ``frame`` in the engine's units."""
    sizes = tuple(sum(block.matrix.shape[1] for block in level.blocks) for level in frame.levels)
    shape = nesting(frame.levels) or crossing(frame.levels, sizes)
    order = shape.order
    n = len(order)
    orthogonal, triangle = np.linalg.qr(frame.fixed.matrix[order])
    random, scales = [], []
    for level in frame.levels:
        columns = np.concatenate([block.matrix for block in level.blocks], axis=1)[order]
        scale = np.sqrt(np.mean(columns**2, axis=0))
        random.append(columns / scale)
        scales.append(scale)
    return CountColumns(
        frame.yes[order],
        frame.trials[order],
        orthogonal * np.sqrt(n),
        triangle / np.sqrt(n),
        tuple(random),
        tuple(scales),
        tuple(tuple(block.matrix.shape[1] for block in level.blocks) for level in frame.levels),
        shape,
    )


@dataclass(frozen=True, slots=True)
class Modes:
    """The most likely random effects at one beta and theta, and the model there.

    ``columns`` (rows, K) are the rows' columns z' Lambda; ``paths`` (rows, K) the effects each row has;
    ``residual`` y - mu and ``weights`` (rows,); ``deviance`` is -2 log-likelihood without constants.
    """

    effects: tuple[np.ndarray, ...]
    columns: np.ndarray
    paths: np.ndarray
    predictor: np.ndarray
    residual: np.ndarray
    weights: np.ndarray
    deviance: float
    penalty: float
    factor: Factor


def bernoulli_deviance(yes: np.ndarray, trials: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Return -2 times the log-likelihood of counts without binomial coefficients, elementwise."""
    return np.asarray(2.0 * (trials * np.logaddexp(0.0, eta) - yes * eta))


def probability(eta: np.ndarray) -> np.ndarray:
    """Return the inverse logit."""
    from scipy.special import expit

    return np.asarray(expit(eta))


def modes(
    columns: CountColumns,
    factors: Sequence[np.ndarray],
    beta: np.ndarray,
    start: Sequence[np.ndarray] | None = None,
) -> Modes:
    """Return the modes of the random effects.

    Parameters
    ----------
    columns
        The data.
    factors
        Lambda of each level, (k, k).
    beta
        Coefficients of ``columns.fixed``, (p,).
    start
        Effects to begin with.
    """
    sizes = columns.sizes
    scaled = np.concatenate([z @ each for z, each in zip(columns.random, factors, strict=True)], axis=1)
    effects = [np.zeros((n, k)) for n, k in zip(columns.n_groups, sizes, strict=True)]
    if start is not None:
        effects = [np.array(each) for each in start]
    base = columns.fixed @ beta
    paths, eta, deviance, penalty = _state(columns, scaled, base, effects)
    before = np.inf
    for _ in range(_STEPS):
        mu = probability(eta)
        weights = columns.trials * mu * (1.0 - mu)
        residual = columns.yes - columns.trials * mu
        factor = columns.factor(scaled, weights)
        pull = _pull(columns, scaled, residual)
        slope = [own - each for own, each in zip(pull, effects, strict=True)]
        step = factor.solve(slope)
        decrease = sum(float(np.vdot(a, b)) for a, b in zip(slope, step, strict=True))
        if decrease < MODE_DECREASE or (decrease < _ROUNDING and decrease > 0.1 * before):
            break
        before = decrease
        for halving in range(_HALVINGS):
            trial = [each + 0.5**halving * move for each, move in zip(effects, step, strict=True)]
            found = _state(columns, scaled, base, trial)
            if decrease < _ROUNDING or found[2] + found[3] <= (deviance + penalty) * (1.0 + 1e-14):
                break
        effects = trial
        paths, eta, deviance, penalty = found
    return Modes(tuple(effects), scaled, paths, eta, residual, weights, deviance, penalty, factor)


def _pull(columns: CountColumns, scaled: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """Return Lambda' Z' times ``values`` (rows,), for each level."""
    products = scaled * values[:, None]
    found, first = [], 0
    for level, k in enumerate(columns.sizes):
        found.append(columns.group_sums(level, products[:, first : first + k]))
        first += k
    return found


def _paths(columns: CountColumns, effects: Sequence[np.ndarray]) -> np.ndarray:
    gathered = [each[codes] for each, codes in zip(effects, columns.shape.groups, strict=True)]
    return np.concatenate(gathered, axis=1)


def _state(
    columns: CountColumns, scaled: np.ndarray, base: np.ndarray, effects: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, float, float]:
    paths = _paths(columns, effects)
    eta = base + np.einsum("ij,ij->i", scaled, paths)
    deviance = float(bernoulli_deviance(columns.yes, columns.trials, eta).sum())
    return paths, eta, deviance, sum(float(np.vdot(each, each)) for each in effects)


@dataclass(frozen=True, slots=True)
class Approximation:
    """-2 log-likelihood without constants, its gradients in each Lambda and in beta, and the modes."""

    criterion: float
    factor_gradients: tuple[np.ndarray, ...]
    beta_gradient: np.ndarray
    modes: Modes


def laplace(
    columns: CountColumns,
    factors: Sequence[np.ndarray],
    beta: np.ndarray,
    start: Sequence[np.ndarray] | None = None,
) -> Approximation:
    """Return Laplace's approximation and its gradient; arguments as `modes`."""
    at = modes(columns, factors, beta, start)
    mu = probability(at.predictor)
    covariances = at.factor.row_covariances(at.columns)
    variances = np.einsum("ij,ij->i", covariances, at.columns)
    pressure = variances * at.weights * (1.0 - 2.0 * mu)
    tilt = _paths(columns, at.factor.solve(_pull(columns, at.columns, pressure)))
    along = pressure - 2.0 * at.residual - at.weights * np.einsum("ij,ij->i", at.columns, tilt)
    entries = (
        at.paths * along[:, None] + 2.0 * at.weights[:, None] * covariances + at.residual[:, None] * tilt
    )
    gradients, first = [], 0
    for z in columns.random:
        k = z.shape[1]
        gradients.append(z.T @ entries[:, first : first + k])
        first += k
    criterion = at.deviance + at.penalty + at.factor.log_det
    return Approximation(criterion, tuple(gradients), columns.fixed.T @ along, at)


def conditional_covariance(columns: CountColumns, at: Modes) -> np.ndarray:
    """Return the (p, p) covariance of beta as if Lambda were known: the inverse of its Schur complement."""
    weighted = columns.fixed * at.weights[:, None]
    information = weighted.T @ columns.fixed
    for j, column in enumerate(weighted.T):
        solved = _paths(columns, at.factor.solve(_pull(columns, at.columns, column)))
        information[:, j] -= weighted.T @ np.einsum("ij,ij->i", at.columns, solved)
    return np.linalg.inv(0.5 * (information + information.T))
