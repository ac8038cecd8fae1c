"""NWB files checked before they are shared: the schema, nwbinspector as DANDI runs it, and our own rules."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nwbswitch.converters.allowances import allowed_because
from nwbswitch.converters.annotate_target import nwb_version
from nwbswitch.converters.check_record import check_work, may_be_replaced, read_findings, write_findings
from nwbswitch.converters.rules import broken_rules
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, MissingExtraError, UnsafeFileError
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.files import PARTIAL
from nwbswitch.schemas.issues import Issue, Place, Severity, has_errors, issue
from nwbswitch.schemas.jobs import Outcome, run_jobs

_CODES = {
    # nwbinspector's own failure to run a check: its message is a traceback.
    "ERROR": "inspector-advice",
    "PYNWB_VALIDATION": "nwb-invalid",
    "CRITICAL": "inspector-critical",
    "BEST_PRACTICE_VIOLATION": "inspector-advice",
    "BEST_PRACTICE_SUGGESTION": "inspector-suggestion",
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All findings in all files that were checked."""

    files: tuple[Path, ...]
    issues: tuple[Issue, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing of error severity was found."""
        return not has_errors(self.issues)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as plain JSON values."""
        return {
            "ok": self.ok,
            "files": [str(path) for path in self.files],
            "issues": [each.as_dict() for each in self.issues],
        }

    def summary(self) -> str:
        """Return how much of which severity was found."""
        counts = {kind: sum(each.severity is kind for each in self.issues) for kind in Severity}
        found = ", ".join(f"{n} {kind}{'s' * (n != 1)}" for kind, n in counts.items())
        return f"{len(self.files)} file{'s' * (len(self.files) != 1)} checked: {found}"


def check(
    paths: Sequence[Path | str],
    *,
    out: Path | str | None = None,
    workers: int = 1,
    executor: Executor | None = None,
) -> CheckResult:
    """Check NWB files, or all below a folder, and return every finding.

    A file that could harm the reader is refused before anything else opens it. Findings of nwbinspector that
    are known false alarms are notes with the reason.

    Parameters
    ----------
    paths
        Files and folders.
    out
        JSON file for the findings. When it holds those of the same files, by digest, they are not checked
        again.
    workers, executor
        As for `nwbswitch.schemas.jobs.run_jobs`.

    Raises
    ------
    InputFileError
        A path that is not there, or a folder without any NWB file.
    ExistingOutputError
        ``out`` is a file that no check wrote.
    MissingExtraError
        nwbinspector is not installed.
    """
    _require_inspector()
    files = tuple(file for path in paths for file in _files(Path(path)))
    if out is None:
        return CheckResult(files, _findings(files, workers, executor))
    if not may_be_replaced(Path(out)):
        raise ExistingOutputError(f"{out}: is there and holds no findings. Choose another file.")
    work = check_work(files)
    found = read_findings(Path(out), work)
    if found is None:
        found = _findings(files, workers, executor)
        write_findings(Path(out), found, work)
    return CheckResult(files, found)


def _findings(files: Sequence[Path], workers: int, executor: Executor | None) -> tuple[Issue, ...]:
    outcomes = run_jobs(check_file, files, label="check", workers=workers, executor=executor, describe=_name)
    return tuple(found for each in outcomes for found in _found(each))


def check_file(path: Path) -> tuple[Issue, ...]:
    """Return every finding in one file."""
    try:
        with open_hdf5(path) as file:
            nwb_version(file, path)
    except UnsafeFileError as error:
        return (issue("unsafe-file", error.problem, place=Place(path), remedy=error.remedy),)
    except InputFileError as error:
        return (issue("unreadable-file", error.problem, place=Place(path), remedy=error.remedy),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [*_readable(_schema_errors(path)), *_readable(_content_issues(path))]
    return tuple(_at(path, each) for each in dict.fromkeys(found))


def _readable(findings: Iterator[Issue]) -> Iterator[Issue]:
    """Yield findings, the last of them that the file cannot be read: pynwb raises anything on odd files."""
    try:
        yield from findings
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        remedy = "Old or damaged files must be converted again."
        yield issue("unreadable-file", f"pynwb cannot read it: {reason[:400]}", remedy=remedy)


def _name(path: Path) -> str:
    return path.name


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputFileError(path, "there is no such file or folder.", "Check the path.")
    found = sorted(each for each in path.rglob("*.nwb") if not each.name.startswith(PARTIAL))
    if not found:
        raise InputFileError(path, "holds no .nwb files.", "Convert a study first, or name another folder.")
    return found


def _require_inspector() -> None:
    try:
        import nwbinspector  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("nwbinspector", "check") from error


def _found(outcome: Outcome[Path, tuple[Issue, ...]]) -> tuple[Issue, ...]:
    if outcome.error is None:
        return outcome.value or ()
    problem = f"The file cannot be checked: {outcome.reason}"
    return (issue("unreadable-file", problem, place=Place(outcome.item)),)


def _at(path: Path, found: Issue) -> Issue:
    return replace(found, place=replace(found.place, file=path))


def _schema_errors(path: Path) -> Iterator[Issue]:
    import pynwb

    for error in pynwb.validate(path=path):
        problem = f"{error.name}: {error.reason}"
        yield issue("nwb-invalid", problem, place=Place(item=error.location or ""))


def _content_issues(path: Path) -> Iterator[Issue]:
    """Yield what nwbinspector and our rules find; the file is opened once for both."""
    from nwbinspector import Importance, inspect_nwbfile_object, load_config
    from pynwb import NWBHDF5IO

    with NWBHDF5IO(path, "r", load_namespaces=True) as io:
        nwbfile = io.read()
        messages = inspect_nwbfile_object(
            nwbfile_object=nwbfile,
            config=load_config("dandi"),
            importance_threshold=Importance.BEST_PRACTICE_SUGGESTION,
        )
        for message in messages:
            if message is not None:
                yield _inspector_issue(message)
        yield from broken_rules(nwbfile)


def _inspector_issue(message: Any) -> Issue:
    name = message.object_name or ""
    text = message.message.strip().splitlines()[-1] if message.importance.name == "ERROR" else message.message
    reason = allowed_because(message.check_function_name, name, text)
    code = _CODES[message.importance.name]
    if reason and code != "nwb-invalid":
        code = "inspector-allowed"
    return issue(
        code,
        f"{message.check_function_name}: {text}",
        place=Place(item=message.location or name),
        remedy=f"Allowed: {reason}" if code == "inspector-allowed" else "",
    )
