"""Carry-over: whether the baseline is another after a session with the drug than after one with the control.

Every session that follows another of the same animal gives a change of baseline: G, and rho* of the two
baselines for neurons that are followed. The change after sessions of the arm is compared with that after
sessions of the reference. A check that finds nothing shows little: a crossover has few animals for it, and
testing it first and then choosing the analysis by it makes both wrong (Freeman 1989, Stat Med 8:1421-1432).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nwbswitch.analysis.designs.held_sessions import Held, days_between
from nwbswitch.analysis.estimands.counts import DRUG, HalfCounts, SessionCounts, by_animal, halves
from nwbswitch.analysis.estimands.primary import OK, Layout, contrast_sums, evaluate, status
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.verdicts.arm_analysis import arm_key
from nwbswitch.analysis.verdicts.pooling import Estimate, jackknife, jackknife_between

Floats = NDArray[np.float64]
CHECKED = ("G", "rho_star")
MIN_FOLLOWED = 2
TOO_FEW = "needs >= 2 animals after either"
NOT_FOLLOWED = "not estimable: neurons are not followed over sessions"
_PLAIN = Layout(0, ())


@dataclass(frozen=True, slots=True, repr=False)
class CarryOver:
    """Change of the baseline to the next session, after the arm and after its reference.

    ``n_arm`` and ``n_reference`` are animals; ``washout_days`` the shortest and longest time to the next
    session after the arm, NaN where starts are not known; ``followed`` the share of neurons followed.
    """

    arm: str
    reference: str
    n_arm: int
    n_reference: int
    followed: float
    washout_days: tuple[float, float]
    after_arm: dict[str, Estimate]
    after_reference: dict[str, Estimate]
    difference: dict[str, Estimate]

    def __repr__(self) -> str:
        n = f"{self.n_arm} and {self.n_reference}"
        return f"<CarryOver of {self.arm!r} against {self.reference!r}: {n} animals>"

    def table(self) -> pd.DataFrame:
        """Return one row per estimand: after either arm, their difference and interval, animals, status."""
        rows = []
        for name, found in self.difference.items():
            low, high = found.interval()
            rows.append(
                {
                    "estimand": f"{name} of baselines",
                    "after_arm": self.after_arm[name].estimate,
                    "after_reference": self.after_reference[name].estimate,
                    "difference": found.estimate,
                    "ci_low": low,
                    "ci_high": high,
                    "n_arm": self.n_arm,
                    "n_reference": self.n_reference,
                    "status": found.status,
                }
            )
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return the check in words; it never says that there is no carry-over."""
        low, high = self.washout_days
        days = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        later = "" if math.isnan(low) else f", {days} days later"
        said = [
            f"Baseline of the session after {self.arm} ({self.n_arm} animals{later}) against that after "
            f"{self.reference} ({self.n_reference}):"
        ]
        for row in self.table().to_dict("records"):
            if row["status"] != OK:
                said.append(f"{row['estimand']} {row['status']};")
                continue
            apart = row["ci_low"] > 0 or row["ci_high"] < 0
            words = "carry-over is likely" if apart else "no carry-over is seen, which does not exclude it"
            said.append(
                f"{row['estimand']} differs by {row['difference']:.3g} "
                f"(95 % {row['ci_low']:.3g} to {row['ci_high']:.3g}), {words};"
            )
        return " ".join(said).rstrip(";") + "."

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "arm": self.arm,
                "reference": self.reference,
                "n_arm": self.n_arm,
                "n_reference": self.n_reference,
                "followed": self.followed,
                "washout_days": list(self.washout_days),
                "rows": self.table().to_dict("records"),
                "summary": self.summary(),
            }
        )
        return found


def carry_over(
    sessions: Sequence[SessionCounts], *, arm: str, reference: str, held: Sequence[Held] = ()
) -> CarryOver:
    """Return the check for carry-over of one arm against its reference.

    Parameters
    ----------
    sessions
        Counts of one cell type.
    arm, reference
        Arms; of a session with several doses each is an arm, and the session counts for all of them. One that
        holds both tells nothing and is passed over.
    held
        Sessions with their starts, ``held`` of a design; without them the washout is not known.

    Raises
    ------
    ValueError
        For sessions of several cell types.
    """
    if len({each.cell_type for each in sessions}) > 1:
        raise ValueError("carry_over takes the sessions of one cell type")
    groups: dict[str, dict[str, Floats]] = {arm: {}, reference: {}}
    known = {(each.animal, each.session): each for each in held}
    days: list[float] = []
    followed: list[float] = []
    for animal, own in by_animal(sessions).items():
        arms: dict[str, set[str]] = {}
        first: dict[str, SessionCounts] = {}
        for each in sorted(own, key=lambda one: one.order):
            arms.setdefault(each.session, set()).add(arm_key(each))
            first.setdefault(each.session, each)
        for one, two in pairwise(first.values()):
            if one.order == two.order or {arm, reference} <= arms[one.session]:
                continue
            sums, share = _change(one, two)
            for name in (arm, reference):
                if name in arms[one.session] and sums is not None:
                    groups[name][animal] = groups[name].get(animal, 0) + sums
                    followed.append(share)
            if arm in arms[one.session] and sums is not None:
                pair = [known.get((animal, each.session)) for each in (one, two)]
                days.append(
                    math.nan if pair[0] is None or pair[1] is None else days_between(pair[0], pair[1])
                )
    gaps = (min(days), max(days)) if days and not any(map(math.isnan, days)) else (math.nan, math.nan)
    names = {name: sorted(group) for name, group in groups.items()}
    stacked = {
        name: np.stack([groups[name][each] for each in own])[:, None]
        if own
        else np.empty((0, 1, _PLAIN.size))
        for name, own in names.items()
    }
    shared = [
        (names[arm].index(each), names[reference].index(each))
        for each in names[arm]
        if each in names[reference]
    ]
    return CarryOver(
        arm=arm,
        reference=reference,
        n_arm=len(names[arm]),
        n_reference=len(names[reference]),
        followed=float(np.mean(followed)) if followed else math.nan,
        washout_days=gaps,
        after_arm={name: _pooled(name, stacked[arm]) for name in CHECKED},
        after_reference={name: _pooled(name, stacked[reference]) for name in CHECKED},
        difference={name: _difference(name, stacked[arm], stacked[reference], shared) for name in CHECKED},
    )


def _change(one: SessionCounts, two: SessionCounts) -> tuple[Floats | None, float]:
    """Return the sums from one baseline to the next, and the share of neurons that are followed.

    Of followed neurons where there are some; else of all, for which only the net drive is defined.
    """
    if DRUG.before not in one.windows or DRUG.before not in two.windows:
        return None, 0.0
    before, after = halves(one.windows[DRUG.before]), halves(two.windows[DRUG.before])
    _, left, right = np.intersect1d(one.identity, two.identity, return_indices=True)
    exposed = (before.exposure_s[left] > 0).all(axis=1) & (after.exposure_s[right] > 0).all(axis=1)
    left, right = left[exposed], right[exposed]
    share = left.size / max(1, min(one.identity.size, two.identity.size))
    if left.size >= MIN_FOLLOWED:
        return contrast_sums(_taken(before, left), _taken(after, right), _PLAIN), share
    sums = np.zeros(_PLAIN.size)
    totals = [each.sum() for side in (after, before) for each in (side.events, side.exposure_s)]
    if totals[1] <= 0 or totals[3] <= 0:
        return None, 0.0
    _PLAIN.drive(sums)[:] = totals
    return sums, 0.0


def _taken(counts: HalfCounts, places: NDArray[np.intp]) -> HalfCounts:
    return HalfCounts(counts.events[places], counts.exposure_s[places], counts.negative[places])


def _state(name: str, sums: Floats) -> str:
    if sums.shape[0] == 0:
        return TOO_FEW
    total = sums.sum(axis=0)[0]
    if name == "rho_star" and not _PLAIN.covariance(total).any():
        return NOT_FOLLOWED
    return status(name, total, _PLAIN)


def _pooled(name: str, sums: Floats) -> Estimate:
    state = _state(name, sums)
    if state != OK:
        return Estimate(math.nan, status=state, n_animals=sums.shape[0])
    found = jackknife(lambda each: evaluate((name, 0), each[..., 0, :], _PLAIN), sums)
    return Estimate(*found, n_animals=sums.shape[0])


def _difference(name: str, arm: Floats, reference: Floats, shared: list[tuple[int, int]]) -> Estimate:
    states = [_state(name, each) for each in (arm, reference)]
    state = next((each for each in states if each != OK), OK)
    n = arm.shape[0] + reference.shape[0] - len(shared)
    if state != OK:
        return Estimate(math.nan, status=state, n_animals=n)
    found = jackknife_between(
        lambda each: evaluate((name, 0), each[..., 0, :], _PLAIN), arm, reference, shared
    )
    return Estimate(*found, status=OK if math.isfinite(found[1]) else TOO_FEW, n_animals=n)
