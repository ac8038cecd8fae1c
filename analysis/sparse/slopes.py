"""Cross-products Z_1'Z_r of one level's effects with all others, group by group, dense or sparse.

D has a row per group and own effect and a column per effect of the other levels. Rows of one group that
differ in the effect share their places, so a sparse D keeps them once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

# D is held in full if at least this part of it is filled, or if it has no more numbers than this.
FILLED: Final = 0.2
SMALL: Final = 200_000
# Pairs of places, or numbers, that are taken at a time.
PIECE: Final = 4_000_000


class Slopes(Protocol):
    """D as (groups, k, columns)."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, own effects, effects of other levels."""

    def mixed(self, H: np.ndarray) -> Slopes:
        """Return H D group by group, H being (groups, k, k)."""

    def crossed(self, other: Slopes, own: int, others: int) -> Any:
        """Return D_a'O_b, (columns, columns), for own effects a of D and b of ``other``."""

    def times(self, X: np.ndarray) -> np.ndarray:
        """Return D X, (groups, k, c), for X (columns, c)."""

    def back(self, X: np.ndarray) -> np.ndarray:
        """Return D'X, (columns, c), for X (groups, k, c)."""

    def quadratics(self, K: np.ndarray) -> np.ndarray:
        """Return D_g K D_g' of every group, (groups, k, k), K being symmetric."""


@dataclass(frozen=True, slots=True)
class FullSlopes:
    """D with every place held: ``values`` (groups, k, columns)."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, own effects, effects of other levels."""
        groups, k, columns = self.values.shape
        return groups, k, columns

    def mixed(self, H: np.ndarray) -> FullSlopes:
        """Return H D group by group."""
        if H.shape[1] == 1:
            return FullSlopes(H * self.values)
        return FullSlopes(H @ self.values)

    def crossed(self, other: Slopes, own: int, others: int) -> np.ndarray:
        """Return D_a'O_b."""
        assert isinstance(other, FullSlopes)
        return np.asarray(self.values[:, own].T @ other.values[:, others])

    def times(self, X: np.ndarray) -> np.ndarray:
        """Return D X."""
        return np.asarray(self.values @ X)

    def back(self, X: np.ndarray) -> np.ndarray:
        """Return D'X."""
        groups, k, columns = self.shape
        return np.asarray(self.values.reshape(groups * k, columns).T @ X.reshape(groups * k, X.shape[2]))

    def quadratics(self, K: np.ndarray) -> np.ndarray:
        """Return D_g K D_g' of every group."""
        groups, k, columns = self.shape
        found = np.empty((groups, k, k))
        step = max(1, PIECE // max(1, k * columns))
        for first in range(0, groups, step):
            part = self.values[first : first + step]
            found[first : first + step] = (part @ K) @ part.transpose(0, 2, 1)
        return found


@dataclass(frozen=True, slots=True)
class SparseSlopes:
    """D by its filled places, which all own effects share: ``values`` (k, places), rows compressed.

    ``groups`` (places,) is the group of each place.
    """

    values: np.ndarray
    indices: np.ndarray
    starts: np.ndarray
    groups: np.ndarray
    columns: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, own effects, effects of other levels."""
        return len(self.starts) - 1, len(self.values), self.columns

    def _sheet(self, effect: int) -> Any:
        from scipy.sparse import csr_array

        shape = (len(self.starts) - 1, self.columns)
        return csr_array((self.values[effect], self.indices, self.starts), shape=shape)

    def mixed(self, H: np.ndarray) -> SparseSlopes:
        """Return H D group by group."""
        k = len(self.values)
        values = np.empty_like(self.values)
        for a in range(k):
            values[a] = sum(H[self.groups, a, b] * self.values[b] for b in range(k))
        return SparseSlopes(values, self.indices, self.starts, self.groups, self.columns)

    def crossed(self, other: Slopes, own: int, others: int) -> Any:
        """Return D_a'O_b as a sparse array."""
        assert isinstance(other, SparseSlopes)
        return self._sheet(own).T @ other._sheet(others)

    def times(self, X: np.ndarray) -> np.ndarray:
        """Return D X."""
        return np.stack([self._sheet(a) @ X for a in range(len(self.values))], axis=1)

    def back(self, X: np.ndarray) -> np.ndarray:
        """Return D'X."""
        found = np.zeros((self.columns, X.shape[2]))
        for a in range(len(self.values)):
            found += self._sheet(a).T @ X[:, a]
        return found

    def quadratics(self, K: np.ndarray) -> np.ndarray:
        """Return D_g K D_g' of every group, from the places of K where two of a group's meet."""
        groups, k = len(self.starts) - 1, len(self.values)
        found = np.zeros((groups, k, k))
        sizes = np.diff(self.starts).astype(np.int64)
        pairs = np.cumsum(sizes**2)
        first = 0
        while first < groups:
            before = int(pairs[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(pairs, before + PIECE, side="right")))
            places = np.arange(self.starts[first], self.starts[last])
            partners = sizes[self.groups[places]]
            one = np.repeat(places, partners)
            begins = np.repeat(np.cumsum(partners) - partners, partners)
            other = self.starts[self.groups[one]] + np.arange(len(one)) - begins
            at = self.groups[one] - first
            entries = K[self.indices[one], self.indices[other]]
            for a in range(k):
                weighted = self.values[a, one] * entries
                for b in range(a + 1):
                    sums = np.bincount(at, weighted * self.values[b, other], last - first)
                    found[first:last, a, b] = found[first:last, b, a] = sums
            first = last
        return found


def slopes_of(codes: np.ndarray, values: np.ndarray, n_groups: int, others: Any) -> Slopes:
    """Return D = Z_1'Z_r.

    Parameters
    ----------
    codes
        (rows,) group of each row at the level itself.
    values
        (rows, k) its effects' columns.
    n_groups
        Number of its groups.
    others
        Sparse (rows, columns) array Z_r of all other levels.
    """
    from scipy.sparse import csr_array

    n_rows, k = values.shape
    every_row = np.arange(n_rows + 1)
    sheets = []
    for a in range(k):
        own = csr_array((values[:, a], codes, every_row), shape=(n_rows, n_groups))
        sheet = csr_array(own.T @ others)
        sheet.sort_indices()
        sheets.append(sheet)
    first, columns = sheets[0], others.shape[1]
    size = n_groups * k * columns
    if size <= SMALL or len(first.indices) * k >= FILLED * size:
        return FullSlopes(np.stack([sheet.toarray() for sheet in sheets], axis=1))
    groups = np.repeat(np.arange(n_groups), np.diff(first.indptr))
    return SparseSlopes(
        np.stack([sheet.data for sheet in sheets]), first.indices, first.indptr, groups, columns
    )
