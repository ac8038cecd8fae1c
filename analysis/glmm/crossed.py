"""The weighted normal equations of the random effects, for groups that cross.

H = I + sum w u u' has one block for each group of the level with most groups, since these never meet in a
row. They are eliminated (Bates et al. 2015, section 5.4, order factors likewise); what remains, the Schur
complement over the effects of all other levels, is held as one dense matrix of bounded size. With M the
eliminated blocks, C their products with the rest, T = M^-1 C and S the complement, the blocks of H^-1 are
M^-1 + T S^-1 T', -T S^-1 and S^-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nwbswitch.analysis.glmm.data import CountLevel
from nwbswitch.schemas.errors import FitError

# Effects of all levels but the largest; the dense matrix has at most 72 MB and takes about a second.
MAX_EFFECTS: Final = 3000
# Numbers in T S^-1: 400 MB.
MAX_NUMBERS: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where each row's effects stand: ``places`` (rows, K - k) among those of all levels but the first."""

    order: np.ndarray
    groups: tuple[np.ndarray, ...]
    places: np.ndarray
    n_groups: tuple[int, ...]
    codes: tuple[np.ndarray, ...]
    n_rest: int


def crossing(levels: Sequence[CountLevel], sizes: tuple[int, ...]) -> Crossing:
    """Return the places of crossed effects; ``levels`` have the most groups first.

    Raises
    ------
    FitError
        If there are too many.
    """
    places, first = [], 0
    for level, k in zip(levels[1:], sizes[1:], strict=True):
        places.append(first + level.codes[:, None] * k + np.arange(k))
        first += level.n_groups * k
    if first > MAX_EFFECTS or first * levels[0].n_groups * sizes[0] > MAX_NUMBERS:
        names = ", ".join(f"{level.names[0]} ({level.n_groups})" for level in levels)
        raise FitError(
            f"The groups {names} are crossed and have too many random effects. A yes/no model with crossed "
            f"groups holds at most {MAX_EFFECTS} effects beside those of the factor with most groups, and "
            f"{MAX_NUMBERS:,} products of both. If groups are nested and only labels repeat, write "
            "(1 | animal/session)."
        )
    groups = tuple(level.codes for level in levels)
    n_groups = tuple(level.n_groups for level in levels)
    codes = tuple(np.arange(count) for count in n_groups)
    rest = np.concatenate(places, axis=1) if places else np.empty((len(groups[0]), 0), dtype=np.int64)
    return Crossing(np.arange(len(groups[0])), groups, rest, n_groups, codes, first)


@dataclass(frozen=True, slots=True)
class CrossedFactor:
    """H factorised: M^-1 (groups, k, k), T sparse (groups k, rest), S^-1 (rest, rest), log determinant."""

    shape: Crossing
    sizes: tuple[int, ...]
    inner: np.ndarray
    slopes: Any
    rest: np.ndarray
    log_det: float

    def solve(self, right: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return H^-1 times ``right``, both one (groups, k) array for each level."""
        others = np.concatenate([np.empty(0), *(each.ravel() for each in right[1:])])
        solved = self.rest @ (others - self.slopes.T @ right[0].ravel())
        own = (self.inner @ right[0][:, :, None])[:, :, 0] - (self.slopes @ solved).reshape(right[0].shape)
        found, first = [own], 0
        for each in right[1:]:
            found.append(solved[first : first + each.size].reshape(each.shape))
            first += each.size
        return found

    def row_covariances(self, columns: np.ndarray) -> np.ndarray:
        """Return the entries of H^-1 u on each row's own effects, (rows, K), for ``columns`` u."""
        group, places, k = self.shape.groups[0], self.shape.places, self.sizes[0]
        cross = np.asarray(self.slopes @ self.rest).reshape(self.shape.n_groups[0], k, -1)
        own = self.inner.copy()
        for a in range(k):
            rows = self.slopes[a::k]
            for b in range(k):
                own[:, a, b] += np.asarray(rows.multiply(cross[:, b]).sum(axis=1)).ravel()
        meeting = -cross[group[:, None], :, places].transpose(0, 2, 1)
        among = self.rest[places[:, :, None], places[:, None, :]]
        u, v = columns[:, :k, None], columns[:, k:, None]
        inner = own[group] @ u + meeting @ v
        outer = meeting.transpose(0, 2, 1) @ u + among @ v
        return np.asarray(np.concatenate([inner, outer], axis=1)[:, :, 0])


def crossed_factor(
    shape: Crossing, sizes: tuple[int, ...], columns: np.ndarray, weights: np.ndarray
) -> CrossedFactor:
    """Return H = I + sum of w u u' factorised, for ``columns`` u (rows, K) and ``weights`` w (rows,)."""
    from scipy.sparse import bsr_array, csr_array

    k, n_inner = sizes[0], shape.n_groups[0]
    root = columns * np.sqrt(weights)[:, None]
    own_places = shape.groups[0][:, None] * k + np.arange(k)
    own = _sparse(root[:, :k], own_places, n_inner * k)
    others = _sparse(root[:, k:], shape.places, shape.n_rest)
    blocks = np.zeros((n_inner, k, k))
    products = root[:, :k, None] * root[:, None, :k]
    np.add.at(blocks, shape.groups[0], products)
    blocks += np.eye(k)
    inner = np.linalg.inv(blocks)
    log_det = float(np.linalg.slogdet(blocks)[1].sum())
    spread = bsr_array((inner, np.arange(n_inner), np.arange(n_inner + 1)), shape=(n_inner * k, n_inner * k))
    meeting = csr_array(own.T @ others)
    slopes = csr_array(spread @ meeting)
    complement = np.eye(shape.n_rest) + (others.T @ others - meeting.T @ slopes).toarray()
    if shape.n_rest:
        log_det += 2.0 * float(np.log(np.diagonal(np.linalg.cholesky(complement))).sum())
    return CrossedFactor(shape, sizes, inner, slopes, np.linalg.inv(complement), log_det)


def _sparse(values: np.ndarray, places: np.ndarray, n_columns: int) -> Any:
    from scipy.sparse import csr_array

    ends = np.arange(len(values) + 1) * values.shape[1]
    return csr_array((values.ravel(), places.ravel(), ends), shape=(len(values), n_columns))
