"""`switch`: from the cells table to estimates and a verdict for every arm."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import get_args

import pandas as pd

from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, SessionCounts, read_sessions
from nwbswitch.analysis.estimands.counts_reader import read_cells
from nwbswitch.analysis.estimands.spreads import FEWEST_RESAMPLES, MOST_RESAMPLES, Interval
from nwbswitch.analysis.verdicts.animal_estimates import own_estimates
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult, analyse_arms, arm_key, find_reference
from nwbswitch.analysis.verdicts.exploratory import exploratory_rows
from nwbswitch.analysis.verdicts.static_markers import STATIC_MARKER
from nwbswitch.analysis.verdicts.switch_result import SwitchInfo, SwitchResult
from nwbswitch.analysis.verdicts.verdict import MARGIN
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Place, issue

EXCITATORY = "excitatory"


def switch(
    cells: pd.DataFrame | Path | str,
    *,
    reference: str | Mapping[str, str] | None = None,
    margin: float = MARGIN,
    k: Sequence[int] | None = None,
    cell_type: str | None = None,
    draws: int = 100,
    resamples: int = 0,
    interval: Interval = "percentile",
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
) -> SwitchResult:
    """Estimate the activity switch of one data set and decide, for every arm, what it shows.

    Parameters
    ----------
    cells
        The cells table, columns of ``nwbswitch.schemas.tables.CELLS``, not changed; or its file, which is
        read a piece at a time and may be larger than memory (see `estimands.counts_reader`).
    reference
        Arm to compare with, or the reference of each arm by its name; by default saline, else vehicle,
        else each arm's own pseudo-injection.
    margin
        Correlation that counts as none, fixed before the data are seen.
    k
        Detection limits of tau_c in events over both windows; by default derived from the data.
    cell_type
        Type that the verdicts are about; by default excitatory, else the type with most neurons. All
        types are estimated.
    draws
        Draws over which ties of the selection are broken at random.
    resamples
        Bootstrap resamples inside animals and sessions, which give their estimates intervals; 0 for none,
        else 39 to 100,000. Verdicts, and all else at arm level, do not depend on them.
    interval
        Kind of these intervals, percentile or basic.
    seed
        Of ties, of permutations that are too many to list, and of resamples.
    workers, executor
        Processes for animals, or any executor; no number depends on them.

    Raises
    ------
    InputFileError
        When the file cannot be read.
    TableError
        When the table does not fit its specification, holds several data sets, or events of several kinds.
    ValueError
        When an argument names something that is not there.
    """
    return switch_sessions(
        read_cells(cells) if isinstance(cells, (Path, str)) else read_sessions(cells),
        reference=reference,
        margin=margin,
        k=k,
        cell_type=cell_type,
        draws=draws,
        resamples=resamples,
        interval=interval,
        seed=seed,
        workers=workers,
        executor=executor,
    )


def _require_one_kind_of_event(sessions: Sequence[SessionCounts]) -> None:
    """Refuse sums over things that are not the same count, such as spikes and calcium events."""
    kinds = sorted(frozenset().union(*(session.event_bases for session in sessions)))
    if len(kinds) > 1:
        problem = f"The cells table counts events of several kinds ({', '.join(kinds)})."
        remedy = "Estimate each on its own: measure with --modality, or keep the rows of one event_basis."
        place = Place(item="cells.event_basis")
        raise TableError([issue("bad-cell", problem, place=place, remedy=remedy)])


def switch_sessions(
    sessions: Sequence[SessionCounts],
    *,
    reference: str | Mapping[str, str] | None = None,
    margin: float = MARGIN,
    k: Sequence[int] | None = None,
    cell_type: str | None = None,
    draws: int = 100,
    resamples: int = 0,
    interval: Interval = "percentile",
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
) -> SwitchResult:
    """Do the same from counts; see `switch`."""
    started = time.perf_counter()
    if not 0 < margin < 1:
        raise ValueError(f"margin must be between 0 and 1, not {margin}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    if k is not None and (not k or any(limit < 1 for limit in k)):
        raise ValueError(f"k must be one or more whole numbers of at least 1, not {list(k)}")
    if resamples and not FEWEST_RESAMPLES <= resamples <= MOST_RESAMPLES:
        allowed = f"0, or at least {FEWEST_RESAMPLES} and at most {MOST_RESAMPLES}"
        raise ValueError(f"resamples must be {allowed}, not {resamples}")
    if interval not in get_args(Interval):
        raise ValueError(f"interval must be one of {', '.join(get_args(Interval))}, not {interval!r}")
    _require_one_kind_of_event(sessions)
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
    _require_arms(reference, {arm_key(session) for session in sessions})
    primary = primary_type(sessions, cell_type)
    static = [session for session in sessions if session.cell_type == STATIC_MARKER]
    by_type: dict[str, dict[str, ArmResult]] = {}
    for name in sorted({session.cell_type for session in sessions}):
        own = [session for session in sessions if session.cell_type == name]
        arms = sorted({arm_key(session) for session in own})
        by_type[name] = analyse_arms(
            own,
            reference=_reference(arms, reference, must_exist=name == primary),
            static=[] if name == STATIC_MARKER else static,
            margin=margin,
            limits=None if k is None else tuple(sorted(set(k))),
            draws=draws,
            seed=seed,
        )
    own_of = own_estimates(
        by_type, resamples=resamples, interval=interval, seed=seed, workers=workers, executor=executor
    )
    simulated = any(session.simulated for session in sessions)
    extra = exploratory_rows(by_type, dataset=datasets[0], simulated=simulated, seed=seed)
    info = SwitchInfo(
        reference=_main_reference(sorted(by_type[primary]), reference),
        margin=margin,
        limits={name: _limits(arms.values()) for name, arms in by_type.items()},
        limits_from_data=k is None,
        draws=draws,
        seed=seed,
        cell_type=primary,
        seconds=time.perf_counter() - started,
        resamples=resamples,
        interval=interval,
        references={} if reference is None or isinstance(reference, str) else dict(reference),
    )
    return SwitchResult(datasets[0], simulated, by_type, own_of, info, tuple(extra))


def _require_arms(wanted: str | Mapping[str, str] | None, arms: set[str]) -> None:
    """Refuse references of arms that no cell type has.

    Raises
    ------
    ValueError
        Naming one of them.
    """
    if wanted is None or isinstance(wanted, str):
        return
    if lost := sorted({*wanted, *wanted.values()} - arms):
        raise ValueError(f"no arm {lost[0]!r} in these cells; the arms are {', '.join(sorted(arms))}")


def _reference(
    arms: Sequence[str], wanted: str | Mapping[str, str] | None, *, must_exist: bool
) -> str | dict[str, str] | None:
    """Return the reference of the arms of one cell type, which may lack some of all arms."""
    if wanted is None or isinstance(wanted, str):
        return find_reference(arms, wanted if must_exist or wanted in arms else None)
    return {arm: other for arm, other in wanted.items() if arm in arms and other in arms}


def _main_reference(arms: Sequence[str], wanted: str | Mapping[str, str] | None) -> str | None:
    """Return the reference that most arms have."""
    if wanted is None or isinstance(wanted, str):
        return find_reference(arms, wanted)
    return max(sorted(wanted.values()), key=list(wanted.values()).count, default=None)


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
    if EXCITATORY in neurons:
        return EXCITATORY
    # What cannot report activity decides only when there is nothing else.
    return max(sorted(neurons), key=lambda name: (name != STATIC_MARKER, neurons[name]))


def _limits(arms: Iterable[ArmResult]) -> tuple[int, ...]:
    return next((arm.layout.limits for arm in arms if arm.layout), ())
