"""A crossover of units with a known truth, as small NWB files that `measure` reads in a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from nwbswitch.schemas.worlds import BLOCK_S, World, baseline_rates, block_gains, rates_after

WINDOW_S = 300.0
WINDOWS = {
    "pseudo_baseline": (0.0, WINDOW_S),
    "pseudo_drug": (WINDOW_S + 60, 2 * WINDOW_S + 60),
    "baseline": (WINDOW_S + 60, 2 * WINDOW_S + 60),
    "drug": (2 * WINDOW_S + 120, 3 * WINDOW_S + 120),
}
INJECTION_S = 2 * WINDOW_S + 90


def write_study(
    folder: Path,
    *,
    animals: int,
    world: World = World.SWITCH,
    seed: int = 0,
    neurons: int = 40,
    dataset: str = "units",
) -> Path:
    """Write one file per animal and arm (ketamine, saline), order counterbalanced; return the folder."""
    rng = np.random.default_rng(seed)
    for number in range(animals):
        animal = f"m{number + 1}"
        rates = baseline_rates(neurons, rng)
        arms = ("saline", "ketamine") if number % 2 else ("ketamine", "saline")
        for order, arm in enumerate(arms):
            after = rates_after(world if arm == "ketamine" else World.NULL, rates, rng)
            trains = _trains(rates, after, rng)
            start = datetime(2026, 3, 1 + number, 9, tzinfo=UTC) + timedelta(days=7 * order)
            _write(
                folder / f"sub-{animal}_ses-{order + 1}.nwb",
                animal,
                f"{order + 1}",
                arm,
                trains,
                start,
                dataset,
            )
    return folder


def _trains(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    spans = [(*WINDOWS["pseudo_baseline"], before), (*WINDOWS["baseline"], before), (*WINDOWS["drug"], after)]
    trains: list[list[np.ndarray]] = [[] for _ in before]
    for start, stop, rates in spans:
        n = round((stop - start) / BLOCK_S)
        counts = rng.poisson(rates[:, None] * BLOCK_S / 60 * block_gains((rates.size, n), rng))
        for neuron, row in enumerate(counts):
            times = [start + BLOCK_S * (block + rng.random(each)) for block, each in enumerate(row)]
            trains[neuron].append(np.sort(np.concatenate(times)))
    return [np.concatenate(each) for each in trains]


def _write(
    path: Path, animal: str, session: str, arm: str, trains: list[np.ndarray], start: datetime, dataset: str
) -> None:
    from hdmf.common import VectorData
    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.epoch import TimeIntervals
    from pynwb.event import EventsTable, TimestampVectorData
    from pynwb.file import Subject

    nwb = NWBFile(
        identifier=path.stem,
        session_description="Units with a known truth.",
        session_start_time=start,
        session_id=session,
        keywords=[f"dataset:{dataset}"],
        subject=Subject(subject_id=animal, species="Mus musculus", sex="F", age="P90D"),
    )
    span = [[0.0, WINDOWS["drug"][1]]]
    for train in trains:
        nwb.add_unit(spike_times=train, obs_intervals=span)
    epochs = TimeIntervals(name="analysis_epochs", description="windows")
    epochs.add_column("window", "window")
    for window, (begin_s, stop_s) in WINDOWS.items():
        epochs.add_interval(start_time=begin_s, stop_time=stop_s, window=window)
    nwb.add_time_intervals(epochs)
    saline = arm == "saline"
    row: dict[str, Any] = {
        "substance": arm,
        "role": "vehicle" if saline else "test",
        "control_kind": "saline" if saline else "none",
        "dose": float("nan") if saline else 10.0,
        "dose_unit": "" if saline else "mg/kg",
    }
    stamps = TimestampVectorData(name="timestamp", description="t", data=[INJECTION_S])
    columns = [VectorData(name=name, description=name, data=[value]) for name, value in row.items()]
    nwb.add_events_table(
        EventsTable(name="drug_administrations", description="drugs", columns=[stamps, *columns])
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
