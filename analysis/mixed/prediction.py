"""Predictions of a fitted mixed model for new rows: of the population, or of groups it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Coded, coded, design
from nwbswitch.analysis.formulas.expressions import shortened
from nwbswitch.analysis.mixed.group_effects import BlockEffects
from nwbswitch.analysis.mixed.model import LevelFacts, Model
from nwbswitch.schemas.errors import FitError


def population_prediction(model: Model, estimates: np.ndarray, data: pd.DataFrame) -> pd.Series:
    """Return X b for the rows of ``data``, not a number where a variable is missing.

    Raises
    ------
    FormulaError
        If a column is missing.
    FitError
        If a factor has a level that the model does not know.
    """
    names = dict.fromkeys(name for term in model.terms for name in term)
    variables = _variables(model, names, data)
    columns = design(model.terms, variables, len(data), contrasts=model.contrasts)
    values = columns.matrix @ estimates
    for variable in variables.values():
        values[variable.missing] = np.nan
    return pd.Series(values, index=data.index, name=model.formula.response.name)


def group_prediction(model: Model, effects: Sequence[BlockEffects], data: pd.DataFrame) -> pd.Series:
    """Return the sum of the effects of each row's groups; a group the model does not know adds nothing.

    Parameters
    ----------
    model
        The model.
    effects
        Its conditional means, as of `block_effects`.
    data
        New rows.

    Raises
    ------
    FitError
        If effects of a level were not kept one by one, as those of neurons in a fit from summaries.
    """
    total = np.zeros(len(data))
    kept = set()
    for each in effects:
        kept.add(each.level.names)
        names = dict.fromkeys(name for term in each.block.terms for name in term)
        variables = _variables(model, names, data)
        # The coding that was asked for is that of the fixed effects.
        Z = design(each.block.terms, variables, len(data)).matrix
        place = {label: row for row, label in enumerate(each.labels)}
        rows = np.array([place.get(label, -1) for label in _labels(model, each.level, data)])
        known = rows >= 0
        total[known] += np.einsum("ij,ij->i", Z[known], each.values[rows[known]])
        for variable in variables.values():
            total[variable.missing] = np.nan
    missing = [level.names[0] for level in model.levels if level.names not in kept]
    if missing:
        raise FitError(
            f"Effects of single levels of {', '.join(missing)} were not kept, only sums over them; predict "
            "for the population, or fit from rows."
        )
    return pd.Series(total, index=data.index, name=model.formula.response.name)


def _variables(model: Model, names: Mapping[str, None], data: pd.DataFrame) -> dict[str, Coded]:
    found = {}
    for name in names:
        asked, facts = model.formula.variables[name], model.variables.get(name)
        own = coded(asked, data, grouping=facts is not None and facts.is_factor)
        if facts is None and own.is_factor:
            raise FitError(f"The levels of {name!r} were not kept, as it is no fixed effect; add it as one.")
        if facts is not None and facts.levels is None and own.is_factor:
            raise FitError(f"{name!r} is text here, and a number in the rows of the fit.")
        found[name] = own if facts is None or facts.levels is None else _with_levels(own, facts.levels)
    return found


def _with_levels(variable: Coded, levels: tuple[str, ...]) -> Coded:
    """Return a factor coded into the levels of the model; a missing value takes the first level."""
    assert variable.codes is not None
    place = {level: position for position, level in enumerate(levels)}
    codes = np.array([place.get(level, -1) for level in variable.levels] or [0], dtype=np.int64)
    used = np.unique(variable.codes[variable.codes >= 0])
    unknown = [variable.levels[each] for each in used.tolist() if codes[each] < 0]
    if unknown:
        raise FitError(
            f"{variable.name!r} has the level {shortened(unknown[0])!r}, which the model was not fitted "
            f"with; it knows {', '.join(map(shortened, levels[:8]))}."
        )
    return Coded(
        variable.name,
        variable.missing,
        codes=np.where(variable.missing, 0, codes[np.maximum(variable.codes, 0)]),
        levels=levels,
    )


def _labels(model: Model, level: LevelFacts, data: pd.DataFrame) -> list[str]:
    """Return the label of each row's group, empty where it is missing."""
    group = next(each.group for each in model.formula.random if each.group_name == level.names[0])
    parts = []
    for name in group:
        own = coded(model.formula.variables[name], data, grouping=True)
        assert own.codes is not None
        parts.append(np.array([*own.levels, ""], dtype=object)[own.codes])
    return [":".join(each) if all(each) else "" for each in zip(*parts, strict=True)]
