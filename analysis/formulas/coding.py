"""From variables to the numeric columns of a model, coded and named as R does.

A factor inside a term is coded by contrasts if the term without it is in the model too, else by one
indicator per level (Chambers and Hastie 1992, chapter 2). Levels are sorted as `factor` sorts them in
the C locale: text by code point, numbers by size, false before true; a categorical keeps its order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.expressions import Values, evaluate
from nwbswitch.analysis.formulas.formula import INTERCEPT, Term, Variable, term_name
from nwbswitch.schemas.errors import FormulaError

Contrasts = Literal["treatment", "sum"]


@dataclass(frozen=True, slots=True)
class Coded:
    """One variable on all rows: numbers, or codes into levels for a factor; and where it is missing."""

    name: str
    missing: np.ndarray
    numbers: np.ndarray | None = None
    codes: np.ndarray | None = None
    levels: tuple[str, ...] = ()

    @property
    def is_factor(self) -> bool:
        """Whether the variable has levels."""
        return self.codes is not None

    def rows(self, keep: np.ndarray) -> Coded:
        """Return the variable on some rows, without the levels that no longer occur."""
        if self.codes is None:
            assert self.numbers is not None
            return Coded(self.name, self.missing[keep], numbers=self.numbers[keep])
        codes = self.codes[keep]
        counts = np.bincount(codes[codes >= 0], minlength=len(self.levels))
        renumbered = np.cumsum(counts > 0) - 1
        levels = tuple(level for level, count in zip(self.levels, counts, strict=True) if count)
        codes = np.where(codes >= 0, renumbered[codes], -1) if levels else codes
        return Coded(self.name, self.missing[keep], codes=codes, levels=levels)


@dataclass(frozen=True, slots=True)
class Design:
    """A model matrix (rows, columns), R's column names, and the index of each column's term."""

    matrix: np.ndarray
    names: tuple[str, ...]
    terms: tuple[Term, ...]
    term_of: np.ndarray


def coded(variable: Variable, frame: pd.DataFrame, *, grouping: bool = False) -> Coded:
    """Return ``variable`` evaluated on every row of ``frame``; a ``grouping`` always becomes a factor."""
    plain = variable.code[1:-1] if variable.code.count("`") == 2 and variable.code[0] == "`" else ""
    if plain in frame.columns and isinstance(frame[plain].dtype, pd.CategoricalDtype):
        column = frame[plain].cat
        codes = column.codes.to_numpy().astype(np.int64)
        return Coded(variable.name, codes < 0, codes=codes, levels=tuple(map(str, column.categories)))
    values = evaluate(variable.code, frame, what=f"The variable {variable.name!r}:")
    if values.kind == "number" and not (variable.as_factor or grouping):
        return Coded(variable.name, values.missing, numbers=np.where(values.missing, np.nan, values.data))
    return _factor(variable.name, values)


def _factor(name: str, values: Values) -> Coded:
    codes, uniques = pd.factorize(values.data, sort=False)
    order = np.argsort(uniques)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    codes = np.where(values.missing, -1, rank[codes] if len(order) else -1)
    match values.kind:
        case "truth":
            levels = tuple("TRUE" if each else "FALSE" for each in uniques[order])
        case "number":
            levels = tuple(f"{each:.15g}" for each in uniques[order])
        case _:
            levels = tuple(uniques[order])
    return Coded(name, values.missing, codes=codes, levels=levels)


def design(
    terms: Sequence[Term], variables: Mapping[str, Coded], n_rows: int, *, contrasts: Contrasts = "treatment"
) -> Design:
    """Return the model matrix of ``terms``.

    Parameters
    ----------
    terms
        Terms in R's order, the intercept included if there is one.
    variables
        Each variable of the terms on the rows of the model, without missing values.
    n_rows
        Number of rows.
    contrasts
        How factors are coded that have fewer columns than levels: first level as reference, or sum to zero.

    Raises
    ------
    FormulaError
        If a factor has fewer than two levels.
    """
    for name in dict.fromkeys(name for term in terms for name in term):
        variable = variables[name]
        if variable.is_factor and len(variable.levels) < 2:
            only = f"only the value {variable.levels[0]!r}" if variable.levels else "no value"
            raise FormulaError(f"{name!r} has {only} in the rows used, so it has no effect to estimate.")
    present = {frozenset(term) for term in terms}
    full_factor = _fully_coded_main_effect(terms, variables)
    columns, names, term_of = [], [], []
    for index, term in enumerate(terms):
        block, block_names = np.ones((n_rows, 1)), [""]
        for name in term:
            others = frozenset(term) - {name}
            if len(term) == 1:
                full = (term, name) == full_factor
            else:
                full = others not in present or (term, name) == full_factor
            part, part_names = _variable_columns(variables[name], full=full, contrasts=contrasts)
            # R varies the first variable of a term fastest.
            block = (block[:, None, :] * part[:, :, None]).reshape(n_rows, -1)
            block_names = [
                f"{before}:{now}" if before else now for now in part_names for before in block_names
            ]
        columns.append(block)
        names += block_names if term else [term_name(INTERCEPT)]
        term_of += [index] * block.shape[1]
    matrix = np.concatenate(columns, axis=1) if columns else np.empty((n_rows, 0))
    return Design(matrix, tuple(names), tuple(terms), np.array(term_of, dtype=np.int64))


def _fully_coded_main_effect(
    terms: Sequence[Term], variables: Mapping[str, Coded]
) -> tuple[Term, str] | None:
    """Return the first factor of a model without intercept, which takes the intercept's place."""
    if INTERCEPT in terms:
        return None
    return next(((term, name) for term in terms for name in term if variables[name].is_factor), None)


def _variable_columns(variable: Coded, *, full: bool, contrasts: Contrasts) -> tuple[np.ndarray, list[str]]:
    if variable.codes is None:
        assert variable.numbers is not None
        return variable.numbers[:, None], [variable.name]
    n_levels = len(variable.levels)
    if full:
        return np.eye(n_levels)[variable.codes], [variable.name + level for level in variable.levels]
    if contrasts == "treatment":
        table = np.eye(n_levels)[:, 1:]
        return table[variable.codes], [variable.name + level for level in variable.levels[1:]]
    table = np.vstack([np.eye(n_levels - 1), -np.ones(n_levels - 1)])
    return table[variable.codes], [f"{variable.name}{position}" for position in range(1, n_levels)]
