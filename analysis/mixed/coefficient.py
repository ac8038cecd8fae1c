"""Coefficients of a fit: estimates, t or z tests and intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from nwbswitch.analysis.inference.inference import Inference

LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One fixed effect; ``df`` is infinite and ``t`` a z value when degrees of freedom are not asked for."""

    term: str
    estimate: float
    se: float
    df: float
    t: float
    p: float
    ci_low: float
    ci_high: float


def quantile_of_t(level: float, df: float) -> float:
    """Return the half-width, in standard errors, of a two-sided interval with coverage ``level``."""
    from scipy.special import ndtri, stdtrit

    tail = 0.5 + level / 2.0
    return float(ndtri(tail) if np.isinf(df) else stdtrit(df, tail))


def coefficients(
    names: tuple[str, ...], inference: Inference, *, level: float = LEVEL
) -> tuple[Coefficient, ...]:
    """Return each of the p fixed effects called ``names`` with its test and interval.

    Raises
    ------
    ValueError
        If ``level`` is not between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must be between 0 and 1, e.g. 0.95.")
    rows = []
    for contrast, name in zip(np.eye(len(names)), names, strict=True):
        test = inference.t_test(contrast)
        half = quantile_of_t(level, test.df) * test.se
        low, high = test.estimate - half, test.estimate + half
        rows.append(Coefficient(name, test.estimate, test.se, test.df, test.t, test.p, low, high))
    return tuple(rows)
