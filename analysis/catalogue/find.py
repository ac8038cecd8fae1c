"""Finding recordings by drug in an archive, and whether the switch can be estimated from them."""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from nwbswitch.analysis.access.byte_cache import user_cache
from nwbswitch.analysis.archive import Archive
from nwbswitch.analysis.archive_instances import Instance, instance_of
from nwbswitch.analysis.catalogue.answers import answer
from nwbswitch.analysis.catalogue.archive_rows import instance_row, look_up_names
from nwbswitch.analysis.catalogue.coverage import Coverage
from nwbswitch.analysis.catalogue.filters import Filters, read_filters
from nwbswitch.analysis.catalogue.find_result import FindResult
from nwbswitch.analysis.catalogue.harvest import update_assets, update_dandisets
from nwbswitch.analysis.catalogue.next_steps import next_step
from nwbswitch.analysis.catalogue.recordings import count_files, recordings_of, waiting_files
from nwbswitch.analysis.catalogue.scans import READERS, forget_scans, plan, scan_files, scan_tasks
from nwbswitch.analysis.catalogue.store import Catalogue, default_catalogue, require_catalogue
from nwbswitch.analysis.catalogue.versions import (
    AskedVersion,
    asked_versions,
    count_dandisets,
    count_undescribed,
    known_species,
    listed_at,
    unknown_dandisets,
)
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, UnavailableError
from nwbswitch.schemas.files import replaced, require_writable
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.species import require_species


def find(
    drug: str,
    *,
    species: str | None = None,
    modality: str | None = None,
    region: str | None = None,
    since: str | date | None = None,
    route: str | None = None,
    dose_min: float | None = None,
    dose_max: float | None = None,
    dandisets: str | Sequence[str] = (),
    deep: bool = False,
    limit: int | None = None,
    offline: bool = False,
    dry_run: bool = False,
    rescan: bool = False,
    embargoed: bool = False,
    instance: str = "dandi",
    catalogue: Path | str | None = None,
    out: Path | str | None = None,
    overwrite: bool = False,
    workers: int = 1,
    executor: Executor | None = None,
    quiet: bool = False,
) -> FindResult:
    """Find recordings that hold a drug, and say whether the switch can be estimated from them.

    The archive is asked for what changed since the last time, files that were not read yet are read by
    range requests, and all answers are kept in a local catalogue: the same question again asks for little.

    Parameters
    ----------
    drug
        Name or synonym; a racemate stands for its enantiomers too.
    species
        Latin or common name.
    modality
        ophys, ecephys or behavior.
    region
        Allen acronym or name; what lies within it is found too.
    since
        Files that came into the archive since then: year, month or day.
    route
        Route of administration, e.g. i.p.
    dose_min, dose_max
        Dose in mg/kg as stated.
    dandisets
        Look into these dandisets only, whatever their texts say.
    deep
        Look into the files of dandisets whose texts do not name the drug, too.
    limit
        Read at most so many files in this run.
    offline
        Answer from the catalogue alone.
    dry_run
        Read no file; ``coverage.waiting`` says what reading them will take.
    rescan
        Read files again that were read or refused before.
    embargoed
        Look also into embargoed dandisets that your API key opens.
    instance
        The archive: a name that the dandi client knows, or the address of an API.
    catalogue
        File of the catalogue; default: in the cache folder.
    out
        CSV file to write the recordings to.
    overwrite
        Replace ``out`` when it holds something else.
    workers
        Processes that read files.
    executor
        Any executor, in place of own processes.
    quiet
        Show no progress.

    Raises
    ------
    ValueError
        For a word that is not known.
    InputFileError
        When the archive cannot be asked and the catalogue knows nothing of it, or the catalogue cannot be
        used.
    ExistingOutputError
        When ``out`` holds something else and ``overwrite`` is false.
    MissingExtraError
        dandi is not installed.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit is {limit}, expected a number of files from 0")
    target = _target(out)
    filters = read_filters(
        drug,
        species=species,
        modality=modality,
        region=region,
        since=since,
        route=route,
        dose_min=dose_min,
        dose_max=dose_max,
        dandisets=(dandisets,) if isinstance(dandisets, str) else dandisets,
        embargoed=embargoed,
    )
    where = Path(catalogue) if catalogue is not None else default_catalogue()
    if offline:
        require_catalogue(where)
    archive = instance_of(instance)
    with Catalogue(where) as held:
        look_up_names(held)
        row = instance_row(held, archive)
        issues: list[Issue] = []
        if offline and not listed_at(held, row):
            problem = f"knows nothing of the archive {archive.name} yet."
            raise InputFileError(where, problem, "Run once without --offline.")
        if not offline:
            reading = Reading(limit, dry_run, rescan, workers, executor, quiet)
            issues = _look(held, archive, row, filters, deep=deep, reading=reading)
        with held.reading():
            if filters.species:
                require_species(filters.species, known_species(held))
            issues += unknown_dandisets(held, row, filters)
            result = _answer(held, archive, row, filters, deep=deep, issues=issues, asked=instance)
    return result if target is None else _written(result, target, overwrite=overwrite)


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the archive is asked, and by whom."""

    limit: int | None
    dry_run: bool
    rescan: bool
    workers: int
    executor: Executor | None
    quiet: bool


def _look(
    held: Catalogue, instance: Instance, row: int, filters: Filters, *, deep: bool, reading: Reading
) -> list[Issue]:
    """Ask the archive for what is new and read what has to be read; return what could not be had."""
    with Archive(instance) as archive:
        try:
            listing, issues = update_dandisets(
                held, archive, only=filters.dandisets, embargoed=filters.embargoed, quiet=reading.quiet
            )
        except InputFileError as error:
            when = listed_at(held, row)
            if not when or not isinstance(error, UnavailableError):
                raise
            problem = f"{error.problem} The answer is as of {when[:16].replace('T', ' ')} UTC."
            remedy = f"{error.remedy} With --offline the archive is not asked.".strip()
            return [issue("archive-silent", problem, place=Place(item=instance.api_url), remedy=remedy)]
        candidates = _candidates(asked_versions(held, row, filters), deep=deep)
        rows = [each.row for each in candidates]
        issues += update_assets(held, archive, listing, rows, quiet=reading.quiet)
    if reading.dry_run:
        return issues
    # Its files may name the drug where the texts of the dandiset do not.
    candidates = _candidates(asked_versions(held, row, filters), deep=deep)
    if reading.rescan:
        forget_scans(held, candidates)
    waiting = waiting_files(held, candidates, filters, readers=READERS)
    # An outline that was kept would not be read again.
    cache = None if reading.rescan else user_cache()
    tasks = scan_tasks(waiting, instance, cache=cache)[: reading.limit]
    return issues + scan_files(
        held, tasks, workers=reading.workers, executor=reading.executor, quiet=reading.quiet
    )


def _candidates(versions: Sequence[AskedVersion], *, deep: bool) -> list[AskedVersion]:
    """Return the versions whose files are looked into."""
    return [each for each in versions if each.speaks or deep]


def _answer(
    held: Catalogue,
    instance: Instance,
    row: int,
    filters: Filters,
    *,
    deep: bool,
    issues: Sequence[Issue],
    asked: str,
) -> FindResult:
    versions = asked_versions(held, row, filters)
    candidates = _candidates(versions, deep=deep)
    speaking = [each for each in candidates if each.speaks]
    answers = answer(filters, speaking, recordings_of(held, speaking, filters, readers=READERS))
    counts = count_files(held, candidates, filters, readers=READERS)
    coverage = Coverage(
        archive=instance.api_url,
        listed_at=listed_at(held, row),
        n_dandisets=count_dandisets(held, row),
        n_passing=len({each.dandiset for each in versions}),
        n_looked_into=len({each.dandiset for each in candidates}),
        n_undescribed=count_undescribed(held, row, filters),
        n_unlisted=sum(not each.is_listed for each in candidates),
        n_files=counts.n_files,
        n_read=counts.n_read,
        n_refused=counts.n_refused,
        n_zarr=counts.n_zarr,
        waiting=plan(held, counts.n_files - counts.n_read - counts.n_refused - counts.n_zarr),
        unstated=answers.unstated,
        named_otherwise=answers.named_otherwise,
    )
    steps = tuple(next_step(each, instance=asked) for each in answers.arms)
    return FindResult(filters, answers, coverage, steps, tuple(issues))


def _target(out: Path | str | None) -> Path | None:
    if out is None:
        return None
    target = Path(out)
    if target.suffix.lower() != ".csv":
        raise ValueError(f"out must end in .csv, not {target.name!r}")
    require_writable(target)
    return target


def _written(result: FindResult, target: Path, *, overwrite: bool) -> FindResult:
    """Write the recordings; the same answer again leaves the file as it is."""
    from nwbswitch.analysis.table_file import write_csv

    with replaced(target) as partial:
        write_csv(result.assets, partial)
        if target.exists() and not overwrite and not filecmp.cmp(target, partial, shallow=False):
            raise ExistingOutputError(
                f"{target} holds another answer. Choose another name or give --overwrite; "
                "what was learnt is in the catalogue."
            )
    return replace(result, out=target)
