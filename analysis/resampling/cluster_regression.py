"""A linear model over clusters for numbers of their own, refitted to every arrangement of the clusters.

Each number (an animal's mean, its change) has its own design over clusters; contrasts may join several
numbers. Residuals of the null model are dealt anew and added to its fitted values (Freedman and Lane 1983),
which is dealing the numbers themselves where the fitted values are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.resampling.cluster_summaries import ClusterDesign

_PIECE: Final = 4096


def same_rows(matrix: np.ndarray) -> np.ndarray:
    """Return (rows,) a number per row, the same for rows that are equal up to rounding."""
    size = np.abs(matrix).max(axis=0)
    rounded = np.round(matrix / np.where(size > 0.0, size, 1.0), 9) + 0.0
    return np.asarray(np.unique(rounded, axis=0, return_inverse=True)[1]).ravel()


@dataclass(frozen=True, slots=True)
class ClusterRegression:
    """A linear model over clusters for each number of theirs.

    ``designs`` and ``nulls`` hold (clusters, k) designs with and without the tested contrasts, ``inverses``
    pseudo-inverses of the former, ``contrasts`` (r, k) the tested ones; ``fitted`` and ``residuals``
    (clusters, numbers) are those of the null designs.
    """

    designs: tuple[np.ndarray, ...]
    nulls: tuple[np.ndarray, ...]
    inverses: tuple[np.ndarray, ...]
    contrasts: tuple[np.ndarray, ...]
    fitted: np.ndarray
    residuals: np.ndarray
    null: float

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        rows: np.ndarray,
        design: ClusterDesign,
        used: np.ndarray,
        kept: np.ndarray,
        null: float,
    ) -> ClusterRegression:
        """Return the linear models of ``values`` (clusters, numbers), one per base column in ``used``."""
        designs, nulls, contrasts = [], [], []
        shift = np.zeros_like(values)
        joint = np.concatenate([rows[:, design.base == base] for base in used], axis=1)
        away = np.linalg.pinv(joint)[:, :1] * null
        first = 0
        for position, base in enumerate(used):
            own = design.base == base
            M, L = design.multiples[kept][:, own], rows[:, own]
            shift[:, position] = M @ away[first : first + M.shape[1], 0]
            first += M.shape[1]
            _, sizes, directions = np.linalg.svd(L)
            rank = int(np.sum(sizes > 1e-10 * max(1.0, sizes.max(initial=0.0))))
            designs.append(M)
            nulls.append(M @ directions[rank:].T)
            contrasts.append(L)
        moved = values - shift
        fitted = np.stack(
            [N @ (np.linalg.pinv(N) @ column) for N, column in zip(nulls, moved.T, strict=True)], axis=1
        )
        inverses = tuple(np.linalg.pinv(M) for M in designs)
        return cls(tuple(designs), tuple(nulls), inverses, tuple(contrasts), fitted, moved - fitted, null)

    def estimates(self) -> np.ndarray:
        """Return the (r,) contrasts of the given arrangement."""
        values = self.fitted + self.residuals
        found = [L @ (P @ v) for L, P, v in zip(self.contrasts, self.inverses, values.T, strict=True)]
        return np.asarray(np.sum(found, axis=0) + self.null)

    def statistics(self, deals: np.ndarray) -> np.ndarray:
        """Return the squared t, or F, of every arrangement (ways, clusters)."""
        return np.concatenate(
            [self._piece(deals[first : first + _PIECE]) for first in range(0, len(deals), _PIECE)]
        )

    def _piece(self, deals: np.ndarray) -> np.ndarray:
        values = self.fitted + self.residuals[deals]
        n, r = values.shape[1], len(self.contrasts[0])
        effects = np.zeros((len(values), r))
        rest, spreads = [], []
        for position, (M, P, L) in enumerate(zip(self.designs, self.inverses, self.contrasts, strict=True)):
            coefficients = values[:, :, position] @ P.T
            effects += coefficients @ L.T
            rest.append(values[:, :, position] - coefficients @ M.T)
            spreads.append(L @ P)
        covariance = np.zeros((len(values), r, r))
        for i, one in enumerate(rest):
            for j, other in enumerate(rest):
                df = n - max(self.designs[i].shape[1], self.designs[j].shape[1])
                own = np.einsum("ng,ng->n", one, other) / df
                covariance += own[:, None, None] * (spreads[i] @ spreads[j].T)
        if r == 1:
            with np.errstate(divide="ignore"):
                return np.asarray(effects[:, 0] ** 2 / np.maximum(covariance[:, 0, 0], 0.0))
        solved = np.linalg.solve(covariance, effects[:, :, None])[:, :, 0]
        return np.asarray(np.einsum("ni,ni->n", effects, solved) / r)
