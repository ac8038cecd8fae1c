"""How much of the variation of effects is not sampling error: I^2 of a multilevel model.

With P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1 the typical sampling variance is v = (k - p) / tr P (Higgins and
Thompson 2002, Stat Med 21:1539-1558, equation 9, with P in place of the weights), and I^2 = sum sigma^2 /
(sum sigma^2 + v), of which each component has its share (Nakagawa and Santos 2012, Evol Ecol 26:1253-1274).
For an inner factor with a variance for each level, tr P and k - p = tr P V are summed over the rows of that
level. By coefficient I^2 is 1 - Var(fixed) / Var(random), the variances of the coefficient without and with
random effects (Jackson, White and Riley 2012, Stat Med 31:3805-3820).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nwbswitch.analysis.meta_analysis.multilevel_likelihood import Solved
from nwbswitch.analysis.meta_analysis.multilevel_model import MultilevelModel


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """I^2 in percent: ``total`` and ``by_component``; ``by_coefficient`` compares variances of estimates.

    ``total`` is nan where levels of an inner factor have variances of their own; ``typical_variance`` is the
    sampling variance it is compared with.
    """

    total: float
    by_component: dict[str, float]
    by_coefficient: dict[str, float]
    typical_variance: float

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            "total": self.total,
            "by_component": dict(self.by_component),
            "by_coefficient": dict(self.by_coefficient),
            "typical_variance": self.typical_variance,
        }


def heterogeneity(
    model: MultilevelModel, theta: np.ndarray, fixed: Solved, vcov: np.ndarray
) -> Heterogeneity:
    """Return I^2 at the entries ``theta``; ``fixed`` is the least squares with V alone."""
    data = model.data
    precision, degrees = _diagonals(model, fixed)
    typical = float(degrees.sum() / precision.sum())
    variances = [each for each in model.components if each.kind == "variance"]
    shared = [each for each in variances if not each.levels]
    common = sum(each.value(theta, 1.0) for each in shared)
    by_component = {}
    for each in variances:
        own = each.value(theta, 1.0)
        if each.levels:
            inner = model.frame.parts[each.part].inner_codes
            assert inner is not None
            mine = inner == each.levels[0]
            of_level = float(degrees[mine].sum() / precision[mine].sum())
            by_component[each.name] = 100.0 * own / (common + own + of_level)
        else:
            by_component[each.name] = 100.0 * own / (common + typical)
    total = 100.0 * common / (common + typical) if len(shared) == len(variances) else float("nan")
    back = np.linalg.inv(data.triangle)
    alone = np.diagonal(data.scale**2 * back @ fixed.covariance @ back.T)
    whole = np.diagonal(vcov)
    names = model.frame.design.names
    by_coefficient = {
        name: float(100.0 * max(0.0, 1.0 - alone[i] / whole[i])) for i, name in enumerate(names)
    }
    return Heterogeneity(total, by_component, by_coefficient, typical * data.scale**2)


def _diagonals(model: MultilevelModel, fixed: Solved) -> tuple[np.ndarray, np.ndarray]:
    """Return the diagonals (n,) of P and of P V."""
    data = model.data
    precision, degrees = np.empty(data.n), np.empty(data.n)
    for place, stack in enumerate(data.stacks):
        wx = fixed.weighted[place]
        own = np.diagonal(fixed.inverses[place], axis1=1, axis2=2)
        precision[stack.rows] = own - np.einsum("gmi,ij,gmj->gm", wx, fixed.covariance, wx)
        x = data.basis[stack.rows]
        degrees[stack.rows] = 1.0 - np.einsum("gmi,ij,gmj->gm", wx, fixed.covariance, x)
    return precision, degrees
