"""Coverage of the intervals inside animals: jackknife, percentile and basic bootstrap, by simulation.

Run: ``python benchmarks/coverage_inside_animals.py [--repetitions 500] [--neurons 60 200] [--workers 2]``.
A population of 30,000 neurons is simulated once per world, in three sessions of two windows of 10 minutes;
its own estimates are the truth. Each repetition samples neurons of it: one session, the three sessions with
the same neurons followed, and these with each neuron taken for another one in each session, which is wrong.
Printed are the share of 95 % intervals that hold the truth, the SD of the estimates over repetitions, and
the root mean square of their standard errors. Jackknife intervals are the estimate +- 1.96 standard errors.
"""

from __future__ import annotations

import argparse
import math
import os
import zlib
from dataclasses import dataclass, replace

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from nwbswitch.analysis.estimands.counts import (  # noqa: E402
    DRUG,
    SessionCounts,
    WindowCounts,
    half_counts,
)
from nwbswitch.analysis.estimands.neuron_weights import neuron_weights  # noqa: E402
from nwbswitch.analysis.estimands.primary import (  # noqa: E402
    OK,
    Key,
    Layout,
    contrast_sums,
    evaluate,
    status,
)
from nwbswitch.analysis.estimands.session_resamples import ResampleSums, session_resamples  # noqa: E402
from nwbswitch.analysis.estimands.spreads import spreads  # noqa: E402
from nwbswitch.schemas.jobs import run_jobs  # noqa: E402
from nwbswitch.schemas.worlds import World, baseline_rates, block_gains, rates_after  # noqa: E402

POPULATION = 30_000
SESSIONS = 3
BLOCKS, BLOCK_S = 20, 30.0
LIMIT = 10
LAYOUT = Layout(0, (LIMIT,))
KEYS: tuple[Key, ...] = (
    ("G", 0),
    ("R_act", 0),
    ("R_sil", 0),
    ("SW", 0),
    ("rho_star", 0),
    ("tau_c", LIMIT),
)
LEVELS = ("session", "animal", "animal, as if strangers")
KINDS = ("jackknife", "percentile", "basic")


@dataclass(frozen=True, slots=True)
class Task:
    """One world with one number of neurons."""

    world: World
    n_neurons: int
    repetitions: int
    resamples: int

    def __str__(self) -> str:
        return f"{self.world.value}, {self.n_neurons} neurons"


def population(world: World, rng: np.random.Generator) -> list[SessionCounts]:
    """Return three sessions of one large population, the same neurons in all."""
    rates = baseline_rates(POPULATION, rng)
    names = np.array([str(place) for place in range(POPULATION)])
    found = []
    for place in range(SESSIONS):
        levels = {"baseline": rates, "drug": rates_after(world, rates, rng)}
        windows = {name: _window(level, rng) for name, level in levels.items()}
        found.append(
            SessionCounts("", "m", str(place), "drug", place, "excitatory", True, True, names, windows)
        )
    return found


def _window(rates_per_min: np.ndarray, rng: np.random.Generator) -> WindowCounts:
    shape = (rates_per_min.size, BLOCKS)
    events = rng.poisson(rates_per_min[:, None] * block_gains(shape, rng) * BLOCK_S / 60).astype(float)
    exposure_s = np.broadcast_to(np.full(BLOCKS, BLOCK_S), shape)
    return WindowCounts(events, np.zeros(shape), exposure_s, 1 + np.arange(BLOCKS) % 2)


def sampled(session: SessionCounts, rows: np.ndarray) -> SessionCounts:
    """Return these neurons of a session."""
    windows = {
        name: WindowCounts(each.events[rows], each.negative[rows], each.exposure_s[rows], each.half)
        for name, each in session.windows.items()
    }
    return replace(session, identity=session.identity[rows], windows=windows)


def truths(sessions: list[SessionCounts]) -> dict[Key, float]:
    """Return the estimates of the population; tau_c of 6,000 of its neurons."""
    plain, some = Layout(0, ()), np.arange(6000)
    sums, pairs = np.zeros(plain.size), np.zeros(LAYOUT.size)
    for session in sessions:
        for chosen, layout, total in ((slice(None), plain, sums), (some, LAYOUT, pairs)):
            counts = half_counts(sampled(session, chosen), DRUG)  # type: ignore[arg-type]
            assert counts is not None
            total += contrast_sums(counts[0], counts[1], layout)
    return {
        key: float(evaluate(key, pairs, LAYOUT) if key[1] else evaluate(key, sums, plain)) for key in KEYS
    }


def cover(task: Task) -> list[str]:
    """Return the lines of one world and number of neurons."""
    rng = np.random.default_rng(zlib.crc32(str(task).encode()))
    sessions = population(task.world, rng)
    true = {"session": truths(sessions[:1])} | dict.fromkeys(LEVELS[1:], truths(sessions))
    held = {(level, key): [] for level in LEVELS for key in KEYS}  # type: ignore[var-annotated]
    for repetition in range(task.repetitions):
        rows = rng.choice(POPULATION, task.n_neurons, replace=False)
        followed = [sampled(session, rows) for session in sessions]
        strangers = [
            replace(each, identity=np.array([f"{each.session}-{name}" for name in each.identity]))
            for each in followed
        ]
        for level, used in zip(LEVELS, (followed[:1], followed, strangers), strict=True):
            for key, found in _one(used, repetition, task.resamples).items():
                held[level, key].append(found)
    lines = []
    for level in LEVELS:
        for key in KEYS:
            found = np.array(held[level, key])
            truth = true[level][key]
            inside = (found[:, 2::2] <= truth) & (truth <= found[:, 3::2])
            shares = inside.sum(axis=0) / np.isfinite(found[:, 2::2]).sum(axis=0)
            lines.append(
                f"{task!s:24s} {level:24s} {key[0]:9s} {truth:6.2f} {found[:, 0].mean() - truth:7.3f} "
                f"{found[:, 0].std(ddof=1):6.3f} {math.sqrt((found[:, 1] ** 2).mean()):6.3f}  "
                + " ".join(f"{share:10.3f}" for share in shares)
                + f" {len(found):6d}"
            )
    return lines


def _one(sessions: list[SessionCounts], seed: int, resamples: int) -> dict[Key, list[float]]:
    """Return estimate, standard error and the ends of all intervals of one sample."""
    totals = ResampleSums()
    for session in sessions:
        weights = neuron_weights("m", session.identity, resamples=resamples, seed=seed)
        part = session_resamples(session, DRUG, LAYOUT, weights, seed=seed)
        assert part is not None
        totals.add(part)
    sums = totals.total()
    assert sums is not None
    one, two = spreads(sums, LAYOUT), spreads(sums, LAYOUT, interval="basic")
    found = {}
    for key in KEYS:
        if status(key[0], sums.full, LAYOUT, limit=key[1]) != OK:
            continue
        value, se = float(evaluate(key, sums.full, LAYOUT)), math.sqrt(one[key].variance)
        limits = [value - 1.96 * se, value + 1.96 * se]
        found[key] = [value, se, *limits, one[key].low, one[key].high, two[key].low, two[key].high]
    return found


def main() -> None:
    """Print one row per world, number of neurons, level and estimand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--neurons", type=int, nargs="+", default=[60, 200])
    parser.add_argument("--resamples", type=int, default=399)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    tasks = [
        Task(world, n, given.repetitions, given.resamples)
        for world in (World.NULL, World.RESHUFFLE, World.SWITCH)
        for n in given.neurons
    ]
    print(f"{'world':24s} {'level':24s} estimand   truth    bias     SD    SE   {'  '.join(KINDS)}      n")
    for outcome in run_jobs(cover, tasks, label="worlds", workers=given.workers):
        if outcome.error is not None:
            raise outcome.error
        print("\n".join(outcome.value or []))


if __name__ == "__main__":
    main()
