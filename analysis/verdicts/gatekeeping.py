"""Which test of an analysis plays which role, and the P values that follow from it.

One test is primary: excess remapping M of the primary cell type against the reference, with several drug
arms one per arm, by Holm's method over arms. What tells a switch from a reshuffle is tested after it in a
fixed sequence, each step only where all before it hold: rho* of the arm below 0, then R_act below and
R_sil above the reference (both: intersection-union), then tau_c below 0 at every detection limit. A fixed
sequence needs no correction (Maurer, Hothorn and Lehmacher 1995, in Biometrie in der chemisch-
pharmazeutischen Industrie 6:3-18); with several drug arms each step is by Holm's method over arms, so that
the error is kept at every step. Secondary estimands share one error by Holm's method. All other rows with a
P are exploratory, and those without one descriptive.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nwbswitch.analysis.verdicts.arm_analysis import NO_DRUG, REFERENCES
from nwbswitch.analysis.verdicts.pooling import holm
from nwbswitch.analysis.verdicts.static_markers import STATIC_MARKER

PRIMARY = "M"
SECONDARY = ("G", "SW")
"""Estimands of the primary cell type that share one error; of other cell types G alone."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A sign that an estimand must have; ``against_reference`` says in which contrast."""

    estimand: str
    sign: int
    against_reference: bool


SEQUENCE: tuple[tuple[Claim, ...], ...] = (
    (Claim("rho_star", -1, False),),
    (Claim("R_act", -1, True), Claim("R_sil", 1, True)),
    (Claim("tau_c", -1, False),),
)
"""Steps after the primary test, in order; all claims of a step must hold."""


def with_roles(
    table: pd.DataFrame, *, primary_type: str, reference: str | Mapping[str, str] | None
) -> pd.DataFrame:
    """Return an estimates table with ``role`` and ``p_holm``; nothing else is changed.

    Parameters
    ----------
    table
        Columns of ``nwbswitch.schemas.tables.ESTIMATES``, of one data set. Rows that are exploratory
        already stay so.
    primary_type
        Cell type that the primary test is about.
    reference
        As in `analyse_arms`: the reference of all arms, of each arm, or None.

    Returns
    -------
    DataFrame
        ``p_holm`` is the adjusted P of primary, gatekeeping and secondary tests, missing where there is no
        P: of a gatekeeping test, the largest P of its step and of all steps before it, each counted as 1
        when the estimate is on the wrong side. rho* against the reference is M with the other sign, and
        is not tested twice.
    """
    given = table["role"].to_numpy(dtype=str) if "role" in table else np.full(len(table), "descriptive")
    p = table["p"].to_numpy(dtype=float)
    role = np.where((given == "exploratory") | np.isfinite(p), "exploratory", "descriptive").astype(object)
    p_holm = np.full(len(table), math.nan)
    pooled = (table["level"] == "arm").to_numpy() & (given != "exploratory")
    typed = pooled & (table["cell_type"] == primary_type).to_numpy()
    contrasts = _contrasts(table[pooled], reference)
    rows = _Rows(table, contrasts)

    tests = {arm: rows.of(typed, arm, PRIMARY, against_reference=True) for arm in contrasts}
    tests = {arm: found for arm, found in tests.items() if found.size}
    for found, adjusted in zip(
        tests.values(), holm([float(p[each[0]]) for each in tests.values()]), strict=True
    ):
        role[found], p_holm[found] = "primary", adjusted
    so_far = [rows.claimed(found, 1) for found in tests.values()]
    for step in SEQUENCE:
        places = [
            [
                (rows.of(typed, arm, each.estimand, against_reference=each.against_reference), each)
                for each in step
            ]
            for arm in tests
        ]
        so_far = [
            _worst([before, *(rows.claimed(found, claim.sign) for found, claim in own)])
            for before, own in zip(so_far, places, strict=True)
        ]
        for own, adjusted in zip(places, holm(so_far), strict=True):
            for found, _ in own:
                role[found], p_holm[found] = "gatekeeping", adjusted
    secondary = [
        place
        for arm in contrasts
        for name in SECONDARY
        for place in rows.of(pooled, arm, name, against_reference=True)
        if _is_secondary(table["cell_type"].iloc[place], name, primary_type)
    ]
    role[secondary] = "secondary"
    p_holm[secondary] = holm([float(each) for each in p[secondary]])
    return table.assign(role=role.astype(str), p_holm=p_holm)


def _is_secondary(cell_type: str, estimand: str, primary_type: str) -> bool:
    return cell_type == primary_type or (estimand == "G" and cell_type != STATIC_MARKER)


def _contrasts(table: pd.DataFrame, reference: str | Mapping[str, str] | None) -> dict[str, str]:
    """Return the contrast of each arm whose effect is tested: those that are no reference of others."""
    named = {} if reference is None or isinstance(reference, str) else dict(reference)
    references = {reference} if isinstance(reference, str) else set(named.values())
    found = {}
    for arm in sorted(set(table["arm"]) - references - {NO_DRUG, *REFERENCES}):
        there = set(table.loc[table["arm"] == arm, "contrast"])
        wanted = reference if isinstance(reference, str) else named.get(arm)
        if f"vs_{wanted}" in there:
            found[arm] = f"vs_{wanted}"
        elif "vs_pseudo" in there:
            found[arm] = "vs_pseudo"
    return found


@dataclass(frozen=True, slots=True)
class _Rows:
    table: pd.DataFrame
    contrasts: Mapping[str, str]

    def of(
        self, among: NDArray[np.bool_], arm: str, estimand: str, *, against_reference: bool
    ) -> NDArray[np.intp]:
        """Return the places of the rows of one estimand of one arm."""
        contrast = self.contrasts[arm] if against_reference else "drug"
        wanted = {"arm": arm, "contrast": contrast, "estimand": estimand}
        for column, word in wanted.items():
            among = among & (self.table[column] == word).to_numpy()
        return np.flatnonzero(among)

    def claimed(self, places: NDArray[np.intp], sign: int) -> float:
        """Return the largest P of rows that must have this sign, 1 for one that has the other."""
        rows = self.table.iloc[places]
        p = np.where(np.sign(rows["estimate"]) == sign, rows["p"], 1.0)
        return _worst(np.where(rows["p"].isna(), math.nan, p).tolist() or [math.nan])


def _worst(p_values: Sequence[float]) -> float:
    """Return the largest P, NaN when any is not known."""
    return math.nan if any(map(math.isnan, p_values)) else max(p_values)
