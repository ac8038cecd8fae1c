"""Overlap of the neurons that are active before and after, beside the most that noise allows.

A neuron is active where it has at least `SILENT_RATE_PER_MIN` events/min. Every state is read from one
half of a window, so that before x after, half x other half of the window before and half x other half of
the window after all compare states of the same counting time: the last two are the ceiling, the overlap
that two readings of one unchanged population have. Odds ratios are pooled over sessions as strata (Mantel
and Haenszel 1959, J Natl Cancer Inst 22:719-748), with the variance of Robins, Breslow and Greenland 1986
(Biometrics 42:311-323) over neurons inside an animal. The ceiling is not exact: where a neuron near the
limit is more often misread in one window than in the other, no change can give a ratio a little below 1.
"""

from __future__ import annotations

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats, WindowCounts, halves
from nwbswitch.analysis.estimands.families import Family, quotient
from nwbswitch.analysis.estimands.primary import OK
from nwbswitch.schemas.worlds import SILENT_RATE_PER_MIN

EMPTY_TABLE = "not estimable: no neuron in a cell of the 2 x 2 table"
NO_CEILING = "not estimable: two halves of one window do not agree on who is active"
MIN_CEILING = 0.5
"""Log odds ratio between halves of one window below which nothing can be read against it."""

_TABLES = ("across", "before", "after")
_SUMS = 8


def overlap_terms(before: WindowCounts, after: WindowCounts) -> Floats:
    """Return 1 and the cells of the three tables of each neuron, shape (neurons, 13).

    Cells are (active, active), (active, silent), (silent, active), (silent, silent), averaged over the
    pairs of halves.
    """
    (x, x_both), (y, y_both) = (_active(window) for window in (before, after))
    columns = [np.ones(x.size), x * y, x * (1 - y), (1 - x) * y, (1 - x) * (1 - y)]
    for share, both in ((x, x_both), (y, y_both)):
        columns += [both, share - both, share - both, 1 - 2 * share + both]
    return np.column_stack(columns)


def _active(window: WindowCounts) -> tuple[Floats, Floats]:
    """Return the share of halves in which each neuron is active, and whether it is in both."""
    counts = halves(window)
    active = (60 * counts.events / counts.exposure_s >= SILENT_RATE_PER_MIN).astype(float)
    return active.mean(axis=1), active.prod(axis=1)


def close_overlap(sums: Floats) -> Floats:
    """Return, for each table, the sums of Mantel-Haenszel, their variance and of Dice, shape (..., 24)."""
    n = sums[..., 0]
    parts = []
    for table in range(len(_TABLES)):
        a, b, c, d = np.moveaxis(sums[..., 1 + 4 * table : 5 + 4 * table], -1, 0)
        size = np.where(n > 0, n, 1.0)
        agree, differ, r, s = (a + d) / size, (b + c) / size, a * d / size, b * c / size
        chance = (a + b) * (a + c) / size
        parts += [r, s, agree * r, agree * s + differ * r, differ * s, a, 2 * a + b + c, chance]
    return np.stack(parts, axis=-1)


def _table(sums: Floats, name: str) -> Floats:
    start = _TABLES.index(name) * _SUMS
    return np.moveaxis(sums[..., start : start + _SUMS], -1, 0)


def log_odds_ratio(sums: Floats, table: str = "across") -> Floats:
    """Return the natural log of the Mantel-Haenszel odds ratio; NaN where it is 0 or infinite.

    Parameters
    ----------
    sums
        Of `close_overlap`, shape (..., 24).
    table
        across (before x after), or before or after: half x other half of that window.
    """
    r, s, *_ = _table(sums, table)
    defined = (r > 0) & (s > 0)
    return np.where(defined, np.log(np.where(defined, r, 1) / np.where(defined, s, 1)), np.nan)


def log_odds_variance(sums: Floats, table: str = "across") -> Floats:
    """Return the variance of `log_odds_ratio` over neurons (Robins, Breslow and Greenland 1986)."""
    r, s, pr, mixed, qs, *_ = _table(sums, table)
    return quotient(pr, 2 * r**2) + quotient(mixed, 2 * r * s) + quotient(qs, 2 * s**2)


def log_odds_ceiling(sums: Floats) -> Floats:
    """Return the mean of the log odds ratios between the halves of either window."""
    return np.asarray((log_odds_ratio(sums, "before") + log_odds_ratio(sums, "after")) / 2)


def overlap_ratio(sums: Floats) -> Floats:
    """Return the log odds ratio as a share of its ceiling: 1 the same neurons, 0 chance, below 0 others."""
    return quotient(log_odds_ratio(sums), log_odds_ceiling(sums))


def dice(sums: Floats, table: str = "across") -> Floats:
    """Return the overlap of the two active sets, 2 |A and B| / (|A| + |B|) (Dice 1945, Ecology 26:297)."""
    *_, both, sizes, _ = _table(sums, table)
    return quotient(2 * both, sizes)


def dice_by_chance(sums: Floats) -> Floats:
    """Return the overlap that as many active neurons, dealt anew in every session, would have."""
    *_, sizes, chance = _table(sums, "across")
    return quotient(2 * chance, sizes)


def dice_ceiling(sums: Floats) -> Floats:
    """Return the mean overlap of the active sets of the two halves of either window."""
    return np.asarray((dice(sums, "before") + dice(sums, "after")) / 2)


def overlap_status(name: str, sums: Floats) -> str:
    """Return 'ok' or why there is no number."""
    if name == "overlap_ratio":
        ceiling = float(log_odds_ceiling(sums))
        if np.isfinite(ceiling) and ceiling < MIN_CEILING:
            return NO_CEILING
    return OK if np.isfinite(OVERLAP.estimands[name](sums)) else EMPTY_TABLE


OVERLAP = Family(
    terms=overlap_terms,
    close=close_overlap,
    estimands={
        "overlap_log_or": log_odds_ratio,
        "overlap_log_or_ceiling": log_odds_ceiling,
        "overlap_ratio": overlap_ratio,
        "overlap_dice": dice,
        "overlap_dice_chance": dice_by_chance,
        "overlap_dice_ceiling": dice_ceiling,
    },
    status=overlap_status,
    tested=frozenset({"overlap_log_or", "overlap_ratio"}),
    variances={"overlap_log_or": log_odds_variance},
)
