"""What was given in one session, dose after dose, and what the part of the session after each is called."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from nwbswitch.schemas.drug_log import ACUTE_S, Administration, Role, deciding_row

TOGETHER_S = 60.0
"""What is given within this time, s, is given together."""
_NUMBERS = re.compile(r"(\d+(?:\.\d+)?)")
_ACTING = (Role.TEST, Role.ANTAGONIST, Role.ACTUATOR_LIGAND)


@dataclass(frozen=True, slots=True)
class Dose:
    """What was given together at one time of a session."""

    time_s: float
    rows: tuple[Administration, ...]
    """Test substances, antagonists and ligands; where there are none, controls."""

    @property
    def is_control(self) -> bool:
        """Whether only controls were given."""
        return all(row.is_control for row in self.rows)

    @property
    def substances(self) -> tuple[str, ...]:
        """Lower-case names, each once."""
        return tuple(dict.fromkeys(row.substance.lower() for row in self.rows))


def doses_in(rows: Sequence[Administration]) -> tuple[Dose, ...]:
    """Return the doses of a session in order of time.

    Anaesthetics, analgesics and vehicles that are no control are none, nor is what was given more than
    `nwbswitch.schemas.drug_log.ACUTE_S` before the session or at an unknown time.
    """
    timed = sorted(
        (row for row in rows if _counts(row) and row.timestamp_s >= -ACUTE_S),
        key=lambda row: row.timestamp_s,
    )
    groups: list[list[Administration]] = []
    for row in timed:
        if groups and row.timestamp_s - groups[-1][0].timestamp_s <= TOGETHER_S:
            groups[-1].append(row)
        else:
            groups.append([row])
    return tuple(_dose(group) for group in groups)


def _counts(row: Administration) -> bool:
    return (row.is_control or row.role in _ACTING) and "timestamp_s" not in row.missing


def _dose(group: Sequence[Administration]) -> Dose:
    acting = [row for row in group if not row.is_control]
    return Dose(group[0].timestamp_s, tuple(acting or group))


def chronic(rows: Sequence[Administration]) -> tuple[str, ...]:
    """Return the lower-case names of what was given as treatment before the session."""
    found = {
        row.substance.lower()
        for row in rows
        if row.role is Role.TEST and not row.is_control and row.timestamp_s < -ACUTE_S
    }
    return tuple(sorted(found))


def named_by_dose(logs: Iterable[Sequence[Administration]]) -> frozenset[str]:
    """Return the substances whose arms need a dose: given in several, or more than once in a session."""
    doses: dict[str, set[tuple[float | None, str]]] = {}
    again: set[str] = set()
    for rows in logs:
        seen: set[str] = set()
        for dose in doses_in(rows):
            for row in dose.rows:
                if not row.is_control:
                    doses.setdefault(row.substance.lower(), set()).add((row.dose, row.dose_unit))
            again |= seen & set(dose.substances) if not dose.is_control else set()
            seen |= set(dose.substances) if not dose.is_control else set()
    return frozenset({name for name, given in doses.items() if len(given) > 1} | again)


def dose_words(row: Administration) -> str:
    """Return a dose such as ``10 mg/kg``, empty where there is none."""
    return "" if row.dose is None else f"{row.dose:g} {row.dose_unit}".strip()


def arm_of_dose(doses: Sequence[Dose], place: int, *, dosed: Collection[str]) -> str:
    """Return the arm of what follows one dose of a session.

    For example ``ketamine``, ``ketamine 10 mg/kg, cumulative 13``, ``saline #2``, ``naloxone after morphine``
    and, given together, ``ketamine with xylazine``.

    Parameters
    ----------
    doses
        All doses of the session.
    place
        Index of the dose.
    dosed
        Substances that are named with their dose.
    """
    own, before = doses[place], doses[:place]
    name = " with ".join(_label(row, dosed) for row in _once(own.rows))
    if own.is_control:
        number = 1 + sum(each.is_control for each in before)
        name += f" #{number}" if number > 1 else ""
    elif len(own.substances) == 1:
        name += _cumulative(own, before)
    others = [
        substance
        for each in before
        if not each.is_control
        for substance in each.substances
        if substance not in own.substances
    ]
    return name + (f" after {' and '.join(dict.fromkeys(others))}" if others else "")


def _once(rows: Sequence[Administration]) -> list[Administration]:
    return list({row.substance.lower(): row for row in rows}.values())


def _label(row: Administration, dosed: Collection[str]) -> str:
    name = row.substance.lower()
    return f"{name} {dose_words(row)}".strip() if name in dosed else name


def _cumulative(own: Dose, before: Sequence[Dose]) -> str:
    same = [row for each in before for row in each.rows if row.substance.lower() in own.substances]
    if not same:
        return ""
    given = [*same, *own.rows]
    known = [row.dose for row in given if row.dose is not None]
    if len(known) < len(given) or len({row.dose_unit for row in given}) > 1:
        return f" #{1 + sum(bool(set(each.substances) & set(own.substances)) for each in before)}"
    return f", cumulative {sum(known):g}"


def by_number(arm: str) -> tuple[tuple[int, float, str], ...]:
    """Return the key that sorts arms by name, and numbers in them, such as doses, by size."""
    return tuple(
        (0, float(part), "") if number else (1, 0.0, part)
        for number, part in ((place % 2 == 1, each) for place, each in enumerate(_NUMBERS.split(arm)))
    )


def deciding_place(rows: Sequence[Administration], doses: Sequence[Dose]) -> int | None:
    """Return which dose holds the row that decides the arm; None when none does."""
    row = deciding_row(rows)
    return next((place for place, dose in enumerate(doses) if row is not None and row in dose.rows), None)
