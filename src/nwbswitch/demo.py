"""The main job: a simulated raw study, taken through every step to a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nwbswitch.schemas.errors import FitError, IssuesError

POOLED_ROWS = "level == 'animal' and contrast == 'vs_saline' and arm == 'ketamine' and estimand == 'M'"
"""Rows of the estimates table that the demo pools: excess remapping of every animal."""


def demo(
    out: Path | str,
    *,
    world: str = "switch",
    animals: int = 12,
    seed: int = 0,
    workers: int = 2,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Simulate a ketamine/saline crossover and analyse it; return the path of the report.

    Every step keeps what it finished, so that a run that was stopped goes on where it stopped.

    Parameters
    ----------
    out
        Folder to fill: ``raw/``, ``study.yaml``, ``nwb/``, ``results/`` and ``report.html``.
    world
        What the drug does: null, drift, gain, reshuffle, swap or switch.
    animals
        Number of mice, each recorded under saline and under ketamine.
    seed
        Seed of the simulation and of the analysis.
    workers
        Number of processes.
    overwrite
        Replace a study that was made with other parameters.
    say
        Receives one line per step.

    Raises
    ------
    ExistingOutputError
        If ``out`` holds a study made with other parameters and ``overwrite`` is false.
    """
    from nwbswitch.analysis.estimands.rates import FORMULA
    from nwbswitch.analysis.measure import measure
    from nwbswitch.analysis.reporting.report import report
    from nwbswitch.analysis.runs.models import fit_table, pool_table
    from nwbswitch.analysis.runs.results_folder import (
        CELLS_FILE,
        CHECK_FILE,
        ESTIMATES_FILE,
        FIT_FILE,
        META_FILE,
        RATES_FILE,
        estimate_switch,
    )
    from nwbswitch.converters.check import check
    from nwbswitch.converters.convert import convert
    from nwbswitch.converters.simulate import simulate_study

    out = Path(out)
    results = out / "results"

    say(f"1/7 Simulating a raw study of {animals} mice, world {world!r}: {out / 'raw'}")
    study_path = simulate_study(
        out, world=world, animals=animals, seed=seed, workers=workers, overwrite=overwrite
    )

    say(f"2/7 Converting to NWB: {out / 'nwb'}")
    converted = convert(study_path, out / "nwb", workers=workers, overwrite=overwrite)
    if not converted.ok:
        raise IssuesError(converted.issues)

    say("3/7 Checking the files")
    checked = check([out / "nwb"], out=results / CHECK_FILE, workers=workers)
    if not checked.ok:
        raise IssuesError(checked.issues)

    say("4/7 Measuring every neuron")
    measured = measure([out / "nwb"], out=results / CELLS_FILE, workers=workers, overwrite=overwrite)
    if not measured.ok:
        raise IssuesError(measured.issues)

    say("5/7 Estimating the switch")
    result = estimate_switch(results / CELLS_FILE, results / ESTIMATES_FILE, seed=seed, overwrite=overwrite)
    say(result.summary())

    say("6/7 Fitting the mixed model and pooling across animals")
    steps: dict[str, Callable[[Path], object]] = {
        FIT_FILE: lambda file: fit_table(results / RATES_FILE, FORMULA, out=file, overwrite=overwrite),
        META_FILE: lambda file: pool_table(
            results / ESTIMATES_FILE,
            effect="estimate",
            variance="se**2",
            where=POOLED_ROWS,
            slab="animal",
            out=file,
            overwrite=overwrite,
        ),
    }
    for name, step in steps.items():
        try:
            step(results / name)
        except FitError as error:
            say(f"{results / name} is not made: {error}")

    say("7/7 Writing the report")
    return report(results, out / "report.html", overwrite=overwrite)
