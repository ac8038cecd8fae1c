"""Coordinates in which the covariance of random effects is searched: all within simple bounds.

The covariance of the effects is linear in its entries (variances, and covariances of the levels of an inner
factor). A chart maps a few coordinates to these entries so that the covariance is positive semi-definite
everywhere within the bounds, its boundary included; profiles hold one variance or correlation at a value
by a chart with one coordinate less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, Protocol

import numpy as np

Struct = Literal["UN", "CS", "DIAG", "ID"]
Held = tuple[Literal["variance", "correlation"], tuple[int, ...], float]
"""What is held, of which inner levels, at which value."""


class Chart(Protocol):
    """A map from coordinates (f,) to entries (e,) of a covariance; bounds are (f, 2)."""

    @property
    def bounds(self) -> np.ndarray:
        """Lowest and highest value of each coordinate."""

    def entries(self, phi: np.ndarray) -> np.ndarray:
        """Return the entries (e,)."""

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """Return the derivatives (e, f) of the entries."""

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """Return the second derivatives (f, f) of the entries, summed with weights (e,)."""

    def start(self, total: float) -> np.ndarray:
        """Return coordinates of uncorrelated effects with the variance ``total``."""


@dataclass(frozen=True, slots=True)
class LinearChart:
    """Entries offset + matrix @ phi."""

    offset: np.ndarray
    matrix: np.ndarray
    bounds: np.ndarray
    unit: np.ndarray
    """Coordinates of uncorrelated effects with variance 1, or none where that is no coordinate."""
    fixed: bool = False

    def entries(self, phi: np.ndarray) -> np.ndarray:
        """Return the entries (e,)."""
        return np.asarray(self.offset + self.matrix @ phi)

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """Return the derivatives (e, f)."""
        return self.matrix

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """Return zeros: the entries are linear."""
        return np.zeros((self.matrix.shape[1],) * 2)

    def start(self, total: float) -> np.ndarray:
        """Return coordinates of uncorrelated effects with the variance ``total``."""
        return np.asarray(self.unit if self.fixed else total * self.unit)


@dataclass(frozen=True, slots=True)
class RootChart:
    """Entries of G = L L', with L the sum of phi_r times ``basis[r]`` (f, q, q) and ``constant`` (q, q).

    ``rows`` and ``columns`` say which entries of G are meant.
    """

    constant: np.ndarray
    basis: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    bounds: np.ndarray
    diagonal: np.ndarray

    def _root(self, phi: np.ndarray) -> np.ndarray:
        return np.asarray(self.constant + np.tensordot(phi, self.basis, axes=1))

    def entries(self, phi: np.ndarray) -> np.ndarray:
        """Return the entries (e,)."""
        root = self._root(phi)
        return np.asarray((root @ root.T)[self.rows, self.columns])

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """Return the derivatives (e, f)."""
        half = self.basis @ self._root(phi).T
        both = half + half.transpose(0, 2, 1)
        return np.asarray(both[:, self.rows, self.columns].T)

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """Return the second derivatives (f, f), summed with weights (e,)."""
        q = self.constant.shape[0]
        spread = np.zeros((q, q))
        np.add.at(spread, (self.rows, self.columns), weights)
        both = spread + spread.T
        return np.asarray(np.einsum("rik,ij,sjk->rs", self.basis, both, self.basis))

    def start(self, total: float) -> np.ndarray:
        """Return coordinates of uncorrelated effects with the variance ``total``."""
        return np.asarray(np.sqrt(total) * self.diagonal)


def covariance_entries(n_levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the entries of G: the diagonal, then the pairs a < b."""
    pairs = list(combinations(range(n_levels), 2))
    rows = np.array([*range(n_levels), *(a for a, _ in pairs)], dtype=np.int64)
    columns = np.array([*range(n_levels), *(b for _, b in pairs)], dtype=np.int64)
    return rows, columns


def variance_chart(held: float | None = None) -> LinearChart:
    """Return the chart of one variance, free or held."""
    if held is None:
        return LinearChart(np.zeros(1), np.ones((1, 1)), np.array([[0.0, np.inf]]), np.ones(1))
    return LinearChart(np.array([held]), np.ones((1, 0)), np.empty((0, 2)), np.empty(0))


def inner_chart(struct: Struct, n_levels: int, held: Held | None = None) -> Chart:
    """Return the chart of the covariance of inner levels; for its entries see `covariance_entries`.

    Parameters
    ----------
    struct
        ``UN``, any covariance; ``CS``, one variance and one correlation; ``DIAG``, a variance for each level;
        ``ID``, one variance.
    n_levels
        Number of inner levels, at least 2.
    held
        A variance or correlation that is held; its levels are ignored where all are the same.
    """
    rows, columns = covariance_entries(n_levels)
    on = (rows == columns).astype(float)
    positive = np.array([0.0, np.inf])
    match struct:
        case "UN":
            return _root_chart(n_levels, held, rows, columns)
        case "DIAG":
            free = list(range(n_levels))
            offset = np.zeros(len(rows))
            if held is not None:
                free.remove(held[1][0])
                offset[held[1][0]] = held[2]
            matrix = np.eye(len(rows))[:, free]
            return LinearChart(offset, matrix, np.tile(positive, (len(free), 1)), np.ones(len(free)))
        case "ID":
            if held is not None:
                return LinearChart(on * held[2], np.empty((len(on), 0)), np.empty((0, 2)), np.empty(0))
            return LinearChart(np.zeros(len(on)), on[:, None], positive[None], np.ones(1))
        case "CS":
            q = n_levels
            if held is None:
                # Eigenvalues of G: one for differences of levels, one for their mean.
                matrix = np.stack([on * (q - 1.0) / q - (1.0 - on) / q, np.full(len(on), 1.0 / q)], axis=1)
                return LinearChart(np.zeros(len(on)), matrix, np.tile(positive, (2, 1)), np.ones(2))
            kind, _, value = held
            if kind == "correlation":
                column = on + (1.0 - on) * value
                return LinearChart(np.zeros(len(on)), column[:, None], positive[None], np.ones(1))
            bounds = np.array([[-1.0 / (q - 1.0), 1.0]])
            column = (1.0 - on) * value
            return LinearChart(on * value, column[:, None], bounds, np.zeros(1), fixed=True)


def _root_chart(q: int, held: Held | None, rows: np.ndarray, columns: np.ndarray) -> RootChart:
    order = list(range(q))
    if held is not None:
        order = [*held[1], *(each for each in order if each not in held[1])]
    constant = np.zeros((q, q))
    basis, bounds, diagonal = [], [], []

    def coordinate(places: Sequence[tuple[int, int, float]], *, low: float, on_diagonal: bool) -> None:
        one = np.zeros((q, q))
        for i, j, size in places:
            one[order[i], j] = size
        basis.append(one)
        bounds.append((low, np.inf))
        diagonal.append(1.0 if on_diagonal else 0.0)

    taken = set()
    if held is not None and held[0] == "variance":
        constant[order[0], 0] = np.sqrt(held[2])
        taken.add((0, 0))
    if held is not None and held[0] == "correlation":
        rest = float(np.sqrt(max(0.0, 1.0 - held[2] ** 2)))
        coordinate([(1, 0, held[2]), (1, 1, rest)], low=0.0, on_diagonal=True)
        taken |= {(1, 0), (1, 1)}
    for i in range(q):
        for j in range(i + 1):
            if (i, j) not in taken:
                coordinate([(i, j, 1.0)], low=0.0 if i == j else -np.inf, on_diagonal=i == j)
    stacked = np.array(basis).reshape(-1, q, q)
    return RootChart(constant, stacked, rows, columns, np.array(bounds), np.array(diagonal))


@dataclass(frozen=True, slots=True)
class JointChart:
    """The charts of all parts side by side."""

    parts: tuple[Chart, ...]

    @property
    def bounds(self) -> np.ndarray:
        """Bounds of all coordinates, (f, 2)."""
        return np.concatenate([part.bounds for part in self.parts])

    def split(self, phi: np.ndarray) -> list[np.ndarray]:
        """Return the coordinates of each part."""
        return np.split(phi, np.cumsum([len(part.bounds) for part in self.parts])[:-1])

    def entries(self, phi: np.ndarray) -> np.ndarray:
        """Return the entries of all parts."""
        own = zip(self.parts, self.split(phi), strict=True)
        return np.concatenate([part.entries(each) for part, each in own])

    def jacobian(self, phi: np.ndarray) -> np.ndarray:
        """Return the derivatives of all entries."""
        own = zip(self.parts, self.split(phi), strict=True)
        return _diagonal_blocks([part.jacobian(each) for part, each in own])

    def curvature(self, phi: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the second derivatives of all entries, summed with weights."""
        sizes = [len(part.entries(each)) for part, each in zip(self.parts, self.split(phi), strict=True)]
        own = np.split(weights, np.cumsum(sizes)[:-1])
        return _diagonal_blocks([part.curvature(each) for part, each in zip(self.parts, own, strict=True)])

    def start(self, totals: Sequence[float]) -> np.ndarray:
        """Return coordinates with these variances of the parts."""
        return np.concatenate([part.start(each) for part, each in zip(self.parts, totals, strict=True)])


def _diagonal_blocks(parts: Sequence[np.ndarray]) -> np.ndarray:
    found = np.zeros((sum(each.shape[0] for each in parts), sum(each.shape[1] for each in parts)))
    row = column = 0
    for each in parts:
        found[row : row + each.shape[0], column : column + each.shape[1]] = each
        row, column = row + each.shape[0], column + each.shape[1]
    return found
