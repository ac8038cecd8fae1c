"""Separation: fixed effects of a yes/no model whose estimates have no bound.

There is separation when some direction g of the coefficients has x'g >= 0 on every row with a yes and
x'g <= 0 on every row with a no, and not all are zero (Albert and Anderson 1984, Biometrika 71:1-10). The
likelihood then rises forever along g, with random effects too: given these it rises for every one of their
values. Such a direction is found by the linear program of Konis (2007, thesis, Oxford, section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.schemas.errors import FitError

# Directions are bounded by 1; what is below this is rounding of the linear program.
SMALL: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Separation:
    """Which coefficients run away: ``directions`` (p,) is +1, -1 or 0; ``complete`` if no row resists."""

    directions: np.ndarray
    complete: bool


def separation(matrix: np.ndarray, yes: np.ndarray, trials: np.ndarray) -> Separation | None:
    """Return how the columns of ``matrix`` (rows, p) separate yes from no, or None if they do not.

    Parameters
    ----------
    matrix
        Design of the fixed effects, of full column rank.
    yes, trials
        Counts of every row, (rows,).
    """
    from scipy.optimize import linprog

    size = np.abs(matrix).max(axis=0)
    patterns, code = np.unique(matrix / size, axis=0, return_inverse=True)
    code = code.reshape(-1)
    hits = np.bincount(code, yes, minlength=len(patterns))
    misses = np.bincount(code, trials - yes, minlength=len(patterns))
    pure = (hits == 0.0) | (misses == 0.0)
    if not pure.any():
        return None
    sign = np.where(hits > 0.0, 1.0, -1.0)
    signed = patterns[pure] * sign[pure, None]
    mixed = patterns[~pure]
    if len(mixed) and np.linalg.matrix_rank(mixed.T @ mixed, tol=1e-9 * len(mixed)) == matrix.shape[1]:
        return None  # no direction is orthogonal to the rows that have both outcomes
    found = linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(len(signed)),
        A_eq=mixed if len(mixed) else None,
        b_eq=np.zeros(len(mixed)) if len(mixed) else None,
        bounds=(-1.0, 1.0),
        method="highs",
    )
    if found.x is None or np.abs(signed @ found.x).max() < SMALL:
        return None
    directions = np.where(np.abs(found.x) < SMALL, 0.0, np.sign(found.x))
    return Separation(directions, not len(mixed) and _strict(signed))


def _strict(signed: np.ndarray) -> bool:
    """Return whether some direction is strictly positive on every row."""
    from scipy.optimize import linprog

    n_rows, p = signed.shape
    margin = linprog(
        np.r_[np.zeros(p), -1.0],
        A_ub=np.c_[-signed, np.ones(n_rows)],
        b_ub=np.zeros(n_rows),
        bounds=[*[(-1.0, 1.0)] * p, (0.0, 1.0)],
        method="highs",
    )
    return margin.x is not None and bool(margin.x[-1] > SMALL)


def check_separation(names: tuple[str, ...], matrix: np.ndarray, yes: np.ndarray, trials: np.ndarray) -> None:
    """Raise FitError naming the columns and directions if the fixed effects separate yes from no.

    Raises
    ------
    FitError
        If there is separation.
    """
    found = separation(matrix, yes, trials)
    if found is None:
        return
    terms = ", ".join(
        f"{name} {'up' if sign > 0 else 'down'}"
        for name, sign in zip(names, found.directions, strict=True)
        if sign
    )
    kind = "completely" if found.complete else "partly (quasi-complete separation)"
    raise FitError(
        f"The fixed effects separate yes from no {kind}: the likelihood rises without bound as these "
        f"coefficients go: {terms}. Some combination of their values has only yes or only no. Leave the "
        "term out, join its levels, or compare animals by their empirical logits (animal_logit_test)."
    )
