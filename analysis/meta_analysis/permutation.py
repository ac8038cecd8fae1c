"""Permutation tests of a meta-analysis: exact where the studies are few."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.estimate import estimate
from nwbswitch.analysis.meta_analysis.leave_one_out import require_pooled
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.analysis.meta_analysis.tau2 import Studies
from nwbswitch.analysis.plain_values import plain

MAX_EXACT = 5040
"""Up to this many arrangements (seven studies in any order, twelve signs) all are looked at."""
# Arrangements that mirror the observed one must count as equal to it in spite of rounding.
_SLACK = 1e-10


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """P values from arrangements of the studies.

    ``rows``: term, statistic, p, smallest_p (the smallest that so many arrangements can give). ``qm_p`` is
    that of all moderators together, not a number without any. ``exact`` says whether all ``n`` were used.
    """

    rows: pd.DataFrame
    qm_p: float
    n: int
    exact: bool
    seed: int | None

    def table(self) -> pd.DataFrame:
        """Return the rows."""
        return self.rows.copy()

    def as_dict(self) -> dict[str, Any]:
        """Return the test as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "rows": self.rows.to_dict("records"),
                "qm_p": self.qm_p,
                "n": self.n,
                "exact": self.exact,
                "seed": self.seed,
            }
        )
        return found

    def summary(self) -> str:
        """Return the test as text."""
        from nwbswitch.analysis.meta_analysis.meta_text import table_lines

        kind = (
            f"all {self.n} arrangements" if self.exact else f"{self.n} random arrangements (seed {self.seed})"
        )
        return "\n".join([f"Permutation test, {kind}", *table_lines(self.rows)])


def permutation_test(
    fit: MetaFit, *, draws: int = 1999, max_exact: int = MAX_EXACT, seed: int = 0
) -> PermutationTest:
    """Return the permutation test of the coefficients.

    As Follmann and Proschan (1999) for the mean and Higgins and Thompson (2004) for moderators: without
    moderators the signs of the effects are flipped, with moderators their rows are given to other studies.
    Every arrangement is fitted anew, tau^2 included, and P counts those with a statistic at least
    as far from zero.

    Parameters
    ----------
    fit
        A pooled meta-analysis or meta-regression.
    draws
        Random arrangements where there are more than ``max_exact``; the observed one is counted with them
        (Phipson and Smyth 2010).
    max_exact
        Largest number of arrangements to look at in full.
    seed
        Of the random arrangements.

    Raises
    ------
    FitError
        If nothing was pooled.
    ValueError
        If ``draws`` is below 1.
    """
    require_pooled(fit, "permutation test")
    if draws < 1:
        raise ValueError(f"draws is {draws}; expected at least 1.")
    observed = fit.estimate
    assert observed is not None
    count = _n_signs(fit) if not fit.has_moderators else _n_orders(fit.problem.design)
    exact = count <= max_exact
    rng = np.random.default_rng(seed)
    if exact:
        arranged = _all_signs(fit) if not fit.has_moderators else _all_orders(fit.problem)
    else:
        arranged = _drawn(fit, rng, draws)
    statistics, wald = [], []
    for studies in arranged:
        found = estimate(studies, method=fit.method, test=fit.test, level=fit.level)
        statistics.append(found.statistic)
        wald.append(_wald(found.coefficients, found.vcov, fit))
    values = np.array(statistics)
    limit = np.abs(observed.statistic) * (1.0 - _SLACK)
    own_wald = _wald(observed.coefficients, observed.vcov, fit)
    total, extra = (len(values), 0) if exact else (len(values) + 1, 1)
    # Where residuals are all 0 there is no statistic: such an arrangement counts as extreme.
    p = (np.sum(~(np.abs(values) < limit), axis=0) + extra) / total
    p = np.where(np.isfinite(observed.statistic), p, np.nan)
    qm_p = float("nan")
    if fit.has_moderators:
        qm_p = float((np.sum(~(np.array(wald) < own_wald * (1.0 - _SLACK))) + extra) / total)
        qm_p = qm_p if np.isfinite(own_wald) else float("nan")
    smallest = (1.0 if fit.has_moderators or not exact else 2.0) / total
    rows = pd.DataFrame(
        {"term": list(fit.terms), "statistic": observed.statistic, "p": p, "smallest_p": smallest}
    )
    return PermutationTest(rows, qm_p, total, exact, None if exact else seed)


def _wald(coefficients: np.ndarray, vcov: np.ndarray, fit: MetaFit) -> float:
    tested = [i for i, name in enumerate(fit.terms) if name != "(Intercept)"] or [0]
    scale = np.sqrt(np.diagonal(vcov)[tested])
    if not (scale > 0.0).all():
        return float("nan")
    unit = coefficients[tested] / scale
    return float(unit @ np.linalg.solve(vcov[np.ix_(tested, tested)] / np.outer(scale, scale), unit))


def _n_signs(fit: MetaFit) -> int:
    return int(2**fit.k)


def _all_signs(fit: MetaFit) -> Iterator[Studies]:
    given = fit.problem
    for signs in product((1.0, -1.0), repeat=fit.k):
        yield Studies(given.effect * np.array(signs), given.variance, given.design, given.weights)


def _kinds(design: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows of moderators, and how many studies have each."""
    rows, counts = np.unique(design, axis=0, return_counts=True)
    return rows, counts


def _n_orders(design: np.ndarray) -> int:
    _, counts = _kinds(design)
    return math.factorial(len(design)) // math.prod(math.factorial(int(each)) for each in counts)


def _all_orders(given: Studies) -> Iterator[Studies]:
    rows, counts = _kinds(given.design)
    for order in _arrangements(list(map(int, counts))):
        yield Studies(given.effect, given.variance, rows[order], given.weights)


def _arrangements(counts: list[int]) -> Iterator[list[int]]:
    """Yield every distinct sequence with each kind as often as ``counts`` says."""
    if not any(counts):
        yield []
        return
    for kind, left in enumerate(counts):
        if left:
            rest = [*counts[:kind], left - 1, *counts[kind + 1 :]]
            for tail in _arrangements(rest):
                yield [kind, *tail]


def _drawn(fit: MetaFit, rng: np.random.Generator, draws: int) -> Iterator[Studies]:
    given = fit.problem
    for _ in range(draws):
        if fit.has_moderators:
            yield Studies(given.effect, given.variance, given.design[rng.permutation(fit.k)], given.weights)
        else:
            signs = rng.choice((1.0, -1.0), fit.k)
            yield Studies(given.effect * signs, given.variance, given.design, given.weights)
