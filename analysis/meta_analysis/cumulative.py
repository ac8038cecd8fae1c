"""Cumulative meta-analysis: the pooled effect as studies came in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.leave_one_out import Refits, column_values, refit, require_pooled
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.schemas.errors import FitError


def cumulative(fit: MetaFit, *, by: str) -> Refits:
    """Return the meta-analysis of the first study, the first two, and so on (Lau et al. 1992).

    Parameters
    ----------
    fit
        A pooled meta-analysis without moderators.
    by
        Column that orders the studies, e.g. ``year``; ties stay in the order of the table.

    Raises
    ------
    FitError
        If nothing was pooled, the model has moderators, or the column has empty or mixed values.
    FormulaError
        If the table has no such column.
    """
    require_pooled(fit, "cumulative meta-analysis")
    if fit.has_moderators:
        raise FitError("A cumulative meta-analysis needs a model without moderators.")
    values = pd.Series(column_values(fit, by))
    try:
        order = values.argsort(kind="stable").to_numpy()
    except TypeError as error:
        raise FitError(f"The column {by!r} holds values of different kinds; they have no order.") from error
    shown = values.tolist() if pd.api.types.is_numeric_dtype(values) else [str(each) for each in values]
    rows: list[dict[str, Any]] = []
    for count in range(1, fit.k + 1):
        chosen = np.asarray(order[:count])
        last = int(chosen[-1])
        label = f"+ {fit.studies['label'].iloc[last]}" if count > 1 else str(fit.studies["label"].iloc[last])
        own = refit(fit, fit.problem.rows(chosen), label)
        rows += [{**row, "value": shown[last]} for row in own]
    return Refits(f"cumulative by {by}", by, pd.DataFrame(rows), fit)
