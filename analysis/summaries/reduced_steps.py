"""The levels above the innermost as steps of the tree, with the columns that their effects need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.formulas.formula import Formula
from nwbswitch.analysis.mixed.design_guard import LevelVariation, Variation, unit_variation
from nwbswitch.analysis.mixed.model import LevelFacts
from nwbswitch.analysis.summaries.crossing import slot_variable, slots_in_holders
from nwbswitch.analysis.summaries.inner_effects import Bar
from nwbswitch.analysis.summaries.local_columns import times
from nwbswitch.analysis.summaries.reduced_columns import gram, orthonormal, projected
from nwbswitch.analysis.summaries.reduced_levels import Chain
from nwbswitch.analysis.summaries.unit_design import UnitDesign
from nwbswitch.analysis.summaries.unit_summaries import CrossedGroups, LocalColumn, UnitSummaries
from nwbswitch.analysis.trees.levels import CrossedLevel, Level, UpperLevel
from nwbswitch.schemas.errors import FitError, FormulaError

# A random-effect column lies in the span of the others when less than this part of it is outside.
SPAN_TOLERANCE: Final = 1e-7


@dataclass(frozen=True, slots=True)
class LevelStep:
    """One level above the innermost: its names, groups and bars.

    ``parent`` is that of every group, or of every holder for a crossed factor; ``sizes`` (holders,) has
    the number of its groups in each and is None for a nested level.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    bars: tuple[Bar, ...]
    parent: np.ndarray
    sizes: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class RandomColumns:
    """Columns (u, m, r) of units that effects need: orthonormal ``bases``, those of the fixed effects first,
    and the ``crossed`` factors' own, one block for each such step. ``maps`` (r, k) gives Z of each nested
    step from the bases, None for a crossed one; ``scales`` are the divisors of Z.
    """

    bases: tuple[np.ndarray, ...]
    crossed: tuple[np.ndarray, ...]
    maps: tuple[np.ndarray | None, ...]
    scales: tuple[np.ndarray, ...]


def crossed_of(summaries: UnitSummaries, formula: Formula) -> dict[str, CrossedGroups]:
    """Return the crossed groupings that a formula has bars for."""
    asked = {bar.group_name for bar in formula.random}
    return {each.name: each for each in summaries.crossed if each.name in asked}


def steps_of(chain: Chain, crossed: Mapping[str, CrossedGroups], bars: Sequence[Bar]) -> list[LevelStep]:
    """Return the steps from the lowest level to the root; a crossed factor comes just before its holder.

    Raises
    ------
    FormulaError
        If the holder of a crossed factor is not a group of the formula.
    """
    steps = []
    left = dict(crossed)
    for names, labels, parent in zip(chain.names, chain.labels, chain.parents, strict=True):
        for name in [name for name, each in left.items() if each.holder in names]:
            steps.append(_crossed_step(left.pop(name), labels, bars))
        own = tuple(bar for bar in bars if bar.group in names)
        steps.append(LevelStep(names, labels, own, parent))
    for name, each in left.items():
        if each.holder:
            raise FormulaError(
                f"{name!r} is crossed inside {each.holder!r}, and the formula has no random term of "
                f"{each.holder}; add (1 | {each.holder})."
            )
        steps.append(_crossed_step(each, ("",), bars))
    return steps


def _crossed_step(groups: CrossedGroups, holders: Sequence[str], bars: Sequence[Bar]) -> LevelStep:
    sizes, order = slots_in_holders(groups, holders)
    labels = tuple(groups.labels[position] for position in order.tolist())
    own = tuple(bar for bar in bars if bar.group == groups.name)
    return LevelStep((groups.name,), labels, own, np.arange(len(holders)), sizes)


def random_columns(
    T: np.ndarray, design: UnitDesign, steps: Sequence[LevelStep], Q: np.ndarray, n_rows: int
) -> RandomColumns:
    """Return the columns that the effects of all steps need.

    Raises
    ------
    FitError
        If an effect is zero in every row.
    """
    bases, crossed = [Q], []
    maps: list[np.ndarray | None] = []
    scales = []
    for step in steps:
        combinations = [column for bar in step.bars for column in bar.columns]
        Z = design.coefficients(combinations)
        size = np.sqrt(np.maximum(np.diagonal(gram(T, Z, Z)), 0.0) / n_rows)
        if np.any(size == 0.0):
            shown = [name for bar in step.bars for name in bar.names]
            raise FitError(f"The random effect {shown[int(np.argmin(size))]!r} is zero in every row.")
        scales.append(size)
        if step.sizes is not None:
            variable = slot_variable(step.names[0])
            slots = [
                times(combination, {LocalColumn((), ((variable, str(number + 1)),)): 1.0})
                for number in range(int(step.sizes.max()))
                for combination in combinations
            ]
            crossed.append(design.coefficients(slots) / np.tile(size, int(step.sizes.max())))
            maps.append(None)
            continue
        outside, inside = projected(T, bases, Z / size)
        left = np.sqrt(np.maximum(np.diagonal(gram(T, outside, outside)), 0.0) / n_rows)
        new = left > SPAN_TOLERANCE
        if np.any(new):
            basis, coefficients, _ = orthonormal(T, outside[:, :, new])
            full = np.zeros((basis.shape[2], Z.shape[2]))
            full[:, new] = coefficients
            bases.append(basis)
            inside = np.concatenate([inside, full])
        maps.append(inside)
    return RandomColumns(tuple(bases), tuple(crossed), tuple(maps), tuple(scales))


def levels_of(steps: Sequence[LevelStep], built: RandomColumns) -> tuple[Level, ...]:
    """Return the levels of the tree; columns of crossed factors are gone after their step."""
    n_bases = sum(basis.shape[2] for basis in built.bases)
    widths = [block.shape[2] for block in built.crossed]
    found: list[Level] = []
    for step, mapping in zip(steps, built.maps, strict=True):
        starts = np.flatnonzero(np.r_[True, np.diff(step.parent) > 0])
        if mapping is None:
            assert step.sizes is not None
            positions = n_bases + np.arange(widths.pop(0)).reshape(int(step.sizes.max()), -1)
            found.append(CrossedLevel(positions, step.sizes, starts, step.parent))
        else:
            m = n_bases + sum(widths) + 1
            found.append(UpperLevel(np.pad(mapping, ((0, m - len(mapping)), (0, 0))), starts, step.parent))
    return tuple(found)


def variation_of(summaries: UnitSummaries, levels: Sequence[LevelFacts]) -> Variation:
    """Return where variables vary, crossed factors among the levels."""
    crossed = {each.name: each for each in summaries.crossed}
    nested = [place for place, level in enumerate(levels) if level.names[0] not in crossed]
    inner = summaries.definition.effects
    known = unit_variation(summaries, [levels[place].names for place in nested])
    if len(nested) == len(levels) or not inner:
        return known
    found: list[LevelVariation] = []
    by_place = dict(zip(nested, known.levels, strict=True))
    for place, level in enumerate(levels):
        if place in by_place:
            own = by_place[place]
            inside = frozenset(nested[position] for position in own.inside)
            found.append(LevelVariation(own.n_groups, own.varying, inside, own.codes))
            continue
        groups = crossed[level.names[0]]
        holders = [each for each in nested[1:] if groups.holder and groups.holder in levels[each].names]
        above = frozenset(each for each in nested if holders and each >= holders[0])
        found.append(LevelVariation(level.n_groups, groups.varying, above, None))
    return Variation(tuple(found), known.values)
