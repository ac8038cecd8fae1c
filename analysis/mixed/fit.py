"""Linear mixed models: `fit` in four named steps.

The steps are the formula (`read_formula`), the model and its deviance function (`prepare`), the
optimisation (`optimise`) and the model (`MixedFit`), as in Bates et al. (2015, section 1.2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from nwbswitch.analysis.formulas.coding import Contrasts
from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.inference.inference import Ddf, inference
from nwbswitch.analysis.mixed.deviance import Method
from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.analysis.mixed.prepare import Engine, prepare
from nwbswitch.analysis.mixed.result import MixedFit


def fit(
    data: Any,
    formula: str,
    *,
    where: str | None = None,
    weights: str | None = None,
    contrasts: Contrasts = "treatment",
    method: Method = "reml",
    ddf: Ddf = "kenward-roger",
    engine: Engine = "auto",
) -> MixedFit:
    """Fit a linear mixed model to any number of rows.

    Parameters
    ----------
    data
        One row per observation, as a table (pandas, polars, pyarrow) or the path of a .parquet or .csv file;
        it is not changed. Rows with missing values are left out and counted. Or summaries: `UnitSummaries`,
        or a file or folder that `summarise` wrote.
    formula
        As in lme4: ``rate ~ drug * epoch + (1 + epoch | animal) + (1 | session)``. The left side may be
        arithmetic; ``(1 | a/b)`` and ``(x || g)`` are understood. Text columns are factors coded against
        their first level.
    where
        Condition that selects rows, e.g. ``"rate < 8 and arm in ['saline', 'ketamine']"``.
    weights
        Column of row weights: the variance of a row is sigma^2 / weight.
    contrasts
        How factors among the fixed effects are coded: ``treatment`` or ``sum``.
    method
        ``reml`` (restricted maximum likelihood) or ``ml``.
    ddf
        Degrees of freedom: ``kenward-roger``, ``satterthwaite``, or ``none`` for z tests.
    engine
        ``nested`` for nested groups, ``sparse`` for any; ``auto`` chooses and says why in ``info``.

    Raises
    ------
    FormulaError
        If the formula or the condition cannot be read or does not fit the columns.
    FitError
        If the data cannot hold the model; the message names the column or group.
    ValueError
        For a method or kind of degrees of freedom that does not exist.
    """
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}; available are {', '.join(get_args(Method))}.")
    if ddf not in get_args(Ddf):
        raise ValueError(f"ddf is {ddf!r}; available are {', '.join(get_args(Ddf))}.")
    if contrasts not in get_args(Contrasts):
        raise ValueError(f"contrasts is {contrasts!r}; available are {', '.join(get_args(Contrasts))}.")
    if isinstance(data, str | Path):
        from nwbswitch.analysis.summaries.summarise import holds_summaries, read_summaries

        data = read_summaries(data) if holds_summaries(Path(data)) else data
    model, deviance, rows = prepare(
        data, read_formula(formula), where=where, weights=weights, contrasts=contrasts, engine=engine
    )
    optimum = optimise(deviance, method=method)
    return MixedFit(model, deviance, optimum, inference(deviance, optimum, ddf=ddf), rows)
