"""How the estimates of one animal vary: in each of its sessions, in each arm and between arms.

One animal is one job: its counts go in, a few numbers per estimand come out. Sessions are resampled one
after the other and added up.
"""

from __future__ import annotations

from dataclasses import dataclass

from nwbswitch.analysis.estimands.counts import Contrast, SessionCounts
from nwbswitch.analysis.estimands.neuron_weights import neuron_weights
from nwbswitch.analysis.estimands.primary import Layout
from nwbswitch.analysis.estimands.session_resamples import Resamples, ResampleSums, session_resamples
from nwbswitch.analysis.estimands.spreads import Interval, Spreads, spreads
from nwbswitch.schemas.progress import job_progress


@dataclass(frozen=True, slots=True)
class Group:
    """Sessions of one animal that are added up, by their places in the job, and the windows compared."""

    contrast: Contrast
    sessions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AnimalJob:
    """Everything that is resampled in one animal and cell type.

    Attributes
    ----------
    sessions
        Counts of all its sessions.
    groups
        What is added up, e.g. the drug windows of one arm.
    differences
        Pairs of groups, the second taken from the first.
    layout
        Without draws.
    """

    animal: str
    cell_type: str
    sessions: tuple[SessionCounts, ...]
    groups: tuple[Group, ...]
    differences: tuple[tuple[int, int], ...]
    layout: Layout
    resamples: int
    interval: Interval
    seed: int

    def __str__(self) -> str:
        return f"{self.animal}, {self.cell_type}"


@dataclass(frozen=True, slots=True)
class AnimalSpreads:
    """How each group, each session of each group, and each difference varies, in the order of the job.

    A group whose sessions lack the windows has nothing.
    """

    groups: tuple[Spreads, ...]
    sessions: tuple[tuple[Spreads, ...], ...]
    differences: tuple[Spreads, ...]


def animal_spreads(job: AnimalJob) -> AnimalSpreads:
    """Return how the estimates of one animal vary."""
    report = job_progress("sessions")
    sums = [ResampleSums() for _ in job.groups]
    own: dict[tuple[int, str], Spreads] = {}
    for place, session in enumerate(job.sessions):
        weights = neuron_weights(session.animal, session.identity, resamples=job.resamples, seed=job.seed)
        for contrast, numbers in _groups_of(job, place):
            found = session_resamples(session, contrast, job.layout, weights, seed=job.seed)
            if found is None:
                continue
            own[place, contrast.name] = spreads(found, job.layout, interval=job.interval)
            for number in numbers:
                sums[number].add(found)
        report(place + 1, len(job.sessions))
    totals = [each.total() for each in sums]
    return AnimalSpreads(
        groups=tuple(
            {} if each is None else spreads(each, job.layout, interval=job.interval) for each in totals
        ),
        sessions=tuple(
            tuple(own.get((place, group.contrast.name), {}) for place in group.sessions)
            for group in job.groups
        ),
        differences=tuple(_difference(totals[one], totals[two], job) for one, two in job.differences),
    )


def _groups_of(job: AnimalJob, place: int) -> list[tuple[Contrast, list[int]]]:
    """Return every pair of windows in which a session is needed, and the groups that need it."""
    found: dict[str, tuple[Contrast, list[int]]] = {}
    for number, group in enumerate(job.groups):
        if place in group.sessions:
            found.setdefault(group.contrast.name, (group.contrast, []))[1].append(number)
    return list(found.values())


def _difference(one: Resamples | None, two: Resamples | None, job: AnimalJob) -> Spreads:
    if one is None or two is None:
        return {}
    return spreads(one, job.layout, minus=two, interval=job.interval)
