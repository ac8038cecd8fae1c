"""Figures of a meta-analysis. Every function returns a matplotlib ``Figure`` to edit and to save."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.figures.svg_elements import plain_text, short_name
from nwbswitch.analysis.figures.switch_figures import (
    ARM_COLOURS,
    BAND,
    FAINT,
    INK,
    REFERENCE_COLOUR,
    RULE,
    panel,
)
from nwbswitch.analysis.meta_analysis.meta_text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nwbswitch.analysis.meta_analysis.forest import ForestData
    from nwbswitch.analysis.meta_analysis.funnel import FunnelData
    from nwbswitch.analysis.meta_analysis.leave_one_out import Refits
    from nwbswitch.analysis.meta_analysis.meta_result import MetaFit

POOLED_COLOUR, SECOND_COLOUR = ARM_COLOURS[0], ARM_COLOURS[1]
MAX_NUMBERED = 80
"""With more rows than this the numbers at the right are left out."""
_ROW_IN = 0.22


def forest_figure(data: ForestData, *, xlabel: str = "Effect", numbers: bool = True) -> Figure:
    """Draw a forest plot: studies, subgroups, pooled diamonds with prediction intervals.

    Parameters
    ----------
    data
        From `forest.forest_data`. The area of a square is proportional to the weight of its study.
    xlabel
        Name of the effect.
    numbers
        Write estimate and interval at the right.
    """
    rows = _forest_rows(data)
    figure, axes = panel(4.9 if numbers else 3.9, 1.0 + _ROW_IN * len(rows))
    digits = _digits(data.studies["estimate"])
    heaviest = float(data.studies["weight"].fillna(1.0).max())
    axes.axvline(0.0, color=RULE, lw=0.8, zorder=0)
    names: list[str] = []
    written: list[str] = []
    for place, (kind, row) in enumerate(rows):
        y = -place
        name, text = "", ""
        match kind:
            case "heading":
                name = short_name(str(row["group"]) or "(empty)")
            case "study":
                name, text = short_name(str(row["label"])), _interval_text(row, digits)
                _draw_study(axes, y, row, heaviest)
            case _:
                every = f"all {plural(data.unit)}" if data.subgroups is not None else "pooled"
                name = every if not row["group"] else "pooled"
                text = _interval_text(row, digits)
                if row["status"] == "ok":
                    _draw_diamond(axes, y, row, POOLED_COLOUR if not row["group"] else SECOND_COLOUR)
        names.append(name)
        written.append(text)
    _name_rows(axes, names, written if numbers and len(rows) <= MAX_NUMBERED else None)
    for label, (kind, _) in zip(axes.get_yticklabels(), rows, strict=True):
        if kind != "study":
            label.set_fontweight("bold")
    axes.set_ylim(-len(rows) + 0.3, 0.7)
    with plain_text():
        axes.set_xlabel(xlabel)
    return figure


def _forest_rows(data: ForestData) -> list[tuple[str, pd.Series]]:
    rows: list[tuple[str, pd.Series]] = []
    for _, pooled in data.pooled.iterrows():
        own = data.studies[data.studies["group"] == pooled["group"]]
        last = pooled["group"] == "" and data.subgroups is not None
        if not last:
            if data.subgroups is not None:
                rows.append(("heading", pooled))
            rows += [("study", row) for _, row in own.iterrows()]
        rows.append(("pooled", pooled))
    return rows


def _draw_study(axes: Axes, y: float, row: pd.Series, heaviest: float) -> None:
    weight = float(row["weight"])
    area = 8.0 + 52.0 * (weight / heaviest if np.isfinite(weight) else 0.2)  # none when not pooled
    axes.plot([row["ci_low"], row["ci_high"]], [y, y], color=INK, lw=1.0, zorder=2)
    axes.scatter([row["estimate"]], [y], s=area, marker="s", color=INK, lw=0, zorder=3)


def _draw_diamond(axes: Axes, y: float, row: pd.Series, colour: str) -> None:
    if np.isfinite([row["pi_low"], row["pi_high"]]).all():
        axes.plot([row["pi_low"], row["pi_high"]], [y, y], color=colour, lw=1.2, zorder=2)
    across = [row["ci_low"], row["estimate"], row["ci_high"], row["estimate"]]
    axes.fill(across, [y, y + 0.3, y, y - 0.3], color=colour, lw=0, zorder=3)


def refits_figure(refits: Refits, *, xlabel: str = "Effect", term: str | None = None) -> Figure:
    """Draw a leave-one-out or a cumulative meta-analysis: one interval per row.

    Parameters
    ----------
    refits
        From `leave_one_out.leave_one_out` or `cumulative.cumulative`; the band is the interval of the fit
        of all studies. Rows without an estimate keep their place.
    xlabel
        Name of the effect.
    term
        Coefficient to draw of a model with moderators.

    Raises
    ------
    ValueError
        If the model has moderators and ``term`` names none of its coefficients.
    """
    fit, rows = refits.fit, refits.rows
    which = 0
    if fit.has_moderators:
        if term not in fit.terms:
            raise ValueError(f"term is {term!r}; expected one of {', '.join(fit.terms)}.")
        rows, which = rows[rows["term"] == term], fit.terms.index(term)
    whole = fit.coefficients[which]
    figure, axes = panel(4.9, 1.0 + _ROW_IN * len(rows))
    axes.axvspan(whole.ci_low, whole.ci_high, color=BAND, lw=0, zorder=0)
    axes.axvline(whole.estimate, color=POOLED_COLOUR, lw=1.0, zorder=1)
    axes.axvline(0.0, color=RULE, lw=0.8, zorder=1)
    written, digits = [], _digits(rows["estimate"])
    for place, (_, row) in enumerate(rows.iterrows()):
        if row["status"] == "ok":
            axes.plot([row["ci_low"], row["ci_high"]], [-place, -place], color=INK, lw=1.0, zorder=2)
            axes.plot([row["estimate"]], [-place], "o", ms=4.5, color=INK, mew=0, zorder=3)
        written.append(_interval_text(row, digits))
    _name_rows(
        axes,
        [short_name(str(each)) for each in rows["label"]],
        written if len(rows) <= MAX_NUMBERED else None,
    )
    axes.set_ylim(-len(rows) + 0.3, 0.7)
    with plain_text():
        axes.set_title(refits.what, loc="left", fontsize=9, color=INK)
        axes.set_xlabel(xlabel)
    return figure


def funnel_figure(data: FunnelData, *, xlabel: str = "Effect") -> Figure:
    """Draw a contour-enhanced funnel plot: shades show where a study alone has P below .10, .05 and .01.

    Parameters
    ----------
    data
        From `funnel.funnel_data`; imputed studies are drawn open.
    xlabel
        Name of the effect.
    """
    from scipy.stats import norm

    figure, axes = panel(4.4, 3.8)
    points = data.points
    top = 1.06 * float(points["se"].max())
    edges = np.array([0.0, top])
    shades = ("#f4f6f8", "#dfe5eb", "#c6d0da")
    outer = 3.0 * top + float((points["effect"] - data.reference).abs().max())
    limits = [*[float(norm.isf(each / 2.0)) for each in data.contours], outer / top]
    for side in (-1.0, 1.0):
        for (z, z_next), shade, p in zip(pairwise(limits), shades, data.contours, strict=True):
            inner, far = (data.reference + side * each * edges for each in (z, z_next))
            label = f"P < {p:.2f}".replace("0.", ".") if side > 0 else None
            axes.fill_betweenx(edges, inner, far, color=shade, lw=0, zorder=0, label=label)
    z = float(norm.ppf(0.5 + data.level / 2.0))
    axes.axvline(data.centre, color=POOLED_COLOUR, lw=1.0, zorder=1)
    for side in (-1.0, 1.0):
        axes.plot(data.centre + side * z * edges, edges, color=POOLED_COLOUR, lw=0.9, ls="--", zorder=1)
    for imputed, face in ((False, INK), (True, "white")):
        own = points[points["imputed"] == imputed]
        if len(own):
            name = "imputed" if imputed else "studies"
            axes.scatter(
                own["effect"], own["se"], s=20, facecolor=face, edgecolor=INK, lw=0.9, zorder=3, label=name
            )
    spread = np.r_[points["effect"], data.centre - z * top, data.centre + z * top]
    axes.set_xlim(
        float(spread.min()) - 0.05 * float(np.ptp(spread)), float(spread.max()) + 0.05 * float(np.ptp(spread))
    )
    axes.set_ylim(top, 0.0)
    axes.set_ylabel("Standard error")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    with plain_text():
        axes.set_xlabel(xlabel)
    return figure


def baujat_figure(table: pd.DataFrame, *, named: int = 5) -> Figure:
    """Draw a Baujat plot: what each study adds to the heterogeneity, and to the pooled effect.

    Parameters
    ----------
    table
        From `influence.baujat`.
    named
        How many studies to name, those farthest from the origin; fewer where names would overlap.
    """
    figure, axes = panel(4.4, 3.6)
    x, y = table["heterogeneity"].to_numpy(), table["influence"].to_numpy()
    axes.scatter(x, y, s=20, color=INK, lw=0, zorder=3)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    scale = np.array([np.max(x[known], initial=0.0) or 1.0, np.max(y[known], initial=0.0) or 1.0])
    far = known[np.argsort(-np.hypot(x[known] / scale[0], y[known] / scale[1]), kind="stable")[:named]]
    taken: list[float] = []
    with plain_text():
        for i in far:
            if any(abs(y[i] - other) < 0.06 * scale[1] for other in taken):
                continue  # its name would lie on another
            taken.append(float(y[i]))
            right = x[i] > 0.6 * scale[0]
            axes.annotate(
                short_name(str(table["label"].iloc[i])),
                (x[i], y[i]),
                xytext=(-5 if right else 5, 3),
                textcoords="offset points",
                ha="right" if right else "left",
                fontsize=8,
                color=INK,
            )
    axes.set_xlim(0.0, 1.08 * scale[0])
    axes.set_ylim(0.0, 1.12 * scale[1])
    axes.set_xlabel("Contribution to heterogeneity")
    axes.set_ylabel("Influence on the pooled effect")
    return figure


def bubble_figure(fit: MetaFit, term: str, *, xlabel: str | None = None, ylabel: str = "Effect") -> Figure:
    """Draw a meta-regression against one of its numbers, with its interval and prediction interval.

    Parameters
    ----------
    fit
        A pooled meta-regression; other columns are held at their means. Areas are proportional to weights.
    term
        A coefficient such as ``year``.
    xlabel, ylabel
        Names of the axes.

    Raises
    ------
    ValueError
        If ``term`` is no coefficient other than the intercept.
    """
    if term not in fit.terms or term == "(Intercept)" or not fit.pooled:
        known = ", ".join(each for each in fit.terms if each != "(Intercept)")
        raise ValueError(
            f"term is {term!r}; expected one of: {known or 'none, the model has no moderators'}."
        )
    column = fit.terms.index(term)
    X = fit.problem.design
    x = X[:, column]
    at = np.tile(X.mean(axis=0), (60, 1))
    at[:, column] = np.linspace(x.min(), x.max(), 60)
    line = fit.predict(at)
    figure, axes = panel(4.4, 3.6)
    axes.axhline(0.0, color=RULE, lw=0.8, zorder=0)
    axes.fill_between(
        at[:, column], line["pi_low"], line["pi_high"], color=BAND, lw=0, zorder=0, label="prediction"
    )
    axes.fill_between(
        at[:, column], line["ci_low"], line["ci_high"], color=FAINT, lw=0, zorder=1, label="mean"
    )
    axes.plot(at[:, column], line["estimate"], color=POOLED_COLOUR, lw=1.6, zorder=2)
    weight = fit.studies["weight"].to_numpy()
    axes.scatter(
        x,
        fit.problem.effect,
        s=10.0 + 90.0 * weight / weight.max(),
        facecolor="none",
        edgecolor=INK,
        lw=1.0,
        zorder=3,
    )
    figure.legend(
        loc="outside lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
        title=f"{100 * fit.level:g} % intervals",
        title_fontsize=8,
    )
    with plain_text():
        axes.set_xlabel(xlabel or term)
        axes.set_ylabel(ylabel)
    return figure


def _name_rows(axes: Axes, names: Sequence[str], written: Sequence[str] | None) -> None:
    """Name rows at 0, -1, ... at the left, with numbers at the right."""
    with plain_text():
        axes.set_yticks(-np.arange(len(names)), list(names))
    axes.tick_params(axis="y", length=0, labelsize=8)
    if written is None:
        return
    right: Any = axes.secondary_yaxis("right")
    right.set_yticks(-np.arange(len(names)), list(written))
    right.tick_params(axis="y", length=0, labelsize=8, colors=REFERENCE_COLOUR)
    right.spines["right"].set_visible(False)


def _digits(estimates: pd.Series) -> int:
    """Return how many decimals give the largest estimate three digits."""
    largest = float(estimates.abs().max())
    return (
        max(0, min(4, 2 - int(np.floor(np.log10(largest))))) if np.isfinite(largest) and largest > 0.0 else 2
    )


def _interval_text(row: pd.Series, digits: int) -> str:
    if row.get("status", "ok") != "ok":
        return "not pooled"
    numbers = [float(row["estimate"]), float(row["ci_low"]), float(row["ci_high"])]
    if not np.isfinite(numbers).all():
        return ""
    first, low, high = (f"{each:.{digits}f}".replace("-", "\N{MINUS SIGN}") for each in numbers)
    return f"{first} [{low}, {high}]"
