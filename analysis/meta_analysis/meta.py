"""Meta-analysis and meta-regression of effects with known variances."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Design, design
from nwbswitch.analysis.formulas.expressions import evaluate
from nwbswitch.analysis.formulas.formula import Formula, Variable, read_formula
from nwbswitch.analysis.meta_analysis.estimate import Estimate, Test, estimate
from nwbswitch.analysis.meta_analysis.independence import dependence_warnings, unit_of
from nwbswitch.analysis.meta_analysis.meta_result import NO_INTERVAL, Interval, MetaFit
from nwbswitch.analysis.meta_analysis.meta_text import plural
from nwbswitch.analysis.meta_analysis.tau2 import ESTIMATORS, Method, Studies, at_tau2, tau2_where_q_is
from nwbswitch.analysis.mixed.coefficient import Coefficient
from nwbswitch.analysis.mixed.model_frame import check_rank, complete_rows
from nwbswitch.schemas.errors import FitError, FormulaError
from nwbswitch.schemas.issues import nearest

MIN_STUDIES = 3
"""Fewer are listed and not pooled."""
MAX_VARIANCE_RATIO, WIDE_VARIANCE_RATIO = 1e10, 1e7
"""Above the first, sums lose the small weights; above the second it is pointed out, as metafor does."""
MAX_SIZE = 1e60
# Up to this many studies a prediction interval is known to be too narrow: simulated with tau = 0.3 and
# about 4 animals per arm, a 95 % interval missed 12.6 % of new studies with 4 studies.
FEW_STUDIES = 5


def meta(
    data: pd.DataFrame,
    *,
    effect: str,
    variance: str,
    method: Method = "reml",
    test: Test = "knha",
    moderators: str | None = None,
    weights: str | None = None,
    weighted: bool = True,
    where: str | None = None,
    slab: str | None = None,
    unit: str | None = None,
    level: float = 0.95,
) -> MetaFit:
    """Pool effects of independent studies, or regress them on moderators.

    Parameters
    ----------
    data
        One row per study; it is not changed. Rows with missing values are left out and counted.
    effect, variance
        Columns with the effect and its sampling variance (the squared standard error), or expressions of
        columns such as ``"se**2"``.
    method
        Estimator of tau^2: ``reml``, ``dl``, ``pm``, ``ml``, ``he``, ``hs``, ``hsk``, ``sj``, ``eb``,
        ``genq`` (needs ``weights``), or ``ee`` for equal effects (tau^2 = 0).
    test
        ``knha``: standard errors of Knapp and Hartung (2003) and t with k - p degrees of freedom; ``adhoc``:
        the same, but never smaller than the usual ones; ``t``: the usual ones with that t; ``z``: the normal
        distribution.
    moderators
        Right side of a formula, e.g. ``"dose + species"``.
    weights
        Column of weights that replace the inverse variances in the estimate of the coefficients.
    weighted
        False: every study has the same weight.
    where
        Condition that chooses rows, e.g. ``"level == 'animal'"``.
    slab
        Column with the labels of the studies; by default they are numbered by row.
    unit
        What one row is; by default ``animal`` or ``session`` where a column ``level`` says so, else
        ``study``.
    level
        Of all intervals. The prediction interval is estimate +- c sqrt(se^2 + tau^2) with the quantile c of
        the same distribution as the confidence interval, as metafor has it (Higgins et al. 2009 have
        k - 2 degrees of freedom).

    Returns
    -------
    MetaFit
        With fewer than three studies it lists them, and its ``status`` says that nothing was pooled.

    Raises
    ------
    FormulaError
        For a column that is not there or is text, or moderators that cannot be read.
    FitError
        For no study, a variance that is not positive, or too many or collinear moderators.
    ValueError
        For a method, test or level that does not exist, or weights that do not go with them.
    """
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}; available are {', '.join(get_args(Method))}.")
    if test not in get_args(Test):
        raise ValueError(f"test is {test!r}; available are {', '.join(get_args(Test))}.")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; expected a number between 0 and 1, e.g. 0.95.")
    if not weighted and weights is not None:
        raise ValueError("weighted=False gives every study the same weight; leave weights out.")
    if method == "genq" and weighted and weights is None:
        raise ValueError("method 'genq' needs weights: name their column.")
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"data must be a pandas DataFrame, not {type(data).__name__}.")
    numbers = with_column(with_column(data, effect), variance)
    studies, columns, rows, n_missing, formula = _studies(
        numbers, effect, variance, moderators, where, weights if weighted else None
    )
    if not weighted:
        studies = Studies(studies.effect, studies.variance, studies.design, np.ones(studies.k))
    source = data.iloc[rows].reset_index(drop=True)
    unit = unit or unit_of(source)
    info = {
        "engine": "meta",
        "method": method,
        "test": test,
        "converged": True,
        "effect": effect,
        "variance": variance,
        "weights": weights if weighted else "equal",
        "where": where,
        "n_missing": n_missing,
        "warnings": dependence_warnings(source, unit),
    }
    table = pd.DataFrame(
        {"label": _labels(data, slab, rows), "effect": studies.effect, "variance": studies.variance}
    )
    return _model(studies, columns, table, method, test, level, info, formula.text, unit, source)


def with_column(data: pd.DataFrame, text: str) -> pd.DataFrame:
    """Return a table that has a column called ``text``: its own, or the value of that expression."""
    if text in data.columns:
        return data
    if text.isidentifier():
        hint = nearest(text, map(str, data.columns))
        raise FormulaError(f"The table has no column {text!r}. {hint}".rstrip())
    values = evaluate(text, data)
    if values.kind != "number":
        raise FormulaError(f"{text!r} gives {values.kind}s, expected numbers.")
    return data.assign(**{text: np.where(values.missing, np.nan, values.data)})


def _labels(data: pd.DataFrame, slab: str | None, rows: np.ndarray) -> list[str]:
    if slab is None:
        return [str(row + 1) for row in rows]
    require_column(data, slab)
    return [str(each) for each in data[slab].iloc[rows]]


def require_column(data: pd.DataFrame, name: str) -> None:
    """Raise FormulaError, with the nearest name, unless the table has the column ``name``."""
    if name not in data.columns:
        hint = nearest(name, map(str, data.columns))
        raise FormulaError(f"The table has no column {name!r}. {hint}".rstrip())


def _studies(
    data: pd.DataFrame,
    effect: str,
    variance: str,
    moderators: str | None,
    where: str | None,
    weights: str | None,
) -> tuple[Studies, Design, np.ndarray, int, Formula]:
    right = (moderators or "1").strip().removeprefix("~")
    asked = read_formula(f"effect ~ {right}", bars=False)
    formula = Formula(right.strip(), Variable(effect, f"`{effect}`"), asked.fixed, (), asked.variables)
    extra: tuple[str, ...] = (variance,)
    if weights is not None:
        require_column(data, weights)
        extra += (weights,)
    found, rows, _, n_missing = complete_rows(data, formula, where=where, extra=extra)
    y = found[""].numbers
    if y is None:
        raise FormulaError(f"The column {effect!r} is not a number.")
    v = _positive(data[variance].iloc[rows], f"The variance {variance!r}", "the squared standard error", rows)
    _require_computable(y, v, effect, variance, rows)
    own = None
    if weights is not None:
        own = _positive(data[weights].iloc[rows], f"The weight {weights!r}", "of any scale", rows)
    columns = design(formula.fixed, found, len(rows))
    if len(rows) >= MIN_STUDIES:
        check_rank(columns)
    return Studies(y, v, columns.matrix, own), columns, rows, n_missing, formula


def _positive(values: pd.Series, what: str, hint: str, rows: np.ndarray) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers > 0.0)))
    if bad.size:
        row = int(rows[bad[0]]) + 1
        raise FitError(
            f"{what} is {values.iloc[bad[0]]} in row {row}; every one must be a positive number ({hint})."
        )
    return numbers


def _require_computable(y: np.ndarray, v: np.ndarray, effect: str, variance: str, rows: np.ndarray) -> None:
    """Raise FitError for numbers that weighted sums cannot hold."""
    least, most = int(np.argmin(v)), int(np.argmax(v))
    if float(np.max(np.abs(y))) > MAX_SIZE or v[most] > MAX_SIZE or v[least] < 1.0 / MAX_SIZE:
        raise FitError(
            f"{effect!r} or {variance!r} is beyond {MAX_SIZE:g} or below its inverse; change the unit."
        )
    if v[most] > MAX_VARIANCE_RATIO * v[least]:
        raise FitError(
            f"The variance {variance!r} is {v[least]:g} in row {int(rows[least]) + 1} and {v[most]:g} in row "
            f"{int(rows[most]) + 1}: one is not what it says, or that study is all there is to pool."
        )


def _model(
    studies: Studies,
    columns: Design,
    table: pd.DataFrame,
    method: Method,
    test: Test,
    level: float,
    info: dict[str, Any],
    formula: str,
    unit: str,
    source: pd.DataFrame,
) -> MetaFit:
    found = estimate(studies, method=method, test=test, level=level) if studies.k >= MIN_STUDIES else None
    has_moderators = any(columns.terms)
    none = float("nan")
    prediction: Interval | None = None
    tau2_ci = i2_ci = h2_ci = NO_INTERVAL
    qm, qm_df, qm_p = none, NO_INTERVAL, none
    coefficients: tuple[Coefficient, ...] = ()
    status = "ok"
    weight = np.full(studies.k, none)
    warnings = list(info["warnings"])
    if studies.variance.max() > WIDE_VARIANCE_RATIO * studies.variance.min():
        warnings.append("The sampling variances differ by more than ten million times; check the smallest.")
    if found is None:
        units = unit if studies.k == 1 else plural(unit)
        status = f"{studies.k} {units}: listed, not pooled, since a pooled effect needs {MIN_STUDIES}"
    else:
        coefficients = _coefficients(columns, found)
        weight = 100.0 * found.weights / found.weights.sum()
        tau2_ci = q_profile(studies, level=level)
        low, high = tau2_ci
        v = found.typical_variance
        i2_ci, h2_ci = (100.0 * low / (v + low), 100.0 * high / (v + high)), (low / v + 1.0, high / v + 1.0)
        if not has_moderators and method != "ee":
            half = found.critical * float(np.sqrt(found.vcov[0, 0] + found.tau2.value))
            prediction = (coefficients[0].estimate - half, coefficients[0].estimate + half)
            warnings += few_studies_warnings(studies.k, unit)
        qm, qm_df, qm_p = _omnibus(columns, found, test, studies.df)
    return MetaFit(
        method=method,
        test=test,
        level=level,
        formula=formula,
        unit=unit,
        status=status,
        coefficients=coefficients,
        vcov=found.vcov if found else np.full((len(columns.names),) * 2, none),
        tau2=found.tau2.value if found else none,
        tau2_se=found.tau2.se if found else none,
        tau2_ci=tau2_ci,
        i2=found.i2 if found else none,
        i2_ci=i2_ci,
        h2=found.h2 if found else none,
        h2_ci=h2_ci,
        q=found.q if found else none,
        q_p=found.q_p if found else none,
        qm=qm,
        qm_df=qm_df,
        qm_p=qm_p,
        r2=_explained(studies, columns, found, method) if found else none,
        prediction=prediction,
        k=studies.k,
        has_moderators=has_moderators,
        studies=table.assign(weight=weight),
        info={**info, "warnings": warnings},
        problem=studies,
        terms=tuple(columns.names),
        estimate=found,
        source=source,
    )


def _coefficients(columns: Design, found: Estimate) -> tuple[Coefficient, ...]:
    numbers = (found.coefficients, found.se, found.statistic, found.p, found.ci_low, found.ci_high)
    return tuple(
        Coefficient(name, float(b), float(se), found.df, float(t), float(p), float(low), float(high))
        for name, b, se, t, p, low, high in zip(columns.names, *numbers, strict=True)
    )


def few_studies_warnings(k: int, unit: str) -> list[str]:
    """Return what to say of a prediction interval from ``k`` units; nothing when there are enough."""
    if k > FEW_STUDIES:
        return []
    return [
        f"There are {k} {plural(unit)}: a prediction interval from so few is too narrow (in simulations with "
        "4 studies the 95 % interval missed 12.6 % of new ones)."
    ]


def q_profile(studies: Studies, *, level: float = 0.95) -> Interval:
    """Return the Q-profile confidence interval of tau^2 (Viechtbauer 2007); (0, 0) if it is empty."""
    from scipy.stats import chi2

    tail = (1.0 - level) / 2.0
    low = tau2_where_q_is(studies, float(chi2.isf(tail, studies.df)))
    return low, tau2_where_q_is(studies, float(chi2.ppf(tail, studies.df)))


def _omnibus(columns: Design, found: Estimate, test: Test, df: int) -> tuple[float, Interval, float]:
    """Return the test of all coefficients but the intercept, or of the only one there is."""
    from scipy.stats import chi2
    from scipy.stats import f as f_distribution

    tested = [i for i, name in enumerate(columns.names) if name != "(Intercept)"] or [0]
    scale = found.se[tested]
    if np.any(scale == 0.0):
        return float("nan"), (float(len(tested)), float("nan")), float("nan")
    unit = found.coefficients[tested] / scale
    correlation = found.vcov[np.ix_(tested, tested)] / np.outer(scale, scale)
    wald = float(unit @ np.linalg.solve(correlation, unit))
    m = float(len(tested))
    if test == "z":
        return wald, (m, float("nan")), float(chi2.sf(wald, m))
    return wald / m, (m, float(df)), float(f_distribution.sf(wald / m, m, df))


def _explained(studies: Studies, columns: Design, found: Estimate, method: Method) -> float:
    """Return the part of tau^2 (of Q / df for ``ee``) that moderators explain, in percent."""
    if () not in columns.terms or len(columns.terms) == 1:
        return float("nan")
    alone = Studies(studies.effect, studies.variance, np.ones((studies.k, 1)), studies.weights)
    if method == "ee":
        before, after = at_tau2(alone, 0.0).q / alone.df, found.q / studies.df
    else:
        before, after = ESTIMATORS[method](alone).value, found.tau2.value
    return 100.0 * max(0.0, 1.0 - after / before) if before > 0.0 else float("nan")
