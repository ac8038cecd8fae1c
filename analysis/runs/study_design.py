"""The design of a study beside its estimates: who was given what, and what comparisons may owe to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.plain_values import plain

if TYPE_CHECKING:
    import pandas as pd

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
    """

    sessions: tuple[SessionCounts, ...]
    references: dict[str, str] | None
    design: Design | None


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
    return DesignedStudy(dosed.sessions, dosed.references or None, design)


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
