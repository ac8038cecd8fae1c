"""Sessions as a design sees them: who was given what, when and in which group; and what is compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

import pandas as pd

from nwbswitch.analysis.designs.controls import is_control_name, reference_of
from nwbswitch.analysis.designs.treatments import Dose, by_number, deciding_place, doses_in
from nwbswitch.analysis.session_tables import administrations_of
from nwbswitch.analysis.verdicts.arm_analysis import NO_DRUG
from nwbswitch.analysis.verdicts.arm_sums import OWN_PSEUDO
from nwbswitch.schemas.drug_log import Administration


@dataclass(frozen=True, slots=True)
class Held:
    """One session in one arm."""

    animal: str
    session: str
    arm: str
    order: int
    start_time: datetime | None
    time_of_day_h: float
    sex: str
    age_days: float
    batch: str
    anaesthesia: str
    genotype: str
    species: str
    windows: frozenset[str]
    log: tuple[Administration, ...]
    exclusion: str = ""
    given: tuple[Administration, ...] | None = None
    """What was given for this arm, where a session has several."""

    @property
    def doses(self) -> tuple[Dose, ...]:
        """What was given in the session, in order of time."""
        return doses_in(self.log)

    @property
    def deciding(self) -> tuple[Administration, ...]:
        """What was given for the arm: with its own dose, else with the one that decides the session's."""
        if self.given is not None:
            return self.given
        doses = self.doses
        place = deciding_place(self.log, doses)
        return () if place is None else doses[place].rows

    @property
    def is_control(self) -> bool:
        """Whether a control decides the arm; by the name of the arm where there is no drug log."""
        rows = self.deciding
        return all(row.is_control for row in rows) if rows else is_control_name(self.arm)

    def in_arm(self, arm: str, given: tuple[Administration, ...] | None = None) -> Held:
        """Return the same session in another arm, with what was given for it."""
        return replace(self, arm=arm, given=given or None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one arm is compared with.

    ``kind`` is ``within`` when the animals are their own controls, ``between`` when they are others, and
    ``pseudo`` when the arm has only its own pseudo-injection. ``n_animals`` have the arm, ``n_reference`` the
    reference and ``n_both`` both.
    """

    arm: str
    reference: str
    kind: Literal["within", "between", "pseudo"]
    n_animals: int
    n_reference: int
    n_both: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def held_sessions(sessions: pd.DataFrame) -> tuple[tuple[Held, ...], tuple[Held, ...]]:
    """Return the sessions that are included and those that are not, in the order of the table.

    A file that is left out while its session is included from another, such as one of behaviour beside one
    of imaging, is no session that is left out.
    """
    every = [_held(row) for row in sessions.to_dict("records")]
    used = sessions["included"].astype(bool).tolist()
    kept = tuple(each for each, included in zip(every, used, strict=True) if included)
    names = {(each.animal, each.session) for each in kept}
    lost = (each for each, included in zip(every, used, strict=True) if not included)
    return kept, tuple(each for each in lost if (each.animal, each.session) not in names)


def _held(row: Mapping[Any, Any]) -> Held:
    return Held(
        animal=str(row["animal"]),
        session=str(row["session"]),
        arm=str(row["arm"]) or NO_DRUG,
        order=int(row["order"]),
        start_time=_time(str(row["start_time"])),
        time_of_day_h=float(row["time_of_day_h"]),
        sex=str(row["sex"]) or "U",
        age_days=float(row["age_days"]),
        batch=str(row["batch"]),
        anaesthesia=str(row["anaesthesia"]),
        genotype=str(row["genotype"]),
        species=str(row.get("species", "")),
        windows=frozenset(str(row["windows"]).split()),
        log=administrations_of(str(row["administrations"])),
        exclusion="" if row["included"] else str(row["exclusion"]) or "not stated",
    )


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def days_between(one: Held, other: Held) -> float:
    """Return days from one session to another; NaN where the start of either is not known."""
    if one.start_time is None or other.start_time is None:
        return math.nan
    if (one.start_time.tzinfo is None) != (other.start_time.tzinfo is None):
        return math.nan
    return (other.start_time - one.start_time).total_seconds() / 86_400


def sessions_in_order(held: Sequence[Held]) -> dict[str, list[Held]]:
    """Return each animal's sessions by time, a session in several arms once."""
    found: dict[str, dict[str, Held]] = {}
    for each in held:
        found.setdefault(each.animal, {}).setdefault(each.session, each)
    return {
        animal: sorted(own.values(), key=lambda one: (one.order, one.session))
        for animal, own in sorted(found.items())
    }


def animals_of(held: Sequence[Held], arm: str) -> set[str]:
    """Return the animals that have an arm."""
    return {each.animal for each in held if each.arm == arm}


def comparisons_of(held: Sequence[Held], references: Mapping[str, str] | None) -> tuple[Comparison, ...]:
    """Return what each arm is compared with.

    Parameters
    ----------
    held
        Sessions in their arms.
    references
        Arm to reference arm; None to choose for each arm the control that fits best.
    """
    arms = sorted({each.arm for each in held}, key=by_number)
    chosen = _chosen(held, arms) if references is None else references
    return tuple(_comparison(held, arm, chosen.get(arm)) for arm in arms)


def _chosen(held: Sequence[Held], arms: Sequence[str]) -> dict[str, str]:
    rows = {arm: [row for each in held if each.arm == arm for row in each.deciding] for arm in arms}
    controls = {
        arm: rows[arm]
        for arm in arms
        if arm != NO_DRUG and all(each.is_control for each in held if each.arm == arm)
    }
    found = {}
    for arm in arms:
        name = None if arm == NO_DRUG else reference_of(arm, rows[arm], controls)
        if name is not None:
            found[arm] = name
    return found


def _comparison(held: Sequence[Held], arm: str, reference: str | None) -> Comparison:
    own = animals_of(held, arm)
    others = set() if reference is None else animals_of(held, reference)
    if reference is None or not others:
        return Comparison(arm, OWN_PSEUDO, "pseudo", len(own), len(own), len(own))
    both = own & others
    # As `nwbswitch.analysis.verdicts.contrasts.difference_estimates` decides.
    within = len(both) >= 2 and 2 * len(both) >= len(own)
    return Comparison(arm, reference, "within" if within else "between", len(own), len(others), len(both))
