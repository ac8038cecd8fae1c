"""Linear mixed models with nested random effects: `fit` in four named steps.

The steps are the formula (`read_formula`), the deviance function (`model_frame`, `deviance_function`), the
optimisation (`optimise`) and the model (`MixedFit`), as in Bates et al. (2015, section 1.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.formula import Formula, read_formula
from nwbswitch.analysis.mixed.anova import TermTest, type_three, type_three_contrasts
from nwbswitch.analysis.mixed.design_guard import missing_slopes, row_variation
from nwbswitch.analysis.mixed.deviance import Method
from nwbswitch.analysis.mixed.model import BlockFacts, LevelFacts, Model
from nwbswitch.analysis.mixed.model_frame import ModelFrame, RandomBlock, model_frame
from nwbswitch.analysis.mixed.optimum import SMALL, Optimum, optimise, psi_of
from nwbswitch.analysis.mixed.satterthwaite import VarianceParameters, t_df, variance_parameters
from nwbswitch.analysis.mixed.tree import Tree, deviance_function
from nwbswitch.analysis.plain_values import plain

Ddf = Literal["satterthwaite", "none"]
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One fixed effect; ``df`` is infinite and ``t`` a z value when degrees of freedom are not asked for."""

    term: str
    estimate: float
    se: float
    df: float
    t: float
    p: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True, slots=True)
class VarianceComponent:
    """Standard deviation and variance of one random effect, or of the residual."""

    group: str
    term: str
    sd: float
    variance: float


@dataclass(frozen=True, slots=True)
class Correlation:
    """Correlation of two random effects of a group; not a number where a variance is zero."""

    group: str
    term_1: str
    term_2: str
    correlation: float


@dataclass(frozen=True, slots=True)
class MixedFit:
    """A fitted linear mixed model.

    ``criterion`` is -2 log-likelihood, or the REML criterion; ``vcov`` the (p, p) covariance of the fixed
    effects; ``info`` says how the fit was found: ``converged``, ``singular`` with the ``boundary`` effects,
    starts, iterations, rows left out, and warnings of the design guard.
    """

    formula: Formula
    method: Method
    ddf: Ddf
    fixed: tuple[Coefficient, ...]
    components: tuple[VarianceComponent, ...]
    correlations: tuple[Correlation, ...]
    tests: tuple[TermTest, ...]
    vcov: np.ndarray
    criterion: float
    n: int
    n_parameters: int
    info: Mapping[str, Any]

    def table(self) -> pd.DataFrame:
        """Return the fixed effects: term, estimate, se, df, t, p, ci_low, ci_high (95 %)."""
        return pd.DataFrame([asdict(each) for each in self.fixed])

    def random(self) -> pd.DataFrame:
        """Return the variance components: group, term, sd, variance; the residual comes last."""
        return pd.DataFrame([asdict(each) for each in self.components])

    def anova(self) -> pd.DataFrame:
        """Return type III tests: term, sum_sq, mean_sq, num_df, den_df, f, p."""
        names = list(TermTest.__dataclass_fields__)
        return pd.DataFrame([asdict(each) for each in self.tests], columns=names)

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood, restricted if the method is ``reml``."""
        return -0.5 * self.criterion

    @property
    def aic(self) -> float:
        """Akaike's criterion; compare only models fitted by ``ml``, or with equal fixed effects."""
        return self.criterion + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion with the number of rows as sample size."""
        return self.criterion + float(np.log(self.n)) * self.n_parameters

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values; what is not a finite number is None."""
        found: dict[str, Any] = plain(
            {
                "formula": self.formula.text,
                "method": self.method,
                "ddf": self.ddf,
                "fixed": [asdict(each) for each in self.fixed],
                "random": [asdict(each) for each in self.components],
                "correlations": [asdict(each) for each in self.correlations],
                "anova": [asdict(each) for each in self.tests],
                "criterion": self.criterion,
                "log_likelihood": self.log_likelihood,
                "aic": self.aic,
                "bic": self.bic,
                "n": self.n,
                "info": dict(self.info),
            }
        )
        return found

    def summary(self) -> str:
        """Return the fit as text for people."""
        from nwbswitch.analysis.fit_text import mixed_text

        return mixed_text(self)


def fit(
    data: pd.DataFrame,
    formula: str,
    *,
    where: str | None = None,
    method: Method = "reml",
    ddf: Ddf = "satterthwaite",
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
        Degrees of freedom: ``satterthwaite``, or ``none`` for z tests.

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
    return make_model(frame, tree, optimum, ddf=ddf)


def make_model(frame: ModelFrame, tree: Tree, optimum: Optimum, *, ddf: Ddf) -> MixedFit:
    """Return the model at an optimum: the fourth step of a fit."""
    at = optimum.evaluation
    nu = tree.n_rows - (tree.n_fixed if optimum.method == "reml" else 0)
    sigma2 = at.residual / nu * tree.columns.scale**2
    parameters = variance_parameters(tree, optimum)
    estimates = tree.columns.offset + tree.columns.scale * np.linalg.solve(
        tree.columns.fixed, at.coefficients
    )
    if ddf == "none":
        # Without uncertainty of the variances every degree of freedom is infinite.
        q = len(parameters.covariance)
        parameters = VarianceParameters(np.zeros((q, q)), parameters.derivative, parameters.fixed)
    components, correlations, boundary = _variances(frame, tree, optimum, sigma2)
    return MixedFit(
        formula=frame.formula,
        method=optimum.method,
        ddf=ddf,
        fixed=_coefficients(frame.fixed.names, estimates, parameters),
        components=components,
        correlations=correlations,
        tests=type_three(type_three_contrasts(frame), estimates, parameters, sigma2),
        vcov=parameters.fixed,
        criterion=at.criterion,
        n=frame.n_rows,
        n_parameters=tree.n_fixed + len(optimum.theta) + 1,
        info=_info(frame, optimum, ddf, boundary),
    )


def _coefficients(
    names: tuple[str, ...], estimates: np.ndarray, parameters: VarianceParameters
) -> tuple[Coefficient, ...]:
    from scipy.stats import norm, t

    rows = []
    for i, name in enumerate(names):
        contrast = np.zeros(len(names))
        contrast[i] = 1.0
        df = t_df(parameters, contrast)
        estimate, se = float(estimates[i]), float(np.sqrt(parameters.fixed[i, i]))
        distribution = t(df) if np.isfinite(df) else norm
        statistic = estimate / se
        half = float(distribution.ppf(0.5 + LEVEL / 2.0)) * se
        p = 2.0 * float(distribution.sf(abs(statistic)))
        rows.append(Coefficient(name, estimate, se, df, statistic, p, estimate - half, estimate + half))
    return tuple(rows)


def _variances(
    frame: ModelFrame, tree: Tree, optimum: Optimum, sigma2: float
) -> tuple[tuple[VarianceComponent, ...], tuple[Correlation, ...], tuple[str, ...]]:
    components, correlations, boundary = [], [], []
    for position, psi in enumerate(psi_of(tree, optimum.theta)):
        scales, first = tree.columns.effect_scales[position], 0
        for block in frame.levels[position].blocks:
            part = slice(first, first + len(block.names))
            first = part.stop
            scaled = psi[part, part]
            covariance = sigma2 * scaled / np.outer(scales[part], scales[part])
            sd = np.sqrt(np.diagonal(covariance))
            components += [
                VarianceComponent(block.label, name, float(s), float(s**2))
                for name, s in zip(block.names, sd, strict=True)
            ]
            for j in range(len(sd)):
                for i in range(j + 1, len(sd)):
                    product = sd[i] * sd[j]
                    value = float(covariance[i, j] / product) if product > 0.0 else float("nan")
                    correlations.append(Correlation(block.label, block.names[j], block.names[i], value))
            boundary += _on_boundary(block, scaled)
    components.append(VarianceComponent("Residual", "", float(np.sqrt(sigma2)), float(sigma2)))
    return tuple(components), tuple(correlations), tuple(boundary)


def _on_boundary(block: RandomBlock, psi: np.ndarray) -> list[str]:
    size = np.sqrt(np.diagonal(psi))
    at_zero = [
        f"{block.label}: {name} has variance 0"
        for name, s in zip(block.names, size, strict=True)
        if s < SMALL
    ]
    rest = psi[np.ix_(size >= SMALL, size >= SMALL)]
    if len(rest) > 1 and np.linalg.eigvalsh(rest)[0] < SMALL**2:
        at_zero.append(f"{block.label}: effects are perfectly correlated")
    return at_zero


def _model(frame: ModelFrame) -> Model:
    return Model(
        formula=frame.formula,
        names=frame.fixed.names,
        terms=frame.fixed.terms,
        term_of=frame.fixed.term_of,
        contrasts="treatment",
        variables={},
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


def _info(frame: ModelFrame, optimum: Optimum, ddf: Ddf, boundary: tuple[str, ...]) -> dict[str, Any]:
    effects = {name: frame.variables[name] for term in frame.fixed.terms for name in term}
    variation = row_variation([level.codes for level in frame.levels], effects)
    warnings = list(missing_slopes(_model(frame), variation))
    if not optimum.converged:
        warnings.insert(
            0,
            "The search did not end in a minimum: a further step would lower the criterion by "
            f"{optimum.expected_decrease:.2g}. Do not use this fit; simplify the random terms.",
        )
    return {
        "engine": "nested",
        "method": optimum.method,
        "ddf": ddf,
        "converged": optimum.converged,
        "singular": bool(boundary),
        "boundary": list(boundary),
        "iterations": optimum.iterations,
        "evaluations": optimum.evaluations,
        "starts": len(optimum.start_criteria),
        "start_criteria": list(optimum.start_criteria),
        "expected_decrease": optimum.expected_decrease,
        "n_missing": frame.n_missing,
        "n_excluded": frame.n_excluded,
        "groups": {name: level.n_groups for level in frame.levels for name in level.names},
        "warnings": warnings,
    }
