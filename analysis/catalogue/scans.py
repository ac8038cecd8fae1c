"""Reading the files themselves, each once, and what came of it in the catalogue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from nwbswitch.analysis.access.byte_cache import CacheSettings
from nwbswitch.analysis.archive_instances import Instance
from nwbswitch.analysis.catalogue.archive_rows import moment
from nwbswitch.analysis.catalogue.facts import FACTS, FACTS_VERSION
from nwbswitch.analysis.catalogue.file_scan import Scanned, Task, read_file
from nwbswitch.analysis.catalogue.recordings import Waiting
from nwbswitch.analysis.catalogue.store import Catalogue
from nwbswitch.analysis.catalogue.versions import AskedVersion
from nwbswitch.analysis.reading.outline import OUTLINE_VERSION
from nwbswitch.analysis.sources import asset_source
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.jobs import Outcome, run_jobs
from nwbswitch.schemas.version import __version__

READER = f"{OUTLINE_VERSION}.{FACTS_VERSION}"
"""Version of what reads files; what another version read is read again."""
REFUSER = f"{READER} of {__version__}"
"""The same of what refuses them: another nwbswitch may read what this one cannot."""
READERS = (READER, REFUSER)
MAX_FAILURES = 10
USUAL_REQUESTS = 12
USUAL_BYTES = 2 << 20
"""What reading a file takes before any was read: of NWB files of 300 ROIs, 11 requests."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What reading some files will take, as far as can be told from those that were read."""

    n_files: int
    n_requests: int
    n_bytes: int


def scan_tasks(
    waiting: Sequence[Waiting], instance: Instance, *, cache: CacheSettings | None = None
) -> list[Task]:
    """Return what has to be read; a content that several dandisets hold under one path is read once."""
    tasks: dict[tuple[str, str], Task] = {}
    for each in waiting:
        key = (each.content, each.asset.path)
        tasks.setdefault(key, Task(*key, asset_source(each.asset, instance), cache))
    return list(tasks.values())


def plan(catalogue: Catalogue, n_files: int) -> Plan:
    """Return what reading so many files will take: the median of those that were read."""
    rows = catalogue.rows(
        "SELECT n_requests, n_bytes FROM scan WHERE refused = '' AND n_requests ORDER BY id DESC LIMIT 1000"
    )
    requests = median(row[0] for row in rows) if rows else USUAL_REQUESTS
    n_bytes = median(row[1] for row in rows) if rows else USUAL_BYTES
    return Plan(n_files, round(n_files * requests), round(n_files * n_bytes))


def scan_files(
    catalogue: Catalogue,
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    quiet: bool = False,
) -> list[Issue]:
    """Read files, keep what they tell, and return what could not be had for now.

    A file that is refused for what it holds is not tried again; one that could not be had is. After
    `MAX_FAILURES` of the latter in a row the others are left for another time.
    """
    issues: list[Issue] = []
    n_done = n_failures = 0

    def receive(outcome: Outcome[Task, Scanned]) -> Outcome[Task, Scanned]:
        nonlocal n_done, n_failures
        n_done += 1
        n_failures = 0 if outcome.value is not None else n_failures + 1
        if outcome.value is not None:
            _take_scan(catalogue, outcome.item, outcome.value)
            return Outcome(outcome.item)
        issues.append(_trouble(outcome))
        if n_failures >= MAX_FAILURES:
            raise _GivenUpError
        return outcome

    try:
        run_jobs(
            read_file,
            tasks,
            label="read",
            workers=workers,
            executor=executor,
            describe=_name,
            receive=receive,
            quiet=quiet,
        )
    except _GivenUpError:
        problem = (
            f"{len(tasks) - n_done} more files were not read, since the last {n_failures} could not be had."
        )
        issues.append(issue("archive-unread", problem, remedy="Try again later."))
    return issues


class _GivenUpError(Exception):
    """Ends the loop over files."""


def _take_scan(catalogue: Catalogue, task: Task, scanned: Scanned) -> None:
    facts = scanned.facts
    with catalogue.writing() as connection:
        connection.execute("DELETE FROM scan WHERE content = ? AND path = ?", (task.content, task.path))
        row = connection.execute(
            "INSERT INTO scan (content, path, reader, refused, scanned_at, n_requests, n_bytes, facts) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
            (
                task.content,
                task.path,
                REFUSER if facts is None else READER,
                scanned.refused,
                moment(datetime.now(UTC)),
                scanned.n_requests,
                scanned.n_bytes,
                FACTS.dump_json(facts).decode() if facts is not None else "",
            ),
        ).fetchone()[0]
        connection.executemany(
            "INSERT INTO substance (name, scan) VALUES (?, ?)",
            [(name, row) for name in facts.substances] if facts is not None else [],
        )


def forget_scans(catalogue: Catalogue, versions: Sequence[AskedVersion]) -> None:
    """Forget what came of reading the files of versions, so that they are read again."""
    with catalogue.writing() as connection:
        connection.execute(
            "DELETE FROM scan WHERE (content, path) IN (SELECT asset.content, asset.path FROM asset "
            "JOIN membership ON membership.asset = asset.id "
            "WHERE membership.version IN (SELECT value FROM json_each(?)))",
            (json.dumps([each.row for each in versions]),),
        )


def _trouble(outcome: Outcome[Task, Scanned]) -> Issue:
    """Return why a file could not be had; whatever one of them holds, the others are read."""
    error = outcome.error
    problem, remedy = outcome.reason, ""
    if isinstance(error, InputFileError):
        problem, remedy = error.problem, error.remedy
    return issue("archive-unread", problem, place=Place(outcome.item.source.name), remedy=remedy)


def _name(task: Task) -> str:
    return task.source.name
