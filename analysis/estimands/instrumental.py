"""beta_IV: the slope of the state after on the state before, without the noise of the state before.

The noise of a baseline half pulls a regression slope to 0. With one half as the regressor and the other as
its instrument, cov(f_b1, f_p) / cov(f_b1, f_b2), it does not (instrumental variables: Fuller 1987,
Measurement Error Models, section 1.4). Averaged over both ways to choose the instrument it is the slope of
Blomqvist 1977 (J Am Stat Assoc 72:746-749) with the error variance taken from the difference of the halves.
1 where every neuron keeps its rate, the root of the gain under a gain that all share, 0 where rates are
dealt anew. rho* is beta_IV scaled by the spread of states in either window.
"""

from __future__ import annotations

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats, WindowCounts, halves
from nwbswitch.analysis.estimands.families import Family, quotient
from nwbswitch.analysis.estimands.primary import MIN_RELIABILITY, OK, UNRELIABLE, root_rate


def slope_terms(before: WindowCounts, after: WindowCounts) -> Floats:
    """Return 1, f_b1, f_b2, f_p and their products, shape (neurons, 9); f_p is the mean of its halves."""
    b, p = (halves(window) for window in (before, after))
    base = root_rate(b.events, b.exposure_s)
    states = np.column_stack([base, root_rate(p.events, p.exposure_s).mean(axis=1)])
    # Covariances do not depend on the origin; sums of squares lose fewer digits near it.
    one, two, last = (states - states.mean(axis=0)).T
    ones = np.ones(one.size)
    return np.column_stack([ones, one, two, last, one * two, one * last, two * last, one**2, two**2])


def close_slope(sums: Floats) -> Floats:
    """Return the centred sums of products b p, b1 b2, b1 b1 and b2 b2, shape (..., 4)."""
    n, one, two, last, both, one_last, two_last, first, second = np.moveaxis(sums, -1, 0)
    size = np.where(n > 0, n, 1.0)
    across = (one_last + two_last) / 2 - (one + two) / 2 * last / size
    parts = [across, both - one * two / size, first - one**2 / size, second - two**2 / size]
    return np.stack(parts, axis=-1)


def instrumental_slope(sums: Floats) -> Floats:
    """Return beta_IV from the sums of `close_slope`, shape (..., 4) to (...); NaN without reliable states."""
    across, both, *_ = np.moveaxis(sums, -1, 0)
    return quotient(across, both)


def blomqvist_slope(sums: Floats) -> Floats:
    """Return the same slope from the observed one and the error variance of the baseline.

    With x the mean of both halves, the observed slope of the change on x is beta, and lambda the share of
    the error in the variance of x; the slope of the change is (beta + lambda) / (1 - lambda), and 1 more
    is that of the state after.
    """
    across, both, first, second = np.moveaxis(sums, -1, 0)
    spread = (first + second + 2 * both) / 4
    error = quotient((first + second - 2 * both) / 4, spread)
    observed = quotient(across, spread) - 1
    return 1 + quotient(observed + error, 1 - error)


def slope_status(name: str, sums: Floats) -> str:
    """Return 'ok', or that the two halves of the baseline do not agree enough."""
    _, both, first, second = sums
    reliable = first * second > 0 and both >= MIN_RELIABILITY * np.sqrt(first * second)
    return OK if reliable else UNRELIABLE


INSTRUMENTAL = Family(
    terms=slope_terms,
    close=close_slope,
    estimands={"beta_iv": instrumental_slope},
    status=slope_status,
    tested=frozenset({"beta_iv"}),
)
