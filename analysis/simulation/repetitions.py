"""Estimands of simulated sessions, repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nwbswitch.analysis.estimands.counts import DRUG, Contrast, Floats, SessionCounts, half_counts
from nwbswitch.analysis.estimands.primary import ESTIMANDS, Layout, contrast_sums

NAIVE = ("naive_down", "naive_up", "naive_p_active_after_silent", "naive_corr")
PRIMARY = ("R_act", "R_sil", "SW", "rho_star")
CALIBRATED = (*NAIVE, *PRIMARY)
"""Rows of the calibration tables."""


def session_values(
    session: SessionCounts,
    names: Sequence[str] = CALIBRATED,
    *,
    rng: np.random.Generator,
    contrast: Contrast = DRUG,
    draws: int = 20,
) -> list[float]:
    """Return estimands of one session alone; NaN where it has no neuron in both windows."""
    counts = half_counts(session, contrast)
    if counts is None:
        return [float("nan")] * len(names)
    layout = Layout(draws, ())
    sums = contrast_sums(counts[0], counts[1], layout, rng)
    return [float(ESTIMANDS[name](sums, layout)) for name in names]


def repeated_values(
    simulate: Callable[[np.random.Generator], SessionCounts],
    names: Sequence[str] = CALIBRATED,
    *,
    repetitions: int,
    rng: np.random.Generator,
    draws: int = 20,
) -> dict[str, Floats]:
    """Return each estimand over repetitions, each of shape (repetitions,).

    Parameters
    ----------
    simulate
        Returns one session with a baseline and a drug window.
    names
        Of `nwbswitch.analysis.estimands.primary.ESTIMANDS`.
    draws
        Draws that break ties.
    """
    rows = [session_values(simulate(rng), names, rng=rng, draws=draws) for _ in range(repetitions)]
    table = np.array(rows, dtype=float).reshape(repetitions, len(names))
    return {name: table[:, place] for place, name in enumerate(names)}
