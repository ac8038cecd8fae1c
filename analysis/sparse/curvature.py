"""First and second derivatives of a crossed likelihood in the entries of Psi, exactly.

With P = Z'V^-1 Z and U = Z'V^-1 W over the effects of all levels, and E_r = d Psi / d psi_r, once per group,

    W'V^-1 G_r V^-1 W = U'E_r U               tr(V^-1 G_r) = sum over groups of tr(E_r P_gg)
    W'V^-1 G_r V^-1 G_s V^-1 W = U'E_r P E_s U
    tr(V^-1 G_r V^-1 G_s) = sum over groups g, h of tr(E_r P_gh E_s P_hg)

(Kenward and Roger 1997, equations 4 and 5, need these). For the level eliminated first, P_gh is the block of
H A on the diagonal less N = (H D) K (H D)', and sums over pairs of its groups are traces of products of
K with (H D)_a'(H D)_b, so no matrix of all its effects is formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from nwbswitch.analysis.mixed.deviance import Curvature
from nwbswitch.analysis.sparse.elimination import DenseFactor, Eliminated, Factor
from nwbswitch.analysis.sparse.large import LargeFactor, large_slopes, large_traces
from nwbswitch.analysis.trees.curvature import directions


class Projected:
    """Products with Z'V^-1 Z and Z'V^-1 W, after elimination and factor."""

    def __init__(self, eliminated: Eliminated, factor: Factor) -> None:
        self.eliminated, self.factor = eliminated, factor
        self.products = eliminated.products
        near = self.products.near
        K_w = factor.times(eliminated.S_w)
        left = factor.left_times(near)
        others = eliminated.S_w - eliminated.S @ K_w
        crossed = near.T @ others
        taken = eliminated.S @ left
        root = eliminated.S_ww - eliminated.S_w.T @ K_w + crossed + crossed.T + near.T @ taken
        self.root = 0.5 * (root + root.T)
        self.log_det = eliminated.log_det + factor.log_det
        self.own = eliminated.slopes_w - eliminated.slopes.times(K_w - left)
        self.others = others + taken

    def effects(self) -> tuple[np.ndarray, ...]:
        """Return Z'V^-1 W per level, (groups, k, m)."""
        return self.by_level(self.own, self.others)

    def by_level(self, own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return columns of all effects level by level, (groups, k, c)."""
        found: dict[int, np.ndarray] = {self.products.eliminated: own}
        for place in self.products.places:
            found[place.level] = others[place.span].reshape(place.groups, place.size, -1)
        return tuple(found[level] for level in range(len(found)))

    def times(self, level: int, X: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return Z'V^-1 Z_l X per level for X (groups, k, c) of one level."""
        found = self.eliminated
        if level == self.products.eliminated:
            own, others = found.own @ X, found.slopes.back(X)
        else:
            place = next(each for each in self.products.places if each.level == level)
            wide = np.zeros((len(self.others), X.shape[2]))
            wide[place.span] = X.reshape(-1, X.shape[2])
            own, others = found.slopes.times(wide), found.S @ wide
        taken = self.factor.times(others)
        return self.by_level(own - found.slopes.times(taken), others - found.S @ taken)


def log_det_gradient(
    eliminated: Eliminated, factor: Factor, block_sizes: Sequence[tuple[int, ...]]
) -> tuple[np.ndarray, ...]:
    """Return d log|V| / d Psi per level, (k, k), within the blocks of Psi."""
    if isinstance(factor, DenseFactor):
        own = (eliminated.own - eliminated.slopes.quadratics(factor.K)).sum(axis=0)
        dense = {eliminated.products.eliminated: own}
        for position, place in enumerate(eliminated.products.places):
            dense[place.level] = factor.block_sum(position)
        return tuple(dense[level] for level in range(len(dense)))
    assert isinstance(factor, LargeFactor)
    slopes = iter(large_slopes(factor, block_sizes).tolist())
    found = []
    for sizes in block_sizes:
        blocks = np.zeros((sum(sizes), sum(sizes)))
        for E in directions(sizes):
            blocks += next(slopes) * E / E.sum()
        found.append(blocks)
    return tuple(found)


def traces_of(
    eliminated: Eliminated, factor: Factor, block_sizes: Sequence[tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first (q,) and second (q, q) derivatives of log|V|."""
    if isinstance(factor, DenseFactor):
        return dense_traces(eliminated, factor, block_sizes)
    assert isinstance(factor, LargeFactor)
    return large_traces(factor, block_sizes)


def factored(eliminated: Eliminated, psi: Sequence[np.ndarray]) -> Factor:
    """Return the factor of what is left, in full or sparse."""
    if isinstance(eliminated.S, np.ndarray):
        return DenseFactor(eliminated.S, eliminated.products.places, psi)
    return LargeFactor(eliminated, psi)


def curvature_of(
    projected: Projected, block_sizes: Sequence[tuple[int, ...]], traces: tuple[np.ndarray, np.ndarray]
) -> Curvature:
    """Return the curvature; ``traces`` are the derivatives of log|V|."""
    parameters = [(level, E) for level, sizes in enumerate(block_sizes) for E in directions(sizes)]
    U = projected.effects()
    moved = [E @ U[level] for level, E in parameters]
    q, m = len(parameters), len(projected.root)
    first, second = np.empty((q, m, m)), np.empty((q, q, m, m))
    for s, (level, _) in enumerate(parameters):
        first[s] = -np.einsum("gam,gan->mn", U[level], moved[s], optimize=True)
        across = projected.times(level, moved[s])
        for r in range(s + 1):
            half = np.einsum("gam,gan->mn", moved[r], across[parameters[r][0]], optimize=True)
            second[r, s] = second[s, r] = half + half.T
    return Curvature(projected.root, first, second, projected.log_det, *traces)


def dense_traces(
    eliminated: Eliminated, factor: DenseFactor, block_sizes: Sequence[tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first (q,) and second (q, q) derivatives of log|V| with K in full."""
    places, position = eliminated.products.places, eliminated.products.eliminated
    own, slopes, K = eliminated.own, eliminated.slopes, factor.K
    taken = slopes.quadratics(K)
    first = {position: (own - taken).sum(axis=0)}
    pairs: dict[tuple[int, int], np.ndarray] = {}
    inner = factor.projected()
    for place in places:
        block = inner[place.span, place.span].reshape(place.groups, place.size, place.groups, place.size)
        first[place.level] = np.einsum("gagb->ab", block)
        for other in places[: places.index(place) + 1]:
            shape = (place.groups, place.size, other.groups, other.size)
            pairs[place.level, other.level] = _pair_sums(inner[place.span, other.span].reshape(shape))
    del inner
    both = np.einsum("gac,gbd->abcd", own, taken)
    pairs[position, position] = np.einsum("gac,gbd->abcd", own, own) - both - both.transpose(1, 0, 3, 2)
    k, left = own.shape[1], factor.left()
    for place in places:
        pairs[position, place.level] = np.empty((k, k, place.size, place.size))
    products = {}
    for a in range(k):
        for b in range(k):
            F = slopes.crossed(slopes, a, b)
            F = F if isinstance(F, np.ndarray) else F.toarray()
            products[a, b] = F @ K
            moved = factor.after(F, products[a, b])
            for place in places:
                wide = (len(K), place.groups, place.size)
                columns, own_columns = moved[:, place.span].reshape(wide), left[:, place.span].reshape(wide)
                for c in range(place.size):
                    for d in range(place.size):
                        value = np.einsum("ih,ih->", own_columns[:, :, c], columns[:, :, d])
                        pairs[position, place.level][a, b, c, d] = value
    for a, b, c, d in product(range(k), repeat=4):
        turned = products[b, a].T
        pairs[position, position][a, b, c, d] += np.einsum("ij,ij->", products[c, d], turned)
    parameters = [(level, E) for level, sizes in enumerate(block_sizes) for E in directions(sizes)]
    log_first = np.array([float(np.sum(E * first[level])) for level, E in parameters])
    log_second = np.empty((len(parameters), len(parameters)))
    for r, (i, E_r) in enumerate(parameters):
        for s, (j, E_s) in enumerate(parameters):
            if (i, j) in pairs:
                value = -float(np.einsum("ab,cd,abcd->", E_r, E_s, pairs[i, j]))
                log_second[r, s] = log_second[s, r] = value
    return log_first, log_second


def _pair_sums(P: np.ndarray) -> np.ndarray:
    """Return the sums over g, h of P[g, a, h, c] P[g, b, h, d], (a, b, c, d)."""
    _, k, _, others = P.shape
    found = np.empty((k, k, others, others))
    for a, b in product(range(k), repeat=2):
        for c, d in product(range(others), repeat=2):
            found[a, b, c, d] = np.einsum("gh,gh->", P[:, a, :, c], P[:, b, :, d])
    return found
