"""Fills the catalogue from an archive: all dandisets first, then the files of some of them.

Every answer is put away as it comes in and asked for again only when the archive says that it changed, so
that a run that was stopped anywhere goes on where it was. Requests are made through the archive's door,
which paces them and tries them again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from nwbswitch.analysis.archive import Archive
from nwbswitch.analysis.archive_connection import AT_ONCE, NotInArchiveError
from nwbswitch.analysis.archive_facts import Dandiset
from nwbswitch.analysis.catalogue.archive_rows import (
    Task,
    instance_row,
    take_assets,
    take_description,
    take_listing,
    undescribed,
)
from nwbswitch.analysis.catalogue.store import Catalogue
from nwbswitch.schemas.errors import InputFileError, UnavailableError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.jobs import Outcome, run_jobs

NWB_GLOB = "*.nwb*"
"""Of the archive's own kind: the star matches anything, slashes too. Takes ``.nwb`` and ``.nwb.zarr``."""
PAGE = 100
"""Dandisets and files per answer."""
MAX_BATCH = 20
"""Versions per line of progress; a run that is killed has to ask for those under way again."""
MAX_SILENCE = 4
"""So many failures in a row, of those that may pass, and nothing more is asked for."""
TRY_AGAIN = "Try again later."

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Listing:
    """What an archive lists."""

    instance: int
    """Row of the archive in the catalogue."""
    dandisets: tuple[Dandiset, ...]


def update_dandisets(
    catalogue: Catalogue,
    archive: Archive,
    *,
    only: Collection[str] = (),
    embargoed: bool = False,
    quiet: bool = False,
) -> tuple[Listing, list[Issue]]:
    """Bring the catalogue's dandisets up to date, and return what is listed and what could not be had.

    Costs one request for each `PAGE` dandisets and one for each version that changed.

    Parameters
    ----------
    catalogue, archive
        Where to and where from.
    only
        Dandisets to describe; all of them when empty.
    embargoed
        List also what is embargoed and open to the user; needs an API key.
    quiet
        Show no progress.

    Raises
    ------
    InputFileError
        When the list of dandisets cannot be had.
    """
    listed = tuple(archive.listed(embargoed=embargoed))
    instance = instance_row(catalogue, archive.instance)
    take_listing(catalogue, instance, listed, embargoed=embargoed)
    asked = [each for each in listed if not only or each.identifier in only]
    tasks = undescribed(catalogue, instance, asked)
    issues = _ask(
        tasks,
        lambda task: archive.described(task.dandiset, task.version),
        lambda task, facts: take_description(catalogue, task, facts),
        label="dandisets",
        quiet=quiet,
    )
    return Listing(instance, listed), issues


def update_assets(
    catalogue: Catalogue, archive: Archive, listing: Listing, versions: Sequence[int], *, quiet: bool = False
) -> list[Issue]:
    """Bring the files of some versions up to date, and return what could not be had.

    Costs two or three requests for each version that changed, and one for each further `PAGE` files of it.

    Parameters
    ----------
    catalogue, archive
        Where to and where from.
    listing
        What the archive lists.
    versions
        Rows of the catalogue's table of versions.
    quiet
        Show no progress.
    """
    tasks = unlisted(catalogue, listing, versions)
    return _ask(
        tasks,
        lambda task: archive.assets(task.dandiset.identifier, task.version.version, glob=NWB_GLOB),
        lambda task, assets: take_assets(catalogue, listing.instance, task, assets),
        label="lists of files",
        quiet=quiet,
    )


def unlisted(catalogue: Catalogue, listing: Listing, versions: Sequence[int]) -> list[Task]:
    """Return those of some versions whose files the catalogue does not have as they are now."""
    rows = catalogue.rows(
        "SELECT identifier, label, version.id FROM version JOIN dandiset ON dandiset.id = version.dandiset "
        "WHERE instance = ? AND listed != modified",
        (listing.instance,),
    )
    wanted = frozenset(versions)
    stale = {(identifier, label): row for identifier, label, row in rows if row in wanted}
    return [
        Task(stale[each.identifier, version.version], each, version)
        for each in listing.dandisets
        for version in (each.published, each.draft)
        if version is not None and (each.identifier, version.version) in stale
    ]


def _ask(
    tasks: Sequence[Task],
    ask: Callable[[Task], Value],
    keep: Callable[[Task, Value], None],
    *,
    label: str,
    quiet: bool,
) -> list[Issue]:
    """Ask the archive about each task, a few at a time, and put answers away as they come in."""
    patience = _Patience()

    def asked(batch: Sequence[Task]) -> list[Outcome[Task, Value]]:
        return [patience.asked(ask, task) for task in batch]

    def receive(outcome: Outcome[Batch, Answers[Value]]) -> Outcome[Batch, Answers[Value]]:
        left: list[Outcome[Task, Value]] = []
        for each in outcome.value or ():
            if each.value is None:
                left.append(each)
            else:
                keep(each.item, each.value)
        return Outcome(outcome.item, left, outcome.error)

    size = min(max(1, len(tasks) // (4 * AT_ONCE)), MAX_BATCH)
    batches = [tuple(tasks[start : start + size]) for start in range(0, len(tasks), size)]
    threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="archive")
    try:
        outcomes = run_jobs(
            asked, batches, label=label, executor=threads, describe=_names, receive=receive, quiet=quiet
        )
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    issues = []
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
        issues += [_trouble(each) for each in outcome.value or () if each.error is not None]
    if patience.n_left:
        problem = f"{patience.n_left} more were not asked for, since the archive does not answer."
        issues.append(issue("archive-unread", problem, place=Place(item=label), remedy=TRY_AGAIN))
    return issues


Batch = tuple[Task, ...]
Answers = list[Outcome[Task, Value]]


class _Patience:
    """Stops asking an archive that has not answered `MAX_SILENCE` times in a row."""

    def __init__(self) -> None:
        self._silence = 0
        self.n_left = 0
        """How many were not asked for."""

    def asked(self, ask: Callable[[Task], Value], task: Task) -> Outcome[Task, Value]:
        if self._silence >= MAX_SILENCE:
            self.n_left += 1
            return Outcome(task)
        try:
            found = Outcome(task, value=ask(task))
        except NotInArchiveError:
            # It was removed since it was listed.
            return Outcome(task)
        except InputFileError as error:
            self._silence += isinstance(error, UnavailableError)
            return Outcome(task, error=error)
        self._silence = 0
        return found


def _names(batch: Batch) -> str:
    return batch[0].name if len(batch) == 1 else f"{batch[0].name} to {batch[-1].name}"


def _trouble(outcome: Outcome[Task, Value]) -> Issue:
    error = outcome.error
    assert isinstance(error, InputFileError)
    place = Place(item=outcome.item.name)
    return issue("archive-unread", error.problem, place=place, remedy=error.remedy)
