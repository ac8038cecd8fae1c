"""Negative controls: what must not be there where no drug is.

N1 is the pseudo-injection of the drug sessions against that of the reference sessions, N2 the reference
injection against its own pseudo-injection, N3 exchanged labels, N4 ROIs that cannot report activity, N5
the reference thinned by the gain of the drug. Slow fluctuation without a drug is in both sides of N1 and
N2, at one lag, and cancels; it does not fail a control.

A control fails when something that is not negligible is shown where there is nothing: its P is below 5 %
and the estimate lies beyond the margin; or when the pattern that would be claimed is shown. A test against
0 alone would fail on a drift that is in both arms and far smaller than the margin. The tests of all
controls of one arm share one error of 5 % (Holm). N3 has no P of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from nwbswitch.analysis.verdicts.contrasts import Difference
from nwbswitch.analysis.verdicts.pooling import ALPHA, Estimate, holm

EQUIVALENCE_LEVEL = 0.90
CONTROLS = ("N1", "N2", "N3", "N4", "N5")


class Outcome(StrEnum):
    """What a control says; only a failure changes a verdict."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Control:
    """A negative control of one arm.

    Attributes
    ----------
    sentence
        What was compared and found, for the report; begins with the name.
    estimates
        The numbers behind it by name.
    """

    name: str
    arm: str
    outcome: Outcome
    sentence: str
    estimates: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def m(self) -> Estimate | None:
        """M of the control, where it has one."""
        return self.estimates.get("M")

    @property
    def finding(self) -> str:
        """The sentence without the name and the full stop, to be put into another one."""
        return self.sentence.removeprefix(self.name).strip(" :.")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that must be 0.

    Attributes
    ----------
    beyond
        Whether the estimate is large enough to matter.
    negligible
        Whether its interval shows that it is too small to matter.
    one_sided
        Whether only what is above 0 counts.
    needed
        Whether a control needs it to pass; else it may be not estimable.
    """

    name: str
    estimate: Estimate
    beyond: bool
    negligible: bool
    one_sided: bool = False
    needed: bool = True

    @classmethod
    def within(cls, margin: float, name: str, estimate: Estimate, *, one_sided: bool = False) -> Self:
        """Return a number that matters beyond a margin around 0."""
        return cls(name, estimate, abs(estimate.estimate) > margin, inside(estimate, margin), one_sided)

    @property
    def p(self) -> float:
        """P of the t test against 0; NaN when there is none."""
        p = self.estimate.p_t()
        if self.one_sided:
            return p / 2 if self.estimate.estimate > 0 else 1 - p / 2
        return p


@dataclass(frozen=True, slots=True)
class Check:
    """A comparison that must show nothing.

    Attributes
    ----------
    what
        What is compared, in words; or why the comparison cannot be had, when nothing is tested.
    tested
        The numbers that must be 0; the control cannot be had without any.
    shown, absent
        What it means when they are not, and when they are shown to be negligible.
    pattern
        R_act and R_sil, when a claim of their pattern is a failure by itself.
    """

    name: str
    what: str
    tested: tuple[Quantity, ...] = ()
    shown: str = ""
    absent: str = ""
    pattern: tuple[Estimate, Estimate] | None = None


def inside(estimate: Estimate, margin: float) -> bool:
    """Return whether the 90 % interval lies within the margin: two one-sided tests at 5 %."""
    low, high = estimate.interval(EQUIVALENCE_LEVEL)
    return -margin < low and high < margin


def remapping_check(
    name: str, what: str, difference: Difference | None, *, margin: float, one_sided: bool = False
) -> Check:
    """Return the check of a comparison that must show no remapping; ``difference`` None if there is none.

    ``one_sided`` counts only remapping that is more than in the reference.
    """
    if difference is None:
        return Check(name, what)
    found = difference.estimates
    m = found["M", 0]
    return Check(
        name,
        what,
        (Quantity.within(margin, "M", m, one_sided=one_sided),),
        shown="shows remapping where no drug is",
        absent=f"shows no remapping beyond {margin:g}",
        pattern=(found["R_act", 0], found["R_sil", 0]),
    )


def judge(arm: str, checks: Sequence[Check]) -> tuple[Control, ...]:
    """Return the controls of one arm; all their tests share the error by Holm's method.

    Parameters
    ----------
    arm
        The arm whose verdict rests on them.
    checks
        The comparisons; those that cannot be had become controls that are impossible.
    """
    adjusted = iter(holm([each.p for check in checks for each in check.tested]))
    return tuple(_judged(arm, check, [next(adjusted) for _ in check.tested]) for check in checks)


def _judged(arm: str, check: Check, p_values: Sequence[float]) -> Control:
    name = check.name
    if not check.tested:
        return Control(name, arm, Outcome.IMPOSSIBLE, f"{name} impossible here: {check.what}.")
    found = {each.name: each.estimate for each in check.tested}
    known = [each for each in check.tested if each.estimate.estimable]
    if not known:
        lost = "; ".join(f"{each.name} {each.estimate.status}" for each in check.tested)
        return Control(name, arm, Outcome.INCONCLUSIVE, f"{name} ({check.what}): {lost}.", found)
    harmless = all(each.negligible for each in known)
    claimed = check.pattern is not None and replicates(*check.pattern) and not harmless
    shown = any(p < ALPHA and each.beyond for each, p in zip(check.tested, p_values, strict=True))
    if claimed:
        outcome, why = (
            Outcome.FAILED,
            "shows active neurons falling and silent neurons rising, as a drug would",
        )
    elif shown:
        outcome, why = Outcome.FAILED, check.shown
    elif harmless and all(each.estimate.estimable for each in check.tested if each.needed):
        outcome, why = Outcome.PASSED, check.absent
    else:
        outcome, why = Outcome.INCONCLUSIVE, "shows nothing large, but does not exclude it either"
    numbers = "; ".join(_numbers(each.name, each.estimate) for each in check.tested)
    return Control(name, arm, outcome, f"{name} ({check.what}) {why}: {numbers}.", found)


def _numbers(name: str, estimate: Estimate) -> str:
    if not estimate.estimable:
        return f"{name} {estimate.status}"
    low, high = estimate.interval(EQUIVALENCE_LEVEL)
    return f"{name} = {estimate.estimate:.2f}, 90% CI {low:.2f} to {high:.2f}"


def replicates(r_act: Estimate, r_sil: Estimate) -> bool:
    """Return whether 95% intervals show R_act below 0 and R_sil above 0 (intersection-union test)."""
    return r_act.interval()[1] < 0 < r_sil.interval()[0]
