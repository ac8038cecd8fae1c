"""Several data sets in one model: estimands with their covariance, and all rows beside the pooled effects.

Both are descriptive: whether a finding replicates rests on the verdicts of the data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nwbswitch.analysis.runs.results_folder import ESTIMATES_FILE, RATES_FILE
from nwbswitch.schemas.errors import FitError, NwbswitchError

JOINT = ("SW", "rho_star")
"""Estimands of one model; M is minus the difference of rho* and would add nothing."""
TERM = "both"
ALL_ROWS = (
    "sqrt_rate ~ drug + after + both + (1 + both | dataset) + (1 + both | dataset:animal) "
    "+ (1 + after | dataset:session) + (1 | dataset:neuron)"
)
ROWS_OF_ONE = "sqrt_rate ~ drug + after + both + (1 + both | animal) + (1 + after | session) + (1 | neuron)"


@dataclass(frozen=True, slots=True)
class Member:
    """One eligible data set: where its results are, and what is compared with what."""

    dataset: str
    folder: Path
    arm: str
    reference: str
    cell_type: str


def joint_model(members: Sequence[Member]) -> dict[str, Any]:
    """Return SW and rho* of all data sets in one multivariate model, as plain JSON values.

    Sampling errors of the two covary as the animals' own values do. The value under ``status`` says why
    there is no model.
    """
    from nwbswitch.analysis.meta_analysis.study_effects import study_effects
    from nwbswitch.analysis.table_file import read_table
    from nwbswitch.schemas.tables import ESTIMATES

    tables = []
    for each in members:
        table = read_table(each.folder / ESTIMATES_FILE, text=ESTIMATES.text_names)
        own = (table["arm"] == each.arm) & (table["cell_type"] == each.cell_type)
        tables.append(table[own].assign(dataset=each.dataset))
    try:
        effects = study_effects(
            tables,
            estimands=JOINT,
            contrast=list(dict.fromkeys(f"vs_{each.reference}" for each in members)),
            cell_type=None,
        )
        fit = effects.pool()
        return {"status": "ok", **fit.as_dict(), "robust": fit.robust().as_dict()}
    except FitError as error:
        return {"status": str(error)}


def stages(members: Sequence[Member]) -> dict[str, Any]:
    """Return the change of the mean event rate in one stage and in two, as plain JSON values.

    One stage is a mixed model of all rows with the data set as the outermost group, two stages are a model
    of each data set and a meta-analysis of their effects. The value under ``status`` says why there is none.
    """
    from nwbswitch.analysis.meta_analysis.one_stage import one_stage
    from nwbswitch.analysis.table_file import read_table

    parts = []
    for each in members:
        rates = read_table(each.folder / RATES_FILE)
        own = rates[rates["arm"].isin([each.arm, each.reference]) & (rates["cell_type"] == each.cell_type)]
        drug, after = own["arm"] == each.arm, own["window"] == "drug"
        parts.append(
            pd.DataFrame(
                {
                    "dataset": each.dataset,
                    **{name: own[name] for name in ("animal", "session", "neuron", "sqrt_rate")},
                    "drug": drug.astype(float),
                    "after": after.astype(float),
                    TERM: (drug & after).astype(float),
                }
            )
        )
    rows = pd.concat(parts, ignore_index=True)
    try:
        found = one_stage(rows, ALL_ROWS, term=TERM, study="dataset", within=ROWS_OF_ONE)
    except NwbswitchError as error:
        return {"status": str(error)}
    return {"status": "ok", **found.as_dict()}
