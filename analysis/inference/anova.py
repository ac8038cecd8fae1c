"""Analysis of variance of a mixed model: tests of its terms, of type I, II and III.

Type I tests a term after the terms before it, type II after all terms that do not contain it: with X'X = R'R
and the columns in that order, the rows of R that belong to the term are its contrasts (Searle 1987). Type III
averages with equal weight over the levels of all other factors, whatever the coding of the model: with
factors coded to sum to zero it says that the term's own coefficients are zero. X_sum M = X gives M, and the
rows of M that belong to the term are the contrasts; without an intercept see `estimable_functions`. All need
X'X and the levels of the factors, no rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Contrasts, design
from nwbswitch.analysis.formulas.formula import INTERCEPT, Term, term_name
from nwbswitch.analysis.inference.estimable_functions import (
    contains,
    contrasts_without_intercept,
    level_grid,
)
from nwbswitch.analysis.inference.hypothesis import FixedEffects
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.plain_values import plain

AnovaType = Literal["I", "II", "III"]
TYPES: Final[Mapping[object, AnovaType]] = {
    "I": "I", "II": "II", "III": "III", 1: "I", 2: "II", 3: "III", "1": "I", "2": "II", "3": "III",
}  # fmt: skip


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


@dataclass(frozen=True, slots=True, repr=False)
class Anova:
    """Tests of the terms of a model; ``notes`` say why a test has no answer or a doubtful one."""

    tests: tuple[TermTest, ...]
    type: AnovaType
    ddf: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self.summary()

    def table(self) -> pd.DataFrame:
        """Return term, sum_sq, mean_sq, num_df, den_df, f, p."""
        return pd.DataFrame(
            [asdict(each) for each in self.tests], columns=list(TermTest.__dataclass_fields__)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the tests as plain JSON values."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    def summary(self) -> str:
        """Return the table as text."""
        from nwbswitch.analysis.mixed.result_tables import table_text

        head = f"Type {self.type} tests of terms, degrees of freedom: {self.ddf}"
        return "\n".join([head, table_text(self.table()), *self.notes])


def anova(model: Model, inference: FixedEffects, *, type: AnovaType | int = "III") -> Anova:  # noqa: A002
    """Return the tests of all terms of a model but the intercept.

    A sum of squares is the unscaled F times its numerator degrees of freedom times sigma^2, as lmerTest
    has it (Kuznetsova et al. 2017). With row weights X'X of types I and II is weighted, where lmerTest's
    is not.

    Parameters
    ----------
    model
        The model.
    inference
        Its fixed effects; their degrees of freedom are used.
    type
        ``I``, ``II`` or ``III`` (or 1, 2, 3).

    Raises
    ------
    ValueError
        For a type that does not exist.
    FitError
        If the factors of one term have too many combinations of levels.
    """
    kind = TYPES.get(type)
    if kind is None:
        raise ValueError(f"type is {type!r}; available are I, II, III.")
    rows, notes = [], []
    for term, contrasts in term_contrasts(model, inference.design_root, type=kind).items():
        test = inference.f_test(contrasts)
        name = term_name(term)
        mean_sq = test.f / test.scaling * inference.residual_variance
        rows.append(TermTest(name, mean_sq * test.num_df, mean_sq, test.num_df, test.den_df, test.f, test.p))
        if test.reason:
            notes.append(f"{name}: {test.reason}.")
    return Anova(tuple(rows), kind, inference.ddf, tuple(notes))


def term_contrasts(model: Model, design_root: np.ndarray, *, type: AnovaType) -> dict[Term, np.ndarray]:  # noqa: A002
    """Return for every term but the intercept its (num_df, p) contrasts of the fixed effects.

    ``design_root`` (p, p) gives X'X = design_root' design_root.
    """
    tested = [term for term in model.terms if term != INTERCEPT]
    if type == "III" and INTERCEPT in model.terms:
        return _type_three(model, tested)
    if type == "III":
        return contrasts_without_intercept(model, tested)
    position = {term: index for index, term in enumerate(model.terms)}
    found = {}
    for term in tested:
        later = [term, *(other for other in model.terms if contains(other, term, model))]
        if type == "II" and len(later) == 1:
            # Spans the same as the general rule; lmerTest's joined degrees of freedom depend on the rows.
            found[term] = np.eye(len(model.names))[model.term_of == position[term]]
            continue
        if type == "I":
            later = list(model.terms[position[term] :])
        last = np.isin(model.term_of, [position[each] for each in later])
        order = np.concatenate([np.flatnonzero(~last), np.flatnonzero(last)])
        triangle = np.linalg.qr(design_root[:, order], mode="r")
        rows = np.zeros_like(triangle)
        rows[:, order] = triangle / np.diagonal(triangle)[:, None]
        found[term] = rows[model.term_of[order] == position[term]]
    return found


def _type_three(model: Model, tested: list[Term]) -> dict[Term, np.ndarray]:
    p = len(model.names)
    mapping, sum_of = _sum_coding(model, model.contrasts)
    treatment = mapping if model.contrasts == "treatment" else _sum_coding(model, "treatment")[0]
    found = {}
    for term in tested:
        index = model.terms.index(term)
        columns = np.flatnonzero(model.term_of == index)
        own = sum_of == index
        if any(contains(other, term, model) for other in model.terms):
            found[term] = np.linalg.solve(treatment[own][:, columns], mapping[own])
        else:
            # Joined degrees of freedom depend on the rows: differences from the first level in any coding.
            found[term] = (
                np.linalg.solve(treatment[own][:, columns], mapping[own][:, columns]) @ np.eye(p)[columns]
            )
    return found


def _sum_coding(model: Model, contrasts: Contrasts) -> tuple[np.ndarray, np.ndarray]:
    """Return M with X_sum M = X, X being coded by ``contrasts``, and the term of every row of M.

    A column of a term is a function of its own factors times its numbers, so it is a combination of
    X_sum's columns of the terms inside it that have the same numbers.
    """
    p = len(model.names)
    sum_of = design(model.terms, level_grid(model, ()), 1, contrasts="sum").term_of
    mapping = np.zeros((len(sum_of), p))
    for index, term in enumerate(model.terms):
        variables = level_grid(model, term)
        n_cells = len(next(iter(variables.values())).missing) if variables else 1
        own = design(model.terms, variables, n_cells, contrasts=contrasts).matrix
        balanced = design(model.terms, variables, n_cells, contrasts="sum").matrix
        inside = [i for i, other in enumerate(model.terms) if other == term or contains(term, other, model)]
        rows = np.flatnonzero(np.isin(sum_of, inside))
        columns = np.flatnonzero(model.term_of == index)
        part = np.linalg.lstsq(balanced[:, rows], own[:, columns], rcond=None)[0]
        part[np.abs(part) < 1e-10 * np.abs(part).max(initial=0.0)] = 0.0
        mapping[np.ix_(rows, columns)] = part
    return mapping, sum_of
