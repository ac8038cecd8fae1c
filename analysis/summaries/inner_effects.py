"""The random effects of a formula, and those of the innermost group as combinations of local columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nwbswitch.analysis.formulas.formula import Formula, Term
from nwbswitch.analysis.summaries.local_columns import Combination, coded_terms
from nwbswitch.analysis.summaries.unit_summaries import InnerEffect


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a formula: its effects as combinations of columns; ``label`` tells bars of a group apart."""

    group: str
    label: str
    names: tuple[str, ...]
    terms: tuple[Term, ...]
    term_of: tuple[int, ...]
    columns: tuple[Combination, ...]


def bars_of(formula: Formula, levels: Mapping[str, Sequence[str] | None]) -> tuple[Bar, ...]:
    """Return the bars of a formula; ``levels`` has those of every variable of effects, None for numbers."""
    seen: dict[str, int] = {}
    found = []
    for bar in formula.random:
        number = seen.get(bar.group_name, 0)
        seen[bar.group_name] = number + 1
        label = f"{bar.group_name}.{number}" if number else bar.group_name
        coded = coded_terms(bar.terms, levels)
        found.append(Bar(bar.group_name, label, coded.names, bar.terms, coded.term_of, coded.columns))
    return tuple(found)


def inner_effects(bars: Sequence[Bar], inner: Sequence[str]) -> tuple[InnerEffect, ...]:
    """Return the effects of the bars whose group is one of ``inner``."""
    return tuple(
        InnerEffect(bar.label, name, bar.terms[term], tuple(combination.items()))
        for bar in bars
        if bar.group in inner
        for name, term, combination in zip(bar.names, bar.term_of, bar.columns, strict=True)
    )
