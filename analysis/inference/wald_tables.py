"""What every fit with Wald tests says of its fixed effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.coding import Coded
from nwbswitch.analysis.inference.wald import ClusterDdf, WaldInference
from nwbswitch.analysis.mixed.coefficient import LEVEL, Coefficient
from nwbswitch.analysis.mixed.model import Model, VariableFacts

if TYPE_CHECKING:
    from nwbswitch.analysis.inference.anova import Anova, AnovaType
    from nwbswitch.analysis.inference.contrasts import Coefficients, ContrastMethod, Contrasts
    from nwbswitch.analysis.inference.inference import Inference
    from nwbswitch.analysis.inference.marginal_means import MarginalMeans, Weights
    from nwbswitch.analysis.inference.multiplicity import Adjust
    from nwbswitch.analysis.inference.reference_grid import Value


class WaldTables:
    """Tables of a fit that has a ``model`` and an ``inference``; all on the scale of the predictor."""

    __slots__ = ()

    model: Model
    inference: WaldInference

    @property
    def ddf(self) -> ClusterDdf:
        """How degrees of freedom are found."""
        return self.inference.ddf

    @property
    def vcov(self) -> np.ndarray:
        """Covariance (p, p) of the fixed effects."""
        return self.inference.vcov

    @property
    def fixed(self) -> tuple[Coefficient, ...]:
        """The fixed effects."""
        return self.inference.coefficients(self.model.names)

    def table(self, *, level: float = LEVEL) -> pd.DataFrame:
        """Return the fixed effects: term, estimate, se, df, t, p, ci_low, ci_high."""
        rows = self.inference.coefficients(self.model.names, level=level)
        return pd.DataFrame([asdict(each) for each in rows])

    def anova(self, *, type: AnovaType | int = "III") -> Anova:  # noqa: A002
        """Return Wald F tests of the terms; they have no sums of squares. See `mixed.anova.anova`."""
        from nwbswitch.analysis.inference.anova import anova

        return anova(self.model, self._answers(), type=type)

    def marginal_means(
        self,
        specs: str | Sequence[str],
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Value | Sequence[Value]] | None = None,
        weights: Weights = "equal",
    ) -> MarginalMeans:
        """Return estimated marginal means of the predictor; see `mixed.marginal_means.marginal_means`."""
        from nwbswitch.analysis.inference.marginal_means import marginal_means

        return marginal_means(self.model, self._answers(), specs=specs, by=by, at=at, weights=weights)

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
    ) -> Contrasts:
        """Return contrasts of marginal means of the predictor; see `mixed.contrasts.contrasts`."""
        from nwbswitch.analysis.inference.contrasts import contrasts

        means = self.marginal_means(specs, by=by, at=at, weights=weights)
        return contrasts(means, method=method, reference=reference, adjust=adjust)

    def _answers(self) -> Inference:
        # A WaldInference has every attribute and method that tests of fixed effects ask for.
        return cast("Inference", self.inference)


def variable_facts(variable: Coded, weights: np.ndarray) -> VariableFacts:
    """Return levels, or mean and range, of a variable whose rows count ``weights`` times."""
    if variable.numbers is None:
        return VariableFacts(variable.name, variable.levels)
    x = variable.numbers
    mean = float(np.average(x, weights=weights))
    return VariableFacts(variable.name, None, mean, float(x.min()), float(x.max()))
