"""Tests of fixed effects: what a t and an F test say, and the checks of their contrasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

# Rows of contrasts are dependent when less than this part of a row is its own.
DEPENDENT: Final = 1e-8


@dataclass(frozen=True, slots=True)
class TTest:
    """A t test of one contrast; ``df`` is infinite and ``t`` a z value without degrees of freedom."""

    estimate: float
    se: float
    df: float
    t: float
    p: float


@dataclass(frozen=True, slots=True)
class FTest:
    """An F test of several contrasts.

    ``f`` includes the factor ``scaling`` of Kenward and Roger (1997), which is 1 for other methods. Where
    the method has no answer, ``f``, ``den_df`` and ``p`` are not numbers; ``reason`` says why, or what is
    doubtful about an answer.
    """

    f: float
    num_df: int
    den_df: float
    p: float
    scaling: float = 1.0
    reason: str = ""


class FixedEffects(Protocol):
    """Estimated fixed effects that can be tested: what marginal means, contrasts and tests of terms need.

    ``estimates`` (p,) and their covariance ``vcov`` (p, p) are in the model's units; ``ddf`` names the kind
    of degrees of freedom; ``design_root`` (p, p) is upper triangular with X'X = design_root' design_root.
    """

    @property
    def estimates(self) -> np.ndarray:
        """Coefficients (p,)."""

    @property
    def vcov(self) -> np.ndarray:
        """Their covariance (p, p)."""

    @property
    def ddf(self) -> str:
        """Kind of degrees of freedom."""

    @property
    def design_root(self) -> np.ndarray:
        """Root (p, p) of X'X."""

    @property
    def residual_variance(self) -> float:
        """Variance of the residual; nan where there is none."""

    def t_test(self, contrast: np.ndarray, *, null: float = 0.0) -> TTest:
        """Test that ``contrast @ estimates`` is ``null``."""

    def f_test(self, contrasts: np.ndarray) -> FTest:
        """Test that ``contrasts @ estimates`` is zero; contrasts are (q, p) of full rank."""


def t_test_of(estimate: float, variance: float, df: float, *, null: float) -> TTest:
    """Return the two-sided test of an estimate; P below 1e-308 is 0, and nan without a positive variance."""
    from scipy.special import ndtr, stdtr

    if not variance > 0.0:
        nan = float("nan")
        return TTest(estimate, nan, df, nan, nan)
    se = float(np.sqrt(variance))
    t = (estimate - null) / se
    tail = ndtr(-abs(t)) if np.isinf(df) else stdtr(df, -abs(t))
    return TTest(estimate, se, df, t, float(2.0 * tail))


def f_tail(f: float, num_df: int, den_df: float) -> float:
    """Return the probability of a larger F."""
    from scipy.special import betainc, chdtrc

    if f <= 0.0:
        return 1.0
    if np.isinf(den_df):
        return float(chdtrc(num_df, num_df * f))
    # The tail is an incomplete beta function, so small values keep their digits.
    return float(betainc(0.5 * den_df, 0.5 * num_df, den_df / (den_df + num_df * f)))


def checked_contrast(contrast: np.ndarray, n_fixed: int) -> np.ndarray:
    """Return a contrast as (p,) numbers.

    Raises
    ------
    ValueError
        If it has another length, a value that is not finite, or nothing but zeros.
    """
    found = np.asarray(contrast, dtype=float)
    if found.shape != (n_fixed,):
        raise ValueError(
            f"A contrast needs one number for each of the {n_fixed} fixed effects, not shape {found.shape}."
        )
    if not np.all(np.isfinite(found)):
        raise ValueError("A contrast holds a value that is not a finite number.")
    if not np.any(found):
        raise ValueError("A contrast of nothing but zeros has no variance and cannot be tested.")
    return found


def checked_contrasts(contrasts: np.ndarray, n_fixed: int) -> np.ndarray:
    """Return contrasts as (rows, p) numbers whose rows are independent.

    Raises
    ------
    ValueError
        If the shape is another, a row is zero or not finite, or rows are combinations of rows before;
        the message counts these from 1.
    """
    found = np.atleast_2d(np.asarray(contrasts, dtype=float))
    if found.ndim != 2 or len(found) == 0:
        raise ValueError(f"Contrasts must be (rows, {n_fixed}) numbers, not shape {found.shape}.")
    for row in found:
        checked_contrast(row, n_fixed)
    kept = independent_rows(found)
    if len(kept) < len(found):
        lost = ", ".join(str(i + 1) for i in range(len(found)) if i not in set(kept.tolist()))
        raise ValueError(
            f"The contrasts are dependent: row {lost} says nothing that the rows before do not say. "
            "Leave it out."
        )
    return found


def independent_rows(rows: np.ndarray) -> np.ndarray:
    """Return the positions of the rows that are no combination of rows before."""
    basis: list[np.ndarray] = []
    kept = []
    for position, row in enumerate(rows):
        size = float(np.linalg.norm(row))
        rest = row.astype(float).copy()
        for _ in range(2):  # a second pass removes what rounding left
            for each in basis:
                rest -= (each @ rest) * each
        own = float(np.linalg.norm(rest))
        if size > 0.0 and own > DEPENDENT * size:
            basis.append(rest / own)
            kept.append(position)
    return np.array(kept, dtype=np.int64)
