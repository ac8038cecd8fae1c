"""P values and intervals of several contrasts together.

Single-step methods bound the chance of any false rejection in the family by the distribution of the largest
|t|: Bonferroni, Sidak, Scheffe (1953, Biometrika 40:87), Tukey's studentized range (Kramer 1956), and the
multivariate t with the contrasts' own correlations (Dunnett 1955; Hothorn, Bretz and Westfall 2008). Holm
(1979) steps down; Benjamini and Hochberg (1995) bound the false discovery rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from nwbswitch.analysis.inference.hypothesis import f_tail
from nwbswitch.analysis.inference.largest_t import largest_t_tail
from nwbswitch.analysis.inference.studentized_range import studentized_range_tail

Adjust = Literal["none", "tukey", "mvt", "dunnett", "holm", "bonferroni", "sidak", "scheffe", "fdr"]

# Contrasts whose multivariate t is computed; its cost grows with their cube.
MAX_MVT: Final = 30
# Points of the polynomial through critical values of many different degrees of freedom.
NODES: Final = 12


@dataclass(frozen=True, slots=True)
class Family:
    """Contrasts that are judged together.

    ``n_means`` is the number of means they compare, ``rank`` the number of independent contrasts,
    ``correlation`` (m, m) that of their estimates; ``pairwise`` says whether all pairs of means are in it.
    """

    n_means: int
    rank: int
    correlation: np.ndarray
    pairwise: bool

    @property
    def size(self) -> int:
        """Number m of contrasts."""
        return len(self.correlation)


def check_adjust(adjust: str, *, pairwise: bool) -> None:
    """Raise ValueError for a method that does not exist or does not fit the family."""
    if adjust not in get_args(Adjust):
        raise ValueError(f"adjust is {adjust!r}; available are {', '.join(get_args(Adjust))}.")
    if adjust == "tukey" and not pairwise:
        raise ValueError(
            "adjust 'tukey' is for all pairwise comparisons of means; use 'mvt', which holds for any "
            "contrasts, or 'sidak'."
        )


def adjusted_p(t: np.ndarray, df: np.ndarray, p: np.ndarray, *, adjust: Adjust, family: Family) -> np.ndarray:
    """Return the adjusted two-sided P values of m contrasts.

    Parameters
    ----------
    t, df, p
        (m,) statistics, degrees of freedom (infinite for z) and unadjusted P values.
    adjust
        Method.
    family
        The contrasts as a family.
    """
    _check_size(adjust, family)
    found = np.full(len(p), np.nan)
    known = ~np.isnan(p)
    found[known] = _adjusted(t[known], df[known], p[known], adjust, family)
    return found


def _adjusted(t: np.ndarray, df: np.ndarray, p: np.ndarray, adjust: Adjust, family: Family) -> np.ndarray:
    m, n = family.size, len(p)
    match adjust:
        case "none":
            found = p
        case "bonferroni":
            found = m * p
        case "sidak":
            found = -np.expm1(m * np.log1p(-np.minimum(p, 1.0 - 1e-16)))
        case "holm":
            order = np.argsort(p, kind="stable")
            steps = np.maximum.accumulate((m - np.arange(n)) * p[order])
            found = np.empty(n)
            found[order] = steps
        case "fdr":
            order = np.argsort(p, kind="stable")[::-1]
            steps = np.minimum.accumulate(m / (n - np.arange(n)) * p[order])
            found = np.empty(n)
            found[order] = steps
        case _:
            found = np.array([_tail(abs(a), b, adjust, family) for a, b in zip(t, df, strict=True)])
            # The largest |t| is beyond a value at least as often as one |t| and at most m times as often.
            found = np.clip(found, p, None if adjust == "scheffe" else m * p)
    return np.asarray(np.minimum(found, 1.0))


def critical_values(df: np.ndarray, *, level: float, adjust: Adjust, family: Family) -> np.ndarray:
    """Return the half-widths, in standard errors, of intervals that hold together at ``level``.

    Holm's and the false discovery rate's methods have no intervals of their own; Bonferroni's are given,
    as emmeans does.
    """
    _check_size(adjust, family)
    if adjust not in ("tukey", "mvt", "dunnett") or len(np.unique(df)) <= 2 * NODES:
        return np.array([_critical(float(each), level, adjust, family) for each in df])
    return _interpolated(df, level, adjust, family)


def _interpolated(df: np.ndarray, level: float, adjust: Adjust, family: Family) -> np.ndarray:
    """Return critical values through a polynomial in 1 / df, in which they are smooth."""
    from scipy.interpolate import BarycentricInterpolator

    inverse = 1.0 / df
    known = ~np.isnan(inverse)
    low, high = float(inverse[known].min()), float(inverse[known].max())
    angles = (2.0 * np.arange(NODES) + 1.0) * np.pi / (2.0 * NODES)
    nodes = 0.5 * (low + high) + 0.5 * (high - low) * np.cos(angles)
    values = [np.log(_critical(float(1.0 / each), level, adjust, family)) for each in nodes]
    found = np.full(len(df), np.nan)
    found[known] = np.exp(BarycentricInterpolator(nodes, values)(inverse[known]))
    return found


def _check_size(adjust: Adjust, family: Family) -> None:
    if adjust in ("mvt", "dunnett") and family.size > MAX_MVT:
        raise ValueError(
            f"The multivariate t is computed for at most {MAX_MVT} contrasts, these are {family.size}; use "
            "'sidak' or 'holm'."
        )


def _critical(df: float, level: float, adjust: Adjust, family: Family) -> float:
    from scipy.optimize import brentq
    from scipy.special import chdtri, fdtri

    m, alpha = family.size, 1.0 - level
    if np.isnan(df):
        return float("nan")
    match adjust:
        case "none":
            return _two_sided(alpha, df)
        case "bonferroni" | "holm" | "fdr":
            return _two_sided(alpha / m, df)
        case "sidak":
            return _two_sided(-np.expm1(np.log1p(-alpha) / m), df)
        case "scheffe":
            if np.isinf(df):
                return float(np.sqrt(chdtri(family.rank, alpha)))
            return float(np.sqrt(family.rank * fdtri(family.rank, df, level)))
    low, high = _two_sided(alpha, df), _two_sided(alpha / m, df)
    if m == 1 or high - low < 1e-12:
        return low
    ends = [_tail(each, df, adjust, family) - alpha for each in (low, high)]
    if ends[0] <= 0.0 or ends[1] >= 0.0:
        return low if ends[0] <= 0.0 else high
    return float(brentq(lambda x: _tail(x, df, adjust, family) - alpha, low, high, xtol=1e-9))


def _two_sided(alpha: float, df: float) -> float:
    from scipy.special import ndtri, stdtrit

    return float(-ndtri(0.5 * alpha) if np.isinf(df) else -stdtrit(df, 0.5 * alpha))


def _tail(t: float, df: float, adjust: Adjust, family: Family) -> float:
    """Return the probability that the family's largest |t| is beyond ``t``."""
    match adjust:
        case "scheffe":
            return f_tail(t**2 / family.rank, family.rank, df)
        case "tukey":
            return studentized_range_tail(float(np.sqrt(2.0)) * t, family.n_means, df)
        case _:
            return largest_t_tail(t, df, family.correlation)
