"""Figures of a switch analysis. Every function returns a matplotlib ``Figure`` to edit and to save."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.rates import PAIR, neuron_rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), distinguishable with every common colour vision deficiency.
REFERENCE_COLOUR = "#5c6773"
ARM_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK = "#1d2733"
LABELS = {
    "G": "Net drive G (log2)",
    "R_act": "Active neurons R_act (log2)",
    "R_sil": "Silent neurons R_sil (log2)",
    "SW": "Switch contrast SW (log2)",
    "rho_star": "State correlation ρ*",
    "tau_c": "Conditional τ",
    "M": "Excess remapping M",
}


def arm_colours(arms: Sequence[str], reference: str) -> dict[str, str]:
    """Return one colour per arm; the reference arm is grey."""
    others = [arm for arm in arms if arm != reference]
    colours = {arm: ARM_COLOURS[i % len(ARM_COLOURS)] for i, arm in enumerate(others)}
    return {reference: REFERENCE_COLOUR, **colours}


def animals_figure(
    estimates: pd.DataFrame,
    estimand: str,
    *,
    arms: Sequence[str],
    reference: str,
    margin: float | None = None,
    contrast: str = "drug",
) -> Figure:
    """Show one estimand for every animal and arm, with the estimate and 95 % interval of each arm.

    Parameters
    ----------
    estimates
        Estimates table of one cell type.
    estimand
        Its name, e.g. ``rho_star``.
    arms
        Arms from left to right. Lines join the recordings of one animal.
    reference
        The reference arm, drawn in grey.
    margin
        Equivalence margin, drawn as a band around zero.
    contrast
        ``drug`` or ``pseudo``.
    """
    figure, axes = _figure(max(3.9, 1.1 * len(arms)), 3.6)
    rows = estimates[(estimates["contrast"] == contrast) & (estimates["estimand"] == estimand)]
    if not np.isfinite(rows["estimate"]).any():
        axes.text(0.5, 0.6, "not estimable", ha="center", transform=axes.transAxes, color=REFERENCE_COLOUR)
    colours = arm_colours(arms, reference)
    if margin is not None:
        axes.axhspan(-margin, margin, color="#eef1f4", zorder=0, lw=0)
    axes.axhline(0, color="#9aa5b1", lw=0.8, zorder=1)
    animals = rows[rows["level"] == "animal"].pivot_table(index="animal", columns="arm", values="estimate")
    animals = animals.reindex(columns=list(arms))
    for values in animals.to_numpy():
        axes.plot(np.arange(len(arms)), values, color="#c3cbd4", lw=0.8, zorder=2)
    for place, arm in enumerate(arms):
        values = animals[arm].dropna().to_numpy()
        axes.scatter(
            np.full(len(values), place), values, s=22, color=colours[arm], alpha=0.75, zorder=3, lw=0
        )
        pooled = rows[(rows["level"] == "arm") & (rows["arm"] == arm)]
        if len(pooled) and np.isfinite(pooled["estimate"].iloc[0]):
            row = pooled.iloc[0]
            axes.errorbar(
                place + 0.22,
                row["estimate"],
                yerr=_arms_of_interval(row["estimate"], row["ci_low"], row["ci_high"]),
                fmt="D",
                ms=6,
                color=colours[arm],
                capsize=3,
                lw=1.6,
                zorder=4,
            )
    axes.set_xticks(np.arange(len(arms)), list(arms))
    if max(map(len, arms)) * len(arms) > 36:  # names that would run into each other
        axes.tick_params(axis="x", labelrotation=25)
        for name in axes.get_xticklabels():
            name.set(ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.4, len(arms) - 0.4)
    axes.set_ylabel(LABELS.get(estimand, estimand))
    return figure


def window_pair(cells: pd.DataFrame) -> tuple[str, str] | None:
    """Return the two windows to compare: baseline and drug, else the pseudo-injection pair, else None."""
    there = set(cells["window"])
    pairs = (("baseline", "drug"), ("pseudo_baseline", "pseudo_drug"))
    return next((pair for pair in pairs if there.issuperset(pair)), None)


def neurons_figure(
    cells: pd.DataFrame, title: str, *, windows: tuple[str, str] = PAIR, colour: str = INK
) -> Figure:
    """Show the event rate of every neuron before and after, for the cells of one arm.

    Parameters
    ----------
    cells
        Cells table of one arm.
    title
        Name of the arm.
    windows
        The two windows, earlier first.
    colour
        Colour of the points.
    """
    rates = neuron_rates(cells, windows=windows)
    sums = rates.groupby(["neuron", "window"], observed=True)[["n_events", "exposure_min"]].sum()
    per_min = (sums["n_events"] / sums["exposure_min"]).unstack("window").reindex(columns=list(windows))
    figure, axes = _figure(3.4, 3.4)
    rng = np.random.default_rng(0)
    before, after = (
        np.sqrt(np.clip(per_min[window] + rng.uniform(-0.04, 0.04, len(per_min)), 0, None))
        for window in windows
    )
    top = max(1.0, float(np.nanmax([before, after], initial=0.0)) * 1.05)
    axes.plot([0, top], [0, top], color="#9aa5b1", lw=0.8)
    axes.scatter(before, after, s=7, color=colour, alpha=0.35, lw=0, rasterized=len(before) > 2000)
    ticks = np.array([tick for tick in (0, 0.5, 2, 5, 10, 20, 40, 80) if np.sqrt(tick) <= top])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.sqrt(ticks), [f"{tick:g}" for tick in ticks])
    axes.set(xlim=(-0.05, top), ylim=(-0.05, top), title=title)
    axes.set_xlabel(f"{windows[0].replace('_', ' ')} (events per min)")
    axes.set_ylabel(f"{windows[1].replace('_', ' ')} (events per min)")
    axes.set_aspect("equal")
    return figure


def forest_figure(
    labels: Sequence[str],
    effects: np.ndarray,
    standard_errors: np.ndarray,
    *,
    pooled: tuple[float, float, float] | None,
    prediction: tuple[float, float] | None = None,
    xlabel: str,
) -> Figure:
    """Draw a forest plot.

    Parameters
    ----------
    labels, effects, standard_errors
        One per unit, shape (k,). Intervals are effect ± 1.96 standard errors.
    pooled
        Pooled estimate with its interval (estimate, low, high), drawn as a diamond.
    prediction
        Prediction interval, drawn as a thin line through the diamond.
    xlabel
        Name of the effect.
    """
    k = len(labels)
    figure, axes = _figure(4.6, 0.9 + 0.27 * (k + 1))
    places = np.arange(k, 0, -1)
    axes.axvline(0, color="#9aa5b1", lw=0.8)
    axes.errorbar(effects, places, xerr=1.96 * standard_errors, fmt="s", ms=4, color=INK, lw=1, capsize=2)
    names, at = list(labels), [int(place) for place in places]
    if pooled is not None and np.isfinite(pooled).all():
        estimate, low, high = pooled
        if prediction is not None and np.isfinite(prediction).all():
            axes.plot(prediction, [0, 0], color=ARM_COLOURS[0], lw=1)
        axes.fill([low, estimate, high, estimate], [0, 0.28, 0, -0.28], color=ARM_COLOURS[0], lw=0)
        names.append("pooled")
        at.append(0)
    axes.set_yticks(at, names)
    axes.set_ylim(-0.8, k + 0.8)
    axes.set_xlabel(xlabel)
    axes.tick_params(axis="y", length=0)
    return figure


def controls_figure(estimates: pd.DataFrame, estimand: str, *, arms: Sequence[str], reference: str) -> Figure:
    """Show the effect beside its negative controls: pseudo-injection (N1) and reference arm (N2)."""
    rows = estimates[(estimates["level"] == "arm") & (estimates["estimand"] == estimand)]
    colours = arm_colours(arms, reference)
    there = set(zip(rows["arm"], rows["contrast"], strict=True))
    entries = [
        (f"{arm}: {words}", arm, contrast)
        for arm in arms
        for contrast, words in (("drug", "drug window"), ("pseudo", "pseudo-injection"))
        if (arm, contrast) in there
    ]
    figure, axes = _figure(4.6, 0.9 + 0.36 * len(entries))
    axes.axvline(0, color="#9aa5b1", lw=0.8)
    for place, (_, arm, contrast) in enumerate(reversed(entries)):
        row = rows[(rows["arm"] == arm) & (rows["contrast"] == contrast)]
        if row.empty or not np.isfinite(row["estimate"].iloc[0]):
            axes.text(0, place, " not estimable", va="center", fontsize=8, color="#5c6773")
            continue
        first = row.iloc[0]
        axes.errorbar(
            first["estimate"],
            place,
            xerr=_arms_of_interval(first["estimate"], first["ci_low"], first["ci_high"]),
            fmt="o",
            mfc=colours[arm] if contrast == "drug" else "white",
            color=colours[arm],
            ms=6,
            capsize=3,
            lw=1.4,
        )
    axes.set_yticks(range(len(entries)), [name for name, _, _ in reversed(entries)])
    axes.set_ylim(-0.6, len(entries) - 0.4)
    axes.set_xlabel(LABELS.get(estimand, estimand))
    axes.tick_params(axis="y", length=0)
    return figure


def svg(figure: Figure, *, description: str) -> str:
    """Return a figure as an ``<svg>`` element with a text alternative, without a file or a network."""
    from html import escape

    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nwbswitch"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    element = text[text.index("<svg") :]
    label = escape(description, quote=True)
    return element.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def _figure(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color("#9aa5b1")
    axes.tick_params(colors=INK, labelsize=9)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_fontsize(10)
    return figure, axes


def _arms_of_interval(estimate: float, low: float, high: float) -> np.ndarray | None:
    if not np.isfinite([low, high]).all():
        return None
    return np.array([[estimate - low], [high - estimate]])
