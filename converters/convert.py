"""Every session of a study to one NWB file, resumable, with an outcome for each."""

from __future__ import annotations

import os
import time
import traceback
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nwbswitch.converters.conversion_record import (
    RECORDS,
    ConversionRecord,
    FileState,
    input_files,
    now,
    parameters_digest,
    read_record,
    record_path,
    write_record,
)
from nwbswitch.converters.conversion_result import ConvertResult, SessionPlan, SessionResult, Status
from nwbswitch.converters.session import (
    facts,
    make_nwbfile,
    output_path,
    placeholder_issues,
)
from nwbswitch.converters.session_streams import add_parts, check_windows, close_parts, open_parts
from nwbswitch.schemas.drug_log import arm_name, deciding_row
from nwbswitch.schemas.errors import (
    ExistingOutputError,
    InputFileError,
    IssuesError,
    MissingExtraError,
    NwbswitchError,
    UnsafeFileError,
)
from nwbswitch.schemas.files import locked, remove_partials, replaced, write_json
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.jobs import Outcome, run_jobs
from nwbswitch.schemas.provenance import record as provenance
from nwbswitch.schemas.study import Session, Study
from nwbswitch.schemas.study_file import LoadedStudy, load_study
from nwbswitch.schemas.version import __version__


@dataclass(frozen=True, slots=True)
class _Job:
    """One session with what its study says; small enough to send to another process."""

    study: Study
    out_dir: Path
    stub: bool
    dry_run: bool
    present: bool

    @property
    def session(self) -> Session:
        return self.study.sessions[0]

    @property
    def relative(self) -> Path:
        return output_path(self.session)

    @property
    def output(self) -> Path:
        return self.out_dir / self.relative

    @property
    def name(self) -> str:
        return f"{self.session.subject.subject_id}/{self.session.session_id}"

    def result(self, status: Status, **values: Any) -> SessionResult:
        return SessionResult(
            self.session.subject.subject_id, self.session.session_id, self.output, status, **values
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
) -> ConvertResult:
    """Convert the sessions of a study to NWB files, ``sub-<id>/sub-<id>_ses-<id>_<modalities>.nwb``.

    A file that is there and was made from the same inputs, study file and version is left as it is, so the
    same call resumes an interrupted one. A session that fails does not stop the others. What each file was
    made from is kept in ``<out_dir>/.nwbswitch``.

    Parameters
    ----------
    study
        The study: a study file, what `nwbswitch.schemas.study_file.load_study` returns, or its ``study``.
    out_dir
        Folder for the NWB files.
    sessions
        Session identifiers to convert; all by default.
    workers, executor
        As for `nwbswitch.schemas.jobs.run_jobs`.
    overwrite
        Replace files that were made differently.
    dry_run
        Open and check all streams, and write nothing; the summary lists what would be written.
    stub
        Convert only the first 100 frames of every stream.

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
        ``sessions`` names one that the study does not have, or two sessions have the same output.
    MissingExtraError
        neuroconv or tifffile is not installed.
    """
    _require_readers()
    loaded = load_study(study) if isinstance(study, Path | str) else study
    if isinstance(loaded, LoadedStudy):
        study, warnings = loaded.study, list(loaded.warnings)
    else:
        study = loaded
        warnings = [each for session in _chosen(study, sessions) for each in placeholder_issues(session)]
    folder = Path(out_dir).absolute()
    jobs = []
    conflicts = []
    for session in _chosen(study, sessions):
        single = study.model_copy(update={"sessions": (session,)})
        found = _differences(single, session, folder, stub=stub)
        jobs.append(_Job(single, folder, stub, dry_run, present=found == []))
        if found:
            conflicts.append(f"{jobs[-1].output}: {'; '.join(found)}")
    if conflicts and not overwrite:
        raise ExistingOutputError(
            "Outputs are there that were made differently:\n  "
            + "\n  ".join(conflicts)
            + "\nUse --overwrite to replace them, or another output folder."
        )
    with nullcontext() if dry_run else _alone_in(folder):
        outcomes = run_jobs(
            _convert_session,
            jobs,
            label="check" if dry_run else "convert",
            workers=workers,
            executor=executor,
            describe=_describe,
        )
        result = ConvertResult(
            tuple(_session_result(outcome) for outcome in outcomes), folder, tuple(warnings)
        )
        if not dry_run and any(each.status != "present" for each in result.sessions):
            _write_log(folder, result, outcomes)
    return result


def _alone_in(folder: Path) -> ExitStack:
    """Claim the output folder, which is let go of at the end, and remove what a killed run left in it."""
    claim = ExitStack()
    try:
        claim.enter_context(locked(folder / RECORDS / "lock"))
        remove_partials(folder)
    except BlockingIOError as error:
        raise ExistingOutputError(
            f"{folder}: another conversion is writing here. Wait for its end, or choose another folder."
        ) from error
    except OSError as error:
        claim.close()
        raise _not_written(folder, error) from error
    return claim


def _not_written(path: Path, error: OSError) -> NwbswitchError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return NwbswitchError(f"{path}: cannot be written: {reason}. Nothing half-written is left.")


def _require_readers() -> None:
    for package in ("neuroconv", "tifffile"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "convert")


def _describe(job: _Job) -> str:
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


def _differences(study: Study, session: Session, folder: Path, *, stub: bool) -> list[str] | None:
    """Return how an existing output differs from what would be made; None when there is none."""
    relative = output_path(session)
    if not (folder / relative).exists():
        return None
    made = read_record(record_path(folder, relative))
    if made is None:
        return ["nothing tells from what it was made"]
    try:
        return made.differences(study, session, folder / relative, stub=stub)
    except (OSError, InputFileError) as error:
        return [f"its inputs cannot be compared: {error}"]


def _convert_session(job: _Job) -> SessionResult:
    """Convert one session; runs in a worker."""
    plan = _plan(job.session) if job.dry_run else None
    if job.present:
        return job.result("present", plan=plan, size_bytes=job.output.stat().st_size)
    started = time.perf_counter()
    parts = open_parts(job.session)
    try:
        if not job.stub:
            check_windows(job.session, parts)
        if job.dry_run:
            return job.result("planned", plan=plan, seconds=time.perf_counter() - started)
        inputs = [FileState.of(path, name=name) for name, path in input_files(job.session)]
        nwbfile = make_nwbfile(
            job.study, job.session, contents=[each.sha256 for each in inputs], stub=job.stub
        )
        add_parts(nwbfile, job.session, parts, stub=job.stub)
        try:
            size_bytes = _write(job, nwbfile, inputs)
        except OSError as error:
            raise _not_written(job.output, error) from error
    finally:
        close_parts(parts)
    return job.result("converted", seconds=time.perf_counter() - started, size_bytes=size_bytes)


def _plan(session: Session) -> SessionPlan:
    from nwbswitch.converters.epochs import absolute

    zero = deciding_row(session.drug_log)
    rows = absolute(session.epochs, None if zero is None else zero.timestamp_s)
    return SessionPlan(
        arm=arm_name(session.drug_log),
        streams=tuple((name, stream.path) for name, stream in session.streams.items()),
        windows=tuple((window.value, start_s, stop_s) for start_s, stop_s, window in rows),
    )


def _write(job: _Job, nwbfile: Any, inputs: Sequence[FileState]) -> int:
    """Write file and record. The record comes first: a file without one would stop the next run."""
    from pynwb import NWBHDF5IO

    with replaced(job.output) as partial:
        with NWBHDF5IO(partial, "w") as io:
            io.write(nwbfile)
        state = FileState.of(partial, name=job.output.name)
        made = ConversionRecord(
            version=__version__,
            parameters=parameters_digest(job.study, job.session, stub=job.stub),
            inputs=tuple(inputs),
            output=state,
            identifier=nwbfile.identifier,
            provenance=provenance(
                command="convert",
                parameters={**facts(job.study, job.session), "stub": job.stub},
                inputs={each.name: each.sha256 for each in inputs},
                seed=None,
            ),
        )
        write_record(record_path(job.out_dir, job.relative), made)
    return state.size


def _session_result(outcome: Outcome[_Job, SessionResult]) -> SessionResult:
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
    return job.result("failed", reason=outcome.reason, issues=found)


def _write_log(folder: Path, result: ConvertResult, outcomes: Sequence[Outcome[_Job, SessionResult]]) -> None:
    """Keep what happened, with the traceback of what nobody expected."""
    log = result.as_dict()
    log["version"] = __version__
    log["written"] = now()
    for entry, outcome in zip(log["sessions"], outcomes, strict=True):
        if outcome.error is not None:
            entry["traceback"] = traceback.format_exception(outcome.error)
    try:
        write_json(folder / RECORDS / "convert.json", log)
    except OSError as error:
        raise _not_written(folder / RECORDS / "convert.json", error) from error
