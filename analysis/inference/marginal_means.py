"""Estimated marginal means, and slopes of numbers, on the reference grid of a model (as emmeans).

A marginal mean is the mean of the model's predictions over the factors that are not asked for, at one value
of every number (Searle, Speed and Milliken 1980); a slope is the derivative of the prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.inference.cell_weights import cell_counts
from nwbswitch.analysis.inference.hypothesis import FixedEffects, TTest
from nwbswitch.analysis.inference.multiplicity import (
    Adjust,
    Family,
    adjusted_p,
    check_adjust,
    critical_values,
)
from nwbswitch.analysis.inference.reference_grid import ReferenceGrid, Value, fixed_variables, reference_grid
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.plain_values import plain

Weights = Literal["equal", "proportional", "outer"]
# Step of the difference quotient, relative to the range of the number; exact up to cubes' third derivative.
STEP: Final = 1e-3


@dataclass(frozen=True, slots=True, repr=False)
class MarginalMeans:
    """Means (or slopes) of the cells that ``specs`` and ``by`` span.

    ``cells`` has one value per name of ``specs`` and ``by``; ``linear`` (cells, p) gives each as a contrast
    of the fixed effects, ``tests`` its estimate and test against zero. ``averaged`` names the factors that
    were averaged over with ``weights``, ``held`` the numbers and where they stood. ``quantity`` is the name
    of the estimate's column.
    """

    specs: tuple[str, ...]
    by: tuple[str, ...]
    cells: tuple[tuple[Value, ...], ...]
    linear: np.ndarray
    tests: tuple[TTest, ...]
    inference: FixedEffects
    quantity: str
    averaged: tuple[str, ...]
    weights: Weights
    held: Mapping[str, float]

    def __repr__(self) -> str:
        return self.summary()

    def table(self, *, level: float = 0.95, adjust: Adjust = "none") -> pd.DataFrame:
        """Return specs, by, the estimate, se, df, ci_low, ci_high, t, p.

        Parameters
        ----------
        level
            Coverage of the intervals, of all in one group of ``by`` together if adjusted.
        adjust
            Correction for the number of means, e.g. ``bonferroni``.
        """
        rows = pd.DataFrame(list(self.cells), columns=[*self.specs, *self.by])
        tests = estimates_table(
            self.tests,
            self.linear,
            self.groups(),
            self.inference,
            level=level,
            adjust=adjust,
            quantity=self.quantity,
        )
        return pd.concat([rows, tests], axis=1)

    def groups(self) -> tuple[np.ndarray, ...]:
        """Return the positions of the cells of every combination of ``by``."""
        keys = [cell[len(self.specs) :] for cell in self.cells]
        return tuple(
            np.array([i for i, each in enumerate(keys) if each == key]) for key in dict.fromkeys(keys)
        )

    def notes(self) -> tuple[str, ...]:
        """Return what a reader must know about the means."""
        found = [f"Degrees of freedom: {self.inference.ddf}."]
        if self.averaged:
            found.append(f"Averaged over {', '.join(self.averaged)}, weights {self.weights}.")
        if self.held:
            found.append(
                "At " + ", ".join(f"{name} = {value:.5g}" for name, value in self.held.items()) + "."
            )
        return tuple(found)

    def summary(self) -> str:
        """Return the means as text."""
        from nwbswitch.analysis.mixed.result_tables import table_text

        return "\n".join([table_text(self.table()), *self.notes()])

    def as_dict(self) -> dict[str, Any]:
        """Return the means as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "specs": self.specs,
                "by": self.by,
                "averaged": self.averaged,
                "weights": self.weights,
                "held": dict(self.held),
                "ddf": self.inference.ddf,
                "means": self.table().to_dict("records"),
            }
        )
        return found


def marginal_means(
    model: Model,
    inference: FixedEffects,
    *,
    specs: str | Sequence[str],
    by: str | Sequence[str] = (),
    at: Mapping[str, Value | Sequence[Value]] | None = None,
    weights: Weights = "equal",
) -> MarginalMeans:
    """Return the estimated marginal means of a model.

    Parameters
    ----------
    model
        The model.
    inference
        Its fixed effects; their degrees of freedom are used.
    specs
        Factors (or numbers with values in ``at``) whose combinations have a mean.
    by
        Factors that split the means into groups; contrasts stay inside a group.
    at
        Values of some variables; else all levels of a factor and the mean over rows of a number.
    weights
        Of the factors averaged over: ``equal``, ``proportional`` to the rows of their combinations, or
        ``outer``, the product of the shares of their levels.

    Raises
    ------
    ValueError
        If a variable, level or kind of weights does not exist, or a number has no value.
    """
    return _on_grid(model, inference, _names(specs), _names(by), dict(at or {}), weights, None)


def slopes(
    model: Model,
    inference: FixedEffects,
    *,
    variable: str,
    specs: str | Sequence[str] = (),
    by: str | Sequence[str] = (),
    at: Mapping[str, Value | Sequence[Value]] | None = None,
    weights: Weights = "equal",
) -> MarginalMeans:
    """Return the slopes of a numeric ``variable`` in the cells of ``specs`` and ``by`` (as emtrends).

    The derivative is taken where ``variable`` stands in the grid: at its mean, or at its one value in
    ``at``. A central difference with a thousandth of its range is exact for squares and products.

    Raises
    ------
    ValueError
        As `marginal_means`, or if ``variable`` is a factor, has several values, or is no variable.
    """
    return _on_grid(model, inference, _names(specs), _names(by), dict(at or {}), weights, variable)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _on_grid(
    model: Model,
    inference: FixedEffects,
    specs: tuple[str, ...],
    by: tuple[str, ...],
    at: dict[str, Value | Sequence[Value]],
    weights: Weights,
    sloping: str | None,
) -> MarginalMeans:
    if weights not in get_args(Weights):
        raise ValueError(f"weights is {weights!r}; available are {', '.join(get_args(Weights))}.")
    shown = (*specs, *by)
    if len(set(shown)) < len(shown):
        raise ValueError(f"A variable stands twice in specs and by: {', '.join(shown)}.")
    if not shown and sloping is None:
        raise ValueError("specs is empty; name at least one variable.")
    grid = reference_grid(model, at=at, shown=shown)
    quantity = "emmean"
    for name in shown:
        grid.axis(name)
    if sloping is not None:
        grid = _derivative(model, grid, sloping, at)
        quantity = f"{sloping}.trend"
    linear, cells = _averaged(model, inference, grid, shown, weights)
    rest = [axis for axis in grid.axes if axis.name not in shown]
    held = {axis.name: float(axis.values[0]) for axis in rest if not axis.is_factor and len(axis.values) == 1}
    averaged = tuple(axis.name for axis in rest if axis.name not in held)
    tests = tuple(inference.t_test(row) for row in linear)
    return MarginalMeans(specs, by, cells, linear, tests, inference, quantity, averaged, weights, held)


def _derivative(
    model: Model, grid: ReferenceGrid, variable: str, at: Mapping[str, Value | Sequence[Value]]
) -> ReferenceGrid:
    axis = grid.axis(variable)
    if axis.is_factor:
        raise ValueError(f"{variable!r} is a factor and has no slope; ask for its marginal means.")
    if len(axis.values) != 1:
        raise ValueError(f"The slope of {variable!r} is taken at one value; at gives {len(axis.values)}.")
    middle = float(axis.values[0])
    facts = model.variables.get(variable)
    spread = facts.maximum - facts.minimum if facts is not None else float("nan")
    step = STEP * (spread if np.isfinite(spread) and spread > 0.0 else max(abs(middle), 1.0))
    high, low = (
        reference_grid(model, at={**at, variable: middle + sign * step / 2.0}).matrix for sign in (1.0, -1.0)
    )
    return ReferenceGrid(grid.axes, (high - low) / step)


def _averaged(
    model: Model, inference: FixedEffects, grid: ReferenceGrid, shown: tuple[str, ...], weights: Weights
) -> tuple[np.ndarray, tuple[tuple[Value, ...], ...]]:
    """Return the mean rows of the grid in the cells of ``shown``, the first variable fastest."""
    sizes = [len(axis.values) for axis in grid.axes]
    places = {axis.name: i for i, axis in enumerate(grid.axes)}
    # emmeans lists the first variable of specs fastest and those of by slowest.
    kept = [places[name] for name in reversed(shown)]
    rest = [i for i in range(len(sizes)) if i not in kept]
    cube = grid.matrix.reshape(*sizes, -1).transpose(*kept, *rest, len(sizes))
    shares = _shares(model, inference, grid, rest, weights)
    n_cells = int(np.prod([sizes[i] for i in kept], dtype=np.int64))
    linear = np.einsum("crp,r->cp", cube.reshape(n_cells, shares.size, -1), shares.ravel())
    index = np.unravel_index(np.arange(n_cells), tuple(sizes[i] for i in kept)) if kept else ()
    columns = [[grid.axes[i].values[j] for j in each] for i, each in zip(kept, index, strict=True)]
    cells = tuple(zip(*reversed(columns), strict=True)) if kept else ((),)
    linear[np.abs(linear) < 1e-13 * np.abs(linear).max(initial=0.0)] = 0.0
    return linear, cells


def _shares(
    model: Model, inference: FixedEffects, grid: ReferenceGrid, rest: Sequence[int], weights: Weights
) -> np.ndarray:
    axes = [grid.axes[i] for i in rest]
    shares = np.ones([len(axis.values) for axis in axes])
    factors = [axis for axis in axes if axis.is_factor and axis.name in fixed_variables(model)]
    families = [factors] if weights == "proportional" else [[each] for each in factors]
    for family in families if weights != "equal" else []:
        counts = cell_counts(model, inference.design_root, [axis.name for axis in family])
        for position, axis in enumerate(family):
            levels = model.variables[axis.name].levels or ()
            counts = np.take(counts, [levels.index(str(each)) for each in axis.values], axis=position)
        own = [position for position, axis in enumerate(axes) if axis in family]
        other = [position for position in range(len(axes)) if position not in own]
        shares = shares * np.expand_dims(counts, other)
    if shares.sum() <= 0.0:
        raise ValueError("No row has the levels that are averaged over, so they have no weights.")
    return np.asarray(shares / shares.sum())


def estimates_table(
    tests: Sequence[TTest],
    linear: np.ndarray,
    groups: Sequence[np.ndarray],
    inference: FixedEffects,
    *,
    level: float,
    adjust: Adjust,
    quantity: str,
    n_means: int = 0,
) -> pd.DataFrame:
    """Return estimates with intervals and P values that are adjusted within each group of rows.

    ``n_means`` is the number of means of which a group holds all pairwise comparisons, else 0.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}; it must lie between 0 and 1.")
    check_adjust(adjust, pairwise=n_means > 0)
    table = pd.DataFrame(
        {
            quantity: [each.estimate for each in tests],
            "se": [each.se for each in tests],
            "df": [each.df for each in tests],
            "t": [each.t for each in tests],
            "p": [each.p for each in tests],
        }
    )
    half, p = np.empty(len(table)), np.empty(len(table))
    for rows in groups:
        family = family_of(linear[rows], inference, n_means=n_means)
        own = table.iloc[rows]
        df = own["df"].to_numpy()
        p[rows] = adjusted_p(own["t"].to_numpy(), df, own["p"].to_numpy(), adjust=adjust, family=family)
        half[rows] = critical_values(df, level=level, adjust=adjust, family=family)
    table.insert(3, "ci_low", table[quantity] - half * table["se"])
    table.insert(4, "ci_high", table[quantity] + half * table["se"])
    table["p"] = p
    return table


def family_of(linear: np.ndarray, inference: FixedEffects, *, n_means: int) -> Family:
    """Return the family of some contrasts (m, p), with the correlations of their estimates."""
    covariance = linear @ inference.vcov @ linear.T
    size = np.sqrt(np.diagonal(covariance))
    correlation = covariance / np.outer(size, size)
    np.fill_diagonal(correlation, 1.0)
    return Family(n_means, int(np.linalg.matrix_rank(linear)), correlation, n_means > 0)
