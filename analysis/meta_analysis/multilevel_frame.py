"""What a multilevel meta-analysis is fitted to, from a table: effects, moderators, groups and covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Coded, Design, design
from nwbswitch.analysis.formulas.formula import Formula, RandomTerm, Variable, read_formula
from nwbswitch.analysis.meta_analysis.known_covariance import KnownCovariance, known_matrix
from nwbswitch.analysis.meta_analysis.meta import MIN_STUDIES, require_column, with_column
from nwbswitch.analysis.mixed.model_frame import GROUP, check_rank, complete_rows
from nwbswitch.schemas.errors import FitError, FormulaError

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, slots=True)
class RandomPart:
    """One random term: effects of the levels of ``group``, one each or one per level of ``inner``.

    ``codes`` and ``inner_codes`` are (rows,); ``labels`` and ``inner_labels`` name their levels.
    """

    group: str
    codes: np.ndarray
    labels: tuple[str, ...]
    inner: str = ""
    inner_codes: np.ndarray | None = None
    inner_labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EffectFrame:
    """The complete rows: effects (n,), their design, random parts and known covariance (n, n), sparse.

    ``rows`` are the positions in the table; ``n_missing`` rows were left out for a missing value.
    """

    effect: np.ndarray
    design: Design
    parts: tuple[RandomPart, ...]
    known: csr_array
    rows: np.ndarray
    labels: tuple[str, ...]
    n_missing: int
    formula: Formula
    variables: dict[str, Coded]


def effect_frame(
    data: pd.DataFrame,
    *,
    effect: str,
    variance: str | None,
    V: KnownCovariance | np.ndarray | csr_array | None,
    random: Sequence[str],
    moderators: str | None,
    where: str | None,
    slab: str | None,
) -> EffectFrame:
    """Return the rows of a table that a multilevel model is fitted to; ``data`` is not changed.

    Raises
    ------
    FormulaError
        For a column that is not there or is text, or a formula that cannot be read.
    FitError
        For too few rows, a variance that is not positive, or moderators that are collinear.
    ValueError
        If not exactly one of ``variance`` and ``V`` is given, or V does not fit the table.
    """
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"data must be a pandas DataFrame, not {type(data).__name__}.")
    if (variance is None) == (V is None):
        raise ValueError("Give the column of variances (variance) or their covariance (V), not both.")
    table = with_column(data, effect)
    extra: tuple[str, ...] = ()
    if variance is not None:
        table = with_column(table, variance)
        extra = (variance,)
    right = (moderators or "1").strip().removeprefix("~")
    asked = read_formula(f"effect ~ {right}", bars=False)
    terms = [_random_terms(each) for each in random]
    bars = [term for found, _ in terms for term in found] + [inner for _, inner in terms if inner is not None]
    groups = {name: variable for each in random for name, variable in _group_variables(each).items()}
    formula = Formula(
        right.strip(),
        Variable(effect, f"`{effect}`"),
        asked.fixed,
        tuple(bars),
        {**groups, **asked.variables},
    )
    found, rows, _, n_missing = complete_rows(table, formula, where=where, extra=extra)
    y = found[""].numbers
    if y is None:
        raise FormulaError(f"The column {effect!r} is not a number.")
    if len(rows) < 2:
        raise FitError(f"There are {len(rows)} complete effects; a meta-analysis needs at least two.")
    columns = design(formula.fixed, found, len(rows))
    check_rank(columns)
    parts = [part for term, inner in terms for part in _parts(term, inner, found, len(rows))]
    known = known_matrix(table, variance, V, rows)
    return EffectFrame(
        y, columns, tuple(parts), known, rows, row_labels(data, slab, rows), n_missing, formula, found
    )


def row_labels(data: pd.DataFrame, slab: str | None, rows: np.ndarray) -> tuple[str, ...]:
    """Return the labels of the rows: those of a column, or the row numbers from 1.

    Raises
    ------
    FormulaError
        If there is no such column.
    """
    if slab is None:
        return tuple(str(row + 1) for row in rows)
    require_column(data, slab)
    return tuple(str(each) for each in data[slab].iloc[rows])


def _sides(text: str) -> tuple[str, str]:
    if not isinstance(text, str):
        raise TypeError(f"A random term is text such as '~ 1 | study', not {type(text).__name__}.")
    bare = text.strip().removeprefix("~").strip()
    if bare.startswith("(") and bare.endswith(")"):
        bare = bare[1:-1]
    left, bar, right = (each.strip() for each in bare.partition("|"))
    if not bar or not left or not right:
        raise FormulaError(
            f"The random term {text!r} cannot be read; expected e.g. '~ 1 | lab/study' or "
            "'~ outcome | study'."
        )
    if "+" in left:
        raise FormulaError(
            f"The random term {text!r} has a sum left of the bar; expected 1, or one factor whose levels "
            "have correlated effects, e.g. '~ outcome | study'."
        )
    return left, right


def _bars(text: str) -> Formula:
    return read_formula(f"effect ~ 1 + (1 | {text})")


def _random_terms(text: str) -> tuple[list[RandomTerm], RandomTerm | None]:
    """Return the groupings of a random term and, for ``inner | outer``, the inner one."""
    left, right = _sides(text)
    terms = list(_bars(right).random)
    if left == "1":
        return terms, None
    if len(terms) != 1:
        raise FormulaError(
            f"The random term {text!r} nests groups right of an inner factor; write one group."
        )
    inner = _bars(left).random
    if len(inner) != 1:
        raise FormulaError(f"The random term {text!r} must have one factor left of the bar, or 1.")
    return terms, inner[0]


def _group_variables(text: str) -> dict[str, Variable]:
    left, right = _sides(text)
    found = dict(_bars(right).variables)
    if left != "1":
        found.update(_bars(left).variables)
    return found


def _parts(
    terms: list[RandomTerm], inner: RandomTerm | None, found: dict[str, Coded], n_rows: int
) -> list[RandomPart]:
    parts = []
    for term in terms:
        codes, labels = group_codes(term, found, n_rows)
        name = "/".join(reversed(term.group))
        if len(labels) < MIN_STUDIES:
            raise FitError(
                f"There are {len(labels)} groups of {name!r}: listed, not pooled, since a variance "
                f"between groups needs at least {MIN_STUDIES}. Add studies, or leave the term out."
            )
        if inner is None:
            parts.append(RandomPart(name, codes, labels))
            continue
        inner_codes, inner_labels = group_codes(inner, found, n_rows)
        if len(inner_labels) < 2:
            raise FitError(
                f"The inner factor {inner.group_name!r} has one level; write '~ 1 | {name}' instead."
            )
        parts.append(RandomPart(name, codes, labels, inner.group_name, inner_codes, inner_labels))
    return parts


def group_codes(term: RandomTerm, found: dict[str, Coded], n_rows: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the group of every row, and the labels of groups, the outermost name first."""
    codes = np.zeros(n_rows, dtype=np.int64)
    labels: tuple[str, ...] = ("",)
    for name in reversed(term.group):
        variable = found[GROUP + name]
        assert variable.codes is not None
        uniques, codes = np.unique(codes * len(variable.levels) + variable.codes, return_inverse=True)
        before, now = np.divmod(uniques, len(variable.levels))
        labels = tuple(
            f"{labels[one]}/{variable.levels[other]}" if labels[one] else variable.levels[other]
            for one, other in zip(before.tolist(), now.tolist(), strict=True)
        )
    return codes, labels
