"""Every session of a study to NWB, resumable, with an outcome for each."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from nwbswitch.converters.conversion_claim import claimed, not_written
from nwbswitch.converters.conversion_files import Backend
from nwbswitch.converters.conversion_job import SessionJob, convert_session, plan_session
from nwbswitch.converters.conversion_log import log_path
from nwbswitch.converters.conversion_plan import compare_file, plan_work
from nwbswitch.converters.conversion_record import RECORDS, now
from nwbswitch.converters.conversion_result import ConvertResult, FileResult, SessionResult
from nwbswitch.converters.conversion_size import Space
from nwbswitch.converters.session import output_path, placeholder_issues
from nwbswitch.schemas.errors import InputFileError, IssuesError, MissingExtraError, UnsafeFileError
from nwbswitch.schemas.files import free_bytes, write_json
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.jobs import Outcome, cores, run_jobs
from nwbswitch.schemas.study import Session, Study
from nwbswitch.schemas.study_file import LoadedStudy, load_study
from nwbswitch.schemas.version import __version__

MAX_THREADS = 8
# Compressed movies are seldom larger than their source; only then is the size worth an estimate.
_SUSPICIOUS_RATIO = 1.5
_LOCAL_ONLY = (
    "These are Zarr folders, for work on local disks: DANDI does not publish them. Convert once more without "
    "--backend zarr for an upload."
)


def convert(
    study: Study | LoadedStudy | Path | str,
    out_dir: Path | str,
    *,
    sessions: Collection[str] | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    stub: bool = False,
    backend: Backend = "hdf5",
    space_check: bool = True,
) -> ConvertResult:
    """Convert the sessions of a study to NWB files, ``sub-<id>/sub-<id>_ses-<id>_<modalities>.nwb``.

    A file that is there and was made from the same content, the same statements of the study file and the
    same minor version is left as it is, so the same call resumes an interrupted one. A session that fails
    does not stop the others. What each file was made from, and a log of each session, are kept in
    ``<out_dir>/.nwbswitch``.

    Parameters
    ----------
    study
        The study: a study file, what `nwbswitch.schemas.study_file.load_study` returns, or its ``study``.
    out_dir
        Folder for the NWB files.
    sessions
        Session identifiers to convert; all by default.
    workers, executor
        As for `nwbswitch.schemas.jobs.run_jobs`. Workers share the cores: each compresses with its part.
    overwrite
        Replace files that were made differently; all others stay.
    dry_run
        Open and check all streams, and write nothing; the summary lists what would be written, about how
        large it will be, and the free space.
    stub
        Convert only the first 100 frames of every stream.
    backend
        ``hdf5``, or ``zarr`` for work on local disks.
    space_check
        Refuse to begin what will clearly not fit on the disk.

    Returns
    -------
    ConvertResult
        One outcome per session and all findings, those about the study file among them.

    Raises
    ------
    StudyError
        ``study`` is the path of a study file with mistakes.
    ExistingOutputError
        A file is there that was made differently, and ``overwrite`` is not given, or another conversion is
        writing into the folder. Nothing was changed.
    NwbswitchError
        The folder cannot be written to.
    IssuesError
        ``sessions`` names one that the study does not have, two sessions have the same output, a session
        cannot be archived as it says, or the disk is too small.
    MissingExtraError
        neuroconv or tifffile, or for Zarr hdmf-zarr, is not installed.
    """
    _require_readers(backend)
    loaded = load_study(study) if isinstance(study, Path | str) else study
    if isinstance(loaded, LoadedStudy):
        study, warnings = loaded.study, list(loaded.warnings)
    else:
        study = loaded
        warnings = [each for session in _chosen(study, sessions) for each in placeholder_issues(session)]
    folder = Path(out_dir).absolute()
    chosen = _chosen(study, sessions)
    plan = plan_work(
        study,
        chosen,
        folder,
        stub=stub,
        backend=backend,
        threads=_threads_each(len(chosen), workers, executor),
        workers=workers,
        executor=executor,
    )
    plan.check(overwrite=overwrite)
    notes = (_LOCAL_ONLY,) if backend == "zarr" else ()
    if dry_run:
        planned = _run(plan.jobs, label="check", workers=workers, executor=executor)
        space = _space(plan.jobs, planned, folder)
        return ConvertResult(tuple(planned), folder, tuple(warnings), space, notes)
    if space_check:
        _require_space(plan.jobs, folder, workers=workers, executor=executor)
    with claimed(folder) as claim:
        plan.renew()
        jobs = [replace(job, claim=claim) for job in plan.jobs]
        done = not any(job.missing for job in jobs)
        outcomes = run_jobs(
            convert_session,
            jobs,
            label="convert",
            workers=1 if done else workers,
            executor=None if done else executor,
            describe=_describe,
        )
        result = ConvertResult(
            tuple(_session_result(outcome) for outcome in outcomes), folder, tuple(warnings), notes=notes
        )
        if any(each.status != "present" for each in result.sessions):
            _write_summary(folder, result, outcomes)
    return result


def _require_readers(backend: Backend) -> None:
    for package in ("neuroconv", "tifffile"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "convert")
    if backend == "zarr" and find_spec("hdmf_zarr") is None:
        raise MissingExtraError("hdmf-zarr", "zarr")


def _describe(job: SessionJob) -> str:
    return job.name


def _chosen(study: Study, names: Collection[str] | None) -> list[Session]:
    found = []
    known = [session.session_id for session in study.sessions]
    for name in names or ():
        if name not in known:
            place = Place(item="sessions")
            found.append(
                issue(
                    "unknown-word",
                    f"The study has no session {name!r}.",
                    place=place,
                    remedy=nearest(name, known),
                )
            )
    chosen = [session for session in study.sessions if names is None or session.session_id in names]
    # Most disks of macOS and Windows take names that differ in case for the same.
    taken = Counter(str(output_path(session)).casefold() for session in chosen)
    for path in sorted({output_path(session) for session in chosen}):
        if taken[str(path).casefold()] > 1:
            found.append(issue("duplicate-id", f"Several sessions would be written to {path}."))
    if found:
        raise IssuesError(found)
    return chosen


def _threads_each(n_sessions: int, workers: int, executor: Executor | None) -> int:
    """Return the threads of one session: its share of the cores; one where somebody else shares them out."""
    if executor is not None:
        return 1
    return min(max(cores() // max(min(workers, n_sessions), 1), 1), MAX_THREADS)


def _run(
    jobs: Sequence[SessionJob], *, label: str, workers: int, executor: Executor | None
) -> list[SessionResult]:
    """Open and check sessions, and estimate the size of their files."""
    outcomes = run_jobs(
        plan_session, jobs, label=label, workers=workers, executor=executor, describe=_describe
    )
    return [_session_result(each) for each in outcomes]


def _space(jobs: Sequence[SessionJob], planned: Sequence[SessionResult], folder: Path) -> Space:
    return Space(
        input_bytes=sum(job.input_bytes for job in jobs),
        output_bytes=sum(
            file.size_bytes for each in planned for file in each.files if file.status == "planned"
        ),
        replaced_bytes=sum(job.replaced_bytes for job in jobs),
        free_bytes=free_bytes(folder),
    )


def _require_space(
    jobs: Sequence[SessionJob], folder: Path, *, workers: int, executor: Executor | None
) -> None:
    """Raise when the disk is clearly too small; only where that is possible at all are sizes estimated."""
    if _SUSPICIOUS_RATIO * sum(job.input_bytes for job in jobs) <= free_bytes(folder):
        return
    planned = _run(jobs, label="estimate size", workers=workers, executor=executor)
    space = _space(jobs, planned, folder)
    if space.short:
        found = issue(
            "no-space",
            f"The disk is too small: {space}. Nothing was written.",
            place=Place(folder),
            remedy="Make room, choose another folder, convert fewer sessions, or set archive to processed; "
            "--no-space-check begins anyway.",
        )
        raise IssuesError([found])


def _session_result(outcome: Outcome[SessionJob, SessionResult]) -> SessionResult:
    if outcome.value is not None:
        return outcome.value
    error, job = outcome.error, outcome.item
    if isinstance(error, IssuesError):
        found: tuple[Issue, ...] = tuple(error.issues)
    elif isinstance(error, InputFileError):
        code = "unsafe-file" if isinstance(error, UnsafeFileError) else "unreadable-file"
        found = (issue(code, error.problem, place=Place(error.path), remedy=error.remedy),)
    else:
        found = (issue("session-failed", outcome.reason, place=Place(item=job.name)),)
    log = log_path(job.out_dir, job.session)
    return SessionResult(
        job.session.subject.subject_id,
        job.session.session_id,
        "failed",
        _of_failed(job),
        reason=outcome.reason,
        issues=found,
        log=log if log.exists() else None,
    )


def _of_failed(job: SessionJob) -> tuple[FileResult, ...]:
    """Return the files of a session that failed: one of two may have been finished before."""
    files = []
    for planned, file in zip(job.files, job.unfinished("failed"), strict=True):
        found, _ = compare_file(job.study, planned.target, job.out_dir, backend=job.backend, stub=job.stub)
        done = not planned.present and found is not None and found.same
        files.append(replace(file, status="converted", size_bytes=file.path.stat().st_size) if done else file)
    return tuple(files)


def _write_summary(
    folder: Path, result: ConvertResult, outcomes: Sequence[Outcome[SessionJob, SessionResult]]
) -> None:
    """Keep what happened, with the traceback of what nobody expected."""
    told = result.as_dict()
    told["version"] = __version__
    told["written"] = now()
    for entry, outcome in zip(told["sessions"], outcomes, strict=True):
        if outcome.error is not None:
            entry["traceback"] = traceback.format_exception(outcome.error)
    try:
        write_json(folder / RECORDS / "convert.json", told)
    except OSError as error:
        raise not_written(folder / RECORDS / "convert.json", error) from error
