"""Repeated sessions of one arm: how well they agree within an animal, beside how much animals differ.

One-way analysis of variance of sessions within animals; the repeatability is the intraclass correlation
ICC(1,1) of Shrout and Fleiss 1979 (Psychol Bull 86:420-428), with k0 = (N - sum n_a^2 / N) / (A - 1) sessions
per animal where these differ.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from nwbswitch.schemas.tables import ESTIMATES

COLUMNS = ("arm", "cell_type", "estimand", "k", "n_animals", "n_repeated", "n_sessions", "n_undefined",
           "sd_sessions", "sd_animals", "repeatability", "status")  # fmt: skip
NO_REPEATS = "no animal has two sessions with a value"


def repeats(estimates: pd.DataFrame) -> pd.DataFrame:
    """Return how well repeated sessions of an arm agree, one row per arm, cell type and estimand.

    Parameters
    ----------
    estimates
        Columns of ``ESTIMATES``, with rows of the level ``session``.

    Returns
    -------
    pandas.DataFrame
        arm, cell_type, estimand, k, n_animals, n_repeated (animals with two sessions or more), n_sessions,
        n_undefined (sessions without a value), sd_sessions (within animals), sd_animals (between, sessions'
        share taken off; 0 where that leaves nothing), repeatability and status. Arms in which no animal has
        two sessions are left away.
    """
    estimates = ESTIMATES.checked(estimates)
    chosen = estimates[(estimates["level"] == "session") & (estimates["contrast"] == "drug")]
    keys = ["arm", "cell_type", "estimand", "k"]
    rows = []
    for _, own in chosen.groupby(keys, sort=True):
        if own["animal"].value_counts().max() > 1:
            rows.append({**dict(zip(keys, own[keys].iloc[0], strict=True)), **_agreement(own)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _agreement(own: pd.DataFrame) -> dict[str, int | float | str]:
    known = own[np.isfinite(own["estimate"])]
    groups = [group["estimate"].to_numpy() for _, group in known.groupby("animal", sort=True)]
    found: dict[str, int | float | str] = {
        "n_animals": int(own["animal"].nunique()),
        "n_repeated": sum(group.size > 1 for group in groups),
        "n_sessions": len(own),
        "n_undefined": len(own) - len(known),
        "sd_sessions": math.nan,
        "sd_animals": math.nan,
        "repeatability": math.nan,
        "status": NO_REPEATS,
    }
    n, a = sum(group.size for group in groups), len(groups)
    if n <= a:
        return found
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / (n - a)
    found |= {"sd_sessions": math.sqrt(within), "status": "ok"}
    if a < 2:
        return {**found, "status": "one animal: no spread between animals"}
    mean = float(np.concatenate(groups).mean())
    between = sum(group.size * (float(group.mean()) - mean) ** 2 for group in groups) / (a - 1)
    k0 = (n - sum(group.size**2 for group in groups) / n) / (a - 1)
    total = between + (k0 - 1) * within
    found["sd_animals"] = math.sqrt(max(between - within, 0.0) / k0)
    found["repeatability"] = (between - within) / total if total > 0 else math.nan
    return found
