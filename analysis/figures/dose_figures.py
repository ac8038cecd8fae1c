"""Figures of a dose-response. Every function returns a matplotlib ``Figure`` to edit and to save."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.figures.switch_figures import (
    ARM_COLOURS,
    FAINT,
    LABELS,
    REFERENCE_COLOUR,
    RULE,
    interval_arms,
    panel,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nwbswitch.analysis.designs.dose_response import DoseResponse

STEPS = 60
GAP_DOUBLINGS = 1.5
"""Space between no drug and the lowest dose, in doublings: zero has no place on a logarithmic axis."""


def dose_figure(response: DoseResponse) -> Figure:
    """Show every value against its dose, values of one animal joined, with the model and its 95 % band.

    Values without the drug stand apart on the left, with the model's estimate for them.
    """
    figure, axes = panel(4.8, 3.5)
    rows = response.rows
    given = rows["dose"] > 0
    low, high = float(rows.loc[given, "dose"].min()), float(rows.loc[given, "dose"].max())
    nothing = float(np.log2(low)) - GAP_DOUBLINGS
    places = np.where(given, np.log2(rows["dose"].where(given, 1.0)), nothing)
    axes.axhline(0, color=RULE, lw=0.8, zorder=1)
    for _, own in rows.assign(place=places).sort_values("place").groupby("animal", sort=True):
        axes.plot(own["place"], own["estimate"], color=FAINT, lw=0.8, zorder=2)
    for shown, colour in ((given, ARM_COLOURS[0]), (~given, REFERENCE_COLOUR)):
        axes.scatter(
            places[shown], rows.loc[shown, "estimate"], s=22, color=colour, alpha=0.75, zorder=3, lw=0
        )
    doses = np.exp2(np.linspace(np.log2(low), np.log2(high), STEPS))
    line = response.predicted(doses.tolist())
    axes.plot(np.log2(line["dose"]), line["estimate"], color=ARM_COLOURS[0], lw=1.8, zorder=5)
    axes.fill_between(
        np.log2(line["dose"]),
        line["ci_low"],
        line["ci_high"],
        color=ARM_COLOURS[0],
        alpha=0.18,
        lw=0,
        zorder=0,
    )
    ticks = {float(np.log2(dose)): f"{dose:.3g}" for dose in sorted(set(rows.loc[given, "dose"]))}
    if (~given).any():
        at_zero = response.predicted([0.0]).iloc[0]
        axes.errorbar(
            nothing + 0.25,
            at_zero["estimate"],
            yerr=interval_arms(at_zero["estimate"], at_zero["ci_low"], at_zero["ci_high"]),
            fmt="D",
            ms=6,
            color=REFERENCE_COLOUR,
            capsize=3,
            lw=1.6,
            zorder=4,
        )
        ticks[nothing] = "no drug"
    axes.set_xticks(sorted(ticks), [ticks[place] for place in sorted(ticks)])
    axes.set_xlabel(f"{response.substance}, {response.unit} of free base")
    axes.set_ylabel(LABELS.get(response.estimand, response.estimand))
    return figure
