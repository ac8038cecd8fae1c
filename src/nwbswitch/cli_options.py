"""Options that several commands share, and how results are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nwbswitch.schemas.safe_text import safe_text

if TYPE_CHECKING:
    from nwbswitch.schemas.issues import Issue

PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
INPUT = click.Path(path_type=Path, dir_okay=False, exists=True)
OUTPUT = click.Path(path_type=Path, dir_okay=False)

Command = Callable[..., Any]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing output.")
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
_workers_option = click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes for sessions."
)
_scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Use a dask cluster instead: the address of its scheduler, or its scheduler file.",
)


class GroupedCommand(click.Command):
    """A command whose help lists its options under headings.

    Parameters
    ----------
    groups
        Names of the options of each heading.
    """

    def __init__(self, *arguments: Any, groups: Mapping[str, tuple[str, ...]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.groups = groups

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the headings, then what is under none."""
        options = [each for each in self.get_params(context) if isinstance(each, click.Option)]
        left = {each.name: each.get_help_record(context) for each in options}
        for heading, names in self.groups.items():
            records = [record for name in names if (record := left.pop(name, None))]
            with formatter.section(heading):
                formatter.write_dl(records)
        if records := [record for record in left.values() if record]:
            with formatter.section("Help"):
                formatter.write_dl(records)


def parallel(command: Command) -> Command:
    """Give a command ``--workers`` and ``--scheduler``; it gets ``workers`` and ``executor``."""

    @_workers_option
    @_scheduler_option
    @wraps(command)
    def connected_command(*arguments: Any, workers: int, scheduler: str | None, **options: Any) -> Any:
        from nwbswitch.schemas.cluster import connected

        if scheduler is not None and workers > 1:
            raise click.UsageError("Give --workers or --scheduler, not both: the cluster has workers.")
        with connected(scheduler) as executor:
            return command(*arguments, workers=workers, executor=executor, **options)

    return connected_command


@contextmanager
def wrong_argument_is_wrong_usage() -> Iterator[None]:
    """Turn a ValueError of the public function into a usage error."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def emit(value: dict[str, Any], as_json: bool, text: str, issues: Iterable[Issue] = ()) -> None:
    """Print a result as JSON or text, and findings on standard error."""
    report_issues(issues)
    if as_json:
        from nwbswitch.schemas.files import to_json

        text = to_json(value)
    click.echo(safe_text(text))


def report_issues(issues: Iterable[Issue]) -> None:
    """Print findings on standard error; notes that are alike for many files are said once.

    Lines that they propose for a file of overrides follow as one file.
    """
    from nwbswitch.schemas.issues import Severity
    from nwbswitch.schemas.proposals import merged_proposals, without_proposal

    found = list(issues)
    alike: dict[tuple[str, str, str, str], list[Issue]] = {}
    for each in map(without_proposal, found):
        whose = "" if each.severity is Severity.NOTE else str(each.place.file)
        alike.setdefault((each.code, each.message, each.place.item, whose), []).append(each)
    for first, *others in alike.values():
        said, _, lines = str(first).partition("\n")
        more = f" (and {len(others)} more alike)" if others else ""
        say(f"{said}{more}\n{lines}".rstrip("\n"))
    lines = merged_proposals(found)
    if lines:
        say("For a file of overrides (--overrides FILE); complete every FILL IN, drop what you do not need:")
        say(lines)


def say(line: str) -> None:
    """Print a line on standard error."""
    click.echo(safe_text(line), err=True)
