"""Doses inside a session: what follows each dose becomes a session of its own, with the shared baseline.

The drug window of a session with several administrations is cut at each of them. The parts share the baseline
and the neurons, so that they are no independent sessions: each is an arm, and arms of one session are never
summed. Each is compared with what followed the same-numbered injection of the control sessions; where these
have one injection, with the part of their drug window at the same time after it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nwbswitch.analysis.designs.controls import is_control_name, part_at_lag, reference_of
from nwbswitch.analysis.designs.treatments import (
    Dose,
    arm_of_dose,
    chronic,
    deciding_place,
    doses_in,
    named_by_dose,
)
from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts, WindowCounts
from nwbswitch.analysis.session_tables import administrations_of
from nwbswitch.schemas.drug_log import Administration, Role
from nwbswitch.schemas.issues import Issue, Place, issue

EDGE_S = 1.0
"""Blocks may begin or end this much, s, on the wrong side of an administration: clocks and syringes."""
SessionKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class DosedSessions:
    """Sessions cut into doses, what each arm is compared with, and what could not be cut."""

    sessions: tuple[SessionCounts, ...]
    references: dict[str, str]
    """Arm to reference arm; an arm that is not there has none but its own pseudo-injection."""
    issues: tuple[Issue, ...]
    given: dict[SessionKey, dict[str, tuple[Administration, ...]]]
    """What was given in each arm of each session, by dataset, animal and session."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What follows one dose, or a whole session."""

    session: SessionCounts
    rows: tuple[Administration, ...]
    number: int
    """Of the injection, from 1; 1 for a whole session."""
    injection_s: float
    is_control: bool
    is_pure: bool
    """Whether nothing but controls was given in the whole session."""
    is_whole: bool

    @property
    def lags_s(self) -> NDArray[np.float64]:
        """Time of the drug blocks after the first injection of the session, s."""
        window = self.session.windows.get(DRUG.after)
        if window is None or window.start_s is None:
            return np.empty(0)
        return np.asarray(window.start_s, dtype=np.float64) - self.injection_s


def dose_sessions(
    sessions: Sequence[SessionCounts], table: pd.DataFrame
) -> tuple[list[SessionCounts], dict[str, str]]:
    """Return sessions with every dose as an arm of its own, and the reference of each arm.

    Parameters
    ----------
    sessions
        As `nwbswitch.analysis.estimands.counts.read_sessions` gives them; not changed.
    table
        Columns of ``SESSIONS``; sessions that it does not have stay as they are.

    Returns
    -------
    tuple
        Sessions, and arm to reference arm; arms without a reference are not in it.

    Raises
    ------
    TableError
        For a drug log in the table that cannot be read.
    ValueError
        For sessions that are cut already.
    """
    found = cut_into_doses(sessions, table)
    return list(found.sessions), found.references


def cut_into_doses(sessions: Sequence[SessionCounts], table: pd.DataFrame) -> DosedSessions:
    """Return the same with what was found on the way; see `dose_sessions`."""
    if len({(*_key(each), each.cell_type) for each in sessions}) < len(sessions):
        raise ValueError(
            "a session is there twice for one cell type: give the sessions as read_sessions returns them, "
            "not those that are cut into doses already"
        )
    logs = {
        (str(row.dataset), str(row.animal), str(row.session)): administrations_of(str(row.administrations))
        for row in table[table["included"].astype(bool)].itertuples()
    }
    issues: list[Issue] = []
    cut = [_parts_of(each, doses_in(logs.get(_key(each), ())), issues) for each in sessions]
    again = _named_anew(logs, {_key(each) for each, parts in zip(sessions, cut, strict=True) if parts})
    dosed = named_by_dose(logs.values())
    parts: list[_Part] = []
    for session, windows in zip(sessions, cut, strict=True):
        rows = logs.get(_key(session), ())
        parts += _named(session, rows, windows, dosed, anew=_key(session) in again)
    references, more = _references(parts, issues)
    given: dict[SessionKey, dict[str, tuple[Administration, ...]]] = {}
    for part in parts:
        given.setdefault(_key(part.session), {})[part.session.arm] = part.rows
    for session in more:
        given[_key(session)][session.arm] = tuple(logs.get(_key(session), ()))
    held = [part.session for part in parts]
    return DosedSessions((*held, *more), references, tuple(dict.fromkeys(issues)), given)


def _named_anew(logs: Mapping[SessionKey, Sequence[Administration]], cut: Set[SessionKey]) -> set[SessionKey]:
    """Return the sessions whose arm is named by their doses.

    Those that are cut, those with the same drugs, and those in which two drugs were given at once.
    """
    drugs = {
        name for key in cut for dose in doses_in(logs[key]) if not dose.is_control for name in dose.substances
    }
    found = set(cut)
    for key, rows in logs.items():
        doses = doses_in(rows)
        place = deciding_place(rows, doses)
        names = set() if place is None or doses[place].is_control else set(doses[place].substances)
        tests = [] if place is None else [row for row in doses[place].rows if row.role is Role.TEST]
        if names & drugs or len({row.substance.lower() for row in tests}) > 1:
            found.add(key)
    return found


def _named(
    session: SessionCounts,
    rows: Sequence[Administration],
    windows: Mapping[int, WindowCounts],
    dosed: Collection[str],
    *,
    anew: bool,
) -> list[_Part]:
    doses = doses_in(rows)
    pure = all(dose.is_control for dose in doses) if doses else is_control_name(session.arm)
    first_s = doses[0].time_s if doses else math.nan
    if not windows:
        place = deciding_place(rows, doses)
        arm = session.arm
        if anew and place is not None:
            arm = "+".join([arm_of_dose(doses, place, dosed=dosed), *chronic(rows)])
        given = doses[place].rows if place is not None else ()
        control = all(row.is_control for row in given) if given else is_control_name(session.arm)
        return [_Part(replace(session, arm=arm), given, 1, first_s, control, pure, True)]
    return [
        _Part(
            session=replace(
                session,
                arm="+".join([arm_of_dose(doses, place, dosed=dosed), *chronic(rows)]),
                windows={**session.windows, DRUG.after: window},
            ),
            rows=doses[place].rows,
            number=place + 1,
            injection_s=first_s,
            is_control=all(dose.is_control for dose in doses[: place + 1]),
            is_pure=pure,
            is_whole=False,
        )
        for place, window in windows.items()
    ]


def _references(parts: Sequence[_Part], issues: list[Issue]) -> tuple[dict[str, str], list[SessionCounts]]:
    """Return the reference of each arm, and sessions of controls that are cut to the times of an arm."""
    by_arm: dict[str, list[_Part]] = {}
    for part in parts:
        by_arm.setdefault(part.session.arm, []).append(part)
    controls: dict[str, list[Administration]] = {}
    for arm, own in by_arm.items():
        if all(part.is_control and part.number == 1 for part in own):
            controls[arm] = [row for part in own for row in part.rows]
    references: dict[str, str] = {}
    more: dict[str, list[SessionCounts]] = {}
    for arm, own in by_arm.items():
        if arm == "" or (arm not in controls and any(part.is_control for part in own)):
            continue
        base = reference_of(arm, [row for part in own for row in part.rows], controls)
        if base is None:
            continue
        number = min(part.number for part in own)
        stem, *added = base.split("+")
        same = "+".join([f"{stem} #{number}", *added])
        if number > 1 and same in by_arm:
            references[arm] = same
            continue
        references[arm] = base
        pure = [part for part in by_arm[base] if part.is_pure and part.is_whole]
        if pure and not all(part.is_whole for part in own):
            matched = _at_the_lag(base, own, pure)
            if matched is None:
                problem = f"{arm} is compared with all of {base}, which was not recorded as long after its "
                problem += "injection, or whose blocks have no times."
                issues.append(issue("design-doses", problem, place=Place(item=arm)))
            elif matched:
                references[arm] = matched[0].arm
                more[matched[0].arm] = matched
    return references, [session for sessions in more.values() for session in sessions]


def _at_the_lag(base: str, own: Sequence[_Part], pure: Sequence[_Part]) -> list[SessionCounts] | None:
    """Return controls cut to the times after the injection that an arm has.

    An empty list where they have no other times; None where they have none of these, or are not known.
    """
    lags_s = np.concatenate([part.lags_s for part in own])
    block_s = float(np.median(np.concatenate([_block_s(part.lags_s) for part in own])))
    low_s, high_s = float(lags_s.min()), float(lags_s.max())
    name = part_at_lag(base, low_s, high_s + block_s)
    sessions, n_cut = [], 0
    for part in pure:
        window = part.session.windows.get(DRUG.after)
        chosen = (part.lags_s >= low_s - block_s / 2) & (part.lags_s <= high_s + block_s / 2)
        if window is not None and set(window.half[chosen].tolist() if chosen.size else ()) == {1, 2}:
            windows = {**part.session.windows, DRUG.after: chosen_blocks(window, chosen)}
            sessions.append(replace(part.session, arm=name, windows=windows))
            n_cut += not chosen.all()
    if not sessions:
        return None
    return sessions if n_cut or len(sessions) < len(pure) else []


def _key(session: SessionCounts) -> SessionKey:
    return session.dataset, session.animal, session.session


def _parts_of(session: SessionCounts, doses: Sequence[Dose], issues: list[Issue]) -> dict[int, WindowCounts]:
    """Return the drug window after each dose, by its index; empty when the window is one."""
    window = session.windows.get(DRUG.after)
    if window is None or len(doses) < 2:
        return {}
    place = Place(item=f"{session.animal}/{session.session}")
    if window.start_s is None:
        problem = (
            f"{len(doses)} doses were given, and the times of the blocks are not known; they stay one arm."
        )
        issues.append(issue("design-doses", problem, place=place))
        return {}
    start_s = np.asarray(window.start_s, dtype=np.float64)
    times_s = np.array([dose.time_s for dose in doses])
    owner = np.searchsorted(times_s, start_s + EDGE_S, side="right") - 1
    stop_s = start_s + _block_s(start_s)
    next_s = np.append(times_s, math.inf)[owner + 1]
    whole = (owner >= 0) & (stop_s <= next_s + EDGE_S)
    if not whole.all():
        n_lost = int((~whole).sum())
        problem = f"{n_lost} drug blocks lie across an injection, or before the first, and belong to none."
        remedy = "Begin the drug windows after the injections and end them before the next."
        issues.append(issue("design-doses", problem, place=place, remedy=remedy))
    owners = sorted(set(owner[whole].tolist()))
    if len(owners) < 2:
        return {}
    found = {each: chosen_blocks(window, whole & (owner == each)) for each in owners}
    for each, part in found.items():
        if set(part.half.tolist()) != {1, 2}:
            problem = (
                f"After injection {each + 1} there are too few blocks for two halves; nothing is estimated."
            )
            remedy = "Measure with shorter blocks, or lengthen the drug window after it."
            issues.append(issue("design-doses", problem, place=place, remedy=remedy))
    return found


def _block_s(start_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how long each block may last: until the next, at most as long as most do."""
    steps = np.diff(np.sort(start_s))
    usual = float(np.median(steps)) if steps.size else 0.0
    order = np.argsort(start_s)
    lengths = np.full(start_s.size, usual)
    lengths[order[:-1]] = np.minimum(steps, usual)
    return lengths


def chosen_blocks(window: WindowCounts, chosen: NDArray[np.bool_]) -> WindowCounts:
    """Return a window with some of its blocks."""
    return replace(
        window,
        events=window.events[:, chosen],
        negative=window.negative[:, chosen],
        exposure_s=window.exposure_s[:, chosen],
        half=window.half[chosen],
        start_s=None if window.start_s is None else np.asarray(window.start_s)[chosen],
    )
