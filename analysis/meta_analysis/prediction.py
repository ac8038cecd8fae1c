"""Predicted effects of a multilevel meta-analysis: of the mean study, and the interval for a new one.

The interval for the true effect of a new study is x'b +- c sqrt(x'Cov(b)x + sum of the variances) (Riley,
Higgins and Deeks 2011, BMJ 342:d549, in the form of metafor: c is the quantile of the confidence interval,
normal or t).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Coded, coded, design
from nwbswitch.analysis.formulas.expressions import shortened
from nwbswitch.analysis.mixed.coefficient import quantile_of_t
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.multilevel_result import MultilevelFit


def predict(fit: MultilevelFit, data: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return predicted effects with confidence and prediction intervals.

    Parameters
    ----------
    fit
        The fit.
    data
        New values of the moderators, one row per prediction; it is not changed. None for the rows of the fit,
        or without moderators one row. Where the levels of an inner factor have variances of their own, a
        column with the inner factor says which; without it there is one row for each level.

    Returns
    -------
    DataFrame
        The index of ``data``; columns estimate, se, df, ci_low, ci_high, pi_low, pi_high, and ``level`` of
        the inner factor where there are several variances. The degrees of freedom are the fewest of the
        coefficients that take part.

    Raises
    ------
    FormulaError
        If a column is missing.
    FitError
        If a factor has a level that the model was not fitted with.
    """
    frame = fit.model.frame
    matrix, index = _matrix(fit, data)
    levels = _levels(fit, data, matrix)
    if levels is None:
        rows, kinds = np.repeat(np.arange(len(matrix)), len(_inner(fit))), np.tile(_inner(fit), len(matrix))
    else:
        rows, kinds = np.arange(len(matrix)), levels
    variances = {label: _new_variance(fit, label) for label in dict.fromkeys(kinds.tolist())}
    found = []
    for row, label in zip(rows.tolist(), kinds.tolist(), strict=True):
        x = matrix[row]
        estimate, variance = float(x @ fit.estimates), float(x @ fit.vcov @ x)
        df = float(np.min(fit.ddf[x != 0.0], initial=np.inf))
        critical = quantile_of_t(fit.level, df) if df > 0.0 else float("nan")
        half, wide = critical * np.sqrt(variance), critical * np.sqrt(variance + variances[label])
        found.append(
            (
                estimate,
                np.sqrt(variance),
                df,
                estimate - half,
                estimate + half,
                estimate - wide,
                estimate + wide,
            )
        )
    columns = ["estimate", "se", "df", "ci_low", "ci_high", "pi_low", "pi_high"]
    table = pd.DataFrame(found, columns=columns, index=index[rows])
    if any(part.inner_codes is not None for part in frame.parts) and _inner(fit) != [""]:
        table["level"] = kinds
    return table


def _inner(fit: MultilevelFit) -> list[str]:
    """Return the inner levels that have variances of their own, or one empty label."""
    for part, struct in zip(fit.model.frame.parts, fit.model.structs, strict=True):
        if part.inner_codes is not None and struct in ("UN", "DIAG"):
            return list(part.inner_labels)
    return [""]


def _new_variance(fit: MultilevelFit, label: str) -> float:
    """Return the variance of the true effect of a new study, of one inner level."""
    total = 0.0
    for place, part in enumerate(fit.model.frame.parts):
        covariance = fit.model.covariance_of(place, fit.optimum.theta)
        position = part.inner_labels.index(label) if label in part.inner_labels else 0
        total += float(covariance[position, position])
    return total


def _levels(fit: MultilevelFit, data: pd.DataFrame | None, matrix: np.ndarray) -> np.ndarray | None:
    """Return the inner level of each row of the matrix, or None if all levels are asked for."""
    known = _inner(fit)
    if known == [""]:
        return np.full(len(matrix), "", dtype=object)
    part = next(part for part in fit.model.frame.parts if list(part.inner_labels) == known)
    if data is None:
        if not fit.has_moderators:
            return None
        assert part.inner_codes is not None
        return np.asarray(np.array(known, dtype=object)[part.inner_codes])
    if part.inner not in data.columns:
        return None
    given = data[part.inner].astype(str)
    unknown = [each for each in given if each not in known]
    if unknown:
        raise FitError(f"{part.inner!r} has the level {unknown[0]!r}; the model knows {', '.join(known)}.")
    return np.array(given.tolist(), dtype=object)


def _matrix(fit: MultilevelFit, data: pd.DataFrame | None) -> tuple[np.ndarray, pd.Index]:
    frame = fit.model.frame
    if data is None:
        if not fit.has_moderators:
            return np.ones((1, 1)), pd.RangeIndex(1)
        return frame.design.matrix, pd.Index(frame.labels, name="row")
    names = dict.fromkeys(name for term in frame.formula.fixed for name in term)
    variables = {}
    for name in names:
        fitted = frame.variables[name]
        own = coded(frame.formula.variables[name], data, grouping=fitted.is_factor)
        if own.missing.any():
            raise FitError(f"{name!r} is missing in the row {data.index[np.flatnonzero(own.missing)[0]]}.")
        variables[name] = _with_levels(own, fitted.levels) if fitted.is_factor else own
    return design(frame.formula.fixed, variables, len(data)).matrix, data.index


def _with_levels(variable: Coded, levels: tuple[str, ...]) -> Coded:
    assert variable.codes is not None
    unknown = [each for each in variable.levels if each not in levels]
    if unknown:
        raise FitError(
            f"{variable.name!r} has the level {shortened(unknown[0])!r}, which the model was not fitted "
            f"with; it knows {', '.join(map(shortened, levels[:8]))}."
        )
    place = np.array([levels.index(each) for each in variable.levels], dtype=np.int64)
    return Coded(variable.name, variable.missing, codes=place[variable.codes], levels=levels)
