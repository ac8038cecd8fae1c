"""Meta-analysis and meta-regression of effects with known variances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Design, design
from nwbswitch.analysis.formulas.expressions import evaluate
from nwbswitch.analysis.formulas.formula import Formula, Variable, read_formula
from nwbswitch.analysis.meta_analysis.tau2 import ESTIMATORS, Method, Studies, Tau2, at_tau2, tau2_where_q_is
from nwbswitch.analysis.mixed.coefficient import Coefficient
from nwbswitch.analysis.mixed.model_frame import check_rank, complete_rows
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError, FormulaError
from nwbswitch.schemas.issues import nearest

Test = Literal["knha", "z", "t"]
# Up to this many studies a prediction interval is known to be too narrow: simulated with tau = 0.3 and
# about 4 animals per arm, a 95 % interval missed 12.6 % of new studies with 4 studies.
FEW_STUDIES = 5


@dataclass(frozen=True, slots=True)
class MetaFit:
    """A fitted meta-analysis.

    ``coefficients`` has one row per moderator column, one alone without moderators; ``tau2_ci`` is the
    Q-profile interval; ``prediction`` the interval for the true effect of a new study, None with moderators
    or equal effects; ``qm`` tests all coefficients but the intercept (chi-square with test z, else F), with
    ``qm_df`` its degrees of freedom; ``r2`` is the part of tau^2 that moderators explain, in percent.
    ``studies`` has one row per study used: label, effect, variance.
    """

    method: Method
    test: Test
    level: float
    formula: str
    coefficients: tuple[Coefficient, ...]
    vcov: np.ndarray
    tau2: float
    tau2_se: float
    tau2_ci: tuple[float, float]
    i2: float
    h2: float
    q: float
    q_p: float
    qm: float
    qm_df: tuple[float, float]
    qm_p: float
    r2: float
    prediction: tuple[float, float] | None
    k: int
    has_moderators: bool
    studies: pd.DataFrame
    info: Mapping[str, Any]

    def table(self) -> pd.DataFrame:
        """Return the coefficients: term, estimate, se, df, t, p, ci_low, ci_high."""
        return pd.DataFrame([asdict(each) for each in self.coefficients])

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values; what is not a finite number is None.

        With moderators there is no single effect, so estimate to p are None; see coefficients.
        """
        one = None if self.has_moderators else self.coefficients[0]
        pi_low, pi_high = self.prediction or (None, None)
        found: dict[str, Any] = plain(
            {
                "estimate": one and one.estimate,
                "se": one and one.se,
                "ci_low": one and one.ci_low,
                "ci_high": one and one.ci_high,
                "statistic": one and one.t,
                "p": one and one.p,
                "tau2": self.tau2,
                "tau2_se": self.tau2_se,
                "tau2_ci_low": self.tau2_ci[0],
                "tau2_ci_high": self.tau2_ci[1],
                "i2": self.i2,
                "h2": self.h2,
                "q": self.q,
                "q_p": self.q_p,
                "qm": self.qm,
                "qm_df": list(self.qm_df),
                "qm_p": self.qm_p,
                "r2": self.r2,
                "pi_low": pi_low,
                "pi_high": pi_high,
                "k": self.k,
                "coefficients": [asdict(each) for each in self.coefficients],
                "method": self.method,
                "test": self.test,
                "level": self.level,
                "formula": self.formula,
                "studies": self.studies.to_dict("records"),
                "info": dict(self.info),
            }
        )
        return found

    def summary(self) -> str:
        """Return the fit as text for people."""
        from nwbswitch.analysis.fit_text import meta_text

        return meta_text(self)


def meta(
    data: pd.DataFrame,
    *,
    effect: str,
    variance: str,
    method: Method = "reml",
    test: Test = "knha",
    moderators: str | None = None,
    where: str | None = None,
    slab: str | None = None,
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
        Estimator of tau^2: ``reml``, ``dl``, ``pm``, ``ml``, ``he``, ``hs``, ``sj``, ``eb``, or ``ee`` for
        equal effects (tau^2 = 0).
    test
        ``knha``: standard errors of Knapp and Hartung (2003) and t with k - p degrees of freedom; ``t``: the
        usual standard errors with that t; ``z``: the normal distribution.
    moderators
        Right side of a formula, e.g. ``"dose + species"``.
    where
        Condition that chooses rows, e.g. ``"level == 'animal'"``.
    slab
        Column with the labels of the studies; by default they are numbered by row.
    level
        Of all intervals. The prediction interval is estimate +- c sqrt(se^2 + tau^2) with the quantile c of
        the same distribution as the confidence interval, as metafor has it (Higgins et al. 2009 have
        k - 2 degrees of freedom).

    Raises
    ------
    FormulaError
        For a column that is not there or is text, or moderators that cannot be read.
    FitError
        For fewer than two studies, a variance that is not positive, or too many or collinear moderators.
    ValueError
        For a method, test or level that does not exist.
    """
    if method not in get_args(Method):
        raise ValueError(f"method is {method!r}; available are {', '.join(get_args(Method))}.")
    if test not in get_args(Test):
        raise ValueError(f"test is {test!r}; available are {', '.join(get_args(Test))}.")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; expected a number between 0 and 1, e.g. 0.95.")
    if not isinstance(data, pd.DataFrame):
        raise TypeError(f"data must be a pandas DataFrame, not {type(data).__name__}.")
    numbers = _with_column(_with_column(data, effect), variance)
    studies, columns, rows, n_missing, formula = _studies(numbers, effect, variance, moderators, where)
    labels = _labels(data, slab, rows)
    tau2 = ESTIMATORS[method](studies)
    info = {"effect": effect, "variance": variance, "where": where, "n_missing": n_missing}
    return _model(studies, columns, labels, tau2, method, test, level, info, formula)


def _with_column(data: pd.DataFrame, text: str) -> pd.DataFrame:
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
    if slab not in data.columns:
        hint = nearest(slab, map(str, data.columns))
        raise FormulaError(f"The table has no column {slab!r}. {hint}".rstrip())
    return [str(each) for each in data[slab].iloc[rows]]


def _studies(
    data: pd.DataFrame, effect: str, variance: str, moderators: str | None, where: str | None
) -> tuple[Studies, Design, np.ndarray, int, Formula]:
    right = (moderators or "1").strip().removeprefix("~")
    asked = read_formula(f"effect ~ {right}", bars=False)
    formula = Formula(right.strip(), Variable(effect, f"`{effect}`"), asked.fixed, (), asked.variables)
    found, rows, _, n_missing = complete_rows(data, formula, where=where, extra=(variance,))
    if len(rows) < 2:
        raise FitError(f"There are {len(rows)} complete studies; a meta-analysis needs at least two.")
    y = found[""].numbers
    if y is None:
        raise FormulaError(f"The column {effect!r} is not a number.")
    v = _variances(data[variance].iloc[rows], variance, rows)
    columns = design(formula.fixed, found, len(rows))
    check_rank(columns)
    return Studies(y, v, columns.matrix), columns, rows, n_missing, formula


def _variances(values: pd.Series, name: str, rows: np.ndarray) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers > 0.0)))
    if bad.size:
        row = int(rows[bad[0]]) + 1
        raise FitError(
            f"The variance {name!r} is {values.iloc[bad[0]]} in row {row}; every variance must be a "
            "positive number (the squared standard error)."
        )
    return numbers


def _model(
    studies: Studies,
    columns: Design,
    labels: list[str],
    tau2: Tau2,
    method: Method,
    test: Test,
    level: float,
    info: Mapping[str, Any],
    formula: Formula,
) -> MetaFit:
    from scipy.stats import chi2, norm
    from scipy.stats import t as t_distribution

    df = studies.df
    fitted, fixed = at_tau2(studies, tau2.value), at_tau2(studies, 0.0)
    vcov = fitted.covariance * (fitted.q / df if test == "knha" else 1.0)
    distribution = norm if test == "z" else t_distribution(df)
    critical = float(distribution.ppf(0.5 + level / 2.0))
    coefficients = []
    for i, name in enumerate(columns.names):
        estimate, se = float(fitted.coefficients[i]), float(np.sqrt(vcov[i, i]))
        statistic = float(np.divide(estimate, se)) if se > 0.0 else float("nan")
        p = 2.0 * float(distribution.sf(abs(statistic)))
        low, high = estimate - critical * se, estimate + critical * se
        coefficients.append(
            Coefficient(name, estimate, se, float("inf") if test == "z" else df, statistic, p, low, high)
        )
    has_moderators = any(columns.terms)
    typical = df / fixed.trace(np.ones(studies.k))  # Higgins and Thompson (2002), equation 9
    i2 = 100.0 * tau2.value / (typical + tau2.value)
    h2 = tau2.value / typical + 1.0
    if method == "ee":
        i2, h2 = 100.0 * max(0.0, 1.0 - df / fixed.q) if fixed.q > 0.0 else 0.0, fixed.q / df
    prediction = None
    if not has_moderators and method != "ee":
        half = critical * float(np.sqrt(vcov[0, 0] + tau2.value))
        centre = coefficients[0].estimate
        prediction = (centre - half, centre + half)
    qm, qm_df, qm_p = _omnibus(columns, fitted.coefficients, vcov, test, df)
    return MetaFit(
        method=method,
        test=test,
        level=level,
        formula=formula.text,
        coefficients=tuple(coefficients),
        vcov=vcov,
        tau2=tau2.value,
        tau2_se=tau2.se,
        tau2_ci=q_profile(studies, level=level),
        i2=i2,
        h2=h2,
        q=fixed.q,
        q_p=float(chi2.sf(fixed.q, df)),
        qm=qm,
        qm_df=qm_df,
        qm_p=qm_p,
        r2=_explained(studies, columns, tau2.value, method),
        prediction=prediction,
        k=studies.k,
        has_moderators=has_moderators,
        studies=pd.DataFrame({"label": labels, "effect": studies.effect, "variance": studies.variance}),
        info={
            "engine": "meta",
            "method": method,
            "test": test,
            "converged": True,
            **info,
            "warnings": _warnings(studies.k, prediction is not None),
        },
    )


def _warnings(k: int, has_prediction: bool) -> list[str]:
    if not has_prediction or k > FEW_STUDIES:
        return []
    return [
        f"There are {k} studies: a prediction interval from so few is too narrow (in simulations with 4 "
        "studies the 95 % interval missed 12.6 % of new ones)."
    ]


def q_profile(studies: Studies, *, level: float = 0.95) -> tuple[float, float]:
    """Return the Q-profile confidence interval of tau^2 (Viechtbauer 2007); (0, 0) if it is empty."""
    from scipy.stats import chi2

    tail = (1.0 - level) / 2.0
    low = tau2_where_q_is(studies, float(chi2.isf(tail, studies.df)))
    return low, tau2_where_q_is(studies, float(chi2.ppf(tail, studies.df)))


def _omnibus(
    columns: Design, estimates: np.ndarray, vcov: np.ndarray, test: Test, df: int
) -> tuple[float, tuple[float, float], float]:
    """Return the test of all coefficients but the intercept, or of the only one there is."""
    from scipy.stats import chi2
    from scipy.stats import f as f_distribution

    tested = [i for i, name in enumerate(columns.names) if name != "(Intercept)"] or [0]
    scale = np.sqrt(np.diagonal(vcov)[tested])
    if np.any(scale == 0.0):
        return float("nan"), (float(len(tested)), float("nan")), float("nan")
    unit = estimates[tested] / scale
    wald = float(unit @ np.linalg.solve(vcov[np.ix_(tested, tested)] / np.outer(scale, scale), unit))
    m = float(len(tested))
    if test == "z":
        return wald, (m, float("nan")), float(chi2.sf(wald, m))
    return wald / m, (m, float(df)), float(f_distribution.sf(wald / m, m, df))


def _explained(studies: Studies, columns: Design, tau2: float, method: Method) -> float:
    if method == "ee" or () not in columns.terms or len(columns.terms) == 1:
        return float("nan")
    alone = ESTIMATORS[method](Studies(studies.effect, studies.variance, np.ones((studies.k, 1)))).value
    return 100.0 * max(0.0, 1.0 - tau2 / alone) if alone > 0.0 else float("nan")
