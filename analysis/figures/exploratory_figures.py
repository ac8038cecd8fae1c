"""Figures of exploratory estimands. Every function returns a matplotlib ``Figure`` to edit and to save."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nwbswitch.analysis.figures.svg_elements import plain_text, short_name
from nwbswitch.analysis.figures.switch_figures import INK, REFERENCE_COLOUR, RULE, arm_colours, panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OLDHAM_NOTE = "A picture, not an estimate: stable, reshuffled\nand switched neurons can all have slope 0."
_MAX_VECTOR = 2000


def oldham_figure(points: pd.DataFrame, *, title: str = "", colour: str = INK) -> Figure:
    """Show the change of every neuron against its mean over both windows, for the neurons of one arm.

    Parameters
    ----------
    points
        Of `oldham_points`: columns mean and change, of states in roots of events/min.
    title
        Name of the arm.
    colour
        Colour of the points.
    """
    figure, axes = panel(4.2, 3.6)
    axes.axhline(0, color=RULE, lw=0.8)
    axes.scatter(
        points["mean"],
        points["change"],
        s=7,
        color=colour,
        alpha=0.35,
        lw=0,
        rasterized=len(points) > _MAX_VECTOR,
    )
    with plain_text():
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel("Mean of the state before and after (√ events/min)")
        axes.text(0.98, 0.02, OLDHAM_NOTE, transform=axes.transAxes, ha="right", fontsize=7.5, color=INK)
        axes.set_ylabel("Change of the state (√ events/min)")
    return figure


def naive_figure(
    estimates: pd.DataFrame, name: str = "down", *, arms: Sequence[str], reference: str = ""
) -> Figure:
    """Show a naive fraction of every arm beside what it is where nothing happened.

    Parameters
    ----------
    estimates
        Estimates table of one cell type, with exploratory rows.
    name
        down, up, p_active_after_silent or corr.
    arms
        Arms from left to right.
    reference
        The reference arm, drawn in grey.
    """
    rows = estimates[(estimates["level"] == "arm") & (estimates["contrast"] == "drug")].set_index("arm")
    figure, axes = panel(max(3.6, 1.2 * len(arms)), 3.2)
    colours = arm_colours(arms, reference)
    kinds = (("halves", "D", True), ("within_baseline", "o", False))
    for place, arm in enumerate(arms):
        for side, (kind, mark, filled) in zip((-0.12, 0.12), kinds, strict=True):
            found = rows[(rows["estimand"] == f"naive_{name}_{kind}") & (rows.index == arm)]
            if found.empty or not np.isfinite(found["estimate"].iloc[0]):
                continue
            row = found.iloc[0]
            face = colours[arm] if filled else "white"
            axes.plot(place + side, row["estimate"], mark, color=colours[arm], mfc=face, ms=7, zorder=3)
            axes.plot([place + side] * 2, [row["ci_low"], row["ci_high"]], color=colours[arm], lw=1.4)
    for mark, filled, words in (
        ("D", True, "baseline half to half of the window after"),
        ("o", False, "baseline half to its other half: nothing happened"),
    ):
        face = REFERENCE_COLOUR if filled else "white"
        axes.plot([], [], mark, color=REFERENCE_COLOUR, mfc=face, label=words)
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.22))
    axes.set_xlim(-0.5, len(arms) - 0.5)
    with plain_text():
        axes.set_xticks(np.arange(len(arms)), [short_name(arm) for arm in arms])
        axes.set_ylabel(f"naive_{name}")
    return figure
