"""Columns inside units, and the columns of a model as combinations of them.

A factor is kept as one indicator per level and a number as it is; the products that the terms of a model
need, and all products inside these, are columns too. A contrast is then a sum of columns with weights, so
any coding can be had later without rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from nwbswitch.analysis.formulas.coding import (
    Contrasts,
    contrast_names,
    contrast_table,
    fully_coded,
    joined_names,
)
from nwbswitch.analysis.formulas.formula import INTERCEPT, Term, term_name
from nwbswitch.analysis.summaries.unit_summaries import LocalColumn

CONSTANT = LocalColumn()
Combination = Mapping[LocalColumn, float]
"""Weights of local columns; those that are not there have none."""


@dataclass(frozen=True, slots=True)
class CodedTerms:
    """Columns of terms, each as a combination of local columns, with R's names and each one's term."""

    columns: tuple[Combination, ...]
    names: tuple[str, ...]
    term_of: tuple[int, ...]


def product(one: LocalColumn, other: LocalColumn) -> LocalColumn:
    """Return the product of two columns of different variables."""
    return LocalColumn(
        tuple(sorted(one.numbers + other.numbers)), tuple(sorted(one.indicators + other.indicators))
    )


def needed_sets(terms: Iterable[Term], local: Iterable[str]) -> list[frozenset[str]]:
    """Return the sets of local variables whose products the terms need, and every set inside one."""
    inside = frozenset(local)
    found: set[frozenset[str]] = set()
    for term in terms:
        own = inside.intersection(term)
        for size in range(len(own) + 1):
            found |= {frozenset(part) for part in combinations(sorted(own), size)}
    return sorted(found - {frozenset()}, key=lambda part: (len(part), sorted(part)))


def local_columns(
    sets: Iterable[frozenset[str]],
    factors: Sequence[str],
    levels: Mapping[str, Sequence[str]],
    cells: np.ndarray,
) -> tuple[LocalColumn, ...]:
    """Return the columns of the products of ``sets``, the constant first.

    ``cells`` (cells, factors) has the combinations of levels of ``factors`` that occur.
    """
    found = []
    for part in sets:
        numbers = tuple(sorted(part.difference(factors)))
        own = [position for position, name in enumerate(factors) if name in part]
        occurring = np.unique(cells[:, own], axis=0) if own else np.zeros((1, 0), dtype=np.int64)
        for codes in occurring.tolist():
            indicators = [
                (factors[position], levels[factors[position]][code])
                for position, code in zip(own, codes, strict=True)
            ]
            found.append(LocalColumn(numbers, tuple(sorted(indicators))))
    found.sort(key=lambda each: (len(each.indicators) + len(each.numbers), each.indicators, each.numbers))
    return (CONSTANT, *found)


def coded_variable(
    name: str, levels: Sequence[str] | None, *, full: bool, contrasts: Contrasts
) -> tuple[list[Combination], list[str]]:
    """Return the columns of one variable, a number if it has no levels, and their names."""
    if levels is None:
        return [{LocalColumn((name,)): 1.0}], [name]
    table = contrast_table(len(levels), full=full, contrasts=contrasts)
    columns = [
        {
            LocalColumn((), ((name, level),)): float(weight)
            for level, weight in zip(levels, column, strict=True)
            if weight
        }
        for column in table.T
    ]
    return list(columns), contrast_names(name, levels, full=full, contrasts=contrasts)


def coded_terms(
    terms: Sequence[Term], levels: Mapping[str, Sequence[str] | None], *, contrasts: Contrasts = "treatment"
) -> CodedTerms:
    """Return the columns of ``terms``, coded and ordered as R does; ``levels`` has None for a number."""
    factors = frozenset(name for name, each in levels.items() if each is not None)
    columns: list[Combination] = []
    names: list[str] = []
    term_of: list[int] = []
    for index, (term, full) in enumerate(zip(terms, fully_coded(terms, factors), strict=True)):
        block: list[Combination] = [{CONSTANT: 1.0}]
        block_names = [""]
        for name in term:
            part, part_names = coded_variable(name, levels[name], full=name in full, contrasts=contrasts)
            block = [times(one, other) for other in part for one in block]
            block_names = joined_names(block_names, part_names)
        columns += block
        names += block_names if term else [term_name(INTERCEPT)]
        term_of += [index] * len(block)
    return CodedTerms(tuple(columns), tuple(names), tuple(term_of))


def times(one: Combination, other: Combination) -> Combination:
    """Return the product of two combinations of columns of different variables."""
    return {product(a, b): v * w for a, v in one.items() for b, w in other.items()}
