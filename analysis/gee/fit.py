"""Marginal models of counts and of yes/no outcomes: `fit_counts_gee` and `fit_binomial_gee`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, get_args

import numpy as np

from nwbswitch.analysis.formulas.coding import Contrasts, Design, design
from nwbswitch.analysis.formulas.formula import Formula, Variable, read_formula
from nwbswitch.analysis.gee.covariance import Covariance, covariance
from nwbswitch.analysis.gee.estimating import Clusters, Correlation, solve
from nwbswitch.analysis.gee.families import CountFamily, Family
from nwbswitch.analysis.gee.result import GeeFit
from nwbswitch.analysis.glmm.data import CompleteRows, complete_count_rows, counts_of
from nwbswitch.analysis.glmm.separation import check_separation, separation
from nwbswitch.analysis.inference.cluster_df import cluster_df
from nwbswitch.analysis.inference.wald import ClusterDdf, df_warnings, wald_inference
from nwbswitch.analysis.inference.wald_tables import variable_facts
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.model_frame import check_rank
from nwbswitch.schemas.errors import FitError, FormulaError

# A share of all events in one row from which on the fit is that row's.
DOMINANT: Final = 0.5


def fit_counts_gee(
    data: Any,
    formula: str,
    *,
    groups: str,
    exposure: str | None = None,
    where: str | None = None,
    family: CountFamily = "negative-binomial",
    correlation: Correlation = "independence",
    cov: Covariance = "bias-reduced",
    ddf: ClusterDdf = "clusters",
    contrasts: Contrasts = "treatment",
) -> GeeFit:
    """Fit a marginal model with log link to counts of events.

    Parameters
    ----------
    data
        Table (pandas, polars, pyarrow) or path of one (.parquet, .csv, .tsv) with one row per neuron, window
        or session; it is not changed. Rows with missing values are
        left out and counted.
    formula
        ``n_events ~ drug * window``, without random terms.
    groups
        Column of the clusters, the outermost units that are independent: animals, not sessions.
    exposure
        Column of the time (or number) that each count was collected over; its logarithm is an offset.
    where
        Condition that selects rows.
    family
        ``negative-binomial``: variance mu + kappa mu^2 with kappa estimated from Pearson residuals; or
        ``poisson``. Tests hold under either; the family decides how rows are weighted.
    correlation
        Working correlation within clusters, ``independence`` or ``exchangeable``.
    cov
        ``bias-reduced`` (Mancl and DeRouen 2001), ``kauermann-carroll``, or ``robust``, the plain sandwich,
        which rejects too often with few clusters.
    ddf
        ``clusters``: t tests with degrees of freedom from the number of clusters (`cluster_df`); ``none``: z.
    contrasts
        Coding of factors.

    Raises
    ------
    FormulaError
        If the formula or the condition cannot be read or does not fit the columns.
    FitError
        If the data cannot hold the model; the message names the column or what to do.
    ValueError
        For a choice that does not exist.
    """
    _check_choice("family", family, get_args(CountFamily))
    parsed = read_formula(formula, bars=False)
    extra = [_column(groups, as_factor=True)] + ([_column(exposure)] if exposure is not None else [])
    rows = complete_count_rows(data, parsed, where=where, responses=[parsed.response, *extra])
    count, clusters, *time = rows.responses
    response = count.numbers
    if response is None:
        raise FormulaError(
            f"The response {count.name!r} is not a number; counts are whole numbers from 0 on."
        )
    _check_events(count.name, response, rows.positions)
    offset = np.zeros(len(response))
    if exposure is not None:
        spent = time[0].numbers
        if spent is None or not np.all(spent > 0.0):
            raise FitError(f"The exposure {exposure!r} is not a number above 0 in every row.")
        offset = np.log(spent)
    assert clusters.codes is not None
    matrix = design(parsed.fixed, rows.variables, len(response), contrasts=contrasts)
    check_rank(matrix)
    _check_empty(matrix.names, matrix.matrix, response)
    cells = Clusters(response, np.ones(len(response)), matrix.matrix, offset, clusters.codes)
    return _fitted(
        parsed,
        rows,
        matrix,
        cells,
        contrasts=contrasts,
        groups=groups,
        family=family,
        correlation=correlation,
        cov=cov,
        ddf=ddf,
    )


def fit_binomial_gee(
    data: Any,
    formula: str,
    *,
    groups: str,
    trials: str | None = None,
    where: str | None = None,
    correlation: Correlation = "independence",
    cov: Covariance = "bias-reduced",
    ddf: ClusterDdf = "clusters",
    contrasts: Contrasts = "treatment",
) -> GeeFit:
    """Fit a marginal logistic model to yes/no outcomes or counts of them.

    The left side is as in `fit_binomial`: ``cbind(yes, no)``, a proportion with ``trials``, or yes/no values;
    other arguments and errors as in `fit_counts_gee`.
    """
    parsed = read_formula(formula, bars=False, cbind=True)
    if parsed.failures is not None and trials is not None:
        raise FormulaError("Both cbind(yes, no) and a column of trials are given; give one of them.")
    asked = [parsed.response]
    asked += [parsed.failures] if parsed.failures is not None else []
    asked += [_column(trials)] if trials is not None else []
    found = complete_count_rows(
        data, parsed, where=where, responses=[*asked, _column(groups, as_factor=True)]
    )
    *answers, clusters = found.responses
    rows = CompleteRows(found.variables, tuple(answers), found.positions, found.n_excluded, found.n_missing)
    yes, total = counts_of(rows, has_trials=trials is not None)
    some = np.flatnonzero(total > 0.0)
    if yes.sum() in (0.0, total.sum()):
        raise FitError(f"Every outcome is the same ({total.sum():.0f} trials): nothing varies.")
    clusters = clusters.rows(some)
    variables = {name: variable.rows(some) for name, variable in rows.variables.items()}
    matrix = design(parsed.fixed, variables, len(some), contrasts=contrasts)
    check_rank(matrix)
    check_separation(matrix.names, matrix.matrix, yes[some], total[some])
    assert clusters.codes is not None
    cells = Clusters(yes[some], total[some], matrix.matrix, np.zeros(len(some)), clusters.codes)
    return _fitted(
        parsed,
        replace(rows, variables=variables),
        matrix,
        cells,
        contrasts=contrasts,
        groups=groups,
        family="binomial",
        correlation=correlation,
        cov=cov,
        ddf=ddf,
    )


def _fitted(
    formula: Formula,
    rows: CompleteRows,
    fixed: Design,
    cells: Clusters,
    *,
    contrasts: Contrasts,
    groups: str,
    family: Family,
    correlation: Correlation,
    cov: Covariance,
    ddf: ClusterDdf,
) -> GeeFit:
    _check_choice("correlation", correlation, get_args(Correlation))
    _check_choice("cov", cov, get_args(Covariance))
    _check_choice("ddf", ddf, get_args(ClusterDdf))
    if cells.n_clusters < 2:
        raise FitError(f"{groups!r} has one value: tests compare clusters, so at least two are needed.")
    # Orthogonal columns of mean square 1: covariates may have any scale.
    orthogonal, triangle = np.linalg.qr(cells.matrix)
    root = np.sqrt(len(orthogonal))
    own = Clusters(cells.response, cells.trials, orthogonal * root, cells.offset, cells.codes)
    solution = solve(own, family=family, correlation=correlation)
    back = np.linalg.inv(triangle / root)
    vcov = back @ covariance(solution, kind=cov) @ back.T
    df = cluster_df(cells.matrix, cells.codes)
    inference = wald_inference(
        back @ solution.coefficients,
        vcov,
        df,
        ddf=ddf,
        weighted_design=cells.matrix * np.sqrt(cells.trials)[:, None],
    )
    warnings = df_warnings(fixed.names, inference)
    if not solution.converged:
        warnings.insert(0, "The equations were not solved. Do not use this fit; simplify the formula.")
    share = float(cells.response.max() / cells.response.sum())
    if share > DOMINANT and family != "binomial":
        warnings.append(f"One row holds {100.0 * share:.0f} % of all events.")
    info = {
        "engine": "gee",
        "method": "gee",
        "ddf": ddf,
        "clusters": groups,
        "converged": solution.converged,
        "singular": False,
        "iterations": solution.rounds,
        "n_missing": rows.n_missing,
        "n_excluded": rows.n_excluded,
        "groups": {groups: cells.n_clusters},
        "largest_cluster": int(cells.sizes.max()),
        "warnings": warnings,
    }
    effects = dict.fromkeys(name for term in fixed.terms for name in term)
    model = Model(
        formula=formula,
        names=fixed.names,
        terms=fixed.terms,
        term_of=fixed.term_of,
        contrasts=contrasts,
        variables={name: variable_facts(rows.variables[name], cells.trials) for name in effects},
        levels=(),
        n_rows=len(cells.response),
        n_missing=rows.n_missing,
        n_excluded=rows.n_excluded,
        warnings=tuple(warnings),
    )
    return GeeFit(
        model,
        family,
        correlation,
        cov,
        inference,
        solution.dispersion if family == "negative-binomial" else float("nan"),
        solution.scale,
        solution.alpha,
        len(cells.response),
        info,
    )


def _column(name: str, *, as_factor: bool = False) -> Variable:
    return Variable(name, f"`{name}`", as_factor)


def _check_choice(what: str, value: str, available: tuple[str, ...]) -> None:
    if value not in available:
        raise ValueError(f"{what} is {value!r}; available are {', '.join(available)}.")


def _check_events(name: str, counts: np.ndarray, positions: np.ndarray) -> None:
    bad = np.flatnonzero((counts < 0.0) | (counts != np.round(counts)) | (counts > 2.0**53))
    if bad.size:
        raise FitError(
            f"The response {name!r} is not a count in {bad.size} rows: first {counts[bad[0]]:g} in row "
            f"{int(positions[bad[0]]) + 1}. Expected whole numbers from 0 on; rates are counts with exposure."
        )
    if not counts.any():
        raise FitError(f"The response {name!r} is 0 in all {counts.size} rows: nothing varies.")


def _check_empty(names: tuple[str, ...], matrix: np.ndarray, counts: np.ndarray) -> None:
    """Raise FitError if some coefficients can run away because all rows they touch are zero.

    A log-linear model has no finite estimate when a direction g has x'g = 0 on every row with events and
    x'g <= 0 on the others (Santos Silva and Tenreyro 2010, Economics Letters 107:310-312).
    """
    some = (counts > 0.0).astype(np.float64)
    found = separation(matrix, some, some + 1.0)
    if found is not None:
        terms = ", ".join(name for name, sign in zip(names, found.directions, strict=True) if sign)
        raise FitError(
            f"Some combination of covariates has no event in any row, so these coefficients have no bound: "
            f"{terms}. Leave the term out or join its levels."
        )
