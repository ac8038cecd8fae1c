"""Tables of sessions and counts with a known design, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.counts import SessionCounts, WindowCounts
from nwbswitch.analysis.session_tables import SessionAbout, session_row, sessions_frame
from nwbswitch.analysis.sources import Source
from nwbswitch.schemas.drug_log import Administration

FIRST = datetime(2026, 3, 2, 9, tzinfo=UTC)
INJECTION_S = 1200.0


def drug(
    name: str = "ketamine", dose: float = 10.0, at_s: float = INJECTION_S, **values: Any
) -> Administration:
    fields = {"dose_unit": "mg/kg", "route": "i.p.", "dose_basis": "free base"}
    return Administration(timestamp_s=at_s, substance=name, dose=dose, **{**fields, **values})


def saline(at_s: float = INJECTION_S, **values: Any) -> Administration:
    fields = {"role": "vehicle", "control_kind": "saline", "route": "i.p."}
    return Administration(timestamp_s=at_s, substance="saline", **{**fields, **values})


def session(
    animal: str, name: str, arm: str, order: int, rows: Sequence[Administration] = (), **values: Any
) -> dict[str, Any]:
    """Return a row of the table of sessions; by default a week after the one before, at 9:00."""
    facts = {
        "start_time": FIRST + timedelta(days=7 * (order - 1)),
        "species": "Mus musculus",
        "sex": "F",
        "age_days": 90.0 + 7 * (order - 1),
        "windows": ("baseline", "drug"),
    }
    about_names = SessionAbout.__dataclass_fields__
    given = {key: value for key, value in values.items() if key in about_names}
    about = SessionAbout(
        **{
            "dataset": "study",
            "animal": animal,
            "session": name,
            "administrations": tuple(rows),
            **facts,
            **given,
        }
    )
    made = session_row(
        about,
        Source(f"sub-{animal}/{name}.nwb", digest=f"sha256:{animal}{name}"),
        arm=arm,
        order=order,
        n_neurons=values.get("n_neurons", 40),
        exclusion=values.get("exclusion", ""),
    )
    rest = {key: value for key, value in values.items() if key in made and key not in about_names}
    return {**made, **rest}


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    made = sessions_frame([dict(row) for row in rows])
    assert made is not None
    return made


def crossover(n_animals: int = 4, *, swap: bool = True, **values: Any) -> pd.DataFrame:
    """Return saline and ketamine a week apart, in turn saline first and ketamine first."""
    rows = []
    for place in range(n_animals):
        first = "saline" if place % 2 == 0 or not swap else "ketamine"
        for order in (1, 2):
            arm = first if order == 1 else {"saline": "ketamine", "ketamine": "saline"}[first]
            log = [saline()] if arm == "saline" else [drug()]
            rows.append(session(f"m{place + 1}", f"s{order}", arm, order, log, **values))
    return table(rows)


def counts(
    animal: str,
    name: str,
    arm: str,
    order: int = 1,
    *,
    windows: Mapping[str, Sequence[float]],
    n_neurons: int = 20,
    per_min: Mapping[str, float] | None = None,
    block_s: float = 60.0,
    seed: int = 0,
) -> SessionCounts:
    """Return Poisson counts in blocks that begin at the given times, s."""
    rng = np.random.default_rng([seed, *map(ord, animal + name)])
    own = rng.lognormal(0.5, 0.8, n_neurons)
    made = {}
    for window, starts in windows.items():
        gain = (per_min or {}).get(window, 1.0)
        events = rng.poisson(gain * own[:, None] * block_s / 60, (n_neurons, len(starts))).astype(float)
        made[window] = WindowCounts(
            events,
            np.zeros_like(events),
            np.full(events.shape, block_s),
            1 + np.arange(len(starts)) % 2,
            np.asarray(starts, dtype=float),
        )
    return SessionCounts(
        dataset="study",
        animal=animal,
        session=name,
        arm=arm,
        order=order,
        cell_type="excitatory",
        anatomical=True,
        simulated=True,
        identity=np.array([f"{animal}-{i}" for i in range(n_neurons)]),
        windows=made,
    )
