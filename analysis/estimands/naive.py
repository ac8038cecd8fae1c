"""The usual fractions, beside what they are where nothing happened: between the halves of the baseline.

Counting noise alone moves neurons "down" and "up", the more the shorter the counting time (regression to
the mean: Barnett, van der Pols and Dobson 2005, Int J Epidemiol 34:215-220). So each fraction is taken three
times: from a half of the baseline to a half of the window after, from a half of the baseline to its other
half, which is the same counting time without a lag, and the difference of both. Halves are interleaved
blocks: slow drift between the windows is in the first and not in the second; the same three under saline
hold it.
"""

from __future__ import annotations

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats, WindowCounts, halves
from nwbswitch.analysis.estimands.families import Family, Statistic, quotient
from nwbswitch.analysis.estimands.primary import NAIVE_FACTOR, OK, UNDEFINED, root_rate
from nwbswitch.schemas.worlds import SILENT_RATE_PER_MIN

NAIVE_KINDS = ("halves", "within_baseline")
"""From a half of the baseline to a half of the window after, and to the other half of the baseline."""

_TERMS, _SUMS = 9, 8


def naive_terms(before: WindowCounts, after: WindowCounts) -> Floats:
    """Return 1 and, of each kind, the changes of each neuron averaged over pairs of halves, (neurons, 19)."""
    b, p = (halves(window) for window in (before, after))
    rate_b, rate_p = (60 * each.events / each.exposure_s for each in (b, p))
    state_b, state_p = (root_rate(each.events, each.exposure_s) for each in (b, p))
    centre = state_b.mean()
    state_b, state_p = state_b - centre, state_p - centre
    across = [_pair(rate_b[:, h], rate_p[:, k], state_b[:, h], state_p[:, k]) for h in (0, 1) for k in (0, 1)]
    within = [_pair(rate_b[:, h], rate_b[:, 1 - h], state_b[:, h], state_b[:, 1 - h]) for h in (0, 1)]
    return np.concatenate(
        [np.ones((rate_b.shape[0], 1)), np.mean(across, axis=0), np.mean(within, axis=0)], axis=1
    )


def _pair(b: Floats, p: Floats, f_b: Floats, f_p: Floats) -> Floats:
    silent, active = b < SILENT_RATE_PER_MIN, p >= SILENT_RATE_PER_MIN
    change = f_p - f_b
    shares = [p * NAIVE_FACTOR < b, p > b * NAIVE_FACTOR, silent, silent & active]
    return np.column_stack([*shares, change, f_b, change * f_b, change**2, f_b**2]).astype(float)


def close_naive(sums: Floats) -> Floats:
    """Return the sums of either kind: neurons, down, up, silent, woken and centred products, (..., 16)."""
    n = sums[..., 0]
    size = np.where(n > 0, n, 1.0)
    parts = []
    for kind in range(len(NAIVE_KINDS)):
        own = np.moveaxis(sums[..., 1 + kind * _TERMS : 1 + (kind + 1) * _TERMS], -1, 0)
        down, up, silent, woken, change, base, product, changes, bases = own
        parts += [n, down, up, silent, woken, product - change * base / size]
        # Pairs of halves differ in their means: the spread is that around the mean of all pairs.
        parts += [changes - change**2 / size, bases - base**2 / size]
    return np.stack(parts, axis=-1)


def _kind(sums: Floats, kind: str) -> Floats:
    start = NAIVE_KINDS.index(kind) * _SUMS
    return np.moveaxis(sums[..., start : start + _SUMS], -1, 0)


def _fraction(over: int, under: int, kind: str) -> Statistic:
    def fraction(sums: Floats) -> Floats:
        own = _kind(sums, kind)
        return quotient(own[over], own[under])

    return fraction


def _correlation(kind: str) -> Statistic:
    def correlation(sums: Floats) -> Floats:
        *_, product, change, base = _kind(sums, kind)
        return quotient(product, np.sqrt(np.maximum(change * base, 0.0)))

    return correlation


def _excess(of: Statistic, over: Statistic) -> Statistic:
    return lambda sums: np.asarray(of(sums) - over(sums))


def _estimands() -> dict[str, Statistic]:
    found: dict[str, Statistic] = {}
    for name, over, under in (("down", 1, 0), ("up", 2, 0), ("p_active_after_silent", 4, 3)):
        for kind in NAIVE_KINDS:
            found[f"naive_{name}_{kind}"] = _fraction(over, under, kind)
    for kind in NAIVE_KINDS:
        found[f"naive_corr_{kind}"] = _correlation(kind)
    for name in ("down", "up", "p_active_after_silent", "corr"):
        halves_, within = (found[f"naive_{name}_{kind}"] for kind in NAIVE_KINDS)
        found[f"naive_{name}_excess"] = _excess(halves_, within)
    return found


def naive_status(name: str, sums: Floats) -> str:
    """Return 'ok', or that the fraction has nothing to be a fraction of."""
    return OK if np.isfinite(NAIVE.estimands[name](sums)) else UNDEFINED


NAIVE = Family(terms=naive_terms, close=close_naive, estimands=_estimands(), status=naive_status)
