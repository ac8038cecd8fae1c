"""The weighted normal equations of the random effects, for groups that are nested.

With U the rows' columns z' Lambda and W their weights, H = I + sum w u u' has one block for each group, and
couples a group only with the groups it lies in. The blocks are eliminated from the innermost groups
outwards, each time as the Schur complement H_pp - H_pg H_gg^-1 H_gp that is summed over the groups g of a
parent p (block Cholesky; Bates et al. 2015, section 5.4, use the same order). Cost and memory grow with
the rows.

Effects of all groups on the path of a row, innermost first, stand in K columns: K is the number of effects
of all levels together. Rows are sorted so that every group is one stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nwbswitch.analysis.glmm.data import CountLevel


@dataclass(frozen=True, slots=True)
class Nesting:
    """How sorted rows fall into nested groups, innermost level first.

    ``order`` (rows,) sorts the table's rows; ``groups[l]`` (rows,) is the group of each sorted row;
    ``starts[l]`` where each group's children (rows, for the innermost level) begin; ``parents[l]`` the group
    above each group, counted as ``groups[l + 1]``; ``codes[l]`` the level's own code of each group.
    """

    order: np.ndarray
    groups: tuple[np.ndarray, ...]
    starts: tuple[np.ndarray, ...]
    parents: tuple[np.ndarray, ...]
    codes: tuple[np.ndarray, ...]


def nesting(levels: Sequence[CountLevel]) -> Nesting | None:
    """Return how the groups nest, or None if some level's groups lie in several groups of the next."""
    for lower, upper in pairwise(levels):
        parent = np.zeros(lower.n_groups, dtype=np.int64)
        parent[lower.codes] = upper.codes
        if np.any(parent[lower.codes] != upper.codes):
            return None
    order = np.lexsort([level.codes for level in levels])
    groups, starts, parents, codes = [], [], [], []
    below = np.arange(len(order))
    for level in levels:
        sorted_codes = level.codes[order]
        change = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
        codes.append(sorted_codes[change])
        own = np.repeat(np.arange(len(change)), np.diff(change, append=len(order)))
        groups.append(own)
        starts.append(np.searchsorted(below, change) if level is not levels[0] else change)
        if level is not levels[0]:
            parents.append(own[below])
        below = change
    return Nesting(order, tuple(groups), tuple(starts), tuple(parents), tuple(codes))


@dataclass(frozen=True, slots=True)
class TreeFactor:
    """H factorised: the inverse of each eliminated block, (groups, k, k), and its regression on the above."""

    shape: Nesting
    sizes: tuple[int, ...]
    inverses: tuple[np.ndarray, ...]
    slopes: tuple[np.ndarray, ...]
    log_det: float

    def solve(self, right: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return H^-1 times ``right``, both one (groups, k) array for each level."""
        n_levels = len(self.sizes)
        pending = [np.array(each) for each in right]
        # What an eliminated group takes from all groups above it: its slopes, transposed, times its side.
        carried = np.zeros((len(right[0]), sum(self.sizes[1:])))
        for level in range(n_levels):
            k = self.sizes[level]
            if level:
                pending[level] = pending[level] + carried[:, :k]
                carried = carried[:, k:]
            if level + 1 < n_levels:
                carried = carried - _times_transposed(self.slopes[level], pending[level])
                carried = np.add.reduceat(carried, self.shape.starts[level + 1], axis=0)
        above = np.empty((len(right[-1]), 0))
        solved: list[np.ndarray] = []
        for level in reversed(range(n_levels)):
            own = _times(self.inverses[level], pending[level])
            if above.shape[1]:
                above = above[self.shape.parents[level]]
                own = own - _times(self.slopes[level], above)
            above = np.concatenate([own, above], axis=1)
            solved.insert(0, own)
        return solved

    def path_covariance(self) -> np.ndarray:
        """Return the blocks of H^-1 on each innermost group's path, (groups, K, K)."""
        found = self.inverses[-1]
        for level in reversed(range(len(self.sizes) - 1)):
            above = found[self.shape.parents[level]]
            cross = -self.slopes[level] @ above
            own = self.inverses[level] - cross @ self.slopes[level].transpose(0, 2, 1)
            k = self.sizes[level]
            total = k + above.shape[1]
            found = np.empty((len(own), total, total))
            found[:, :k, :k] = own
            found[:, :k, k:] = cross
            found[:, k:, :k] = cross.transpose(0, 2, 1)
            found[:, k:, k:] = above
        return found

    def row_covariances(self, columns: np.ndarray) -> np.ndarray:
        """Return the entries of H^-1 u on each row's own path, (rows, K), for ``columns`` u."""
        blocks = self.path_covariance()[self.shape.groups[0]]
        return np.asarray((blocks @ columns[:, :, None])[:, :, 0])


def tree_factor(
    shape: Nesting, sizes: tuple[int, ...], columns: np.ndarray, weights: np.ndarray
) -> TreeFactor:
    """Return H = I + sum of w u u' factorised, for ``columns`` u (rows, K) and ``weights`` w (rows,)."""
    weighted = columns * weights[:, None]
    products = np.add.reduceat(weighted[:, :, None] * columns[:, None, :], shape.starts[0], axis=0)
    inverses, slopes = [], []
    log_det = 0.0
    for level, k in enumerate(sizes):
        if level:
            products = np.add.reduceat(products, shape.starts[level], axis=0)
        inverse, log_size = _inverse(products[:, :k, :k] + np.eye(k))
        log_det += log_size
        slope = inverse @ products[:, :k, k:]
        products = products[:, k:, k:] - products[:, k:, :k] @ slope
        inverses.append(inverse)
        slopes.append(slope)
    return TreeFactor(shape, sizes, tuple(inverses), tuple(slopes), log_det)


def _inverse(blocks: np.ndarray) -> tuple[np.ndarray, float]:
    if blocks.shape[1] == 1:
        return 1.0 / blocks, float(np.log(blocks).sum())
    root = np.linalg.cholesky(blocks)
    log_det = 2.0 * float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum())
    return np.linalg.inv(blocks), log_det


def _times(blocks: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.asarray((blocks @ vectors[:, :, None])[:, :, 0])


def _times_transposed(blocks: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.asarray((vectors[:, None, :] @ blocks)[:, 0, :])
