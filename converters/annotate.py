"""Drug log, analysis windows, cell types and identities added to NWB files that are already there."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from nwbswitch.converters.annotate_inputs import Inputs, read_inputs
from nwbswitch.converters.annotate_plan import Plan, plan_file
from nwbswitch.converters.annotate_target import read_target
from nwbswitch.schemas.errors import (
    ExistingOutputError,
    InputFileError,
    IssuesError,
    NwbswitchError,
    UnsafeFileError,
)
from nwbswitch.schemas.files import PARTIAL, locked, replaced
from nwbswitch.schemas.issues import Issue, Place, has_errors, issue

if TYPE_CHECKING:
    from nwbswitch.converters.annotate_verify import Health

Status = Literal["annotated", "present", "planned", "failed"]
_SLACK_BYTES = 16 << 20
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class FileAnnotation:
    """What became of one file: its changes in words, and findings about it."""

    path: Path
    status: Status
    changes: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as plain JSON values."""
        return {
            "path": str(self.path),
            "status": self.status,
            "changes": list(self.changes),
            "issues": [each.as_dict() for each in self.issues],
        }


@dataclass(frozen=True, slots=True)
class AnnotateResult:
    """What became of every file, and what was found in the tables that were added."""

    files: tuple[FileAnnotation, ...]
    warnings: tuple[Issue, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no file failed."""
        return all(each.status != "failed" for each in self.files)

    @property
    def issues(self) -> tuple[Issue, ...]:
        """All findings."""
        return (*self.warnings, *(found for each in self.files for found in each.issues))

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "ok": self.ok,
            "files": [each.as_dict() for each in self.files],
            "warnings": [each.as_dict() for each in self.warnings],
        }

    def summary(self) -> str:
        """Return how many files got what, and one line per file that changes."""
        words = {
            "annotated": "annotated",
            "present": "unchanged",
            "planned": "to annotate",
            "failed": "failed",
        }
        counts = {status: sum(each.status == status for each in self.files) for status in words}
        head = ", ".join(f"{count} {words[status]}" for status, count in counts.items() if count)
        lines = [f"{each.path}: {'; '.join(each.changes)}" for each in self.files if each.changes]
        return "\n".join([head or "no files", *lines])


def annotate(
    path: Path | str | Sequence[Path | str],
    *,
    drug_log: Path | str | None = None,
    epochs: Path | str | None = None,
    cell_types: Path | str | BaseModel | None = None,
    tracking: Path | str | BaseModel | None = None,
    plane: str | None = None,
    subject_id: str | None = None,
    session_id: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> AnnotateResult:
    """Add what was given, when it is compared, and which cell is which to NWB files of HDF5.

    Each file is copied beside its name, the copy is edited and checked, and then renamed: whatever happens
    before, the original stays. Recordings are not read or rewritten. A file that holds the same already is
    left as it is, so the same call may be repeated.

    Parameters
    ----------
    path
        One file or several.
    drug_log
        Table of administrations, CSV or Excel; the rows of each file are found by the subject_id and
        session_id that the file states.
    epochs
        Table of analysis windows: window, start_s, stop_s, and perhaps relative_to, subject_id, session_id.
    cell_types, tracking
        A table with a row per ROI, or a YAML file with the keys that a stream of ROIs has in a study file.
    plane
        Plane segmentation whose ROIs are meant, by name; not needed when a file has one.
    subject_id, session_id
        Which rows are meant, for a single file that does not state them.
    overwrite
        Replace what a file holds when it differs.
    dry_run
        Say what would change, and change nothing.

    Raises
    ------
    IssuesError
        Tables with mistakes, all of them at once.
    ExistingOutputError
        A file holds other content and ``overwrite`` is not set; no file was changed.
    ValueError
        Nothing to add, no file, one file twice, or one session for several files.
    """
    paths = [Path(each) for each in ([path] if isinstance(path, str | Path) else path)]
    _check_arguments(paths, (drug_log, epochs, cell_types, tracking), (subject_id, session_id))
    inputs = read_inputs(drug_log=drug_log, epochs=epochs, cell_types=cell_types, tracking=tracking)
    planned = [_planned(each, inputs, plane, subject_id, session_id) for each in paths]
    if not overwrite:
        _refuse_conflicts([plan for plan in planned if isinstance(plan, Plan)])
    files = tuple(
        plan if isinstance(plan, FileAnnotation) else _annotated(plan, dry_run=dry_run) for plan in planned
    )
    return AnnotateResult(files, inputs.warnings)


def _check_arguments(
    paths: Sequence[Path], given: tuple[object, ...], names: tuple[str | None, str | None]
) -> None:
    if not paths:
        raise ValueError("no file is named")
    if all(each is None for each in given):
        raise ValueError("nothing to add: give drug_log, epochs, cell_types or tracking")
    if len({each.absolute() for each in paths}) < len(paths):
        raise ValueError("a file is named twice")
    if len(paths) > 1 and any(names):
        raise ValueError("subject_id and session_id are for one file; the others would get its rows too")


def _planned(
    path: Path, inputs: Inputs, plane: str | None, subject_id: str | None, session_id: str | None
) -> Plan | FileAnnotation:
    try:
        target = read_target(path)
        return plan_file(target, inputs, plane=plane, subject_id=subject_id, session_id=session_id)
    except NwbswitchError as error:
        return _failed(path, error)
    except Exception as error:  # h5py raises anything on odd files
        return _failed(path, _odd(path, error))


def _odd(path: Path, error: Exception) -> NwbswitchError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return InputFileError(path, f"cannot be annotated: {reason}.", "The file is as it was.")


def _failed(path: Path, error: NwbswitchError) -> FileAnnotation:
    if isinstance(error, IssuesError):
        found = tuple(
            each if each.place.file else replace(each, place=replace(each.place, file=path))
            for each in error.issues
        )
    elif isinstance(error, InputFileError):
        code = "unsafe-file" if isinstance(error, UnsafeFileError) else "unreadable-file"
        found = (issue(code, error.problem, place=Place(error.path), remedy=error.remedy),)
    else:
        found = (issue("session-failed", str(error), place=Place(path)),)
    return FileAnnotation(path, "failed", issues=found)


def _refuse_conflicts(plans: Sequence[Plan]) -> None:
    told = [f"{plan.target.path}: holds {', '.join(plan.conflicts)}." for plan in plans if plan.conflicts]
    if told:
        remedy = "Nothing was changed. Set overwrite (--overwrite) to replace it."
        raise ExistingOutputError("\n".join([*told, remedy]))


def _annotated(plan: Plan, *, dry_run: bool) -> FileAnnotation:
    path = plan.target.path
    if not plan.changes:
        return FileAnnotation(path, "present")
    if dry_run:
        return FileAnnotation(path, "planned", plan.changes)
    try:
        found = _write(plan)
    except NwbswitchError as error:
        return _failed(path, error)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        problem = f"cannot be written: {reason}."
        return _failed(path, InputFileError(path, problem, "The file is as it was."))
    except Exception as error:  # h5py and hdmf raise anything on odd files
        return _failed(path, _odd(path, error))
    return FileAnnotation(path, "annotated", plan.changes, tuple(found))


class _BreaksSchemaError(Exception):
    """The copy has schema errors that the original does not have."""

    def __init__(self, errors: list[str]) -> None:
        self.errors = errors
        super().__init__("; ".join(errors))


def _write(plan: Plan) -> list[Issue]:
    """Write the annotated file, and return what is new to say about it.

    Events need a schema of 2.10 or later: the version of the file is raised to the installed one, as pynwb
    does when it appends. Where that makes parts invalid that were valid, the file keeps its version.
    """
    from nwbswitch.converters.annotate_verify import health

    path = plan.target.path
    with _held(path):
        state = _state(path)
        _require_room(path)
        before = health(path, place=path)
        refusals: list[list[str]] = []
        for upgrade in (True, False) if plan.rows is not None else (False, True):
            try:
                found = _write_copy(plan, before, state, upgrade=upgrade)
            except _BreaksSchemaError as error:
                refusals.append(error.errors)
                continue
            kept = plan.rows is not None and not upgrade
            return [*found, *([_kept_version(plan, refusals[0])] if kept else [])]
        raise IssuesError([_refused(plan, refusals[0])])


def _write_copy(plan: Plan, before: Health, state: tuple[int, ...], *, upgrade: bool) -> list[Issue]:
    from nwbswitch.converters.annotate_edit import edit
    from nwbswitch.converters.annotate_verify import compare, health

    path = plan.target.path
    with replaced(path) as partial:
        shutil.copyfile(path, partial)
        shutil.copymode(path, partial)
        edit(partial, plan, when=datetime.now(UTC), upgrade=upgrade)
        compare(path, partial, plan)
        after = health(partial, place=path)
        found = after.new_issues(before)
        wrong = [each for each in found if has_errors([each])]
        if wrong:
            raise IssuesError(wrong)
        errors = after.new_schema_errors(before)
        if errors:
            raise _BreaksSchemaError(errors)
        if _state(path) != state:
            raise InputFileError(path, "was changed by another program meanwhile.", "Try again.")
    return found


def _kept_version(plan: Plan, errors: list[str]) -> Issue:
    message = (
        f"The file keeps its NWB schema version {plan.target.schema_version}, although its drug log is of a "
        f"later one: raised, parts of it would be invalid ({_listed(errors)})."
    )
    return issue("schema-version-kept", message, place=Place(plan.target.path))


def _refused(plan: Plan, errors: list[str]) -> Issue:
    version = plan.target.schema_version
    message = f"Annotated, this file of NWB schema {version} would be invalid: {_listed(errors)}."
    remedy = "Convert the raw data again; the file was not changed."
    return issue("nwb-invalid", message, place=Place(plan.target.path), remedy=remedy)


def _listed(errors: list[str]) -> str:
    more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    return "; ".join(errors[:_SHOWN]) + more


@contextmanager
def _held(path: Path) -> Iterator[None]:
    lock = path.with_name(f".nwbswitch-{path.name}.lock")
    try:
        with locked(lock):
            for leftover in path.parent.glob(f"{PARTIAL}{'[0-9a-f]' * 8}-{glob.escape(path.name)}"):
                leftover.unlink(missing_ok=True)
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except BlockingIOError as error:
        raise InputFileError(path, "is being annotated by another process.", "Wait for it.") from error


def _state(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _require_room(path: Path) -> None:
    needed = path.stat().st_size + _SLACK_BYTES
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        raise InputFileError(path, f"needs {needed} bytes for its copy, but the disk has {free} left.")
