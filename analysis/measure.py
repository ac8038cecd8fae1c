"""The cells table: every accepted neuron of NWB files in every block of every analysis window."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.clock_tables import (
    doubts,
    readable_clocks,
    refuse_other_clocks,
    session_frame,
    write_clocks_file,
)
from nwbswitch.analysis.plane_activity import Recipe, measure_plane
from nwbswitch.analysis.results_folder import CLOCKS_FILE
from nwbswitch.schemas.clock_table import CLOCKS
from nwbswitch.schemas.drug_log import Administration, arm_name, deciding_row
from nwbswitch.schemas.errors import (
    ExistingOutputError,
    InputFileError,
    IssuesError,
    NwbswitchError,
    UnsafeFileError,
)
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.files import replaced, require_writable, sha256_file
from nwbswitch.schemas.issues import Issue, Place, Severity, has_errors, issue
from nwbswitch.schemas.jobs import Outcome, run_jobs
from nwbswitch.schemas.provenance import record, same_work
from nwbswitch.schemas.tables import CELLS

if TYPE_CHECKING:
    from datetime import datetime

METADATA_KEY = b"nwbswitch"
"""Key of our record in the Parquet file's metadata."""
MAX_FALSE_PER_MIN = 0.05
"""Crossings of the mirrored trace per neuron and minute above which a session is reported."""
Sources = Path | str | Sequence[Path | str]


@dataclass(frozen=True, slots=True)
class MeasureResult:
    """The cells table and what was found on the way."""

    cells: pd.DataFrame
    """Columns of `nwbswitch.schemas.tables.CELLS`."""
    issues: tuple[Issue, ...] = ()
    out: Path | None = None
    clocks: pd.DataFrame | None = None
    """Columns of `nwbswitch.schemas.clock_table.CLOCKS`; None when no source holds a clock table."""

    @property
    def ok(self) -> bool:
        """Whether every session could be measured."""
        return not has_errors(self.issues)

    def summary(self) -> str:
        """Return what was measured in one line."""
        animals = ["dataset", "animal"]
        n_animals = len(self.cells[animals].drop_duplicates())
        sessions = self.cells[[*animals, "session"]].drop_duplicates()
        neurons = self.cells[[*animals, "session", "plane", "neuron"]].drop_duplicates()
        where = f" in {self.out}" if self.out else ""
        return (
            f"{len(self.cells)} blocks of {len(neurons)} neurons in {len(sessions)} recording sessions "
            f"of {n_animals} animals (a neuron counts in each session){where}"
        )


@dataclass(frozen=True, slots=True)
class _Input:
    path: Path
    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Session:
    """What one file gave: rows without arm and order, which need the other sessions."""

    rows: pd.DataFrame
    start_time: datetime
    administrations: tuple[Administration, ...]
    issues: tuple[Issue, ...]
    clocks: pd.DataFrame


def measure(
    sources: Sources,
    *,
    out: Path | str | None = None,
    block_s: float = 30.0,
    threshold_sd: float = 3.0,
    neuropil_coefficient: float = 0.7,
    workers: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
) -> MeasureResult:
    """Measure the activity of every accepted neuron, block by block.

    An event is an upward crossing of ``threshold_sd`` times the neuron's noise in its baseline window, see
    `nwbswitch.analysis.events`; without a window ``baseline`` the noise is that of ``pseudo_baseline``.
    Blocks count from the start of their window; one with less than half a block of valid frames is left
    out, others keep their exposure. A session that cannot be measured is reported and does not stop the
    others. What sources say of their clocks is gathered in ``clock_alignment.csv`` beside ``out``.

    Parameters
    ----------
    sources
        NWB files, or folders that hold them at any depth.
    out
        Parquet file to write, with parameters and provenance in its metadata.
    block_s
        Length of a block, s.
    threshold_sd
        Level of an event in standard deviations of the baseline noise.
    neuropil_coefficient
        Share of the neuropil's fluctuation that is subtracted; not used where a file holds dF/F only.
    workers
        Processes.
    executor
        Any executor, in place of own processes.
    overwrite
        Replace ``out`` if it was made from other inputs or parameters.

    Raises
    ------
    ExistingOutputError
        If ``out``, or the table of clocks beside it, holds other work and ``overwrite`` is false.
    IssuesError
        If no session at all could be measured.
    InputFileError
        If ``sources`` name no NWB file.
    """
    recipe = Recipe(block_s, threshold_sd, neuropil_coefficient)
    target = _target(out)
    inputs = _inputs(sources)
    work = record(
        command="measure",
        parameters={
            "block_s": block_s,
            "threshold_sd": threshold_sd,
            "neuropil_coefficient": neuropil_coefficient,
        },
        inputs={each.name: each.digest for each in inputs},
        seed=None,
    )
    if target is not None and target.exists() and not overwrite:
        return _finished(target, work)
    if target is not None:
        require_writable(target)
        if not overwrite:
            refuse_other_clocks(target.parent, [each.digest for each in inputs])
    outcomes = run_jobs(
        _MeasureSession(recipe),
        inputs,
        label="measure",
        workers=workers,
        executor=executor,
        describe=lambda each: each.name,
    )
    sessions, issues = _sorted_out(outcomes)
    if not sessions:
        raise IssuesError(issues)
    cells = CELLS.checked(_with_arm_and_order(sessions))
    clocks = _gathered(session.clocks for session in sessions)
    if target is not None:
        _write(target, cells, issues, clocks, work)
    return MeasureResult(cells, tuple(issues), target, clocks)


@dataclass(frozen=True, slots=True)
class _RawFile:
    """A file of raw movies, whose companion holds what is measured."""

    issues: tuple[Issue, ...]


@dataclass(frozen=True, slots=True)
class _MeasureSession:
    recipe: Recipe

    def __call__(self, source: _Input) -> _Session | _RawFile:
        try:
            return self._measured(source)
        except IssuesError as error:
            if [each.code for each in error.issues] == ["raw-file"]:
                return _RawFile(tuple(error.issues))
            raise

    def _measured(self, source: _Input) -> _Session:
        from nwbswitch.analysis.load import open_recording

        with open_recording(source.path, digest=source.digest) as recording:
            issues = list(recording.issues)
            tables = [measure_plane(recording, plane, self.recipe, issues) for plane in recording.planes]
            rows = pd.concat(tables, ignore_index=True)
            if rows.empty:
                problem = "No accepted neuron has valid frames in any analysis window."
                raise IssuesError([issue("no-activity", problem, place=Place(source.path))])
            _check_false_events(rows, source.path, issues)
            frame_s = min(1 / plane.rate_hz for plane in recording.planes)
        with open_hdf5(source.path) as nwb:
            qualities = readable_clocks(nwb, str(source.path), issues)
        clocks = session_frame(
            qualities,
            frame_s=frame_s,
            session={name: str(rows[name].iloc[0]) for name in _SESSION},
        )
        issues += doubts(clocks)
        return _Session(rows, recording.start_time, recording.administrations, tuple(issues), clocks)


_SESSION = ("dataset", "animal", "session", "source", "source_digest")


def _gathered(tables: Iterable[pd.DataFrame]) -> pd.DataFrame | None:
    """Return the clocks of all sessions, or None where no session says anything of them."""
    known = [table for table in tables if len(table)]
    return pd.concat(known, ignore_index=True) if known else None


def _check_false_events(rows: pd.DataFrame, path: Path, issues: list[Issue]) -> None:
    per_min = 60 * rows["n_negative"].sum() / rows["exposure_s"].sum()
    if per_min > MAX_FALSE_PER_MIN:
        problem = f"The mirrored traces cross the level {per_min:.3f} times per neuron and minute."
        remedy = "Look for motion and for neuropil in the traces, or raise threshold_sd."
        issues.append(issue("false-events", problem, place=Place(path), remedy=remedy))


def _target(out: Path | str | None) -> Path | None:
    if out is None:
        return None
    target = Path(out)
    if target.suffix.lower() != ".parquet":
        raise ValueError(f"out must end in .parquet, not {target.name!r}")
    return target


def _inputs(sources: Sources) -> list[_Input]:
    """Return every NWB file once, named relative to the folder it was found in."""
    given = [sources] if isinstance(sources, Path | str) else list(sources)
    found: dict[Path, tuple[Path, str]] = {}
    for source in map(Path, given):
        if source.is_dir():
            files = [path for path in sorted(source.rglob("*.nwb")) if not path.name.startswith(".")]
            if not files:
                raise InputFileError(source, "holds no NWB file.", "Convert a study into it first.")
            for path in files:
                found.setdefault(path.resolve(), (path, path.relative_to(source).as_posix()))
        elif source.exists():
            found.setdefault(source.resolve(), (source, source.name))
        else:
            raise InputFileError(source, "is not there.", "Give NWB files or folders that hold them.")
    if not found:
        raise InputFileError(Path(), "no source was given.", "Give NWB files or folders that hold them.")
    names = [name for _, name in found.values()]
    return [
        _Input(path, name if names.count(name) == 1 else path.as_posix(), sha256_file(path))
        for path, name in found.values()
    ]


def _sorted_out(
    outcomes: Sequence[Outcome[_Input, _Session | _RawFile]],
) -> tuple[list[_Session], list[Issue]]:
    """Return the sessions that could be measured, each recording once, and every finding."""
    sessions: list[_Session] = []
    issues: list[Issue] = []
    seen: dict[tuple[str, str, str], str] = {}
    for outcome in outcomes:
        session = outcome.value
        if session is None:
            issues += _reasons(outcome)
            continue
        if isinstance(session, _RawFile):
            issues += session.issues
            continue
        first = session.rows.iloc[0]
        key = (str(first["dataset"]), str(first["animal"]), str(first["session"]))
        if key in seen:
            problem = f"Session {'/'.join(key)} was measured from {seen[key]} already."
            place, remedy = Place(outcome.item.path), "Give one file per recording session."
            issues.append(issue("duplicate-id", problem, place=place, remedy=remedy))
            continue
        seen[key] = outcome.item.name
        sessions.append(session)
        issues += session.issues
    return sessions, issues


def _reasons(outcome: Outcome[_Input, _Session | _RawFile]) -> list[Issue]:
    """Return why a session could not be measured; an error that is no fault of the file is raised."""
    error, place = outcome.error, Place(outcome.item.path)
    match error:
        case IssuesError():
            return list(error.issues)
        case UnsafeFileError():
            return [issue("unsafe-file", error.problem, place=place, remedy=error.remedy)]
        case InputFileError():
            return [issue("unreadable-file", error.problem, place=place, remedy=error.remedy)]
        case NwbswitchError() | OSError():
            return [issue("unreadable-file", outcome.reason, place=place)]
        case None:
            return []
    raise error


def _with_arm_and_order(sessions: Sequence[_Session]) -> pd.DataFrame:
    """Return all rows with the arm (with its dose where a dataset has several) and the order of sessions."""
    doses: dict[tuple[str, str], set[float | None]] = {}
    starts: dict[tuple[str, str], list[datetime]] = {}
    for session in sessions:
        first = session.rows.iloc[0]
        starts.setdefault((first["dataset"], first["animal"]), []).append(session.start_time)
        row = deciding_row(session.administrations)
        if row is not None:
            doses.setdefault((first["dataset"], row.substance.lower()), set()).add(row.dose)
    tables = []
    for session in sessions:
        first = session.rows.iloc[0]
        row = deciding_row(session.administrations)
        several = row is not None and len(doses[first["dataset"], row.substance.lower()]) > 1
        earlier = [start < session.start_time for start in starts[first["dataset"], first["animal"]]]
        arm = arm_name(session.administrations, with_dose=several)
        tables.append(session.rows.assign(arm=arm, order=1 + int(np.sum(earlier))))
    return pd.concat(tables, ignore_index=True)


def _write(
    target: Path,
    cells: pd.DataFrame,
    issues: Sequence[Issue],
    clocks: pd.DataFrame | None,
    work: dict[str, Any],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(cells, preserve_index=False)
    ours: dict[str, Any] = {"provenance": work, "issues": [each.as_dict() for each in issues]}
    if clocks is not None:
        ours["clocks"] = json.loads(clocks.to_json(orient="records", double_precision=15))
    metadata = {**(table.schema.metadata or {}), METADATA_KEY: json.dumps(ours).encode()}
    with replaced(target) as partial:
        pq.write_table(table.replace_schema_metadata(metadata), partial, compression="zstd")
    write_clocks_file(clocks, target.parent)


def _finished(target: Path, work: dict[str, Any]) -> MeasureResult:
    """Return the table that is there if it came from the same work.

    Raises
    ------
    ExistingOutputError
        If it did not.
    """
    from nwbswitch.analysis.table_file import read_table

    ours = read_record(target)
    if not same_work(ours.get("provenance", {}), work):
        raise ExistingOutputError(
            f"{target} was made from other inputs or parameters. Choose another name or give --overwrite."
        )
    issues = tuple(_issue(each) for each in ours.get("issues", []))
    held = ours.get("clocks")
    clocks = CLOCKS.checked(pd.DataFrame(held), file=target) if held else None
    if clocks is not None and not (target.parent / CLOCKS_FILE).exists():
        write_clocks_file(clocks, target.parent)
    return MeasureResult(CELLS.checked(read_table(target), file=target), issues, target, clocks)


def read_record(path: Path | str) -> dict[str, Any]:
    """Return what a cells file says of its making: ``provenance`` and ``issues``, or nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        value = json.loads(metadata.get(METADATA_KEY, b"{}"))
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise InputFileError(path, f"is no Parquet file of ours ({str(error)[:200]}).") from error
    return value if isinstance(value, dict) else {}


def _issue(stored: dict[str, Any]) -> Issue:
    file = stored.get("file")
    place = Place(Path(file) if file else None, stored.get("line"), stored.get("item", ""))
    severity = Severity(stored["severity"])
    return Issue(stored["code"], severity, stored["message"], place, stored.get("remedy", ""))
