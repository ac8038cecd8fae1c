"""Figures of a switch analysis. Every function returns a matplotlib ``Figure`` to edit and to save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.rates import PAIR
from nwbswitch.analysis.figures.svg_elements import animal_gid, plain_text, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), distinguishable with every common colour vision deficiency.
REFERENCE_COLOUR = "#5c6773"
ARM_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "v", "P", "X")
"""One per arm colour, so that arms stay apart in grey print; the reference arm is a ring."""
INK = "#1d2733"
RULE = "#9aa5b1"
FAINT = "#c3cbd4"
BAND = "#e8edf2"
LABELS = {
    "G": "Net drive G (log2)",
    "R_act": "Active neurons R_act (log2)",
    "R_sil": "Silent neurons R_sil (log2)",
    "SW": "Switch contrast SW (log2)",
    "rho_star": "State correlation ρ*",
    "tau_c": "Conditional τ",
    "M": "Excess remapping M",
}
_MEANINGS = {
    "rho_star": (
        (1.0, "the same neurons\nstay active"),
        (0.0, "activity is\ndealt anew"),
        (-0.7, "active and silent\nchange places"),
    )
}
MAX_POINTS = 2000
"""More neurons than this are drawn as a density, not as points."""
_MANY = 40


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
    explained: bool = False,
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
    explained
        Say beside the axis what its values mean, where there are words for them.
    """
    figure, axes = panel(max(3.3, 0.85 * len(arms)) + (1.1 if explained else 0.0), 3.3)
    rows = estimates[(estimates["contrast"] == contrast) & (estimates["estimand"] == estimand)]
    if not np.isfinite(rows["estimate"]).any():
        axes.text(0.5, 0.6, "not estimable", ha="center", transform=axes.transAxes, color=REFERENCE_COLOUR)
    if margin is not None:
        axes.axhspan(-margin, margin, color=BAND, zorder=0, lw=0)
    axes.axhline(0, color=RULE, lw=0.8, zorder=1)
    animals = rows[rows["level"] == "animal"].pivot_table(index="animal", columns="arm", values="estimate")
    animals = animals.reindex(columns=list(arms))
    _draw_animals(axes, animals, arm_colours(arms, reference), reference)
    for place, arm in enumerate(arms):
        pooled = rows[(rows["level"] == "arm") & (rows["arm"] == arm)]
        if len(pooled) and np.isfinite(pooled["estimate"].iloc[0]):
            _draw_pooled(axes, place + 0.24, pooled.iloc[0], arm_colours(arms, reference)[arm])
    _name_arms(axes, arms)
    with plain_text():
        axes.set_ylabel(LABELS.get(estimand, estimand))
    if explained and estimand in _MEANINGS:
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, -1.0), max(high, 1.15))
        for value, words in _MEANINGS[estimand]:
            axes.annotate(
                words,
                (1.02, value),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
                color=REFERENCE_COLOUR,
            )
    return figure


def _draw_animals(axes: Axes, animals: pd.DataFrame, colours: Mapping[str, str], reference: str) -> None:
    few = len(animals) <= _MANY
    # Neighbours in size step aside, so that animals with the same value are all seen.
    lanes = 5 if few else 15
    aside = 0.12 * (animals.rank(method="first") % lanes / (lanes - 1) - 0.5).fillna(0).to_numpy()
    for steps, (animal, row) in zip(aside, animals.iterrows(), strict=True):
        values = row.to_numpy(dtype=float)
        places = np.arange(len(animals.columns)) + steps
        gid = animal_gid(str(animal))
        if np.isfinite(values).sum() > 1:
            # Of many animals the lines would be one grey field.
            shade = min(1.0, max(0.15, _MANY / len(animals)))
            axes.plot(places, values, color=FAINT, lw=0.9 if few else 0.5, alpha=shade, zorder=2, gid=gid)
        for place, arm in enumerate(animals.columns):
            if np.isfinite(values[place]):
                axes.plot(
                    places[place],
                    values[place],
                    marker=_marker(arm, colours, reference),
                    ms=5.2 if few else 3.2,
                    mfc="white" if arm == reference else colours[arm],
                    mec=colours[arm],
                    mew=1.2,
                    alpha=0.9 if few else 0.6,
                    zorder=3,
                    gid=gid,
                )


def _draw_pooled(axes: Axes, place: float, row: pd.Series, colour: str) -> None:
    axes.errorbar(
        place,
        row["estimate"],
        yerr=interval_arms(row["estimate"], row["ci_low"], row["ci_high"]),
        fmt="D",
        ms=6,
        color=colour,
        capsize=0,
        lw=2,
        zorder=4,
    )


def _name_arms(axes: Axes, arms: Sequence[str]) -> None:
    axes.set_xlim(-0.4, len(arms) - 0.4)
    names = [short_name(arm) for arm in arms]
    with plain_text():
        axes.set_xticks(np.arange(len(arms)), names)
        axes.tick_params(axis="x", length=0)
        if max(map(len, names)) * len(arms) > 36:  # names that would run into each other
            axes.tick_params(axis="x", labelrotation=25)
            for name in axes.get_xticklabels():
                name.set(ha="right", rotation_mode="anchor")


def _marker(arm: str, colours: Mapping[str, str], reference: str) -> str:
    if arm == reference:
        return "o"
    return MARKERS[[name for name in colours if name != reference].index(arm) % len(MARKERS)]


def window_pair(cells: pd.DataFrame) -> tuple[str, str] | None:
    """Return the two windows to compare: baseline and drug, else the pseudo-injection pair, else None."""
    there = set(cells["window"])
    pairs = (("baseline", "drug"), ("pseudo_baseline", "pseudo_drug"))
    return next((pair for pair in pairs if there.issuperset(pair)), None)


def neurons_figure(
    cells: pd.DataFrame, title: str, *, windows: tuple[str, str] = PAIR, colour: str = INK
) -> Figure:
    """Show the event rate of every neuron before and after, for the cells of one arm.

    Up to `MAX_POINTS` neurons are points; more are a density, whose shade is the number of neurons on a
    logarithmic scale.

    Parameters
    ----------
    cells
        Cells table of one arm, or its sums over blocks.
    title
        Name of the arm.
    windows
        The two windows, earlier first.
    colour
        Colour of the points.
    """
    keys = ["animal", "session", "plane", "neuron"]
    sums = cells.groupby([*keys, "window"], observed=True)[["n_events", "exposure_s"]].sum()
    sums = sums[sums["exposure_s"] > 0]
    per_min = (60 * sums["n_events"] / sums["exposure_s"]).unstack("window").reindex(columns=list(windows))
    per_min = per_min.dropna()
    figure, axes = panel(3.3, 3.3)
    rng = np.random.default_rng(0)
    before, after = (
        np.sqrt(np.clip(per_min[window].to_numpy() + rng.uniform(-0.04, 0.04, len(per_min)), 0, None))
        for window in windows
    )
    top = max(1.0, float(np.nanmax([before, after], initial=0.0)) * 1.05)
    if len(per_min) > MAX_POINTS:
        _draw_density(axes, before, after, top, colour)
    else:
        animals = per_min.index.get_level_values("animal")
        for animal in animals.unique():
            own = np.asarray(animals == animal)
            axes.plot(
                before[own],
                after[own],
                "o",
                ms=2.8,
                color=colour,
                alpha=0.4,
                mew=0,
                gid=animal_gid(str(animal)),
            )
    axes.plot([0, top], [0, top], color=RULE, lw=0.9)
    ticks = np.array([tick for tick in (0, 0.5, 2, 5, 10, 20, 40, 80, 160, 320) if np.sqrt(tick) <= top])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.sqrt(ticks), [f"{tick:g}" for tick in ticks])
    margin = 0.02 * top
    axes.set(xlim=(-margin, top), ylim=(-margin, top))
    with plain_text():
        axes.set_title(short_name(title, 40), fontsize=10, loc="left")
    axes.set_xlabel(f"{windows[0].replace('_', ' ')} (events per min)")
    axes.set_ylabel(f"{windows[1].replace('_', ' ')} (events per min)")
    axes.set_aspect("equal")
    return figure


def _draw_density(axes: Axes, before: np.ndarray, after: np.ndarray, top: float, colour: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    edges = np.linspace(0, top, 41)
    counts, _, _ = np.histogram2d(before, after, bins=[edges, edges])
    shades = LinearSegmentedColormap.from_list("arm", ["#f1f3f5", colour, INK])
    shown = np.ma.masked_equal(counts.T, 0)
    axes.pcolormesh(edges, edges, shown, cmap=shades, norm=LogNorm(1, max(2, counts.max())), lw=0)


def controls_figure(estimates: pd.DataFrame, estimand: str, *, arms: Sequence[str], reference: str) -> Figure:
    """Show the effect beside its negative controls: pseudo-injection (N1) and reference arm (N2)."""
    rows = estimates[(estimates["level"] == "arm") & (estimates["estimand"] == estimand)]
    colours = arm_colours(arms, reference)
    there = set(zip(rows["arm"], rows["contrast"], strict=True))
    entries = [
        (f"{short_name(arm)}: {words}", arm, contrast)
        for arm in arms
        for contrast, words in (("drug", "drug window"), ("pseudo", "pseudo-injection"))
        if (arm, contrast) in there
    ]
    figure, axes = panel(4.4, 0.9 + 0.34 * len(entries))
    axes.axvline(0, color=RULE, lw=0.8)
    for place, (_, arm, contrast) in enumerate(reversed(entries)):
        row = rows[(rows["arm"] == arm) & (rows["contrast"] == contrast)].iloc[0]
        draw_interval(axes, place, row, colour=colours[arm], filled=contrast == "drug")
    name_rows(axes, [name for name, _, _ in entries])
    with plain_text():
        axes.set_xlabel(LABELS.get(estimand, estimand))
    return figure


def checks_figure(
    effect: Mapping[str, Any],
    checks: Mapping[str, Mapping[str, Any] | None],
    *,
    margin: float,
    title: str,
    colour: str = ARM_COLOURS[0],
) -> Figure:
    """Show excess remapping under the drug beside each negative control, on one axis.

    Parameters
    ----------
    effect
        M against the reference: ``estimate``, ``ci_low``, ``ci_high``, None where there is none.
    checks
        The same for each control, by name; None for a control without such a number.
    margin
        Largest M that counts as none, drawn as a band.
    title
        What the effect is of.
    colour
        Colour of the effect.
    """
    others = ((short_name(name), check, False) for name, check in checks.items())
    entries = [(short_name(title), effect, True), *others]
    figure, axes = panel(4.4, 0.9 + 0.34 * len(entries))
    axes.axvspan(-margin, margin, color=BAND, zorder=0, lw=0)
    axes.axvline(0, color=RULE, lw=0.8)
    for place, (_, row, is_effect) in enumerate(reversed(entries)):
        draw_interval(axes, place, row or {}, colour=colour if is_effect else INK, filled=is_effect)
    name_rows(axes, [name for name, _, _ in entries])
    axes.set_xlabel(LABELS["M"])
    return figure


def draw_interval(
    axes: Axes, place: float, row: Mapping[str, Any] | pd.Series, *, colour: str, filled: bool
) -> None:
    """Draw an estimate with its interval at one height, or the words for one that is not there."""
    estimate, low, high = (_number(row.get(name)) for name in ("estimate", "ci_low", "ci_high"))
    if not np.isfinite(estimate):
        axes.annotate(
            "no number",
            (0.5, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=REFERENCE_COLOUR,
        )
        return
    axes.errorbar(
        estimate,
        place,
        xerr=interval_arms(estimate, low, high),
        fmt="o",
        mfc=colour if filled else "white",
        color=colour,
        ms=6,
        mew=1.3,
        capsize=0,
        lw=1.6,
    )


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of a figure, the first on top."""
    with plain_text():
        axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def panel(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    """Return an empty figure with one set of axes in the style of all figures."""
    from matplotlib.figure import Figure

    with plain_text():
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        axes = figure.add_subplot()
    style_axes(axes)
    return figure, axes


def style_axes(axes: Axes) -> None:
    """Give axes the style of all figures."""
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(RULE)
    axes.tick_params(color=RULE, labelcolor=INK, labelsize=9)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_fontsize(9.5)
        text.set_color(INK)


def interval_arms(estimate: float, low: float, high: float) -> np.ndarray | None:
    """Return the arms of an error bar, shape (2, 1), or None where the interval is not known."""
    if not np.isfinite([low, high]).all():
        return None
    # Two ways of rounding may leave an end a hair on the wrong side.
    return np.array([[max(0.0, estimate - low)], [max(0.0, high - estimate)]])


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
