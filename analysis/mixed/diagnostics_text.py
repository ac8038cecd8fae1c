"""Diagnostics of a mixed model as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from nwbswitch.analysis.mixed.cluster_leverage import HIGH
from nwbswitch.analysis.mixed.result_tables import table_text

if TYPE_CHECKING:
    from nwbswitch.analysis.mixed.diagnostics import Diagnostics

MOST = 10
"""Lines of a table of clusters."""


def diagnostics_text(found: Diagnostics) -> str:
    """Return the tables of `Diagnostics` with a sentence on how to read each."""
    lines = ["Shape of residuals and effects (normal: skewness 0, excess kurtosis 0)"]
    lines += _indented(found.table())
    if found.residuals is not None:
        scaled = found.residuals["scaled"]
        five = "  ".join(f"{scaled.quantile(q):.4g}" for q in (0.0, 0.25, 0.5, 0.75, 1.0))
        lines += ["", "Scaled residuals: least, quartiles, largest", f"  {five}"]
    if found.leverage is not None:
        leverage = found.leverage
        n_high = int(leverage["high"].sum())
        group = leverage["group"].iloc[0]
        lines += ["", f"Leverage of each {group} (sums to the number of fixed effects)"]
        lines += _indented(leverage.nlargest(MOST, "leverage").drop(columns=["group", "high"]))
        lines += [f"  {n_high} of {len(leverage)} above {HIGH:g} times the mean."]
    if found.influence is not None:
        influence = found.influence
        order = influence["shift"].abs().sort_values(ascending=False).index[:MOST]
        lines += ["", f"Without one {influence['group'].iloc[0]}: the largest changes, in standard errors"]
        lines += _indented(influence.loc[order].drop(columns=["group", "change"]))
    lines += [""] * bool(found.notes) + list(found.notes)
    return "\n".join(lines)


def _indented(frame: pd.DataFrame) -> list[str]:
    return [f"  {line}" for line in table_text(frame).splitlines()]
