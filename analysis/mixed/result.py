"""A fitted mixed model: four parts that were found, and what a reader asks of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.mixed import anova as analysis_of_variance
from nwbswitch.analysis.mixed.anova import AnovaType
from nwbswitch.analysis.mixed.coefficient import LEVEL, Coefficient, coefficients
from nwbswitch.analysis.mixed.deviance import Deviance, Method
from nwbswitch.analysis.mixed.group_effects import block_effects, effects_table
from nwbswitch.analysis.mixed.inference import Ddf, Inference, inference
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.mixed.optimum import Optimum
from nwbswitch.analysis.mixed.variance_table import (
    Correlation,
    VarianceComponent,
    correlations,
    on_boundary,
    variance_components,
)
from nwbswitch.analysis.plain_values import plain

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from nwbswitch.analysis.mixed.bootstrap import Bootstrap
    from nwbswitch.analysis.mixed.cluster_robust import ClusterRobust, Kind
    from nwbswitch.analysis.mixed.contrasts import Coefficients, ContrastMethod
    from nwbswitch.analysis.mixed.contrasts import Contrasts as ContrastTests
    from nwbswitch.analysis.mixed.diagnostics import Diagnostics
    from nwbswitch.analysis.mixed.influence import Influence
    from nwbswitch.analysis.mixed.marginal_means import MarginalMeans, Weights
    from nwbswitch.analysis.mixed.multiplicity import Adjust
    from nwbswitch.analysis.mixed.profile import Profile
    from nwbswitch.analysis.mixed.reference_grid import Value


@dataclass(frozen=True, slots=True)
class MixedFit:
    """A fitted linear mixed model; everything it says is computed from its parts when asked.

    ``row_source`` gives the rows it was fitted to when they are asked for, None for a fit from summaries.
    """

    model: Model
    deviance: Deviance
    optimum: Optimum
    inference: Inference
    row_source: Callable[[], ModelFrame] | None = None

    @property
    def rows(self) -> ModelFrame | None:
        """The rows it was fitted to, None for a fit from summaries."""
        return None if self.row_source is None else self.row_source()

    # numbers

    @property
    def method(self) -> Method:
        """``reml`` or ``ml``."""
        return self.optimum.method

    @property
    def ddf(self) -> Ddf:
        """How degrees of freedom are found."""
        return self.inference.ddf

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.model.n_rows

    @property
    def n_parameters(self) -> int:
        """Number of fixed effects, of variances and covariances, and the residual variance."""
        return self.deviance.n_fixed + len(self.optimum.theta) + 1

    @property
    def criterion(self) -> float:
        """-2 log-likelihood, or the REML criterion."""
        return self.optimum.evaluation.criterion

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

    @property
    def vcov(self) -> np.ndarray:
        """Covariance (p, p) of the fixed effects, adjusted under Kenward-Roger."""
        return self.inference.vcov

    @property
    def fixed(self) -> tuple[Coefficient, ...]:
        """The fixed effects."""
        return coefficients(self.model.names, self.inference)

    @property
    def components(self) -> tuple[VarianceComponent, ...]:
        """The variance components; the residual comes last."""
        return variance_components(self.model, self.deviance, self.optimum)

    @property
    def correlations(self) -> tuple[Correlation, ...]:
        """The correlations of random effects."""
        return correlations(self.model, self.deviance, self.optimum)

    @property
    def info(self) -> Mapping[str, Any]:
        """How the fit was found: engine, search, boundary, rows left out, groups, warnings."""
        model, optimum = self.model, self.optimum
        boundary = on_boundary(model, self.deviance, optimum)
        warnings = list(model.warnings)
        if not optimum.converged:
            warnings.insert(
                0,
                "The search did not end in a minimum: a further step would lower the criterion by "
                f"{optimum.expected_decrease:.2g}. Do not use this fit; simplify the random terms.",
            )
        return {
            "engine": self.deviance.engine,
            "engine_reason": model.engine_reason,
            "method": self.method,
            "ddf": self.ddf,
            "contrasts": model.contrasts,
            "converged": optimum.converged,
            "singular": bool(boundary),
            "boundary": list(boundary),
            "iterations": optimum.iterations,
            "evaluations": optimum.evaluations,
            "starts": len(optimum.start_criteria),
            "start_criteria": list(optimum.start_criteria),
            "expected_decrease": optimum.expected_decrease,
            "n_missing": model.n_missing,
            "missing": dict(model.missing),
            "n_excluded": model.n_excluded,
            "groups": {name: level.n_groups for level in model.levels for name in level.names},
            "warnings": warnings,
        }

    # tables

    def table(self, *, ddf: Ddf | None = None, level: float = LEVEL) -> pd.DataFrame:
        """Return the fixed effects: term, estimate, se, df, t, p, ci_low, ci_high.

        Parameters
        ----------
        ddf
            Other degrees of freedom than those of the fit.
        level
            Coverage of the intervals.
        """
        rows = coefficients(self.model.names, self._inference(ddf), level=level)
        return pd.DataFrame([asdict(each) for each in rows])

    def anova(self, *, type: AnovaType = "III", ddf: Ddf | None = None) -> pd.DataFrame:  # noqa: A002
        """Return F tests of terms: term, sum_sq, mean_sq, num_df, den_df, f, p.

        Parameters
        ----------
        type
            ``I`` (each term after those before it), ``II`` or ``III`` (each after all others).
        ddf
            Other degrees of freedom than those of the fit.
        """
        return analysis_of_variance.anova(self.model, self._inference(ddf), type=type).table()

    def random(self) -> pd.DataFrame:
        """Return the variance components: group, term, sd, variance; the residual comes last."""
        return pd.DataFrame([asdict(each) for each in self.components])

    def effects(self) -> pd.DataFrame:
        """Return the conditional means of the random effects (BLUPs): group, level, term, estimate.

        Groups of which only sums were kept, such as the neurons of a fit from summaries, have no rows.
        """
        return effects_table(self.model, self.deviance, self.optimum, self.rows)

    def marginal_means(
        self,
        specs: str | Sequence[str],
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Value | Sequence[Value]] | None = None,
        weights: Weights = "equal",
        ddf: Ddf | None = None,
    ) -> MarginalMeans:
        """Return estimated marginal means, as emmeans; see `mixed.marginal_means.marginal_means`.

        Parameters
        ----------
        specs
            Factors (or numbers with values in ``at``) whose combinations have a mean.
        by
            Factors that split the means into groups.
        at
            Values of some variables; else all levels of a factor and the mean over rows of a number.
        weights
            Of the factors averaged over: ``equal``, ``proportional`` or ``outer``.
        ddf
            Other degrees of freedom than those of the fit.

        Raises
        ------
        ValueError
            If a variable, level or kind of weights does not exist, or a number has no value.
        """
        from nwbswitch.analysis.mixed.marginal_means import marginal_means

        found = self._inference(ddf)
        return marginal_means(self.model, found, specs=specs, by=by, at=at, weights=weights)

    def contrasts(
        self,
        specs: str | Sequence[str],
        *,
        by: str | Sequence[str] = (),
        method: ContrastMethod | Coefficients = "pairwise",
        reference: Value | None = None,
        adjust: Adjust | None = None,
        at: Mapping[str, Value | Sequence[Value]] | None = None,
        weights: Weights = "equal",
        ddf: Ddf | None = None,
    ) -> ContrastTests:
        """Return contrasts of marginal means within each group of ``by``; see `mixed.contrasts.contrasts`.

        Parameters
        ----------
        specs, by, at, weights, ddf
            The means, as in `marginal_means`.
        method
            ``pairwise``, ``revpairwise``, ``trt.vs.ctrl``, ``eff``, ``consec``, ``poly``, or names with
            one coefficient per mean of a group.
        reference
            Level that ``trt.vs.ctrl`` compares with; the first by default.
        adjust
            Correction within each group; by default as emmeans chooses for the method.

        Raises
        ------
        ValueError
            If a variable, method, level or correction does not exist or does not fit.
        """
        from nwbswitch.analysis.mixed.contrasts import contrasts

        means = self.marginal_means(specs, by=by, at=at, weights=weights, ddf=ddf)
        return contrasts(means, method=method, reference=reference, adjust=adjust)

    def slopes(
        self,
        variable: str,
        *,
        specs: str | Sequence[str] = (),
        by: str | Sequence[str] = (),
        at: Mapping[str, Value | Sequence[Value]] | None = None,
        weights: Weights = "equal",
        ddf: Ddf | None = None,
    ) -> MarginalMeans:
        """Return the slopes of a numeric variable in the cells of ``specs`` and ``by``, as emtrends.

        Raises
        ------
        ValueError
            As `marginal_means`, or if ``variable`` is a factor, has several values, or is no variable.
        """
        from nwbswitch.analysis.mixed.marginal_means import slopes

        found = self._inference(ddf)
        return slopes(self.model, found, variable=variable, specs=specs, by=by, at=at, weights=weights)

    def bootstrap(
        self,
        *,
        n: int = 2000,
        seed: int,
        workers: int = 1,
        executor: Executor | None = None,
        quiet: bool = False,
    ) -> Bootstrap:
        """Return a parametric bootstrap: the model fitted to responses drawn at the estimates.

        Parameters
        ----------
        n
            Number of draws.
        seed
            Of the draws; results do not depend on the number of workers.
        workers, executor
            Processes, or any `concurrent.futures.Executor`.
        quiet
            Show no progress.

        Raises
        ------
        FitError
            If responses cannot be drawn, or no draw could be fitted.
        """
        from nwbswitch.analysis.mixed.bootstrap import bootstrap

        return bootstrap(
            self.model,
            self.deviance,
            self.optimum,
            n=n,
            seed=seed,
            workers=workers,
            executor=executor,
            quiet=quiet,
        )

    def profile(self, *, terms: Sequence[str] | None = None, level: float = LEVEL) -> Profile:
        """Return profile likelihood intervals of variances, correlations and fixed effects.

        Estimates and intervals are those of maximum likelihood, as in lme4.
        """
        from nwbswitch.analysis.mixed.profile import profile

        return profile(self.model, self.deviance, self.optimum, terms=terms, level=level)

    def predict(self, data: pd.DataFrame, *, groups: bool = False) -> pd.Series:
        """Return predictions for new rows, not a number where a variable is missing.

        Parameters
        ----------
        data
            Columns of the fixed effects, and with ``groups`` those of the random effects and groups.
        groups
            Add the effects of groups the fit knows; a new group adds nothing. Without, the prediction is
            that of the population.

        Raises
        ------
        FormulaError
            If a column is missing.
        FitError
            If a factor has a level that the model does not know, or effects of groups were not kept.
        """
        from nwbswitch.analysis.mixed.prediction import group_prediction, population_prediction

        scaling = self.deviance.scaling
        inside = np.linalg.solve(scaling.fixed, self.optimum.evaluation.coefficients)
        found = population_prediction(self.model, scaling.offset + scaling.scale * inside, data)
        if not groups:
            return found
        effects = block_effects(self.model, self.deviance, self.optimum, self.rows)
        return (found + group_prediction(self.model, effects, data)).rename(found.name)

    def robust(self, *, type: Kind = "CR2") -> ClusterRobust:  # noqa: A002
        """Return the fixed effects with a covariance that holds if the model's own does not.

        Clusters are the outermost groups.

        Raises
        ------
        FitError
            If there are fewer than two independent clusters.
        """
        from nwbswitch.analysis.mixed.cluster_robust import cluster_robust

        return cluster_robust(self.model, self.deviance, self.optimum, kind=type)

    def influence(self) -> Influence:
        """Return the fits without each of the outermost groups.

        Raises
        ------
        FitError
            If the outermost groups are crossed.
        """
        from nwbswitch.analysis.mixed.influence import leave_one_cluster_out

        return leave_one_cluster_out(self.model, self.deviance, self.optimum)

    def diagnostics(self) -> Diagnostics:
        """Return residuals, shape of effects, leverage and influence, to be read or plotted."""
        from nwbswitch.analysis.mixed.diagnostics import diagnostics

        return diagnostics(self)

    # text and files

    def as_dict(self, *, anova: AnovaType = "III") -> dict[str, Any]:
        """Return the fit as plain JSON values; what is not a finite number is None."""
        found: dict[str, Any] = plain(
            {
                "formula": self.model.formula.text,
                "method": self.method,
                "ddf": self.ddf,
                "fixed": [asdict(each) for each in self.fixed],
                "random": [asdict(each) for each in self.components],
                "correlations": [asdict(each) for each in self.correlations],
                "anova": self.anova(type=anova).to_dict("records"),
                "criterion": self.criterion,
                "log_likelihood": self.log_likelihood,
                "aic": self.aic,
                "bic": self.bic,
                "n": self.n,
                "info": dict(self.info),
            }
        )
        return found

    def summary(self, *, anova: AnovaType = "III") -> str:
        """Return the fit as text for people."""
        from nwbswitch.analysis.mixed.mixed_text import mixed_text

        return mixed_text(self, anova=anova)

    def to_markdown(self, *, anova: AnovaType = "III") -> str:
        """Return fixed effects, tests and random effects as Markdown tables."""
        from nwbswitch.analysis.mixed.mixed_text import report_tables

        return report_tables(self, format="markdown", anova=anova)

    def to_latex(self, *, anova: AnovaType = "III") -> str:
        """Return fixed effects, tests and random effects as LaTeX tables; they need the package booktabs."""
        from nwbswitch.analysis.mixed.mixed_text import report_tables

        return report_tables(self, format="latex", anova=anova)

    def _inference(self, ddf: Ddf | None) -> Inference:
        if ddf is None or ddf == self.inference.ddf:
            return self.inference
        return inference(self.deviance, self.optimum, ddf=ddf)
