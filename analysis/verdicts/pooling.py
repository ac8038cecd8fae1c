"""From animals to an arm: ratio of sums, jackknife over animals, exact permutations, random effects.

The animal is the unit. Sums of animals are rows of an array of shape (animals, parts, sums), where the
parts are the arms that a statistic compares; a statistic maps (..., parts, sums) to (...). Formulas:
delete-one jackknife, Efron and Tibshirani 1993, eq. 11.5; interval with n - 1 degrees of freedom; between
groups Welch 1947 (Biometrika 34:28-35); random effects, Paule and Mandel 1982 (J Res Natl Bur Stand
87:377-385) with the interval of Hartung and Knapp 2001 (Stat Med 20:1771-1782).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats
from nwbswitch.analysis.verdicts.relabelling import relabelling, smallest_p

Statistic = Callable[[Floats], Floats]

LEVEL = 0.95
ALPHA = 0.05
MAX_ARRANGEMENTS = 20_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty; NaN where there is none.

    ``se`` and ``df`` give the interval; ``p`` is two-sided and NaN where no P below 5 % is possible with
    this number of animals.
    """

    estimate: float
    se: float = math.nan
    df: float = math.nan
    p: float = math.nan
    status: str = "ok"
    n_animals: int = 0
    n_sessions: int = 0
    n_neurons: int = 0

    @property
    def estimable(self) -> bool:
        """Whether there is an estimate with an interval."""
        return self.status == "ok" and math.isfinite(self.estimate) and math.isfinite(self.se)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the two-sided t interval at ``level``; NaN when there is none."""
        if not self.estimable:
            return math.nan, math.nan
        half = _t_quantile(0.5 + level / 2, self.df) * self.se
        return self.estimate - half, self.estimate + half

    def p_t(self) -> float:
        """Return the two-sided P of the t test against 0; used for multiplicity, never printed."""
        if not self.estimable:
            return math.nan
        if self.se == 0:
            return 1.0 if self.estimate == 0 else 0.0
        from scipy.special import stdtr

        return float(2 * stdtr(self.df, -abs(self.estimate / self.se)))


def _t_quantile(q: float, df: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, q))


def jackknife(statistic: Statistic, sums: Floats) -> tuple[float, float, float]:
    """Return the pooled statistic, its jackknife standard error and degrees of freedom.

    Parameters
    ----------
    statistic
        Maps sums of shape (..., parts, sums) to (...).
    sums
        One row per animal, shape (animals, parts, sums).

    Returns
    -------
    tuple
        Estimate from the sums of all animals; standard error and df (NaN with fewer than two animals, or
        when the statistic is undefined without one of them).
    """
    n = sums.shape[0]
    total = sums.sum(axis=0)
    estimate = float(statistic(total))
    if n < 2:
        return estimate, math.nan, math.nan
    left = np.asarray(statistic(total - sums))
    spread = float(((left - left.mean()) ** 2).sum())
    return estimate, math.sqrt((n - 1) / n * spread), float(n - 1)


def jackknife_between(
    statistic: Statistic, sums: Floats, other: Floats, shared: list[tuple[int, int]]
) -> tuple[float, float, float]:
    """Return the difference of a one-part statistic between two groups of animals, its SE and df.

    Parameters
    ----------
    statistic
        Maps sums of shape (..., 1, sums) to (...).
    sums, other
        Animals of either group, shape (animals, 1, sums); the difference is first minus second.
    shared
        Rows (in first, in second) of animals that are in both; their covariance is subtracted.
    """
    parts = []
    for group in (sums, other):
        n, total = group.shape[0], group.sum(axis=0)
        if n < 2:
            parts.append((float(statistic(total)), np.full(n, math.nan), n))
            continue
        left = np.asarray(statistic(total - group))
        parts.append((float(statistic(total)), math.sqrt((n - 1) / n) * (left.mean() - left), n))
    (one, u, n_one), (two, w, n_two) = parts
    if n_one < 2 or n_two < 2:
        return one - two, math.nan, math.nan
    v_one, v_two = float(u @ u), float(w @ w)
    covariance = float(sum(u[i] * w[j] for i, j in shared))
    variance = max(v_one + v_two - 2 * covariance, 0.0)
    df = float(min(n_one, n_two) - 1)
    if v_one + v_two > 0:
        df = (v_one + v_two) ** 2 / (v_one**2 / (n_one - 1) + v_two**2 / (n_two - 1))
    return one - two, math.sqrt(variance), df


def sign_flip(values: Floats, *, seed: int = 0) -> float:
    """Return the two-sided P of the mean against all sign flips of the animals' values.

    Exact up to 14 animals, else over `MAX_ARRANGEMENTS` random flips and the observed one. NaN when even
    the smallest possible P, 2 / 2^n, is above 5 %, or when a value is not finite.
    """
    n = values.size
    if 2 / 2**n > ALPHA or not np.isfinite(values).all():
        return math.nan
    flips = 1 - 2 * _masks(n, seed)
    return _share_as_extreme(np.abs(flips @ values))


def swapped_totals(sums: Floats, *, seed: int = 0) -> Floats | None:
    """Return the totals of both parts under all exchanges of the parts within animals.

    Parameters
    ----------
    sums
        Shape (animals, 2, sums).

    Returns
    -------
    array or None
        Shape (arrangements, 2, sums), the observed one first; None when the smallest possible two-sided P
        is above 5 %. Of two arrangements that differ by the names of the parts only one is there.
    """
    n = sums.shape[0]
    if 2 / 2**n > ALPHA:
        return None
    moved = _masks(n, seed) @ (sums[:, 1] - sums[:, 0])
    total = sums.sum(axis=0)
    return np.stack([total[0] + moved, total[1] - moved], axis=-2)


def relabelled_totals(
    sums: Floats, other: Floats, *, shared: Sequence[tuple[int, int]] = (), seed: int = 0
) -> Floats | None:
    """Return the totals of two groups under all ways to deal the animals to groups of these sizes.

    Parameters
    ----------
    sums, other
        Animals of either group, shape (animals, 1, sums).
    shared
        Rows (in first, in second) of animals that are in both; they exchange their two parts.

    Returns
    -------
    array or None
        As `swapped_totals`.
    """
    n_one, n_two = sums.shape[0], other.shape[0]
    if smallest_p(n_one, n_two, len(shared)) > ALPHA:
        return None
    dealt = relabelling(n_one, n_two, shared, most=MAX_ARRANGEMENTS, seed=seed)
    return dealt.totals(np.concatenate([sums, other])[:, 0])


def permutation_p(statistic: Statistic, totals: Floats | None) -> float:
    """Return the two-sided P of a two-part statistic, the share of arrangements at least as extreme.

    Exchanging the names of the parts must change no more than the sign of the statistic.
    """
    if totals is None:
        return math.nan
    return _share_as_extreme(np.abs(statistic(totals)))


def _masks(n: int, seed: int) -> Floats:
    """Return arrangements as rows of 0 and 1, the observed one (all 0) first, shape (arrangements, n).

    One of each pair of mirror images, which are equally extreme, when all are listed.
    """
    if 2**n <= MAX_ARRANGEMENTS:
        return _all_masks(n)
    drawn = np.random.default_rng(seed).integers(0, 2, (MAX_ARRANGEMENTS, n)).astype(float)
    return np.concatenate([np.zeros((1, n)), drawn])


@lru_cache
def _all_masks(n: int) -> Floats:
    codes = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)
    masks = (codes & 1).astype(float)
    masks.flags.writeable = False
    return masks


def _share_as_extreme(found: Floats) -> float:
    """Return the share of arrangements at least as extreme as the first; NaN if that is undefined."""
    if not np.isfinite(found[0]):
        return math.nan
    # Rounding must not make the observed arrangement rarer than its mirror image; an undefined
    # arrangement counts as extreme.
    return float(np.mean(~(found < found[0] * (1 - 1e-9))))


def random_effects(values: Floats, variances: Floats) -> Estimate:
    """Return the random-effects mean of the animals' values: Paule-Mandel tau^2, Hartung-Knapp interval.

    Parameters
    ----------
    values, variances
        One estimate per animal and its within-animal sampling variance, shape (animals,). An animal
        without either makes the result 'not estimable'; none is left out.
    """
    n = values.size
    if n < 2:
        return Estimate(math.nan, status="needs >= 2 animals", n_animals=n)
    if not (np.isfinite(values).all() and np.isfinite(variances).all() and (variances > 0).all()):
        lost = int(n - (np.isfinite(values) & np.isfinite(variances) & (variances > 0)).sum())
        return Estimate(math.nan, status=f"not estimable: no value or variance in {lost} of {n} animals")
    tau2 = _paule_mandel(values, variances)
    weights = 1 / (variances + tau2)
    mean = float(weights @ values / weights.sum())
    q = float(weights @ (values - mean) ** 2) / (n - 1)
    return Estimate(mean, math.sqrt(q / weights.sum()), float(n - 1), n_animals=n)


def _paule_mandel(values: Floats, variances: Floats) -> float:
    def excess(tau2: float) -> float:
        weights = 1 / (variances + tau2)
        mean = weights @ values / weights.sum()
        return float(weights @ (values - mean) ** 2) - (values.size - 1)

    if excess(0.0) <= 0:
        return 0.0
    from scipy.optimize import brentq

    high = float(values.var(ddof=1)) + 1e-12
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=1e-12))


def holm(p_values: list[float]) -> list[float]:
    """Return Holm-adjusted P values (Holm 1979, Scand J Stat 6:65-70); NaN stays NaN and is not counted."""
    known = [(p, place) for place, p in enumerate(p_values) if math.isfinite(p)]
    adjusted = list(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(sorted(known)):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = highest
    return adjusted
