"""From cells to a table for mixed models: one row per neuron, window and interleaved half."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nwbswitch.schemas.tables import CELLS

PAIR = ("baseline", "drug")
FORMULA = "sqrt_rate ~ arm * window + (1 + window | animal) + (1 + window | session) + (1 | neuron)"


def neuron_rates(
    cells: pd.DataFrame, *, windows: tuple[str, str] = PAIR, reference: str | None = None
) -> pd.DataFrame:
    """Return event rates per neuron, window and half, with the variance-stabilised rate as response.

    Parameters
    ----------
    cells
        Cells table (`nwbswitch.schemas.tables.CELLS`).
    windows
        The two windows to compare, reference first.
    reference
        The reference arm; by default saline or vehicle.

    Returns
    -------
    DataFrame
        ``dataset, animal, session, neuron, cell_type, arm, order, window, half, exposure_min, n_events,
        rate_per_min, sqrt_rate``. ``sqrt_rate`` is f(n, T) = sqrt((n + 3/8) / T) with T in minutes
        (Anscombe 1948). ``session`` and ``neuron`` are unique over the whole table; a neuron followed over
        sessions is one row set per session. ``window`` and ``arm`` are ordered categoricals whose first
        level is the reference. Halves without a valid frame have no rate and no row.
    """
    chosen = CELLS.checked(cells)
    chosen = chosen[chosen["window"].isin(windows)]
    session = chosen["animal"] + "/" + chosen["session"]
    keyed = chosen.assign(
        session=session,
        neuron=session + "/" + chosen["plane"] + "/" + chosen["neuron"].astype(str),
    )
    keys = ["dataset", "animal", "session", "neuron", "cell_type", "arm", "order", "window", "half"]
    summed = keyed.groupby(keys, sort=True, observed=True)[["exposure_s", "n_events"]].sum().reset_index()
    summed = summed[summed["exposure_s"] > 0].reset_index(drop=True)
    minutes = summed.pop("exposure_s") / 60
    first = ("saline", "vehicle") if reference is None else (reference,)
    arms = sorted(summed["arm"].unique(), key=lambda arm: (arm not in first, arm))
    summed["exposure_min"] = minutes
    summed["rate_per_min"] = summed["n_events"] / minutes
    summed["sqrt_rate"] = np.sqrt((summed["n_events"] + 3 / 8) / minutes)
    summed["window"] = pd.Categorical(summed["window"], categories=list(windows))
    summed["arm"] = pd.Categorical(summed["arm"], categories=arms)
    return summed
