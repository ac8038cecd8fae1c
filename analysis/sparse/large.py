"""Factor of more crossed effects than a full matrix can hold, where few of them meet in a group.

I + S Psi is factored as a sparse matrix (SuperLU) in an order fixed beforehand: reverse Cuthill-McKee, with
effects that meet very many others last. In that order no place outside the envelope of S is ever filled,
so the size is known, and refused, before anything is allocated (George and Liu 1981, chapter 4).
Derivatives of log|V| are complex steps (Squire and Trapp 1998, SIAM Review 40:110-112): exact to rounding,
one factorisation each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np

from nwbswitch.analysis.sparse.design import Place
from nwbswitch.analysis.sparse.elimination import Eliminated
from nwbswitch.analysis.sparse.slopes import Slopes
from nwbswitch.analysis.trees.curvature import directions

# A complex step: far below rounding beside any number it is added to.
STEP: Final = 1e-30


class LargeFactor:
    """I + S Psi factored as a sparse matrix."""

    def __init__(self, eliminated: Eliminated, psi: Sequence[np.ndarray]) -> None:
        self.eliminated, self.psi = eliminated, psi
        self.products = eliminated.products
        assert self.products.order is not None
        self.order = self.products.order
        self.whole = _block_diagonal(self.products.places, [psi[each.level] for each in self.products.places])
        self.change = eliminated.S @ self.whole

    @cached_property
    def factor(self) -> Any:
        """The LU factor of I + S Psi in the order fixed."""
        return self._factored(self.change)

    @property
    def log_det(self) -> float:
        """log|I + S Psi|."""
        return float(np.log(np.abs(self.factor.U.diagonal())).sum())

    def _factored(self, change: Any) -> Any:
        from scipy.sparse import csc_array, eye_array
        from scipy.sparse.linalg import splu

        M = csc_array(eye_array(change.shape[0]) + change)[self.order][:, self.order]
        options = {"SymmetricMode": True}
        return splu(csc_array(M), permc_spec="NATURAL", diag_pivot_thresh=0.0, options=options)

    def times(self, X: np.ndarray) -> np.ndarray:
        """Return K X with K = Psi (I + S Psi)^-1."""
        solved = np.empty_like(X)
        solved[self.order] = self.factor.solve(np.ascontiguousarray(X[self.order]))
        return np.asarray(self.whole @ solved)

    def left_times(self, X: np.ndarray) -> np.ndarray:
        """Return (I - K S) X = (I + Psi S)^-1 X."""
        solved = np.empty_like(X)
        solved[self.order] = self.factor.solve(np.ascontiguousarray(X[self.order]), "T")
        return solved

    def slope(self, level: int, E: np.ndarray) -> float:
        """Return the derivative of log|V| in the direction ``E`` (k, k) of one level's Psi."""
        eliminated, products = self.eliminated, self.products
        if level == products.eliminated:
            change = _direct_change(eliminated.slopes, E) @ self.whole
            direct = float(np.sum(E * eliminated.own.sum(axis=0)))
        else:
            moved = [
                E if each.level == level else np.zeros((each.size, each.size)) for each in products.places
            ]
            change = eliminated.S @ _block_diagonal(products.places, moved)
            direct = 0.0
        pivots = self._factored(self.change + (1j * STEP) * change).U.diagonal()
        return direct + float((pivots.imag / pivots.real).sum()) / STEP


def large_slopes(factor: LargeFactor, block_sizes: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Return the derivatives of log|V| in all parameters, (q,)."""
    return np.array(
        [factor.slope(level, E) for level, sizes in enumerate(block_sizes) for E in directions(sizes)]
    )


def large_traces(
    factor: LargeFactor, block_sizes: Sequence[tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return first and second derivatives of log|V|, the second as differences of fourth order."""
    products, psi = factor.products, factor.psi
    typical, largest = _sizes(factor)
    parameters = [(level, E) for level, sizes in enumerate(block_sizes) for E in directions(sizes)]
    second = np.empty((len(parameters), len(parameters)))
    for s, (level, E) in enumerate(parameters):
        step = np.inf
        for at in np.argwhere(E)[0]:
            own = 2e-3 * psi[level][at, at]
            step = min(step, own + min(2e-3 / typical[level][at], 0.05 / largest[level][at]))
        shifted = []
        for multiple in (1.0, -1.0, 2.0, -2.0):
            moved = [each + multiple * step * E if i == level else each for i, each in enumerate(psi)]
            at_moved = LargeFactor(Eliminated(products, moved[products.eliminated]), moved)
            shifted.append(np.array([at_moved.slope(*each) for each in parameters[: s + 1]]))
        near, far = shifted[0] - shifted[1], shifted[2] - shifted[3]
        second[s, : s + 1] = second[: s + 1, s] = (8.0 * near - far) / (12.0 * step)
    return large_slopes(factor, block_sizes), second


def _sizes(factor: LargeFactor) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """Return per level the mean and the largest diagonal of Z_g'V_1^-1 Z_g, (k,)."""
    products = factor.products
    own = np.einsum("gaa->ga", products.kinds)
    found = {products.eliminated: own}
    diagonal = factor.eliminated.S.diagonal()
    for place in products.places:
        found[place.level] = diagonal[place.span].reshape(place.groups, place.size)
    tiny = np.finfo(float).tiny
    return (
        {level: np.maximum(each.mean(axis=0), tiny) for level, each in found.items()},
        {level: np.maximum(each.max(axis=0), tiny) for level, each in found.items()},
    )


def _direct_change(slopes: Slopes, E: np.ndarray) -> Any:
    """Return dS = -(H D)'E (H D), sparse."""
    groups = slopes.shape[0]
    moved = slopes.mixed(np.broadcast_to(-E, (groups, *E.shape)))
    total = slopes.crossed(moved, 0, 0)
    for a in range(1, len(E)):
        total = total + slopes.crossed(moved, a, a)
    return total


def _block_diagonal(places: Sequence[Place], blocks: Sequence[np.ndarray]) -> Any:
    from scipy.sparse import block_diag, csc_array, eye_array, kron

    parts = [kron(eye_array(place.groups), block) for place, block in zip(places, blocks, strict=True)]
    return csc_array(block_diag(parts, format="csc"))
