"""Families of estimands: terms of neurons that are summed, closed per session, and add over sessions.

A family turns each neuron into a row of terms. The terms are summed over the neurons of a session, the
session's sums are closed (centred, or divided by its number of neurons), and what comes out adds over the
sessions of an animal and over animals. So leaving out neurons, animals or labels is always a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from nwbswitch.analysis.estimands.counts import (
    Bools,
    Contrast,
    Floats,
    SessionCounts,
    WindowCounts,
    comparable,
)

Statistic = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True)
class Family:
    """Estimands that rest on the same sums.

    Attributes
    ----------
    terms
        Two windows of the same neurons to their terms, shape (neurons, terms).
    close
        Sums over neurons of one session, shape (..., terms), to sums that add, shape (..., sums).
    estimands
        Name to function of the sums, shape (..., sums) to (...).
    status
        Name and sums, shape (sums,), to 'ok' or why there is no number.
    tested
        Names that have a P value against a reference.
    variances
        Name to the sampling variance over neurons, where the sums hold one.
    """

    terms: Callable[[WindowCounts, WindowCounts], Floats]
    close: Statistic
    estimands: Mapping[str, Statistic]
    status: Callable[[str, Floats], str]
    tested: frozenset[str] = frozenset()
    variances: Mapping[str, Statistic] = field(default_factory=dict)


def paired_windows(
    session: SessionCounts, contrast: Contrast
) -> tuple[WindowCounts, WindowCounts, Bools] | None:
    """Return the windows before and after with the neurons that have exposure in both halves of both.

    None when a window is missing or no neuron is left; the mask is that of the neurons kept.
    """
    chosen = comparable(session, contrast)
    if chosen is None or not chosen.any():
        return None
    before, after = (_of(session.windows[name], chosen) for name in (contrast.before, contrast.after))
    return before, after, chosen


def _of(window: WindowCounts, chosen: Bools) -> WindowCounts:
    return replace(
        window,
        events=window.events[chosen],
        negative=window.negative[chosen],
        exposure_s=window.exposure_s[chosen],
    )


def family_sums(family: Family, before: WindowCounts, after: WindowCounts) -> Floats:
    """Return the sums of one session, shape (sums,)."""
    return family.close(family.terms(before, after).sum(axis=0))


def quotient(over: Floats, under: Floats) -> Floats:
    """Return ``over / under``, NaN where ``under`` is not above 0."""
    defined = under > 0
    return np.where(defined, over / np.where(defined, under, 1.0), np.nan)
