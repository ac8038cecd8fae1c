"""Log-likelihood of a logistic mixed model by adaptive Gauss-Hermite quadrature, with its exact gradient.

For one grouping factor with one effect per group the likelihood of a group is an integral over one standard
normal effect. The nodes are centred at the group's mode and scaled by its curvature H (Liu and Pierce 1994,
Biometrika 81:624-629; Pinheiro and Chao 2006, equation 10); one node is Laplace's approximation. The
gradient follows the nodes as mode and curvature move, so that it is that of the sum as computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nwbswitch.analysis.glmm.laplace import (
    Approximation,
    CountColumns,
    bernoulli_deviance,
    modes,
    probability,
)


def quadrature(
    columns: CountColumns,
    factors: Sequence[np.ndarray],
    beta: np.ndarray,
    start: Sequence[np.ndarray] | None = None,
    *,
    n_nodes: int,
) -> Approximation:
    """Return the approximation with ``n_nodes`` nodes; other arguments as `laplace.modes`.

    ``columns`` must hold one level with one effect.
    """
    nodes, node_weights = np.polynomial.hermite.hermgauss(n_nodes)
    at = modes(columns, factors, beta, start)
    group, n = columns.shape.groups[0], columns.n_groups[0]
    z, c = columns.random[0][:, 0], at.columns[:, 0]
    x, w, r, mode = columns.fixed, at.weights, at.residual, at.effects[0][:, 0]
    own = mode[group]
    curvature = 1.0 + np.bincount(group, w * c**2, minlength=n)
    width = curvature**-0.5
    # Rows x nodes: the predictor at each node of the row's group.
    values = mode[:, None] + np.sqrt(2.0) * width[:, None] * nodes
    eta = at.predictor[:, None] + c[:, None] * (values - mode[:, None])[group]
    each = bernoulli_deviance(columns.yes[:, None], columns.trials[:, None], eta)
    penalised = columns.group_sums(0, each) + values**2
    with np.errstate(divide="ignore"):  # far nodes of a large rule weigh nothing
        logs = np.log(node_weights) + nodes**2 - 0.5 * penalised
    top = logs.max(axis=1)
    shares = np.exp(logs - top[:, None])
    total = shares.sum(axis=1)
    shares /= total[:, None]
    criterion = -2.0 * float(np.sum(np.log(width) - 0.5 * np.log(np.pi) + top + np.log(total)))

    # How mode and width move with theta (first column) and beta (the others).
    moves = np.concatenate([z[:, None] * own[:, None], x], axis=1)
    pull = -columns.group_sums(0, (c * w)[:, None] * moves)
    pull[:, 0] += np.bincount(group, z * r, minlength=n)
    mode_moves = pull / curvature[:, None]
    bend = w * (1.0 - 2.0 * probability(at.predictor)) * c**2
    curvature_moves = columns.group_sums(0, bend[:, None] * (moves + c[:, None] * mode_moves[group]))
    curvature_moves[:, 0] += 2.0 * np.bincount(group, w * c * z, minlength=n)
    width_moves = -0.5 * (width**3)[:, None] * curvature_moves

    residual = columns.yes[:, None] - columns.trials[:, None] * probability(eta)
    slopes = -2.0 * columns.group_sums(0, residual * c[:, None]) + 2.0 * values
    weighted = residual * shares[group]
    direct = -2.0 * x.T @ weighted.sum(axis=1)
    direct_theta = -2.0 * float(z @ np.sum(weighted * values[group], axis=1))
    mean_slope = np.sum(shares * slopes, axis=1)
    mean_spread = np.sqrt(2.0) * np.sum(shares * slopes * nodes, axis=1)
    gradient = mode_moves.T @ mean_slope + width_moves.T @ (mean_spread - 2.0 / width)
    gradient[0] += direct_theta
    gradient[1:] += direct
    return Approximation(criterion, (gradient[:1, None],), gradient[1:], at)
