"""Likelihood-ratio tests of nested mixed models.

The difference of two criteria is compared with a chi-square with one degree of freedom per parameter (Wilks
1938). A variance of zero lies on the boundary of what is possible: then half of the distribution, roughly,
stays at zero, and the chi-square is too cautious. Where the mixture is known it is given too (Self and Liang
1987, J Am Stat Assoc 82:605; Stram and Lee 1994, Biometrics 50:1171).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from nwbswitch.analysis.formulas.formula import term_name
from nwbswitch.analysis.mixed.deviance import Deviance, Method
from nwbswitch.analysis.mixed.model import BlockFacts, Model
from nwbswitch.analysis.mixed.optimum import Optimum
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError

# Responses of two models are the same when y'y agrees to this part.
SAME: Final = 1e-9
# The larger model may fit worse by this much from rounding.
ROUNDING: Final = 1e-6


class FittedModel(Protocol):
    """What a test needs of a fit."""

    @property
    def model(self) -> Model:
        """Terms, groups and counts."""

    @property
    def deviance(self) -> Deviance:
        """Its deviance function."""

    @property
    def optimum(self) -> Optimum:
        """Its minimum."""


@dataclass(frozen=True, slots=True, repr=False)
class LikelihoodRatio:
    """A likelihood-ratio test of ``large`` against ``small``.

    ``p`` is that of the chi-square with ``df`` degrees of freedom. If variances that the small model lacks
    are zero under it, ``mixture`` holds pairs (weight, degrees of freedom) of the right distribution and
    ``p_mixture`` its P; both are None if variances are not tested or the mixture is not known, which
    ``note`` says.
    """

    small: str
    large: str
    method: Method
    criterion_small: float
    criterion_large: float
    statistic: float
    df: int
    p: float
    mixture: tuple[tuple[float, int], ...] | None
    p_mixture: float | None
    note: str

    def __repr__(self) -> str:
        return self.summary()

    def table(self) -> pd.DataFrame:
        """Return one row per model, as R's anova: model, criterion, statistic, df, p."""
        nan = float("nan")
        return pd.DataFrame(
            {
                "model": [self.small, self.large],
                "criterion": [self.criterion_small, self.criterion_large],
                "statistic": [nan, self.statistic],
                "df": [nan, float(self.df)],
                "p": [nan, self.p],
            }
        )

    def summary(self) -> str:
        """Return the test as text."""
        from nwbswitch.analysis.fit_text import p_text

        name = "REML criterion" if self.method == "reml" else "-2 log-likelihood"
        lines = [
            f"small: {self.small}   {name} {self.criterion_small:.3f}",
            f"large: {self.large}   {name} {self.criterion_large:.3f}",
            f"chi-square {self.statistic:.4g}, df {self.df}, P {p_text(self.p)}",
        ]
        if self.p_mixture is not None:
            lines.append(f"mixture P {p_text(self.p_mixture)}")
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def as_dict(self) -> dict[str, Any]:
        """Return the test as plain JSON values."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def likelihood_ratio(small: FittedModel, large: FittedModel) -> LikelihoodRatio:
    """Return the likelihood-ratio test of a model against a larger one that contains it.

    Parameters
    ----------
    small, large
        Fits to the same rows; both by ``ml``, or by ``reml`` with the same fixed effects.

    Raises
    ------
    FitError
        If the fits have other rows, responses or methods, if REML fits differ in their fixed effects, if
        the small model is not part of the large one, or if the large one fits worse, so that its search did
        not end in its minimum.
    """
    _check_same_data(small, large)
    method = _method(small, large)
    _check_fixed(small.model, large.model, method)
    grown = _added_variances(small.model, large.model)
    df = large.deviance.n_fixed - small.deviance.n_fixed
    df += len(large.optimum.theta) - len(small.optimum.theta)
    if df <= 0:
        raise FitError(
            f"{_text(large)} has no parameter that {_text(small)} lacks, so there is nothing to test."
        )
    criteria = small.optimum.evaluation.criterion, large.optimum.evaluation.criterion
    statistic = criteria[0] - criteria[1]
    if statistic < -ROUNDING:
        raise FitError(
            f"The larger model {_text(large)} fits worse than {_text(small)} by {-statistic:.3g}: its search "
            "did not end in the minimum, so there is no test."
        )
    statistic = max(statistic, 0.0)
    mixture, note = _mixture(grown, df)
    return LikelihoodRatio(
        small=_text(small),
        large=_text(large),
        method=method,
        criterion_small=criteria[0],
        criterion_large=criteria[1],
        statistic=statistic,
        df=df,
        p=_tail(statistic, df),
        mixture=mixture,
        p_mixture=None if mixture is None else sum(weight * _tail(statistic, k) for weight, k in mixture),
        note=note,
    )


def _text(fit: FittedModel) -> str:
    return fit.model.formula.text


def _tail(statistic: float, df: int) -> float:
    from scipy.special import chdtrc

    if df == 0:
        return 1.0 if statistic <= 0.0 else 0.0
    return float(chdtrc(df, statistic))


def _sum_of_squares(deviance: Deviance) -> float:
    """Return y'y of the response."""
    scaling = deviance.scaling
    none = [np.zeros((sum(sizes), sum(sizes))) for sizes in deviance.block_sizes]
    at = deviance.evaluate(none, method="ml")
    fitted = scaling.fixed @ scaling.offset + scaling.scale * at.coefficients
    return float(fitted @ fitted + scaling.scale**2 * at.residual)


def _check_same_data(small: FittedModel, large: FittedModel) -> None:
    ours, theirs = small.model, large.model
    if ours.n_rows != theirs.n_rows:
        raise FitError(
            f"The models were fitted to {ours.n_rows} and {theirs.n_rows} rows. Fit both to the same rows: a "
            "variable with missing values in one model leaves rows out of it."
        )
    if ours.formula.response != theirs.formula.response:
        raise FitError(
            f"The models have other responses, {ours.formula.response.name!r} and "
            f"{theirs.formula.response.name!r}, whose likelihoods cannot be compared."
        )
    sums = _sum_of_squares(small.deviance), _sum_of_squares(large.deviance)
    if abs(sums[0] - sums[1]) > SAME * max(sums):
        raise FitError(
            "The models were fitted to other rows or values: the sums of squares of the response are "
            f"{sums[0]:.10g} and {sums[1]:.10g}."
        )


def _method(small: FittedModel, large: FittedModel) -> Method:
    if small.optimum.method != large.optimum.method:
        raise FitError(
            f"One model was fitted by {small.optimum.method}, the other by {large.optimum.method}; fit both "
            "by ml."
        )
    return small.optimum.method


def _check_fixed(small: Model, large: Model, method: Method) -> None:
    ours, theirs = ({frozenset(term) for term in each.terms} for each in (small, large))
    if method == "reml" and (ours != theirs or small.names != large.names):
        raise FitError(
            "REML criteria of models with different fixed effects cannot be compared; fit both by ml."
        )
    missing = [term for term in small.terms if frozenset(term) not in theirs]
    if missing:
        raise FitError(
            f"The models are not nested: {term_name(missing[0])} is a fixed effect of the small model only."
        )


def _added_variances(small: Model, large: Model) -> list[tuple[int, int]]:
    """Return for every bar with more parameters in the large model the variances it adds, and its parts.

    Parts are the small model's bars inside it; of two or more, the covariances between are tested too.
    """
    bars = [block for level in large.levels for block in level.blocks]
    inside: list[list[BlockFacts]] = [[] for _ in bars]
    for level in small.levels:
        for block in level.blocks:
            home = next((i for i, each in enumerate(bars) if _within(block, each)), None)
            if home is None:
                raise FitError(
                    f"The models are not nested: ({', '.join(block.names)} | {block.group}) of the small "
                    "model is in no random term of the large one."
                )
            inside[home].append(block)
    found = [
        (len(bar.names) - sum(len(each.names) for each in own), len(own))
        for bar, own in zip(bars, inside, strict=True)
    ]
    return [(added, parts) for added, parts in found if added or parts > 1]


def _within(block: BlockFacts, other: BlockFacts) -> bool:
    return block.group == other.group and set(block.names) <= set(other.names)


def _mixture(grown: list[tuple[int, int]], df: int) -> tuple[tuple[tuple[float, int], ...] | None, str]:
    """Return the mixture of chi-squares under the small model and what to say about it."""
    adding = [(added, parts) for added, parts in grown if added]
    if not adding:
        return None, ""
    if len(adding) == 1 and adding[0][0] == 1 and adding[0][1] <= 1:
        return ((0.5, df - 1), (0.5, df)), (
            "The small model sets a variance to zero, the boundary of what is possible: half of the "
            f"distribution is a chi-square with {df - 1}, half with {df} degrees of freedom (Stram and Lee "
            "1994), so the plain P is too large."
        )
    return None, (
        "The small model sets more than one variance to zero, the boundary of what is possible: the plain P "
        "is too large, and the mixture depends on the design. Use a parametric bootstrap."
    )
