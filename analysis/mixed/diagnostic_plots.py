"""Diagnostics of a mixed model on one page. Every panel function draws into one pair of axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.figures.switch_figures import ARM_COLOURS, INK, REFERENCE_COLOUR
from nwbswitch.analysis.mixed.estimates import sd_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nwbswitch.analysis.mixed.diagnostics import Diagnostics

SUFFIXES: Final = (".png", ".svg", ".pdf")
MANY_POINTS: Final = 5000
"""Above this, a scatter becomes hexagons, and quantiles are drawn at this many ranks."""
MANY_MARKS: Final = 1000
"""Above this, marks are drawn as pixels in a vector graphic."""
MANY_GROUPS: Final = 25
"""Above this, only the groups that stand out carry a name, and small panels show these only."""
_LINE: Final = "#9aa5b1"
_MARKS: Final = ("o", "s", "^", "D", "v", "P")
Panel = Callable[["Axes"], None]


def diagnostics_figure(found: Diagnostics, *, profile: bool = False) -> Figure:
    """Return all plots on one page, two in a row.

    Parameters
    ----------
    found
        Diagnostics of the fit.
    profile
        Whether to add profiles of the SDs, the residual's and the outermost first, at most six: this needs
        some hundred fits.
    """
    from matplotlib.figure import Figure

    panels: list[Panel] = []
    if (residuals := found.residuals) is not None:
        panels += [
            lambda axes: draw_residuals(axes, residuals),
            lambda axes: draw_residual_quantiles(axes, residuals),
        ]
    if found.effects["z"].notna().any():
        panels.append(lambda axes: draw_effect_quantiles(axes, found.effects))
        panels.append(lambda axes: draw_caterpillar(axes, _outermost(found)))
    if (leverage := found.leverage) is not None:
        panels.append(lambda axes: draw_leverage(axes, leverage))
    if (influence := found.influence) is not None and influence["shift"].notna().any():
        panels.append(lambda axes: draw_influence(axes, influence))
    if profile:
        names = sd_names(found.fit.model)
        table = found.fit.profile(terms=[*names[-1:], *reversed(names[:-1])][: len(ARM_COLOURS)]).zeta_table()
        panels.append(lambda axes: draw_profile(axes, table))
    rows = max(1, (len(panels) + 1) // 2)
    figure = Figure(figsize=(9.0, 3.5 * rows + 0.4), layout="constrained")
    grid = figure.add_gridspec(rows, 2)
    for place, panel in enumerate(panels):
        last_alone = place == len(panels) - 1 and place % 2 == 0
        axes = figure.add_subplot(grid[place // 2, :] if last_alone else grid[place // 2, place % 2])
        _style(axes)
        panel(axes)
        axes.title.set_fontsize(9)
    text = " ".join(found.fit.model.formula.text.split())
    figure.suptitle(text if len(text) <= 100 else text[:99] + "…", fontsize=10, color=INK)
    return figure


def _outermost(found: Diagnostics) -> pd.DataFrame:
    """Return the first effect that has scatter, from the outermost level inwards."""
    scattered = found.effects[found.effects["z"].notna()]
    for level in reversed(found.fit.model.levels):
        for block in level.blocks:
            own = scattered[scattered["group"] == block.label]
            if len(own):
                first: pd.DataFrame = own[own["term"] == own["term"].iloc[0]]
                return first
    return scattered


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, SVG or PDF by the ending of ``path``, with the same bytes every time.

    Raises
    ------
    ValueError
        For another ending.
    """
    import matplotlib as mpl

    from nwbswitch.schemas.files import replaced

    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path.name} is no {', '.join(SUFFIXES)} file; give one of these endings.")
    metadata = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
    dates = {"CreationDate": None, "Creator": None, "Producer": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "nwbswitch"}), replaced(path) as partial:
        figure.savefig(partial, format=suffix[1:], dpi=150, metadata=metadata.get(suffix, dates))
    return path


def draw_residuals(axes: Axes, residuals: pd.DataFrame) -> None:
    """Draw scaled residuals against fitted values, with the mean in twenty bins of equal count."""
    x, y = residuals["fitted"].to_numpy(), residuals["scaled"].to_numpy()
    if len(x) > MANY_POINTS:
        drawn = axes.hexbin(x, y, gridsize=45, bins="log", cmap="Greys", mincnt=1, lw=0, alpha=0.7)
        bar = axes.figure.colorbar(drawn, ax=axes, pad=0.01)
        bar.set_label("rows", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    else:
        axes.scatter(x, y, s=9, color=INK, alpha=0.45, lw=0, rasterized=len(x) > MANY_MARKS)
    axes.axhline(0.0, color=_LINE, lw=0.8)
    parts = np.array_split(np.argsort(x), min(20, max(1, len(x) // 10)))
    if len(parts) > 1:
        at = [float(x[part].mean()) for part in parts]
        axes.plot(at, [float(y[part].mean()) for part in parts], color=ARM_COLOURS[0], lw=1.6, label="mean")
        spread = np.array([float(y[part].std()) for part in parts])
        for sign in (-1.0, 1.0):
            label = "±1 SD" if sign > 0 else None
            axes.plot(at, sign * spread, color=ARM_COLOURS[1], lw=1.2, ls="--", label=label)
        axes.legend(fontsize=7, frameon=False, loc="best")
    axes.set(xlabel="fitted value", ylabel="residual / σ", title="Residuals")


def draw_residual_quantiles(axes: Axes, residuals: pd.DataFrame) -> None:
    """Draw the quantiles of the scaled residuals against those of the normal distribution."""
    from scipy.special import ndtr, ndtri

    values = np.sort(residuals["scaled"].to_numpy())
    n = len(values)
    rank = np.arange(n)
    title = "Residual quantiles"
    if n > MANY_POINTS:
        # Evenly along the line: of the middle few, of the tails all.
        end = ndtri((n - 0.375) / (n + 0.25))
        along = ndtr(np.linspace(-end, end, MANY_POINTS)) * (n + 0.25) - 0.625
        rank = np.unique(np.clip(along.round().astype(np.int64), 0, n - 1))
        title += f" ({len(rank):,} of {n:,} rows)"
    quantile = ndtri((rank + 0.625) / (n + 0.25))
    axes.plot(quantile, quantile, color=_LINE, lw=0.8)
    many = len(rank) > MANY_MARKS
    axes.scatter(quantile, values[rank], s=8, color=INK, alpha=0.6, lw=0, rasterized=many)
    axes.set(xlabel="normal quantile", ylabel="residual / σ", title=title)


def draw_effect_quantiles(axes: Axes, effects: pd.DataFrame) -> None:
    """Draw the quantiles of every group's effects, each in SD among groups, against the normal ones."""
    known = effects[effects["z"].notna()]
    sets = list(known.groupby(["group", "term"], sort=False))
    for place, ((group, term), own) in enumerate(sets[: len(ARM_COLOURS)]):
        own = own.sort_values("quantile")
        if len(own) > MANY_POINTS:
            own = own.iloc[np.linspace(0, len(own) - 1, MANY_POINTS).astype(int)]
        axes.scatter(
            own["quantile"],
            own["z"],
            s=14,
            marker=_MARKS[place],
            color=ARM_COLOURS[place],
            alpha=0.75,
            lw=0,
            rasterized=len(own) > MANY_MARKS,
            label=_short(f"{group}: {term}"),
        )
    low, high = float(known["quantile"].min()), float(known["quantile"].max())
    axes.plot([low, high], [low, high], color=_LINE, lw=0.8, zorder=0)
    _legend_below(axes)
    left_out = len(sets) - len(ARM_COLOURS)
    title = "Effects of groups" + (f" ({left_out} more not shown)" if left_out > 0 else "")
    axes.set(xlabel="normal quantile", ylabel="effect / SD", title=title)


def draw_caterpillar(axes: Axes, effects: pd.DataFrame) -> None:
    """Draw one effect of every group in order, with its 95 % interval where that is known."""
    own = effects.sort_values("estimate").reset_index(drop=True)
    places = np.arange(len(own))
    if own["sd"].notna().any():
        thin = min(1.0, MANY_GROUPS / len(own))
        axes.errorbar(own["estimate"], places, xerr=1.96 * own["sd"], fmt="none", ecolor=_LINE, lw=thin)
    axes.scatter(own["estimate"], places, s=16 if len(own) <= MANY_GROUPS else 5, color=ARM_COLOURS[1], lw=0)
    axes.axvline(0.0, color=_LINE, lw=0.8)
    _named_places(axes, places, own["level"].tolist())
    group, term = own["group"].iloc[0], own["term"].iloc[0]
    axes.set(xlabel="effect", title=_short(f"{group}: {term}"))


def draw_leverage(axes: Axes, leverage: pd.DataFrame) -> None:
    """Draw the share of the fixed effects' information that each cluster has, the largest on top."""
    shown = leverage.nlargest(MANY_GROUPS, "leverage").iloc[::-1]
    places = np.arange(len(shown))
    colours = np.where(shown["high"], ARM_COLOURS[0], ARM_COLOURS[1])
    axes.hlines(places, 0.0, shown["leverage"], color=_LINE, lw=1.0)
    axes.scatter(shown["leverage"], places, s=18, color=colours, lw=0)
    mean = float(leverage["leverage"].mean())
    axes.axvline(mean, color=REFERENCE_COLOUR, lw=0.8, ls="--")
    _named_places(axes, places, shown["level"].tolist())
    group = leverage["group"].iloc[0]
    axes.set(
        xlabel="leverage (dashed: mean)",
        title=_short(f"Leverage of {group}") + _of(len(shown), len(leverage)),
    )
    axes.set_xlim(left=0.0)


def draw_influence(axes: Axes, influence: pd.DataFrame) -> None:
    """Draw how far each coefficient moves, in standard errors, when one cluster is left out.

    ``influence`` has the columns level, term, shift (in standard errors).
    """
    influence = influence[influence["shift"].notna()]
    names = list(dict.fromkeys(influence["term"]))
    terms = names[: len(ARM_COLOURS)]
    size = influence.groupby("level", sort=False)["shift"].apply(lambda values: float(np.abs(values).max()))
    levels = size.nlargest(MANY_GROUPS).index[::-1].tolist()
    place = {level: position for position, level in enumerate(levels)}
    for number, term in enumerate(terms):
        own = influence[(influence["term"] == term) & influence["level"].isin(levels)]
        axes.scatter(
            own["shift"],
            [place[level] for level in own["level"]],
            s=16,
            marker=_MARKS[number],
            color=ARM_COLOURS[number],
            alpha=0.8,
            lw=0,
            label=_short(term),
        )
    axes.axvline(0.0, color=_LINE, lw=0.8)
    _named_places(axes, np.arange(len(levels)), levels)
    _legend_below(axes)
    group = influence["group"].iloc[0]
    axes.set(
        xlabel="change of the estimate / SE",
        title=_short(f"Without one {group}") + _of(len(levels), len(size)),
    )


def draw_profile(axes: Axes, profile: pd.DataFrame) -> None:
    """Draw zeta, the signed root of the rise of the criterion, along parameters of the covariance.

    ``profile`` has the columns parameter, value, zeta, estimate. A straight line means that a
    Wald interval is good (Bates et al. 2015, section 5.1). Each parameter is drawn from its estimate on, in
    parts of the range where zeta is below 3.5.
    """
    shown = profile[profile["zeta"].abs() < 3.5]
    for number, (name, own) in enumerate(shown.groupby("parameter", sort=False)):
        span = float(np.ptp(own["value"])) or 1.0
        at = (own["value"] - own["estimate"]) / span
        axes.plot(
            at, own["zeta"], color=ARM_COLOURS[number % len(ARM_COLOURS)], lw=1.4, label=_short(str(name))
        )
    for level in (-1.96, 0.0, 1.96):
        axes.axhline(level, color=_LINE, lw=0.8, ls="--" if level else "-")
    _legend_below(axes)
    axes.set(xlabel="distance from the estimate / range shown", ylabel="ζ", title="Profiles of SDs")


def _named_places(axes: Axes, places: np.ndarray, names: Sequence[str]) -> None:
    if len(names) <= MANY_GROUPS:
        axes.set_yticks(places, [_short(name, 24) for name in names], fontsize=7)
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(names):,} groups", fontsize=8)
    axes.set_ylim(-0.7, len(names) - 0.3)


def _of(shown: int, there: int) -> str:
    return "" if shown == there else f" (largest {shown} of {there:,})"


def _short(text: str, length: int = 44) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _legend_below(axes: Axes) -> None:
    axes.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.15), ncol=2)


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(_LINE)
    axes.tick_params(colors=INK, labelsize=8)
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set_fontsize(9)
