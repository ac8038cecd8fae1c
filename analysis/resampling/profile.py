"""Profile likelihood intervals of standard deviations, correlations and fixed effects.

A parameter is held at a value and -2 log-likelihood minimised over all others; zeta is the signed root of
its rise above the minimum, and an interval has |zeta| below the normal quantile (Bates and Watts 1988,
section 6.1; Bates et al. 2015, section 5.1). As in lme4 the likelihood is the full one, also for a fit by
REML. Parameters are on the scale of standard deviations and correlations.

The covariance of the effects of one bar is T T' with T lower triangular in an order that puts the effect
held first: its standard deviation is T[0, 0], and a correlation r of the first two is the direction
(r, sqrt(1 - r^2)) of the second row. So every constraint is met exactly, on the boundary too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, optimise
from nwbswitch.analysis.mixed.variance_table import block_covariances, residual_variance
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.resampling.profile_path import BlockPlace, Held, Point, best_point
from nwbswitch.analysis.resampling.restricted import restricted

if TYPE_CHECKING:
    import pandas as pd

# A minimum this far below that of the search means that the search missed it.
MISSED: Final = 1e-6
# Limits are found to this part of the half-width of the interval.
PRECISION: Final = 1e-7
_STEPS: Final = 40


@dataclass(frozen=True, slots=True)
class ProfileInterval:
    """Interval of one parameter; ``note`` says why a limit is on the boundary or not a number."""

    term: str
    estimate: float
    ci_low: float
    ci_high: float
    note: str


@dataclass(frozen=True, slots=True)
class ZetaCurve:
    """Values of one parameter in ascending order, and zeta at each."""

    term: str
    values: np.ndarray
    zeta: np.ndarray


@dataclass(frozen=True, slots=True, repr=False)
class Profile:
    """Profile likelihood intervals of a model; estimates are those of maximum likelihood."""

    level: float
    criterion: float
    intervals: tuple[ProfileInterval, ...]
    curves: tuple[ZetaCurve, ...]

    def __repr__(self) -> str:
        return f"<Profile of {len(self.intervals)} parameters: {100.0 * self.level:g} % intervals>"

    def table(self) -> pd.DataFrame:
        """Return term, estimate, ci_low, ci_high, note; terms are named as by lme4's confint."""
        import pandas as pd

        return pd.DataFrame(
            [asdict(each) for each in self.intervals],
            columns=["term", "estimate", "ci_low", "ci_high", "note"],
        )

    def zeta_table(self) -> pd.DataFrame:
        """Return parameter, value, zeta, estimate of all points, for plots."""
        import pandas as pd

        estimates = {each.term: each.estimate for each in self.intervals}
        names = [each.term for each in self.curves for _ in each.values]
        return pd.DataFrame(
            {
                "parameter": names,
                "value": np.concatenate([each.values for each in self.curves] or [np.empty(0)]),
                "zeta": np.concatenate([each.zeta for each in self.curves] or [np.empty(0)]),
                "estimate": [estimates[name] for name in names],
            }
        )

    def summary(self) -> str:
        """Return the intervals as text for people."""
        table = self.table().to_string(index=False, float_format=lambda value: f"{value:.4g}")
        return f"{100.0 * self.level:g} % profile likelihood intervals (maximum likelihood)\n{table}"

    def as_dict(self) -> dict[str, Any]:
        """Return intervals and curves as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "level": self.level,
                "criterion": self.criterion,
                "intervals": [asdict(each) for each in self.intervals],
                "curves": [asdict(each) for each in self.curves],
            }
        )
        return found


@dataclass(frozen=True, slots=True)
class _Parameter:
    """What is profiled: its estimate, how values are held, its bounds, and a first step."""

    term: str
    estimate: float
    low: float
    high: float
    step: float
    held: Held | None
    contrast: np.ndarray | None
    boundary: str


def profile(
    model: Model,
    deviance: Deviance,
    optimum: Optimum,
    *,
    terms: Sequence[str] | None = None,
    level: float = 0.95,
    points: int = 9,
) -> Profile:
    """Return profile likelihood intervals.

    Parameters
    ----------
    model, deviance, optimum
        The fitted model. Estimates and intervals are those of maximum likelihood whatever its method.
    terms
        Names of the parameters, e.g. ``sd_(Intercept)|animal``, ``cor_epochpost.(Intercept)|animal``,
        ``sigma``, or those of fixed effects; all by default.
    level
        Coverage.
    points
        Values of each parameter, evenly spaced over its interval, that curves have at least.

    Raises
    ------
    ValueError
        If a term does not exist, or the level is not between 0 and 1.
    """
    from scipy.special import ndtri

    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level!r}; it must be between 0 and 1.")
    if optimum.method != "ml":
        optimum = optimise(deviance, method="ml")
    parameters = _parameters(model, deviance, optimum)
    if terms is not None:
        known = {each.term: each for each in parameters}
        unknown = [term for term in terms if term not in known]
        if unknown:
            raise ValueError(f"There is no parameter {unknown[0]!r}; available are {', '.join(known)}.")
        parameters = [known[term] for term in terms]
    cut = float(ndtri(0.5 + level / 2.0))
    intervals, curves = [], []
    for parameter in parameters:
        path = _Path(deviance, optimum, parameter)
        low, low_note = path.limit(-1.0, cut)
        high, high_note = path.limit(1.0, cut)
        path.fill(low, high, points)
        notes = list(dict.fromkeys(each for each in (low_note, high_note, path.missed()) if each))
        intervals.append(ProfileInterval(parameter.term, parameter.estimate, low, high, "; ".join(notes)))
        curves.append(path.curve(low, high))
    return Profile(level, optimum.evaluation.criterion, tuple(intervals), tuple(curves))


def _parameters(model: Model, deviance: Deviance, optimum: Optimum) -> list[_Parameter]:
    """Return all parameters in the order of lme4: variances bar by bar, sigma, fixed effects."""
    found, scaling = [], deviance.scaling
    sigma = float(np.sqrt(residual_variance(deviance, optimum)))
    covariances = iter(block_covariances(model, deviance, optimum))
    for position, level in enumerate(model.levels):
        first = 0
        for block in level.blocks:
            covariance = next(covariances).covariance
            sizes = scaling.effect_scales[position][first : first + len(block.names)]
            sd = np.sqrt(np.diagonal(covariance))
            for j, name in enumerate(block.names):
                place = BlockPlace(position, first, len(sd), (j,))
                units = scaling.scale / float(sizes[j])
                step = 0.3 * max(float(sd[j]), 0.1 * sigma / float(sizes[j]))
                held = Held("sd", place, units)
                zero = "the interval reaches a variance of 0, the boundary"
                term = f"sd_{name}|{block.label}"
                found.append(_Parameter(term, float(sd[j]), 0.0, np.inf, step, held, None, zero))
                for i in range(j + 1, len(sd)):
                    term = f"cor_{block.names[i]}.{name}|{block.label}"
                    product = float(sd[i] * sd[j])
                    value = float(np.clip(covariance[i, j] / product, -1.0, 1.0)) if product else np.nan
                    held = Held("cor", BlockPlace(position, first, len(sd), (j, i)), 1.0)
                    one = "the interval reaches a correlation of 1 or -1, the boundary"
                    found.append(_Parameter(term, value, -1.0, 1.0, 0.2, held, None, one))
            first += len(block.names)
    held = Held("sigma", None, scaling.scale)
    found.append(_Parameter("sigma", sigma, 0.0, np.inf, 0.1 * sigma, held, None, ""))
    back = np.linalg.inv(scaling.fixed)
    estimates = scaling.offset + scaling.scale * back @ optimum.evaluation.coefficients
    se = sigma * np.sqrt(np.diagonal(back @ np.linalg.inv(optimum.evaluation.information) @ back.T))
    for name, contrast, value, own in zip(model.names, np.eye(len(se)), estimates, se, strict=True):
        found.append(_Parameter(name, float(value), -np.inf, np.inf, 2.0 * float(own), None, contrast, ""))
    return found


class _Path:
    """The points of one parameter that were found so far, each with where its search ended."""

    def __init__(self, deviance: Deviance, optimum: Optimum, parameter: _Parameter) -> None:
        self.deviance, self.optimum, self.parameter = deviance, optimum, parameter
        self.minimum = optimum.evaluation.criterion
        self.points: dict[float, Point] = {}

    def zeta(self, value: float) -> float:
        """Return zeta at ``value``, searching from the nearest point known."""
        if value == self.parameter.estimate:
            return 0.0
        if value not in self.points:
            near = min(self.points, key=lambda each: abs(each - value), default=None)
            start = None if near is None else self.points[near]
            deviance, held = self.deviance, self.parameter.held
            if self.parameter.contrast is not None:
                deviance = restricted(deviance, self.parameter.contrast[None], np.array([value]))
            self.points[value] = best_point(deviance, held, value, self.optimum, start)
        rise = self.points[value].criterion - self.minimum
        return float(np.sign(value - self.parameter.estimate) * np.sqrt(max(rise, 0.0)))

    def limit(self, sign: float, cut: float) -> tuple[float, str]:
        """Return the limit of the interval on one side, and a note if it is the boundary."""
        from scipy.optimize import brentq

        own = self.parameter
        if np.isnan(own.estimate):
            return float("nan"), "a variance is 0, so the correlation is undefined"
        bound = own.high if sign > 0.0 else own.low
        if own.estimate == bound:
            return bound, own.boundary
        inside, value = own.estimate, self._within(own.estimate + sign * own.step, bound, own.estimate)
        for _ in range(_STEPS):
            reached = abs(self.zeta(value))
            if reached >= cut:
                break
            if value == bound:
                return bound, own.boundary
            # Zeta is nearly linear, so the next step aims a little beyond the cut.
            factor = float(np.clip(1.1 * cut / max(reached, 1e-3), 1.2, 3.0))
            inside, value = value, self._within(own.estimate + factor * (value - own.estimate), bound, value)
        else:
            return float("nan"), "no limit was found: the likelihood stays flat"
        size = abs(value - own.estimate)
        root = brentq(lambda each: abs(self.zeta(each)) - cut, inside, value, xtol=PRECISION * size)
        return float(root), ""

    def _within(self, value: float, bound: float, last: float) -> float:
        """Return ``value``, or the bound itself if that is near or passed."""
        if not np.isfinite(bound) or abs(value - last) < 0.9 * abs(bound - last):
            return value
        # sigma has no boundary to reach: halve the distance to zero instead.
        return bound if self.parameter.boundary else 0.5 * (last + bound)

    def fill(self, low: float, high: float, points: int) -> None:
        """Add points between the limits until the curve has ``points`` evenly spaced ones."""
        if np.isfinite(low) and np.isfinite(high):
            for value in np.linspace(low, high, points):
                self.zeta(float(value))

    def missed(self) -> str:
        """Return a note if a point of the path lies below the minimum that the fit found."""
        best = min((each.criterion for each in self.points.values()), default=self.minimum)
        if best > self.minimum - MISSED:
            return ""
        return f"the search of the fit missed a minimum {self.minimum - best:.2g} lower"

    def curve(self, low: float, high: float) -> ZetaCurve:
        """Return the points in ascending order, with the limits and the estimate but no near doubles."""
        own = self.parameter
        kept = [each for each in (low, own.estimate, high) if np.isfinite(each)]
        near = 1e-3 * (max(self.points, default=0.0) - min(self.points, default=0.0))
        for value in self.points:
            if all(abs(value - each) > near for each in kept):
                kept.append(value)
        values = sorted(set(kept))
        return ZetaCurve(own.term, np.array(values), np.array([self.zeta(each) for each in values]))
