"""N5: a gain alone must not look like remapping.

The sessions that the drug is compared with are thinned by the drug's own gain, animal by animal, and
compared with themselves untouched: SW must stay 0 and rho* must stay what it was. It fails where so few
events are left that the estimands depend on their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nwbswitch.analysis.estimands.animal_sums import AnimalSums
from nwbswitch.analysis.estimands.counts import Contrast, Floats, SessionCounts
from nwbswitch.analysis.estimands.primary import (
    OK,
    Estimand,
    net_drive,
    state_correlation,
    status,
    switch_index,
)
from nwbswitch.analysis.estimands.thinning import PLAIN, thinned_sums
from nwbswitch.analysis.verdicts.contrasts import Difference
from nwbswitch.analysis.verdicts.controls import Check, Quantity
from nwbswitch.analysis.verdicts.pooling import Estimate, jackknife

SW_TOLERANCE = 0.5
"""Largest SW, in log2 units, that counts as none.

Merged transients alone make SW -0.2 at a gain of 0.3 in raw traces; a switch in 40 % of neurons makes 1.9.
A quarter of that is what the margin of rho* is of a full loss."""
REPEATS = 4
"""Times each session is thinned: the scatter of thinning is small beside that between animals."""


def thinning_check(
    drug: AnimalSums,
    compared: AnimalSums,
    sessions: Sequence[SessionCounts],
    contrast: Contrast,
    difference: Difference,
    *,
    margin: float,
    of: str,
    seed: int = 0,
) -> Check:
    """Return N5 of an arm: its reference thinned by the gain of the drug.

    Parameters
    ----------
    drug, compared, difference
        Sums of the arm and of its reference, and their comparison.
    sessions, contrast
        The sessions without the drug that ``compared`` sums, and their windows.
    margin
        Largest change of rho* that counts as none.
    of
        The reference in words.
    """
    gains = _gains(drug, compared, difference)
    if gains is None:
        return Check("N5", f"the gain of the drug is {difference.estimates['G', 0].status}")
    animals, sums = thinned_sums(sessions, contrast, gains, repeats=REPEATS, seed=seed)
    typical = float(np.median([gains[name] for name in animals]))
    side = "windows" if typical < 0 else "baselines"
    what = f"{side} of {of} thinned by the gain of the drug, 2^{typical:.2f}"
    sw = _change(switch_index, "SW", sums)
    m = _change(state_correlation, "rho_star", sums, sign=-1)
    return Check(
        "N5",
        what,
        (Quantity.within(SW_TOLERANCE, "SW", sw), Quantity.within(margin, "M", m)),
        shown="shows that a gain alone changes the estimates",
        absent=f"changes SW by less than {SW_TOLERANCE:g} and rho* by less than {margin:g}",
    )


def _gains(drug: AnimalSums, compared: AnimalSums, difference: Difference) -> dict[str, float] | None:
    """Return the log2 gain for each animal of the reference: its own, or that of the groups."""
    pooled = difference.estimates["G", 0].estimate
    if not math.isfinite(pooled):
        return None
    gains = dict.fromkeys(difference.others, pooled)
    if difference.design == "within":
        found = []
        for sums in (drug, compared):
            rows = sums.rows(difference.animals)[:, 0]
            known = [status("G", row, sums.layout) == OK for row in rows]
            found.append(np.where(known, net_drive(rows, sums.layout), math.nan))
        own = found[0] - found[1]
        gains |= {
            name: float(gain)
            for name, gain in zip(difference.animals, own, strict=True)
            if math.isfinite(gain)
        }
    return gains


def _change(estimand: Estimand, name: str, sums: Floats, *, sign: int = 1) -> Estimate:
    """Return the mean change of an estimand by thinning, jackknifed over animals."""
    totals = sums.sum(axis=0)
    states = [status(name, each, PLAIN) for each in totals]
    n = sums.shape[0]
    state = next((each for each in states if each != OK), OK)
    if state != OK:
        return Estimate(math.nan, status=f"{state} after thinning", n_animals=n)

    def change(parts: Floats) -> Floats:
        values = estimand(parts, PLAIN)
        return np.asarray(sign * (values[..., 1:].mean(axis=-1) - values[..., 0]))

    estimate, se, df = jackknife(change, sums)
    if not math.isfinite(se):
        return Estimate(estimate, status="no interval", n_animals=n)
    return Estimate(estimate, se, df, n_animals=n)
