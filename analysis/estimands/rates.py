"""From cells to a table for mixed models: one row per neuron, window and interleaved half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.counts import SessionCounts, halves
from nwbswitch.schemas.files import replaced
from nwbswitch.schemas.tables import CELLS

PAIR = ("baseline", "drug")
_ROWS_AT_ONCE = 200_000
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
    arms = _arms(set(summed["arm"]), reference)
    summed["exposure_min"] = minutes
    summed["rate_per_min"] = summed["n_events"] / minutes
    summed["sqrt_rate"] = np.sqrt((summed["n_events"] + 3 / 8) / minutes)
    summed["window"] = pd.Categorical(summed["window"], categories=list(windows))
    summed["arm"] = pd.Categorical(summed["arm"], categories=arms)
    return summed


def _arms(names: set[str], reference: str | None) -> list[str]:
    """Return the arms, the reference first."""
    first = ("saline", "vehicle") if reference is None else (reference,)
    return sorted(names, key=lambda arm: (arm not in first, arm))


def write_rates(
    sessions: Sequence[SessionCounts],
    path: Path,
    *,
    windows: tuple[str, str] = PAIR,
    reference: str | None = None,
) -> None:
    """Write the table of `neuron_rates` from counts as Parquet, some sessions at a time.

    Nothing is written when no session has one of the windows. Rows of one session and cell type are
    together.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    used = [session for session in sessions if set(windows) & set(session.windows)]
    if not used:
        return
    arms = _arms({session.arm for session in used}, reference)
    with replaced(path) as partial:
        writer: pq.ParquetWriter | None = None
        try:
            for frame in _pieces(used, windows, arms):
                table = pa.Table.from_pandas(frame, preserve_index=False)
                if writer is None:
                    writer = pq.ParquetWriter(partial, table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()


def _pieces(
    sessions: Sequence[SessionCounts], windows: tuple[str, str], arms: Sequence[str]
) -> Iterator[pd.DataFrame]:
    held: list[pd.DataFrame] = []
    for session in sessions:
        held.append(_session_rates(session, windows, arms))
        if sum(map(len, held)) >= _ROWS_AT_ONCE:
            yield pd.concat(held, ignore_index=True)
            held = []
    if held:
        yield pd.concat(held, ignore_index=True)


def _session_rates(session: SessionCounts, windows: tuple[str, str], arms: Sequence[str]) -> pd.DataFrame:
    """Return the rows of one session, sorted by neuron, window and half."""
    names = session.rois if session.rois.size else session.identity
    place = f"{session.animal}/{session.session}"
    there = [window for window in windows if window in session.windows]
    sums = [halves(session.windows[window]) for window in there]
    events = np.stack([each.events for each in sums], axis=1)
    exposure_s = np.stack([each.exposure_s for each in sums], axis=1)
    neuron, window, half = (each.ravel() for each in np.indices(events.shape))
    kept = exposure_s.ravel() > 0
    minutes = exposure_s.ravel()[kept] / 60
    n_events = events.ravel()[kept]
    codes = [windows.index(each) for each in there]
    return pd.DataFrame(
        {
            "dataset": session.dataset,
            "animal": session.animal,
            "session": place,
            "neuron": np.array([f"{place}/{name}" for name in names], dtype=object)[neuron[kept]],
            "cell_type": session.cell_type,
            "arm": pd.Categorical([session.arm], categories=list(arms)).repeat(int(kept.sum())),
            "order": session.order,
            "window": pd.Categorical.from_codes(np.take(codes, window[kept]), categories=pd.Index(windows)),
            "half": 1 + half[kept],
            "n_events": n_events.astype(np.int64),
            "exposure_min": minutes,
            "rate_per_min": n_events / minutes,
            "sqrt_rate": np.sqrt((n_events + 3 / 8) / minutes),
        }
    )
