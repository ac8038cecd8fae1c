"""Event counts of simulated studies with a known truth, for calibration of estimands and verdicts.

Counts are Poisson in blocks, times a gamma gain per neuron and block; no traces are made. A study is a
crossover by default: every animal is recorded once under the reference and once under the drug, with the
same neurons. The windows follow each other at one lag: pseudo_baseline, baseline (which is also
pseudo_drug) and drug.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats, SessionCounts, WindowCounts
from nwbswitch.analysis.simulation.optics import Optics, draw_optics, joined_optics, mixed_counts
from nwbswitch.analysis.simulation.rate_paths import rate_paths
from nwbswitch.analysis.simulation.scenarios import SCENARIOS, Scenario
from nwbswitch.analysis.simulation.study_cells import cells_table
from nwbswitch.schemas.worlds import BLOCK_S, World, baseline_rates, block_gains, rates_after

__all__ = ["SCENARIOS", "Design", "Scenario", "cells_table", "simulate_counts", "simulate_study"]

Design = Literal["crossover", "between"]


def simulate_counts(
    world: World,
    *,
    n_neurons: int,
    window_s: float,
    rng: np.random.Generator,
    block_s: float = BLOCK_S,
) -> SessionCounts:
    """Return one session with a baseline and a drug window, as in the first calibration table."""
    before = baseline_rates(n_neurons, rng)
    after = rates_after(world, before, rng)
    n_blocks = round(window_s / block_s)
    windows = {
        name: _window(rates[:, None] * np.ones(n_blocks), block_s, rng)
        for name, rates in (("baseline", before), ("drug", after))
    }
    return _session("1", "1", world.value, 1, _names("1", n_neurons), windows, anatomical=True)


def simulate_study(
    scenario: Scenario,
    *,
    n_animals: int,
    rng: np.random.Generator,
    n_neurons: int | Sequence[int] = 60,
    window_s: float = 600.0,
    lag_s: float = 720.0,
    block_s: float = BLOCK_S,
    design: Design = "crossover",
    shared_share: float = 1.0,
    drug: str = "ketamine",
    reference: str = "saline",
) -> list[SessionCounts]:
    """Return the sessions of a simulated study.

    Parameters
    ----------
    scenario
        The truth.
    n_animals
        Animals per arm.
    n_neurons
        Neurons per animal before detection; a sequence is used in turn, for unequal animals.
    window_s, lag_s, block_s
        Length of a window, time between the starts of compared windows, length of a block, s.
    design
        crossover: both sessions in every animal, order counterbalanced; between: one session each.
    shared_share
        Share of the neurons that are found again in the second session of a crossover; the others are
        replaced by new ones with names of their own.

    Raises
    ------
    ValueError
        When ``shared_share`` is not from 0 to 1.
    """
    if not 0 <= shared_share <= 1:
        raise ValueError(f"shared_share must be from 0 to 1, not {shared_share!r}")
    sizes = [n_neurons] if isinstance(n_neurons, int) else list(n_neurons)
    sessions = []
    total = n_animals if design == "crossover" else 2 * n_animals
    for place in range(total):
        animal = f"m{place + 1:02d}"
        rates = baseline_rates(sizes[place % len(sizes)], rng)
        optics = draw_optics(scenario, rates.size, rng)
        names = _names(animal, rates.size)
        order = (reference, drug) if place % 2 == 0 else (drug, reference)
        arms = order if design == "crossover" else order[:1]
        for rank, arm in enumerate(arms, start=1):
            if rank == 2 and shared_share < 1:
                rates, optics, names = _replaced(scenario, animal, rates, optics, shared_share, rng)
            truth = scenario if arm == drug else scenario.of_reference()
            windows = _windows(truth, rates, optics, window_s, lag_s, block_s, rng, still=arm == drug)
            identity = names
            if scenario.min_events:
                kept = _detected(truth, windows, rng)
                windows = {name: _rows(window, kept) for name, window in windows.items()}
                identity = identity[kept]
            anatomical = scenario.min_events == 0
            sessions.append(
                _session(animal, f"{rank}-{arm}", arm, rank, identity, windows, anatomical=anatomical)
            )
    return sessions


def _replaced(
    scenario: Scenario,
    animal: str,
    rates: Floats,
    optics: Optics,
    shared_share: float,
    rng: np.random.Generator,
) -> tuple[Floats, Optics, np.ndarray]:
    n = rates.size
    kept = round(shared_share * n)
    fresh = baseline_rates(n - kept, rng)
    seen = joined_optics(optics, draw_optics(scenario, n, rng), kept)
    names = _names(animal, 2 * n - kept)
    return np.concatenate([rates[:kept], fresh]), seen, np.concatenate([names[:kept], names[n:]])


def _windows(
    truth: Scenario,
    rates: Floats,
    optics: Optics,
    window_s: float,
    lag_s: float,
    block_s: float,
    rng: np.random.Generator,
    *,
    still: bool,
) -> dict[str, WindowCounts]:
    n_blocks = round(window_s / block_s)
    lengths = [n_blocks, n_blocks, max(1, round(n_blocks * truth.drug_window_factor))]
    paths = rate_paths(truth, rates, optics, lengths, lag_s, block_s, rng)
    false_per_min = np.full(3, truth.false_events_per_min)
    if truth.false_events_in_drug_only:
        false_per_min[:2] = 0
    censored = np.full(3, truth.censored_before_drug)
    if still:
        censored[2] = 0
    made = [
        _window(path, block_s, rng, false_per_min=float(extra), censored=float(share), start_s=place * lag_s)
        for place, (path, extra, share) in enumerate(zip(paths, false_per_min, censored, strict=True))
    ]
    if truth.mixed_share:
        made = [replace(window, events=mixed_counts(window.events, truth, optics, rng)) for window in made]
    return {
        "pseudo_baseline": made[0],
        "pseudo_drug": made[1],
        "baseline": made[1],
        "drug": made[2],
    }


def _window(
    rates_per_min: Floats,
    block_s: float,
    rng: np.random.Generator,
    *,
    false_per_min: float = 0.0,
    censored: float = 0.0,
    start_s: float = 0.0,
) -> WindowCounts:
    exposure_s = np.full(rates_per_min.shape, block_s)
    if censored:
        exposure_s *= 1 - rng.uniform(0, 2 * censored, rates_per_min.shape[1])
    mean = rates_per_min * block_gains(rates_per_min.shape, rng) + false_per_min
    events = rng.poisson(mean * exposure_s / 60).astype(float)
    negative = rng.poisson(false_per_min * exposure_s / 60).astype(float)
    block = np.arange(events.shape[1])
    return WindowCounts(events, negative, exposure_s, 1 + block % 2, start_s + block * block_s)


def _rows(window: WindowCounts, kept: np.ndarray) -> WindowCounts:
    return replace(
        window,
        events=window.events[kept],
        negative=window.negative[kept],
        exposure_s=window.exposure_s[kept],
    )


def _detected(scenario: Scenario, windows: dict[str, WindowCounts], rng: np.random.Generator) -> np.ndarray:
    total = windows["baseline"].events.sum(axis=1) + windows["drug"].events.sum(axis=1)
    if not scenario.soft_detection:
        return np.asarray(total >= scenario.min_events)
    chance = 1 / (1 + np.exp(-(total - scenario.min_events) / (scenario.min_events / 5)))
    return np.asarray(rng.random(total.size) < chance)


def _names(animal: str, n: int) -> np.ndarray:
    return np.array([f"{animal}-{place}" for place in range(n)], dtype=np.str_)


def _session(
    animal: str,
    session: str,
    arm: str,
    order: int,
    identity: np.ndarray,
    windows: dict[str, WindowCounts],
    *,
    anatomical: bool,
) -> SessionCounts:
    return SessionCounts(
        dataset="simulated",
        animal=animal,
        session=session,
        arm=arm,
        order=order,
        cell_type="excitatory",
        anatomical=anatomical,
        simulated=True,
        identity=identity,
        windows=windows,
    )
