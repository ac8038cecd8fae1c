"""Type III contrasts of models without an intercept, from their estimable functions.

Without an intercept no term holds the constant, so factors coded to sum to zero do not give type III. The
general form does, whatever the coding (Goodnight 1978, Tests of hypotheses in fixed effects linear models,
SAS technical report R-101): each coefficient is a function of the full set of indicators, one per
combination of levels of every term, and that of a term is made orthogonal to those of all terms that
contain it. A function is then known by its values at the indicators that the treatment coding keeps.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded, Contrasts, design
from nwbswitch.analysis.formulas.formula import INTERCEPT, Term, term_name
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.schemas.errors import FitError

# The factors of a term may have this many combinations of levels.
MAX_CELLS: Final = 200_000


def contains(other: Term, term: Term, model: Model) -> bool:
    """Return whether ``other`` is ``term`` crossed with factors."""
    extra = frozenset(other) - frozenset(term)
    return frozenset(term) < frozenset(other) and all(model.variables[name].is_factor for name in extra)


def contrasts_without_intercept(model: Model, tested: list[Term]) -> dict[Term, np.ndarray]:
    """Return for every term its type III contrasts (num_df, p) of the coefficients of ``model``.

    Raises
    ------
    FitError
        If the factors of one term have too many combinations of levels.
    """
    indicators = _in_treatment_coding(model, None)
    treatment_of = design(model.terms, level_grid(model, ()), 1).term_of
    coefficients = (
        np.eye(len(treatment_of))
        if model.contrasts == "treatment"
        else _in_treatment_coding(model, model.contrasts)
    )
    found = {}
    for term in tested:
        own = treatment_of == model.terms.index(term)
        rows = np.eye(len(treatment_of))[own]
        above = [index for index, other in enumerate(model.terms) if contains(other, term, model)]
        if above:
            later = np.isin(treatment_of, above)
            shared = np.linalg.lstsq(indicators[later].T, indicators[own].T, rcond=None)[0]
            rows[:, later] = -shared.T
        rows[np.abs(rows) < 1e-10] = 0.0
        found[term] = rows @ coefficients
    return found


def _in_treatment_coding(model: Model, contrasts: Contrasts | None) -> np.ndarray:
    """Return the columns of a coding, or all indicators for None, as combinations of treatment columns.

    The answer is (treatment columns, columns). A column is a function of the factors of its term times its
    numbers; the constant is a function of the factor that takes the intercept's place.
    """
    n_treatment = len(design(model.terms, level_grid(model, ()), 1).names)
    parts = []
    for term in model.terms:
        numbers = _numbers(term, model)
        factors = {name for name in term if name not in numbers} | (
            set() if numbers else set(_constant(model))
        )
        variables = level_grid(model, tuple(factors))
        n_cells = max((len(each.missing) for each in variables.values()), default=1)
        treatment = design(model.terms, variables, n_cells)
        inside = [
            index
            for index, other in enumerate(model.terms)
            if _numbers(other, model) == numbers and set(other) - numbers <= factors
        ]
        rows = np.flatnonzero(np.isin(treatment.term_of, inside))
        if contrasts is None:
            columns = _indicators(term, variables, n_cells)
        else:
            coded = design(model.terms, variables, n_cells, contrasts=contrasts)
            columns = coded.matrix[:, coded.term_of == model.terms.index(term)]
        part = np.zeros((n_treatment, columns.shape[1]))
        part[rows] = np.linalg.lstsq(treatment.matrix[:, rows], columns, rcond=None)[0]
        part[np.abs(part) < 1e-10] = 0.0
        parts.append(part)
    return np.concatenate(parts, axis=1)


def _numbers(term: Term, model: Model) -> set[str]:
    return {name for name in term if not model.variables[name].is_factor}


def _constant(model: Model) -> Term:
    """Return the first term made of factors only, whose indicators sum to one."""
    return next((term for term in model.terms if term != INTERCEPT and not _numbers(term, model)), INTERCEPT)


def _indicators(term: Term, variables: dict[str, Coded], n_cells: int) -> np.ndarray:
    """Return one column (cells,) per combination of levels of the factors of ``term``."""
    block = np.ones((n_cells, 1))
    for name in term:
        codes = variables[name].codes
        if codes is not None:
            part = np.eye(len(variables[name].levels))[codes]
            block = (block[:, None, :] * part[:, :, None]).reshape(n_cells, -1)
    return block


def level_grid(model: Model, factors: Term) -> dict[str, Coded]:
    """Return all combinations of levels of ``factors``; other factors at their first level, numbers one.

    Raises
    ------
    FitError
        If there are too many.
    """
    names = list(dict.fromkeys(name for each in model.terms for name in each))
    sizes = [len(model.variables[name].levels or ("",)) if name in factors else 1 for name in names]
    n_cells = int(np.prod(sizes, dtype=np.float64))
    if n_cells > MAX_CELLS:
        raise FitError(
            f"The factors of {term_name(factors)} have {n_cells} combinations of levels; type III tests hold "
            f"{MAX_CELLS}."
        )
    places = np.unravel_index(np.arange(n_cells), sizes) if sizes else ()
    missing = np.zeros(n_cells, dtype=bool)
    found = {}
    for name, place in zip(names, places, strict=True):
        levels = model.variables[name].levels
        if levels is not None:
            found[name] = Coded(name, missing, codes=np.asarray(place), levels=levels)
        else:
            found[name] = Coded(name, missing, numbers=np.ones(n_cells))
    return found
