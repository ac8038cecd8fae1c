"""The minimum of a mixed model's criterion over the covariances of its random effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nwbswitch.analysis.mixed.deviance import Deviance, Evaluation, Method
from nwbswitch.analysis.mixed.search import SMALL, Search
from nwbswitch.analysis.mixed.theta import factors_of, psi_of, theta_gradient, theta_layout
from nwbswitch.schemas.errors import FitError

__all__ = [
    "SMALL",
    "Optimum",
    "factors_of",
    "optimise",
    "psi_of",
    "theta_gradient",
    "theta_layout",
]

# SDs to start from, and whether the search begins there with scoring: ways that seldom end alike if there
# are several optima. Of 600 small designs with small variances 4 had several; one way alone missed 1 to 3.
STARTS: Final = ((1.0, True), (0.25, False), (3.0, True))
# The response has unit mean square; a residual variance below this part of it is rounding.
NO_VARIANCE: Final = 1e-14
NO_RESIDUAL: Final = (
    "The random effects reproduce the response up to rounding, so there is no residual variance. Leave out "
    "the term whose groups each have one value of the response, or look for rows that are copies."
)
NO_DIGITS: Final = (
    "The likelihood cannot be computed in double precision. Centre covariates that are far from 0, rescale "
    "the response, and leave out effects that are nearly combinations of others."
)
# The last descent ends where a step promises to gain less than this.
FINE: Final = 1e-10
# A start that was given has no diagonal entry below this.
INSIDE: Final = 0.1
# Converged: a Newton step would lower the criterion by less than this.
EXPECTED_DECREASE: Final = 1e-8


@dataclass(frozen=True, slots=True)
class Optimum:
    """Where the search ended and how.

    ``theta`` holds the lower triangles of all blocks, column by column, innermost level first;
    ``start_criteria`` the criterion each start reached; ``expected_decrease`` what one more Newton step
    would gain; ``zero`` marks the diagonal entries that ended on the boundary.
    """

    theta: np.ndarray
    evaluation: Evaluation
    method: Method
    zero: np.ndarray
    iterations: int
    evaluations: int
    start_criteria: tuple[float, ...]
    expected_decrease: float
    converged: bool


def optimise(deviance: Deviance, *, method: Method, start: np.ndarray | None = None) -> Optimum:
    """Return the minimum of the criterion of ``deviance``: the third step of a fit.

    Parameters
    ----------
    deviance
        The deviance function, of any engine.
    method
        ``reml`` or ``ml``.
    start
        Where to begin, as `Optimum.theta`, instead of at the usual starts: for responses that differ
        little from one already fitted, as in a bootstrap. Entries on the boundary are moved inside.

    Raises
    ------
    FitError
        If the random effects reproduce the response, so that no residual variance is left, or the digits
        do not suffice.
    """
    search = Search(deviance, method)
    if start is None:
        starts = [(np.where(search.diagonal, size, 0.0), scoring) for size, scoring in STARTS]
    else:
        starts = [(np.where(search.diagonal & (start < INSIDE), INSIDE, start), True)]
    try:
        point = search.descended(search.ordered(search.lowest(starts)), least=FINE)
        point = search.refined(search.without_small(search.upright(point)))
    except ZeroDivisionError:
        raise FitError(NO_RESIDUAL) from None
    except np.linalg.LinAlgError:
        raise FitError(NO_DIGITS) from None
    _, decrease, definite = search.newton(point)
    converged = definite and decrease < EXPECTED_DECREASE and search.escape(point) is None
    theta = search.natural(point.theta)
    evaluation = deviance.evaluate(psi_of(deviance, theta), method=method)
    if evaluation.residual < NO_VARIANCE * deviance.n_rows:
        raise FitError(NO_RESIDUAL)
    return Optimum(
        theta,
        evaluation,
        method,
        search.diagonal & (theta == 0.0),
        search.iterations,
        search.evaluations,
        tuple(search.reached),
        decrease,
        converged,
    )
