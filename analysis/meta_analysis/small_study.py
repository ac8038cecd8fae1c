"""Small-study effects: do small studies show other effects than large ones?

That can come from publication bias, but as well from heterogeneity, poorer design of small studies, or
chance; so nothing here is called publication bias (Sterne et al. 2011, BMJ 343:d4002).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.estimate import estimate
from nwbswitch.analysis.meta_analysis.leave_one_out import column_values, require_pooled
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.analysis.meta_analysis.tau2 import Studies, at_tau2
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.trim_and_fill import TrimAndFill

MIN_SMALL_STUDY = 10
"""With fewer studies the tests cannot tell chance from asymmetry: Sterne et al. (2011), recommendation 1."""
MAX_EXACT_KENDALL = 170

Model = Literal["rma", "lm"]
Predictor = Literal["sei", "vi", "ni", "ninv", "sqrtni", "sqrtninv"]
_WITH_LIMIT: tuple[Predictor, ...] = ("sei", "vi", "ninv", "sqrtninv")


@dataclass(frozen=True, slots=True)
class EggerTest:
    """Regression test of funnel asymmetry: the statistic of ``predictor``, z where ``df`` is infinite.

    ``limit`` is the effect at a predictor of 0, with its interval: that of an infinitely large study, if the
    regression were right; not a number where 0 means no such thing or with moderators.
    """

    model: Model
    predictor: Predictor
    slope: float
    se: float
    statistic: float
    df: float
    p: float
    limit: float
    limit_low: float
    limit_high: float
    k: int


@dataclass(frozen=True, slots=True)
class RankTest:
    """Kendall's tau of standardised effects and variances; ``exact`` says how P was found."""

    tau: float
    p: float
    exact: bool
    k: int


@dataclass(frozen=True, slots=True)
class SmallStudy:
    """Tests and sensitivity analyses of small-study effects, together."""

    tests: tuple[EggerTest, ...]
    rank: RankTest
    filled: tuple[TrimAndFill, ...]
    k: int
    effect: tuple[float, float, float]

    def table(self) -> pd.DataFrame:
        """Return one row per method: method, statistic, df, p, effect, ci_low, ci_high, imputed."""
        none = float("nan")
        rows: list[tuple[Any, ...]] = [("as pooled", none, none, none, *self.effect, 0)]
        for test in self.tests:
            name = f"{'Egger' if test.predictor == 'sei' else 'regression'}, {test.model} on {test.predictor}"
            limit = (test.limit, test.limit_low, test.limit_high)
            rows.append((name, test.statistic, test.df, test.p, *limit, 0))
        rows.append(("rank correlation", self.rank.tau, none, self.rank.p, none, none, none, 0))
        for fill in self.filled:
            one = fill.fit.coefficients[0]
            name = f"trim and fill {fill.estimator}"
            rows.append((name, none, none, none, one.estimate, one.ci_low, one.ci_high, fill.k0))
        names = ["method", "statistic", "df", "p", "effect", "ci_low", "ci_high", "imputed"]
        return pd.DataFrame(rows, columns=names)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "label": "small-study effects",
                "k": self.k,
                "egger": [asdict(each) for each in self.tests],
                "rank": asdict(self.rank),
                "trim_and_fill": [each.as_dict() for each in self.filled],
            }
        )
        return found

    def summary(self) -> str:
        """Return the table as text, with what it can and cannot mean."""
        from nwbswitch.analysis.meta_analysis.meta_text import table_lines

        return "\n".join(
            [
                f"Small-study effects ({self.k} studies)",
                *table_lines(self.table()),
                "  Effects of regressions are limits for a standard error, or variance, of 0; those of trim",
                "  and fill include imputed studies. Asymmetry also comes from heterogeneity or chance.",
            ]
        )


def small_study(fit: MetaFit) -> SmallStudy:
    """Return Egger's tests, the rank test and trim and fill of one meta-analysis.

    The regressions on the standard error and on the variance with multiplicative error (``lm``) are the PET
    and the PEESE estimates of Stanley and Doucouliagos (2014).

    Raises
    ------
    FitError
        With fewer than `MIN_SMALL_STUDY` studies, or rows that are no studies.
    """
    from nwbswitch.analysis.meta_analysis.trim_and_fill import trim_and_fill

    require_enough(fit)
    if fit.has_moderators or fit.problem.weights is not None:
        raise FitError("Small-study effects are shown of a model without moderators and with usual weights.")
    tests = (
        egger_test(fit),
        egger_test(fit, model="lm"),
        egger_test(fit, model="lm", predictor="vi"),
    )
    one = fit.coefficients[0]
    filled = (trim_and_fill(fit), trim_and_fill(fit, estimator="R0"))
    return SmallStudy(tests, rank_test(fit), filled, fit.k, (one.estimate, one.ci_low, one.ci_high))


def require_enough(fit: MetaFit) -> None:
    """Raise FitError unless there are enough studies to speak of small-study effects.

    Raises
    ------
    FitError
        Naming the limit and its source.
    """
    if fit.unit != "study":
        raise FitError(f"Small-study effects are about studies; each row here is one {fit.unit}.")
    if fit.k < MIN_SMALL_STUDY:
        raise FitError(
            f"Small-study effects cannot be judged from {fit.k} studies: with fewer than {MIN_SMALL_STUDY} "
            "the tests and the funnel plot cannot tell asymmetry from chance (Sterne et al. 2011, "
            "BMJ 343:d4002)."
        )
    require_pooled(fit, "test of small-study effects")


def egger_test(
    fit: MetaFit, *, model: Model = "rma", predictor: Predictor = "sei", sizes: str | None = None
) -> EggerTest:
    """Return the regression test of Egger et al. (1997), as metafor's regtest has it.

    Parameters
    ----------
    fit
        A pooled meta-analysis; its method and test are used for ``rma``.
    model
        ``rma``: the mixed-effects model with the predictor as a moderator (Sterne and Egger 2005);
        ``lm``: weighted regression with multiplicative error, the classical test.
    predictor
        ``sei``, ``vi``, or of the sample size: ``ni``, ``ninv``, ``sqrtni``, ``sqrtninv``.
    sizes
        Column with the sample sizes.

    Raises
    ------
    FitError
        With too few studies, or a predictor that does not vary.
    ValueError
        For a model or predictor that does not exist, or sizes that are not given.
    """
    require_enough(fit)
    if model not in get_args(Model):
        raise ValueError(f"model is {model!r}; available are {', '.join(get_args(Model))}.")
    if predictor not in get_args(Predictor):
        raise ValueError(f"predictor is {predictor!r}; available are {', '.join(get_args(Predictor))}.")
    column = _predictor(fit, predictor, sizes)
    if np.ptp(column) == 0.0:
        raise FitError(f"Every study has the same {predictor}; there is no test of small-study effects.")
    given = fit.problem
    studies = Studies(given.effect, given.variance, np.column_stack([given.design, column]), given.weights)
    if model == "rma":
        found = estimate(studies, method=fit.method, test=fit.test, level=fit.level)
    else:
        plain_studies = Studies(studies.effect, studies.variance, studies.design)
        found = estimate(plain_studies, method="ee", test="knha", level=fit.level)
    has_limit = predictor in _WITH_LIMIT and not fit.has_moderators
    none = float("nan")
    limits = (found.coefficients[0], found.ci_low[0], found.ci_high[0]) if has_limit else (none,) * 3
    return EggerTest(
        model=model,
        predictor=predictor,
        slope=float(found.coefficients[-1]),
        se=float(found.se[-1]),
        statistic=float(found.statistic[-1]),
        df=found.df,
        p=float(found.p[-1]),
        limit=float(limits[0]),
        limit_low=float(limits[1]),
        limit_high=float(limits[2]),
        k=fit.k,
    )


def rank_test(fit: MetaFit) -> RankTest:
    """Return the rank correlation test of Begg and Mazumdar (1994).

    P is exact without ties, else from the normal approximation with the variance for ties.

    Raises
    ------
    FitError
        With too few studies, or variances that are all equal.
    """
    from scipy.stats import kendalltau

    require_enough(fit)
    v = fit.problem.variance
    if np.ptp(v) == 0.0:
        raise FitError("Every study has the same variance; there is no test of small-study effects.")
    alone = Studies(fit.problem.effect, v, np.ones((fit.k, 1)))
    centre = at_tau2(alone, 0.0).coefficients[0]
    standardised = (alone.effect - centre) / np.sqrt(v - 1.0 / np.sum(1.0 / v))
    tied = len(np.unique(standardised)) < fit.k or len(np.unique(v)) < fit.k
    exact = not tied and fit.k <= MAX_EXACT_KENDALL
    found = kendalltau(standardised, v, method="exact" if exact else "asymptotic")
    return RankTest(float(found.statistic), float(found.pvalue), exact, fit.k)


def _predictor(fit: MetaFit, predictor: Predictor, sizes: str | None) -> np.ndarray:
    if predictor == "sei":
        return np.asarray(np.sqrt(fit.problem.variance))
    if predictor == "vi":
        return fit.problem.variance
    if sizes is None:
        raise ValueError(f"predictor {predictor!r} needs sizes: the column with the sample sizes.")
    n = pd.to_numeric(pd.Series(column_values(fit, sizes)), errors="coerce").to_numpy(dtype=float)
    if not (np.isfinite(n) & (n > 0.0)).all():
        raise FitError(f"The sizes {sizes!r} hold values that are no numbers above 0.")
    match predictor:
        case "ni":
            return np.asarray(n)
        case "ninv":
            return np.asarray(1.0 / n)
        case "sqrtni":
            return np.asarray(np.sqrt(n))
        case _:
            return np.asarray(1.0 / np.sqrt(n))
