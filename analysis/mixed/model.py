"""What a fitted model is about: its terms, variables and groups, without its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nwbswitch.analysis.formulas.coding import Contrasts
from nwbswitch.analysis.formulas.formula import Formula, Term


@dataclass(frozen=True, slots=True)
class VariableFacts:
    """A variable of the fixed effects: levels of a factor, or mean and range over rows of a number."""

    name: str
    levels: tuple[str, ...] | None = None
    mean: float = float("nan")
    minimum: float = float("nan")
    maximum: float = float("nan")

    @property
    def is_factor(self) -> bool:
        """Whether the variable has levels."""
        return self.levels is not None


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """One bar of the formula: effects whose coefficients vary together between the levels of ``group``."""

    group: str
    label: str
    names: tuple[str, ...]
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class LevelFacts:
    """One grouping level: the names of its factor (several if they group alike), its size and its blocks.

    ``labels`` are those of the groups in the engine's order; None where they were not kept.
    """

    names: tuple[str, ...]
    n_groups: int
    labels: tuple[str, ...] | None
    blocks: tuple[BlockFacts, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A linear mixed model on its data, in words and counts.

    ``names`` are R's names of the p fixed effects, ``term_of`` (p,) the index into ``terms`` of each;
    ``contrasts`` says how factors are coded. ``levels`` are in the engine's order, which is that of Psi.
    ``warnings`` are those of the design guard; ``missing`` counts the missing values of each column that
    has some, as far as that is known. ``engine_reason`` says why this engine was taken,
    ``weights`` names the column of row weights.
    """

    formula: Formula
    names: tuple[str, ...]
    terms: tuple[Term, ...]
    term_of: np.ndarray
    contrasts: Contrasts
    variables: Mapping[str, VariableFacts]
    levels: tuple[LevelFacts, ...]
    n_rows: int
    n_missing: int
    n_excluded: int
    warnings: tuple[str, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)
    engine_reason: str = ""
    weights: str = ""


FAR = 100.0
"""A mean this many ranges away from 0 costs a random slope about half of its digits."""


def far_slopes(model: Model) -> tuple[str, ...]:
    """Return one sentence for every random slope on a number that is far from 0 beside its range."""
    found = []
    names = {
        name for level in model.levels for block in level.blocks for term in block.terms for name in term
    }
    for name in sorted(names & set(model.variables)):
        facts = model.variables[name]
        spread = facts.maximum - facts.minimum
        if spread > 0.0 and abs(facts.mean) > FAR * spread:
            found.append(
                f"The random slope on {name} loses digits: its mean is {facts.mean:g} and its range "
                f"{spread:g}. Use I({name} - {facts.mean:.10g}) in its place; fixed slopes stay the same."
            )
    return tuple(found)
