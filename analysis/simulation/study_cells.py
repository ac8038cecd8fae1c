"""The cells table of simulated sessions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.counts import SessionCounts


def cells_table(sessions: Sequence[SessionCounts], *, lag_s: float = 720.0) -> pd.DataFrame:
    """Return the cells table of simulated sessions, one row per neuron, window and block.

    Parameters
    ----------
    sessions
        Of `simulate_study`.
    lag_s
        Time between the starts of the windows, s, as the study was simulated with.
    """
    starts_s = {"pseudo_baseline": 0.0, "pseudo_drug": lag_s, "baseline": lag_s, "drug": 2 * lag_s}
    frames = []
    for session in sessions:
        neuron = np.array([int(name.rsplit("-", 1)[-1]) for name in session.identity])
        for name, window in session.windows.items():
            n, blocks = window.events.shape
            block = np.tile(np.arange(blocks), n)
            block_s = float(window.exposure_s.max(initial=0.0))
            frames.append(
                pd.DataFrame(
                    {
                        "dataset": session.dataset,
                        "animal": session.animal,
                        "session": session.session,
                        "plane": "plane0",
                        "neuron": np.repeat(neuron, blocks),
                        "tracking_id": np.repeat(session.identity, blocks),
                        "cell_type": session.cell_type,
                        "region": "RSPd",
                        "depth_um": np.nan,
                        "roi_basis": "anatomical" if session.anatomical else "activity",
                        "arm": session.arm,
                        "order": session.order,
                        "window": name,
                        "block": block,
                        "half": np.tile(window.half, n),
                        "start_s": starts_s.get(name, 0.0) + block * block_s,
                        "exposure_s": window.exposure_s.ravel(),
                        "n_events": window.events.ravel().astype(np.int64),
                        "n_negative": window.negative.ravel().astype(np.int64),
                        "activity": np.nan,
                        "mean_dff": np.nan,
                        "noise": np.nan,
                        "source": "simulated counts",
                        "source_digest": "",
                        "object_path": "",
                        "simulated": True,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)
