"""The rows of a forest plot: studies, subgroups and pooled effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.estimate import estimate
from nwbswitch.analysis.meta_analysis.leave_one_out import column_values
from nwbswitch.analysis.meta_analysis.meta import MIN_STUDIES
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.analysis.meta_analysis.tau2 import Studies
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError


@dataclass(frozen=True, slots=True)
class ForestData:
    """What a forest plot shows.

    ``studies``: label, group (empty without subgroups), estimate, ci_low, ci_high, weight (percent).
    ``pooled``: group (empty for all), k, estimate, ci_low, ci_high, pi_low, pi_high, tau2, i2, status; the
    last row is that of all studies.
    """

    studies: pd.DataFrame
    pooled: pd.DataFrame
    level: float
    unit: str
    subgroups: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return both tables as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "studies": self.studies.to_dict("records"),
                "pooled": self.pooled.to_dict("records"),
                "level": self.level,
                "unit": self.unit,
                "subgroups": self.subgroups,
            }
        )
        return found


def forest_data(fit: MetaFit, *, subgroups: str | None = None) -> ForestData:
    """Return the rows of a forest plot; intervals of studies are normal, as their variances are known.

    Parameters
    ----------
    fit
        A meta-analysis without moderators; with too few studies they are listed without a pooled effect.
    subgroups
        Column of groups: each is pooled with the same method and its own tau^2; groups of fewer than three
        studies are listed, not pooled.

    Raises
    ------
    FitError
        With moderators, or an empty cell in the column.
    FormulaError
        If the table has no such column.
    """
    from scipy.stats import norm

    if fit.has_moderators:
        raise FitError("A forest plot needs a model without moderators; show groups with subgroups.")
    groups = [""] * fit.k if subgroups is None else [str(each) for each in column_values(fit, subgroups)]
    given = fit.problem
    half = float(norm.ppf(0.5 + fit.level / 2.0)) * np.sqrt(given.variance)
    studies = pd.DataFrame(
        {
            "label": fit.studies["label"],
            "group": groups,
            "estimate": given.effect,
            "ci_low": given.effect - half,
            "ci_high": given.effect + half,
            "weight": fit.studies["weight"],
        }
    )
    names = [] if subgroups is None else list(dict.fromkeys(groups))
    rows = [_pooled(fit, given.rows(np.array(groups) == name), name) for name in names]
    rows.append(_pooled(fit, given, ""))
    order = (
        [i for name in names for i, group in enumerate(groups) if group == name] if names else range(fit.k)
    )
    return ForestData(
        studies.iloc[list(order)].reset_index(drop=True), pd.DataFrame(rows), fit.level, fit.unit, subgroups
    )


def _pooled(fit: MetaFit, studies: Studies, group: str) -> dict[str, Any]:
    none = float("nan")
    row: dict[str, Any] = {"group": group, "k": studies.k}
    if studies.k < MIN_STUDIES:
        empty = dict.fromkeys(("estimate", "ci_low", "ci_high", "pi_low", "pi_high", "tau2", "i2"), none)
        return row | empty | {"status": f"fewer than {MIN_STUDIES}: listed, not pooled"}
    found = estimate(studies, method=fit.method, test=fit.test, level=fit.level)
    centre, tau2 = float(found.coefficients[0]), found.tau2.value
    half = found.critical * float(np.sqrt(found.vcov[0, 0] + tau2)) if fit.method != "ee" else none
    return row | {
        "estimate": centre,
        "ci_low": float(found.ci_low[0]),
        "ci_high": float(found.ci_high[0]),
        "pi_low": centre - half,
        "pi_high": centre + half,
        "tau2": tau2,
        "i2": found.i2,
        "status": "ok",
    }
