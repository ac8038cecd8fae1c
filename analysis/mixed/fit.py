"""Linear mixed models: `fit` in four named steps.

The steps are the formula (`read_formula`), the deviance function (`model_frame`, `deviance_function`), the
optimisation (`optimise`) and the model (`MixedFit`), as in Bates et al. (2015, section 1.2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pandas as pd

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.design_guard import missing_slopes, row_variation
from nwbswitch.analysis.mixed.deviance import Method
from nwbswitch.analysis.mixed.inference import Ddf, inference
from nwbswitch.analysis.mixed.model import BlockFacts, LevelFacts, Model, VariableFacts
from nwbswitch.analysis.mixed.model_frame import ModelFrame, model_frame
from nwbswitch.analysis.mixed.optimum import optimise
from nwbswitch.analysis.mixed.result import MixedFit
from nwbswitch.analysis.mixed.tree import Tree, deviance_function


def fit(
    data: pd.DataFrame,
    formula: str,
    *,
    where: str | None = None,
    method: Method = "reml",
    ddf: Ddf = "kenward-roger",
) -> MixedFit:
    """Fit a linear mixed model whose groups are nested, to any number of rows.

    Parameters
    ----------
    data
        One row per observation; it is not changed. Rows with missing values are left out and counted.
    formula
        As in lme4: ``rate ~ drug * epoch + (1 + epoch | animal) + (1 | session)``. The left side may be
        arithmetic; ``(1 | a/b)`` and ``(x || g)`` are understood. Text columns are factors coded against
        their first level.
    where
        Condition that selects rows, e.g. ``"rate < 8 and arm in ['saline', 'ketamine']"``.
    method
        ``reml`` (restricted maximum likelihood) or ``ml``.
    ddf
        Degrees of freedom: ``kenward-roger``, ``satterthwaite``, or ``none`` for z tests.

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
    frame = model_frame(data, read_formula(formula), where=where)
    tree = deviance_function(frame)
    optimum = optimise(tree, method=method)
    return MixedFit(model_of(frame, tree), tree, optimum, inference(tree, optimum, ddf=ddf), frame)


def model_of(frame: ModelFrame, tree: Tree) -> Model:
    """Return what a model frame is about, with groups in the order of its tree."""
    levels = tuple(
        LevelFacts(
            level.names,
            level.n_groups,
            tuple(level.labels[place] for place in order.tolist()),
            tuple(BlockFacts(each.group, each.label, each.names, each.terms) for each in level.blocks),
        )
        for level, order in zip(frame.levels, tree.groups_order, strict=True)
    )
    effects = {name: frame.variables[name] for term in frame.fixed.terms for name in term}
    model = Model(
        formula=frame.formula,
        names=frame.fixed.names,
        terms=frame.fixed.terms,
        term_of=frame.fixed.term_of,
        contrasts="treatment",
        variables={
            name: VariableFacts(name, each.levels)
            if each.numbers is None
            else VariableFacts(
                name, None, float(each.numbers.mean()), float(each.numbers.min()), float(each.numbers.max())
            )
            for name, each in effects.items()
        },
        levels=levels,
        n_rows=frame.n_rows,
        n_missing=frame.n_missing,
        n_excluded=frame.n_excluded,
    )
    variation = row_variation([level.codes for level in frame.levels], effects)
    return replace(model, warnings=missing_slopes(model, variation))
