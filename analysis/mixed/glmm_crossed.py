"""The weighted normal equations of the random effects, for groups that cross.

H = I + sum w u u' is held as one dense matrix over all effects of all groups; its size is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.mixed.glmm_data import CountLevel
from nwbswitch.schemas.errors import FitError

# 72 MB for the matrix; a factorisation takes about a second.
MAX_EFFECTS: Final = 3000


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where each row's effects stand among all effects: ``places`` (rows, K); and each level's first."""

    order: np.ndarray
    groups: tuple[np.ndarray, ...]
    places: np.ndarray
    n_groups: tuple[int, ...]
    codes: tuple[np.ndarray, ...]


def crossing(levels: Sequence[CountLevel], sizes: tuple[int, ...]) -> Crossing:
    """Return the places of crossed effects.

    Raises
    ------
    FitError
        If there are more than `MAX_EFFECTS`.
    """
    n_groups = tuple(level.n_groups for level in levels)
    total = sum(count * k for count, k in zip(n_groups, sizes, strict=True))
    if total > MAX_EFFECTS:
        names = ", ".join(level.names[0] for level in levels)
        raise FitError(
            f"The groups {names} are crossed and have {total} random effects; a yes/no model with crossed "
            f"groups holds at most {MAX_EFFECTS}. If they are nested and only labels repeat, write "
            "(1 | animal/session)."
        )
    places, first = [], 0
    for level, k in zip(levels, sizes, strict=True):
        places.append(first + level.codes[:, None] * k + np.arange(k))
        first += level.n_groups * k
    groups = tuple(level.codes for level in levels)
    codes = tuple(np.arange(count) for count in n_groups)
    return Crossing(np.arange(len(groups[0])), groups, np.concatenate(places, axis=1), n_groups, codes)


@dataclass(frozen=True, slots=True)
class DenseFactor:
    """The inverse of H, (effects, effects), and its log determinant."""

    shape: Crossing
    sizes: tuple[int, ...]
    inverse: np.ndarray
    log_det: float

    def solve(self, right: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return H^-1 times ``right``, both one (groups, k) array for each level."""
        solved = self.inverse @ np.concatenate([each.ravel() for each in right])
        found, first = [], 0
        for each in right:
            found.append(solved[first : first + each.size].reshape(each.shape))
            first += each.size
        return found

    def row_covariances(self, columns: np.ndarray) -> np.ndarray:
        """Return the entries of H^-1 u on each row's own effects, (rows, K), for ``columns`` u."""
        places = self.shape.places
        blocks = self.inverse[places[:, :, None], places[:, None, :]]
        return np.asarray((blocks @ columns[:, :, None])[:, :, 0])


def dense_factor(
    shape: Crossing, sizes: tuple[int, ...], columns: np.ndarray, weights: np.ndarray
) -> DenseFactor:
    """Return H = I + sum of w u u' factorised, for ``columns`` u (rows, K) and ``weights`` w (rows,)."""
    from scipy.sparse import csr_array

    n_effects = sum(count * k for count, k in zip(shape.n_groups, sizes, strict=True))
    ends = np.arange(len(columns) + 1) * columns.shape[1]
    root = columns * np.sqrt(weights)[:, None]
    sparse = csr_array((root.ravel(), shape.places.ravel(), ends), shape=(len(columns), n_effects))
    matrix = (sparse.T @ sparse).toarray() + np.eye(n_effects)
    triangle = np.linalg.cholesky(matrix)
    log_det = 2.0 * float(np.log(np.diagonal(triangle)).sum())
    return DenseFactor(shape, sizes, np.linalg.inv(matrix), log_det)
