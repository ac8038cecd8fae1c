"""What is there of a study, as it would be made now or differently, and what is to be written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from nwbswitch.converters.conversion_claim import not_written
from nwbswitch.converters.conversion_files import Backend, Target, inputs, stated, targets
from nwbswitch.converters.conversion_job import PlannedFile, SessionJob
from nwbswitch.converters.conversion_record import (
    RECORDS,
    Comparison,
    ConversionRecord,
    compare,
    read_record,
    record_path,
    settled,
    write_record,
)
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError
from nwbswitch.schemas.jobs import run_jobs
from nwbswitch.schemas.study import Session, Study

# Files with the same difference that are told one by one.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """The jobs of a conversion, in the order of the study.

    ``renewed`` are records whose files were touched, but hold what they held; ``kept`` tells of files that
    even ``overwrite`` does not touch.
    """

    jobs: tuple[SessionJob, ...]
    renewed: tuple[tuple[Path, ConversionRecord], ...]
    kept: tuple[str, ...]

    def check(self, *, overwrite: bool) -> None:
        """Raise unless everything that is there may stay or be replaced.

        Raises
        ------
        ExistingOutputError
            Naming every file that is there and was made differently, and how it differs.
        """
        conflicts = [*self.kept, *(() if overwrite else self._conflicts())]
        if conflicts:
            remedy = (
                "Move these files away."
                if overwrite
                else "Use --overwrite to replace them (others stay as they are), or another output folder."
            )
            raise ExistingOutputError(
                "Outputs are there that were made differently:\n  " + "\n  ".join(conflicts) + f"\n{remedy}"
            )

    def _conflicts(self) -> Iterator[str]:
        by_difference: dict[str, list[Path]] = {}
        for job in self.jobs:
            names = ", ".join(file.target.relative.name for file in job.files)
            for file in job.files:
                if file.replaces:
                    paths = by_difference.setdefault("; ".join(file.replaces), [])
                    paths.append(job.out_dir / file.target.relative)
            yield from (f"{path}: this session is written to {names} now" for path in job.left_over)
        for difference, paths in by_difference.items():
            yield from (f"{path}: {difference}" for path in paths[:_NAMED])
            if len(paths) > _NAMED:
                yield f"and {len(paths) - _NAMED} more files: {difference}"

    def renew(self) -> None:
        """Write the records with the times of now, so that the next run need not read these files again."""
        for path, made in self.renewed:
            try:
                write_record(path, made)
            except OSError as error:
                raise not_written(path, error) from error


@dataclass(frozen=True, slots=True)
class _Touched:
    """A record, and what must be read to tell whether it still holds."""

    relative: Path
    made: ConversionRecord
    comparison: Comparison


def plan_work(
    study: Study,
    sessions: Sequence[Session],
    out_dir: Path,
    *,
    stub: bool,
    backend: Backend,
    threads: int,
    workers: int,
    executor: Executor | None,
) -> WorkPlan:
    """Compare what is there with what would be made; files whose time alone differs are read for that.

    Raises
    ------
    IssuesError
        A session that cannot be archived as it says.
    """
    singles = [study.model_copy(update={"sessions": (each,)}) for each in sessions]
    named = [targets(single, single.sessions[0], backend=backend, stub=stub) for single in singles]
    compared: dict[Path, Comparison | None] = {}
    touched: list[_Touched] = []
    for single, files in zip(singles, named, strict=True):
        for target in files:
            found, made = compare_file(single, target, out_dir, backend=backend, stub=stub)
            compared[target.relative] = found
            if found is not None and made is not None and found.unread:
                touched.append(_Touched(target.relative, made, found))
    renewed = []
    outcomes = run_jobs(
        _settle, touched, label="compare", workers=workers, executor=executor, describe=_describe
    )
    for outcome in outcomes:
        relative = outcome.item.relative
        if outcome.value is None:
            compared[relative] = Comparison((f"it cannot be compared: {outcome.reason}",))
            continue
        made, differences = outcome.value
        compared[relative] = Comparison(differences)
        if not differences:
            renewed.append((record_path(out_dir, relative), made))
    jobs = []
    kept: list[str] = []
    for single, files in zip(singles, named, strict=True):
        planned = []
        for target in files:
            found = compared[target.relative]
            differences = () if found is None else found.differences
            planned.append(PlannedFile(target, found is not None and found.same, differences))
        left = list(_left_over(single.sessions[0], files, out_dir, backend))
        kept += [
            f"{path}: it was changed after it was made, and this session is no longer written to it"
            for path, same in left
            if not same
        ]
        removable = tuple(path for path, same in left if same)
        jobs.append(SessionJob(single, out_dir, tuple(planned), removable, stub, backend, threads))
    return WorkPlan(tuple(jobs), tuple(renewed), tuple(kept))


def compare_file(
    study: Study, target: Target, out_dir: Path, *, backend: Backend, stub: bool
) -> tuple[Comparison | None, ConversionRecord | None]:
    """Return how a file that is there differs from what would be made, without reading content."""
    output = out_dir / target.relative
    if not output.exists():
        return None, None
    made = read_record(record_path(out_dir, target.relative))
    if made is None:
        return Comparison(("nothing tells from what it was made",)), None
    session = study.sessions[0]
    try:
        facts = stated(study, session, target, backend=backend, stub=stub)
        return compare(made, facts, inputs(session, target), output), made
    except (OSError, InputFileError) as error:
        return Comparison((f"its inputs cannot be compared: {error}",)), made


def _settle(one: _Touched) -> tuple[ConversionRecord, tuple[str, ...]]:
    return settled(one.made, one.comparison.unread)


def _describe(one: _Touched) -> str:
    return one.made.output.name


def _left_over(
    session: Session, files: Sequence[Target], out_dir: Path, backend: Backend
) -> Iterator[tuple[Path, bool]]:
    """Yield files of a session that it is no longer written to, and whether they are as they were made."""
    subject = f"sub-{session.subject.subject_id}"
    stem = f"{subject}_ses-{session.session_id}"
    folder = out_dir / RECORDS / subject
    records = [*folder.glob(f"{escape(stem)}.json"), *folder.glob(f"{escape(stem)}_*.json")]
    for path in sorted(records):
        made = read_record(path)
        if made is None or made.output.name.endswith(".zarr") != (backend == "zarr"):
            continue
        relative = Path(subject) / made.output.name
        if relative not in [each.relative for each in files] and (out_dir / relative).exists():
            yield out_dir / relative, made.output.at_a_glance(out_dir / relative) is True
