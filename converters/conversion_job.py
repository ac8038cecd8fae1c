"""The conversion of one session: opened, written to its one or two files, and logged; runs in a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nwbswitch.converters.conversion_claim import Claim, not_written
from nwbswitch.converters.conversion_files import (
    Backend,
    Target,
    described,
    file_identifier,
    inputs,
    stated,
)
from nwbswitch.converters.conversion_inputs import FileState, InputDigests, size_and_time
from nwbswitch.converters.conversion_log import SessionLog, log_path, session_log
from nwbswitch.converters.conversion_record import ConversionRecord, record_path, write_record
from nwbswitch.converters.conversion_result import FileResult, SessionPlan, SessionResult, Status, StreamPlan
from nwbswitch.schemas.drug_log import arm_name, deciding_row
from nwbswitch.schemas.errors import InputFileError, NwbswitchError
from nwbswitch.schemas.files import replaced
from nwbswitch.schemas.progress import Report, job_progress, readable_bytes, readable_seconds
from nwbswitch.schemas.study import Session, Study
from nwbswitch.schemas.version import __version__

if TYPE_CHECKING:
    from pynwb import NWBFile

    from nwbswitch.converters.session_streams import Part


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """An NWB file of a session, whether it is there as it would be made, and how it differs if not."""

    target: Target
    present: bool
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionJob:
    """One session with what its study says; small enough to send to another process.

    ``left_over`` are files that the session was written to under an earlier description.
    """

    study: Study
    out_dir: Path
    files: tuple[PlannedFile, ...]
    left_over: tuple[Path, ...]
    stub: bool
    backend: Backend
    threads: int
    claim: Claim | None = None

    @property
    def session(self) -> Session:
        """The session."""
        return self.study.sessions[0]

    @property
    def name(self) -> str:
        """Subject and session."""
        return f"{self.session.subject.subject_id}/{self.session.session_id}"

    @property
    def missing(self) -> tuple[PlannedFile, ...]:
        """The files that are to be written."""
        return tuple(each for each in self.files if not each.present)

    @property
    def input_bytes(self) -> int:
        """Size of what is copied into the files that are to be written."""
        return sum(
            size_and_time(each.path)[0]
            for file in self.missing
            for each in inputs(self.session, file.target)
            if each.copied and each.path.is_file()
        )

    @property
    def replaced_bytes(self) -> int:
        """Size of the files that are there and will be replaced."""
        there = [self.out_dir / each.target.relative for each in self.missing]
        return sum(size_and_time(path)[0] for path in (*there, *self.left_over) if path.exists())

    def unfinished(self, status: Status) -> tuple[FileResult, ...]:
        """Return the files as they are: those that are present, and the others with this status."""
        return tuple(
            FileResult(path, "present", size_and_time(path)[0])
            if each.present
            else FileResult(path, status, 0, each.replaces)
            for each in self.files
            for path in (self.out_dir / each.target.relative,)
        )


def plan_session(job: SessionJob) -> SessionResult:
    """Open and check a session and estimate the size of its files; write nothing."""
    from nwbswitch.converters.conversion_size import estimated_bytes
    from nwbswitch.converters.session_streams import check_windows, close_parts, open_parts

    started = time.perf_counter()
    files = job.unfinished("planned")
    found: list[str] = []
    if job.missing:
        with session_log(None) as log:
            parts = open_parts(job.session)
            try:
                if not job.stub:
                    check_windows(job.session, parts)
                sizes = {
                    each.target.relative: estimated_bytes(_nwbfile(job, each.target, parts))
                    for each in job.missing
                }
            finally:
                close_parts(parts)
        found = log.warnings
        files = tuple(
            replace(file, size_bytes=sizes.get(file.path.relative_to(job.out_dir), file.size_bytes))
            for file in files
        )
    return SessionResult(
        job.session.subject.subject_id,
        job.session.session_id,
        "planned" if job.missing else "present",
        files,
        seconds=time.perf_counter() - started,
        plan=_plan(job.session, tuple(found)),
    )


def _plan(session: Session, warnings: tuple[str, ...]) -> SessionPlan:
    from nwbswitch.converters.epochs import absolute

    zero = deciding_row(session.drug_log)
    rows = absolute(session.epochs, None if zero is None else zero.timestamp_s)
    return SessionPlan(
        arm=arm_name(session.drug_log),
        streams=tuple(
            StreamPlan(name, stream.paths[0], sum(each.stat().st_size for each in stream.files()))
            for name, stream in session.streams.items()
        ),
        windows=tuple((window.value, start_s, stop_s) for start_s, stop_s, window in rows),
        warnings=warnings,
    )


def convert_session(job: SessionJob) -> SessionResult:
    """Write the files of a session that are missing, and then remove those they replace."""
    subject_id, session_id = job.session.subject.subject_id, job.session.session_id
    if not job.missing:
        for each in job.left_over:
            _remove(job, each)
        return SessionResult(subject_id, session_id, "present", job.unfinished("planned"))
    from nwbswitch.converters.session_streams import check_windows, close_parts, open_parts

    started = time.perf_counter()
    path = log_path(job.out_dir, job.session)
    with session_log(path) as log:
        log.say(f"nwbswitch {__version__} converts {job.name}")
        digests = {each.target: InputDigests(inputs(job.session, each.target)) for each in job.missing}
        parts = open_parts(job.session)
        try:
            _tell_streams(log, job.session)
            if not job.stub:
                check_windows(job.session, parts)
            sizes = _write_all(job, parts, digests, log)
        finally:
            close_parts(parts)
        for each in job.left_over:
            _remove(job, each)
            log.say(f"removed {each.name}, which this session is no longer written to")
        seconds = time.perf_counter() - started
        log.say(f"done in {readable_seconds(seconds)}, {len(log.warnings)} warnings")
    files = tuple(
        file
        if planned.present
        else replace(file, status="converted", size_bytes=sizes[planned.target.relative])
        for file, planned in zip(job.unfinished("converted"), job.files, strict=True)
    )
    return SessionResult(
        subject_id,
        session_id,
        "converted",
        files,
        seconds=seconds,
        n_warnings=len(log.warnings),
        log=path,
    )


def _tell_streams(log: SessionLog, session: Session) -> None:
    for name, stream in session.streams.items():
        size = sum(each.stat().st_size for each in stream.files())
        where = ", ".join(str(each) for each in stream.paths)
        log.say(f"stream {name} ({stream.format}): {where}, {readable_bytes(size)}")


def _write_all(
    job: SessionJob, parts: list[Part], digests: dict[Target, InputDigests], log: SessionLog
) -> dict[Path, int]:
    tell = job_progress()
    sizes: dict[Path, int] = {}
    done_before = 0
    ahead = sum(each.size for each in digests.values())
    for target, digest in digests.items():
        ahead -= digest.size
        last = 0

        def progress(done: int, total: int, *, before: int = done_before, ahead: int = ahead) -> None:
            nonlocal last
            last = total
            tell(before + done, before + total + ahead)

        try:
            sizes[target.relative] = _write(job, target, parts, digest, progress, log)
        except OSError as error:
            raise _of_disk(error, job.out_dir, target) from error
        done_before += last
    return sizes


def _of_disk(error: OSError, out_dir: Path, target: Target) -> NwbswitchError:
    """Return the error about what could not be read, or else written."""
    name = error.filename
    if isinstance(name, str) and out_dir not in Path(name).absolute().parents:
        return InputFileError(name, f"cannot be read: {error.strerror}.", "Is its disk still there?")
    return not_written(out_dir / target.relative, error)


def _nwbfile(job: SessionJob, target: Target, parts: list[Part]) -> NWBFile:
    from nwbswitch.converters.epochs import EpochsInterface
    from nwbswitch.converters.session import make_nwbfile
    from nwbswitch.converters.session_streams import add_parts

    study, session = described(job.study, job.session, target)
    nwbfile = make_nwbfile(study, session, stub=job.stub)
    held = [
        each for each in parts if target.content != "raw" or not isinstance(each.interface, EpochsInterface)
    ]
    add_parts(nwbfile, job.session, held, stub=job.stub, content=target.content)
    return nwbfile


def _write(
    job: SessionJob,
    target: Target,
    parts: list[Part],
    digests: InputDigests,
    progress: Report,
    log: SessionLog,
) -> int:
    """Write file and record. The record comes first: a file without one would stop the next run."""
    from nwbswitch.converters.writing.nwb_writer import write_nwb

    nwbfile = _nwbfile(job, target, parts)
    claim = job.claim
    check_sometimes: Callable[[], None] = (lambda: None) if claim is None else claim.checking()

    def report(done: int, total: int) -> None:
        check_sometimes()
        digests.follow(done, total)
        progress(done, total)

    with replaced(job.out_dir / target.relative) as partial:
        with digests:
            written = write_nwb(nwbfile, partial, threads=job.threads, backend=job.backend, progress=report)
            states = digests.states()
        contents = tuple(each.sha256 for each in states)
        identifier = file_identifier(job.study, job.session, target, contents, stub=job.stub)
        set_identifier(partial, identifier, job.backend)
        state = FileState.of(partial, name=target.relative.name)
        if claim is not None:
            claim.check()
        if target.content != "raw" and not job.stub:
            for part in parts:
                if hasattr(part.interface, "place_beside"):
                    part.interface.place_beside(job.out_dir / target.relative)
        facts = stated(job.study, job.session, target, backend=job.backend, stub=job.stub)
        made = ConversionRecord.of(facts, states, state, identifier)
        write_record(record_path(job.out_dir, target.relative), made)
    for each in states:
        log.say(f"input {each.name}, {readable_bytes(each.size)}, SHA-256 {each.sha256 or 'not read'}")
    checked = "read back and found equal" if written.verified else "not read back"
    log.say(
        f"wrote {target.relative.name}, {readable_bytes(state.size)}, SHA-256 {state.sha256}: "
        f"{readable_bytes(written.source_bytes)} of large data in {written.seconds:.1f} s by "
        f"{written.codec}, {job.threads} threads, {checked}"
    )
    for dataset in written.datasets:
        log.say(
            f"  {dataset.name} {dataset.shape} {dataset.dtype}, chunks {dataset.chunks}, "
            f"{readable_bytes(dataset.source_bytes)} as {readable_bytes(dataset.stored_bytes)}"
        )
    return state.size


def set_identifier(path: Path, identifier: str, backend: Backend) -> None:
    """Set the identifier of an NWB file that is written: it depends on the inputs, read meanwhile."""
    if backend == "zarr":
        import zarr

        zarr.open(str(path), mode="r+")["identifier"][...] = identifier
        return
    import h5py

    with h5py.File(path, "r+") as file:
        file["identifier"][()] = identifier


def _remove(job: SessionJob, path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    record_path(job.out_dir, path.relative_to(job.out_dir)).unlink(missing_ok=True)
