"""From tables to files of summaries, one per table, which may be computed where the data is and then sent."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nwbswitch.analysis.summaries.summary_file import SUFFIX, load_summaries, save_summaries
from nwbswitch.analysis.summaries.summary_merge import merged
from nwbswitch.analysis.summaries.unit_summaries import UnitSummaries
from nwbswitch.schemas.errors import FitError, InputFileError, NwbswitchError

RECORD: Final = "summarise.json"
MAX_FILES: Final = 100_000


@dataclass(frozen=True, slots=True)
class SummaryResult:
    """What `summarise` wrote: one file per table, in the order of the tables."""

    files: tuple[Path, ...]
    n_rows: int
    n_units: int
    n_missing: int
    n_excluded: int
    unit: str

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "files": [path.name for path in self.files],
            "n_rows": self.n_rows,
            "n_units": self.n_units,
            "n_missing": self.n_missing,
            "n_excluded": self.n_excluded,
            "unit": self.unit,
        }

    def summary(self) -> str:
        """Return one sentence for people."""
        size = sum(path.stat().st_size for path in self.files) / 1e6
        unit = f"{self.n_units} {self.unit}s" if self.unit else "all groups together"
        left = f"{self.n_missing} rows with missing values and {self.n_excluded} excluded rows left out"
        return (
            f"{self.n_rows} rows of {unit} summed into {len(self.files)} "
            f"file{'s' * (len(self.files) != 1)} of {size:.2g} MB in all; {left}."
        )


@dataclass(frozen=True, slots=True)
class _Job:
    table: Path
    file: Path
    formula: str
    where: str | None
    weights: str | None


def summarise(
    tables: Sequence[Path | str],
    formula: str,
    *,
    out: Path,
    where: str | None = None,
    weights: str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> SummaryResult:
    """Sum tables for ``nwbswitch fit`` into ``out``, a file ``<table>.summary.npz`` for each.

    Parameters
    ----------
    tables
        Tables (.parquet, .csv, .tsv); no unit, i.e. no group of the level above the innermost, may be
        spread over two of them.
    formula
        The model that is to be fitted, as in `nwbswitch.fit`. Terms in what is constant within units can
        still be changed when fitting.
    out
        Folder of the summaries, made where it is not there.
    where, weights
        As in `nwbswitch.fit`.
    workers, executor
        Processes, or any `concurrent.futures.Executor`, for the tables.
    overwrite
        Replace summaries that were made differently.
    quiet
        Show no progress.

    Raises
    ------
    ExistingOutputError
        If ``out`` holds summaries of other work and ``overwrite`` is false.
    FitError, FormulaError
        If a table cannot hold the model; nothing of that table is written.
    """
    from nwbswitch.analysis.formulas.formula import read_formula
    from nwbswitch.analysis.runs.results_folder import refuse_other_work, save_result
    from nwbswitch.schemas.files import sha256_file
    from nwbswitch.schemas.jobs import run_jobs
    from nwbswitch.schemas.provenance import record

    read_formula(formula)
    paths = [Path(each) for each in tables]
    if not paths:
        raise ValueError("tables is empty; give at least one table.")
    files = [out / f"{path.stem}{SUFFIX}" for path in paths]
    twice = next((file.name for file in files if files.count(file) > 1), None)
    if twice:
        raise ValueError(f"two tables would both be summed into {twice}; rename one.")
    inputs = {path.name: sha256_file(path) for path in paths if path.is_file()}
    parameters = {"formula": formula, "where": where, "weights": weights}
    work = record(command="summarise", parameters=parameters, inputs=inputs, seed=None)
    target = out / RECORD
    if target.exists() and not overwrite:
        refuse_other_work(target, work)
        if all(file.exists() for file in files):
            return _result(files, [load_summaries(file) for file in files])
    out.mkdir(parents=True, exist_ok=True)
    jobs = [_Job(path, file, formula, where, weights) for path, file in zip(paths, files, strict=True)]
    outcomes = run_jobs(
        _sum_table,
        jobs,
        label="summarise",
        workers=workers,
        executor=executor,
        describe=lambda job: job.table.name,
        quiet=quiet or len(jobs) == 1,
    )
    for outcome in outcomes:
        if outcome.error is not None:
            raise _named(outcome.item.table, outcome.error)
    _remove_others(target, files)
    found = _result(files, [load_summaries(file) for file in files])
    save_result(target, found.as_dict(), work=work, overwrite=True)
    return found


def _named(table: Path, error: BaseException) -> BaseException:
    return FitError(f"{table.name}: {error}") if isinstance(error, NwbswitchError) else error


def _remove_others(record_file: Path, files: Sequence[Path]) -> None:
    """Remove the files of the work that is replaced: they would be fitted along with the new ones."""
    from nwbswitch.analysis.runs.results_folder import read_json

    if not record_file.exists():
        return
    names = read_json(record_file).get("files")
    for name in names if isinstance(names, list) else []:
        old = record_file.parent / str(name)
        if old.name == name and name.endswith(SUFFIX) and old not in files:
            old.unlink(missing_ok=True)


def _sum_table(job: _Job) -> None:
    from nwbswitch.analysis.formulas.formula import read_formula
    from nwbswitch.analysis.summaries.unit_map import summarise_rows

    formula = read_formula(job.formula)
    found = summarise_rows(job.table, formula, where=job.where, weights=job.weights, partial=True)
    save_summaries(found, job.file)


def _result(files: Sequence[Path], parts: Sequence[UnitSummaries]) -> SummaryResult:
    return SummaryResult(
        tuple(files),
        int(sum(part.n_rows.sum() for part in parts)),
        sum(part.n_units for part in parts),
        sum(part.n_missing for part in parts),
        sum(part.n_excluded for part in parts),
        parts[0].definition.unit,
    )


def holds_summaries(path: Path) -> bool:
    """Return whether a path is a folder, or a file named as summaries are."""
    return path.is_dir() or path.name.endswith(SUFFIX)


def summary_files(path: Path) -> list[Path]:
    """Return the files of summaries at ``path``: itself, or all in the folder and its folders, by name.

    Raises
    ------
    InputFileError
        If there is none.
    """
    if path.is_dir():
        found = sorted(path.rglob(f"*{SUFFIX}"))[: MAX_FILES + 1]
        if not found:
            problem = f"holds no summaries (*{SUFFIX})."
            raise InputFileError(
                path, problem, "Make them with 'nwbswitch summarise TABLE --formula F -o DIR'."
            )
        if len(found) > MAX_FILES:
            raise InputFileError(path, f"holds more than {MAX_FILES} files of summaries.")
        return found
    return [path]


def read_summaries(path: Path | str) -> UnitSummaries:
    """Return the summaries of a file or a folder, joined.

    Raises
    ------
    InputFileError
        If there are none, or one is damaged.
    FitError
        If they do not belong together.
    """
    folder = Path(path)
    files = summary_files(folder)
    if files == [folder]:
        return load_summaries(folder)
    return merged([(str(file.relative_to(folder)), load_summaries(file)) for file in files])
