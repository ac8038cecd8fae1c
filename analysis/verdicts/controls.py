"""Negative controls: what must not be there where no drug is.

A control compares two things that differ by chance only: N1 the pseudo-injection of the drug sessions
against that of the reference sessions, N2 the reference injection against its own pseudo-injection. Slow
fluctuation without a drug is in both sides, at one lag, and cancels; it does not fail a control.

A control fails when remapping is shown where there is none, or the pattern that would be claimed is. The
tests of all controls of one arm share one error of 5 % (Holm), and a difference that is shown to lie
inside the margin is no failure, however small its P.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nwbswitch.analysis.verdicts.contrasts import Difference
from nwbswitch.analysis.verdicts.pooling import ALPHA, Estimate, holm

EQUIVALENCE_LEVEL = 0.90


class Outcome(StrEnum):
    """What a control says; only a failure changes a verdict."""

    PASSED = "passed"
    INCONCLUSIVE = "inconclusive"
    FAILED = "failed"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Control:
    """A negative control of one arm, with its sentence for the report."""

    name: str
    arm: str
    outcome: Outcome
    sentence: str
    m: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A comparison that must show nothing.

    ``difference`` is None when the control cannot be had, and ``what`` then says why. ``one_sided`` counts
    only remapping that is more than in the reference.
    """

    name: str
    what: str
    difference: Difference | None
    one_sided: bool = False


def judge(arm: str, checks: Sequence[Check], *, margin: float) -> tuple[Control, ...]:
    """Return the controls of one arm.

    Parameters
    ----------
    arm
        The arm whose verdict rests on them.
    checks
        The comparisons; those that can be had share the error by Holm's method.
    margin
        Half-width of the interval around 0 inside which M is no remapping.
    """
    p_values = [_p(check) for check in checks]
    adjusted = holm(p_values)
    return tuple(_judged(arm, check, p, margin) for check, p in zip(checks, adjusted, strict=True))


def _p(check: Check) -> float:
    if check.difference is None:
        return float("nan")
    m = check.difference.estimates["M", 0]
    p = m.p_t()
    if check.one_sided:
        return p / 2 if m.estimate > 0 else 1 - p / 2
    return p


def _judged(arm: str, check: Check, p: float, margin: float) -> Control:
    if check.difference is None:
        return Control(check.name, arm, Outcome.IMPOSSIBLE, f"{check.name} impossible here: {check.what}.")
    found = check.difference.estimates
    m = found["M", 0]
    if not m.estimable:
        sentence = f"{check.name} ({check.what}): M {m.status}."
        return Control(check.name, arm, Outcome.INCONCLUSIVE, sentence, m)
    low, high = m.interval(EQUIVALENCE_LEVEL)
    inside = -margin < low and high < margin
    claimed = replicates(found["R_act", 0], found["R_sil", 0]) and not inside
    numbers = f"M = {m.estimate:.2f}, 90% CI {low:.2f} to {high:.2f}, Holm P = {p:.3f}"
    if (p < ALPHA and not inside) or claimed:
        outcome = Outcome.FAILED
        why = "shows remapping where no drug is"
        if claimed:
            why = "shows active neurons falling and silent neurons rising where no drug is"
    elif inside:
        outcome, why = Outcome.PASSED, f"no remapping beyond {margin:g}"
    else:
        outcome, why = Outcome.INCONCLUSIVE, f"no remapping shown, but {margin:g} is not excluded either"
    return Control(check.name, arm, outcome, f"{check.name} ({check.what}) {why}: {numbers}.", m)


def replicates(r_act: Estimate, r_sil: Estimate) -> bool:
    """Return whether 95% intervals show R_act below 0 and R_sil above 0 (intersection-union test)."""
    return r_act.interval()[1] < 0 < r_sil.interval()[0]
