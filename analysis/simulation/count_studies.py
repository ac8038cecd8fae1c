"""Event counts of simulated studies with a known truth, for calibration of estimands and verdicts.

Counts are Poisson in blocks, times a gamma gain per neuron and block; no traces are made. A study is a
crossover by default: every animal is recorded once under the reference and once under the drug, with the
same neurons. The windows follow each other at one lag: pseudo_baseline, baseline (which is also
pseudo_drug) and drug.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from nwbswitch.analysis.estimands.counts import Floats, SessionCounts, WindowCounts
from nwbswitch.schemas.worlds import BLOCK_S, World, baseline_rates, block_gains, rates_after

Design = Literal["crossover", "between"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A truth with everything that can be mistaken for it.

    Parameters
    ----------
    world
        What the drug does.
    reference_world
        What happens in the reference sessions at the time of the injection.
    fluctuation_log_sd, fluctuation_tau_s
        Slow fluctuation of every neuron's log rate in every session, an Ornstein-Uhlenbeck process.
    false_events_per_min
        Rate of events that are noise, added in every window; in the drug window of the drug only when
        ``false_events_in_drug_only``.
    min_events
        ROIs of a session are kept when they have at least this many events over baseline and drug window:
        detection that depends on activity. 0 keeps all and marks the ROIs as anatomical.
    soft_detection
        Keep a ROI with probability logistic((events - min_events) / (min_events / 5)) instead.
    pseudo_world
        What happens before the drug, between the two windows of the pseudo-injection, in drug sessions.
    """

    world: World = World.NULL
    reference_world: World = World.NULL
    fluctuation_log_sd: float = 0.0
    fluctuation_tau_s: float = 600.0
    false_events_per_min: float = 0.0
    false_events_in_drug_only: bool = False
    min_events: int = 0
    soft_detection: bool = False
    pseudo_world: World = World.NULL


SCENARIOS: dict[str, Scenario] = {
    "no effect": Scenario(),
    "drift": Scenario(World.DRIFT),
    "drift, detected": Scenario(World.DRIFT, min_events=20),
    "gain": Scenario(World.GAIN),
    "gain, detected": Scenario(World.GAIN, min_events=20),
    "gain, false events": Scenario(World.GAIN, false_events_per_min=1.0, false_events_in_drug_only=True),
    "slow fluctuation": Scenario(fluctuation_log_sd=1.0),
    "reshuffle": Scenario(World.RESHUFFLE),
    "reshuffle, detected": Scenario(World.RESHUFFLE, min_events=20),
    "reshuffle, soft detection": Scenario(World.RESHUFFLE, min_events=20, soft_detection=True),
    "reshuffle, fluctuation": Scenario(World.RESHUFFLE, fluctuation_log_sd=1.0),
    "swap": Scenario(World.SWAP),
    "swap, detected": Scenario(World.SWAP, min_events=20),
    "switch": Scenario(World.SWITCH),
    "switch, detected": Scenario(World.SWITCH, min_events=20),
    "switch, soft detection": Scenario(World.SWITCH, min_events=20, soft_detection=True),
    "switch, fluctuation": Scenario(World.SWITCH, fluctuation_log_sd=1.0),
    "drift in both arms": Scenario(World.DRIFT, reference_world=World.DRIFT),
    "drift before the drug": Scenario(pseudo_world=World.DRIFT),
    "reshuffle before the drug": Scenario(World.SWITCH, pseudo_world=World.RESHUFFLE),
    "reshuffle in both arms": Scenario(World.RESHUFFLE, reference_world=World.RESHUFFLE),
}
"""What the verdict must tell apart; the last four are what the negative controls must notice or pass."""


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
    """
    sizes = [n_neurons] if isinstance(n_neurons, int) else list(n_neurons)
    sessions = []
    total = n_animals if design == "crossover" else 2 * n_animals
    for place in range(total):
        animal = f"m{place + 1:02d}"
        rates = baseline_rates(sizes[place % len(sizes)], rng)
        order = (reference, drug) if place % 2 == 0 else (drug, reference)
        arms = order if design == "crossover" else order[:1]
        for rank, arm in enumerate(arms, start=1):
            truth = scenario
            if arm == reference:
                truth = replace(scenario, world=scenario.reference_world, pseudo_world=World.NULL)
                if scenario.false_events_in_drug_only:
                    truth = replace(truth, false_events_per_min=0.0)
            windows = _windows(truth, rates, window_s, lag_s, block_s, rng)
            identity = _names(animal, rates.size)
            if scenario.min_events:
                kept = _detected(truth, windows, rng)
                windows = {name: _rows(window, kept) for name, window in windows.items()}
                identity = identity[kept]
            anatomical = scenario.min_events == 0
            sessions.append(
                _session(animal, f"{rank}-{arm}", arm, rank, identity, windows, anatomical=anatomical)
            )
    return sessions


def _windows(
    scenario: Scenario, rates: Floats, window_s: float, lag_s: float, block_s: float, rng: np.random.Generator
) -> dict[str, WindowCounts]:
    n_blocks = round(window_s / block_s)
    middle = rates_after(scenario.pseudo_world, rates, rng)
    levels = [rates, middle, rates_after(scenario.world, middle, rng)]
    starts_s = np.arange(3) * lag_s
    times_s = (starts_s[:, None] + np.arange(n_blocks) * block_s).ravel()
    path = np.repeat(np.stack(levels, axis=1), n_blocks, axis=1)
    if scenario.fluctuation_log_sd:
        path = path * _slow_factor(rates.size, times_s, scenario, rng)
    noise = np.full(3, scenario.false_events_per_min)
    if scenario.false_events_in_drug_only:
        noise[:2] = 0
    parts = np.split(path, 3, axis=1)
    made = [
        _window(part, block_s, rng, false_per_min=float(extra))
        for part, extra in zip(parts, noise, strict=True)
    ]
    return {
        "pseudo_baseline": made[0],
        "pseudo_drug": made[1],
        "baseline": made[1],
        "drug": made[2],
    }


def _slow_factor(n: int, times_s: Floats, scenario: Scenario, rng: np.random.Generator) -> Floats:
    """Return factors of mean 1, shape (n, times): exp of a stationary Ornstein-Uhlenbeck process."""
    sd, tau_s = scenario.fluctuation_log_sd, scenario.fluctuation_tau_s
    log = np.empty((n, times_s.size))
    log[:, 0] = rng.normal(0, sd, n)
    for place in range(1, times_s.size):
        kept = np.exp(-(times_s[place] - times_s[place - 1]) / tau_s)
        log[:, place] = kept * log[:, place - 1] + rng.normal(0, sd * np.sqrt(1 - kept**2), n)
    return np.asarray(np.exp(log - sd**2 / 2))


def _window(
    rates_per_min: Floats, block_s: float, rng: np.random.Generator, *, false_per_min: float = 0.0
) -> WindowCounts:
    mean = rates_per_min * block_gains(rates_per_min.shape, rng) + false_per_min
    events = rng.poisson(mean * block_s / 60).astype(float)
    negative = rng.poisson(false_per_min * block_s / 60, events.shape).astype(float)
    half = 1 + np.arange(events.shape[1]) % 2
    return WindowCounts(events, negative, np.full(events.shape, block_s), half)


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


def cells_table(sessions: Sequence[SessionCounts]) -> pd.DataFrame:
    """Return the cells table of simulated sessions, one row per neuron, window and block."""
    starts_s = {"pseudo_baseline": 0.0, "pseudo_drug": 720.0, "baseline": 720.0, "drug": 1440.0}
    frames = []
    for session in sessions:
        neuron = np.array([int(name.rsplit("-", 1)[-1]) for name in session.identity])
        for name, window in session.windows.items():
            n, blocks = window.events.shape
            block = np.tile(np.arange(blocks), n)
            block_s = float(window.exposure_s.max(initial=0.0))
            frames.append(
                pd.DataFrame(
                    {
                        "dataset": session.dataset,
                        "animal": session.animal,
                        "session": session.session,
                        "plane": "plane0",
                        "neuron": np.repeat(neuron, blocks),
                        "tracking_id": np.repeat(session.identity, blocks),
                        "cell_type": session.cell_type,
                        "region": "RSPd",
                        "depth_um": np.nan,
                        "roi_basis": "anatomical" if session.anatomical else "activity",
                        "arm": session.arm,
                        "order": session.order,
                        "window": name,
                        "block": block,
                        "half": np.tile(window.half, n),
                        "start_s": starts_s.get(name, 0.0) + block * block_s,
                        "exposure_s": window.exposure_s.ravel(),
                        "n_events": window.events.ravel().astype(np.int64),
                        "n_negative": window.negative.ravel().astype(np.int64),
                        "activity": np.nan,
                        "mean_dff": np.nan,
                        "noise": np.nan,
                        "source": "simulated counts",
                        "source_digest": "",
                        "object_path": "",
                        "simulated": True,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)
