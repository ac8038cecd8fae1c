"""Every animal's and every session's own estimates, with the sampling variance inside the animal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from nwbswitch.analysis.estimands.animal_spreads import AnimalJob, AnimalSpreads, Group, animal_spreads
from nwbswitch.analysis.estimands.animal_sums import AnimalSums
from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, Contrast, Floats, SessionCounts
from nwbswitch.analysis.estimands.primary import OK, Key, Layout, evaluate, keys, status
from nwbswitch.analysis.estimands.spreads import Interval, Spread, Spreads
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult
from nwbswitch.analysis.verdicts.pooling import Estimate
from nwbswitch.schemas.jobs import run_jobs

_QUIET_WORK = 100_000
"""Sessions times resamples that take a few seconds."""


@dataclass(frozen=True, slots=True)
class OwnEstimate(Estimate):
    """An estimate of one animal or session; the interval is that of the bootstrap inside the animal."""

    ci_low: float = math.nan
    ci_high: float = math.nan


PerAnimal = dict[str, dict[Key, OwnEstimate]]
"""Estimates by animal and key."""
PerSession = dict[tuple[str, str], dict[Key, OwnEstimate]]
"""Estimates by animal and session, and key."""


@dataclass(frozen=True, slots=True)
class OwnEstimates:
    """Estimates of the animals and sessions of one arm, by contrast.

    ``animals`` has drug, pseudo and, where arms are compared within animals, vs_*; ``sessions`` has drug
    and pseudo.
    """

    animals: dict[str, PerAnimal] = field(default_factory=dict)
    sessions: dict[str, PerSession] = field(default_factory=dict)


def own_estimates(
    by_type: Mapping[str, Mapping[str, ArmResult]],
    *,
    resamples: int = 0,
    interval: Interval = "percentile",
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
) -> dict[str, dict[str, OwnEstimates]]:
    """Return the estimates of each animal and session, by cell type and arm.

    The standard error is that of the animal's or session's own value (neurons or blocks of time), not of
    the arm.

    Parameters
    ----------
    by_type
        Results by cell type and arm.
    resamples
        Of the bootstrap; 0 for standard errors without intervals.
    interval, seed
        Kind of the intervals; seed of the resamples.
    workers, executor
        As in `run_jobs`; an animal is a job, and no number depends on them.
    """
    plans = [_Plan(cell_type, name, arms) for cell_type, arms in by_type.items() for name in _animals(arms)]
    jobs = [plan.job(resamples=resamples, interval=interval, seed=seed) for plan in plans]
    n_sessions = sum(len(job.sessions) for job in jobs)
    outcomes = run_jobs(
        animal_spreads,
        jobs,
        label="animals",
        workers=workers,
        executor=executor,
        quiet=n_sessions * max(resamples, 100) < _QUIET_WORK,
    )
    found = {name: {arm: OwnEstimates() for arm in arms} for name, arms in by_type.items()}
    for plan, outcome in zip(plans, outcomes, strict=True):
        if outcome.error is not None:
            raise outcome.error
        if outcome.value is not None:
            plan.fill(found[plan.cell_type], outcome.value)
    return found


def _animals(arms: Mapping[str, ArmResult]) -> list[str]:
    return sorted({session.animal for arm in arms.values() for session in arm.sessions})


class _Plan:
    """What is resampled in one animal of one cell type, and where the answers belong."""

    def __init__(self, cell_type: str, animal: str, arms: Mapping[str, ArmResult]) -> None:
        self.cell_type = cell_type
        self.animal = animal
        self._arms = arms
        self._sessions: list[SessionCounts] = []
        self._places: dict[tuple[str, str], int] = {}
        self._groups: list[Group] = []
        self._named: dict[tuple[str, str], int] = {}
        self._differences: dict[str, tuple[int, int]] = {}
        for name, arm in arms.items():
            for contrast, sums in ((DRUG, arm.drug), (PSEUDO, arm.pseudo)):
                if sums is not None and animal in sums.animals:
                    self._named[name, contrast.name] = self._group(arm.sessions, contrast)
        for name, arm in arms.items():
            difference = arm.difference
            if difference is None or difference.design != "within" or animal not in difference.animals:
                continue
            other = self._group(arm.compared_sessions, arm.compared_contrast)
            self._differences[name] = (self._named[name, DRUG.name], other)

    def _group(self, sessions: Sequence[SessionCounts], contrast: Contrast) -> int:
        """Return the place of the group of this animal's sessions, which is new or there already."""
        own = [session for session in sessions if session.animal == self.animal]
        members = []
        for session in sorted(own, key=lambda each: each.session):
            key = (session.session, session.arm)
            if key not in self._places:
                self._places[key] = len(self._sessions)
                self._sessions.append(session)
            members.append(self._places[key])
        group = Group(contrast, tuple(members))
        if group not in self._groups:
            self._groups.append(group)
        return self._groups.index(group)

    def job(self, *, resamples: int, interval: Interval, seed: int) -> AnimalJob:
        """Return the job."""
        layouts = [arm.layout for arm in self._arms.values() if arm.layout is not None]
        return AnimalJob(
            animal=self.animal,
            cell_type=self.cell_type,
            sessions=tuple(self._sessions),
            groups=tuple(self._groups),
            differences=tuple(self._differences.values()),
            layout=layouts[0].expected() if layouts else Layout(0, ()),
            resamples=resamples,
            interval=interval,
            seed=seed,
        )

    def fill(self, found: Mapping[str, OwnEstimates], made: AnimalSpreads) -> None:
        """Put the estimates of this animal where they belong."""
        for (name, contrast), place in self._named.items():
            arm = self._arms[name]
            sums = arm.drug if contrast == DRUG.name else arm.pseudo
            if sums is None:
                raise ValueError(f"arm {name} has no sums of {contrast}")
            row = sums.animals.index(self.animal)
            found[name].animals.setdefault(contrast, {})[self.animal] = _of_animal(
                sums, row, made.groups[place]
            )
            names = [self._sessions[each].session for each in self._groups[place].sessions]
            by_name = dict(zip(names, made.sessions[place], strict=True))
            for session in sums.sessions[row] if sums.sessions else ():
                found[name].sessions.setdefault(contrast, {})[self.animal, session.session] = _estimates(
                    session.sums, sums.layout, by_name[session.session], 1, session.n_neurons
                )
        for (name, _), own in zip(self._differences.items(), made.differences, strict=True):
            arm = self._arms[name]
            found[name].animals.setdefault(arm.contrast_name, {})[self.animal] = _of_difference(
                arm, self.animal, own
            )


def _of_animal(sums: AnimalSums, row: int, own: Spreads) -> dict[Key, OwnEstimate]:
    return _estimates(sums.sums[row], sums.layout, own, sums.n_sessions[row], len(sums.neurons[row]))


def _estimates(
    sums: Floats, layout: Layout, own: Spreads, n_sessions: int, n_neurons: int
) -> dict[Key, OwnEstimate]:
    found = {}
    for key in keys(layout):
        state, value = _value(sums, layout, key)
        found[key] = _estimate(value, own.get(key, Spread()), state, n_sessions, n_neurons)
    return found


def _of_difference(arm: ArmResult, animal: str, own: Spreads) -> dict[Key, OwnEstimate]:
    one, two = arm.drug, arm.compared
    if one is None or two is None:
        raise ValueError(f"arm {arm.arm} has nothing to compare with")
    first, second = one.animals.index(animal), two.animals.index(animal)
    n_sessions = one.n_sessions[first] + two.n_sessions[second]
    n_neurons = len(one.neurons[first] | two.neurons[second])
    found = {}
    for key in keys(one.layout):
        states = [_value(each.sums[row], one.layout, key) for each, row in ((one, first), (two, second))]
        state = next((word for word, _ in states if word != OK), OK)
        value = states[0][1] - states[1][1]
        found[key] = _estimate(value, own.get(key, Spread()), state, n_sessions, n_neurons)
    rho = found["rho_star", 0]
    found["M", 0] = OwnEstimate(
        -rho.estimate,
        rho.se,
        status=rho.status,
        n_animals=1,
        n_sessions=n_sessions,
        n_neurons=n_neurons,
        ci_low=-rho.ci_high,
        ci_high=-rho.ci_low,
    )
    return found


def _value(sums: Floats, layout: Layout, key: Key) -> tuple[str, float]:
    state = status(key[0], sums, layout, limit=key[1])
    return state, float(evaluate(key, sums, layout)) if state == OK else math.nan


def _estimate(value: float, own: Spread, state: str, n_sessions: int, n_neurons: int) -> OwnEstimate:
    known = state == OK
    return OwnEstimate(
        value,
        math.sqrt(own.variance) if known else math.nan,
        status=state,
        n_animals=1,
        n_sessions=n_sessions,
        n_neurons=n_neurons,
        ci_low=own.low if known else math.nan,
        ci_high=own.high if known else math.nan,
    )
