"""One recording session measured: its rows of the cells table, packed with what the whole table needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import TypeAdapter

from nwbswitch.analysis.access.byte_cache import CacheSettings
from nwbswitch.analysis.activity.like_movement import at_like_movement
from nwbswitch.analysis.activity.plane import measure_plane
from nwbswitch.analysis.activity.points import measure_points
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.analysis.clock_tables import doubts, session_frame
from nwbswitch.analysis.reading.outline import Outline, PointKind
from nwbswitch.analysis.reading.recording import Recording, open_recording
from nwbswitch.analysis.session_tables import SessionAbout, about_outline
from nwbswitch.analysis.sources import Source
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.issues import Issue, Place, has_errors, issue
from nwbswitch.schemas.memory_arenas import use_few_arenas
from nwbswitch.schemas.overrides import Overrides

MAX_FALSE_PER_MIN = 0.05
"""Crossings of the mirrored trace per neuron and minute above which a session is reported."""
Modality = Literal["calcium", "spikes", "all"]
POINTS_MODALITY: dict[PointKind, Modality] = {PointKind.SPIKES: "spikes", PointKind.EVENTS: "calcium"}
FACTS_KEY = b"nwbswitch-session"
IDENTITY = ("dataset", "animal", "session")


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What arms, orders and reports need of one session besides its rows."""

    dataset: str
    animal: str
    session: str
    source: str
    n_rows: int
    n_neurons: int
    start_time: datetime
    administrations: tuple[Administration, ...]
    issues: tuple[Issue, ...]
    clocks: tuple[dict[str, str | int | float | None], ...]
    """Rows of `nwbswitch.schemas.clock_table.CLOCKS`; None for NaN."""
    about: SessionAbout

    @property
    def identity(self) -> tuple[str, str, str]:
        """Dataset, animal and session."""
        return self.dataset, self.animal, self.session


_FACTS: TypeAdapter[SessionFacts] = TypeAdapter(SessionFacts)


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A source that holds nothing to measure, and no mistake: raw movies whose companion holds the traces."""

    issues: tuple[Issue, ...]


class RefusedSessionError(IssuesError):
    """A session that cannot be measured, with what its file says of it."""

    def __init__(self, issues: Sequence[Issue], about: SessionAbout) -> None:
        super().__init__(issues)
        self.about = about

    def __reduce__(self) -> Any:
        return type(self), (self.issues, self.about)


@dataclass(frozen=True, slots=True)
class MeasureSession:
    """The job of one source; what it returns is the Parquet file of one session, some 100 kB."""

    recipe: Recipe
    modality: Modality
    overrides: Overrides | None
    cache: CacheSettings | None
    """Of far files."""

    def __call__(self, source: Source) -> bytes | Unmeasured:
        use_few_arenas()
        cache = None if self.cache is None or source.path is not None else self.cache.open()
        with open_recording(source, overrides=self.overrides, cache=cache) as recording:
            found = list(recording.outline.issues)
            if has_errors(found):
                raise RefusedSessionError(found, about_outline(recording.outline))
            if not (recording.outline.planes or recording.outline.points):
                return Unmeasured(tuple(found))
            try:
                rows = _rows(recording, self.recipe, self.modality, found)
            except IssuesError as error:
                raise RefusedSessionError(error.issues, about_outline(recording.outline)) from error
            return _packed(recording, rows, found)


def _rows(recording: Recording, recipe: Recipe, modality: Modality, found: list[Issue]) -> pd.DataFrame:
    outline, name = at_like_movement(recording, recipe), recording.source.name
    windows, arrays = outline.windows, recording.arrays
    tables = []
    if modality in ("calcium", "all"):
        tables += [
            measure_plane(each, windows, arrays, recipe, name=name, issues=found) for each in outline.planes
        ]
    for each in outline.points:
        if modality in (POINTS_MODALITY[each.kind], "all"):
            tables.append(measure_points(each, windows, arrays, recipe, name=name, issues=found))
    rows = pd.concat([table for table in tables if len(table)] or [pd.DataFrame()], ignore_index=True)
    if rows.empty:
        raise IssuesError(
            [*found, issue("no-activity", _why_none(outline, recipe, modality), place=Place(name))]
        )
    _check_false_events(rows, name, found)
    return rows.assign(
        object_path=rows["object_path"].str.removesuffix("/data"),
        dataset=outline.dataset,
        animal=outline.subject.subject_id,
        session=outline.session_id,
        source=name,
        source_digest=recording.source.digest,
        asset_id=recording.source.asset_id,
        source_version=recording.source.version,
        simulated=outline.simulated,
    )


def _why_none(outline: Outline, recipe: Recipe, modality: Modality) -> str:
    """Return why a recording gives no rows."""
    held = {POINTS_MODALITY[each.kind] for each in outline.points}
    held |= {"calcium"} if outline.planes else set()
    if modality != "all" and modality not in held:
        return f"The recording holds {' and '.join(sorted(held))}, and {modality} is asked for."
    longest_s = max((each.stop_s - each.start_s for each in outline.windows), default=0.0)
    if longest_s < recipe.block_s / 2:
        return (
            f"No analysis window is as long as half a block of {recipe.block_s:g} s. Give a smaller block_s."
        )
    return "No accepted neuron could be measured in any analysis window."


def _check_false_events(rows: pd.DataFrame, name: str, found: list[Issue]) -> None:
    traced = rows[rows["modality"] == "calcium"]
    exposure_s = traced["exposure_s"].sum()
    per_min = 60 * traced["n_negative"].sum() / exposure_s if exposure_s else 0.0
    if per_min > MAX_FALSE_PER_MIN:
        problem = f"The mirrored traces cross the level {per_min:.3f} times per neuron and minute."
        remedy = "Look for motion and for neuropil in the traces, or raise threshold_sd."
        found.append(issue("false-events", problem, place=Place(name), remedy=remedy))


def _packed(recording: Recording, rows: pd.DataFrame, found: list[Issue]) -> bytes:
    """Return the rows as a Parquet file, with the facts of the session among its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    outline = recording.outline
    session = {name: str(rows[name].iloc[0]) for name in (*IDENTITY, "source", "source_digest")}
    rates_hz = [plane.clock.rate_hz for plane in outline.planes]
    clocks = session_frame(
        outline.clocks, frame_s=1 / max(rates_hz) if rates_hz else float("nan"), session=session
    )
    found += doubts(clocks)
    neurons = rows[["plane", "neuron"]].drop_duplicates()
    facts = SessionFacts(
        dataset=session["dataset"],
        animal=session["animal"],
        session=session["session"],
        source=session["source"],
        n_rows=len(rows),
        n_neurons=len(neurons),
        start_time=outline.start_time,
        administrations=outline.administrations,
        issues=tuple(found),
        clocks=tuple(json.loads(clocks.to_json(orient="records", double_precision=15))),
        about=replace(about_outline(outline), windows=tuple(rows["window"].unique().tolist())),
    )
    table = pa.Table.from_pandas(rows, preserve_index=False)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), FACTS_KEY: _FACTS.dump_json(facts)}
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())


def read_facts(path: Path) -> SessionFacts:
    """Return the facts of a session that was measured before.

    Raises
    ------
    InputFileError
        If the file is no such session.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
        return _FACTS.validate_json(metadata.get(FACTS_KEY, b""))
    except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
        raise InputFileError(path, f"is no measured session ({str(error)[:200]}).") from error
