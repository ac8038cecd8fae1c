"""The main job: a simulated raw study, taken through every step to a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nwbswitch.schemas.errors import IssuesError

PLAN = """\
# SIMULATED DATA. The plan of the demo: nwbswitch run analysis.yaml -o results
name: demo
question: What does ketamine do to the activity of excitatory neurons?
sources: nwb
switch: {{arm: ketamine, reference: saline, cell_type: excitatory, margin: 0.25}}
robustness: {{threshold_sd: [], neuropil_coefficient: [], window_s: [150, 300, 450], roi_sets: tracked}}
models:
  - name: rates
    question: Does the mean event rate change more under ketamine than under saline?
    formula: {formula}
seed: {seed}
"""


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
        Folder to fill: ``raw/``, ``study.yaml``, ``nwb/``, ``analysis.yaml``, ``results/``, ``report.html``.
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
    from nwbswitch.analysis.reporting.report import report
    from nwbswitch.analysis.runs.results_folder import CHECK_FILE
    from nwbswitch.analysis.runs.run import run
    from nwbswitch.converters.check import check
    from nwbswitch.converters.convert import convert
    from nwbswitch.converters.simulate import simulate_study
    from nwbswitch.schemas.files import replaced

    out = Path(out)
    results = out / "results"

    say(f"1/5 Simulating a raw study of {animals} mice, world {world!r}: {out / 'raw'}")
    study_path = simulate_study(
        out, world=world, animals=animals, seed=seed, workers=workers, overwrite=overwrite
    )

    say(f"2/5 Converting to NWB: {out / 'nwb'}")
    converted = convert(study_path, out / "nwb", workers=workers, overwrite=overwrite)
    if not converted.ok:
        raise IssuesError(converted.issues)

    say("3/5 Checking the files")
    checked = check([out / "nwb"], out=results / CHECK_FILE, workers=workers)
    if not checked.ok:
        raise IssuesError(checked.issues)

    plan = out / "analysis.yaml"
    say(f"4/5 Running the plan {plan}: measure, estimate, follow in time, vary, fit, pool")
    with replaced(plan) as partial:
        partial.write_text(PLAN.format(formula=FORMULA, seed=seed), encoding="utf-8")
    made = run(plan, results, workers=workers, overwrite=overwrite, say=lambda line: say(f"  {line}"))
    if not made.ok:
        raise IssuesError(made.issues)
    say(made.summary())

    say("5/5 Writing the report")
    return report(results, out / "report.html", overwrite=overwrite)
