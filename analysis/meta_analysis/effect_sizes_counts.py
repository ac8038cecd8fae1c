"""Effect sizes of counts, rates and correlations, and effects that come with an error of their own."""

from __future__ import annotations

import math
from typing import Literal

from nwbswitch.analysis.meta_analysis.effect_sizes_means import Found
from nwbswitch.analysis.meta_analysis.published_tables import PublishedRow, RowError

To = Literal["only0", "all", "none"]


def odds_ratio(row: PublishedRow, add: float, to: To) -> Found:
    """OR: log odds ratio, variance 1/a + 1/b + 1/c + 1/d (Woolf 1955)."""
    (a, b, c, d), basis = _two_by_two(row, add, to)
    _require(a, b, c, d)
    return Found(math.log(a * d / (b * c)), 1.0 / a + 1.0 / b + 1.0 / c + 1.0 / d, basis)


def risk_ratio(row: PublishedRow, add: float, to: To) -> Found:
    """RR: log risk ratio, variance 1/a - 1/n1 + 1/c - 1/n2 (Katz et al. 1978)."""
    (a, b, c, d), basis = _two_by_two(row, add, to)
    _require(a, c)
    n1, n2 = a + b, c + d
    return Found(math.log(a / n1 * n2 / c), 1.0 / a - 1.0 / n1 + 1.0 / c - 1.0 / n2, basis)


def risk_difference(row: PublishedRow, add: float, to: To) -> Found:
    """RD: difference of proportions, variance p1 q1 / n1 + p2 q2 / n2."""
    (a, b, c, d), basis = _two_by_two(row, add, to)
    n1, n2 = a + b, c + d
    return Found(a / n1 - c / n2, a * b / n1**3 + c * d / n2**3, basis)


def log_odds(row: PublishedRow, add: float, to: To) -> Found:
    """PLO: log odds of x of n, variance 1/x + 1/(n - x)."""
    n = row.size("ni", least=1)
    x = row.count("xi")
    if x > n:
        raise RowError(f"xi = {x:g} is more than ni = {n:g}")
    (yes, no), basis = _added((x, n - x), add, to)
    _require(yes, no)
    return Found(math.log(yes / no), 1.0 / yes + 1.0 / no, basis)


def rate_ratio(row: PublishedRow, add: float, to: To) -> Found:
    """IRR: log ratio of two rates of events, x in a time t, variance 1/x1 + 1/x2."""
    t1, t2 = row.positive("t1i"), row.positive("t2i")
    (x1, x2), basis = _added((row.count("x1i"), row.count("x2i")), add, to)
    _require(x1, x2)
    return Found(math.log(x1 / t1 * t2 / x2), 1.0 / x1 + 1.0 / x2, basis)


def correlation(row: PublishedRow) -> Found:
    """COR: r, variance (1 - r^2)^2 / (n - 1); r also from t."""
    r, n, basis = _correlation(row)
    return Found(r, (1.0 - r**2) ** 2 / (n - 1.0), basis)


def fisher_z(row: PublishedRow) -> Found:
    """ZCOR: atanh r, variance 1 / (n - 3) (Fisher 1921); r also from t."""
    r, n, basis = _correlation(row)
    if n < 4:
        raise RowError(f"ni = {n:g}; the variance of z needs at least 4")
    return Found(math.atanh(r), 1.0 / (n - 3.0), basis)


def given_effect(row: PublishedRow) -> Found:
    """GEN: an effect as given, its variance from vi, from the standard error, an interval, t or P.

    Intervals and P are those of the normal distribution, or of t with ``dfi`` degrees of freedom.
    """
    effect = row.number("yi")
    if row.has("vi"):
        return Found(effect, row.positive("vi"), "variance")
    if row.has("sei"):
        return Found(effect, row.positive("sei") ** 2, "SE")
    df = row.positive("dfi") if row.has("dfi") else None
    if row.has("ci_low", "ci_high"):
        return Found(effect, row.interval_se(df, effect) ** 2, "CI")
    if row.has("ti"):
        statistic, basis = abs(row.number("ti")), "t"
    elif row.has("pi"):
        statistic, basis = _statistic_of_p(row.number("pi"), df), "P"
    else:
        raise RowError("vi, sei, ci_low with ci_high, ti and pi are empty")
    if statistic == 0.0 or effect == 0.0:
        raise RowError("an effect or a statistic of 0 says nothing of the standard error")
    return Found(effect, (effect / statistic) ** 2, basis)


def _statistic_of_p(p: float, df: float | None) -> float:
    from scipy.stats import norm
    from scipy.stats import t as t_distribution

    if not 0.0 < p <= 1.0:
        raise RowError(f"pi is {p:g}, expected an exact two-sided P above 0")
    return float((norm if df is None else t_distribution(df)).isf(p / 2.0))


def _correlation(row: PublishedRow) -> tuple[float, float, str]:
    n = row.size("ni", least=3)
    if row.has("ri") or not row.has("ti"):
        return row.correlation("ri"), n, "r"
    t = row.number("ti")
    return t / math.sqrt(t**2 + n - 2.0), n, "t"


def _two_by_two(row: PublishedRow, add: float, to: To) -> tuple[tuple[float, ...], str]:
    """Return the cells: ai of n1i and ci of n2i, or ai, bi, ci, di."""
    a, c = row.count("ai"), row.count("ci")
    rest = []
    for own, other, total in ((a, "bi", "n1i"), (c, "di", "n2i")):
        if row.has(other) or not row.has(total):
            rest.append(row.count(other))
            continue
        n = row.size(total, least=1)
        if own > n:
            raise RowError(f"{own:g} of {total} = {n:g} is too many")
        rest.append(n - own)
    if a + rest[0] == 0.0 or c + rest[1] == 0.0:
        raise RowError("one of the two groups is empty")
    return _added((a, rest[0], c, rest[1]), add, to)


def _added(cells: tuple[float, ...], add: float, to: To) -> tuple[tuple[float, ...], str]:
    if to == "all" or (to == "only0" and 0.0 in cells):
        return tuple(cell + add for cell in cells), f"counts, {add:g} added"
    return cells, "counts"


def _require(*cells: float) -> None:
    if 0.0 in cells:
        raise RowError("a count is 0, and nothing was added to it")
