"""The grid of values on which marginal means rest: all levels of all factors, numbers at their mean.

This is the reference grid of emmeans (Lenth 2016, J Stat Softw 69(1); Searle, Speed and Milliken 1980 for
the population marginal mean). A number that the formula computes, such as I(dose^2) or log(dose), follows
the columns it is computed from where these are known; else it stands at its own mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Coded, design
from nwbswitch.analysis.formulas.expressions import columns_used, evaluate
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.schemas.issues import nearest

Value = str | float
# Cells times fixed effects of a grid; about 160 MB.
MAX_NUMBERS: Final = 20_000_000


@dataclass(frozen=True, slots=True)
class Axis:
    """One variable of the grid and the values it takes."""

    name: str
    values: tuple[Value, ...]
    is_factor: bool


@dataclass(frozen=True, slots=True)
class ReferenceGrid:
    """All combinations of the axes' values; ``matrix`` (cells, p) has the last axis fastest."""

    axes: tuple[Axis, ...]
    matrix: np.ndarray

    def axis(self, name: str) -> Axis:
        """Return the axis called ``name``.

        Raises
        ------
        ValueError
            If there is none.
        """
        for each in self.axes:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.axes) or "none"
        hint = nearest(name, [each.name for each in self.axes])
        raise ValueError(f"{name!r} is no variable of the fixed effects; these are {known}. {hint}".rstrip())


def reference_grid(
    model: Model, *, at: Mapping[str, Value | Sequence[Value]] | None = None, shown: Sequence[str] = ()
) -> ReferenceGrid:
    """Return the reference grid of a model.

    Parameters
    ----------
    model
        The model.
    at
        Values of some variables: levels of a factor, numbers of a number or of a column that the formula
        computes with.
    shown
        Variables that must be axes of their own; a number among them needs values in ``at``.

    Raises
    ------
    ValueError
        If ``at`` names an unknown variable, level, or a value of the wrong kind, or the grid is too large.
    """
    given = {name: _listed(values) for name, values in (at or {}).items()}
    axes, computed = _axes(model, given)
    sizes = [len(axis.values) for axis in axes]
    n_cells = int(np.prod(sizes, dtype=np.float64))
    if n_cells * len(model.names) > MAX_NUMBERS:
        raise ValueError(
            f"The grid of {' x '.join(axis.name for axis in axes)} has {n_cells} cells of {len(model.names)} "
            "effects, which is too large. Keep fewer levels with at."
        )
    for name in shown:
        axis = next((each for each in axes if each.name == name), None)
        if axis is not None and not axis.is_factor and name not in given:
            raise ValueError(f"{name!r} is a number: say at which values, e.g. at={{{name!r}: [0, 1]}}.")
    variables = _variables(model, axes, computed, sizes, n_cells)
    matrix = design(model.terms, variables, n_cells, contrasts=model.contrasts).matrix
    return ReferenceGrid(tuple(axes), matrix)


def fixed_variables(model: Model) -> tuple[str, ...]:
    """Return the names of the variables of the fixed effects."""
    return tuple(dict.fromkeys(name for term in model.terms for name in term))


def _listed(values: Value | Sequence[Value]) -> tuple[Value, ...]:
    if isinstance(values, str | int | float | np.number):
        return (values,)
    return tuple(values)


def _axes(model: Model, given: Mapping[str, tuple[Value, ...]]) -> tuple[list[Axis], dict[str, str]]:
    """Return the axes, and the code of every number that is computed from them."""
    names = fixed_variables(model)
    used = {name: columns_used(model.formula.variables[name].code) for name in names}
    plain = {used[name][0]: name for name in names if _is_plain(model, name, used[name])}
    known = {name: facts for name, facts in model.variables.items() if _is_number(model, name)}
    axes: dict[str, Axis] = {}
    computed: dict[str, str] = {}
    extra: dict[str, Axis] = {}
    for name in names:
        facts = model.variables[name]
        values = given.get(name)
        if values is None and _is_plain(model, name, used[name]):
            values = given.get(used[name][0])
        if facts.levels is not None:
            axes[name] = Axis(name, _levels(name, facts.levels, values), is_factor=True)
        elif values is not None:
            axes[name] = Axis(name, _numbers(name, values), is_factor=False)
        elif not _is_plain(model, name, used[name]) and _follows(model, name, used[name], given, known):
            computed[name] = model.formula.variables[name].code
            for column in used[name]:
                if column in plain or column in extra:
                    continue
                there = _numbers(column, given[column]) if column in given else (known[column].mean,)
                extra[column] = Axis(column, there, is_factor=False)
        else:
            axes[name] = Axis(name, (facts.mean,), is_factor=False)
    unknown = [name for name in given if name not in axes and name not in plain and name not in extra]
    if unknown:
        raise ValueError(
            f"at names {unknown[0]!r}, which is no variable of the fixed effects; these are "
            f"{', '.join(names)}. {nearest(unknown[0], [*names, *extra])}".rstrip()
        )
    return [*axes.values(), *extra.values()], computed


def _is_plain(model: Model, name: str, used: tuple[str, ...]) -> bool:
    return len(used) == 1 and model.formula.variables[name].code.strip("`") == used[0]


def _is_number(model: Model, name: str) -> bool:
    facts = model.variables[name]
    return name != "" and facts.levels is None and np.isfinite(facts.mean)


def _follows(
    model: Model,
    name: str,
    used: tuple[str, ...],
    given: Mapping[str, tuple[Value, ...]],
    known: Mapping[str, object],
) -> bool:
    """Return whether a computed number can be computed again: not where it depends on all rows."""
    code = model.formula.variables[name].code
    free = {each for each in given if each not in model.variables}
    return bool(used) and "scale(" not in code and all(each in known or each in free for each in used)


def _levels(name: str, levels: tuple[str, ...], values: tuple[Value, ...] | None) -> tuple[Value, ...]:
    if values is None:
        return levels
    asked = [_level_text(each) for each in values]
    for each in asked:
        if each not in levels:
            raise ValueError(
                f"{name!r} has no level {each!r}; its levels are {', '.join(levels[:20])}. "
                f"{nearest(each, levels)}".rstrip()
            )
    return _distinct(name, tuple(asked))


def _level_text(value: Value) -> str:
    if isinstance(value, bool | np.bool_):
        return "TRUE" if value else "FALSE"
    return value if isinstance(value, str) else f"{float(value):.15g}"


def _numbers(name: str, values: tuple[Value, ...]) -> tuple[Value, ...]:
    found = []
    for each in values:
        if isinstance(each, str) or not np.isfinite(each):
            raise ValueError(f"{name!r} is a number; at gives it the value {each!r}.")
        found.append(float(each))
    return _distinct(name, tuple(found))


def _distinct(name: str, values: tuple[Value, ...]) -> tuple[Value, ...]:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"at must give {name!r} one or more different values, not {list(values)}.")
    return values


def _variables(
    model: Model, axes: Sequence[Axis], computed: Mapping[str, str], sizes: Sequence[int], n_cells: int
) -> dict[str, Coded]:
    places = np.unravel_index(np.arange(n_cells), tuple(sizes)) if axes else ()
    missing = np.zeros(n_cells, dtype=bool)
    found: dict[str, Coded] = {}
    columns: dict[str, np.ndarray] = {}
    for axis, place in zip(axes, places, strict=True):
        if axis.is_factor:
            levels = model.variables[axis.name].levels
            assert levels is not None
            codes = np.array([levels.index(str(each)) for each in axis.values])[place]
            found[axis.name] = Coded(axis.name, missing, codes=codes, levels=levels)
            continue
        numbers = np.array(axis.values, dtype=float)[place]
        found[axis.name] = Coded(axis.name, missing, numbers=numbers)
        asked = model.formula.variables.get(axis.name)
        if asked is None:
            columns[axis.name] = numbers
        elif _is_plain(model, axis.name, columns_used(asked.code)):
            columns[columns_used(asked.code)[0]] = numbers
    frame = pd.DataFrame(columns, index=range(n_cells))
    for name, code in computed.items():
        values = evaluate(code, frame, what=f"The variable {name!r}:")
        numbers = values.data.astype(float)
        if not np.all(np.isfinite(numbers)):
            raise ValueError(f"{name!r} is not finite at the values of the grid; give others with at.")
        found[name] = Coded(name, missing, numbers=numbers)
    return found
