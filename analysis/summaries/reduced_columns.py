"""The columns W of a model in every unit: an orthonormal basis, found from cross-products alone.

With T_u = C'C of unit u the products of any two columns are sums of K_u' T_u K_u, so bases come from
Cholesky factors, taken twice: the second factor removes what rounding left of the first (Cholesky QR 2,
Yamamoto et al. 2015, Electronic Transactions on Numerical Analysis 44:306-326).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

# A column counts as a combination of earlier ones when less than this part of its length is its own, as in R.
TOLERANCE: Final = 1e-7


def totals(
    within: np.ndarray,
    cell_unit: np.ndarray,
    inverses: np.ndarray,
    products: np.ndarray | None,
    slopes: np.ndarray | None,
) -> np.ndarray:
    """Return C'C (u, m, m): what innermost effects leave over, and what they take.

    ``inverses`` (cells, k, k) are those of Z'Z of each cell.
    """
    found = within.copy()
    if products is not None:
        taken = np.einsum("ciajb,cab->cij", products, inverses, optimize=True)
        np.add.at(found, cell_unit, taken)
    elif slopes is not None and slopes.shape[2]:
        starts = np.flatnonzero(np.r_[True, cell_unit[1:] != cell_unit[:-1]])
        for first in range(0, len(starts), 4096):
            chunk = starts[first : first + 4096]
            end = starts[first + 4096] if first + 4096 < len(starts) else len(cell_unit)
            D = slopes[chunk[0] : end]
            taken = (D @ inverses[chunk[0] : end]) @ D.transpose(0, 2, 1)
            found[cell_unit[chunk]] += np.add.reduceat(taken, chunk - chunk[0], axis=0)
    return np.asarray(0.5 * (found + found.transpose(0, 2, 1)))


def gram(T: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the products of columns (u, m, p) and (u, m, q) over all rows."""
    shape = (T.shape[0] * T.shape[1], -1)
    return np.asarray(one.reshape(shape).T @ (T @ other).reshape(shape))


def triangle(S: np.ndarray, tolerance: float = TOLERANCE) -> tuple[np.ndarray, np.ndarray]:
    """Return the Cholesky factor R (p, p) of S = R'R, and which columns are combinations of earlier ones.

    The rows of R of such columns are zero.
    """
    p = len(S)
    length = np.sqrt(np.maximum(np.diagonal(S), 0.0))
    scale = np.where(length > 0.0, length, 1.0)
    rest = S / np.outer(scale, scale)
    R, aliased = np.zeros((p, p)), np.zeros(p, dtype=bool)
    for j in range(p):
        own = rest[j, j]
        if length[j] == 0.0 or own < tolerance**2:
            aliased[j] = True
            rest[j, :] = rest[:, j] = 0.0
            continue
        R[j, j:] = rest[j, j:] / np.sqrt(own)
        rest[j:, j:] -= np.outer(R[j, j:], R[j, j:])
    return R * scale, aliased


def orthonormal(T: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Q (u, m, r), R (r, p) with K = Q R over the rows, and which columns brought nothing new."""
    first, aliased = triangle(gram(T, K, K))
    kept = ~aliased
    Q = K[:, :, kept] @ np.linalg.inv(first[np.ix_(kept, kept)])
    second, _ = triangle(gram(T, Q, Q))
    return Q @ np.linalg.inv(second), second @ first[kept], aliased


def projected(T: np.ndarray, bases: Sequence[np.ndarray], K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is left of columns outside orthonormal bases, and the coefficients inside, stacked."""
    coefficients = [np.zeros((basis.shape[2], K.shape[2])) for basis in bases]
    for _ in range(2):
        for position, basis in enumerate(bases):
            step = gram(T, basis, K)
            coefficients[position] += step
            K = K - basis @ step
    return K, np.concatenate(coefficients) if bases else np.zeros((0, K.shape[2]))
