"""Logistic mixed models of yes/no outcomes: `fit_binomial` in the four steps of `fit`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Final, get_args

import numpy as np

from nwbswitch.analysis.formulas.coding import Coded, Contrasts
from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.glmm.data import BinomialFrame, binomial_frame
from nwbswitch.analysis.glmm.laplace import (
    CountColumns,
    conditional_covariance,
    count_columns,
    laplace,
)
from nwbswitch.analysis.glmm.quadrature import quadrature
from nwbswitch.analysis.glmm.result import BinomialFit, BinomialMethod
from nwbswitch.analysis.glmm.search import CountOptimum, Criterion, lambdas, optimise_counts
from nwbswitch.analysis.glmm.separation import check_separation
from nwbswitch.analysis.glmm.tree import Nesting
from nwbswitch.analysis.inference.cluster_df import cluster_df
from nwbswitch.analysis.inference.wald import ClusterDdf, df_warnings, wald_inference
from nwbswitch.analysis.inference.wald_tables import variable_facts
from nwbswitch.analysis.mixed.design_guard import missing_slopes, row_variation
from nwbswitch.analysis.mixed.model import BlockFacts, LevelFacts, Model
from nwbswitch.analysis.mixed.model_frame import check_rank
from nwbswitch.analysis.mixed.variance_table import Correlation, VarianceComponent
from nwbswitch.schemas.errors import FitError

MAX_NODES: Final = 100
# An effect of this SD moves a probability of .5 beyond .999; estimates that large say little.
LARGE_SD: Final = 7.0


def fit_binomial(
    data: Any,
    formula: str,
    *,
    trials: str | None = None,
    where: str | None = None,
    method: BinomialMethod = "laplace",
    n_quadrature: int = 25,
    ddf: ClusterDdf = "clusters",
    contrasts: Contrasts = "treatment",
) -> BinomialFit:
    """Fit a logistic mixed model to yes/no outcomes or to counts of them.

    Parameters
    ----------
    data
        Table (pandas, polars, pyarrow) or path of one (.parquet, .csv, .tsv) with one row per neuron, or
        per session with counts; rows with equal covariates and groups are summed
        first, which changes nothing. It is not changed. Rows with missing values are left out and counted.
    formula
        As in lme4: ``cbind(silenced, stayed) ~ drug + (1 | animal) + (1 | session)``; the left side may
        also be a 0/1 column, truth values, a factor of two levels (the second is yes), or a proportion
        with ``trials``. Random slopes, nested and crossed groups are understood.
    trials
        Column of denominators when the response is a proportion.
    where
        Condition that selects rows.
    method
        ``laplace`` (glmer's nAGQ = 1), or ``agq``: adaptive Gauss-Hermite quadrature, for one grouping
        factor with one effect.
    n_quadrature
        Nodes of ``agq``.
    ddf
        ``clusters``: t tests with degrees of freedom from the number of outermost groups (`cluster_df`);
        ``none``: z tests as glmer prints, which reject too often with few animals.
    contrasts
        Coding of factors.

    Raises
    ------
    FormulaError
        If the formula or the condition cannot be read or does not fit the columns.
    FitError
        If the data cannot hold the model: every outcome the same, counts that are none, one group, fixed
        effects that separate yes from no; the message names the column or group.
    ValueError
        For a method, number of nodes or kind of degrees of freedom that does not exist.
    """
    criterion = criterion_of(method, n_quadrature)
    if ddf not in get_args(ClusterDdf):
        raise ValueError(f"ddf is {ddf!r}; available are {', '.join(get_args(ClusterDdf))}.")
    frame = binomial_frame(
        data, read_formula(formula, cbind=True), trials=trials, where=where, contrasts=contrasts
    )
    check_rank(frame.fixed)
    check_separation(frame.fixed.names, frame.fixed.matrix, frame.yes, frame.trials)
    columns = count_columns(frame)
    if method == "agq" and columns.sizes != (1,):
        raise FitError(
            f"Quadrature is for one grouping factor with one effect; here there are {sum(columns.sizes)} "
            f"effects of {', '.join(level.names[0] for level in frame.levels)}. Use method 'laplace'."
        )
    optimum = optimise_counts(columns, criterion)
    return make_binomial_model(
        frame, columns, optimum, method=method, n_quadrature=n_quadrature, ddf=ddf, contrasts=contrasts
    )


def criterion_of(method: BinomialMethod, n_quadrature: int) -> Criterion:
    """Return -2 log-likelihood as the method approximates it.

    Raises
    ------
    ValueError
        For a method or number of nodes that does not exist.
    """
    if method not in get_args(BinomialMethod):
        raise ValueError(f"method is {method!r}; available are {', '.join(get_args(BinomialMethod))}.")
    if not 1 <= n_quadrature <= MAX_NODES:
        raise ValueError(f"n_quadrature is {n_quadrature}; expected 1 to {MAX_NODES}.")
    return laplace if method == "laplace" else partial(quadrature, n_nodes=n_quadrature)


def make_binomial_model(
    frame: BinomialFrame,
    columns: CountColumns,
    optimum: CountOptimum,
    *,
    method: BinomialMethod,
    n_quadrature: int,
    ddf: ClusterDdf,
    contrasts: Contrasts = "treatment",
) -> BinomialFit:
    """Return the model at an optimum: the fourth step of a fit."""
    estimates, vcov, by_hessian = estimates_at(columns, optimum)
    inference = wald_inference(
        estimates,
        vcov,
        frame_df(frame),
        ddf=ddf,
        weighted_design=frame.fixed.matrix * np.sqrt(frame.trials)[:, None],
    )
    model = _model(frame, contrasts)
    warnings = df_warnings(frame.fixed.names, inference)
    components, correlations, effects, boundary = _random(model, columns, optimum)
    warnings += _variance_warnings(components)
    if not by_hessian:
        warnings.append("The curvature at the end is not that of a minimum; SE are given the variances.")
    if not optimum.converged:
        warnings.insert(0, "The search did not end in a minimum. Do not use this fit; simplify the formula.")
    variation = row_variation([level.codes for level in frame.levels], _effects(frame))
    warnings += missing_slopes(model, variation)
    info = {
        "engine": "nested" if isinstance(columns.shape, Nesting) else "crossed",
        "method": method,
        "n_quadrature": n_quadrature if method == "agq" else 1,
        "ddf": ddf,
        "clusters": frame.levels[-1].names[0],
        "contrasts": contrasts,
        "vcov": "observed information" if by_hessian else "given the variances",
        "converged": optimum.converged,
        "singular": bool(boundary),
        "boundary": boundary,
        "iterations": optimum.iterations,
        "evaluations": optimum.evaluations,
        "starts": len(optimum.start_criteria),
        "start_criteria": [each - 2.0 * frame.log_constant for each in optimum.start_criteria],
        "expected_decrease": optimum.expected_decrease,
        "n_trials": int(frame.trials.sum()),
        "n_yes": int(frame.yes.sum()),
        "n_summed_rows": len(frame.yes),
        "n_missing": frame.n_missing,
        "n_excluded": frame.n_excluded,
        "groups": {name: level.n_groups for level in frame.levels for name in level.names},
        "warnings": warnings,
    }
    return BinomialFit(
        model=replace(model, warnings=tuple(warnings)),
        method=method,
        n_quadrature=n_quadrature if method == "agq" else 1,
        inference=inference,
        components=components,
        correlations=correlations,
        effects_by_level=effects,
        criterion=optimum.at.criterion - 2.0 * frame.log_constant,
        n=frame.n_rows,
        n_parameters=len(estimates) + len(optimum.theta),
        info=info,
    )


def frame_df(frame: BinomialFrame) -> np.ndarray:
    """Return the cluster degrees of freedom (p,), the clusters being the grouping with fewest groups."""
    return cluster_df(frame.fixed.matrix, frame.levels[-1].codes)


def estimates_at(columns: CountColumns, optimum: CountOptimum) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the coefficients (p,), their covariance (p, p), and whether it is the observed information's.

    The covariance is twice the inverse Hessian of -2 log-likelihood over theta and beta, as glmer's
    ``vcov(use.hessian = TRUE)``; entries of theta on the boundary are held. Where that Hessian is not
    positive definite, it is the one given theta (``use.hessian = FALSE``).
    """
    back = np.linalg.inv(columns.triangle)
    p = len(optimum.beta)
    values = np.linalg.eigvalsh(optimum.hessian)
    by_hessian = bool(values[0] > 1e-9 * values[-1])
    if by_hessian:
        covariance = 2.0 * np.linalg.inv(optimum.hessian)[-p:, -p:]
    else:
        covariance = conditional_covariance(columns, optimum.at.modes)
    return back @ optimum.beta, back @ covariance @ back.T, by_hessian


def _random(
    model: Model, columns: CountColumns, optimum: CountOptimum
) -> tuple[tuple[VarianceComponent, ...], tuple[Correlation, ...], tuple[np.ndarray, ...], list[str]]:
    components, correlations, effects = [], [], []
    boundary: list[str] = []
    factors = lambdas(columns, optimum.theta)
    for position, (level, factor) in enumerate(zip(model.levels, factors, strict=True)):
        own = factor / columns.scales[position][:, None]
        by_code = np.empty((level.n_groups, len(own)))
        by_code[columns.shape.codes[position]] = optimum.at.modes.effects[position] @ own.T
        effects.append(by_code)
        covariance = own @ own.T
        first = 0
        for block in level.blocks:
            part = slice(first, first + len(block.names))
            first = part.stop
            sd = np.sqrt(np.diagonal(covariance)[part])
            components += [
                VarianceComponent(block.label, name, float(s), float(s**2))
                for name, s in zip(block.names, sd, strict=True)
            ]
            product = np.outer(sd, sd)
            zero = product == 0.0
            shown = np.where(zero, np.nan, covariance[part, part] / np.where(zero, 1.0, product))
            correlations += [
                Correlation(block.label, block.names[j], block.names[i], float(shown[i, j]))
                for j in range(len(sd))
                for i in range(j + 1, len(sd))
            ]
            at_zero = [name for name, s in zip(block.names, sd, strict=True) if s == 0.0]
            boundary += [f"{block.label}: {name} has variance 0" for name in at_zero]
            diagonal = np.diagonal(factor)[part]
            if np.any((diagonal == 0.0) & (sd > 0.0)):
                boundary.append(f"{block.label}: effects are perfectly correlated")
    return tuple(components), tuple(correlations), tuple(effects), boundary


def _variance_warnings(components: tuple[VarianceComponent, ...]) -> list[str]:
    return [
        f"The SD of {each.term} between {each.group} is {each.sd:.3g} on the logit scale: nearly every group "
        "is all yes or all no, and Laplace's approximation is poor there."
        for each in components
        if each.term == "(Intercept)" and each.sd > LARGE_SD
    ]


def _effects(frame: BinomialFrame) -> dict[str, Coded]:
    return {name: frame.variables[name] for term in frame.fixed.terms for name in term}


def _model(frame: BinomialFrame, contrasts: Contrasts) -> Model:
    return Model(
        formula=frame.formula,
        names=frame.fixed.names,
        terms=frame.fixed.terms,
        term_of=frame.fixed.term_of,
        contrasts=contrasts,
        variables={name: variable_facts(each, frame.trials) for name, each in _effects(frame).items()},
        levels=tuple(
            LevelFacts(
                level.names,
                level.n_groups,
                level.labels,
                tuple(BlockFacts(each.group, each.label, each.names, each.terms) for each in level.blocks),
            )
            for level in frame.levels
        ),
        n_rows=frame.n_rows,
        n_missing=frame.n_missing,
        n_excluded=frame.n_excluded,
    )
