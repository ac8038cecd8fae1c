"""Trim and fill: what the pooled effect would be if the funnel were symmetric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.estimate import estimate
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.analysis.meta_analysis.small_study import egger_test, require_enough
from nwbswitch.analysis.meta_analysis.tau2 import Studies
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError

FillEstimator = Literal["L0", "R0"]
Side = Literal["left", "right"]
_MAX_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class TrimAndFill:
    """How many studies one side seems to miss (``k0``), and the fit with them imputed.

    ``p`` is that of no missing study, which only R0 gives; ``imputed`` marks the rows of ``fit.studies``.
    """

    estimator: FillEstimator
    side: Side
    k0: int
    k0_se: float
    p: float
    fit: MetaFit
    imputed: np.ndarray
    converged: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        one = self.fit.coefficients[0]
        found: dict[str, Any] = plain(
            {
                "estimator": self.estimator,
                "side": self.side,
                "k0": self.k0,
                "k0_se": self.k0_se,
                "p": self.p,
                "converged": self.converged,
                "estimate": one.estimate,
                "se": one.se,
                "ci_low": one.ci_low,
                "ci_high": one.ci_high,
                "tau2": self.fit.tau2,
                "imputed": self.fit.studies[self.imputed][["effect", "variance"]].to_dict("records"),
            }
        )
        return found


def trim_and_fill(fit: MetaFit, *, side: Side | None = None, estimator: FillEstimator = "L0") -> TrimAndFill:
    """Return the trim and fill analysis of Duval and Tweedie (2000, JASA 95:89-98 and Biometrics 56:455-463).

    Parameters
    ----------
    fit
        A pooled meta-analysis without moderators; its method and test are used throughout.
    side
        The side on which studies are missing; by default that to which Egger's regression points.
    estimator
        ``L0`` or ``R0``, of the number of missing studies.

    Raises
    ------
    FitError
        With fewer than ten studies, moderators, or weights of the user's own.
    ValueError
        For a side or estimator that does not exist.
    """
    if side is not None and side not in get_args(Side):
        raise ValueError(f"side is {side!r}; available are {', '.join(get_args(Side))}.")
    if estimator not in get_args(FillEstimator):
        raise ValueError(f"estimator is {estimator!r}; available are {', '.join(get_args(FillEstimator))}.")
    require_enough(fit)
    if fit.has_moderators or fit.problem.weights is not None:
        raise FitError("Trim and fill needs a model without moderators and with the usual weights.")
    if side is None:
        side = "right" if egger_test(fit).slope < 0.0 else "left"
    sign = -1.0 if side == "right" else 1.0
    order = np.argsort(sign * fit.problem.effect, kind="stable")
    y, v, k = sign * fit.problem.effect[order], fit.problem.variance[order], fit.k
    k0, raw, centre, converged = 0, 0.0, 0.0, False
    for _ in range(_MAX_ROUNDS):
        centre = _centre(fit, y[: k - k0], v[: k - k0])
        raw = _missing(y - centre, estimator)
        n_missing = max(0, round(raw))
        if n_missing == k0:
            converged = True
            break
        k0 = min(n_missing, k - 1)
    filled = pd.DataFrame(
        {
            "label": [*fit.studies["label"], *[f"imputed {i + 1}" for i in range(k0)]],
            "effect": np.r_[fit.problem.effect, sign * (2.0 * centre - y[k - k0 :])],
            "variance": np.r_[fit.problem.variance, v[k - k0 :]],
        }
    )
    again = meta(
        filled,
        effect="effect",
        variance="variance",
        slab="label",
        method=fit.method,
        test=fit.test,
        level=fit.level,
        unit=fit.unit,
    )
    return TrimAndFill(
        estimator=estimator,
        side=side,
        k0=k0,
        k0_se=_standard_error(raw, k, estimator),
        p=0.5 ** (k0 + 1) if estimator == "R0" and k0 > 0 else (1.0 if estimator == "R0" else float("nan")),
        fit=again,
        imputed=np.arange(len(filled)) >= k,
        converged=converged,
    )


def _centre(fit: MetaFit, effect: np.ndarray, variance: np.ndarray) -> float:
    studies = Studies(effect, variance, np.ones((len(effect), 1)))
    return float(estimate(studies, method=fit.method, test="z").coefficients[0])


def _missing(centred: np.ndarray, estimator: FillEstimator) -> float:
    """Return the number of missing studies, not yet rounded, from the signed ranks of the centred effects."""
    k = len(centred)
    ranks = np.empty(k)
    ranks[np.argsort(np.abs(centred), kind="stable")] = np.arange(1, k + 1)
    if estimator == "R0":
        below = ranks[centred < 0.0]
        return k - (float(below.max()) if below.size else 0.0) - 1.0
    return (4.0 * float(ranks[centred > 0.0].sum()) - k * (k + 1)) / (2.0 * k - 1.0)


def _standard_error(k0: float, k: int, estimator: FillEstimator) -> float:
    if estimator == "R0":
        return float(np.sqrt(2.0 * max(0.0, k0) + 2.0))
    rank_sum = k * (k + 1) * (2 * k + 1) + 10 * k0**3 + 27 * k0**2 + 17 * k0
    rank_sum += -18 * k * k0**2 - 18 * k * k0 + 6 * k**2 * k0
    return 4.0 * float(np.sqrt(max(0.0, rank_sum / 24.0))) / (2 * k - 1)
