"""What breaking an assumption does to the estimands, the verdict and the negative controls."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.simulation.acceptance import NEURONS, NEURONS_BEFORE_DETECTION
from nwbswitch.analysis.simulation.agreement import mean_and_se
from nwbswitch.analysis.simulation.scenarios import BROKEN, Scenario, broken, kept
from nwbswitch.analysis.simulation.study_outcomes import (
    AGAINST_SALINE,
    OF_THE_DRUG,
    StudyOutcome,
    StudyPlan,
    failed_shares,
    simulate_outcomes,
    word_shares,
)
from nwbswitch.schemas.worlds import World

WORLDS = (World.NULL, World.RESHUFFLE, World.SWITCH)
ESTIMATED = (*AGAINST_SALINE[:-1], *OF_THE_DRUG, AGAINST_SALINE[-1])
STATIC_ROIS = 10
"""ROIs per session that report no activity, so that N4 can be had."""
WINDOW_S = {"unequal durations": 300.0}
"""Length of the baseline where it is not 10 minutes, s: 5 against 15 minutes."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What one broken assumption does in one world.

    Attributes
    ----------
    biases
        Mean estimate minus that of the same world with the assumption kept, and its standard error, by
        estimand; G, R_act, R_sil, SW and M are against the reference.
    lost
        Share of studies without an estimate, by estimand; 0 are left out.
    words, intact_words
        Share of each verdict with the assumption broken and kept.
    failed
        Share of studies in which each negative control failed; 0 are left out.
    """

    assumption: str
    world: World
    n_studies: int
    biases: dict[str, tuple[float, float]]
    lost: dict[str, float]
    words: dict[str, float]
    intact_words: dict[str, float]
    failed: dict[str, float]


def assumption_effects(
    names: Sequence[str] = tuple(BROKEN),
    *,
    worlds: Sequence[World] = WORLDS,
    repetitions: int = 200,
    n_animals: int = 6,
    seed: int = 0,
    workers: int = 1,
    quiet: bool = True,
) -> Iterator[Effect]:
    """Yield the effect of breaking each assumption in each world, in simulated crossovers.

    What is simulated with an assumption kept is simulated once and serves all that are compared with it.

    Parameters
    ----------
    names
        Of `BROKEN`.
    worlds
        What the drug does.
    repetitions
        Studies per assumption and world, and as many per world with all assumptions kept.
    n_animals
        Animals, with 60 neurons and windows of 10 minutes each.

    Raises
    ------
    ValueError
        When there is no such assumption.
    """
    intact: dict[StudyPlan, list[StudyOutcome]] = {}
    for name in names:
        for world in worlds:
            window_s = WINDOW_S.get(name, 600.0)
            plan = _plan(broken(name, world), n_animals, window_s)
            base = _plan(kept(name, world), n_animals, window_s)
            if base not in intact:
                intact[base] = simulate_outcomes(
                    base, repetitions=repetitions, seed=seed, workers=workers, quiet=quiet
                )
            outcomes = simulate_outcomes(
                plan, repetitions=repetitions, seed=seed, workers=workers, quiet=quiet
            )
            yield effect_of(name, world, outcomes, intact[base])


def _plan(scenario: Scenario, n_animals: int, window_s: float) -> StudyPlan:
    neurons = NEURONS_BEFORE_DETECTION if scenario.min_events else NEURONS
    return StudyPlan(
        scenario,
        n_animals,
        n_neurons=(neurons,),
        window_s=window_s,
        lag_s=1.2 * window_s,
        static_rois=STATIC_ROIS,
    )


def effect_of(
    assumption: str, world: World, outcomes: Sequence[StudyOutcome], intact: Sequence[StudyOutcome]
) -> Effect:
    """Return the effect of a broken assumption from studies with it broken and kept."""
    biases, lost = {}, {}
    for name in ESTIMATED:
        values, before = (
            np.array([each.estimates[name] for each in studies]) for studies in (outcomes, intact)
        )
        (mean, se), (base, base_se) = mean_and_se(values), mean_and_se(before)
        biases[name] = mean - base, math.hypot(se, base_se)
        share = float(np.isnan(values).mean())
        if share:
            lost[name] = share
    return Effect(
        assumption,
        world,
        len(outcomes),
        biases,
        lost,
        word_shares(outcomes),
        word_shares(intact),
        failed_shares(outcomes),
    )
