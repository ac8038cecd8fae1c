"""Rows of the estimates table and of the table of neurons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from nwbswitch.analysis.estimands.counts import DRUG, PSEUDO, Contrast, SessionCounts, half_counts
from nwbswitch.analysis.estimands.primary import Key
from nwbswitch.analysis.verdicts.animal_estimates import OwnEstimates
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult, arm_key
from nwbswitch.analysis.verdicts.pooling import Estimate
from nwbswitch.schemas.tables import ESTIMATES


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One row of ``ESTIMATES``; the fields are its columns."""

    dataset: str
    arm: str
    cell_type: str
    contrast: str
    level: str
    animal: str
    estimand: str
    k: int
    estimate: float
    se: float
    ci_low: float
    ci_high: float
    df: float
    p: float
    n_animals: int
    n_sessions: int
    n_neurons: int
    status: str
    simulated: bool
    session: str = ""
    role: str = "descriptive"
    p_holm: float = math.nan


@dataclass(frozen=True, slots=True)
class Heading:
    """What the rows of one arm share."""

    dataset: str
    cell_type: str
    arm: str
    simulated: bool


def arm_rows(heading: Heading, arm: ArmResult) -> Iterator[EstimateRow]:
    """Yield the pooled estimates of an arm, with 95 % intervals."""
    parts: list[tuple[str, Mapping[Key, Estimate]]] = [
        ("drug", arm.drug_estimates),
        ("pseudo", arm.pseudo_estimates),
    ]
    if arm.difference is not None:
        parts.append((arm.contrast_name, arm.difference.estimates))
    for contrast, found in parts:
        for key, estimate in found.items():
            yield _row(heading, contrast, "arm", key, estimate, estimate.interval())


def own_rows(heading: Heading, found: OwnEstimates) -> Iterator[EstimateRow]:
    """Yield the animals' and the sessions' own estimates; their intervals are those of the bootstrap."""
    for contrast, animals in found.animals.items():
        for animal, estimates in animals.items():
            for key, each in estimates.items():
                limits = (each.ci_low, each.ci_high)
                yield _row(heading, contrast, "animal", key, each, limits, animal=animal)
    for contrast, sessions in found.sessions.items():
        for (animal, session), estimates in sorted(sessions.items()):
            for key, each in estimates.items():
                limits = (each.ci_low, each.ci_high)
                yield _row(heading, contrast, "session", key, each, limits, animal=animal, session=session)


def _row(
    heading: Heading,
    contrast: str,
    level: str,
    key: Key,
    estimate: Estimate,
    limits: tuple[float, float],
    *,
    animal: str = "",
    session: str = "",
) -> EstimateRow:
    return EstimateRow(
        dataset=heading.dataset,
        arm=heading.arm,
        cell_type=heading.cell_type,
        contrast=contrast,
        level=level,
        animal=animal,
        estimand=key[0],
        k=key[1],
        estimate=estimate.estimate,
        se=estimate.se,
        ci_low=limits[0],
        ci_high=limits[1],
        df=estimate.df,
        p=estimate.p,
        n_animals=estimate.n_animals,
        n_sessions=estimate.n_sessions,
        n_neurons=estimate.n_neurons,
        status=estimate.status,
        simulated=heading.simulated,
        session=session,
    )


def estimates_table(rows: Iterable[EstimateRow]) -> pd.DataFrame:
    """Return the rows as a table that fits ``ESTIMATES``."""
    names = ESTIMATES.names
    values = [[getattr(row, name) for name in names] for row in rows]
    return ESTIMATES.checked(pd.DataFrame(values, columns=list(names)))


def neuron_rates(sessions: Iterable[SessionCounts]) -> pd.DataFrame:
    """Return event rates per neuron, session and contrast, events/min.

    Columns: dataset, animal, session, arm, cell_type, neuron (tracking id or a name unique to the
    session), contrast (drug or pseudo), before_per_min, after_per_min, and before_1_per_min and
    before_2_per_min for the interleaved halves of the first window.
    """
    frames = [
        frame
        for session in sessions
        for contrast in (DRUG, PSEUDO)
        for frame in _session_rates(session, contrast)
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _session_rates(session: SessionCounts, contrast: Contrast) -> Iterator[pd.DataFrame]:
    counts = half_counts(session, contrast)
    if counts is None:
        return
    before, after, chosen = counts
    halves_per_min = 60 * before.events / before.exposure_s
    yield pd.DataFrame(
        {
            "dataset": session.dataset,
            "animal": session.animal,
            "session": session.session,
            "arm": arm_key(session),
            "cell_type": session.cell_type,
            "neuron": session.identity[chosen],
            "contrast": contrast.name,
            "before_per_min": 60 * before.events.sum(axis=1) / before.exposure_s.sum(axis=1),
            "after_per_min": 60 * after.events.sum(axis=1) / after.exposure_s.sum(axis=1),
            "before_1_per_min": halves_per_min[:, 0],
            "before_2_per_min": halves_per_min[:, 1],
        }
    )
