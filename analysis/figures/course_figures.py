"""Figures of time courses. Every function returns a matplotlib ``Figure`` to edit and to save."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.course_curves import REST
from nwbswitch.analysis.figures.svg_elements import animal_gid, plain_text, short_name
from nwbswitch.analysis.figures.switch_figures import (
    LABELS,
    REFERENCE_COLOUR,
    RULE,
    arm_colours,
    panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEATURE_MARKS = {"onset_s": "|", "peak_s": "D", "half_recovery_s": "|"}


def time_course_figure(
    courses: pd.DataFrame,
    estimand: str,
    *,
    arms: Sequence[str] | None = None,
    reference: str = "",
    contrast: str = "drug",
    features: pd.DataFrame | None = None,
) -> Figure:
    """Show one estimand over time: animals as thin lines, arms as thick ones with their uncertainty.

    The shade is the simultaneous 95 % band, which may be read over all times at once; without one, as with
    fewer than six animals, it is the interval at each time and drawn lighter.

    Parameters
    ----------
    courses
        Table of time courses (``TIME_COURSES``) of one cell type.
    estimand
        G, SW or rho_star.
    arms
        Arms to draw; by default all that have the contrast.
    reference
        The reference arm, drawn in grey.
    contrast
        ``drug`` (against the baseline) or ``vs_<arm>``.
    features
        Table of features (``COURSE_FEATURES``), marked on the curve of their arm where they are estimable.
    """
    rows = courses[(courses["estimand"] == estimand) & (courses["contrast"] == contrast)]
    if arms is None:
        arms = sorted(rows["arm"].unique())
    figure, axes = panel(4.8, 3.0)
    axes.axhline(REST.get(estimand, 0.0) if contrast == "drug" else 0.0, color=RULE, lw=0.8, zorder=1)
    colours = arm_colours(arms, reference)
    for arm in arms:
        own = rows[rows["arm"] == arm]
        for animal, line in own[own["level"] == "animal"].groupby("animal", sort=True):
            axes.plot(
                line["time_s"] / 60,
                line["estimate"],
                color=colours[arm],
                lw=0.6,
                alpha=0.35,
                marker="o",
                ms=3,
                markevery=_alone(line["estimate"].to_numpy()),
                zorder=2,
                gid=animal_gid(str(animal)),
            )
        _draw_arm(axes, own[own["level"] == "arm"].sort_values("time_s"), arm, colours[arm])
        if features is not None:
            chosen = (features["arm"] == arm) & (features["estimand"] == estimand)
            _draw_features(axes, features[chosen & (features["contrast"] == contrast)], own, colours[arm])
    if not np.isfinite(rows["estimate"]).any():
        axes.text(0.5, 0.6, "not estimable", ha="center", transform=axes.transAxes, color=REFERENCE_COLOUR)
    against = "" if contrast == "drug" else f", minus {short_name(contrast.removeprefix('vs_'))}"
    with plain_text():
        axes.set_xlabel("Minutes after the administration")
        axes.set_ylabel(f"{LABELS.get(estimand, estimand)}{against}")
        if len(axes.get_legend_handles_labels()[1]) > 1:
            axes.legend(frameon=False, fontsize=8)
    return figure


def _draw_arm(axes: Axes, rows: pd.DataFrame, arm: str, colour: str) -> None:
    if rows.empty:
        return
    minutes = rows["time_s"].to_numpy() / 60
    alone = _alone(rows["estimate"].to_numpy())
    with plain_text():
        axes.plot(
            minutes,
            rows["estimate"],
            color=colour,
            lw=2.2,
            marker="o",
            ms=6,
            markevery=alone,
            zorder=4,
            label=short_name(arm),
        )
    whole = {"band_low", "band_high"}.issubset(rows) and np.isfinite(rows["band_low"]).any()
    low, high = ("band_low", "band_high") if whole else ("ci_low", "ci_high")
    axes.fill_between(
        minutes, rows[low], rows[high], color=colour, alpha=0.22 if whole else 0.1, lw=0, zorder=3
    )

    if alone:
        lows, highs = rows[low].to_numpy(), rows[high].to_numpy()
        axes.vlines(minutes[alone], lows[alone], highs[alone], color=colour, lw=1.6, zorder=3)


def _alone(values: np.ndarray) -> list[int]:
    """Return the points without a neighbour, which a line does not show: one window, or gaps beside it."""
    known = np.concatenate([[False], np.isfinite(values.astype(float)), [False]])
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:]).tolist()


def _draw_features(axes: Axes, features: pd.DataFrame, rows: pd.DataFrame, colour: str) -> None:
    """Mark onset, peak and half-recovery on the curve, with their intervals along time."""
    curve = rows[(rows["level"] == "arm") & np.isfinite(rows["estimate"])].sort_values("time_s")
    times_s, values = curve["time_s"].to_numpy(), curve["estimate"].to_numpy()
    for name, mark in _FEATURE_MARKS.items():
        found = features.loc[features["feature"] == name, ["estimate", "ci_low", "ci_high"]].to_numpy(
            dtype=float
        )
        if not len(found) or not np.isfinite(found[0, 0]) or not times_s.size:
            continue
        at_s, *interval_s = found[0]
        height = float(np.interp(at_s, times_s, values))
        axes.plot(at_s / 60, height, mark, color=colour, ms=12 if mark == "|" else 6, mew=1.8, zorder=6)
        if np.isfinite(interval_s).all():
            ends = np.clip(interval_s, times_s[0], times_s[-1]) / 60
            axes.plot(ends, [height, height], color=colour, lw=1.2, zorder=5)
