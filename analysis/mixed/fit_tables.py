"""The four parts of a fitted mixed model, and the numbers and tables that follow from them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.inference import anova as analysis_of_variance
from nwbswitch.analysis.inference.anova import Anova, AnovaType
from nwbswitch.analysis.inference.inference import Ddf, Inference, inference
from nwbswitch.analysis.mixed.coefficient import LEVEL, Coefficient, coefficients
from nwbswitch.analysis.mixed.deviance import Deviance, Method
from nwbswitch.analysis.mixed.group_effects import effects_table
from nwbswitch.analysis.mixed.model import Model, far_slopes
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


@dataclass(frozen=True, slots=True, repr=False)
class FitTables:
    """A fitted linear mixed model; everything it says is computed from its parts when asked.

    ``row_source`` gives the rows it was fitted to when they are asked for, None for a fit from summaries.
    """

    model: Model
    deviance: Deviance
    optimum: Optimum
    inference: Inference
    row_source: Callable[[], ModelFrame] | None = None

    def __repr__(self) -> str:
        ddf = {"kenward-roger": "Kenward-Roger", "satterthwaite": "Satterthwaite", "none": "z"}[self.ddf]
        return (
            f"<{type(self).__name__} {self.model.formula.text!r}: {self.method.upper()}, {self.n} rows, "
            f"criterion {self.criterion:.3f}, {ddf}>"
        )

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
        """How the fit was found: engine, search, boundary, rows left out, groups, warnings.

        ``fixed_by`` is the method of the fixed effects: under Kenward-Roger REML, whatever the fit's own.
        """
        model, optimum = self.model, self.optimum
        boundary = on_boundary(model, self.deviance, optimum)
        warnings = [*model.warnings, *far_slopes(model)]
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
            "fixed_by": self.inference.method,
            "contrasts": model.contrasts,
            "weights": model.weights or None,
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
        rows = coefficients(self.model.names, self.tested(ddf), level=level)
        return pd.DataFrame([asdict(each) for each in rows])

    def term_tests(self, *, type: AnovaType = "III", ddf: Ddf | None = None) -> Anova:  # noqa: A002
        """Return the tests of `anova`, with notes on those that have no answer."""
        return analysis_of_variance.anova(self.model, self.tested(ddf), type=type)

    def anova(self, *, type: AnovaType = "III", ddf: Ddf | None = None) -> pd.DataFrame:  # noqa: A002
        """Return F tests of terms: term, sum_sq, mean_sq, num_df, den_df, f, p.

        Parameters
        ----------
        type
            ``I`` (each term after those before it), ``II`` or ``III`` (each after all others).
        ddf
            Other degrees of freedom than those of the fit.
        """
        return self.term_tests(type=type, ddf=ddf).table()

    def random(self) -> pd.DataFrame:
        """Return the variance components: group, term, sd, variance; the residual comes last."""
        return pd.DataFrame([asdict(each) for each in self.components])

    def effects(self) -> pd.DataFrame:
        """Return the conditional means of the random effects (BLUPs): group, level, term, estimate.

        Groups of which only sums were kept, such as the neurons of a fit from summaries, have no rows.
        """
        return effects_table(self.model, self.deviance, self.optimum, self.rows)

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

    def tested(self, ddf: Ddf | None) -> Inference:
        """Return the tests of the fixed effects, with other degrees of freedom if asked."""
        if ddf is None or ddf == self.inference.ddf:
            return self.inference
        return inference(self.deviance, self.optimum, ddf=ddf)
