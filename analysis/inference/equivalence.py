"""Tests that an effect is too small to matter: two one-sided tests against a margin.

An effect is equivalent to nothing if it is shown to lie above -margin and below +margin, each by a one-sided
test at alpha (Schuirmann 1987, J Pharmacokinet Biopharm 15:657). That is the same as a (1 - 2 alpha) interval
inside the margins. The margin is a judgement about the field, made before the data are seen: there is no
default.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from nwbswitch.analysis.inference.contrasts import Contrasts
from nwbswitch.analysis.inference.hypothesis import TTest
from nwbswitch.analysis.inference.marginal_means import MarginalMeans
from nwbswitch.analysis.inference.reference_grid import Value
from nwbswitch.analysis.plain_values import plain

Verdict = Literal["equivalent", "not shown"]


@dataclass(frozen=True, slots=True)
class EquivalenceTest:
    """Two one-sided tests of one effect.

    ``p_low`` tests that the effect is at most ``low``, ``p_high`` that it is at least ``high``; ``p`` is the
    larger. ``ci_low`` and ``ci_high`` bound the (1 - 2 alpha) interval.
    """

    estimate: float
    se: float
    df: float
    low: float
    high: float
    t_low: float
    p_low: float
    t_high: float
    p_high: float
    p: float
    ci_low: float
    ci_high: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, repr=False)
class Equivalence:
    """Equivalence tests of several contrasts or means; ``labels`` has one value per name of ``columns``."""

    columns: tuple[str, ...]
    labels: tuple[tuple[Value, ...], ...]
    tests: tuple[EquivalenceTest, ...]
    alpha: float

    def __repr__(self) -> str:
        return self.summary()

    def table(self) -> pd.DataFrame:
        """Return the labels and the fields of `EquivalenceTest`."""
        return pd.concat(
            [
                pd.DataFrame(list(self.labels), columns=list(self.columns)),
                pd.DataFrame([asdict(each) for each in self.tests]),
            ],
            axis=1,
        )

    def summary(self) -> str:
        """Return the tests as text."""
        from nwbswitch.analysis.mixed.result_tables import table_text

        shown = self.table().drop(columns=["t_low", "t_high"])
        return "\n".join(
            [
                table_text(shown, level=1.0 - 2.0 * self.alpha),
                f"Two one-sided tests at {self.alpha:g} each. 'not shown' is no evidence of a difference. "
                "To say that all of several effects are equivalent needs no correction; to look for one "
                "among several does.",
            ]
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the tests as plain JSON values."""
        found: dict[str, Any] = plain({"alpha": self.alpha, "tests": self.table().to_dict("records")})
        return found


def equivalence(
    effects: Contrasts | MarginalMeans, *, margin: float | tuple[float, float], alpha: float = 0.05
) -> Equivalence:
    """Return the equivalence test of every contrast or mean.

    Parameters
    ----------
    effects
        Contrasts, marginal means or slopes.
    margin
        Largest effect without importance, in units of the response: m for (-m, m), or (low, high).
    alpha
        Level of each one-sided test.

    Raises
    ------
    ValueError
        If the margin is not above zero or not an interval, or alpha is not between 0 and 0.5.
    """
    low, high = _interval(margin)
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; it must lie between 0 and 0.5.")
    if isinstance(effects, Contrasts):
        columns, labels = effects.columns, effects.labels
    else:
        columns, labels = (*effects.specs, *effects.by), effects.cells
    tests = tuple(two_one_sided(each, low=low, high=high, alpha=alpha) for each in effects.tests)
    return Equivalence(columns, labels, tests, alpha)


def two_one_sided(test: TTest, *, low: float, high: float, alpha: float = 0.05) -> EquivalenceTest:
    """Return the two one-sided tests that an effect lies between ``low`` and ``high``."""
    t_low, t_high = (test.estimate - low) / test.se, (test.estimate - high) / test.se
    p_low, p_high = _lower_tail(-t_low, test.df), _lower_tail(t_high, test.df)
    half = -_quantile(alpha, test.df) * test.se
    p = max(p_low, p_high)
    return EquivalenceTest(
        test.estimate,
        test.se,
        test.df,
        low,
        high,
        t_low,
        p_low,
        t_high,
        p_high,
        p,
        test.estimate - half,
        test.estimate + half,
        "equivalent" if p < alpha else "not shown",
    )


def _interval(margin: float | tuple[float, float]) -> tuple[float, float]:
    if isinstance(margin, tuple | list):
        if len(margin) != 2:
            raise ValueError(f"margin has {len(margin)} ends; give one number, or (low, high).")
        low, high = float(margin[0]), float(margin[1])
    else:
        low, high = -float(margin), float(margin)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"margin is {margin}; it must be above 0, or (low, high) with low below high.")
    return low, high


def _lower_tail(t: float, df: float) -> float:
    from scipy.special import ndtr, stdtr

    return float(ndtr(t) if np.isinf(df) else stdtr(df, t))


def _quantile(p: float, df: float) -> float:
    from scipy.special import ndtri, stdtrit

    return float(ndtri(p) if np.isinf(df) else stdtrit(df, p))
