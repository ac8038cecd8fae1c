"""The cells table: every accepted neuron of NWB recordings, near or far, in every block of every window."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from nwbswitch.analysis.access.byte_cache import CacheSettings, user_cache
from nwbswitch.analysis.activity.recipe import CalciumModel, Recipe
from nwbswitch.analysis.cells_file import (
    PARTS_SUFFIX,
    Parts,
    one_of_each,
    read_record,
    session_tables,
    stored_issues,
    write_cells,
)
from nwbswitch.analysis.clock_tables import refuse_other_clocks, write_clocks_file
from nwbswitch.analysis.left_out import (
    LeftOut,
    all_sessions,
    arms_of_all,
    reasons_of,
    refused_session,
    repeated_sessions,
)
from nwbswitch.analysis.measure_result import Counts, MeasureResult
from nwbswitch.analysis.runs.results_folder import CLOCKS_FILE
from nwbswitch.analysis.session_cells import MeasureSession, Modality, SessionFacts, Unmeasured
from nwbswitch.analysis.session_tables import refuse_other_sessions, write_sessions_file
from nwbswitch.analysis.sources import Source, find_sources, with_digest
from nwbswitch.schemas.clock_table import CLOCKS
from nwbswitch.schemas.errors import (
    ExistingOutputError,
    InputFileError,
    IssuesError,
    UnavailableError,
)
from nwbswitch.schemas.files import require_writable
from nwbswitch.schemas.issues import Issue
from nwbswitch.schemas.jobs import Outcome, run_jobs
from nwbswitch.schemas.overrides import Overrides, load_overrides
from nwbswitch.schemas.provenance import record, same_work
from nwbswitch.schemas.result_tables import SESSIONS, SESSIONS_FILE
from nwbswitch.schemas.safe_text import safe_line

__all__ = ["MeasureResult", "measure", "read_record"]

AT_ONCE = 8
"""Sources whose digests are found out at the same time."""
QUIET_BYTES = 10 << 30
"""Files of less than this together are read so soon that nobody needs to be told."""
Sources = Path | str | Sequence[Path | str]


def measure(
    sources: Sources,
    *,
    out: Path | str | None = None,
    block_s: float = 30.0,
    threshold_sd: float = 3.0,
    neuropil_coefficient: float | Literal["fit"] = 0.7,
    events: Literal["crossing", "deconvolution"] = "crossing",
    decay_s: float | None = None,
    spikes: Literal["counted", "as_calcium"] = "counted",
    calcium: CalciumModel | None = None,
    max_shift_um: float = 5.0,
    frames: Literal["all", "still", "matched"] = "all",
    modality: Modality = "all",
    overrides: Overrides | Path | str | None = None,
    instance: str = "dandi",
    cache: CacheSettings | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
) -> MeasureResult:
    """Measure the activity of every accepted neuron, block by block.

    An event is an upward crossing of ``threshold_sd`` times the neuron's noise in its baseline window, see
    `nwbswitch.analysis.activity`; without a window ``baseline`` the noise is that of ``pseudo_baseline``.
    Blocks count from the start of their window; one with less than half a block of valid frames is left
    out, others keep their exposure. A session that cannot be measured is reported and does not stop the
    others. What sources say of their clocks is gathered in ``clock_alignment.csv`` beside ``out``; what
    was given to whom and when, with the sessions that could not be measured, in ``sessions.csv``.

    One session at a time is in memory. Sessions that are done wait in ``<out>.parts``, where the same
    command finds them after an interruption; the folder goes when the table is written. Where far files
    could not be had, the table holds the others, and the same command tries those again.

    Parameters
    ----------
    sources
        Files, folders at any depth, globs, ``dandi:ID[@version][/path]`` and URLs, see
        `nwbswitch.analysis.sources.find_sources`.
    out
        Parquet file to write, with parameters and provenance in its metadata.
    block_s
        Length of a block, s.
    threshold_sd
        Level of an event in standard deviations of the baseline noise.
    neuropil_coefficient
        Share of the neuropil's fluctuation that is subtracted, or ``fit``; not used where a file holds dF/F
        only, or says that it is subtracted already.
    events
        Whether events are crossings of the level, or jumps of deconvolved traces.
    decay_s
        Decay constant for deconvolution, s; by default that of the indicator that the file states.
    spikes
        Whether spikes count as they are, or as what calcium imaging would have shown of them.
    calcium
        The imaging that ``as_calcium`` stands for; by default GCaMP6s under a resonant scanner.
    max_shift_um
        Frames that motion correction moved further than this are left out, um.
    frames
        ``all`` valid frames, ``still`` ones, or those ``matched`` for movement between the windows; see
        `nwbswitch.analysis.activity.movement_frames`. Recordings without a speed are then refused.
    modality
        ``calcium``, ``spikes``, or ``all`` that a recording holds.
    overrides
        What files leave open, such as windows or drugs: see `nwbswitch.schemas.overrides`.
    instance
        Archive that ``dandi:`` means: a name that the DANDI client knows, or the URL of its API.
    cache
        Where bytes of far files are kept; by default in the user's cache folder.
    workers
        Processes. For far files more than there are cores pays, since they wait for the network.
    executor
        Any executor, in place of own processes.
    overwrite
        Replace ``out`` if it was made from other inputs or parameters.

    Raises
    ------
    ExistingOutputError
        If ``out``, or a table beside it, holds other work and ``overwrite`` is false.
    IssuesError
        If no session at all could be measured.
    ValueError
        For a choice that is not known, and a number out of its range.
    InputFileError
        If ``sources`` name no NWB file, or an override is not as it must be.
    """
    recipe = Recipe(
        block_s=block_s,
        threshold_sd=threshold_sd,
        neuropil_coefficient=neuropil_coefficient,
        events=events,
        decay_s=decay_s,
        spikes=spikes,
        calcium=calcium or CalciumModel(),
        max_shift_um=max_shift_um,
        frames=frames,
    )
    if modality not in get_args(Modality):
        raise ValueError(f"modality must be {', '.join(get_args(Modality))}, not {modality!r}")
    target = _target(out)
    settled = load_overrides(overrides) if isinstance(overrides, Path | str) else overrides
    inputs = _identified(find_sources(sources, instance=instance))
    names = _short_names(inputs)
    stated = {each.name: settled.for_source(each.name).digest for each in inputs} if settled else {}
    work = record(
        command="measure",
        parameters={
            **recipe.as_dict(),
            "modality": modality,
            "overrides": {names[name]: digest for name, digest in stated.items()},
        },
        inputs={names[each.name]: each.digest for each in inputs},
        seed=None,
    )
    if target is not None and target.exists() and not overwrite:
        finished = _finished(target, work)
        if finished is not None:
            return finished
    if target is not None:
        require_writable(target)
        if not overwrite:
            digests = [each.digest for each in inputs]
            refuse_other_clocks(target.parent, digests)
            refuse_other_sessions(target.parent, digests)
    with _parts(target, work, stated) as parts:
        done = {each: parts.facts(each) for each in inputs}
        outcomes = run_jobs(
            MeasureSession(recipe, modality, settled, cache or user_cache()),
            [each for each in inputs if done[each] is None],
            label="measure",
            workers=workers,
            executor=executor,
            describe=lambda each: each.name,
            receive=lambda outcome: _put_away(outcome, parts),
        )
        measured, left_out, issues = _sorted_out(inputs, outcomes, parts)
        if settled is not None:
            issues += [*settled.warnings, *settled.unmatched(each.name for each in inputs)]
        if not measured:
            raise IssuesError(issues)
        unfinished = [
            names[each.item.name]
            for each in outcomes
            if each.error is not None and _may_come_yet(each.item, each.error)
        ]
        about = {"provenance": work, "unfinished": unfinished}
        return _joined(parts, measured, left_out, issues, target, about)


def _identified(sources: Sequence[Source]) -> list[Source]:
    """Return the sources with their digests; one that cannot be had is found out when it is measured."""
    large = sum(each.size or 0 for each in sources if not each.digest) > QUIET_BYTES
    with ThreadPoolExecutor(AT_ONCE) as executor:
        outcomes = run_jobs(
            with_digest,
            sources,
            label="identify",
            executor=executor,
            describe=lambda each: each.name,
            quiet=not large,
        )
    return [outcome.value or outcome.item for outcome in outcomes]


def _short_names(inputs: Sequence[Source]) -> dict[str, str]:
    """Return each name relative to the folder that holds all files, so that the folder may be moved."""
    paths = {each.name: each.path.absolute() for each in inputs if each.path is not None}
    shared = os.path.commonpath([path.parent for path in paths.values()]) if paths else ""
    far = {each.name: each.name for each in inputs if each.path is None}
    near = {name: safe_line(path.relative_to(shared).as_posix()) for name, path in paths.items()}
    return far | near


def _target(out: Path | str | None) -> Path | None:
    if out is None:
        return None
    target = Path(out)
    if target.suffix.lower() != ".parquet":
        raise ValueError(f"out must end in .parquet, not {target.name!r}")
    return target


@contextmanager
def _parts(target: Path | None, work: dict[str, Any], stated: dict[str, str]) -> Iterator[Parts]:
    """Yield the folder of measured sessions; it stays when the work is interrupted."""
    recipe = {name: value for name, value in work["parameters"].items() if name != "overrides"}
    known = json.dumps([recipe, work["nwbswitch"]], sort_keys=True)
    if target is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Parts(Path(temporary), known, stated)
        return
    parts = Parts(target.with_name(target.name + PARTS_SUFFIX), known, stated)
    with parts.held():
        yield parts
        if not read_record(target).get("unfinished"):
            parts.remove()


_Job = Outcome[Source, bytes | Unmeasured]


def _put_away(outcome: _Job, parts: Parts) -> _Job:
    if isinstance(outcome.value, bytes):
        parts.put(outcome.item, outcome.value)
        return Outcome(outcome.item)
    return outcome


def _sorted_out(
    inputs: Sequence[Source], outcomes: Sequence[_Job], parts: Parts
) -> tuple[list[tuple[Source, SessionFacts]], list[LeftOut], list[Issue]]:
    """Return the sessions that could be measured, each once, the others, and every finding, in order."""
    by_source = {outcome.item: outcome for outcome in outcomes}
    measured: list[tuple[Source, SessionFacts]] = []
    left_out: list[LeftOut] = []
    issues: list[Issue] = []
    for source in inputs:
        outcome = by_source.get(source)
        if outcome is not None and outcome.error is not None:
            reasons = reasons_of(source, outcome.error, outcome.reason)
            issues += reasons
            left_out.append(refused_session(source, outcome.error, reasons))
        elif outcome is not None and isinstance(outcome.value, Unmeasured):
            issues += outcome.value.issues
        else:
            facts = parts.facts(source)
            if facts is None:
                problem = "what was measured of it went away before it was joined with the rest."
                raise InputFileError(source.name, problem, "Run the same command again.")
            measured.append((source, facts))
            issues += facts.issues
    kept, twice = one_of_each(measured)
    return kept, [*left_out, *repeated_sessions(measured, kept, twice)], [*issues, *twice]


def _may_come_yet(source: Source, error: Exception) -> bool:
    """Return whether a source could not be had from afar, which another day may mend."""
    if source.path is not None or source.is_zarr:
        return False
    return not source.digest or isinstance(error, UnavailableError)


def _joined(
    parts: Parts,
    measured: Sequence[tuple[Source, SessionFacts]],
    left_out: Sequence[LeftOut],
    issues: Sequence[Issue],
    target: Path | None,
    about: dict[str, Any],
) -> MeasureResult:
    facts = [each for _, each in measured]
    counts = Counts(
        sum(each.n_rows for each in facts),
        sum(each.n_neurons for each in facts),
        len(facts),
        len({(each.dataset, each.animal) for each in facts}),
    )
    clocks = _clocks(row for each in facts for row in each.clocks)
    given = arms_of_all(measured, left_out)
    sessions = all_sessions(measured, left_out, given)
    tables = session_tables(parts, measured, given[0])
    if target is None:
        held = pd.concat(list(tables), ignore_index=True)
        return MeasureResult(tuple(issues), None, clocks, counts, held, sessions)
    ours: dict[str, Any] = {
        **about,
        "issues": [each.as_dict() for each in issues],
        "counts": asdict(counts),
    }
    if clocks is not None:
        ours["clocks"] = json.loads(clocks.to_json(orient="records", double_precision=15))
    if sessions is not None:
        ours["sessions"] = json.loads(sessions.to_json(orient="records", double_precision=15))
    write_cells(target, tables, ours)
    write_clocks_file(clocks, target.parent)
    write_sessions_file(sessions, target.parent)
    return MeasureResult(tuple(issues), target, clocks, counts, None, sessions)


def _clocks(rows: Iterable[dict[str, Any]]) -> pd.DataFrame | None:
    """Return the clocks of all sessions, or None where no session says anything of them."""
    known = list(rows)
    return CLOCKS.checked(pd.DataFrame(known)) if known else None


def _finished(target: Path, work: dict[str, Any]) -> MeasureResult | None:
    """Return the table that is there if it came from the same work; None if it lacks far sources.

    Raises
    ------
    ExistingOutputError
        If it did not.
    InputFileError
        If what it says of its making is damaged.
    """
    ours = read_record(target)
    try:
        return _found_done(target, work, ours)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        problem = "is a cells table whose record of its making is damaged."
        raise InputFileError(target, problem, "Choose another name or give --overwrite.") from error


def _found_done(target: Path, work: dict[str, Any], ours: dict[str, Any]) -> MeasureResult | None:
    lacking = set(ours.get("unfinished", []))
    if not same_work(_without(ours.get("provenance", {}), lacking), _without(work, lacking)):
        raise ExistingOutputError(
            f"{target} was made from other inputs or parameters. Choose another name or give --overwrite."
        )
    if lacking:
        return None
    held = ours.get("clocks")
    clocks = CLOCKS.checked(pd.DataFrame(held), file=target) if held else None
    if clocks is not None and not (target.parent / CLOCKS_FILE).exists():
        write_clocks_file(clocks, target.parent)
    rows = ours.get("sessions")
    sessions = SESSIONS.checked(pd.DataFrame(rows), file=target) if rows else None
    if sessions is not None and not (target.parent / SESSIONS_FILE).exists():
        write_sessions_file(sessions, target.parent)
    counts = Counts(**ours.get("counts", {}))
    return MeasureResult(stored_issues(ours), target, clocks, counts, None, sessions)


def _without(work: dict[str, Any], lacking: Collection[str]) -> dict[str, Any]:
    """Return a record without inputs whose digests could not be found out."""
    inputs = work.get("inputs", {})
    return {**work, "inputs": {name: digest for name, digest in inputs.items() if name not in lacking}}
