"""Type III tests of the terms of a mixed model.

The hypothesis of a term averages with equal weight over the levels of all other factors (Searle 1987),
whatever the coding of the model: with factors coded to sum to zero it says that the term's
own coefficients are zero. X_sum M = X gives M, and the rows of M that belong to the term are the contrasts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.formulas.coding import design
from nwbswitch.analysis.formulas.formula import INTERCEPT, Term, term_name
from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.mixed.satterthwaite import VarianceParameters, f_test


@dataclass(frozen=True, slots=True)
class TermTest:
    """One row of an analysis of variance table."""

    term: str
    sum_sq: float
    mean_sq: float
    num_df: int
    den_df: float
    f: float
    p: float


def type_three_contrasts(frame: ModelFrame) -> dict[Term, np.ndarray]:
    """Return for every term but the intercept its (num_df, p) contrasts of the fixed effects."""
    own = frame.fixed
    balanced = design(own.terms, frame.variables, frame.n_rows, contrasts="sum")
    length = np.sqrt(np.einsum("ij,ij->j", balanced.matrix, balanced.matrix))
    Q, triangle = np.linalg.qr(balanced.matrix / length)
    mapping = np.linalg.solve(triangle, Q.T @ own.matrix) / length[:, None]
    # An entry that is zero up to rounding is zero; columns differ in scale, so compare within a column.
    mapping[np.abs(mapping) < 1e-10 * np.abs(mapping).max(axis=0)] = 0.0
    found = {}
    for index, term in enumerate(own.terms):
        if term == INTERCEPT:
            continue
        columns = np.flatnonzero(own.term_of == index)
        contrasts = np.eye(own.matrix.shape[1])[columns]
        if any(_contains(other, term, frame) for other in own.terms):
            rows = mapping[balanced.term_of == index]
            contrasts = np.linalg.solve(rows[:, columns], rows)
        found[term] = contrasts
    return found


def _contains(other: Term, term: Term, frame: ModelFrame) -> bool:
    """Return whether ``other`` is ``term`` crossed with factors."""
    extra = frozenset(other) - frozenset(term)
    return frozenset(term) < frozenset(other) and all(frame.variables[name].is_factor for name in extra)


def type_three(
    contrasts: dict[Term, np.ndarray],
    estimates: np.ndarray,
    parameters: VarianceParameters,
    residual_variance: float,
) -> tuple[TermTest, ...]:
    """Return the type III test of every term; a mean square is F times the residual variance."""
    rows = []
    for term, rows_of_term in contrasts.items():
        test = f_test(parameters, estimates, rows_of_term)
        mean_sq = test.f * residual_variance
        rows.append(
            TermTest(
                term_name(term), mean_sq * test.num_df, mean_sq, test.num_df, test.den_df, test.f, test.p
            )
        )
    return tuple(rows)
