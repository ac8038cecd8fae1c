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

from nwbswitch.analysis.formulas.expressions import evaluate
from nwbswitch.analysis.formulas.factor import (
    Factor,
    factor_of,
    factor_of_values,
    is_number,
    plain_column,
)
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
    column = plain_column(variable, frame)
    if column is not None and (variable.as_factor or grouping or not is_number(column)):
        return ordered(variable.name, factor_of(column))
    values = evaluate(variable.code, frame, what=f"The variable {variable.name!r}:")
    if values.kind == "number" and not (variable.as_factor or grouping):
        return Coded(variable.name, values.missing, numbers=np.where(values.missing, np.nan, values.data))
    return ordered(variable.name, factor_of_values(values))


def ordered(name: str, factor: Factor) -> Coded:
    """Return a factor with its levels in R's order."""
    codes, uniques = factor.codes, factor.uniques
    order = np.arange(len(uniques)) if factor.sorted else np.argsort(uniques, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        rank = np.empty(len(order) + 1, dtype=np.int64)
        rank[order] = np.arange(len(order))
        rank[-1] = -1
        codes = rank[codes]
    return Coded(name, codes < 0, codes=codes, levels=factor.labels(order))


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
        if variable.is_factor:
            require_two_levels(name, variable.levels)
    factors = frozenset(name for name, variable in variables.items() if variable.is_factor)
    columns, names, term_of = [], [], []
    for index, (term, full_names) in enumerate(zip(terms, fully_coded(terms, factors), strict=True)):
        block, block_names = np.ones((n_rows, 1)), [""]
        for name in term:
            full = name in full_names
            part, part_names = _variable_columns(variables[name], full=full, contrasts=contrasts)
            # R varies the first variable of a term fastest.
            block = (block[:, None, :] * part[:, :, None]).reshape(n_rows, -1)
            block_names = joined_names(block_names, part_names)
        columns.append(block)
        names += block_names if term else [term_name(INTERCEPT)]
        term_of += [index] * block.shape[1]
    matrix = np.concatenate(columns, axis=1) if columns else np.empty((n_rows, 0))
    return Design(matrix, tuple(names), tuple(terms), np.array(term_of, dtype=np.int64))


def require_two_levels(name: str, levels: Sequence[str]) -> None:
    """Raise FormulaError if a factor of an effect has fewer than two levels.

    Raises
    ------
    FormulaError
        It has.
    """
    if len(levels) < 2:
        only = f"only the value {levels[0]!r}" if levels else "no value"
        raise FormulaError(f"{name!r} has {only} in the rows used, so it has no effect to estimate.")


def joined_names(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """Return the names of the products of two sets of columns, the first varying fastest."""
    return [f"{one}:{other}" if one else other for other in now for one in before]


def fully_coded(terms: Sequence[Term], factors: frozenset[str]) -> list[frozenset[str]]:
    """Return for every term the factors that have one column per level in it, not contrasts.

    A factor is coded by contrasts in a term if the term without it is in the model (Chambers and Hastie
    1992, section 2.4); the first factor of a model without intercept takes the intercept's place.
    """
    present = {frozenset(term) for term in terms}
    first = None
    if INTERCEPT not in terms:
        first = next(((term, name) for term in terms for name in term if name in factors), None)
    found = []
    for term in terms:
        full = {name for name in term if len(term) > 1 and frozenset(term) - {name} not in present}
        found.append(frozenset(name for name in term if name in full or (term, name) == first))
    return found


def contrast_table(n_levels: int, *, full: bool, contrasts: Contrasts) -> np.ndarray:
    """Return the (levels, columns) coding of a factor."""
    if full:
        return np.eye(n_levels)
    if contrasts == "treatment":
        return np.eye(n_levels)[:, 1:]
    return np.vstack([np.eye(n_levels - 1), -np.ones(n_levels - 1)])


def contrast_names(name: str, levels: Sequence[str], *, full: bool, contrasts: Contrasts) -> list[str]:
    """Return the names of the columns of a factor, as R gives them."""
    if full:
        return [name + level for level in levels]
    if contrasts == "treatment":
        return [name + level for level in levels[1:]]
    return [f"{name}{position}" for position in range(1, len(levels))]


def _variable_columns(variable: Coded, *, full: bool, contrasts: Contrasts) -> tuple[np.ndarray, list[str]]:
    if variable.codes is None:
        assert variable.numbers is not None
        return variable.numbers[:, None], [variable.name]
    table = contrast_table(len(variable.levels), full=full, contrasts=contrasts)
    names = contrast_names(variable.name, variable.levels, full=full, contrasts=contrasts)
    return table[variable.codes], names
