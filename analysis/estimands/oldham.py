"""Oldham's picture: the change of every neuron against its mean over both windows.

Plotting the change against the mean instead of against the baseline takes the noise that both share out of
the slope (Oldham 1962, J Chronic Dis 15:969-977). It is a picture and no estimand here: its slope is 0
whenever both windows have the same spread of states, whether every neuron keeps its state, states are dealt
anew, or active and silent neurons change places.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.counts import DRUG, Contrast, SessionCounts, half_counts
from nwbswitch.analysis.estimands.primary import root_rate

COLUMNS = ("dataset", "animal", "session", "arm", "cell_type", "neuron", "mean", "change")


def oldham_points(sessions: Sequence[SessionCounts], *, contrast: Contrast = DRUG) -> pd.DataFrame:
    """Return one row per neuron and session with the mean and the change of its state.

    States are f(n, T) = sqrt((n + 3/8) / T) with T in min. Columns: dataset, animal, session, arm (empty
    without a drug), cell_type, neuron, mean, change (after minus before). Sessions without both windows
    have no row.
    """
    frames = []
    for session in sessions:
        counts = half_counts(session, contrast)
        if counts is None:
            continue
        before, after, chosen = counts
        b, p = (root_rate(each.events.sum(1), each.exposure_s.sum(1) / 60) for each in (before, after))
        frames.append(
            pd.DataFrame(
                {
                    "dataset": session.dataset,
                    "animal": session.animal,
                    "session": session.session,
                    "arm": session.arm,
                    "cell_type": session.cell_type,
                    "neuron": session.identity[chosen],
                    "mean": (b + p) / 2,
                    "change": p - b,
                },
                columns=list(COLUMNS),
            )
        )
    if not frames:
        return pd.DataFrame({name: np.array([], dtype=object) for name in COLUMNS}).astype(
            {"mean": float, "change": float}
        )
    return pd.concat(frames, ignore_index=True)
