"""Pairs of neurons behind tau_c: which count at each detection limit, and the sum of their signs.

Neurons with the same two counts have the same pairs, so the table of pairs has a row per distinct pair of
counts; beneath a limit no pair counts, so the table shrinks as the limit grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_TABLE_CELLS = 2_000_000
_EXACT_IN_SINGLE = 2**24


def pair_sums(b: Floats, p: Floats, limits: tuple[int, ...]) -> Floats:
    """Return, per neuron and limit k, the sum of signs and the number of its pairs, (neurons, limits, 2).

    A pair i, j counts when b_i + p_j >= k, b_j + p_i >= k and both neurons have b + p >= k: then it would
    have been detected with the two after-counts exchanged, and independence of before and after makes
    both signs equally likely whatever the detection did to neurons below k (Tsai 1990, Biometrika
    77:169-177, for the same idea under truncation). Each pair enters both of its neurons.
    """
    sums = np.zeros((b.size, len(limits), 2))
    if not limits or b.size < 2:
        return sums
    first_b, first_p, member = _distinct(b, p)
    size = np.bincount(member).astype(float)
    found = np.zeros((size.size, len(limits), 2))
    for rows, place, m, signed, kept in _tables(first_b, first_p, limits):
        found[rows, place, 0] = signed @ size[:m]
        found[rows, place, 1] = kept @ size[:m] - 1  # a neuron makes no pair with itself
    return np.asarray(found[member])


def weighted_pair_sums(b: Floats, p: Floats, limits: tuple[int, ...], weights: NDArray[Any]) -> Floats:
    """Return the sum of signs and the number of pairs when neurons count several times or not at all.

    Parameters
    ----------
    b, p
        Counts before and after, shape (neurons,).
    weights
        How often each neuron is there, whole numbers, shape (neurons, resamples). Copies of one neuron
        make no pair with each other.

    Returns
    -------
    array
        Shape (resamples, limits, 2).
    """
    n, resamples = weights.shape
    sums = np.zeros((resamples, len(limits), 2))
    if not limits or n < 2 or not resamples:
        return sums
    first_b, first_p, member = _distinct(b, p)
    largest = float(weights.sum(axis=0).max())
    # Sums of whole numbers are exact in either precision while they fit.
    precision = np.float32 if largest**2 < _EXACT_IN_SINGLE else np.float64
    order = np.argsort(member, kind="stable")
    starts = np.flatnonzero(np.diff(member[order], prepend=-1))
    grouped: NDArray[Any] = np.add.reduceat(weights[order], starts, axis=0, dtype=precision)
    for rows, place, m, signed, kept in _tables(first_b, first_p, limits, width=resamples):
        for which, table in enumerate((signed, kept)):
            reached: NDArray[Any] = table.astype(precision) @ grouped[:m]
            sums[:, place, which] += np.einsum("ir,ir->r", reached, grouped[rows])
    total = b + p
    for place, limit in enumerate(limits):
        own: NDArray[Any] = weights[total >= limit].astype(precision)
        sums[:, place, 1] -= np.einsum("ir,ir->r", own, own)
    return sums / 2


def _distinct(b: Floats, p: Floats) -> tuple[Floats, Floats, Places]:
    """Return the distinct pairs of counts, those with most events first, and which one each neuron has."""
    order = np.lexsort((b, -(b + p)))
    b_sorted, p_sorted = b[order], p[order]
    new = np.concatenate([[True], (np.diff(b_sorted) != 0) | (np.diff(p_sorted) != 0)])
    member = np.empty(b.size, dtype=np.intp)
    member[order] = np.cumsum(new) - 1
    return b_sorted[new], p_sorted[new], member


def _tables(
    b: Floats, p: Floats, limits: tuple[int, ...], *, width: int = 1
) -> Iterator[tuple[slice, int, int, NDArray[np.int8], NDArray[np.bool_]]]:
    """Yield rows, place of the limit, number of columns, signs of pairs that count, and which count."""
    total = b + p
    step = max(1, _TABLE_CELLS // max(b.size, width))
    for start in range(0, b.size, step):
        rows = slice(start, min(start + step, b.size))
        sign = np.sign(b[rows, None] - b).astype(np.int8) * np.sign(p[rows, None] - p).astype(np.int8)
        least = np.minimum(b[rows, None] + p, p[rows, None] + b)
        for place, limit in enumerate(limits):
            m = int((total >= limit).sum())
            stop = min(rows.stop, m)
            if stop <= start:
                continue
            kept = least[: stop - start, :m] >= limit
            yield slice(start, stop), place, m, sign[: stop - start, :m] * kept, kept
