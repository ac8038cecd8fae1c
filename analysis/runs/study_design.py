"""The design of a study beside its estimates: who was given what, and what comparisons may owe to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nwbswitch.analysis.plain_values import plain

if TYPE_CHECKING:
    from nwbswitch.analysis.designs.design import Design
    from nwbswitch.analysis.estimands.counts import SessionCounts
    from nwbswitch.analysis.verdicts.switch_result import SwitchResult


@dataclass(frozen=True, slots=True)
class DesignedStudy:
    """Sessions as they are compared.

    Attributes
    ----------
    sessions
        With every dose inside a session as an arm of its own.
    references
        Arm to reference as the drug logs tell it; None where they tell none and the usual one holds.
    design
        The design; None without a table of sessions.
    given_s
        Time of the dose that each arm of a session stands for, by animal, session and arm, s.
    """

    sessions: tuple[SessionCounts, ...]
    references: dict[str, str] | None
    design: Design | None
    given_s: dict[tuple[str, str, str], float] = field(default_factory=dict)


def designed_study(
    counts: Sequence[SessionCounts], table: pd.DataFrame | None, *, reference: str | None = None
) -> DesignedStudy:
    """Return the sessions of a study as its drug logs say that they are compared.

    Parameters
    ----------
    counts
        As `nwbswitch.analysis.estimands.counts.read_sessions` gives them.
    table
        The table of sessions; None leaves everything as it is. Rows of other studies do not count.
    reference
        Arm to compare all others with; by default what the drug logs say is the control of each.
    """
    if table is None or not counts:
        return DesignedStudy(tuple(counts), None, None)
    from nwbswitch.analysis.designs.controls import is_part_at_lag
    from nwbswitch.analysis.designs.design import read_design
    from nwbswitch.analysis.designs.dose_sessions import cut_into_doses
    from nwbswitch.analysis.verdicts.arm_analysis import arm_key

    dataset = counts[0].dataset
    own = table[table["dataset"] == dataset]
    if own.empty or len({each.dataset for each in counts}) > 1:
        return DesignedStudy(tuple(counts), None, None)
    dosed = cut_into_doses(counts, own)
    arms = {arm_key(each) for each in dosed.sessions}
    stated = dict.fromkeys(arms - {reference}, reference) if reference in arms else None
    design = read_design(own, counts, references=stated)
    given_s = {
        (animal, session, arm): min(row.timestamp_s for row in rows)
        for (_, animal, session), arms_given in dosed.given.items()
        for arm, rows in arms_given.items()
        if rows and not is_part_at_lag(arm)
    }
    return DesignedStudy(dosed.sessions, dosed.references or None, design, given_s)


def followed_doses(
    study: DesignedStudy, table: pd.DataFrame | None
) -> tuple[list[SessionCounts], pd.DataFrame | None]:
    """Return the sessions with each dose inside a session as a session of its own, and the table of these.

    Time zero of such a part is its own dose; of one that is cut to the times of another arm, its first block.
    """
    if table is None:
        return list(study.sessions), None
    arms: dict[tuple[str, str], set[str]] = {}
    for each in study.sessions:
        arms.setdefault((each.animal, each.session), set()).add(each.arm)
    cut = {key for key, held in arms.items() if len(held) > 1}
    sessions = [
        replace(each, session=f"{each.session}\n{each.arm}") if (each.animal, each.session) in cut else each
        for each in study.sessions
    ]
    rows = []
    for row in table.to_dict("records"):
        key = (str(row["animal"]), str(row["session"]))
        if key not in cut:
            rows.append(row)
            continue
        for arm in sorted(arms[key]):
            at_s = study.given_s.get((*key, arm), math.nan)
            rows.append({**row, "session": f"{key[1]}\n{arm}", "administration_s": at_s})
    return sessions, pd.DataFrame(rows, columns=table.columns)


def design_record(study: DesignedStudy, result: SwitchResult) -> dict[str, Any] | None:
    """Return the design with its doubts, and estimates beside it: order, carry-over, repeated sessions.

    All of it is descriptive: no verdict rests on it. None without a design.
    """
    if study.design is None:
        return None
    from nwbswitch.analysis.designs.carry_over import carry_over
    from nwbswitch.analysis.designs.crossover import crossover
    from nwbswitch.analysis.designs.repeats import repeats

    table = result.table()
    own = table[table["cell_type"] == result.info.cell_type]
    sessions = [each for each in study.sessions if each.cell_type == result.info.cell_type]
    held = study.design.held
    within = [each for each in study.design.comparisons if each.kind == "within"]
    found: dict[str, Any] = plain(
        {
            **study.design.as_dict(),
            "crossover": crossover(own, held).as_dict()["rows"],
            "carry_over": [
                carry_over(sessions, arm=each.arm, reference=each.reference, held=held).as_dict()
                for each in within
            ],
            "repeats": repeats(own).to_dict("records"),
        }
    )
    return found


def sessions_beside(cells: Path) -> pd.DataFrame | None:
    """Return the table of sessions beside a cells file, None where there is none."""
    from nwbswitch.analysis.session_tables import read_sessions_table
    from nwbswitch.schemas.result_tables import SESSIONS_FILE

    path = cells.parent / SESSIONS_FILE
    return read_sessions_table(path) if path.exists() else None
