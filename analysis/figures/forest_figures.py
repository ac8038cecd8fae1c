"""Forest plots of animals and of data sets. Every function returns a matplotlib ``Figure``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.figures.svg_elements import animal_gid, plain_text, short_name
from nwbswitch.analysis.figures.switch_figures import ARM_COLOURS, BAND, INK, RULE, panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NAMED = 80
"""With more units than this rows are thin and without names."""


def forest_figure(
    labels: Sequence[str],
    effects: np.ndarray,
    lows: np.ndarray,
    highs: np.ndarray,
    *,
    pooled: tuple[float, float, float] | None,
    prediction: tuple[float, float] | None = None,
    xlabel: str,
    margin: float | None = None,
    animals: bool = False,
    pooled_name: str = "pooled",
) -> Figure:
    """Draw a forest plot: one unit per row, the pooled estimate below.

    Parameters
    ----------
    labels, effects, lows, highs
        One per unit, shape (k,): name, estimate and interval. A unit without an estimate keeps its row.
    pooled
        Pooled estimate with its interval (estimate, low, high), drawn as a diamond.
    prediction
        Prediction interval, drawn as a thin line through the diamond.
    xlabel
        Name of the effect.
    margin
        Equivalence margin, drawn as a band around zero.
    animals
        Whether the units are animals.
    pooled_name
        Name of the last row.
    """
    k = len(labels)
    named = k <= MAX_NAMED
    height = 0.25 if named else max(0.03, 12 / k)
    figure, axes = panel(4.4, 1.1 + height * k)
    places = np.arange(k, 0, -1)
    step = max(1.0, 0.25 / height)
    if margin is not None:
        axes.axvspan(-margin, margin, color=BAND, zorder=0, lw=0)
    axes.axvline(0, color=RULE, lw=0.8)
    for place, label, effect, low, high in zip(places, labels, effects, lows, highs, strict=True):
        gid = animal_gid(label) if animals else None
        if np.isfinite([low, high]).all():
            axes.plot([low, high], [place, place], color=INK, lw=1.1 if named else 0.4, gid=gid)
        if np.isfinite(effect):
            axes.plot(effect, place, "s", ms=4.2 if named else 1.2, color=INK, mew=0, gid=gid)
    names = [short_name(label) for label in labels] if named else []
    at = [float(place) for place in places] if named else []
    if pooled is not None and np.isfinite(pooled).all():
        estimate, low, high = pooled
        if prediction is not None and np.isfinite(prediction).all():
            axes.plot(prediction, [1 - step, 1 - step], color=ARM_COLOURS[0], lw=1.2)
        half = 0.3 * step
        ends = [1 - step, 1 - step + half, 1 - step, 1 - step - half]
        axes.fill([low, estimate, high, estimate], ends, color=ARM_COLOURS[0], lw=0)
        names.append(pooled_name)
        at.append(1 - step)
    with plain_text():
        axes.set_yticks(at, names)
        axes.set_xlabel(short_name(xlabel, 54))
    axes.set_ylim(1 - 1.8 * step, k + 0.8)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure
