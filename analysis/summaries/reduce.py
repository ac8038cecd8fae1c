"""From cross-products of units to the deviance function of a model: no rows are needed.

The columns of the model are combinations of the units' own columns and of values of units, so its
cross-products follow from theirs. `reduced` finds an orthonormal basis of the fixed effects, the
residual of the response, and the columns that random effects need beyond, and carries the sums over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from nwbswitch.analysis.formulas.coding import Contrasts, require_two_levels
from nwbswitch.analysis.formulas.formula import INTERCEPT, Formula
from nwbswitch.analysis.mixed.design_guard import missing_slopes
from nwbswitch.analysis.mixed.model import BlockFacts, LevelFacts, Model, VariableFacts
from nwbswitch.analysis.summaries.inner_effects import Bar, bars_of, inner_effects
from nwbswitch.analysis.summaries.kinds import pseudo_inverse
from nwbswitch.analysis.summaries.local_columns import CONSTANT, CodedTerms, coded_terms
from nwbswitch.analysis.summaries.magnitudes import require_squarable_products
from nwbswitch.analysis.summaries.nesting import check_number_of_effects
from nwbswitch.analysis.summaries.reduced_columns import gram, orthonormal, projected, totals
from nwbswitch.analysis.summaries.reduced_levels import Chain, chain_of
from nwbswitch.analysis.summaries.reduced_steps import (
    crossed_of,
    levels_of,
    random_columns,
    steps_of,
    variation_of,
)
from nwbswitch.analysis.summaries.reduced_sums import inner_scale, reduced_sums
from nwbswitch.analysis.summaries.unit_design import UnitDesign, recentring, symbolic_map
from nwbswitch.analysis.summaries.unit_summaries import UnitSummaries
from nwbswitch.analysis.trees.bottom import Columns
from nwbswitch.analysis.trees.tree import Tree
from nwbswitch.schemas.errors import FitError, FormulaError

# The fixed effects reproduce the response when less than this part of its length is left.
EXACT_FIT_TOLERANCE: Final = 1e-7
MAX_FIXED: Final = 5_000
MAX_BYTES: Final = 4 << 30


def reduced(
    summaries: UnitSummaries, formula: Formula, *, contrasts: Contrasts = "treatment"
) -> tuple[Model, Tree]:
    """Return the model that ``formula`` states and its deviance function.

    Parameters
    ----------
    summaries
        Cross-products of units.
    formula
        The response and the innermost random effects must be those that were summed. Fixed terms and groups
        above may be any in variables that the summaries have.
    contrasts
        How factors among the fixed effects are coded: ``treatment`` or ``sum``, as R's contr.treatment and
        contr.sum. Random effects have treatment contrasts.

    Raises
    ------
    FormulaError
        If the summaries lack something that the formula names, or a factor has one level.
    FitError
        If products of numbers cannot be squared, columns are combinations of others, the fixed effects
        reproduce the response, or groups cannot hold their effects.
    """
    design = UnitDesign(summaries)
    fixed_names = dict.fromkeys(name for term in formula.fixed for name in term)
    effect_names = dict.fromkeys(name for bar in formula.random for term in bar.terms for name in term)
    levels = design.levels([*fixed_names, *effect_names])
    for name, each in levels.items():
        if each is not None:
            require_two_levels(name, each)
    terms = [*formula.fixed, *(term for bar in formula.random for term in bar.terms)]
    require_squarable_products(terms, design.sizes())
    bars = bars_of(formula, levels)
    inner = _inner_groups(summaries, formula, bars)
    crossed = crossed_of(summaries, formula)
    chain = chain_of(summaries, formula, [*inner, *crossed])
    n_rows = int(summaries.n_rows.sum())
    fixed = coded_terms(formula.fixed, levels, contrasts=contrasts)
    _check_fixed(fixed, summaries, n_rows)
    sizes = _group_sizes(summaries, chain, inner) | {name: len(each.labels) for name, each in crossed.items()}
    for bar in bars:
        check_number_of_effects(bar.group, bar.names, sizes[bar.group], n_rows)

    inverses = pseudo_inverse(summaries.kinds)[summaries.cell_kind]
    T = totals(summaries.within, summaries.cell_unit, inverses, summaries.products, summaries.slopes)
    numbers = {name: design.mean(name) for name in fixed_names if levels[name] is None}
    M, shifts = recentring(fixed.columns, {name: levels[name] for name in fixed_names}, numbers)
    Q, R, aliased = orthonormal(T, design.coefficients(fixed.columns, shifts))
    _check_rank(fixed.names, aliased)
    offset, y, scale = _response(T, design, fixed, Q, R, levels, formula)
    steps = steps_of(chain, crossed, bars)
    built = random_columns(T, design, steps, Q, n_rows)
    scales = [*([inner_scale(summaries)] if inner else []), *built.scales]
    L = np.concatenate([*built.bases, *built.crossed, y[:, :, None]], axis=2)
    summary, cells = reduced_sums(
        summaries, L, scales[0] if inner else np.ones(0), chain.unit_group, chain.n_lowest
    )
    nothing = np.zeros((L.shape[2], 0))
    columns = Columns(
        np.empty((0, L.shape[2])),
        R @ M,
        np.linalg.solve(M, offset),
        scale,
        (nothing,) * len(scales),
        tuple(scales),
    )
    inner_bars = tuple(bar for bar in bars if bar.group in inner)
    level_bars = [*([inner_bars] if inner else []), *(step.bars for step in steps)]
    labels = None if summaries.labels is None else tuple(summaries.labels[cell] for cell in cells.tolist())
    names = [*([inner] if inner else []), *(step.names for step in steps)]
    all_labels = [*([labels] if inner else []), *(step.labels for step in steps)]
    facts = tuple(
        LevelFacts(
            own, sizes[own[0]], shown, tuple(BlockFacts(b.group, b.label, b.names, b.terms) for b in part)
        )
        for own, shown, part in zip(names, all_labels, level_bars, strict=True)
    )
    model = _model(summaries, formula, fixed, contrasts, facts, design)
    tree = Tree(
        summary,
        levels_of(steps, built),
        columns,
        n_rows,
        len(fixed.names),
        tuple(tuple(len(bar.names) for bar in own) for own in level_bars),
        2.0 * float(np.linalg.slogdet(R)[1]),
        tuple(np.arange(level.n_groups) for level in facts),
        facts[-1].names[0],
        facts[-1].labels or (),
    )
    return model, tree


def _inner_groups(summaries: UnitSummaries, formula: Formula, bars: Sequence[Bar]) -> tuple[str, ...]:
    """Return the names of the innermost groupings of ``formula``, which are those that were summed.

    Raises
    ------
    FormulaError
        If the response or the innermost effects are others.
    """
    definition = summaries.definition
    if formula.response.name != definition.response:
        raise FormulaError(
            f"The summaries are of the response {definition.response!r}, not of {formula.response.name!r}. "
            "Summarise the rows again."
        )
    labels = {effect.label for effect in definition.effects}
    inner = tuple(dict.fromkeys(bar.group for bar in bars if bar.label in labels))
    own = [(each.label, each.name) for each in inner_effects(bars, inner)]
    summed = [(each.label, each.name) for each in definition.effects]
    if own != summed:
        shown = ", ".join(f"{name} | {label}" for label, name in summed)
        raise FormulaError(
            f"The summaries hold the innermost random effects {shown}, and the formula {formula.text!r} has "
            "others. Keep that term as it was, or summarise the rows again."
        )
    return inner


def _check_fixed(fixed: CodedTerms, summaries: UnitSummaries, n_rows: int) -> None:
    """Raise FitError if there are no fixed effects, or too many.

    Raises
    ------
    FitError
        There are.
    """
    p = len(fixed.names)
    if p == 0:
        raise FitError("The model has no fixed effect; keep the intercept or add a term.")
    if p > MAX_FIXED or 8 * p * summaries.n_units * (len(summaries.columns) + 1) > MAX_BYTES:
        raise FitError(
            f"The model has {p} fixed effects, more than can be held for {summaries.n_units} units; the last "
            f"is {fixed.names[-1]}. Leave a term out, or make it a group, e.g. (1 | g)."
        )
    if n_rows <= p:
        raise FitError(f"There are {n_rows} rows for {p} fixed effects; more rows are needed.")


def _check_rank(names: Sequence[str], aliased: np.ndarray) -> None:
    """Raise FitError naming the columns that are combinations of earlier columns.

    Raises
    ------
    FitError
        If there are such columns.
    """
    found = [name for name, each in zip(names, aliased, strict=True) if each]
    if found:
        raise FitError(
            f"Not every effect can be told apart: {', '.join(found)} "
            f"{'is a combination' if len(found) == 1 else 'are combinations'} of the columns before. "
            "Leave the term out, or look for a combination of factor levels without rows."
        )


def _group_sizes(summaries: UnitSummaries, chain: Chain, inner: Sequence[str]) -> dict[str, int]:
    sizes = dict.fromkeys(inner, round(float(summaries.cell_count.sum())))
    for names, parent in zip(chain.names, chain.parents, strict=True):
        sizes |= dict.fromkeys(names, len(parent))
    return sizes


def _response(
    T: np.ndarray,
    design: UnitDesign,
    fixed: CodedTerms,
    Q: np.ndarray,
    R: np.ndarray,
    levels: Mapping[str, Sequence[str] | None],
    formula: Formula,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the coefficient of the fixed effects, the scaled residual (u, m) and its scale.

    Raises
    ------
    FitError
        If the fixed effects reproduce the response, or it is constant.
    """
    summaries = design.summaries
    n_rows = summaries.n_rows.sum()
    constant = np.zeros(len(fixed.names))
    level = float(summaries.n_rows @ summaries.centres[:, -1] / n_rows)
    if INTERCEPT in formula.fixed:
        constant[fixed.term_of.index(formula.fixed.index(INTERCEPT))] = 1.0
    else:
        found = symbolic_map(fixed.columns, [{CONSTANT: 1.0}], levels)
        level, constant = (0.0, constant) if found is None else (level, found[:, 0])
    y = design.response(level)[:, :, None]
    rest, inside = projected(T, [Q], y)
    scale, typical = (float(np.sqrt(max(gram(T, each, each)[0, 0], 0.0) / n_rows)) for each in (rest, y))
    if typical == 0.0:
        raise FitError(f"The response {formula.response.name!r} is {level:g} in all rows: nothing varies.")
    if scale <= EXACT_FIT_TOLERANCE * typical:
        raise FitError("The fixed effects reproduce the response exactly: there is no residual to model.")
    return np.linalg.solve(R, inside[:, 0]) + level * constant, rest[:, :, 0] / scale, scale


def _model(
    summaries: UnitSummaries,
    formula: Formula,
    fixed: CodedTerms,
    contrasts: Contrasts,
    levels: tuple[LevelFacts, ...],
    design: UnitDesign,
) -> Model:
    names = dict.fromkeys(name for term in formula.fixed for name in term)
    model = Model(
        formula,
        fixed.names,
        formula.fixed,
        np.array(fixed.term_of, dtype=np.int64),
        contrasts,
        {name: _facts(design, name) for name in names},
        levels,
        int(summaries.n_rows.sum()),
        summaries.n_missing,
        summaries.n_excluded,
        missing=summaries.missing,
        weights=summaries.definition.weights,
    )
    return replace(model, warnings=missing_slopes(model, variation_of(summaries, levels)))


def _facts(design: UnitDesign, name: str) -> VariableFacts:
    summaries = design.summaries
    if name in design.local:
        if name in summaries.levels:
            return VariableFacts(name, summaries.levels[name])
        low, high = summaries.ranges.get(name, (float("nan"), float("nan")))
        return VariableFacts(name, None, design.mean(name), low, high)
    value = summaries.values[name]
    if value.is_factor:
        return VariableFacts(name, value.levels)
    assert value.numbers is not None
    return VariableFacts(
        name, None, design.mean(name), float(value.numbers.min()), float(value.numbers.max())
    )
