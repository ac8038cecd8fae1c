"""A fitted marginal model and what a reader asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.fit_text import number_text
from nwbswitch.analysis.gee.covariance import Covariance
from nwbswitch.analysis.gee.estimating import Correlation
from nwbswitch.analysis.gee.families import Family
from nwbswitch.analysis.inference.wald import WaldInference
from nwbswitch.analysis.inference.wald_tables import WaldTables
from nwbswitch.analysis.mixed.coefficient import LEVEL
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.result_tables import table_text
from nwbswitch.analysis.plain_values import plain

_NAMES: Final[Mapping[Family, str]] = {
    "negative-binomial": "Negative binomial counts",
    "poisson": "Poisson counts",
    "binomial": "Yes/no outcomes",
}
_COVARIANCES: Final[Mapping[Covariance, str]] = {
    "bias-reduced": "Mancl and DeRouen",
    "kauermann-carroll": "Kauermann and Carroll",
    "robust": "sandwich without correction",
}


@dataclass(frozen=True, slots=True)
class GeeFit(WaldTables):
    """Estimating equations solved; coefficients are log rate ratios, or log odds for yes/no outcomes.

    They compare averages over animals. ``dispersion`` is kappa in the variance mu + kappa mu^2; ``alpha`` the
    working correlation of two rows of a cluster; ``scale`` the mean square of Pearson residuals.
    """

    model: Model
    family: Family
    correlation: Correlation
    covariance: Covariance
    inference: WaldInference
    dispersion: float
    scale: float
    alpha: float
    n: int
    info: Mapping[str, Any]

    def ratios(self, *, level: float = LEVEL) -> pd.DataFrame:
        """Return rate ratios, or odds ratios of averages: term, ratio, ci_low, ci_high, p.

        The intercept's row holds the rate, or the odds, at the reference.
        """
        rows = self.inference.coefficients(self.model.names, level=level)
        with np.errstate(over="ignore"):
            return pd.DataFrame(
                {
                    "term": [each.term for each in rows],
                    "ratio": np.exp([each.estimate for each in rows]),
                    "ci_low": np.exp([each.ci_low for each in rows]),
                    "ci_high": np.exp([each.ci_high for each in rows]),
                    "p": [each.p for each in rows],
                }
            )

    def random(self) -> pd.DataFrame:
        """Return an empty table: group, term, sd, variance; a marginal model has no random effects."""
        return pd.DataFrame(columns=["group", "term", "sd", "variance"])

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values; there is no likelihood, so ``criterion`` is None."""
        found: dict[str, Any] = plain(
            {
                "formula": self.model.formula.text,
                "family": self.family,
                "method": "gee",
                "correlation": self.correlation,
                "covariance": self.covariance,
                "ddf": self.ddf,
                "fixed": [asdict(each) for each in self.fixed],
                "random": [],
                "anova": self.anova().table().to_dict("records"),
                "dispersion": self.dispersion,
                "scale": self.scale,
                "alpha": self.alpha,
                "criterion": None,
                "n": self.n,
                "info": dict(self.info),
            }
        )
        return found

    def summary(self) -> str:
        """Return the fit as text for people."""
        info = self.info
        kind = f"t, clusters: {info['clusters']}" if self.ddf == "clusters" else "z"
        working = f"working correlation {self.correlation}"
        working += f", {number_text(self.alpha, digits=3)}" if self.correlation == "exchangeable" else ""
        scatter = (
            f"dispersion {number_text(self.dispersion)} (variance mu + dispersion mu^2)"
            if self.family == "negative-binomial"
            else f"scatter {number_text(self.scale)} times the family's variance"
        )
        fixed = self.table().rename(columns={"t": "z"} if self.ddf == "none" else {})
        scale = "log odds" if self.family == "binomial" else "log rates"
        lines = [
            f"{_NAMES[self.family]} by estimating equations, {working}",
            f"  {' '.join(self.model.formula.text.split())}",
            f"  {self.n} rows in {info['groups'][info['clusters']]} clusters of {info['clusters']}; "
            f"{info['n_missing']} rows with missing values left out, {info['n_excluded']} excluded",
            f"  {scatter}",
            "",
            f"Coefficients ({scale}; {kind}; covariance: {_COVARIANCES[self.covariance]})",
            *(f"  {line}" for line in table_text(fixed).splitlines()),
            "",
            f"{'Converged' if info['converged'] else 'NOT CONVERGED'} in {info['iterations']} rounds.",
        ]
        return "\n".join([*lines, *(f"Warning: {each}" for each in info["warnings"])])
