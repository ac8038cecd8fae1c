"""The steps of a run for one data set: measure, estimate, follow in time, vary the analysis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.runs.earlier_results import remove_results
from nwbswitch.analysis.runs.ledger import Ledger
from nwbswitch.analysis.runs.plan_places import placed
from nwbswitch.analysis.runs.pooled_animals import compared_arms, pool_animals
from nwbswitch.analysis.runs.results_folder import (
    CELLS_FILE,
    COURSES_FILE,
    ESTIMATES_FILE,
    FEATURES_FILE,
    RATES_FILE,
    RESULT,
    SPECIFICATIONS_FILE,
    estimate_switch,
    read_json,
)
from nwbswitch.analysis.runs.run_record import InputFile
from nwbswitch.schemas.analysis_plan import AnalysisPlan, DatasetPlan
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, IssuesError
from nwbswitch.schemas.files import sha256_file, write_json
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.result_tables import SESSIONS_FILE

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from nwbswitch.analysis.measure import MeasureResult
    from nwbswitch.schemas.overrides import Overrides

MEASURED = "measured"
"""Folder of the cells with their arms, when the arms in the results are coded."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """How and where a run works.

    Attributes
    ----------
    plan
        What is to be done.
    base
        Folder of the plan.
    blind
        Whether arms are coded.
    workers, executor
        Who does the work.
    overwrite
        Whether results of other work are replaced.
    say
        Receives one line per step.
    """

    plan: AnalysisPlan
    base: Path
    blind: bool
    workers: int
    executor: Executor | None
    overwrite: bool
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DatasetOutcome:
    """What became of one data set.

    Attributes
    ----------
    plan
        What was planned for it.
    folder
        Its results.
    issues
        Findings about its recordings.
    inputs
        What was read.
    result
        Content of ``result.json``; None when no recording could be measured.
    """

    plan: DatasetPlan
    folder: Path
    issues: tuple[Issue, ...]
    inputs: tuple[InputFile, ...]
    result: dict[str, Any] | None


def run_dataset(study: DatasetPlan, folder: Path, at: Workplace) -> DatasetOutcome:
    """Do every step of one data set; what is done already is left as it is."""
    ledger = Ledger(folder)
    cells, issues = _measured(study, folder, at)
    if cells is None:
        remove_results(folder)
        return DatasetOutcome(study, folder, issues, (), None)
    inputs = _inputs(study, cells)
    if at.blind:
        cells = _coded(cells, folder, at)
        inputs = _nameless(inputs)
    known = _digests(cells)
    _estimated(cells, known, folder, ledger, at)
    _followed(cells, known, folder, ledger, at)
    _varied(study, cells, known, folder, ledger, at)
    if at.plan.meta is not None and not at.blind:
        stated = at.plan.switch.arm
        pool_animals(folder, at.plan.meta, arm=stated, overwrite=at.overwrite, say=at.say)
    result = read_json(folder / RESULT)
    if not at.plan.datasets and not at.blind:
        issues += _unknown_arm(at.plan.switch.arm, result)
    return DatasetOutcome(study, folder, issues, inputs, result)


def _digests(cells: Path) -> dict[str, str | None]:
    """Return what the later steps rest on: the cells, and the drug logs beside them."""
    beside = cells.parent / SESSIONS_FILE
    return {"cells": sha256_file(cells), "sessions": sha256_file(beside) if beside.exists() else None}


def _unknown_arm(arm: str | None, result: dict[str, Any]) -> tuple[Issue, ...]:
    """Return a finding when the plan names an arm that the only data set has not."""
    arms = result["arms"]
    if arm is None or arm in arms:
        return ()
    message = f"There is no arm {arm!r} in these recordings; the arms are {', '.join(arms)}."
    remedy = nearest(arm, arms) or "Name one of them as switch.arm of the plan."
    return (issue("wrong-value", message, place=Place(item="switch.arm"), remedy=remedy),)


def _measured(study: DatasetPlan, folder: Path, at: Workplace) -> tuple[Path | None, tuple[Issue, ...]]:
    from nwbswitch.analysis.measure import measure

    at.say(f"{study.name}: measuring")
    target = (folder / MEASURED if at.blind else folder) / CELLS_FILE

    def measured(overwrite: bool) -> MeasureResult:
        return measure(
            [placed(each, at.base, what="sources") for each in study.sources],
            out=target,
            overrides=stated_overrides(study, at.plan, at.base),
            instance=at.plan.instance,
            workers=at.workers,
            executor=at.executor,
            overwrite=overwrite,
            **at.plan.measure.model_dump(),
        )

    try:
        try:
            found = measured(False)
        except (ExistingOutputError, InputFileError):
            if not (at.overwrite and target.exists()):
                raise
            found = measured(True)
    except IssuesError as error:
        if target.exists() and not at.overwrite:
            raise
        at.say(f"{study.name}: nothing could be measured")
        return None, error.issues
    return target, found.issues


def stated_overrides(study: DatasetPlan, plan: AnalysisPlan, base: Path) -> Overrides:
    """Return the overrides of a data set: those of its file, and the name and windows of the plan."""
    from nwbswitch.schemas.overrides import Overrides, load_overrides

    own = load_overrides(placed(study.overrides, base, what="overrides")) if study.overrides else Overrides()
    stated: dict[str, Any] = {"dataset": study.name} if plan.datasets else {}
    if plan.epochs:
        stated["windows"] = [each.model_dump(mode="json") for each in plan.epochs]
    return replace(own, defaults={**stated, **own.defaults})


def _inputs(study: DatasetPlan, cells: Path) -> tuple[InputFile, ...]:
    """Return the files that the cells were measured from, by names without the path of this machine."""
    from nwbswitch.analysis.cells_file import read_record
    from nwbswitch.analysis.table_file import distinct_rows

    held = distinct_rows(cells, ("source_digest", "asset_id", "source_version"))
    assets = {str(row["source_digest"]): row for row in held.to_dict("records")}
    inputs = read_record(cells)["provenance"]["inputs"]
    return tuple(
        InputFile(
            study.name,
            name,
            digest,
            str(assets.get(digest, {}).get("asset_id", "")),
            str(assets.get(digest, {}).get("source_version", "")),
        )
        for name, digest in inputs.items()
    )


def _nameless(inputs: Sequence[InputFile]) -> tuple[InputFile, ...]:
    """Return inputs without their names, which may tell the arm."""
    return tuple(
        InputFile(each.dataset, f"recording {number}", each.digest)
        for number, each in enumerate(sorted(inputs, key=lambda one: one.digest), start=1)
    )


def _key_file(folder: Path, at: Workplace) -> Path:
    """Return where the key of a data set is kept: beside the folder of all results."""
    if not at.plan.datasets:
        return folder.parent / f"{folder.name}.key.json"
    out = folder.parent.parent
    return out.parent / f"{out.name}.{folder.name}.key.json"


def _coded(cells: Path, folder: Path, at: Workplace) -> Path:
    """Write cells and sessions with coded arms, by the key that is there or a new one; return the cells."""
    from nwbswitch.analysis.runs.blinding import blinded_cells, blinded_sessions
    from nwbswitch.analysis.runs.blinding_key import kept_key
    from nwbswitch.analysis.runs.study_design import sessions_beside
    from nwbswitch.analysis.table_file import read_table, write_csv, write_parquet
    from nwbswitch.schemas.tables import CELLS

    table = read_table(cells, text=CELLS.text_names)
    key = kept_key(_key_file(folder.resolve(), at), table)
    target = folder / CELLS_FILE
    write_parquet(blinded_cells(table, key), target)
    sessions = sessions_beside(cells)
    if sessions is not None:
        write_csv(blinded_sessions(sessions, key), folder / SESSIONS_FILE)
    return target


def _estimated(
    cells: Path, digests: dict[str, str | None], folder: Path, ledger: Ledger, at: Workplace
) -> None:
    asked = at.plan.switch
    work = {
        **digests,
        "asked": asked.model_dump(mode="json", exclude={"arm"}),
        "blind": at.blind,
        "seed": at.plan.seed,
    }
    targets = [folder / name for name in (ESTIMATES_FILE, RATES_FILE, RESULT)]
    if ledger.is_done("switch", work, targets):
        return
    at.say(f"{folder.name}: estimating the switch")
    estimate_switch(
        cells,
        folder / ESTIMATES_FILE,
        reference=None if at.blind else asked.reference,
        margin=asked.margin,
        cell_type=asked.cell_type,
        k=asked.k,
        draws=asked.draws,
        resamples=asked.resamples,
        seed=at.plan.seed,
        workers=at.workers,
        executor=at.executor,
        overwrite=at.overwrite,
    )
    ledger.note("switch", work)


def _followed(
    cells: Path, digests: dict[str, str | None], folder: Path, ledger: Ledger, at: Workplace
) -> None:
    """Write the time courses and their features."""
    courses = at.plan.time_courses
    if courses is None:
        return
    stated = None if at.blind else at.plan.switch.reference
    work = {**digests, **courses.model_dump(), "reference": stated, "seed": at.plan.seed}
    targets = [folder / COURSES_FILE, folder / FEATURES_FILE]
    if ledger.is_done("time courses", work, targets):
        return
    from nwbswitch.analysis.estimands.counts_reader import read_cells
    from nwbswitch.analysis.estimands.time_courses import time_courses
    from nwbswitch.analysis.runs.study_design import designed_study, followed_doses, sessions_beside
    from nwbswitch.analysis.table_file import write_csv

    at.say(f"{folder.name}: following the estimates in time")
    known = sessions_beside(cells)
    sessions, known = followed_doses(designed_study(read_cells(cells), known, reference=stated), known)
    found = time_courses(
        sessions,
        reference=compared_arms(read_json(folder / RESULT)),
        sessions_table=known,
        width_s=courses.width_s,
        step_s=courses.step_s,
    )
    for table, target in zip(found, targets, strict=True):
        write_csv(table, target)
    ledger.note("time courses", work)


def _varied(
    study: DatasetPlan,
    cells: Path,
    digests: dict[str, str | None],
    folder: Path,
    ledger: Ledger,
    at: Workplace,
) -> None:
    """Write the specification curve."""
    asked = at.plan.robustness
    if asked is None or at.blind:
        return
    parts: Sequence[Any] = (asked.model_dump(mode="json"), at.plan.switch.model_dump(mode="json"))
    work = {**digests, "asked": parts, "seed": at.plan.seed}
    target = folder / SPECIFICATIONS_FILE
    if ledger.is_done("robustness", work, [target]):
        return
    from nwbswitch.analysis.robustness.specification_curve import specification_curve
    from nwbswitch.analysis.table_file import write_csv

    at.say(f"{folder.name}: varying the analysis")
    table = specification_curve(
        [placed(each, at.base, what="sources") for each in study.sources],
        cells=cells,
        asked=asked,
        measure_plan=at.plan.measure,
        switch_plan=at.plan.switch,
        overrides=stated_overrides(study, at.plan, at.base),
        instance=at.plan.instance,
        folder=folder / ".specifications",
        seed=at.plan.seed,
        workers=at.workers,
        executor=at.executor,
    )
    write_csv(table, target)
    ledger.note("robustness", work)


def write_status(folder: Path, status: dict[str, Any], *, blind: bool) -> None:
    """Put the status of the plan into the result of a data set, for its report."""
    path = folder / RESULT
    if path.exists():
        write_json(path, {**read_json(path), "plan": {**status, "blinded": blind}})
