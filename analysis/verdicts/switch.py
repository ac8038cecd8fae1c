"""`switch`: from the cells table to estimates and a verdict for every arm."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, SessionCounts, read_sessions
from nwbswitch.analysis.verdicts.animal_estimates import animal_estimates
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult, analyse_arms, arm_key, find_reference
from nwbswitch.analysis.verdicts.switch_result import SwitchInfo, SwitchResult
from nwbswitch.analysis.verdicts.verdict import MARGIN
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Place, issue

EXCITATORY = "excitatory"


def switch(
    cells: pd.DataFrame,
    *,
    reference: str | None = None,
    margin: float = MARGIN,
    k: Sequence[int] | None = None,
    cell_type: str | None = None,
    draws: int = 100,
    seed: int = 0,
) -> SwitchResult:
    """Estimate the activity switch of one data set and decide, for every arm, what it shows.

    Parameters
    ----------
    cells
        The cells table, columns of ``nwbswitch.schemas.tables.CELLS``; not changed.
    reference
        Arm to compare with; by default saline, else vehicle, else each arm's own pseudo-injection.
    margin
        Correlation that counts as none, fixed before the data are seen.
    k
        Detection limits of tau_c in events over both windows; by default derived from the data.
    cell_type
        Type that the verdicts are about; by default excitatory, else the type with most neurons. All
        types are estimated.
    draws
        Draws over which ties of the selection are broken at random.
    seed
        Of ties and of permutations that are too many to list.

    Raises
    ------
    TableError
        When the table does not fit its specification, holds several data sets, or events of several kinds.
    ValueError
        When an argument names something that is not there.
    """
    _require_one_kind_of_event(cells)
    return switch_sessions(
        read_sessions(cells),
        reference=reference,
        margin=margin,
        k=k,
        cell_type=cell_type,
        draws=draws,
        seed=seed,
    )


def _require_one_kind_of_event(cells: pd.DataFrame) -> None:
    """Refuse sums over things that are not the same count, such as spikes and calcium events."""
    kinds = sorted(set(cells["event_basis"].dropna()) - {""}) if "event_basis" in cells else []
    if len(kinds) > 1:
        problem = f"The cells table counts events of several kinds ({', '.join(kinds)})."
        remedy = "Estimate each on its own: measure with --modality, or keep the rows of one event_basis."
        place = Place(item="cells.event_basis")
        raise TableError([issue("bad-cell", problem, place=place, remedy=remedy)])


def switch_sessions(
    sessions: Sequence[SessionCounts],
    *,
    reference: str | None = None,
    margin: float = MARGIN,
    k: Sequence[int] | None = None,
    cell_type: str | None = None,
    draws: int = 100,
    seed: int = 0,
) -> SwitchResult:
    """Do the same from counts; see `switch`."""
    started = time.perf_counter()
    if not 0 < margin < 1:
        raise ValueError(f"margin must be between 0 and 1, not {margin}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    if k is not None and (not k or any(limit < 1 for limit in k)):
        raise ValueError(f"k must be one or more whole numbers of at least 1, not {list(k)}")
    datasets = sorted({session.dataset for session in sessions})
    if len(datasets) != 1:
        names = ", ".join(datasets)
        raise TableError(
            [
                issue(
                    "bad-cell",
                    f"The cells table holds {len(datasets)} data sets ({names}); a verdict is about one.",
                    place=Place(item="cells.dataset"),
                    remedy="Measure each into a table of its own and pool the estimates with meta; if they "
                    "are one, state dataset in the overrides and measure again.",
                )
            ]
        )
    pairs = [{contrast.before, contrast.after} for contrast in (DRUG, PSEUDO)]
    if not any(pair <= set(session.windows) for session in sessions for pair in pairs):
        raise TableError(
            [
                issue(
                    "no-epochs",
                    "No recording session has two windows to compare: baseline and drug, or the pseudo pair.",
                    place=Place(item="cells.window"),
                    remedy="Add the windows to the study file and convert again.",
                )
            ]
        )
    primary = primary_type(sessions, cell_type)
    by_type: dict[str, dict[str, ArmResult]] = {}
    for name in sorted({session.cell_type for session in sessions}):
        own = [session for session in sessions if session.cell_type == name]
        arms = sorted({arm_key(session) for session in own})
        compared = reference if reference in arms or name == primary else None
        by_type[name] = analyse_arms(
            own,
            reference=find_reference(arms, compared),
            margin=margin,
            limits=None if k is None else tuple(sorted(set(k))),
            draws=draws,
            seed=seed,
        )
    per_animal = {
        name: {arm: animal_estimates(result) for arm, result in arms.items()}
        for name, arms in by_type.items()
    }
    info = SwitchInfo(
        reference=find_reference(sorted(by_type[primary]), reference),
        margin=margin,
        limits={name: _limits(arms.values()) for name, arms in by_type.items()},
        limits_from_data=k is None,
        draws=draws,
        seed=seed,
        cell_type=primary,
        seconds=time.perf_counter() - started,
    )
    simulated = any(session.simulated for session in sessions)
    return SwitchResult(datasets[0], simulated, by_type, per_animal, info)


def primary_type(sessions: Sequence[SessionCounts], wanted: str | None) -> str:
    """Return the cell type that verdicts are about.

    Raises
    ------
    ValueError
        When the wanted type is not there.
    """
    neurons: Counter[str] = Counter()
    for session in sessions:
        neurons[session.cell_type] += session.identity.size
    if wanted is not None:
        if wanted not in neurons:
            raise ValueError(
                f"no cell type {wanted!r} in these cells; there are {', '.join(sorted(neurons))}"
            )
        return wanted
    return EXCITATORY if EXCITATORY in neurons else max(sorted(neurons), key=lambda name: neurons[name])


def _limits(arms: Iterable[ArmResult]) -> tuple[int, ...]:
    return next((arm.layout.limits for arm in arms if arm.layout), ())
