"""A fitted mixed model and all that can be asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from nwbswitch.analysis.inference.inference import Ddf
from nwbswitch.analysis.mixed.coefficient import LEVEL
from nwbswitch.analysis.mixed.fit_tables import FitTables
from nwbswitch.analysis.mixed.group_effects import block_effects

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from nwbswitch.analysis.inference.contrasts import Coefficients, ContrastMethod
    from nwbswitch.analysis.inference.contrasts import Contrasts as ContrastTests
    from nwbswitch.analysis.inference.equivalence import Equivalence
    from nwbswitch.analysis.inference.likelihood_ratio import LikelihoodRatio
    from nwbswitch.analysis.inference.marginal_means import MarginalMeans, Weights
    from nwbswitch.analysis.inference.multiplicity import Adjust
    from nwbswitch.analysis.inference.reference_grid import Value
    from nwbswitch.analysis.mixed.diagnostics import Diagnostics
    from nwbswitch.analysis.resampling.bootstrap import Bootstrap
    from nwbswitch.analysis.resampling.bootstrap_test import BootstrapTest
    from nwbswitch.analysis.resampling.cluster_robust import ClusterRobust, Kind
    from nwbswitch.analysis.resampling.influence import Influence
    from nwbswitch.analysis.resampling.permutation_result import PermutationTest
    from nwbswitch.analysis.resampling.profile import Profile
    from nwbswitch.analysis.resampling.wild_bootstrap import WildTest, WildWeights


@dataclass(frozen=True, slots=True, repr=False)
class MixedFit(FitTables):
    """A fitted linear mixed model: `FitTables`, and the questions that need more computing.

    Each method is a call of the function of the same name in the module of the same name.
    """

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
        from nwbswitch.analysis.inference.marginal_means import marginal_means

        found = self.tested(ddf)
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
        from nwbswitch.analysis.inference.contrasts import contrasts

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
        from nwbswitch.analysis.inference.marginal_means import slopes

        found = self.tested(ddf)
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
        from nwbswitch.analysis.resampling.bootstrap import bootstrap

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
        from nwbswitch.analysis.resampling.profile import profile

        return profile(self.model, self.deviance, self.optimum, terms=terms, level=level)

    def equivalence(
        self,
        effects: str | ContrastTests | MarginalMeans,
        *,
        margin: float | tuple[float, float],
        alpha: float = 0.05,
    ) -> Equivalence:
        """Return two one-sided tests that effects lie inside a margin.

        Parameters
        ----------
        effects
            The name of a coefficient, or contrasts, marginal means or slopes.
        margin
            Largest effect without importance, in units of the response: m for (-m, m), or (low, high).
        alpha
            Level of each one-sided test.

        Raises
        ------
        ValueError
            If the coefficient does not exist or the margin is none.
        """
        from nwbswitch.analysis.inference.contrasts import coefficient_contrasts
        from nwbswitch.analysis.inference.equivalence import equivalence

        if isinstance(effects, str):
            effects = coefficient_contrasts(self.model, self.inference, {effects: {effects: 1.0}})
        return equivalence(effects, margin=margin, alpha=alpha)

    def permutation(self, tested: str | np.ndarray, *, null: float = 0.0, seed: int = 0) -> PermutationTest:
        """Return the permutation test of a term over the outermost groups.

        Parameters
        ----------
        tested
            Name of a term or of a coefficient, or contrasts (r, p) of the coefficients.
        null
            Value of one contrast under the null hypothesis.
        seed
            Of the sample of arrangements, where not all are taken.

        Raises
        ------
        FitError
            If the groups are not independent or too few to test the term.
        ValueError
            If there is no such term.
        """
        from nwbswitch.analysis.resampling.permutation import permutation_test

        return permutation_test(self.model, self.deviance, tested, null=null, seed=seed)

    def bootstrap_test(
        self,
        tested: str | np.ndarray,
        *,
        n: int = 1000,
        seed: int,
        workers: int = 1,
        executor: Executor | None = None,
        quiet: bool = False,
    ) -> BootstrapTest:
        """Return the parametric bootstrap likelihood ratio test of a term, a coefficient or contrasts.

        Parameters
        ----------
        tested
            As in `permutation`.
        n, seed, workers, executor, quiet
            As in `bootstrap`.
        """
        from nwbswitch.analysis.mixed.tested_contrasts import tested_contrasts
        from nwbswitch.analysis.resampling.bootstrap_test import bootstrap_test

        return bootstrap_test(
            self.model,
            self.deviance,
            self.optimum,
            tested_contrasts(self.model, tested)[1],
            n=n,
            seed=seed,
            workers=workers,
            executor=executor,
            quiet=quiet,
        )

    def wild_bootstrap(
        self, tested: str | np.ndarray, *, weights: WildWeights = "webb", n: int = 9_999, seed: int
    ) -> WildTest:
        """Return the wild cluster bootstrap test of a term, a coefficient or contrasts.

        Parameters
        ----------
        tested
            As in `permutation`.
        weights
            ``webb`` for few clusters, or ``rademacher``.
        n, seed
            Number and seed of the draws.
        """
        from nwbswitch.analysis.mixed.tested_contrasts import tested_contrasts
        from nwbswitch.analysis.resampling.wild_bootstrap import wild_test

        rows = tested_contrasts(self.model, tested)[1]
        return wild_test(self.model, self.deviance, self.optimum, rows, weights=weights, n=n, seed=seed)

    def confint(
        self,
        *,
        method: Literal["wald", "profile", "boot"] = "wald",
        level: float = LEVEL,
        n: int = 2000,
        seed: int = 0,
    ) -> pd.DataFrame:
        """Return intervals: term, estimate, ci_low, ci_high.

        Parameters
        ----------
        method
            ``wald``: fixed effects, from their degrees of freedom; ``profile``: likelihood intervals, and
            ``boot``: parametric bootstrap intervals, of variances too.
        level
            Coverage.
        n, seed
            Draws of the bootstrap.

        Raises
        ------
        ValueError
            For a method that does not exist.
        """
        match method:
            case "wald":
                found = self.table(level=level)
            case "profile":
                found = self.profile(level=level).table()
            case "boot":
                found = self.bootstrap(n=n, seed=seed).table(level=level)
            case _:
                raise ValueError(f"method is {method!r}; available are wald, profile, boot.")
        return found[["term", "estimate", "ci_low", "ci_high"]]

    def compare(self, other: FitTables) -> LikelihoodRatio:
        """Return the likelihood ratio test of this fit and a smaller or larger one of the same rows.

        Raises
        ------
        FitError
            If neither model is part of the other, or they have other rows or methods; TypeError for no fit.
        """
        from nwbswitch.analysis.inference.likelihood_ratio import likelihood_ratio

        if not isinstance(other, FitTables):
            raise TypeError(
                f"other must be a linear mixed model that `fit` gave, not {type(other).__name__}."
            )
        if other.n_parameters < self.n_parameters:
            return likelihood_ratio(other, self)
        return likelihood_ratio(self, other)

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
        return found.add(group_prediction(self.model, effects, data))

    def robust(self, *, type: Kind = "CR2") -> ClusterRobust:  # noqa: A002
        """Return the fixed effects with a covariance that holds if the model's own does not.

        Clusters are the outermost groups; a FitError says if there are fewer than two, or they are crossed.
        """
        from nwbswitch.analysis.resampling.cluster_robust import cluster_robust

        return cluster_robust(self.model, self.deviance, self.optimum, kind=type)

    def influence(self) -> Influence:
        """Return the fits without each of the outermost groups.

        Raises
        ------
        FitError
            If the outermost groups are crossed.
        """
        from nwbswitch.analysis.resampling.influence import leave_one_cluster_out

        return leave_one_cluster_out(self.model, self.deviance, self.optimum)

    def diagnostics(self) -> Diagnostics:
        """Return residuals, shape of effects, leverage and influence, to be read or plotted."""
        from nwbswitch.analysis.mixed.diagnostics import diagnostics

        return diagnostics(self)
