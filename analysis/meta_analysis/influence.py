"""What each study does to a meta-analysis: deletion diagnostics and the data of a Baujat plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.estimate import estimate, hat_values
from nwbswitch.analysis.meta_analysis.leave_one_out import require_pooled
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.analysis.meta_analysis.tau2 import Weighted, at_tau2
from nwbswitch.analysis.plain_values import plain


@dataclass(frozen=True, slots=True)
class Influence:
    """Diagnostics of every study, from the model without it (Viechtbauer and Cheung 2010).

    ``rows``: label, rstudent, dffits, cook_d, cov_r, tau2_del, q_del, hat, weight (percent), influential.
    ``dfbetas``: label and one column per coefficient. A study whose deletion leaves a coefficient without
    information has no numbers.
    """

    rows: pd.DataFrame
    dfbetas: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return the diagnostics."""
        return self.rows.copy()

    def as_dict(self) -> dict[str, Any]:
        """Return diagnostics and dfbetas as plain JSON values."""
        found: dict[str, Any] = plain(
            {"rows": self.rows.to_dict("records"), "dfbetas": self.dfbetas.to_dict("records")}
        )
        return found

    def summary(self) -> str:
        """Return the diagnostics as text."""
        from nwbswitch.analysis.meta_analysis.meta_text import table_lines

        return "\n".join(["Influence of every study", *table_lines(self.rows)])


def influence(fit: MetaFit) -> Influence:
    """Return the influence of every study on the fit.

    Studentized deleted residuals, DFFITS, Cook's distances, covariance ratios, leave-one-out tau^2 and Q,
    hat values and DFBETAS as Viechtbauer and Cheung (2010, Research Synthesis Methods 1:112-125) define them.
    ``influential`` marks what they suggest to look at: abs(DFFITS) > 3 sqrt(p / (k - p)), a Cook's distance
    beyond the median of chi-square with p degrees of freedom, hat > 3 p / k, or abs(DFBETAS) > 1.

    Raises
    ------
    FitError
        If nothing was pooled.
    """
    from scipy.stats import chi2

    require_pooled(fit, "influence")
    full = fit.estimate
    assert full is not None
    studies = fit.problem
    X, k, p = studies.design, studies.k, len(fit.terms)
    hat = hat_values(studies, full)
    rows: list[dict[str, float]] = []
    betas: list[list[float]] = []
    for i in range(k):
        keep = np.arange(k) != i
        rest = studies.rows(keep)
        if (
            rest.df < 1
            or np.linalg.matrix_rank(rest.design / np.linalg.norm(rest.design, axis=0).clip(1e-300)) < p
        ):
            rows.append(dict.fromkeys(_NAMES, float("nan")))
            betas.append([float("nan")] * p)
            continue
        without = estimate(rest, method=fit.method, test=fit.test, level=fit.level)
        shift = full.coefficients - without.coefficients
        tau2, scale = without.tau2.value, without.scale
        predicted_variance = float(X[i] @ without.vcov @ X[i])
        residual = float(studies.effect[i] - X[i] @ without.coefficients)
        spread = float(studies.variance[i]) + tau2
        usual = at_tau2(studies, tau2).covariance
        if studies.weights is not None:
            usual = _sandwich(studies.design, studies.weights, studies.variance + tau2)
        rows.append(
            {
                "rstudent": _over(residual, np.sqrt(spread * scale + predicted_variance)),
                "dffits": _over(float(X[i] @ shift), np.sqrt(scale * hat[i] * spread)),
                "cook_d": _distance(shift, fit.vcov),
                "cov_r": _determinant_ratio(without.vcov, fit.vcov),
                "tau2_del": tau2,
                "q_del": without.q,
            }
        )
        betas.append([_over(b, v) for b, v in zip(shift, np.sqrt(scale * np.diagonal(usual)), strict=True)])
    found = pd.DataFrame(rows)
    dfbetas = np.array(betas)
    marked = (
        (found["dffits"].abs() > 3.0 * np.sqrt(p / (k - p)))
        | (found["cook_d"] > float(chi2.median(p)))
        | (hat > 3.0 * p / k)
        | (np.abs(dfbetas) > 1.0).any(axis=1)
    )
    found = found.assign(hat=hat, weight=fit.studies["weight"].to_numpy(), influential=marked)
    found.insert(0, "label", fit.studies["label"].to_numpy())
    labelled = pd.DataFrame(dfbetas, columns=list(fit.terms))
    labelled.insert(0, "label", fit.studies["label"].to_numpy())
    return Influence(found, labelled)


_NAMES = ("rstudent", "dffits", "cook_d", "cov_r", "tau2_del", "q_del")


def baujat(fit: MetaFit) -> pd.DataFrame:
    """Return label, heterogeneity (x) and influence (y) of every study (Baujat et al. 2002).

    x is the squared Pearson residual, whose sum is Q with equal effects; y the squared change of the fitted
    effect of the study without it, in units of the variance of the fit without it.

    Raises
    ------
    FitError
        If nothing was pooled.
    """
    require_pooled(fit, "Baujat plot")
    full = fit.estimate
    assert full is not None
    studies = fit.problem
    X, k = studies.design, studies.k
    residual = studies.effect - X @ full.coefficients
    x = residual**2 / (studies.variance + full.tau2.value)
    y = np.full(k, np.nan)
    for i in range(k):
        rest = studies.rows(np.arange(k) != i)
        if rest.df < 1 or np.linalg.matrix_rank(rest.design) < X.shape[1]:
            continue
        without = estimate(rest, method=fit.method, test=fit.test, level=fit.level)
        change = float(X[i] @ (full.coefficients - without.coefficients))
        y[i] = _over(change**2, float(X[i] @ without.vcov @ X[i]))
    return pd.DataFrame({"label": fit.studies["label"], "heterogeneity": x, "influence": y})


def _sandwich(X: np.ndarray, weights: np.ndarray, total: np.ndarray) -> np.ndarray:
    from nwbswitch.analysis.meta_analysis.tau2 import Studies

    fitted = Weighted(Studies(total, total, X), weights)
    half = fitted.covariance @ (X.T * weights)
    return np.asarray((half * total) @ half.T)


def _over(numerator: float, denominator: float) -> float:
    """Return the quotient; it is not a number where residuals, and with them standard errors, are all 0."""
    return float(numerator / denominator) if denominator > 0.0 else float("nan")


def _distance(shift: np.ndarray, vcov: np.ndarray) -> float:
    scale = np.sqrt(np.diagonal(vcov))
    if not (scale > 0.0).all():
        return float("nan")
    unit = shift / scale
    return float(unit @ np.linalg.solve(vcov / np.outer(scale, scale), unit))


def _determinant_ratio(first: np.ndarray, second: np.ndarray) -> float:
    one, two = (np.linalg.slogdet(each)[1] for each in (first, second))
    return float(np.exp(one - two)) if np.isfinite(two) else float("nan")
