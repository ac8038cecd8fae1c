"""Effect sizes of means: two groups, or one group measured twice. Names and conventions of metafor.

Standardised differences are corrected for small samples with the exact factor J(df) of Hedges (1981).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from nwbswitch.analysis.meta_analysis.published_tables import Group, PublishedRow, RowError

VType = Literal["LS", "LS2", "UB", "HO"]


class Found(NamedTuple):
    """An effect, its sampling variance, and what it was computed from."""

    effect: float
    variance: float
    basis: str


def exact_j(df: float) -> float:
    """Return the factor that makes a standardised difference unbiased (Hedges 1981, equation 6e)."""
    return math.exp(math.lgamma(df / 2.0) - math.lgamma((df - 1.0) / 2.0)) / math.sqrt(df / 2.0)


def mean_difference(row: PublishedRow, vtype: VType) -> Found:
    """MD: m1 - m2; variances as given (LS), or pooled as equal (HO)."""
    n1, n2 = _sizes(row)
    if row.has("m1i", "m2i") and not _has_spread(row) and row.has_test():
        difference = row.number("m1i") - row.number("m2i")
        t, basis = row.t_value(n1 + n2 - 2.0)
        return Found(difference, _squared_se(difference, t), f"means and {basis}")
    one, two = _groups(row, n1, n2)
    if vtype == "HO":
        variance = _pooled_variance(one, two) * (1.0 / n1 + 1.0 / n2)
    else:
        variance = one.sd**2 / n1 + two.sd**2 / n2
    return Found(one.mean - two.mean, variance, _basis(one, two))


def standardised_difference(row: PublishedRow, vtype: VType) -> Found:
    """SMD: J (m1 - m2) / pooled SD (Hedges' g), also from d, t, F or P of the two-sample t test.

    Variances: LS 1/n1 + 1/n2 + g^2 / 2N (Hedges 1982), LS2 J^2 (1/n1 + 1/n2 + d^2 / 2N) (Borenstein 2009),
    UB unbiased (Hedges 1983).
    """
    n1, n2 = _sizes(row)
    df = n1 + n2 - 2.0
    j = exact_j(_enough(df))
    if not (row.has("di") or row.has_test()) or (row.has("m1i", "m2i") and _has_spread(row)):
        one, two = _groups(row, n1, n2)
        d, basis = (one.mean - two.mean) / math.sqrt(_pooled_variance(one, two)), _basis(one, two)
    elif row.has("di"):
        d, basis = row.number("di"), "d"
    else:
        t, basis = row.t_value(df)
        d = t * math.sqrt(1.0 / n1 + 1.0 / n2)
    g, known = j * d, 1.0 / n1 + 1.0 / n2
    match vtype:
        case "UB":
            variance = known + (1.0 - (df - 2.0) / (df * j**2)) * g**2
        case "LS2":
            variance = j**2 * (known + d**2 / (2.0 * (n1 + n2)))
        case _:
            variance = known + g**2 / (2.0 * (n1 + n2))
    return Found(g, variance, basis)


def standardised_difference_unequal(row: PublishedRow, vtype: VType) -> Found:
    """SMDH: J (m1 - m2) / sqrt((sd1^2 + sd2^2) / 2), for groups of unequal variances (Bonett 2008).

    The variance is J^2 times Bonett's at the corrected difference, as metafor 3.8 has it.
    """
    n1, n2 = _sizes(row)
    one, two = _groups(row, n1, n2)
    j = exact_j(_enough(n1 + n2 - 2.0))
    mean_square = (one.sd**2 + two.sd**2) / 2.0
    g = j * (one.mean - two.mean) / math.sqrt(mean_square)
    a, b = one.sd**2 / (n1 - 1.0), two.sd**2 / (n2 - 1.0)
    spread = (one.sd**2 * a + two.sd**2 * b) / (8.0 * mean_square**2)
    return Found(g, j**2 * (g**2 * spread + (a + b) / mean_square), _basis(one, two))


def ratio_of_means(row: PublishedRow, vtype: VType) -> Found:
    """ROM: log(m1 / m2) (Hedges et al. 1999); variances as given (LS), or pooled as equal (HO)."""
    n1, n2 = _sizes(row)
    one, two = _groups(row, n1, n2)
    effect = _log_ratio(one.mean, two.mean)
    first, second = one.sd**2, two.sd**2
    if vtype == "HO":
        first = second = _pooled_variance(one, two)
    return Found(effect, first / (n1 * one.mean**2) + second / (n2 * two.mean**2), _basis(one, two))


def mean_change(row: PublishedRow, vtype: VType) -> Found:
    """MC: m1 - m2 of the same animals, variance sd_diff^2 / n, also from the paired t, F or P."""
    n = row.size("ni")
    change = row.number("m1i") - row.number("m2i")
    if not row.has("sddi") and not row.has("ri") and row.has_test():
        t, basis = row.t_value(n - 1.0)
        return Found(change, _squared_se(change, t), f"means and paired {basis}")
    sd, basis = _sd_of_change(row, n)
    return Found(change, sd**2 / n, basis)


def standardised_change(row: PublishedRow, vtype: VType) -> Found:
    """SMCC: J (m1 - m2) / SD of the differences (Gibbons et al. 1993), also from the paired t, F or P.

    Variances: LS 1/n + g^2 / 2n, LS2 J^2 (1/n + d^2 / 2n).
    """
    n = row.size("ni")
    j = exact_j(_enough(n - 1.0))
    if not row.has_test() or (row.has("m1i", "m2i") and (row.has("sddi") or row.has("ri"))):
        sd, basis = _sd_of_change(row, n)
        d = (row.number("m1i") - row.number("m2i")) / sd
    else:
        t, basis = row.t_value(n - 1.0)
        d, basis = t / math.sqrt(n), f"paired {basis}"
    g = j * d
    if vtype == "LS2":
        return Found(g, j**2 * (1.0 / n + d**2 / (2.0 * n)), basis)
    return Found(g, 1.0 / n + g**2 / (2.0 * n), basis)


def standardised_change_raw(row: PublishedRow, vtype: VType) -> Found:
    """SMCR: J (m1 - m2) / sd1 (Becker 1988); the SD is that of the first measurement.

    Variances: LS 2 (1 - r) / n + g^2 / 2n, LS2 J^2 (2 (1 - r) / n + d^2 / 2n).
    """
    n = row.size("ni")
    j = exact_j(_enough(n - 1.0))
    first = row.group("1", n)
    r = _pair_correlation(row, n)
    d = (first.mean - row.number("m2i")) / first.sd
    known = 2.0 * (1.0 - r) / n
    variance = j**2 * (known + d**2 / (2.0 * n)) if vtype == "LS2" else known + (j * d) ** 2 / (2.0 * n)
    return Found(j * d, variance, first.basis)


def ratio_of_means_change(row: PublishedRow, vtype: VType) -> Found:
    """ROMC: log(m1 / m2) of the same animals (Lajeunesse 2011)."""
    n = row.size("ni")
    one, two = row.group("1", n), row.group("2", n)
    r = _pair_correlation(row, n)
    cv1, cv2 = one.sd / one.mean if one.mean else math.nan, two.sd / two.mean if two.mean else math.nan
    effect = _log_ratio(one.mean, two.mean)
    return Found(effect, (cv1**2 + cv2**2 - 2.0 * r * cv1 * cv2) / n, _basis(one, two))


def _sizes(row: PublishedRow) -> tuple[float, float]:
    return row.size("n1i"), row.size("n2i")


def _groups(row: PublishedRow, n1: float, n2: float) -> tuple[Group, Group]:
    return row.group("1", n1), row.group("2", n2)


def _has_spread(row: PublishedRow) -> bool:
    return any(
        row.has(f"{name}{which}{end}")
        for which in "12"
        for name, end in (("sd", "i"), ("se", "i"), ("ci", "_low"))
    )


def _pooled_variance(one: Group, two: Group) -> float:
    return ((one.n - 1.0) * one.sd**2 + (two.n - 1.0) * two.sd**2) / (one.n + two.n - 2.0)


def _basis(one: Group, two: Group) -> str:
    return f"means and {one.basis}" if one.basis == two.basis else f"means, {one.basis} and {two.basis}"


def _enough(df: float) -> float:
    if df < 2.0:
        raise RowError(f"{df:g} degree of freedom; the correction for small samples needs at least 2")
    return df


def _squared_se(difference: float, t: float) -> float:
    if t == 0.0 or difference == 0.0:
        raise RowError("a difference or a t of 0 says nothing of the standard error")
    if (t > 0.0) != (difference > 0.0):
        raise RowError(f"the signs of the difference {difference:g} and of t = {t:g} differ")
    return (difference / t) ** 2


def _sd_of_change(row: PublishedRow, n: float) -> tuple[float, str]:
    if row.has("sddi"):
        return row.positive("sddi"), "SD of differences"
    one, two, r = row.group("1", n), row.group("2", n), row.correlation("ri")
    return math.sqrt(one.sd**2 + two.sd**2 - 2.0 * r * one.sd * two.sd), _basis(one, two)


def _pair_correlation(row: PublishedRow, n: float) -> float:
    """Return r as given, or from the SDs of both measurements and of their difference."""
    if row.has("ri") or not row.has("sddi"):
        return row.correlation("ri")
    one, two, change = row.group("1", n), row.group("2", n), row.positive("sddi")
    r = (one.sd**2 + two.sd**2 - change**2) / (2.0 * one.sd * two.sd)
    if not -1.0 < r < 1.0:
        raise RowError(f"sddi = {change:g} cannot be the SD of the differences: it implies r = {r:.3g}")
    return r


def _log_ratio(first: float, second: float) -> float:
    if first * second <= 0.0:
        raise RowError(f"the means {first:g} and {second:g} have no log ratio; they must have one sign")
    return math.log(first / second)
