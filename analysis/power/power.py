"""Power of every design that is asked for, by simulated experiments and by a formula."""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from nwbswitch.analysis.power.analytic import analytic_power
from nwbswitch.analysis.power.components import Components, Pilot, sd_interval
from nwbswitch.analysis.power.design_file import PowerDesign, load_design
from nwbswitch.analysis.power.experiment import (
    CHUNK,
    Analysis,
    Chunk,
    Tally,
    checked_formula,
    guard,
    run_chunk,
)
from nwbswitch.analysis.power.power_result import PowerPoint, PowerResult, proportion_interval
from nwbswitch.analysis.power.simulation import Layout
from nwbswitch.schemas.errors import FitError
from nwbswitch.schemas.files import sha256_file
from nwbswitch.schemas.jobs import run_jobs

# The parts of an experiment that a pilot's number of groups limits.
_OF_GROUP: Final = {
    "animal_slope_sd": "animal",
    "animal_response_sd": "animal",
    "session_slope_sd": "session",
}


def power(
    design: PowerDesign | Path | str,
    *,
    out: Path | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> PowerResult:
    """Return the power of every design in a sweep.

    Parameters
    ----------
    design
        A `PowerDesign`, or the path of a YAML file with its values.
    out
        JSON file to write; nothing is written when it is None. A file of the same work is read instead of
        simulating again.
    workers
        Number of processes.
    executor
        Any `concurrent.futures.Executor`, in place of processes.
    overwrite
        Replace a result of other work.
    quiet
        Show no progress.

    Raises
    ------
    StudyError
        If the file has mistakes; each with its line and key.
    InputFileError
        If the pilot's fit cannot be read.
    FormulaError
        If the formula asks for what simulated experiments do not have.
    FitError
        If a design cannot hold the model.
    ExistingOutputError
        If ``out`` holds the result of other work and ``overwrite`` is false.
    """
    from nwbswitch.analysis.runs.results_folder import read_json, refuse_other_work
    from nwbswitch.schemas.files import require_writable, write_json
    from nwbswitch.schemas.provenance import record

    asked = design if isinstance(design, PowerDesign) else load_design(design)
    pilot = asked.components.resolved()
    if out is None:
        return _simulated(asked, pilot, workers=workers, executor=executor, quiet=quiet)
    fit = asked.components.from_fit
    inputs = {} if fit is None else {fit.name: sha256_file(fit)}
    parameters = asked.model_dump(mode="json", exclude={"components": {"from_fit"}})
    work = record(command="power", parameters=parameters, inputs=inputs, seed=asked.seed)
    if out.exists() and not overwrite:
        refuse_other_work(out, work)
        return PowerResult.from_dict(read_json(out), path=out)
    require_writable(out)
    result = _simulated(asked, pilot, workers=workers, executor=executor, quiet=quiet)
    write_json(out, {**result.as_dict(), "provenance": work})
    return result


def _simulated(
    design: PowerDesign, pilot: Pilot, *, workers: int, executor: Executor | None, quiet: bool
) -> PowerResult:
    formula = checked_formula(design.model)
    layouts = design.layouts()
    warnings = guard(formula, layouts[0], pilot.components)
    analysis = Analysis(design.model, design.ddf, design.alpha)
    chunks = [
        Chunk(
            point,
            number,
            layout,
            pilot.components,
            design.delta,
            analysis,
            min(CHUNK, design.simulations - first),
            design.seed,
        )
        for point, layout in enumerate(layouts)
        for number, first in enumerate(range(0, design.simulations, CHUNK))
    ]
    outcomes = run_jobs(run_chunk, chunks, label="power", workers=workers, executor=executor, quiet=quiet)
    tallies: list[list[Tally]] = [[] for _ in layouts]
    for outcome in outcomes:
        if outcome.value is None:
            raise FitError(f"The experiments with {outcome.item} could not be simulated: {outcome.reason}")
        tallies[outcome.item.point].append(outcome.value)
    points = tuple(
        _point(layout, pilot.components, own, design) for layout, own in zip(layouts, tallies, strict=True)
    )
    return PowerResult(
        kind=design.kind,
        formula=design.model,
        ddf=design.ddf,
        alpha=design.alpha,
        effect=design.delta,
        target_power=design.target_power,
        simulations=design.simulations,
        windows=design.windows,
        rows_per_window=design.rows_per_window,
        seed=design.seed,
        components=pilot.components,
        points=points,
        warnings=(*warnings, *pilot.notes, *_pilot_warnings(design, pilot, layouts, points)),
    )


def _point(layout: Layout, components: Components, tallies: list[Tally], design: PowerDesign) -> PowerPoint:
    total = sum(each.experiments for each in tallies)
    rejected = sum(each.rejected for each in tallies)
    low, high = proportion_interval(rejected, total)
    check = analytic_power(layout, components, effect=design.delta, alpha=design.alpha)
    return PowerPoint(
        animals_per_arm=layout.animals,
        sessions_per_animal=layout.sessions,
        neurons_per_session=layout.neurons.mean,
        neurons_sd=layout.neurons.sd,
        neurons_minimum=layout.neurons.minimum,
        n_animals=layout.n_animals,
        n_sessions=layout.n_sessions,
        power=rejected / total,
        ci_low=low,
        ci_high=high,
        analytic=check.power,
        ncp=check.ncp,
        df=check.df,
        se=check.se,
        animal_share=check.animal_share,
        session_share=check.session_share,
        neuron_share=check.neuron_share,
        failed=sum(each.failed for each in tallies),
        singular=sum(each.singular for each in tallies),
    )


def _pilot_warnings(
    design: PowerDesign, pilot: Pilot, layouts: list[Layout], points: tuple[PowerPoint, ...]
) -> list[str]:
    """Return what the few groups of a pilot leave open, at the design that comes nearest to the target."""
    from dataclasses import replace

    nearest = min(range(len(points)), key=lambda i: abs(points[i].analytic - design.target_power))
    layout, point = layouts[nearest], points[nearest]
    found = []
    for name, kind in _OF_GROUP.items():
        sd, groups = getattr(pilot.components, name), pilot.groups.get(kind)
        if getattr(design.components, name) is not None or not sd or groups is None or groups < 2:
            continue
        low, high = sd_interval(sd, groups)
        worse = replace(pilot.components, **{name: high})
        at_high = analytic_power(layout, worse, effect=design.delta, alpha=design.alpha).power
        found.append(
            f"{name} {sd:.3g} comes from {groups} {kind}s, so anything from {low:.3g} to {high:.3g} is "
            f"compatible with the pilot (95 %, at best). At {high:.3g} the design with "
            f"{point.animals_per_arm} animals, {point.sessions_per_animal} sessions and "
            f"{point.neurons_per_session:g} neurons has power {at_high:.2f} instead of {point.analytic:.2f}."
        )
    return found
