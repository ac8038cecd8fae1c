"""What to look at before a mixed model is believed: residuals, effects of groups, weight of single animals.

Nothing here decides; every table says how far the data are from what the model assumes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.mixed.cluster_leverage import cluster_leverage, conditional_sd
from nwbswitch.analysis.mixed.group_effects import effects_fit, level_effects, population_fit
from nwbswitch.analysis.mixed.variance_table import residual_variance, variance_components, zero_variances
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nwbswitch.analysis.mixed.result import MixedFit

FAR: Final = 3.0
"""Scaled residuals beyond this are counted."""
FEW_GROUPS: Final = 5
"""With fewer groups the shape of their effects says nothing."""


@dataclass(frozen=True, slots=True, repr=False)
class Diagnostics:
    """Tables to judge a fit by.

    ``residuals`` has one row per row of the fit (row, fitted, residual, scaled), None for a fit without
    rows; ``effects`` the conditional means with the normal quantile each should have and, for the outermost
    groups, their SD (group, level, term, estimate, sd, z, quantile); ``leverage`` one row per cluster;
    ``influence`` the fixed effects without one cluster at a time, in standard errors; both are None where
    there are no independent clusters. ``notes`` says what is not there and why.
    """

    fit: MixedFit
    residuals: pd.DataFrame | None
    effects: pd.DataFrame
    leverage: pd.DataFrame | None
    influence: pd.DataFrame | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Diagnostics of {self.fit!r}>"

    def table(self) -> pd.DataFrame:
        """Return one row per set of values that should be normal: residuals, and each effect of a group.

        Columns: what, n, sd, model_sd, skewness, kurtosis (in excess of a normal distribution), largest
        (absolute value in SD), at (its row or group), n_far (beyond 3 SD), expected_far.
        """
        rows = []
        if self.residuals is not None:
            sigma = variance_components(self.fit.model, self.fit.deviance, self.fit.optimum)[-1].sd
            values = self.residuals["scaled"].to_numpy() * sigma
            rows.append(_shape("residual", values, sigma, self.residuals["row"].to_numpy()))
        sds = {(each.group, each.term): each.sd for each in self.fit.components}
        for (group, term), own in self.effects.groupby(["group", "term"], sort=False):
            values, labels = own["estimate"].to_numpy(), own["level"].to_numpy()
            what, sd = f"{group}: {term}", sds[str(group), str(term)]
            has_shape = own["z"].notna().all()
            rows.append(_shape(what, values if has_shape else np.zeros(len(values)), sd, labels))
        return pd.DataFrame(rows, columns=_SHAPE)

    def summary(self) -> str:
        """Return the tables as text for people."""
        from nwbswitch.analysis.mixed.diagnostics_text import diagnostics_text

        return diagnostics_text(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the tables as plain JSON values; residuals only as their summary."""
        found: dict[str, Any] = plain(
            {
                "shape": self.table().to_dict("records"),
                "leverage": None if self.leverage is None else self.leverage.to_dict("records"),
                "influence": None if self.influence is None else self.influence.to_dict("records"),
                "notes": list(self.notes),
            }
        )
        return found

    def figure(self, *, profile: bool = False) -> Figure:
        """Return all plots on one page; ``profile`` adds profiles of the SDs, at most six."""
        from nwbswitch.analysis.mixed.diagnostic_plots import diagnostics_figure

        return diagnostics_figure(self, profile=profile)

    def plot(self, path: Path | str, *, profile: bool = False) -> Path:
        """Write `figure` to ``path`` (.png, .svg or .pdf) and return the path.

        Raises
        ------
        ValueError
            For a file of another kind.
        """
        from nwbswitch.analysis.mixed.diagnostic_plots import save_figure

        return save_figure(self.figure(profile=profile), Path(path))


_SHAPE: Final = [
    "what",
    "n",
    "sd",
    "model_sd",
    "skewness",
    "kurtosis",
    "largest",
    "at",
    "n_far",
    "expected_far",
]


def diagnostics(fit: MixedFit) -> Diagnostics:
    """Return the diagnostics of a fit."""
    notes = []
    residuals = None
    if fit.rows is None:
        notes.append(
            "The fit was made from summaries, so there are no residuals; look at them where the rows are."
        )
    else:
        residuals = residual_table(fit)
    leverage = influence = None
    try:
        leverage = cluster_leverage(fit.deviance, fit.optimum)
        influence = fit.influence().table()
    except FitError as error:
        notes.append(f"No cluster can be left out: {error}")
    zero = set(zero_variances(fit.model, fit.deviance, fit.optimum))
    effects = effect_quantiles(fit.effects(), without=zero)
    found = set(effects["group"])
    absent = [block.label for level in fit.model.levels for block in level.blocks if block.label not in found]
    if absent:
        notes.append(
            f"Only sums over the groups of {', '.join(absent)} were kept, so their effects are not shown."
        )
    sd = None if leverage is None else conditional_sd(fit.model, fit.deviance, fit.optimum)
    if sd is None:
        effects["sd"] = np.nan
    else:
        effects = effects.merge(sd, on=["group", "level", "term"], how="left")
    return Diagnostics(fit, residuals, effects, leverage, influence, tuple(notes))


def residual_table(fit: MixedFit) -> pd.DataFrame:
    """Return row (position in the table), fitted, residual and scaled for every row of the fit.

    Fitted values hold the effects of all groups; scaled residuals are residuals over sigma, times the root
    of the row's weight.

    Raises
    ------
    FitError
        If the fit has no rows.
    """
    rows = fit.rows
    if rows is None:
        raise FitError("A fit from summaries has no residuals; fit from rows to see them.")
    effects = level_effects(fit.model, fit.deviance, fit.optimum, rows)
    if any(each is None for each in effects):
        raise FitError("The engine kept only sums over inner groups, so there are no fitted values.")
    fitted = population_fit(fit.deviance, fit.optimum, rows) + effects_fit(fit.model, rows, effects)
    residual = rows.response - fitted
    sigma = float(np.sqrt(residual_variance(fit.deviance, fit.optimum)))
    scaled = residual / sigma if rows.weights is None else residual * np.sqrt(rows.weights) / sigma
    return pd.DataFrame({"row": rows.rows, "fitted": fitted, "residual": residual, "scaled": scaled})


def effect_quantiles(effects: pd.DataFrame, *, without: Collection[tuple[str, str]] = ()) -> pd.DataFrame:
    """Return effects with ``z`` (the effect in SD among groups) and the normal ``quantile`` of its rank.

    Effects ``without`` scatter, each (group, term), have neither.
    Plotting positions are (rank - 3/8) / (n + 1/4) (Blom 1958).
    """
    from scipy.special import ndtri

    found = effects.copy()
    found["z"] = found["quantile"] = np.nan
    for (group, term), own in found.groupby(["group", "term"], sort=False):
        if (group, term) in without:
            continue
        values = own["estimate"].to_numpy()
        sd = float(values.std())
        if sd > 0.0:
            ranks = np.argsort(np.argsort(values)) + 1.0
            found.loc[own.index, "z"] = values / sd
            found.loc[own.index, "quantile"] = ndtri((ranks - 0.375) / (len(values) + 0.25))
    return found


def _shape(what: str, values: np.ndarray, model_sd: float, labels: np.ndarray) -> tuple[object, ...]:
    n, sd = len(values), float(values.std())
    if sd == 0.0 or n < FEW_GROUPS:
        return what, n, sd, model_sd, np.nan, np.nan, np.nan, "", 0, np.nan
    z = (values - values.mean()) / sd
    skewness, kurtosis = float(np.mean(z**3)), float(np.mean(z**4)) - 3.0
    largest = int(np.abs(values).argmax())
    n_far = int(np.count_nonzero(np.abs(values) > FAR * sd))
    size = float(np.abs(values[largest])) / sd
    return what, n, sd, model_sd, skewness, kurtosis, size, str(labels[largest]), n_far, n * _TAIL


_TAIL: Final = 0.0026997960632601866
"""Probability that a normal value is further than 3 SD from its mean."""
