"""A fitted meta-analysis, or a list of studies that are too few to pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.estimate import Estimate, Test
from nwbswitch.analysis.meta_analysis.tau2 import Method, Studies
from nwbswitch.analysis.mixed.coefficient import Coefficient
from nwbswitch.analysis.plain_values import plain

Interval = tuple[float, float]
NO_INTERVAL: Interval = (float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class MetaFit:
    """A fitted meta-analysis.

    ``coefficients`` has one row per moderator column, one alone without moderators; ``tau2_ci``, ``i2_ci``
    and ``h2_ci`` come from the Q-profile; ``prediction`` is the interval for the true effect of a new study,
    None with moderators or equal effects; ``qm`` tests all coefficients but the intercept (chi-square with
    test z, else F), with ``qm_df`` its degrees of freedom; ``r2`` is the part of tau^2 that moderators
    explain, in percent. ``studies`` has one row per study used: label, effect, variance, weight (percent).
    ``unit`` says what one row is: study, animal or session.

    ``status`` is ``ok``, or why nothing was pooled: then the studies are listed, and there is no estimate.
    """

    method: Method
    test: Test
    level: float
    formula: str
    unit: str
    status: str
    coefficients: tuple[Coefficient, ...]
    vcov: np.ndarray
    tau2: float
    tau2_se: float
    tau2_ci: Interval
    i2: float
    i2_ci: Interval
    h2: float
    h2_ci: Interval
    q: float
    q_p: float
    qm: float
    qm_df: Interval
    qm_p: float
    r2: float
    prediction: Interval | None
    k: int
    has_moderators: bool
    studies: pd.DataFrame
    info: Mapping[str, Any]
    problem: Studies
    terms: tuple[str, ...]
    estimate: Estimate | None
    source: pd.DataFrame

    @property
    def pooled(self) -> bool:
        """Whether there is an estimate."""
        return self.estimate is not None

    @property
    def tau(self) -> float:
        """Standard deviation between studies."""
        return float(np.sqrt(self.tau2))

    def table(self) -> pd.DataFrame:
        """Return the coefficients: term, estimate, se, df, t, p, ci_low, ci_high."""
        names = ["term", "estimate", "se", "df", "t", "p", "ci_low", "ci_high"]
        return pd.DataFrame([asdict(each) for each in self.coefficients], columns=names)

    def heterogeneity(self) -> pd.DataFrame:
        """Return tau2, tau, i2 and h2 with their Q-profile intervals, one row each."""
        rows = [
            ("tau2", self.tau2, *self.tau2_ci),
            ("tau", self.tau, *map(float, np.sqrt(self.tau2_ci))),
            ("i2", self.i2, *self.i2_ci),
            ("h2", self.h2, *self.h2_ci),
        ]
        return pd.DataFrame(rows, columns=["quantity", "estimate", "ci_low", "ci_high"])

    def fit_statistics(self) -> pd.DataFrame:
        """Return log-likelihood, deviance, AIC, BIC and AICc by ML and by REML; empty if not pooled."""
        from nwbswitch.analysis.meta_analysis.fit_statistics import fit_statistics

        if self.estimate is None:
            return pd.DataFrame()
        return fit_statistics(self.problem, self.estimate, self.method)

    def predict(self, rows: np.ndarray) -> pd.DataFrame:
        """Return estimate, se, ci_low, ci_high, pi_low, pi_high at rows of moderators.

        Parameters
        ----------
        rows
            (n, p): one column per coefficient, the intercept included.

        Raises
        ------
        ValueError
            If nothing was pooled, or for another number of columns.
        """
        found = self.estimate
        if found is None:
            raise ValueError(f"There is no estimate to predict from: {self.status}.")
        at = np.atleast_2d(np.asarray(rows, dtype=float))
        if at.shape[1] != len(self.terms):
            raise ValueError(f"rows has {at.shape[1]} columns; expected {', '.join(self.terms)}.")
        centre = at @ found.coefficients
        variance = np.einsum("ij,jk,ik->i", at, found.vcov, at)
        half, wide = found.critical * np.sqrt(variance), found.critical * np.sqrt(variance + self.tau2)
        return pd.DataFrame(
            {
                "estimate": centre,
                "se": np.sqrt(variance),
                "ci_low": centre - half,
                "ci_high": centre + half,
                "pi_low": centre - wide,
                "pi_high": centre + wide,
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values; what is not a finite number is None.

        With moderators there is no single effect, so estimate to p are None; see coefficients.
        """
        one = self.coefficients[0] if self.pooled and not self.has_moderators else None
        pi_low, pi_high = self.prediction or (None, None)
        found: dict[str, Any] = plain(
            {
                "estimate": one and one.estimate,
                "se": one and one.se,
                "ci_low": one and one.ci_low,
                "ci_high": one and one.ci_high,
                "statistic": one and one.t,
                "p": one and one.p,
                "tau2": self.tau2,
                "tau2_se": self.tau2_se,
                "tau2_ci_low": self.tau2_ci[0],
                "tau2_ci_high": self.tau2_ci[1],
                "i2": self.i2,
                "i2_ci_low": self.i2_ci[0],
                "i2_ci_high": self.i2_ci[1],
                "h2": self.h2,
                "h2_ci_low": self.h2_ci[0],
                "h2_ci_high": self.h2_ci[1],
                "q": self.q,
                "q_p": self.q_p,
                "qm": self.qm,
                "qm_df": list(self.qm_df),
                "qm_p": self.qm_p,
                "r2": self.r2,
                "pi_low": pi_low,
                "pi_high": pi_high,
                "k": self.k,
                "unit": self.unit,
                "status": self.status,
                "coefficients": self.table().to_dict("records"),
                "fit_statistics": self.fit_statistics().to_dict("records"),
                "method": self.method,
                "test": self.test,
                "level": self.level,
                "formula": self.formula,
                "studies": self.studies.to_dict("records"),
                "info": dict(self.info),
            }
        )
        return found

    def summary(self) -> str:
        """Return the fit as text for people."""
        from nwbswitch.analysis.meta_analysis.meta_text import meta_text

        return meta_text(self)
