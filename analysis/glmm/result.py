"""A fitted logistic mixed model and what a reader asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from nwbswitch.analysis.inference.wald import WaldInference
from nwbswitch.analysis.inference.wald_tables import WaldTables
from nwbswitch.analysis.mixed.coefficient import LEVEL
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.variance_table import Correlation, VarianceComponent
from nwbswitch.analysis.plain_values import plain

BinomialMethod = Literal["laplace", "agq"]


@dataclass(frozen=True, slots=True)
class BinomialFit(WaldTables):
    """A fitted logistic mixed model; coefficients are log odds.

    ``criterion`` is -2 log-likelihood of the rows of the table, binomial coefficients included;
    ``inference`` the tests; ``effects_by_level[l]`` (groups, k) the modes of the random effects in the
    order of ``model.levels`` and the labels there.
    """

    model: Model
    method: BinomialMethod
    n_quadrature: int
    inference: WaldInference
    components: tuple[VarianceComponent, ...]
    correlations: tuple[Correlation, ...]
    effects_by_level: tuple[np.ndarray, ...]
    criterion: float
    n: int
    n_parameters: int
    info: Mapping[str, Any]

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood as approximated."""
        return -0.5 * self.criterion

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return self.criterion + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion with the number of rows as sample size."""
        return self.criterion + float(np.log(self.n)) * self.n_parameters

    def odds_ratios(self, *, level: float = LEVEL) -> pd.DataFrame:
        """Return the fixed effects as odds ratios within a group: term, odds_ratio, ci_low, ci_high, p.

        The intercept's row holds the odds at the reference. These are odds ratios for one animal and
        session; ratios of averages over animals are nearer to one.
        """
        rows = self.inference.coefficients(self.model.names, level=level)
        with np.errstate(over="ignore"):
            return pd.DataFrame(
                {
                    "term": [each.term for each in rows],
                    "odds_ratio": np.exp([each.estimate for each in rows]),
                    "ci_low": np.exp([each.ci_low for each in rows]),
                    "ci_high": np.exp([each.ci_high for each in rows]),
                    "p": [each.p for each in rows],
                }
            )

    def random(self) -> pd.DataFrame:
        """Return the variance components, log odds: group, term, sd, variance."""
        return pd.DataFrame([asdict(each) for each in self.components])

    def effects(self) -> pd.DataFrame:
        """Return the modes of the random effects, log odds: group, level, term, estimate."""
        rows = []
        for level, values in zip(self.model.levels, self.effects_by_level, strict=True):
            first = 0
            for block in level.blocks:
                for name in block.names:
                    rows += [
                        (block.label, label, name, float(value))
                        for label, value in zip(level.labels or (), values[:, first], strict=True)
                    ]
                    first += 1
        return pd.DataFrame(rows, columns=["group", "level", "term", "estimate"])

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values; what is not a finite number is None."""
        found: dict[str, Any] = plain(
            {
                "formula": self.model.formula.text,
                "family": "binomial",
                "link": "logit",
                "method": self.method,
                "ddf": self.ddf,
                "fixed": [asdict(each) for each in self.fixed],
                "random": [asdict(each) for each in self.components],
                "correlations": [asdict(each) for each in self.correlations],
                "anova": self.anova().table().to_dict("records"),
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
        from nwbswitch.analysis.glmm.text import binomial_text

        return binomial_text(self)
