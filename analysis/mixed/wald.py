"""Wald tests of coefficients whose degrees of freedom are given beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nwbswitch.analysis.mixed.coefficient import LEVEL, Coefficient, quantile_of_t

ClusterDdf = Literal["clusters", "none"]


@dataclass(frozen=True, slots=True)
class WaldTest:
    """A t test of one contrast; not a number where no degree of freedom is left."""

    estimate: float
    se: float
    df: float
    t: float
    p: float


@dataclass(frozen=True, slots=True)
class WaldFTest:
    """An F test of several contrasts at once."""

    f: float
    num_df: int
    den_df: float
    p: float


@dataclass(frozen=True, slots=True)
class WaldInference:
    """Estimates (p,), their covariance (p, p) and the degrees of freedom (p,) of each."""

    estimates: np.ndarray
    vcov: np.ndarray
    df: np.ndarray
    ddf: ClusterDdf

    def t_test(self, contrast: np.ndarray, *, null: float = 0.0) -> WaldTest:
        """Test that ``contrast @ estimates`` is ``null``; its df is the least of the coefficients in it."""
        from scipy.special import ndtr, stdtr

        estimate = float(contrast @ self.estimates)
        se = float(np.sqrt(contrast @ self.vcov @ contrast))
        df = self._df(contrast != 0.0)
        t = (estimate - null) / se if se > 0.0 else float("nan")
        tail = float(ndtr(-abs(t)) if np.isinf(df) else stdtr(df, -abs(t)))
        return WaldTest(estimate, se, df, t, 2.0 * tail)

    def f_test(self, contrasts: np.ndarray) -> WaldFTest:
        """Test that ``contrasts @ estimates`` is zero, contrasts being (q, p) of full rank.

        F is the Wald statistic divided by q; the denominator is the least df of the coefficients.
        """
        from scipy.special import chdtrc, fdtrc

        estimates = contrasts @ self.estimates
        q = len(contrasts)
        f = float(estimates @ np.linalg.solve(contrasts @ self.vcov @ contrasts.T, estimates)) / q
        df = self._df(np.any(contrasts != 0.0, axis=0))
        p = float(chdtrc(q, q * f) if np.isinf(df) else fdtrc(q, df, f))
        return WaldFTest(f, q, df, p)

    def coefficients(self, names: tuple[str, ...], *, level: float = LEVEL) -> tuple[Coefficient, ...]:
        """Return each coefficient with its test and interval."""
        rows = []
        for contrast, name in zip(np.eye(len(names)), names, strict=True):
            test = self.t_test(contrast)
            half = quantile_of_t(level, test.df) * test.se
            low, high = test.estimate - half, test.estimate + half
            rows.append(Coefficient(name, test.estimate, test.se, test.df, test.t, test.p, low, high))
        return tuple(rows)

    def _df(self, used: np.ndarray) -> float:
        return float(self.df[used].min()) if used.any() else float("nan")


def wald_inference(
    estimates: np.ndarray, vcov: np.ndarray, df: np.ndarray, *, ddf: ClusterDdf
) -> WaldInference:
    """Return t tests with ``df``, or z tests if ``ddf`` is none."""
    df = np.full(len(estimates), np.inf) if ddf == "none" else df
    return WaldInference(estimates, vcov, df, ddf)


def df_warnings(names: tuple[str, ...], inference: WaldInference) -> list[str]:
    """Return a warning naming the coefficients that have no test, for want of clusters."""
    lost = [name for name, df in zip(names, inference.df, strict=True) if np.isnan(df)]
    if not lost:
        return []
    return [
        f"No degree of freedom is left for {', '.join(lost)}: there are as many such coefficients as "
        "clusters, so there is no test of them. More animals are needed."
    ]
