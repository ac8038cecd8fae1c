"""A simulated study in the form a lab has it: raw files, tables and a study.yaml, with a known truth."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwbswitch.converters.simulate_files import (
    MAX_ROIS,
    SIMULATED,
    make_masks,
    write_movie,
    write_rows,
    write_suite2p,
    write_treadmill,
)
from nwbswitch.converters.simulate_plan import TREADMILL_LEAD_S, TRUTH, SessionPlan, study_yaml, write_tables
from nwbswitch.converters.simulate_traces import (
    INJECTION_S,
    KETAMINE_RUNNING,
    N_FRAMES,
    RATE_HZ,
    block_rates,
    make_neurons,
    record,
    treadmill_speed,
)
from nwbswitch.schemas.errors import ExistingOutputError, NwbswitchError
from nwbswitch.schemas.files import remove_partials, replaced, write_json
from nwbswitch.schemas.jobs import run_jobs
from nwbswitch.schemas.version import __version__
from nwbswitch.schemas.worlds import BLOCK_S, World

N_REJECTED = 5
"""ROIs per animal that are no cells."""
MARKER = "SIMULATED.json"
"""Beside the files it speaks for: the parameters they were made with."""
TREADMILL_RATE_HZ = 10.0
UNFINISHED = ".unfinished-"
"""Before the name of a session folder that is still being written."""


def simulate_study(
    out: Path | str,
    *,
    world: World | str = World.SWITCH,
    animals: int = 12,
    neurons: int | None = None,
    movies: int = 1,
    seed: int = 0,
    workers: int = 1,
    overwrite: bool = False,
) -> Path:
    """Write a simulated crossover of saline and ketamine as raw files and return its study.yaml.

    Each animal has two recording sessions of 34 min with the same neurons, one with saline (rates stay as
    they are) and one with ketamine (``world`` holds from the injection on). The content of a session depends
    on ``seed``, ``world``, ``neurons``, the animal and the day only. The same call resumes what was
    interrupted and leaves finished sessions alone.

    Parameters
    ----------
    out
        Folder for study.yaml and raw/.
    world
        What ketamine does to the neurons; one of `World`.
    animals
        Number of animals, with two sessions each.
    neurons
        Neurons per animal; by default 60 to 70, varying by animal.
    movies
        Number of animals whose first session keeps its raw movie (70 MB each); the others have traces only.
    seed
        Seed of all random numbers.
    workers
        Processes.
    overwrite
        Replace a simulated study in ``out`` that was made with other parameters.

    Raises
    ------
    ExistingOutputError
        If ``out`` holds another study, or a simulated one with other parameters and not ``overwrite``.
    """
    world = World(world)
    if animals < 1:
        raise ValueError(f"animals must be at least 1, not {animals}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, not {seed}")
    if neurons is not None and not 1 <= neurons <= MAX_ROIS - N_REJECTED:
        raise ValueError(f"neurons must be from 1 to {MAX_ROIS - N_REJECTED}, not {neurons}")
    if movies < 0:
        raise ValueError(f"movies must not be negative, not {movies}")
    folder = Path(out)
    parameters = {
        "version": __version__,
        "world": world.value,
        "animals": animals,
        "neurons": neurons,
        "movies": min(movies, animals),
        "seed": seed,
    }
    _claim(folder, parameters, overwrite=overwrite)
    plans = [
        SessionPlan(seed, world.value, animal, neurons, day, movie=day == 1 and animal <= movies)
        for animal in range(1, animals + 1)
        for day in (1, 2)
    ]
    outcomes = run_jobs(
        _WriteSession(folder / "raw"), plans, label="simulate", workers=workers, describe=_describe
    )
    failed = [each for each in outcomes if each.error is not None]
    if failed:
        raise NwbswitchError(
            f"{folder}: {len(failed)} of {len(plans)} sessions could not be simulated; "
            f"the first, {_describe(failed[0].item)}: {failed[0].reason}"
        )
    write_tables(folder / "raw", plans)
    study = folder / "study.yaml"
    if not study.exists():
        with replaced(study) as partial:
            partial.write_text(study_yaml(world, seed=seed), encoding="utf-8")
    return study


@dataclass(frozen=True, slots=True)
class _WriteSession:
    raw: Path

    def __call__(self, plan: SessionPlan) -> None:
        final = self.raw / plan.subject_id / plan.session_id
        if _is_finished(final, plan):
            return
        partial = final.with_name(f"{UNFINISHED}{final.name}")
        for leftover in (partial, final):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir(parents=True)
        write_session(partial, plan)
        partial.rename(final)


def write_session(folder: Path, plan: SessionPlan) -> None:
    """Simulate one recording session into ``folder``, which must exist and be empty."""
    animal_rng = _rng(plan.seed, plan.animal, 0)
    n_neurons = int(animal_rng.integers(60, 71)) if plan.neurons is None else plan.neurons
    neurons = make_neurons(n_neurons, N_REJECTED, animal_rng)
    masks = make_masks(n_neurons + N_REJECTED, animal_rng)
    rng = _rng(plan.seed, plan.animal, plan.day)
    is_ketamine = plan.substance == "ketamine"
    rates = block_rates(neurons, World(plan.world) if is_ketamine else World.NULL, rng)
    own_time_s = np.arange(0, TREADMILL_LEAD_S + N_FRAMES / RATE_HZ, 1 / TREADMILL_RATE_HZ)
    session_time_s = own_time_s - TREADMILL_LEAD_S
    calmer = is_ketamine & (session_time_s >= INJECTION_S)
    speed = treadmill_speed(
        own_time_s.size, TREADMILL_RATE_HZ, rng, running=np.where(calmer, KETAMINE_RUNNING, 1.0)
    )
    speed_at_frames = np.interp(np.arange(N_FRAMES) / RATE_HZ, session_time_s, speed)
    recording = record(neurons, rates, speed_at_frames, rng)
    write_suite2p(
        folder / "suite2p" / "plane0",
        recording,
        neurons,
        masks,
        subject_id=plan.subject_id,
        start_time=plan.start_time,
        rng=rng,
    )
    write_treadmill(folder / "treadmill.csv", own_time_s, speed)
    if plan.movie:
        write_movie(folder / "movie.tif", recording, masks, rng=rng)
    seconds = recording.events.time_s
    windows = {"before_injection": seconds < INJECTION_S, "after_injection": seconds >= INJECTION_S}
    counts = {
        name: np.bincount(recording.events.roi[inside], minlength=rates.shape[0])
        for name, inside in windows.items()
    }
    last_before = int(INJECTION_S / BLOCK_S) - 1
    write_rows(
        folder / TRUTH,
        [
            {
                "roi": roi,
                "is_cell": int(neurons.accepted[roi]),
                "rate_before_per_min": float(rates[roi, last_before]),
                "rate_after_per_min": float(rates[roi, -1]),
                "n_events_before_injection": int(counts["before_injection"][roi]),
                "n_events_after_injection": int(counts["after_injection"][roi]),
            }
            for roi in range(rates.shape[0])
        ],
    )
    write_json(folder / MARKER, {"note": SIMULATED, "plan": asdict(plan), "bytes": _sizes(folder)})


def _rng(seed: int, animal: int, day: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(animal, day)))


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _is_finished(folder: Path, plan: SessionPlan) -> bool:
    marker = _read_marker(folder / MARKER)
    return marker.get("plan") == asdict(plan) and marker.get("bytes") == _sizes(folder)


def _read_marker(path: Path) -> dict[str, Any]:
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _describe(plan: SessionPlan) -> str:
    return f"{plan.subject_id} {plan.session_id}"


def _claim(folder: Path, parameters: Mapping[str, object], *, overwrite: bool) -> None:
    """Make ``folder`` ours: new, resumed with the same parameters, or overwritten; else refuse."""
    raw, study = folder / "raw", folder / "study.yaml"
    found = _read_marker(raw / MARKER).get("parameters")
    occupied = study.exists() or (raw.exists() and any(raw.iterdir()))
    if occupied and found is None:
        raise ExistingOutputError(
            f"{folder}: holds a study that the simulator did not make. Choose an empty folder."
        )
    if found is not None and found != parameters:
        if not overwrite:
            differ = ", ".join(
                f"{name} {found.get(name)!r} instead of {value!r}"
                for name, value in parameters.items()
                if found.get(name) != value
            )
            raise ExistingOutputError(
                f"{folder} holds a study that was simulated with {differ}. "
                "Choose another folder or give --overwrite."
            )
        study.unlink(missing_ok=True)
        shutil.rmtree(raw)
    for leftover in raw.glob(f"*/{UNFINISHED}*"):
        shutil.rmtree(leftover)
    remove_partials(raw)
    write_json(raw / MARKER, {"note": SIMULATED, "parameters": dict(parameters)})
