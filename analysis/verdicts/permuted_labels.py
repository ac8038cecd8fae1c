"""N3: the analysis with permuted labels, which must find nothing.

All exchanges of labels, or a sample of them, say what the analysis finds where labels mean nothing. Where
the interval of M shows remapping, the place of the observed M among them, its exact P, must be below 5 %:
an interval that claims what relabelling does not support rests on an assumption that these animals do not
meet, and the control fails. (Words of remapping other than "switch" rest on intervals alone.)

The intervals that the words rest on (rho* of the arm; M, R_act and R_sil against the reference; jackknife
over animals) are also found again for every arrangement. Where they alone would be read as a switch, or as
remapping, in more arrangements than `LARGEST_SHARE`, they are narrower than these animals allow, for instance
because a few animals hold most neurons, and the exact P decides; the control is then inconclusive. It does
not fail, since a strong effect survives the exchange of the smallest animals. tau_c is left out: the
detection of ROIs has nothing to do with labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.animal_sums import AnimalSums
from nwbswitch.analysis.estimands.counts import Bools, Floats
from nwbswitch.analysis.estimands.primary import (
    Estimand,
    Layout,
    active_response,
    silent_response,
    state_correlation,
)
from nwbswitch.analysis.verdicts.contrasts import Difference
from nwbswitch.analysis.verdicts.controls import EQUIVALENCE_LEVEL, Control, Outcome, inside
from nwbswitch.analysis.verdicts.pooling import ALPHA, LEVEL
from nwbswitch.analysis.verdicts.relabelling import relabelling, smallest_p

MOST = 256
"""Arrangements for which the rule is evaluated; beyond it this many are drawn."""
LARGEST_SHARE = 0.07
"""Share of arrangements that may be read as remapping by intervals alone.

It should be 2.5 %; among the 64 or 128 arrangements of 6 or 7 animals with normal values it reaches 6 %."""
_MOST_NUMBERS = 8_000_000


@dataclass(frozen=True, slots=True)
class PermutedLabels:
    """What the rule says under every arrangement of labels, the observed one first.

    Attributes
    ----------
    switch, remapping
        Whether the intervals would be read as a switch, and whether that of M lies above 0 and not within
        the margin; shape (arrangements,).
    m
        Excess remapping, shape (arrangements,).
    complete
        Whether these are all arrangements.
    """

    switch: Bools
    remapping: Bools
    m: Floats
    complete: bool


@dataclass(frozen=True, slots=True)
class _Jackknifed:
    """Value for all animals of a group and without each, shapes (arrangements,) and (arrangements, n)."""

    value: Floats
    left: Floats


@dataclass(frozen=True, slots=True)
class _Interval:
    """Estimates with their t intervals, all of shape (arrangements,)."""

    value: Floats
    se: Floats
    df: Floats

    def bounds(self, level: float = LEVEL) -> tuple[Floats, Floats]:
        from scipy.special import stdtrit

        half = np.asarray(stdtrit(self.df, 0.5 + level / 2)) * self.se
        return self.value - half, self.value + half


def permuted_labels(
    drug: AnimalSums,
    compared: AnimalSums,
    difference: Difference,
    *,
    margin: float,
    anatomical: bool,
    seed: int = 0,
    most: int = MOST,
) -> PermutedLabels:
    """Return what the rule would say if labels were exchanged.

    Parameters
    ----------
    drug, compared
        Sums of the arm and of its reference.
    difference
        Their comparison: which animals, within or between.
    margin, anatomical
        As in the rule: half-width of no correlation, and whether that alone excludes a switch.
    most
        Number of arrangements beyond which that many are drawn; fewer with hundreds of animals.
    """
    paired = difference.design == "within"
    n_one, n_two = len(difference.animals), len(difference.others)
    places = [(each, each) for each in range(n_one)] if paired else difference.shared
    most = max(20, min(most, _MOST_NUMBERS // ((n_one + n_two) * drug.layout.expected().size)))
    dealt = relabelling(n_one, n_two, places, most=most, seed=seed)
    rows = np.concatenate([drug.rows(difference.animals), compared.rows(difference.others)])[:, 0]
    rows, layout = drug.layout.averaged(rows), drug.layout.expected()

    def of_arm_and_other(estimand: Estimand) -> tuple[_Jackknifed, _Jackknifed]:
        one = _jackknifed(estimand, layout, rows[dealt.first])
        return one, _jackknifed(estimand, layout, rows[dealt.second])

    def against_other(pair: tuple[_Jackknifed, _Jackknifed]) -> _Interval:
        return _within(*pair) if paired else _between(*pair, difference.shared)

    rho = of_arm_and_other(state_correlation)
    lost = against_other(rho)
    m = _Interval(-lost.value, lost.se, lost.df)
    below = _within(rho[0], _Jackknifed(np.zeros(1), np.zeros((1, 1))))
    r_act, r_sil = (against_other(of_arm_and_other(each)) for each in (active_response, silent_response))
    return PermutedLabels(
        switch=(below.bounds()[1] < 0)
        & ~(anatomical & _inside(below, margin))
        & (r_act.bounds()[1] < 0)
        & (r_sil.bounds()[0] > 0),
        remapping=(m.bounds()[0] > 0) & ~_inside(m, margin),
        m=m.value,
        complete=dealt.complete,
    )


def _jackknifed(estimand: Estimand, layout: Layout, rows: Floats) -> _Jackknifed:
    totals = rows.sum(axis=1)
    return _Jackknifed(estimand(totals, layout), estimand(totals[:, None] - rows, layout))


def _within(one: _Jackknifed, two: _Jackknifed) -> _Interval:
    left = one.left - two.left
    n = left.shape[1]
    spread = ((left - left.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    df = np.full(spread.shape, n - 1.0)
    return _Interval(one.value - two.value, np.sqrt((n - 1) / n * spread), df)


def _between(one: _Jackknifed, two: _Jackknifed, shared: Sequence[tuple[int, int]]) -> _Interval:
    """Return the interval of Welch 1947, with the covariance of animals in both groups."""
    parts = []
    for group in (one, two):
        n = group.left.shape[1]
        parts.append(math.sqrt((n - 1) / n) * (group.left.mean(axis=1, keepdims=True) - group.left))
    u, w = parts
    v_one, v_two = (u**2).sum(axis=1), (w**2).sum(axis=1)
    covariance = np.sum([u[:, i] * w[:, j] for i, j in shared], axis=0) if shared else 0.0
    n_one, n_two = u.shape[1], w.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (v_one + v_two) ** 2 / (v_one**2 / (n_one - 1) + v_two**2 / (n_two - 1))
    se = np.sqrt(np.maximum(v_one + v_two - 2 * covariance, 0))
    return _Interval(one.value - two.value, se, df)


def _inside(found: _Interval, margin: float) -> Bools:
    low, high = found.bounds(EQUIVALENCE_LEVEL)
    inside: Bools = (-margin < low) & (high < margin)
    return inside


def label_control(
    arm: str,
    drug: AnimalSums,
    compared: AnimalSums,
    difference: Difference,
    *,
    margin: float,
    anatomical: bool,
    seed: int = 0,
) -> Control:
    """Return N3 for an arm and its reference; see `permuted_labels` for the arguments."""
    n_one, n_two = len(difference.animals), len(difference.others)
    paired = difference.design == "within"
    m = difference.estimates["M", 0]
    found = {"M": m}
    if smallest_p(n_one, n_two, n_one if paired else len(difference.shared)) > ALPHA:
        who = f"{n_one} animals" if paired else f"{n_one} and {n_two} animals"
        sentence = f"N3 impossible here: exchanging labels of {who} cannot give a P of 5 %."
        return Control("N3", arm, Outcome.IMPOSSIBLE, sentence)
    exchanged = "within" if paired else "between"
    what = f"labels of {arm} and its reference exchanged {exchanged} animals"
    if not m.estimable:
        return Control("N3", arm, Outcome.INCONCLUSIVE, f"N3 ({what}): M {m.status}.", found)
    dealt = permuted_labels(drug, compared, difference, margin=margin, anatomical=anatomical, seed=seed)
    shares = float(dealt.switch.mean()), float(dealt.remapping.mean())
    low, high = m.interval()
    if low > 0 and not inside(m, margin) and not m.p < ALPHA:
        outcome, why = Outcome.FAILED, "does not support the interval of M, which lies above 0"
    elif m.p < ALPHA and low <= 0 <= high:
        outcome, why = Outcome.INCONCLUSIVE, "supports more than the interval of M, which includes 0"
    elif max(shares) > LARGEST_SHARE:
        outcome, why = Outcome.INCONCLUSIVE, "shows intervals to be narrow, so that the exact P decides"
    else:
        outcome, why = Outcome.PASSED, "finds nothing, and the exact P agrees with the interval of M"
    numbers = (
        f"by intervals a switch in {shares[0]:.1%} and remapping in {shares[1]:.1%} of "
        f"{'all ' if dealt.complete else ''}{dealt.m.size} arrangements; M = {m.estimate:.2f}, "
        f"95% CI {low:.2f} to {high:.2f}, exact P = {m.p:.3g}"
    )
    return Control("N3", arm, outcome, f"N3 ({what}) {why}: {numbers}.", found)
