"""A folder of results: which work an output came from, and whether that work is already done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.schemas.errors import ExistingOutputError, InputFileError
from nwbswitch.schemas.files import sha256_file, write_json
from nwbswitch.schemas.provenance import record, same_work
from nwbswitch.schemas.result_tables import SESSIONS_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    import pandas as pd

    from nwbswitch.analysis.estimands.spreads import Interval
    from nwbswitch.analysis.verdicts.switch_result import SwitchResult
    from nwbswitch.schemas.tables import TableSpec

RESULT = "result.json"
CHECK_FILE = "check.json"
CELLS_FILE = "cells.parquet"
ESTIMATES_FILE = "estimates.csv"
RATES_FILE = "rates.parquet"
FIT_FILE = "fit.json"
META_FILE = "meta.json"
MODELS_FOLDER = "models"
META_FOLDER = "meta"
REPLICATION_FILE = "replication.json"
PLAN_FILE = "plan.json"
CLOCKS_FILE = "clock_alignment.csv"
DESIGN_FILE = "design.json"
COURSES_FILE = "time_courses.csv"
FEATURES_FILE = "course_features.csv"
SPECIFICATIONS_FILE = "specifications.csv"
REPLICATION_FILE = "replication.json"
PLAN_FILE = "plan.json"
MODELS_FOLDER = "models"
META_FOLDER = "meta"


def estimate_switch(
    cells: Path,
    out: Path | None = None,
    *,
    reference: str | None = None,
    margin: float = 0.25,
    k: Sequence[int] | None = None,
    cell_type: str | None = None,
    draws: int = 100,
    resamples: int = 0,
    interval: Interval = "percentile",
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
) -> SwitchResult:
    """Estimate the switch from a cells file; write ``out`` (CSV or Parquet), with files beside it.

    ``result.json`` holds verdicts, controls and provenance; ``rates.parquet`` one row per neuron, window and
    half, ready for a mixed model (see `nwbswitch.analysis.estimands.rates`). With ``sessions.csv`` beside the
    cells every dose inside a session is an arm of its own, and ``design.json`` holds the design.

    Parameters
    ----------
    cells
        Cells table, Parquet or CSV; Parquet is read a piece at a time.
    out
        Estimates table to write; nothing is written when it is None.
    reference, margin, k, cell_type, draws, resamples, interval, seed, workers, executor
        As in `nwbswitch.analysis.verdicts.switch.switch`.
    overwrite
        Replace results that were made differently.

    Raises
    ------
    ExistingOutputError
        If results of other work are there and ``overwrite`` is false.
    ValueError
        When ``out`` ends neither in .csv nor in .parquet, or another argument is wrong.
    """
    from nwbswitch.analysis.estimands.counts_reader import read_cells
    from nwbswitch.analysis.estimands.rates import write_rates
    from nwbswitch.analysis.runs.study_design import design_record, designed_study, sessions_beside
    from nwbswitch.analysis.table_file import write_csv, write_parquet
    from nwbswitch.analysis.verdicts.switch import switch_sessions

    if out is not None and out.suffix.lower() not in (".csv", ".parquet"):
        raise ValueError(f"the estimates are written as .csv or .parquet, not as {out.name!r}")
    parameters: dict[str, Any] = {
        "reference": reference,
        "margin": margin,
        "k": None if k is None else sorted(set(k)),
        "cell_type": cell_type,
        "draws": draws,
        "resamples": resamples,
        "interval": interval if resamples else None,
    }
    work: dict[str, Any] = {}
    done = False
    if out is not None:
        beside = Path(cells).parent / SESSIONS_FILE
        inputs = {each.name: sha256_file(each) for each in (Path(cells), beside) if each.exists()}
        work = record(command="switch", parameters=parameters, inputs=inputs, seed=seed)
        target = out.parent / RESULT
        if target.exists() and not overwrite:
            refuse_other_work(target, work)
            done = out.exists()
    study = designed_study(read_cells(cells), sessions_beside(Path(cells)), reference=reference)
    result = switch_sessions(
        study.sessions,
        reference=reference or study.references,
        margin=margin,
        k=k,
        cell_type=cell_type,
        draws=draws,
        resamples=resamples,
        interval=interval,
        seed=seed,
        workers=workers,
        executor=executor,
    )
    if out is None or done:
        return result
    write_rates(result.every_session, out.parent / RATES_FILE, reference=result.info.reference)
    write = write_csv if out.suffix.lower() == ".csv" else write_parquet
    write(result.table(), out)
    found = design_record(study, result)
    if found is not None:
        write_json(out.parent / DESIGN_FILE, found)
    sentence = {"design": found["sentence"]} if found else {}
    write_json(out.parent / RESULT, {**result.as_dict(), **sentence, "provenance": work})
    return result


def save_result(path: Path, value: dict[str, Any], *, work: dict[str, Any], overwrite: bool) -> None:
    """Write a result with the record of the work it came from.

    The result of the same work is left as it is; that of other work needs ``overwrite``.
    """
    if path.exists() and not overwrite:
        refuse_other_work(path, work)
        return
    write_json(path, {**value, "provenance": work})


def table_work(
    command: str, table: Path, parameters: dict[str, Any], *, seed: int | None = None
) -> dict[str, Any]:
    """Return the record of work on one table or folder of summaries, known by the digests of its files."""
    from nwbswitch.analysis.summaries.summarise import summary_files

    files = summary_files(table) if table.is_dir() else [table]
    inputs = {file.name: sha256_file(file) for file in files}
    return record(command=command, parameters=parameters, inputs=inputs, seed=seed)


@dataclass(frozen=True, slots=True)
class Results:
    """What a results folder holds; what was not made is None or empty.

    Attributes
    ----------
    neurons
        Events and exposure of every neuron and window; see `nwbswitch.analysis.runs.neuron_sums`.
    estimates, sessions, time_courses, course_features, specifications
        Tables as specified in `nwbswitch.schemas`.
    result
        Content of ``result.json``.
    models, metas
        Mixed models and pooled effects by name.
    measured
        Parameters of `measure`; empty when the cells table does not state them.
    replication
        Content of ``replication.json``: the answer of several data sets.
    design
        Content of ``design.json``: who was given what, and what comparisons may owe to it.
    clocks
        Clocks of the recordings that were measured; None when they say nothing of them.
    """

    neurons: pd.DataFrame
    estimates: pd.DataFrame
    result: dict[str, Any]
    models: dict[str, dict[str, Any]]
    metas: dict[str, dict[str, Any]]
    measured: dict[str, Any]
    sessions: pd.DataFrame | None = None
    time_courses: pd.DataFrame | None = None
    course_features: pd.DataFrame | None = None
    specifications: pd.DataFrame | None = None
    replication: dict[str, Any] | None = None
    design: dict[str, Any] | None = None
    clocks: pd.DataFrame | None = None

    @property
    def arms(self) -> list[str]:
        """Arms, the reference first, then by name, 3 mg before 10 mg."""
        from nwbswitch.schemas.stream_base import natural_order

        reference = self.result["reference"]
        return sorted(self.result["arms"], key=lambda name: (name != reference, natural_order(name)))

    @property
    def reference(self) -> str:
        """The reference arm, or the first arm when there is none."""
        return self.result["reference"] or self.arms[0]

    @property
    def contrast(self) -> str:
        """What the main figure shows: ``drug``, or ``pseudo`` when no arm has a drug window."""
        arms = self.result["arms"].values()
        return "drug" if any(arm["contrast"] == "drug" for arm in arms) else "pseudo"


def read_results(folder: Path) -> Results:
    """Return the content of a results folder.

    Raises
    ------
    InputFileError
        If a file that must be there is missing or damaged.
    """
    from nwbswitch.analysis.runs.neuron_sums import neuron_sums
    from nwbswitch.schemas.result_tables import RESULT_TABLES
    from nwbswitch.schemas.tables import ESTIMATES

    result = read_json(folder / RESULT)
    needed = {"arms", "reference", "margin", "seed", "cell_type", "design", "simulated", "tau_c_limits"}
    if missing := needed - set(result):
        raise InputFileError(folder / RESULT, f"lacks {', '.join(sorted(missing))}.", "Run nwbswitch switch.")
    neurons = neuron_sums(folder / CELLS_FILE)
    tables = {
        name: _table(folder / f"{name}.csv", spec) if (folder / f"{name}.csv").exists() else None
        for name, spec in RESULT_TABLES.items()
    }
    return Results(
        neurons=neurons,
        estimates=_table(folder / ESTIMATES_FILE, ESTIMATES),
        result=result,
        models=read_models(folder),
        metas=_answers(folder, META_FILE, META_FOLDER),
        measured=_measured(folder / CELLS_FILE),
        sessions=tables["sessions"],
        time_courses=tables["time_courses"],
        course_features=tables["course_features"],
        specifications=tables["specifications"],
        replication=read_replication(folder),
        design=read_json(folder / DESIGN_FILE) if (folder / DESIGN_FILE).exists() else None,
        clocks=_clocks(folder, neurons["source_digest"]),
    )


def read_replication(folder: Path) -> dict[str, Any] | None:
    """Return the answer of several data sets, or None where there is none."""
    path = folder / REPLICATION_FILE
    return read_json(path) if path.exists() else None


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the plan that a folder was made by, with its status; empty where there is none."""
    path = folder / PLAN_FILE
    return read_json(path) if path.exists() else {}


def read_models(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the models of a folder by name."""
    return _answers(folder, FIT_FILE, MODELS_FOLDER)


def read_metas(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the pooled effects of a folder by name."""
    return _answers(folder, META_FILE, META_FOLDER)


def _table(path: Path, spec: TableSpec) -> pd.DataFrame:
    from nwbswitch.analysis.table_file import read_table

    return spec.checked(read_table(path, text=spec.text_names), file=path)


def _answers(folder: Path, alone: str, several: str) -> dict[str, dict[str, Any]]:
    """Return the JSON answers in a file and in a folder, by name."""
    single = folder / alone
    paths = [single] if single.exists() else []
    return {path.stem: read_json(path) for path in [*paths, *sorted((folder / several).glob("*.json"))]}


def _clocks(folder: Path, digests: pd.Series) -> pd.DataFrame | None:
    """Return the clocks of the files with these digests; the table may be that of other cells."""
    from nwbswitch.analysis.clock_tables import read_clocks_file

    path = folder / CLOCKS_FILE
    if not path.exists():
        return None
    clocks = read_clocks_file(path)
    own = clocks[clocks["source_digest"].isin(set(digests))]
    return own.reset_index(drop=True) if len(own) else None


def _measured(cells: Path) -> dict[str, Any]:
    """Return the parameters with which the cells were measured; empty when the file does not say."""
    from nwbswitch.analysis.measure import read_record

    parameters = read_record(cells).get("provenance", {}).get("parameters", {})
    return dict(parameters) if isinstance(parameters, dict) else {}


def refuse_other_work(path: Path, work: dict[str, Any]) -> None:
    """Raise `ExistingOutputError` unless ``path`` says that it came from the same work."""
    held = read_json(path).get("provenance")
    if not (isinstance(held, dict) and same_work(held, work)):
        raise ExistingOutputError(
            f"{path} was made from other inputs or parameters. Choose another folder or give --overwrite."
        )


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of ours.

    Raises
    ------
    InputFileError
        If the file is missing, damaged or holds no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        remedy = "Run nwbswitch switch into this folder first." if path.name == RESULT else ""
        raise InputFileError(path, "no such file.", remedy) from error
    except (OSError, ValueError) as error:
        raise InputFileError(path, f"is not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise InputFileError(path, "holds no JSON object.")
    return value
