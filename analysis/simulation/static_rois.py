"""ROIs with a marker that reports no activity: all their events are false."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats, SessionCounts, WindowCounts
from nwbswitch.analysis.simulation.scenarios import Scenario

CELL_TYPE = "static_marker"


def simulate_static(
    study: Sequence[SessionCounts],
    scenario: Scenario,
    *,
    n_rois: int,
    rng: np.random.Generator,
    drug: str = "ketamine",
) -> list[SessionCounts]:
    """Return ``n_rois`` static ROIs in each session of a simulated study, with its windows and exposures."""
    found = []
    for session in study:
        truth = scenario if session.arm == drug else scenario.of_reference()
        made: dict[int, WindowCounts] = {}
        windows = {}
        for name, window in session.windows.items():
            # one window may have two names, and then has the same counts under both
            if id(window) not in made:
                only = truth.false_events_in_drug_only and name != "drug"
                per_min = 0.0 if only else truth.false_events_per_min
                made[id(window)] = _static(window, n_rois, per_min, rng)
            windows[name] = made[id(window)]
        names = np.array([f"{session.animal}-static-{place}" for place in range(n_rois)], dtype=np.str_)
        found.append(replace(session, cell_type=CELL_TYPE, anatomical=True, identity=names, windows=windows))
    return found


def _static(window: WindowCounts, n_rois: int, per_min: float, rng: np.random.Generator) -> WindowCounts:
    longest: Floats = window.exposure_s.max(axis=0, initial=0.0)
    exposure_s = np.tile(longest, (n_rois, 1))
    events, negative = (rng.poisson(per_min * exposure_s / 60).astype(float) for _ in range(2))
    return replace(window, events=events, negative=negative, exposure_s=exposure_s)
