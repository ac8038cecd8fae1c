"""N4: ROIs whose marker cannot report activity.

Their events are artefacts of motion, of a shift of the focal plane, or of noise. If they change with the
drug, so may those of neurons. What counts is how many artefacts are added or lost per minute: a change
of ratio among very few of them, shown to be less than `NEGLIGIBLE_PER_MIN`, is no failure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nwbswitch.analysis.estimands.animal_sums import AnimalSums, animal_sums
from nwbswitch.analysis.estimands.counts import Contrast, Floats, SessionCounts
from nwbswitch.analysis.estimands.primary import Layout
from nwbswitch.analysis.verdicts.contrasts import Difference, difference_estimates
from nwbswitch.analysis.verdicts.controls import Check, Quantity
from nwbswitch.analysis.verdicts.pooling import Estimate, jackknife, jackknife_between
from nwbswitch.schemas.worlds import SILENT_RATE_PER_MIN

STATIC_MARKER = "static_marker"
"""The word of the vocabulary of cell types for such ROIs."""
NEGLIGIBLE_PER_MIN = SILENT_RATE_PER_MIN / 10
"""Change in the rate of artefacts that cannot matter, events/min: a tenth of what counts as silent."""
PLAIN = Layout(0, ())


def static_sums(sessions: Sequence[SessionCounts], contrast: Contrast, *, seed: int = 0) -> AnimalSums | None:
    """Return the sums of static ROIs per animal; None when no session has the windows."""
    return animal_sums(sessions, contrast, PLAIN, seed=seed)


def static_check(drug: AnimalSums | None, compared: AnimalSums | None, *, arm: str, of: str) -> Check:
    """Return N4 of an arm.

    Parameters
    ----------
    drug, compared
        Sums of static ROIs in the arm and in what it is compared with; None when there are none.
    arm, of
        The arm and its reference in words.
    """
    if drug is None:
        return Check("N4", "no static-marker ROIs")
    if compared is None:
        return Check("N4", f"no static-marker ROIs to compare with in {of}")
    difference = difference_estimates(drug, compared, names=("G", "R_sil"), permute=False)
    rate = _rate_change(drug, compared, difference)
    tested = [Quantity.within(NEGLIGIBLE_PER_MIN, "events/min", rate)]
    for name in ("G", "R_sil"):
        tested.append(replace(tested[0], name=name, estimate=difference.estimates[name, 0], needed=False))
    return Check(
        "N4",
        f"static-marker ROIs in {arm} against {of}",
        tuple(tested),
        shown="shows artefacts that change with the drug",
        absent=f"shows no change of artefacts beyond {NEGLIGIBLE_PER_MIN:g}/min",
    )


def _rate_change(drug: AnimalSums, compared: AnimalSums, difference: Difference) -> Estimate:
    """Return the change of the event rate per ROI, drug minus reference, events/min.

    The standard error is at least that of Poisson counts with one event more: few artefacts may be alike
    in all animals by chance.
    """
    one, two = drug.rows(difference.animals), compared.rows(difference.others)

    def change(sums: Floats) -> Floats:
        after, t_after, before, t_before = np.moveaxis(PLAIN.drive(sums[..., 0, :]), -1, 0)
        return np.asarray(60 * (after / _time(t_after) - before / _time(t_before)))

    if difference.design == "within":
        both = np.concatenate([one, two], axis=1)
        found = jackknife(lambda sums: change(sums) - change(sums[..., 1:, :]), both)
    else:
        found = jackknife_between(change, one, two, difference.shared)
    estimate, se, df = found
    n = len(set(difference.animals) | set(difference.others))
    if not math.isfinite(se):
        return Estimate(estimate, status="no interval: needs >= 2 animals", n_animals=n)
    floor = 0.0
    for rows in (one, two):
        after, t_after, before, t_before = PLAIN.drive(rows.sum(axis=0)[0])
        floor += 60**2 * ((after + 1) / t_after**2 + (before + 1) / t_before**2)
    return Estimate(estimate, max(se, math.sqrt(floor)), df, n_animals=n)


def _time(exposure_s: Floats) -> Floats:
    return np.where(exposure_s > 0, exposure_s, np.nan)
