"""The exception tree: everything that makes it impossible to go on.

A message says what is wrong, where, what was expected and what to do. A wrong argument of a Python
call is a plain ``ValueError`` or ``TypeError``; problems that can be collected are `Issue` values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nwbswitch.schemas.issues import Issue


class NwbswitchError(Exception):
    """Root of all errors raised on purpose; the command line prints it without a traceback."""

    exit_status = 1


class InputFileError(NwbswitchError):
    """A file that cannot be used. The message begins with its path, or its address."""

    def __init__(self, path: Path | str, problem: str, remedy: str = "") -> None:
        self.path = path if isinstance(path, str) and "://" in path else Path(path)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{path}: {problem}" + (f" {remedy}" if remedy else ""))

    def __reduce__(self) -> tuple[type[InputFileError], tuple[Path | str, str, str]]:
        return type(self), (self.path, self.problem, self.remedy)


class UnavailableError(InputFileError):
    """Something far away that could not be had, or changed meanwhile; another time it may."""


class UnsafeFileError(InputFileError):
    """A file that could run code, read other files or exhaust memory; refused before it is read."""


class IssuesError(NwbswitchError):
    """One or more `Issue` values of error severity, all reported at once."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(str(issue) for issue in self.issues))

    def __reduce__(self) -> tuple[type[IssuesError], tuple[tuple[Issue, ...]]]:
        return type(self), (self.issues,)


class StudyError(IssuesError):
    """A study file with mistakes."""


class TableError(IssuesError):
    """A table whose columns or values do not fit its specification."""


class FormulaError(NwbswitchError):
    """A model formula that cannot be read or does not fit the data."""

    exit_status = 2


class FitError(NwbswitchError):
    """A model that cannot be fitted to these data; the message names the limit."""


class ExistingOutputError(NwbswitchError):
    """An output that is already there and was made differently; nothing was changed."""

    exit_status = 2


class MissingExtraError(NwbswitchError):
    """A package of an optional extra is not installed."""

    exit_status = 2

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"This step needs the package {package}. Install it with: pip install 'nwbswitch[{extra}]'"
        )

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        return type(self), (self.package, self.extra)
