"""Wald tests of coefficients whose degrees of freedom are given beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nwbswitch.analysis.inference.hypothesis import (
    FTest,
    TTest,
    checked_contrast,
    checked_contrasts,
    f_tail,
    t_test_of,
)
from nwbswitch.analysis.mixed.coefficient import LEVEL, Coefficient, quantile_of_t

ClusterDdf = Literal["clusters", "none"]


@dataclass(frozen=True, slots=True, repr=False)
class WaldInference:
    """Estimates (p,), their covariance (p, p) and the degrees of freedom (p,) of each.

    It answers what `inference.Inference` answers, so that marginal means, contrasts and tests of terms can be
    made of it. ``design_root`` (p, p) is upper triangular with X'X = design_root' design_root, rows counted
    as often as they have trials; there is no residual variance.
    """

    estimates: np.ndarray
    vcov: np.ndarray
    df: np.ndarray
    ddf: ClusterDdf
    design_root: np.ndarray
    residual_variance: float = float("nan")

    def __repr__(self) -> str:
        return f"<WaldInference on {len(self.estimates)} coefficients: ddf {self.ddf}>"

    def t_test(self, contrast: np.ndarray, *, null: float = 0.0) -> TTest:
        """Test that ``contrast @ estimates`` is ``null``; its df is the least of the coefficients in it.

        Raises
        ------
        ValueError
            If the contrast has another length, is not finite, or is zero.
        """
        row = checked_contrast(contrast, len(self.estimates))
        df = float(self.df[row != 0.0].min())
        return t_test_of(float(row @ self.estimates), float(row @ self.vcov @ row), df, null=null)

    def f_test(self, contrasts: np.ndarray) -> FTest:
        """Test that ``contrasts @ estimates`` is zero, contrasts being (q, p) of full rank.

        F is the Wald statistic divided by q; the denominator is the least df of the coefficients.

        Raises
        ------
        ValueError
            If a row is not a contrast or the rows are dependent.
        """
        rows = checked_contrasts(contrasts, len(self.estimates))
        effects = rows @ self.estimates
        f = float(effects @ np.linalg.solve(rows @ self.vcov @ rows.T, effects)) / len(rows)
        df = float(self.df[np.any(rows != 0.0, axis=0)].min())
        reason = "" if not np.isnan(df) else "no degree of freedom is left"
        return FTest(f, len(rows), df, f_tail(f, len(rows), df), reason=reason)

    def coefficients(self, names: tuple[str, ...], *, level: float = LEVEL) -> tuple[Coefficient, ...]:
        """Return each coefficient with its test and interval."""
        rows = []
        for contrast, name in zip(np.eye(len(names)), names, strict=True):
            test = self.t_test(contrast)
            half = quantile_of_t(level, test.df) * test.se
            low, high = test.estimate - half, test.estimate + half
            rows.append(Coefficient(name, test.estimate, test.se, test.df, test.t, test.p, low, high))
        return tuple(rows)


def wald_inference(
    estimates: np.ndarray, vcov: np.ndarray, df: np.ndarray, *, ddf: ClusterDdf, weighted_design: np.ndarray
) -> WaldInference:
    """Return t tests with ``df``, or z tests if ``ddf`` is none.

    ``weighted_design`` (rows, p) is the design with each row times the root of its trials.
    """
    df = np.full(len(estimates), np.inf) if ddf == "none" else df
    root = np.asarray(np.linalg.qr(weighted_design, mode="r"))
    return WaldInference(estimates, vcov, df, ddf, root)


def df_warnings(names: tuple[str, ...], inference: WaldInference) -> list[str]:
    """Return a warning naming the coefficients that have no test, for want of clusters."""
    lost = [name for name, df in zip(names, inference.df, strict=True) if np.isnan(df)]
    if not lost:
        return []
    return [
        f"No degree of freedom is left for {', '.join(lost)}: there are as many such coefficients as "
        "clusters, so there is no test of them. More animals are needed."
    ]
