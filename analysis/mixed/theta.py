"""The parameters of the search: Lambda, the lower triangular factors of Psi, as one vector theta.

Each block of Psi is written as Lambda Lambda' (Bates et al. 2015, section 2.3); theta lists the lower
triangles of all blocks, column by column, innermost level first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance


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
