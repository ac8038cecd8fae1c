"""Profile likelihood intervals of the variances and correlations of a multilevel meta-analysis.

A value of a component is inside the interval if holding it there, all others searched anew, costs less
likelihood than the chi-square quantile with one degree of freedom allows (Venzon and Moolgavkar 1988, Appl
Stat 37:87-94). With REML the restricted likelihood is profiled, as the moderators are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.multilevel_model import Component, MultilevelModel
from nwbswitch.analysis.meta_analysis.multilevel_search import search

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.multilevel_result import MultilevelFit

# A profile this much below the end of the fit's search has found a better maximum.
_MISSED: Final = 1e-6
_DOUBLINGS: Final = 60


@dataclass(frozen=True, slots=True)
class ComponentProfile:
    """A component with its interval, and the points of the profile that were searched.

    ``values`` ascend; ``costs`` are the rises of -2 log-likelihood there. ``note`` says where a limit is a
    boundary, could not be found, or the profile found a higher likelihood than the fit.
    """

    component: str
    kind: str
    estimate: float
    ci_low: float
    ci_high: float
    level: float
    values: np.ndarray
    costs: np.ndarray
    note: str


def profile_components(
    fit: MultilevelFit, *, components: Sequence[str] | None = None
) -> tuple[ComponentProfile, ...]:
    """Return the profiles of all components, or of those named.

    Raises
    ------
    ValueError
        For a component that does not exist.
    """
    model = fit.model
    known = [each.name for each in model.components]
    for name in components or ():
        if name not in known:
            raise ValueError(f"{name!r} is no component of this model; it has {', '.join(known)}.")
    chosen = [each for each in model.components if components is None or each.name in components]
    return tuple(_profile(fit, each) for each in chosen)


def profile_table(profiles: Sequence[ComponentProfile]) -> pd.DataFrame:
    """Return component, kind, estimate, ci_low, ci_high, note; each variance is followed by its root."""
    rows: list[tuple[str, str, float, float, float, str]] = []
    for each in profiles:
        rows.append((each.component, each.kind, each.estimate, each.ci_low, each.ci_high, each.note))
        if each.kind == "variance":
            value, low, high = (float(np.sqrt(x)) for x in (each.estimate, each.ci_low, each.ci_high))
            rows.append((each.component, "sd", value, low, high, each.note))
    return pd.DataFrame(rows, columns=["component", "kind", "estimate", "ci_low", "ci_high", "note"])


class _Path:
    """The points of a profile that were found so far.

    A point is searched from the nearest one, and from everywhere if ``thorough``.
    """

    def __init__(self, model: MultilevelModel, component: Component, minimum: float) -> None:
        self.model, self.component, self.minimum = model, component, minimum
        self.points: dict[float, tuple[float, np.ndarray]] = {}
        self.thorough = False

    def cost(self, value: float) -> float:
        if value not in self.points:
            near = min(self.points, key=lambda each: abs(each - value), default=None)
            known = None if near is None or self.thorough else self.points[near][1]
            self.points[value] = self._searched(value, known)
        return self.points[value][0] - self.minimum

    def _searched(self, value: float, start: np.ndarray | None) -> tuple[float, np.ndarray]:
        chart = self.model.held(self.component, value)
        starts = [] if start is None else [start]
        found = search(self.model.data, chart, self.model.method, starts=starts)
        return found.criterion, found.phi

    def checked_limit(
        self, sign: float, start: float, step: float, bound: float, cut: float
    ) -> tuple[float, str]:
        """Return the limit on one side, found again thoroughly if another start costs less there."""
        found = self.limit(sign, start, step, bound, cut)
        if self.thorough or np.isnan(found[0]) or found[0] == start:
            return found
        if self._searched(found[0], None)[0] - self.minimum > self.cost(found[0]) - _MISSED:
            return found
        self.thorough = True
        self.points.clear()
        return self.limit(sign, start, step, bound, cut)

    def limit(self, sign: float, start: float, step: float, bound: float, cut: float) -> tuple[float, str]:
        """Return where the cost reaches ``cut`` on one side, and a note if that is the boundary."""
        from scipy.optimize import brentq

        if start == bound:
            return bound, "the estimate is at the boundary"
        inside = start
        for _ in range(_DOUBLINGS):
            outside = start + sign * step
            if sign * (outside - bound) >= 0.0:
                outside = bound
            if self.cost(outside) >= cut:
                break
            if outside == bound:
                return bound, "the interval reaches the boundary"
            inside, step = outside, 2.0 * step
        else:
            return float("nan"), "no limit was found: the likelihood stays flat"
        size = abs(outside - start)
        root = brentq(lambda each: self.cost(each) - cut, inside, outside, xtol=1e-10 * size, rtol=1e-12)
        return float(root), ""


def _profile(fit: MultilevelFit, component: Component) -> ComponentProfile:
    from scipy.stats import chi2

    model = fit.model
    estimate = component.value(fit.optimum.theta, model.data.scale)
    nan = float("nan")
    if np.isnan(estimate):
        note = "the effects do not vary, so there is no correlation"
        return ComponentProfile(
            component.name, component.kind, nan, nan, nan, fit.level, np.empty(0), np.empty(0), note
        )
    cut = float(chi2.ppf(fit.level, 1))
    path = _Path(model, component, fit.optimum.criterion)
    if component.kind == "variance":
        low_bound, high_bound = 0.0, float("inf")
        step = max(0.5 * estimate, 1e-2 * model.data.scale**2)
    else:
        low_bound, high_bound, step = -1.0, 1.0, 0.25
        if not component.levels:
            low_bound = -1.0 / (len(model.frame.parts[component.part].inner_labels) - 1.0)
    high, high_note = path.checked_limit(1.0, estimate, step, high_bound, cut)
    low, low_note = path.checked_limit(-1.0, estimate, step, low_bound, cut)
    notes = [note for note in (low_note, high_note) if note]
    lowest = min((path.cost(value) for value in path.points), default=0.0)
    if lowest < -_MISSED:
        notes.append(f"the profile found a -2 log-likelihood {-lowest:.2g} lower than the fit")
    values = np.array(sorted([*path.points, estimate]))
    costs = np.array([0.0 if each == estimate else path.cost(each) for each in values.tolist()])
    return ComponentProfile(
        component.name,
        component.kind,
        estimate,
        low,
        high,
        fit.level,
        values,
        costs,
        "; ".join(dict.fromkeys(notes)),
    )
