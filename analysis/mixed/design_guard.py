"""Random slopes that the data call for and the formula leaves out.

A fixed effect that varies within a group has the group's own scatter of that effect as its error. For the
variables of a term that vary within a level, the slope is needed at the outermost level where exactly
these vary: there the rest of the term is assigned (Barr et al. 2013, Journal of Memory and Language
68:255-278, state this for one level). What varies where is read from condensed facts, `Variation`, so that
the guard costs the same for a thousand rows and for ten million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded
from nwbswitch.analysis.formulas.formula import INTERCEPT, Formula, Term, term_name
from nwbswitch.analysis.mixed.model import LevelFacts, Model
from nwbswitch.analysis.summaries.kinds import pseudo_inverse
from nwbswitch.analysis.summaries.unit_summaries import LocalColumn, UnitSummaries

# A column of an innermost group varies when more than this part of its squares is left within groups.
CONSTANT: Final = 1e-10
# What leaving a slope out costs, as simulated in a crossover of 6 animals, 4 sessions each, the drug
# alternating by session and two epochs: rejections of a true null of drug:epoch at the 5 % level, when
# animals respond alike and when their responses differ with SD 0.25.
WITHOUT_ANY: Final = (0.44, 0.70)
WITH_SESSION_SLOPE: Final = (0.064, 0.155)
WITH_ALL: Final = 0.033


@dataclass(frozen=True, slots=True)
class LevelVariation:
    """One grouping level: its size, the variables that vary inside one of its groups, and what holds it.

    ``inside`` has the positions of the levels in whose groups every group of this level lies whole;
    ``codes`` the group of every point (see `Variation`), or None where points are coarser than groups.
    """

    n_groups: int
    varying: frozenset[str]
    inside: frozenset[int]
    codes: np.ndarray | None


@dataclass(frozen=True, slots=True)
class Variation:
    """Where the variables of the fixed effects vary, level by level in the order of `Model.levels`.

    Points are rows, or units of `UnitSummaries`; ``values`` has the value, or the code of the level, of
    every variable that is constant in each point.
    """

    levels: tuple[LevelVariation, ...]
    values: Mapping[str, np.ndarray]

    def combinations(self, position: int, names: Sequence[str]) -> int | None:
        """Return how many combinations of groups of a level and values of variables occur.

        None where points are too coarse to tell.
        """
        codes = self.levels[position].codes
        if codes is None or any(name not in self.values for name in names):
            return None
        keys = _numbered(codes)
        for name in names:
            keys = _numbered(keys * len(codes) + _numbered(self.values[name]))
        return int(keys.max()) + 1 if keys.size else 0


def row_variation(codes: Sequence[np.ndarray], variables: Mapping[str, Coded]) -> Variation:
    """Return what varies where, from rows.

    Parameters
    ----------
    codes
        Per level, in the order of `Model.levels`, the (rows,) group of every row, from 0 without gaps.
    variables
        The variables of the fixed effects on the same rows, without missing values.
    """
    values = {name: _values(variable) for name, variable in variables.items()}
    sizes = [int(each.max()) + 1 if each.size else 0 for each in codes]
    levels = []
    for position, own in enumerate(codes):
        inside = frozenset(
            other
            for other, above in enumerate(codes)
            if other != position
            and sizes[other] <= sizes[position]
            and _constant(above, own, sizes[position])
        )
        varying = frozenset(
            name for name, each in values.items() if not _constant(each, own, sizes[position])
        )
        levels.append(LevelVariation(sizes[position], varying, inside, own))
    return Variation(tuple(levels), values)


def unit_variation(summaries: UnitSummaries, level_names: Sequence[Sequence[str]]) -> Variation:
    """Return what varies where, from cross-products of units.

    Parameters
    ----------
    summaries
        Units of the nested model.
    level_names
        Per level, innermost first, the names of its grouping factor, as `LevelFacts.names`.
    """
    values = {name: _values(variable) for name, variable in summaries.values.items()}
    local = {name for column in summaries.columns for name in _names_in(column)} - set(values)
    n_levels = len(level_names)
    inner = LevelVariation(
        round(float(summaries.cell_count.sum())),
        frozenset(name for name in local if _varies_innermost(summaries, name)),
        frozenset(range(1, n_levels)),
        None,
    )
    levels = [inner]
    for position, names in enumerate(level_names[1:], start=1):
        group = next(summaries.groups[name] for name in names if name in summaries.groups)
        codes = _numbered(_values(group))
        size = int(codes.max()) + 1
        varying = {name for name, each in values.items() if not _constant(each, codes, size)}
        inside = frozenset(range(position + 1, n_levels))
        levels.append(LevelVariation(size, frozenset(varying | local), inside, codes))
    return Variation(tuple(levels), values)


def missing_slopes(model: Model, variation: Variation) -> tuple[str, ...]:
    """Return one warning for every random slope that a highest-order fixed term needs and lacks.

    A warning names the term to add and what leaving it out did in a simulated crossover; the last one has
    the formula with all of them.
    """
    found = [
        _warning(term, slope, model.levels[position].names[0])
        for term, slope, position in _lacking(model, variation)
    ]
    if found:
        found[-1] += f" With all slopes that are needed: {full_formula(model, variation)}"
    return tuple(found)


def full_formula(model: Model, variation: Variation) -> str:
    """Return the formula with the missing slopes added, each to the bar of its group if there is one.

    Without a missing slope this is the formula's own text.
    """
    lacking = _lacking(model, variation)
    if not lacking:
        return model.formula.text.strip()
    wanted = dict.fromkeys((slope, model.levels[position].names) for _, slope, position in lacking)
    bars: list[tuple[list[Term], str]] = [(list(bar.terms), bar.group_name) for bar in model.formula.random]
    for slope, names in wanted:
        own = [terms for terms, group in bars if group in names]
        if len(own) == 1:
            own[0].append(slope)
        else:  # (x || g) is several bars, which a further one joins
            bars.append(([slope], names[0]))
    left, fixed = _without_bars(model.formula)
    written = [f"({_sum_text(terms)} | {group})" for terms, group in bars]
    return f"{left} ~ {' + '.join([fixed, *written])}"


def _lacking(model: Model, variation: Variation) -> list[tuple[Term, Term, int]]:
    """Return (fixed term, slope, position of the level) of every slope that is needed and missing."""
    found = []
    terms = [frozenset(term) for term in model.terms]
    for term in model.terms:
        if not term or any(frozenset(term) < other for other in terms):
            continue
        for slope, position in _needed_slopes(variation, term):
            has = _has_slope(model.levels[position], slope)
            if not has and not _carried_inside(model, variation, slope, position):
                found.append((term, slope, position))
    return found


def _needed_slopes(variation: Variation, term: Term) -> list[tuple[Term, int]]:
    """Return each set of variables that vary together, at the outermost levels where exactly they do."""
    parts = [tuple(name for name in term if name in level.varying) for level in variation.levels]
    return [
        (part, position)
        for position, part in enumerate(parts)
        if part and not any(parts[outer] == part for outer in variation.levels[position].inside)
    ]


def _has_slope(level: LevelFacts, part: Term) -> bool:
    return frozenset(part) in {frozenset(each) for block in level.blocks for each in block.terms}


def _carried_inside(model: Model, variation: Variation, part: Term, position: int) -> bool:
    """Return whether an inner level carries the slope of ``part`` for the level at ``position``.

    With one inner group for each combination of outer group and constant variables, as one session per
    animal and arm, the inner slope of what varies is the outer slope: a session's change is its animal's
    response to that arm, and the two cannot be told apart.
    """
    for place, inner in enumerate(variation.levels):
        varying = tuple(name for name in part if name in inner.varying)
        constant = [name for name in part if name not in inner.varying]
        if not (position in inner.inside and varying and constant):
            continue
        if (
            _has_slope(model.levels[place], varying)
            and variation.combinations(position, constant) == inner.n_groups
        ):
            return True
    return False


def _varies_innermost(summaries: UnitSummaries, name: str) -> bool:
    """Return whether a variable takes several values in one innermost group.

    A column outside the span of the innermost effects varies if these leave something of it over; for one
    inside, its effect and the constant one are independent in some group's Z'Z.
    """
    effects = summaries.definition.effects
    constant = [i for i, effect in enumerate(effects) if effect.term == INTERCEPT]
    for i, effect in enumerate(effects):
        if effect.term == (name,):
            if not constant:
                return True
            A = summaries.kinds
            square = A[:, i, i] * A[:, constant[0], constant[0]]
            if bool(np.any(square - A[:, i, constant[0]] ** 2 > CONSTANT * square)):
                return True
    own = [place for place, column in enumerate(summaries.columns) if _names_in(column) == (name,)]
    if not own:
        return True
    left = np.einsum("ujj->j", summaries.within[:, own][:, :, own])
    return bool(np.any(left > CONSTANT * _squares(summaries, name, own, left)))


def _squares(summaries: UnitSummaries, name: str, own: list[int], left: np.ndarray) -> np.ndarray | float:
    """Return the sums of squares of columns of one variable, or a bound that costs nothing."""
    n_rows = float(summaries.n_rows.sum())
    if not summaries.definition.weights:
        if name in summaries.levels:
            return n_rows
        if name in summaries.ranges:
            low, high = summaries.ranges[name]
            return n_rows * (high - low) ** 2
    inverses = pseudo_inverse(summaries.kinds)[summaries.cell_kind]
    if summaries.slopes is not None:
        slopes = summaries.slopes[:, own]
        taken = np.einsum("cjk,ckl,cjl->j", slopes, inverses, slopes, optimize=True)
    else:
        assert summaries.products is not None
        products = np.stack([summaries.products[:, place, :, place] for place in own], axis=1)
        taken = np.einsum("cjkl,ckl->j", products, inverses)
    return np.asarray(left + taken)


def _names_in(column: LocalColumn) -> tuple[str, ...]:
    return (*column.numbers, *(name for name, _ in column.indicators))


def _constant(values: np.ndarray, codes: np.ndarray, n_groups: int) -> bool:
    """Return whether ``values`` are the same in all points of a group."""
    one = np.empty(n_groups, dtype=values.dtype)
    one[codes] = values
    return bool(np.all(one[codes] == values))


def _numbered(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.unique(values, return_inverse=True)[1])


def _values(variable: Coded) -> np.ndarray:
    values = variable.numbers if variable.codes is None else variable.codes
    assert values is not None
    return values


def _without_bars(formula: Formula) -> tuple[str, str]:
    """Return the left side and the fixed terms of a formula as they were written."""
    left, _, right = formula.text.partition("~")
    parts, depth, quoted, start = [], 0, False, 0
    for place, letter in enumerate(right):
        quoted ^= letter == "`"
        depth += (letter == "(") - (letter == ")") if not quoted else 0
        if not quoted and depth == 0 and letter in "+-":
            parts.append(right[start:place])
            start = place
    parts.append(right[start:])
    kept = "".join(part for part in parts if not _is_bar(part)).strip()
    return left.strip(), kept.removeprefix("+").strip() or "1"


def _is_bar(part: str) -> bool:
    outside = "".join(part.split("`")[::2])
    return outside.lstrip("+- ").startswith("(") and "|" in outside


def _sum_text(terms: Sequence[Term]) -> str:
    shown = [term_name(term) if term else "1" for term in terms]
    return " + ".join(shown if INTERCEPT in terms else ["0", *shown])


def _warning(term: Term, slope: Term, group: str) -> str:
    name = term_name(slope)
    whole = slope == term
    kept = WITH_SESSION_SLOPE if whole else WITHOUT_ANY
    others = "the slopes inside" if whole else "no slope inside animals"
    return (
        f"{name} varies within {group}, and the formula has no random slope ({name} | {group}): add it, or "
        f"the test of {term_name(term)} may reject too often. In a simulated crossover of 6 animals, tests "
        f"of a true null at the 5 % level with {others} rejected {100.0 * kept[0]:g} % where animals "
        f"respond alike and {100.0 * kept[1]:g} % where they differ; with all slopes {100.0 * WITH_ALL:g} %."
    )
