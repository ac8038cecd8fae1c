"""Calibration tables cell by cell: what is simulated now beside what was pinned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats, SessionCounts
from nwbswitch.analysis.simulation.agreement import Agreement, half_unit, mean_and_se, sd_and_se
from nwbswitch.analysis.simulation.count_studies import simulate_counts, simulate_study
from nwbswitch.analysis.simulation.pinned_values import Pinned, Values
from nwbswitch.analysis.simulation.repetitions import repeated_values
from nwbswitch.analysis.simulation.scenarios import Scenario


def simulated_values(
    pinned: Pinned, *, repetitions: int, rng: np.random.Generator, draws: int = 20
) -> dict[str, Floats]:
    """Return the estimands of simulated counts like the pinned ones, each of shape (repetitions,)."""
    simulate: Callable[[np.random.Generator], SessionCounts]
    if pinned.lag_s is None:

        def simulate(rng: np.random.Generator) -> SessionCounts:
            return simulate_counts(
                pinned.world, n_neurons=pinned.n_neurons, window_s=pinned.window_s, rng=rng
            )
    else:
        scenario = Scenario(pinned.world, fluctuation_log_sd=pinned.fluctuation_log_sd)
        lag_s = pinned.lag_s

        def simulate(rng: np.random.Generator) -> SessionCounts:
            study = simulate_study(
                scenario,
                n_animals=1,
                n_neurons=pinned.n_neurons,
                window_s=pinned.window_s,
                lag_s=lag_s,
                design="between",
                drug="drug",
                reference="reference",
                rng=rng,
            )
            return next(session for session in study if session.arm == "drug")

    return repeated_values(simulate, pinned.estimands, repetitions=repetitions, rng=rng, draws=draws)


def agreements(pinned: Pinned, found: Mapping[str, Floats]) -> list[Agreement]:
    """Return one cell for each pinned number.

    Parameters
    ----------
    pinned
        What was kept.
    found
        The estimands over new repetitions, each of shape (repetitions,).
    """
    cells = []
    for name, values in pinned.means.items():
        mean, se = mean_and_se(found[name])
        n = max(int(np.isfinite(found[name]).sum()), 1)
        kept = pinned.standard_errors.get(name)
        if kept is None:
            pinned_se = se * math.sqrt(n / pinned.repetitions)
        else:
            # One spread for both, so that a few new repetitions are enough.
            spread = _pooled_sd(found[name], float(kept) * math.sqrt(pinned.repetitions), pinned.repetitions)
            se, pinned_se = spread / math.sqrt(n), spread / math.sqrt(pinned.repetitions)
        cells.append(_cell(name, mean, se, values, pinned_se))
    for name, values in pinned.sds.items():
        sd, se, pinned_se = sd_and_se(found[name], pinned.repetitions)
        cells.append(_cell(f"SD of {name}", sd, se, values, pinned_se))
    return cells


def _pooled_sd(values: Floats, pinned_sd: float, n_pinned: int) -> float:
    """Return the standard deviation within the new and the pinned repetitions together."""
    new = values[np.isfinite(values)]
    squares = float(((new - new.mean()) ** 2).sum()) if new.size else 0.0
    freedom = n_pinned - 1 + max(new.size - 1, 0)
    return math.sqrt((squares + (n_pinned - 1) * pinned_sd**2) / freedom)


def _cell(name: str, ours: float, se: float, values: Values, pinned_se: float) -> Agreement:
    numbers = [float(each) for each in values]
    rounding = max(half_unit(each) for each in values)
    return Agreement(name, ours, se, min(numbers), max(numbers), pinned_se, rounding)
