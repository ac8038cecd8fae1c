"""A fitted multilevel meta-analysis: coefficients, components, tests and statistics of the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from nwbswitch.analysis.inference.hypothesis import f_tail, t_test_of
from nwbswitch.analysis.meta_analysis.meta import few_studies_warnings
from nwbswitch.analysis.meta_analysis.multilevel_heterogeneity import Heterogeneity, heterogeneity
from nwbswitch.analysis.meta_analysis.multilevel_likelihood import Solved, log_likelihood, solve
from nwbswitch.analysis.meta_analysis.multilevel_model import MultilevelModel
from nwbswitch.analysis.meta_analysis.multilevel_search import Optimum
from nwbswitch.analysis.mixed.coefficient import Coefficient, quantile_of_t
from nwbswitch.analysis.plain_values import plain

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.likelihood_profile import ComponentProfile
    from nwbswitch.analysis.meta_analysis.robust import Kind, RobustMeta

Test = Literal["z", "t"]
Dfs = Literal["between", "contain", "residual"]


@dataclass(frozen=True, slots=True)
class Omnibus:
    """The test that all coefficients but the intercept are 0: chi-square, or F with a second df."""

    statistic: float
    df: tuple[float, float]
    p: float
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class MultilevelFit:
    """A fitted multilevel meta-analysis.

    Attributes
    ----------
    coefficients
        One row per column of the moderators, one alone without them.
    vcov
        Their covariance, (p, p).
    components
        One row per variance and correlation: component, kind, group, estimate, sd, n_groups, at_bound.
    log_likelihood, aic, bic, aicc
        Restricted with REML, and then comparable only between models of the same moderators. The
        sample size of BIC and AICc is rows, with REML minus coefficients, as in metafor.
    q, q_df, q_p
        Test for residual heterogeneity: the residual sum of squares weighted by V^-1, chi-square.
    qm
        Test of the moderators.
    heterogeneity
        I^2 in all, by component and by coefficient.
    ddf
        Degrees of freedom of each coefficient, infinite with test z.
    info
        How the fit was found.
    """

    model: MultilevelModel
    optimum: Optimum
    solved: Solved
    test: Test
    dfs: Dfs
    level: float
    random: tuple[str, ...]
    coefficients: tuple[Coefficient, ...]
    vcov: np.ndarray
    components: pd.DataFrame
    log_likelihood: float
    aic: float
    bic: float
    aicc: float
    q: float
    q_df: int
    q_p: float
    qm: Omnibus
    heterogeneity: Heterogeneity
    ddf: np.ndarray
    info: Mapping[str, Any]

    def __repr__(self) -> str:
        return self.summary()

    @property
    def k(self) -> int:
        """Number of effects."""
        return self.model.data.n

    @property
    def estimates(self) -> np.ndarray:
        """Coefficients (p,)."""
        return np.array([each.estimate for each in self.coefficients])

    @property
    def has_moderators(self) -> bool:
        """Whether there is more than an intercept."""
        return any(self.model.frame.design.terms)

    def table(self) -> pd.DataFrame:
        """Return the coefficients: term, estimate, se, df, t, p, ci_low, ci_high."""
        return pd.DataFrame([asdict(each) for each in self.coefficients])

    def predict(self, data: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return predicted effects with confidence and prediction intervals; see `prediction.predict`."""
        from nwbswitch.analysis.meta_analysis.prediction import predict

        return predict(self, data)

    def ranef(self) -> pd.DataFrame:
        """Return predicted random effects of groups; see `multilevel_effects.random_effects`."""
        from nwbswitch.analysis.meta_analysis.multilevel_effects import random_effects

        return random_effects(self)

    def rows(self) -> pd.DataFrame:
        """Return effect, fitted value, BLUP, residual, hat value and weight of each row."""
        from nwbswitch.analysis.meta_analysis.multilevel_effects import row_table

        return row_table(self)

    def profile(self, *, components: Sequence[str] | None = None) -> tuple[ComponentProfile, ...]:
        """Return profile likelihood intervals; see `likelihood_profile.profile_components`."""
        from nwbswitch.analysis.meta_analysis.likelihood_profile import profile_components

        return profile_components(self, components=components)

    def confint(self, *, components: Sequence[str] | None = None) -> pd.DataFrame:
        """Return profile likelihood intervals of variances and correlations.

        Columns: component, kind, estimate, ci_low, ci_high, note; variances are followed by their roots.
        """
        from nwbswitch.analysis.meta_analysis.likelihood_profile import profile_table

        return profile_table(self.profile(components=components))

    def robust(self, *, cluster: str | Sequence[Any] | None = None, kind: Kind = "CR2") -> RobustMeta:
        """Return the coefficients with cluster-robust covariance; see `robust.robust_multilevel`.

        Parameters
        ----------
        cluster
            Name of a random group, e.g. ``lab``, or labels of the rows used; the outermost group by default.
        kind
            ``CR0``, ``CR1``, ``CR1p`` or ``CR2``.
        """
        from nwbswitch.analysis.meta_analysis.robust import robust_multilevel

        return robust_multilevel(self, cluster=cluster, kind=kind)

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values; what is not a finite number is None.

        With moderators there is no single effect, so estimate to p are None; see coefficients.
        """
        one = None if self.has_moderators else self.coefficients[0]
        prediction = self.predict().iloc[0] if one is not None else None
        found: dict[str, Any] = plain(
            {
                "estimate": one and one.estimate,
                "se": one and one.se,
                "ci_low": one and one.ci_low,
                "ci_high": one and one.ci_high,
                "statistic": one and one.t,
                "p": one and one.p,
                "pi_low": None if prediction is None else float(prediction["pi_low"]),
                "pi_high": None if prediction is None else float(prediction["pi_high"]),
                "coefficients": [asdict(each) for each in self.coefficients],
                "vcov": self.vcov,
                "components": self.components.to_dict("records"),
                "heterogeneity": self.heterogeneity.as_dict(),
                "log_likelihood": self.log_likelihood,
                "aic": self.aic,
                "bic": self.bic,
                "aicc": self.aicc,
                "q": self.q,
                "q_df": self.q_df,
                "q_p": self.q_p,
                "qm": self.qm.statistic,
                "qm_df": list(self.qm.df),
                "qm_p": self.qm.p,
                "k": self.k,
                "method": self.model.method,
                "test": self.test,
                "dfs": self.dfs,
                "level": self.level,
                "formula": self.model.frame.formula.text,
                "random": list(self.random),
                "info": dict(self.info),
            }
        )
        return found

    def summary(self) -> str:
        """Return the fit as text for people."""
        from nwbswitch.analysis.meta_analysis.multilevel_text import multilevel_text

        return multilevel_text(self)


def multilevel_fit(
    model: MultilevelModel, optimum: Optimum, *, random: tuple[str, ...], test: Test, dfs: Dfs, level: float
) -> MultilevelFit:
    """Return the fit at the end of a search."""
    from scipy.stats import chi2

    data = model.data
    solved = solve(data, optimum.theta)
    back = np.linalg.inv(data.triangle)
    estimates = back @ (data.offset + data.scale * solved.coefficients)
    vcov = data.scale**2 * back @ solved.covariance @ back.T
    ddf = np.full(data.p, np.inf) if test == "z" else coefficient_df(model, dfs)
    names = model.frame.design.names
    coefficients = tuple(
        coefficient(name, estimates[i], vcov[i, i], float(ddf[i]), level) for i, name in enumerate(names)
    )
    fixed = solve(data, np.zeros(len(data.shares)))
    likelihood = log_likelihood(data, solved, model.method)
    n_parameters = data.p + len(model.components)
    n_used = data.n - data.p if model.method == "reml" else data.n
    at_least = max(n_used, n_parameters + 2)
    df = data.n - data.p
    components = component_table(model, optimum)
    return MultilevelFit(
        model=model,
        optimum=optimum,
        solved=solved,
        test=test,
        dfs=dfs,
        level=level,
        random=random,
        coefficients=coefficients,
        vcov=vcov,
        components=components,
        log_likelihood=likelihood,
        aic=-2.0 * likelihood + 2.0 * n_parameters,
        bic=-2.0 * likelihood + n_parameters * float(np.log(n_used)),
        aicc=-2.0 * likelihood + 2.0 * n_parameters * at_least / (at_least - n_parameters - 1.0),
        q=fixed.rss,
        q_df=df,
        q_p=float(chi2.sf(fixed.rss, df)),
        qm=omnibus(names, estimates, vcov, ddf),
        heterogeneity=heterogeneity(model, optimum.theta, fixed, vcov),
        ddf=ddf,
        info=_info(model, optimum, components),
    )


def coefficient(name: str, estimate: float, variance: float, df: float, level: float) -> Coefficient:
    """Return one coefficient with its test and interval."""
    tested = t_test_of(float(estimate), float(variance), df, null=0.0)
    half = quantile_of_t(level, df) * tested.se if df > 0.0 else float("nan")
    p = tested.p if df > 0.0 else float("nan")
    low, high = tested.estimate - half, tested.estimate + half
    return Coefficient(name, tested.estimate, tested.se, df, tested.t, p, low, high)


def coefficient_df(model: MultilevelModel, dfs: Dfs) -> np.ndarray:
    """Return the degrees of freedom (p,) of the coefficients; see `multilevel.multilevel`."""
    matrix, p = model.frame.design.matrix, model.data.p
    found = np.full(p, float(model.data.n - p))
    if dfs == "residual":
        return found
    for part in model.frame.parts:
        n_groups = len(part.labels)
        for j, column in enumerate(matrix.T):
            high, low = np.full(n_groups, -np.inf), np.full(n_groups, np.inf)
            np.maximum.at(high, part.codes, column)
            np.minimum.at(low, part.codes, column)
            if np.array_equal(high, low):
                found[j] = min(found[j], float(n_groups - p))
    if dfs == "between":
        for part in model.frame.parts:
            if part.inner_codes is not None:
                found = np.minimum(found, _level_df(matrix, part.codes, part.inner_codes))
    return found


def _level_df(matrix: np.ndarray, codes: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return groups minus coefficients of each inner level, for columns that belong to one; else infinity."""
    found = np.full(matrix.shape[1], np.inf)
    for level in range(int(inner.max()) + 1):
        mine = inner == level
        groups = np.unique(codes[mine], return_inverse=True)[1]
        own = []
        for j, column in enumerate(matrix.T):
            values = column[mine]
            first = np.zeros(int(groups.max()) + 1)
            first[groups] = values
            if not column[~mine].any() and np.array_equal(first[groups], values):
                own.append(j)
        found[own] = float(int(groups.max()) + 1 - len(own))
    return found


def omnibus(names: Sequence[str], estimates: np.ndarray, vcov: np.ndarray, ddf: np.ndarray) -> Omnibus:
    """Return the test of all coefficients but the intercept, or of the only one."""
    from scipy.stats import chi2

    tested = [i for i, name in enumerate(names) if name != "(Intercept)"] or [0]
    own = vcov[np.ix_(tested, tested)]
    scale = np.sqrt(np.diagonal(own))
    unit = estimates[tested] / scale
    wald = float(unit @ np.linalg.solve(own / np.outer(scale, scale), unit))
    m, df = len(tested), float(np.min(ddf[tested]))
    terms = tuple(names[i] for i in tested)
    if np.isinf(df):
        return Omnibus(wald, (float(m), float("nan")), float(chi2.sf(wald, m)), terms)
    p = f_tail(wald / m, m, df) if df > 0.0 else float("nan")
    return Omnibus(wald / m, (float(m), df), p, terms)


def component_table(model: MultilevelModel, optimum: Optimum) -> pd.DataFrame:
    """Return component, kind, group, estimate, sd, n_groups, at_bound of the random effects."""
    rows = []
    for each in model.components:
        value = each.value(optimum.theta, model.data.scale)
        variance = each.kind == "variance"
        at_bound = value == 0.0 if variance else not abs(value) < 1.0 - 1e-9
        sd = float(np.sqrt(value)) if variance else float("nan")
        rows.append((each.name, each.kind, each.group, value, sd, each.n_groups, at_bound))
    columns = ["component", "kind", "group", "estimate", "sd", "n_groups", "at_bound"]
    return pd.DataFrame(rows, columns=columns)


def _info(model: MultilevelModel, optimum: Optimum, components: pd.DataFrame) -> dict[str, Any]:
    frame = model.frame
    sizes = np.bincount(model.block)
    warnings = []
    if not optimum.converged:
        warnings.append(
            f"The search did not converge: the slope of the likelihood is {optimum.gradient:.2g}. Look at "
            "the profile of the components."
        )
    for part in frame.parts:
        if len(part.labels) < 5:
            warnings.append(f"{part.group} has {len(part.labels)} groups: its variance is hardly known.")
    fewest = min(frame.parts, key=lambda part: len(part.labels))
    if not any(frame.design.terms):
        warnings += few_studies_warnings(len(fewest.labels), fewest.group)
    return {
        "engine": "multilevel",
        "method": model.method,
        "converged": optimum.converged,
        "boundary": components.loc[components["at_bound"], "component"].tolist(),
        "n_starts": len(optimum.rises),
        "starts_above": list(optimum.rises),
        "evaluations": optimum.evaluations,
        "gradient": optimum.gradient,
        "n_blocks": len(sizes),
        "largest_block": int(sizes.max()),
        "n_missing": frame.n_missing,
        "struct": list(model.structs),
        "warnings": warnings,
    }
