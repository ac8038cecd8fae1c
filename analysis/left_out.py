"""Recording sessions that are not in the cells table, with the reason of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from nwbswitch.analysis.cells_file import ArmAndOrder, arms_and_orders
from nwbswitch.analysis.session_cells import RefusedSessionError, SessionFacts
from nwbswitch.analysis.session_tables import SessionAbout, about_name, session_row, sessions_frame
from nwbswitch.analysis.sources import Source
from nwbswitch.schemas.errors import InputFileError, IssuesError, NwbswitchError, UnsafeFileError
from nwbswitch.schemas.issues import Issue, Place, Severity, issue

MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One session that was not measured, or was measured already from another file."""

    source: Source
    about: SessionAbout
    reason: str
    again: bool = False
    """Whether it is in the table, from another source."""


def refused_session(source: Source, error: Exception, reasons: Sequence[Issue]) -> LeftOut:
    """Return a session that could not be measured; of a file that could not be read its name tells."""
    about = error.about if isinstance(error, RefusedSessionError) else about_name(source.name)
    return LeftOut(source, about, _reason(reasons) or str(error)[:MAX_REASON])


def reasons_of(source: Source, error: Exception, words: str) -> list[Issue]:
    """Return why a session could not be measured; an error that is no fault of the file is raised.

    Parameters
    ----------
    source
        Its file.
    error
        What ended it.
    words
        The same in words.
    """
    place = Place(source.name)
    match error:
        case IssuesError():
            return [each if each.place.file else _placed(each, place) for each in error.issues]
        case UnsafeFileError():
            return [issue("unsafe-file", error.problem, place=place, remedy=error.remedy)]
        case InputFileError():
            return [issue("unreadable-file", error.problem, place=place, remedy=error.remedy)]
        case MemoryError():
            problem = "needs more memory than there is."
            remedy = "Use fewer workers, longer blocks, or a machine with more memory."
            return [issue("unreadable-file", problem, place=place, remedy=remedy)]
        case NwbswitchError() | OSError():
            return [issue("unreadable-file", words, place=place)]
    raise error


def _placed(found: Issue, place: Place) -> Issue:
    return replace(found, place=replace(found.place, file=place.file))


def repeated_sessions(
    measured: Sequence[tuple[Source, SessionFacts]],
    kept: Sequence[tuple[Source, SessionFacts]],
    found: Sequence[Issue],
) -> list[LeftOut]:
    """Return the sessions that were measured and not kept; ``found`` has a finding for the file of each."""
    names = {source.name for source, _ in kept}
    reasons = {each.place.file: each.message for each in found}
    return [
        LeftOut(source, facts.about, str(reasons.get(source.name, "given twice"))[:MAX_REASON], again=True)
        for source, facts in measured
        if source.name not in names
    ]


def _reason(issues: Sequence[Issue]) -> str:
    """Return the first error in one line, and how many more there are."""
    errors = [each for each in issues if each.severity is Severity.ERROR] or list(issues)
    if not errors:
        return ""
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return " ".join(errors[0].message.split())[:MAX_REASON] + more


def arms_of_all(
    kept: Sequence[tuple[Source, SessionFacts]], left_out: Sequence[LeftOut]
) -> tuple[list[ArmAndOrder], list[ArmAndOrder]]:
    """Return arm and order of the sessions that are kept, and of those that are not."""
    held = [*(facts.about for _, facts in kept), *(each.about for each in left_out if not each.again)]
    given = arms_and_orders(held)
    others = iter(given[len(kept) :])
    rest = [arms_and_orders([*held, each.about])[-1] if each.again else next(others) for each in left_out]
    return given[: len(kept)], rest


def all_sessions(
    kept: Sequence[tuple[Source, SessionFacts]],
    left_out: Sequence[LeftOut],
    given: tuple[Sequence[ArmAndOrder], Sequence[ArmAndOrder]],
) -> pd.DataFrame | None:
    """Return the table of all sessions, columns of ``SESSIONS``; None without any.

    A file that could not be read belongs to the data set of the others where they have one.
    """
    datasets = {facts.dataset for _, facts in kept}
    only = datasets.pop() if len(datasets) == 1 else ""
    rows = [
        session_row(facts.about, source, arm=each.arm, order=each.order, n_neurons=facts.n_neurons)
        for (source, facts), each in zip(kept, given[0], strict=True)
    ]
    for lost, each in zip(left_out, given[1], strict=True):
        about = replace(lost.about, dataset=lost.about.dataset or only)
        rows.append(
            session_row(
                about, lost.source, arm=each.arm, order=each.order, n_neurons=0, exclusion=lost.reason
            )
        )
    return sessions_frame(rows)
