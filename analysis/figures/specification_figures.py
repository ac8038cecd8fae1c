"""The specification curve: one estimand under every specification of the analysis, and their choices.

After Simonsohn, Simmons and Nelson (2020, Nature Human Behaviour 4:1208-1214). It shows, it never selects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.figures.svg_elements import plain_text, short_name
from nwbswitch.analysis.figures.switch_figures import (
    ARM_COLOURS,
    BAND,
    INK,
    LABELS,
    REFERENCE_COLOUR,
    RULE,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHOICES = {
    "threshold_sd": "Threshold (SD)",
    "neuropil_coefficient": "Neuropil",
    "window_s": "Window (min)",
    "roi_set": "ROIs",
    "frames": "Frames",
    "k": "Detection limit k",
    "reference": "Reference",
    "verdict": "Verdict",
}
"""What varies between specifications, with its name."""
PLAN = 0
"""Number of the specification that the plan states."""


@dataclass(frozen=True, slots=True)
class _Row:
    group: str
    value: str
    chosen: np.ndarray


def specification_figure(
    specifications: pd.DataFrame,
    estimand: str,
    *,
    arm: str,
    contrast: str,
    margin: float | None = None,
    colour: str = ARM_COLOURS[0],
) -> Figure:
    """Show the estimates of all specifications in order of size, with the choices behind each below.

    Parameters
    ----------
    specifications
        Table of specifications (`nwbswitch.schemas.result_tables.SPECIFICATIONS`) of one cell type.
    estimand
        Its name, e.g. ``M``.
    arm
        The arm.
    contrast
        ``drug``, or ``vs_`` and the reference arm.
    margin
        Equivalence margin, drawn as a band around zero.
    colour
        Colour of the specification of the plan.

    Raises
    ------
    ValueError
        If the table has no such row.
    """
    from matplotlib.figure import Figure

    own = specifications[
        (specifications["estimand"] == estimand)
        & (specifications["arm"] == arm)
        & (specifications["contrast"] == contrast)
    ]
    if own.empty:
        raise ValueError(f"no specification has {estimand!r} of arm {arm!r} and contrast {contrast!r}")
    own = own.sort_values(["estimate", "specification"], na_position="last").reset_index(drop=True)
    rows = _rows(own)
    lines = len(rows) + 0.6 * len({row.group for row in rows})
    # A matrix of one row would have no height to speak of.
    below = 0.17 * max(2.0, lines)
    with plain_text():
        figure = Figure(figsize=(6.6, 2.6 + below), layout="constrained")
        top, matrix = figure.subplots(2, 1, sharex=True, height_ratios=[2.3, below])
    style_axes(top)
    style_axes(matrix)
    plan = np.flatnonzero(own["specification"].to_numpy() == PLAN)
    _draw_estimates(top, own, plan, margin=margin, colour=colour)
    with plain_text():
        top.set_ylabel(LABELS.get(estimand, estimand))
    _draw_matrix(matrix, rows, plan, len(own), colour=colour)
    return figure


def varied(specifications: pd.DataFrame) -> list[str]:
    """Return the names of the choices that are not the same in all specifications."""
    chosen = {name: words for name, words in CHOICES.items() if name != "verdict"}
    return [words for name, words in chosen.items() if _values(specifications[name], name).nunique() > 1]


def _draw_estimates(
    axes: Axes, own: pd.DataFrame, plan: np.ndarray, *, margin: float | None, colour: str
) -> None:
    places = np.arange(len(own))
    if margin is not None:
        axes.axhspan(-margin, margin, color=BAND, zorder=0, lw=0)
    axes.axhline(0, color=RULE, lw=0.8, zorder=1)
    bounded = own["ci_low"].notna() & own["ci_high"].notna()
    size = 3.4 if len(own) <= 120 else 2.0
    width = 1.1 if len(own) <= 120 else 0.5
    axes.vlines(
        places[bounded], own["ci_low"][bounded], own["ci_high"][bounded], color=RULE, lw=width, zorder=2
    )
    axes.plot(places, own["estimate"], "o", ms=size, color=INK, mew=0, zorder=3)
    for place in plan:
        row = own.iloc[place]
        axes.axvline(place, color=colour, lw=0.8, alpha=0.5, zorder=1)
        if np.isfinite([row["ci_low"], row["ci_high"]]).all():
            axes.vlines(place, row["ci_low"], row["ci_high"], color=colour, lw=2, zorder=4)
        if np.isfinite(row["estimate"]):
            axes.plot(place, row["estimate"], "D", ms=6, color=colour, zorder=5)
    for place in places[own["estimate"].isna()]:
        axes.plot(place, 0, "x", ms=size, color=REFERENCE_COLOUR, zorder=3)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlim(-1, len(own))


def _draw_matrix(axes: Axes, rows: Sequence[_Row], plan: np.ndarray, n: int, *, colour: str) -> None:
    names, at, group, place = [], [], "", 0.0
    size = 3.2 if n <= 120 else 1.6
    with plain_text():
        for row in rows:
            if row.group != group:
                place -= 0.6
                axes.annotate(
                    row.group,
                    (1.01, place - 1),
                    xycoords=("axes fraction", "data"),
                    va="center",
                    fontsize=8.5,
                    color=INK,
                    fontweight="bold",
                )
                group = row.group
            place -= 1.0
            axes.plot([-0.6, n - 0.4], [place, place], color="#eef1f4", lw=0.8, zorder=0)
            chosen = np.flatnonzero(row.chosen)
            axes.plot(chosen, np.full(len(chosen), place), "s", ms=size, color=INK, mew=0, zorder=2)
            own = np.intersect1d(chosen, plan)
            axes.plot(own, np.full(len(own), place), "s", ms=max(4.0, size), color=colour, mew=0, zorder=3)
            names.append(short_name(row.value, 20))
            at.append(place)
        axes.set_yticks(at, names)
        axes.set_xlabel(f"{n} specifications, in order of the estimate" if n != 1 else "1 specification")
    for each in plan:
        axes.axvline(each, color=colour, lw=0.8, alpha=0.5, zorder=1)
    axes.set_ylim(place - 0.7, 0)
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.set_xticks([])
    axes.spines[["left", "bottom"]].set_visible(False)


def _rows(own: pd.DataFrame) -> list[_Row]:
    rows = []
    for name, words in CHOICES.items():
        values = _values(own[name], name)
        shown = sorted(values.unique(), key=_natural)
        if len(shown) > 1 or name == "verdict":
            rows += [_Row(words, value, np.asarray(values == value)) for value in shown]
    return rows


def _values(column: pd.Series, name: str) -> pd.Series:
    if name == "window_s":
        return (column / 60).map(lambda minutes: f"{minutes:g}")
    if name == "k":
        return column.map(lambda k: "as planned" if k == 0 else str(k))
    if name == "threshold_sd":
        return column.map(lambda level: f"{level:g}")
    return column.astype(str).str.replace("_", " ")


def _natural(value: str) -> tuple[bool, float, str]:
    try:
        return False, float(value), ""
    except ValueError:
        return True, 0.0, value


def specification_counts(own: pd.DataFrame) -> dict[str, Any]:
    """Return the range of the estimates and how many specifications reached each verdict.

    Parameters
    ----------
    own
        Rows of one estimand, arm and contrast.
    """
    estimates = own["estimate"].dropna()
    return {
        "n": len(own),
        "n_without": int(own["estimate"].isna().sum()),
        "low": float(estimates.min()) if len(estimates) else None,
        "high": float(estimates.max()) if len(estimates) else None,
        "verdicts": own["verdict"].value_counts().to_dict(),
    }
