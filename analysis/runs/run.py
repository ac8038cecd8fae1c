"""`run`: an analysis from its plan to tables, report and record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.runs.dataset_run import DatasetOutcome, Workplace, run_dataset, write_status
from nwbswitch.analysis.runs.earlier_results import DATASETS, REPORT_FILE, remove_earlier
from nwbswitch.analysis.runs.freezing import PlanStatus, overrides_digests, recorded_status, status_of
from nwbswitch.analysis.runs.plan_models import require_formulas, run_models
from nwbswitch.analysis.runs.plan_places import placed
from nwbswitch.analysis.runs.results_folder import (
    MODELS_FOLDER,
    PLAN_FILE,
    REPLICATION_FILE,
    RESULT,
    read_json,
)
from nwbswitch.analysis.runs.run_comparison import compared
from nwbswitch.analysis.runs.run_record import RECORD, InputFile, read_record, run_record
from nwbswitch.analysis.runs.run_result import RunResult
from nwbswitch.schemas.analysis_plan import AnalysisPlan, changes, load_plan
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError
from nwbswitch.schemas.files import locked, require_writable, write_json
from nwbswitch.schemas.provenance import same_work

if TYPE_CHECKING:
    from concurrent.futures import Executor

LOCK = ".lock"


def run(
    plan: Path | str | None = None,
    out: Path | str = "results",
    *,
    repeat: Path | str | None = None,
    blind: bool = False,
    workers: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> RunResult:
    """Run the analysis that a plan states, or the one of a record again.

    Every step keeps what it finished: the same command goes on where it was stopped.

    Parameters
    ----------
    plan
        The plan (``analysis.yaml``), see `nwbswitch.schemas.analysis_plan`.
    out
        Folder of the results. With several data sets each has its own below ``datasets``.
    repeat
        The ``record.json`` of an earlier run, in place of a plan: its plan is run on what its sources hold
        now, and what changed of inputs, software and numbers is told.
    blind
        Code the arms, and compare each with its own pseudo-injection; the key is kept beside the results.
    workers
        Processes for sessions.
    executor
        Any executor, in place of own processes.
    overwrite
        Replace results of another plan or of other inputs.
    say
        Receives one line per step.

    Raises
    ------
    StudyError
        If the plan has mistakes.
    ExistingOutputError
        If ``out`` holds results of another plan or of other inputs, and ``overwrite`` is false.
    InputFileError
        If an input or the record cannot be read.
    ValueError
        Unless one of ``plan`` and ``repeat`` is given.
    """
    if (plan is None) == (repeat is None):
        raise ValueError("give a plan, or the record to repeat, not both")
    folder = Path(out)
    if repeat is not None:
        return _repeated(Path(repeat), folder, workers, executor, overwrite, say)
    file = Path(plan or "")
    stated = load_plan(file)
    at = Workplace(stated, file.parent, blind, workers, executor, overwrite, say)
    return _run(at, folder, status_of(stated, file))


def _repeated(
    path: Path,
    folder: Path,
    workers: int,
    executor: Executor | None,
    overwrite: bool,
    say: Callable[[str], None],
) -> RunResult:
    from pydantic import ValidationError

    then = read_record(path)
    if folder.resolve() == path.parent.resolve():
        raise ValueError("a run is repeated into another folder than the one of its record; give -o")
    try:
        plan = AnalysisPlan.model_validate(then["parameters"]["plan"])
    except ValidationError as error:
        problem = "holds a plan that this version of nwbswitch does not read."
        remedy = f"It was written by nwbswitch {then['nwbswitch']}; repeat it with that version."
        raise InputFileError(path, problem, remedy) from error
    base = path.parent / then["base"]
    blind = bool(then["parameters"].get("blind"))
    if blind:
        raise InputFileError(path, "is the record of a blinded run; repeat the run by its plan.")
    status = recorded_status(then.get("plan_status"), plan, base)
    at = Workplace(plan, base, blind, workers, executor, overwrite, say)
    return _run(at, folder, status, then=then, then_folder=path.parent)


def _run(
    at: Workplace,
    folder: Path,
    status: PlanStatus,
    *,
    then: dict[str, Any] | None = None,
    then_folder: Path | None = None,
) -> RunResult:
    plan = at.plan
    require_formulas(plan)
    if plan.candidates:
        from nwbswitch.analysis.replication.eligibility import known_candidates

        known_candidates(Path(placed(plan.candidates, at.base, what="candidates")))
    require_writable(folder / RECORD)
    with _held(folder):
        _keep_plan(folder, at, status)
        outcomes = [run_dataset(study, _folder(folder, study.name, plan), at) for study in plan.studies]
        answers, tables = run_models(plan, outcomes, folder, at)
        sentences = {each.plan.name: _sentence(each) for each in outcomes}
        if len(plan.studies) > 1 or plan.candidates:
            from nwbswitch.analysis.replication.replication import replication

            found = replication(plan, outcomes, folder, at)
            simulated = any(bool(each.result and each.result["simulated"]) for each in outcomes)
            about = {"plan": {**status.as_dict(), "blinded": at.blind}, "simulated": simulated}
            write_json(folder / REPLICATION_FILE, {**found.as_dict(), **about})
            sentences[""] = found.sentence
        for each in outcomes:
            write_status(each.folder, status.as_dict(), blind=at.blind)
        page = _reports(folder, outcomes, at)
        overrides = overrides_digests(plan, at.base)
        inputs = [
            *(one for each in outcomes for one in each.inputs),
            *tables,
            *(InputFile("overrides", name, digest) for name, digest in overrides.items()),
        ]
        made = run_record(
            plan=plan.as_dict(),
            base=Path(os.path.relpath(at.base.resolve(), folder.resolve())).as_posix(),
            blind=at.blind,
            status=status.as_dict(),
            inputs=inputs,
            out=folder,
            seed=plan.seed,
        )
        made = _kept_record(folder / RECORD, made)
    comparison = None
    if then is not None:
        comparison = compared(then, made, folder_then=then_folder, folder_now=folder)
    issues = tuple(one for each in outcomes for one in each.issues)
    return RunResult(folder, page, status, sentences, answers, issues, made, comparison)


def _kept_record(path: Path, made: dict[str, Any]) -> dict[str, Any]:
    """Return the record that is there if it is of the same work and numbers; else write the new one."""
    if path.exists():
        with suppress(InputFileError):
            held = read_record(path)
            same = all(held.get(name) == made[name] for name in ("base", "plan_status", "sources", "outputs"))
            if same and same_work(held, made):
                return held
    write_json(path, made)
    return made


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep the folder for this run."""
    try:
        with locked(folder / LOCK):
            yield
    except BlockingIOError:
        raise ExistingOutputError(f"{folder} is in use by another run. Wait for its end.") from None


def _keep_plan(folder: Path, at: Workplace, status: PlanStatus) -> None:
    """Write the plan into the folder; refuse a folder with results of another one.

    Raises
    ------
    ExistingOutputError
        Naming what differs.
    """
    path = folder / PLAN_FILE
    held = {"plan": at.plan.as_dict(), "blind": at.blind}
    if path.exists() and not at.overwrite:
        there = read_json(path)
        listed = changes({name: there.get(name) for name in held}, held)
        if listed:
            problem = f"{folder} holds results of another plan ({'; '.join(listed)})."
            raise ExistingOutputError(f"{problem} Choose another folder or give --overwrite.")
    if at.overwrite:
        names = {each.name for each in at.plan.datasets}
        remove_earlier(folder, datasets=names, cells_here=not (at.blind or names))
    write_json(path, {**held, "status": {**status.as_dict(), "blinded": at.blind}})


def _folder(out: Path, name: str, plan: AnalysisPlan) -> Path:
    return out / DATASETS / name if plan.datasets else out


def _sentence(outcome: DatasetOutcome) -> str:
    from nwbswitch.analysis.reporting.words import headline

    if outcome.result is None:
        return "no recording could be measured"
    return headline(outcome.result)


def _reports(folder: Path, outcomes: list[DatasetOutcome], at: Workplace) -> Path | None:
    """Write a page for each data set, and one for all of them where there are several."""
    from nwbswitch.analysis.reporting.report import report

    def page(of: Path) -> Path:
        try:
            return report(of, of / REPORT_FILE)
        except ExistingOutputError:
            return report(of, of / REPORT_FILE, overwrite=True)

    pages = [page(each.folder) for each in outcomes if (each.folder / RESULT).exists()]
    alone = not outcomes and any((folder / MODELS_FOLDER).glob("*.json"))
    if (folder / REPLICATION_FILE).exists() or alone:
        return page(folder)
    return pages[0] if pages else None
