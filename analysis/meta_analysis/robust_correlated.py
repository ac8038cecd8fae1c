"""Meta-regression of correlated effects with robust variances, when their covariance is not known.

Hedges, Tipton and Johnson (2010, Res Synth Methods 1:39-65): the effects of study j have the weight 1 /
(k_j (v_j + tau^2)), with k_j their number and v_j their mean variance; tau^2 is the moment estimate of
their equation 15 at an assumed correlation rho of the sampling errors. The covariance is CR2 with
Satterthwaite degrees of freedom, the weights taken for the working model (Tipton 2015, Psychol Methods
20:375-393).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.multilevel_blocks import stacks
from nwbswitch.analysis.meta_analysis.multilevel_frame import effect_frame
from nwbswitch.analysis.meta_analysis.robust import RobustMeta, cluster_robust, csr_of_variances
from nwbswitch.analysis.plain_values import plain


@dataclass(frozen=True, slots=True, repr=False)
class CorrelatedEffects:
    """A meta-regression of correlated effects: the coefficients with robust tests, and tau^2.

    ``sensitivity`` has one row per rho asked for: rho, tau2, and estimate and se of each coefficient.
    """

    robust: RobustMeta
    tau2: float
    rho: float
    sensitivity: pd.DataFrame
    info: Mapping[str, Any]

    def __repr__(self) -> str:
        return self.summary()

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """Return term, estimate, se, df, t, p, ci_low, ci_high."""
        return self.robust.table(level=level)

    def summary(self) -> str:
        """Return the fit as text for people."""
        return f"Correlated effects, rho {self.rho:g}: tau^2 {self.tau2:.4g}\n{self.robust.summary()}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                **self.robust.as_dict(),
                "tau2": self.tau2,
                "rho": self.rho,
                "sensitivity": self.sensitivity.to_dict("records"),
                "info": dict(self.info),
            }
        )
        return found


def correlated_effects(
    data: pd.DataFrame,
    *,
    effect: str,
    variance: str,
    study: str,
    rho: float = 0.8,
    sensitivity: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    moderators: str | None = None,
    where: str | None = None,
) -> CorrelatedEffects:
    """Pool several effects of each study whose sampling errors are correlated by an unknown amount.

    Parameters
    ----------
    data
        One row per effect; it is not changed. Rows with missing values are left out and counted.
    effect, variance
        Columns, or expressions of columns.
    study
        Column of the studies.
    rho
        Assumed correlation of the sampling errors inside a study; it enters tau^2 alone.
    sensitivity
        Other values of rho to report.
    moderators
        Right side of a formula.
    where
        Condition that chooses rows.

    Raises
    ------
    FormulaError
        For a column that is not there or is text.
    FitError
        For fewer than three studies, or moderators that are collinear.
    ValueError
        For a rho outside 0 to 1.
    """
    for value in (rho, *sensitivity):
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"rho is {value!r}; expected a correlation from 0 to 1.")
    frame = effect_frame(
        data,
        effect=effect,
        variance=variance,
        V=None,
        random=(f"~ 1 | {study}",),
        moderators=moderators,
        where=where,
        slab=None,
    )
    part = frame.parts[0]
    v = frame.known.diagonal()
    sizes = np.bincount(part.codes)
    mean = np.bincount(part.codes, v) / sizes
    design, names = frame.design.matrix, frame.design.names

    def fitted(correlation: float) -> tuple[float, RobustMeta]:
        tau2 = _moment_tau2(frame.effect, design, part.codes, mean, correlation)
        known = csr_of_variances((sizes * (mean + tau2))[part.codes])
        working = stacks(known, part.codes)
        return tau2, cluster_robust(
            frame.effect, design, names, working, part.codes, part.labels, cluster=study, kind="CR2"
        )

    rows = []
    for value in sensitivity:
        tau2, found = fitted(value)
        table = found.table()
        numbers = {
            f"{row.term} {what}": getattr(row, what)
            for row in table.itertuples()
            for what in ("estimate", "se")
        }
        rows.append({"rho": value, "tau2": tau2, **numbers})
    tau2, found = fitted(rho)
    info = {"engine": "correlated effects", "n_missing": frame.n_missing, "k": len(frame.effect)}
    return CorrelatedEffects(found, tau2, rho, pd.DataFrame(rows), info)


def _moment_tau2(
    effect: np.ndarray, design: np.ndarray, codes: np.ndarray, mean: np.ndarray, rho: float
) -> float:
    """Return the moment estimate of tau^2, at least 0, from the residual sum of squares at tau^2 = 0.

    With weights w_j = 1 / (k_j v_j), S = (sum w_j X_j'X_j)^-1 and s_j the column sums of X_j, its
    expectation is m - (1 - rho) tr S sum (w_j / k_j) X_j'X_j - rho tr S sum (w_j / k_j) s_j s_j' plus tau^2
    times sum k_j w_j - tr S sum w_j^2 s_j s_j'.
    """
    sizes = np.bincount(codes).astype(float)
    w = 1.0 / (sizes * mean)
    by_row = w[codes]
    S = np.linalg.inv(design.T @ (by_row[:, None] * design))
    residual = effect - design @ (S @ (design.T @ (by_row * effect)))
    q = float(by_row @ residual**2)
    sums = np.stack([np.bincount(codes, column) for column in design.T], axis=1)
    own = design.T @ ((by_row / sizes[codes])[:, None] * design)
    joint = sums.T @ ((w / sizes)[:, None] * sums)
    squared = sums.T @ ((w**2)[:, None] * sums)
    expected = len(sizes) - (1.0 - rho) * float(np.sum(S * own)) - rho * float(np.sum(S * joint))
    slope = float(sizes @ w) - float(np.sum(S * squared))
    return max(0.0, (q - expected) / slope)
