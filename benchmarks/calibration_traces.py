"""Calibrate the estimands and the verdict on raw traces: transients, noise, neuropil, then our own events.

python benchmarks/calibration_traces.py                      compare with the pinned table, exit 1 if off
python benchmarks/calibration_traces.py --pin FILE           simulate a new table and write it
python benchmarks/calibration_traces.py verdicts             share of each verdict in whole studies of traces

The trace model is that of the simulator of raw recordings; detection, sums and estimands are those of the
analysis. Nothing passes through files, so that only the numbers are looked at.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.activity.blocks import frames_of
from nwbswitch.analysis.activity.pieces import Piece, plan_of
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.activity.trace_activity import measure_traces
from nwbswitch.analysis.activity.trace_source import PieceTraces, Slab
from nwbswitch.analysis.estimands.counts import SessionCounts, WindowCounts
from nwbswitch.analysis.reading.outline import ActivityKind, WindowSpan
from nwbswitch.analysis.simulation.agreement import mean_and_se
from nwbswitch.analysis.simulation.calibration import agreements
from nwbswitch.analysis.simulation.pinned_values import Pinned, PinnedFile, read_pinned
from nwbswitch.analysis.simulation.rate_paths import slow_process
from nwbswitch.analysis.simulation.repetitions import CALIBRATED, repeated_values
from nwbswitch.analysis.simulation.study_outcomes import share_se, study_outcome
from nwbswitch.analysis.verdicts.arm_analysis import analyse_arms
from nwbswitch.analysis.verdicts.verdict import MARGIN
from nwbswitch.converters.simulate_traces import (
    RATE_HZ,
    Neurons,
    make_neurons,
    record,
    treadmill_speed,
)
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.jobs import run_jobs
from nwbswitch.schemas.worlds import BLOCK_S, World, rates_after

PINNED = Path(__file__).resolve().parents[1] / "tests" / "reference" / "calibration_traces.json"
NAMES = ("G", *CALIBRATED)
REPETITIONS = 20


@dataclass(frozen=True)
class Session:
    """Times of a simulated recording, s: the injection lies between the last two windows."""

    windows: tuple[tuple[str, float, float], ...]
    injection_s: float
    stop_s: float

    @property
    def spans(self) -> tuple[WindowSpan, ...]:
        """The windows as the measurement wants them."""
        return tuple(WindowSpan(Window(name), start_s, stop_s) for name, start_s, stop_s in self.windows)


SHORT = Session((("baseline", 90.0, 210.0), ("drug", 270.0, 390.0)), 240.0, 480.0)
"""Windows of 2 minutes, with what is read around them."""
LONG = Session((("baseline", 90.0, 690.0), ("drug", 810.0, 1410.0)), 750.0, 1500.0)
"""Windows of 10 minutes."""
WHOLE = Session(
    (
        ("pseudo_baseline", 0.0, 600.0),
        ("pseudo_drug", 720.0, 1320.0),
        ("baseline", 720.0, 1320.0),
        ("drug", 1440.0, 2040.0),
    ),
    1380.0,
    2040.0,
)
"""Windows of simulated studies of raw recordings."""


class HeldTraces:
    """Fluorescence and neuropil in memory, shape (neurons, frames), as a source of traces."""

    rate_hz = RATE_HZ
    kind = ActivityKind.RAW

    def __init__(self, fluorescence: NDArray[np.float32], neuropil: NDArray[np.float32]) -> None:
        self.fluorescence, self.neuropil = fluorescence, neuropil
        self.n_neurons, self.n_frames = fluorescence.shape

    def slabs(self) -> tuple[Slab, ...]:
        """Return all neurons at once."""
        every = np.arange(self.n_neurons)
        return (Slab(slice(0, self.n_neurons), every, every, min(self.n_neurons, 256)),)

    def read(self, piece: Piece, slab: Slab) -> PieceTraces:
        """Return the traces of one piece."""
        time_s = np.arange(self.n_frames) / RATE_HZ
        frames = frames_of(time_s, piece.start_s, piece.stop_s)
        time_s = time_s[frames]
        return PieceTraces(
            time_s,
            frames_of(time_s, piece.core_start_s, piece.core_stop_s),
            self.fluorescence[:, frames].copy(),
            self.neuropil[:, frames].copy(),
            None,
            np.zeros(time_s.size, dtype=bool),
        )


def traced_windows(
    neurons: Neurons, rates: NDArray[np.float64], session: Session, rng: np.random.Generator
) -> dict[str, WindowCounts]:
    """Return the counts of a recording from its rates, shape (neurons, blocks), events/min."""
    n_frames = round(session.stop_s * RATE_HZ)
    recording = record(neurons, rates, treadmill_speed(n_frames, RATE_HZ, rng), rng)
    recipe = Recipe()
    plan = plan_of(session.spans, 0.0, session.stop_s, recipe)
    activity = measure_traces(HeldTraces(recording.fluorescence, recording.neuropil), plan, recipe, None)
    usable, tallies = activity.usable, activity.tallies
    if not usable.all():
        raise ValueError(f"{(~usable).sum()} simulated neurons have no noise level")
    found = {}
    for name, _, _ in session.windows:
        own = [place for place, block in enumerate(plan.blocks) if block.window == name]
        half = 1 + np.arange(len(own)) % 2
        counts = (tallies.events, tallies.negative, tallies.frames / RATE_HZ)
        found[name] = WindowCounts(*(each[:, own] for each in counts), half)
    return found


def path_of(
    neurons: Neurons,
    world: World,
    session: Session,
    rng: np.random.Generator,
    *,
    fluctuation_log_sd: float = 0.0,
) -> NDArray[np.float64]:
    """Return the rates in all blocks of a recording, shape (neurons, blocks), events/min."""
    times_s = np.arange(round(session.stop_s / BLOCK_S)) * BLOCK_S
    before = neurons.rate_per_min
    path = np.where(times_s >= session.injection_s, rates_after(world, before, rng)[:, None], before[:, None])
    if fluctuation_log_sd:
        log = slow_process(before.size, times_s, fluctuation_log_sd, 600.0, rng)
        path = path * np.exp(log - fluctuation_log_sd**2 / 2)
    return path


def traced_session(world: World, n_neurons: int, session: Session, rng: np.random.Generator) -> SessionCounts:
    """Return one session of a world, counted from its traces."""
    neurons = make_neurons(n_neurons, 0, rng)
    windows = traced_windows(neurons, path_of(neurons, world, session, rng), session, rng)
    return session_counts("1", "1", world.value, 1, windows, np.arange(n_neurons), anatomical=True)


def session_counts(
    animal: str,
    name: str,
    arm: str,
    order: int,
    windows: dict[str, WindowCounts],
    rows: NDArray[np.int64],
    *,
    anatomical: bool,
) -> SessionCounts:
    """Return counts as a session."""
    return SessionCounts(
        dataset="simulated",
        animal=animal,
        session=name,
        arm=arm,
        order=order,
        cell_type="excitatory",
        anatomical=anatomical,
        simulated=True,
        identity=np.array([f"{animal}-{row}" for row in rows], dtype=np.str_),
        windows=windows,
    )


@dataclass(frozen=True)
class Truth:
    """A world seen through traces."""

    world: World
    min_events: int = 0
    fluctuation_log_sd: float = 0.0


TRUTHS = {
    "no effect": Truth(World.NULL),
    "drift": Truth(World.DRIFT),
    "gain": Truth(World.GAIN),
    "slow fluctuation": Truth(World.NULL, fluctuation_log_sd=1.0),
    "reshuffle": Truth(World.RESHUFFLE),
    "reshuffle, detected": Truth(World.RESHUFFLE, min_events=20),
    "swap": Truth(World.SWAP),
    "switch": Truth(World.SWITCH),
    "switch, detected": Truth(World.SWITCH, min_events=20),
}


def traced_study(
    truth: Truth, *, n_animals: int, n_neurons: int, rng: np.random.Generator
) -> list[SessionCounts]:
    """Return the sessions of a crossover of saline and ketamine, counted from their traces."""
    sessions = []
    for place in range(n_animals):
        animal = f"m{place + 1:02d}"
        neurons = make_neurons(n_neurons, 0, rng)
        order = ("saline", "ketamine") if place % 2 == 0 else ("ketamine", "saline")
        for rank, arm in enumerate(order, start=1):
            world = truth.world if arm == "ketamine" else World.NULL
            path = path_of(neurons, world, WHOLE, rng, fluctuation_log_sd=truth.fluctuation_log_sd)
            windows = traced_windows(neurons, path, WHOLE, rng)
            total = windows["baseline"].events.sum(axis=1) + windows["drug"].events.sum(axis=1)
            rows = np.flatnonzero(total >= truth.min_events)
            windows = {
                name: WindowCounts(each.events[rows], each.negative[rows], each.exposure_s[rows], each.half)
                for name, each in windows.items()
            }
            name = f"{rank}-{arm}"
            anatomical = truth.min_events == 0
            sessions.append(session_counts(animal, name, arm, rank, windows, rows, anatomical=anatomical))
    return sessions


@dataclass(frozen=True)
class Job:
    """Some repetitions of one cell."""

    name: str
    count: int
    seed: tuple[int, ...]
    n: int

    def __str__(self) -> str:
        return f"{self.name}, part {self.seed[-1] + 1}"


SIZES = {120.0: (2_000, SHORT), 600.0: (1_000, LONG)}
"""Neurons and times of the recordings behind the pinned table, by length of the window in s."""


def simulate_world(job: Job) -> dict[str, NDArray[np.float64]]:
    """Return estimands over repetitions of one world with windows of ``job.n`` s."""
    n_neurons, session = SIZES[float(job.n)]

    def simulate(rng: np.random.Generator) -> SessionCounts:
        return traced_session(World(job.name), n_neurons, session, rng)

    return repeated_values(simulate, NAMES, repetitions=job.count, rng=np.random.default_rng(job.seed))


def simulate_verdicts(job: Job) -> list[tuple[str, tuple[str, ...]]]:
    """Return the word, and the controls that failed, of studies with ``job.n`` animals."""
    truth, rng, found = TRUTHS[job.name], np.random.default_rng(job.seed), []
    for _ in range(job.count):
        study = traced_study(truth, n_animals=job.n, n_neurons=84 if truth.min_events else 60, rng=rng)
        arms = analyse_arms(study, reference="saline", margin=MARGIN, limits=None, draws=10, seed=0)
        outcome = study_outcome(arms["ketamine"], arms["saline"])
        failed = tuple(name for name, found in outcome.controls if found == "failed")
        found.append((outcome.word, failed))
    return found


def values_of(
    repetitions: int, seed: int, workers: int
) -> dict[tuple[float, World], dict[str, NDArray[np.float64]]]:
    """Return the estimands of all worlds and window lengths over repetitions."""
    part = 5
    jobs = [
        Job(world.value, min(part, repetitions - first), (seed, place, first // part), int(window_s))
        for window_s in SIZES
        for place, world in enumerate(World)
        for first in range(0, repetitions, part)
    ]
    parts: dict[tuple[float, World], list[dict[str, NDArray[np.float64]]]] = {}
    for outcome in run_jobs(simulate_world, jobs, label="worlds", workers=workers):
        if outcome.value is None:
            raise click.ClickException(outcome.reason)
        parts.setdefault((float(outcome.item.n), World(outcome.item.name)), []).append(outcome.value)
    return {
        key: {name: np.concatenate([each[name] for each in found]) for name in NAMES}
        for key, found in parts.items()
    }


@click.group(invoke_without_command=True)
@click.option("--repetitions", default=REPETITIONS, show_default=True, help="Sessions per world and window.")
@click.option("--seed", default=2, show_default=True, help="The pinned table has seed 1.")
@click.option("--workers", default=1, show_default=True)
@click.option("--pin", type=click.Path(path_type=Path), help="Write a new table instead of comparing.")
@click.pass_context
def main(context: click.Context, repetitions: int, seed: int, workers: int, pin: Path | None) -> None:
    """Compare the estimands of simulated traces with the pinned table."""
    if context.invoked_subcommand is not None:
        return
    started = time.perf_counter()
    values = values_of(repetitions, seed, workers)
    if pin is not None:
        pin.write_text(pinned_text(values, repetitions, seed), encoding="utf-8")
        return
    n_off = 0
    click.echo("| world, neurons x window | estimand | ours (MC SE) | pinned (MC SE) | distance, SE | |")
    click.echo("| --- | --- | --- | --- | --- | --- |")
    for group in read_pinned(PINNED).groups:
        for cell in agreements(group, values[group.window_s, group.world]):
            n_off += not cell.agrees
            click.echo(
                f"| {group.title} | {cell.name} | {cell.ours:.3f} ({cell.se:.3f}) | "
                f"{cell.low:.3f} ({cell.pinned_se:.3f}) | {cell.distance:.1f} | "
                f"{'' if cell.agrees else 'DIFFERS'} |"
            )
    click.echo(
        f"\n{n_off} cells differ by more than 3 standard errors; {time.perf_counter() - started:.0f} s"
    )
    if n_off:
        context.exit(1)


def pinned_text(
    values: dict[tuple[float, World], dict[str, NDArray[np.float64]]], repetitions: int, seed: int
) -> str:
    """Return the text of a file of pinned values."""
    groups = []
    for (window_s, world), found in values.items():
        cells = {name: mean_and_se(found[name]) for name in NAMES}
        groups.append(
            Pinned(
                world=world,
                n_neurons=SIZES[window_s][0],
                window_s=window_s,
                source="traces",
                repetitions=repetitions,
                means={name: [f"{mean:.4f}"] for name, (mean, _) in cells.items()},
                standard_errors={name: f"{se:.4f}" for name, (_, se) in cells.items()},
            )
        )
    info = {
        "what": "Estimands of sessions simulated as raw traces and counted by the analysis: means.",
        "made by": f"benchmarks/calibration_traces.py, seed {seed}, {repetitions} sessions each",
        "traces": "GCaMP6s at 5 Hz, mean peak 0.6 dF/F, noise 0.06 dF/F, neuropil, bleaching and drift",
        "events": "the default recipe: neuropil coefficient 0.7, crossings of 3 SD that last 0.4 s",
    }
    file = PinnedFile(info=info, groups=groups)
    lines = [json.dumps(each.model_dump(mode="json", exclude_defaults=True)) for each in file.groups]
    return f'{{"info": {json.dumps(file.info, indent=1)},\n"groups": [\n' + ",\n".join(lines) + "\n]}\n"


@main.command()
@click.option("--repetitions", default=40, show_default=True, help="Studies per truth and size.")
@click.option("--animals", multiple=True, type=int, default=(6,), show_default=True)
@click.option("--truth", "names", multiple=True, type=click.Choice(list(TRUTHS)))
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=1, show_default=True)
def verdicts(repetitions: int, animals: Sequence[int], names: Sequence[str], seed: int, workers: int) -> None:
    """Print the share of each verdict in studies that are simulated as raw traces."""
    click.echo("| truth | animals | verdicts (MC SE) | failed controls |\n| --- | --- | --- | --- |")
    for name in names or TRUTHS:
        for n_animals in animals:
            place = list(TRUTHS).index(name)
            jobs = [
                Job(name, min(5, repetitions - first), (seed, place, n_animals, first // 5), n_animals)
                for first in range(0, repetitions, 5)
            ]
            words: Counter[str] = Counter()
            controls: Counter[str] = Counter()
            for outcome in run_jobs(simulate_verdicts, jobs, label=name, workers=workers):
                if outcome.value is None:
                    raise click.ClickException(outcome.reason)
                words.update(word for word, _ in outcome.value)
                controls.update(control for _, failed in outcome.value for control in set(failed))
            shown = ", ".join(
                f"{word} {n / repetitions:.2f} ({share_se(n / repetitions, repetitions):.2f})"
                for word, n in words.most_common()
            )
            failed = ", ".join(f"{control} {n / repetitions:.2f}" for control, n in controls.most_common())
            click.echo(f"| {name} | {n_animals} | {shown} | {failed or 'none'} |")


if __name__ == "__main__":
    main()
