"""Recordings as objects of pynapple: traces, spikes, analysis windows and drugs on the session clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nwbswitch.analysis.handover.drug_rows import drug_rows
from nwbswitch.analysis.handover.selection import MATRICES, MAX_BYTES, Choice, Matrix, Recorded, Rois
from nwbswitch.analysis.handover.values import PlaneValues, PointValues, read_values
from nwbswitch.analysis.reading.outline import Outline
from nwbswitch.schemas.errors import MissingExtraError

if TYPE_CHECKING:
    import pynapple as nap

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PynappleObjects:
    """One recording session as objects of pynapple; planes and tables of units by their name.

    Attributes
    ----------
    traces, neuropil, deconvolved
        TsdFrame of each plane. Columns are rows of the plane segmentation, with what is known of each
        neuron as metadata.
    units
        TsGroup of each table of spikes or events, supported by the time in which all were recorded.
    windows
        IntervalSet of each kind of analysis window. One set could not hold them all: windows of different
        kinds overlap, and pynapple joins what overlaps.
    drugs
        TsGroup with one member per administration, at its start, with the columns of the drug log as
        metadata; None where the file has no drug.
    left_out
        What could not be handed over, in words.
    """

    traces: Mapping[str, nap.TsdFrame]
    neuropil: Mapping[str, nap.TsdFrame]
    deconvolved: Mapping[str, nap.TsdFrame]
    units: Mapping[str, nap.TsGroup]
    windows: Mapping[str, nap.IntervalSet]
    drugs: nap.TsGroup | None
    left_out: tuple[str, ...]


def to_pynapple(
    recording: Recorded,
    *,
    names: Collection[str] | None = None,
    rois: Rois = "all",
    start_s: float | None = None,
    stop_s: float | None = None,
    matrices: Collection[Matrix] = MATRICES,
    max_bytes: int = MAX_BYTES,
) -> PynappleObjects:
    """Return a recording as objects of pynapple.

    Samples are in the unit of the file (data times conversion plus offset), times in s on the session
    clock. Windows and drugs are those of the whole session, whatever the span. In pynapple both ends of an
    interval belong to it.

    Parameters
    ----------
    recording
        An open recording.
    names
        Planes and tables of spikes or events; all by default.
    rois
        ``all``, ``accepted``, or rows of the one table in ``names``.
    start_s, stop_s
        Span, s on the session clock: from the first until before the second.
    matrices
        Of ``traces``, ``neuropil`` and ``deconvolved``, those that are wanted.
    max_bytes
        Most bytes of all numbers together; nothing is read when there are more.

    Raises
    ------
    MissingExtraError
        pynapple is not installed.
    ValueError
        For names or rows that are not there, and for more than ``max_bytes``.
    InputFileError
        When samples cannot be read.
    """
    _require_pynapple()
    choice = Choice(names, rois, start_s, stop_s, matrices, max_bytes)
    values = read_values(recording, choice)
    by_matrix: dict[Matrix, dict[str, nap.TsdFrame]] = {
        matrix: {
            name: _frame(plane, plane.matrices[matrix])
            for name, plane in values.planes.items()
            if matrix in plane.matrices
        }
        for matrix in MATRICES
    }
    span_s = _span(recording.outline)
    supports = {name: _support(each, choice, span_s) for name, each in values.points.items()}
    outside = {name: _n_outside(each, supports[name]) for name, each in values.points.items()}
    return PynappleObjects(
        **by_matrix,
        units={name: _group(each, supports[name]) for name, each in values.points.items()},
        windows=_windows(recording.outline),
        drugs=_drugs(recording.outline, span_s),
        left_out=(
            *values.left_out,
            *(f"{name}: {n} times outside the observed spans." for name, n in outside.items() if n),
        ),
    )


def _require_pynapple() -> None:
    try:
        import pynapple  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("pynapple", "handover") from error


def _frame(plane: PlaneValues, values: Any) -> nap.TsdFrame:
    import pynapple as nap

    time_s = plane.time_s
    # Without a duration the time that a single frame supports would hold no frame.
    last_s = time_s[-1] if len(time_s) > 1 else time_s[0] + 1 / plane.plane.clock.rate_hz
    support = nap.IntervalSet(time_s[0], last_s)
    return nap.TsdFrame(t=time_s, d=values, time_support=support, columns=plane.rows, metadata=plane.neurons)


def _support(points: PointValues, choice: Choice, recorded_s: Span) -> tuple[Span, ...]:
    """Return the time in which units were recorded, as far as the file says or their times show."""
    if points.observed_s:
        return points.observed_s
    edges = [each for times_s in points.times_s if len(times_s) for each in (times_s[0], times_s[-1])]
    start_s = min([*edges, recorded_s[0]]) if choice.start_s is None else choice.start_s
    stop_s = max([*edges, recorded_s[1]]) if choice.stop_s is None else choice.stop_s
    return ((start_s, stop_s if stop_s > start_s else start_s + 1.0),)


def _n_outside(points: PointValues, support_s: tuple[Span, ...]) -> int:
    times_s = np.concatenate([*points.times_s, np.empty(0)])
    inside = np.zeros(len(times_s), dtype=bool)
    for start_s, stop_s in support_s:
        inside |= (times_s >= start_s) & (times_s <= stop_s)
    return int((~inside).sum())


def _group(points: PointValues, support_s: tuple[Span, ...]) -> nap.TsGroup:
    import pynapple as nap

    support = nap.IntervalSet(np.array(support_s))
    order = np.argsort(points.rows)
    members = {int(points.rows[each]): nap.Ts(points.times_s[each], time_support=support) for each in order}
    metadata = {name: values[order] for name, values in points.neurons.items()}
    return nap.TsGroup(members, time_support=support, metadata=metadata)


def _windows(outline: Outline) -> dict[str, nap.IntervalSet]:
    import pynapple as nap

    found: dict[str, nap.IntervalSet] = {}
    for label in dict.fromkeys(each.window for each in outline.windows):
        spans = sorted((each.start_s, each.stop_s) for each in outline.windows if each.window is label)
        metadata = {"window": np.full(len(spans), label.value)}
        found[label.value] = nap.IntervalSet(np.array(spans), metadata=metadata)
    return found


def _drugs(outline: Outline, span_s: Span) -> nap.TsGroup | None:
    import pynapple as nap

    rows = drug_rows(outline.administrations)
    if not rows:
        return None
    times_s = [float(row["timestamp"]) for row in rows]
    support = nap.IntervalSet(min(span_s[0], *times_s), max(span_s[1], *times_s))
    members = {
        index: nap.Ts(np.array([time_s]), time_support=support) for index, time_s in enumerate(times_s)
    }
    metadata = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return nap.TsGroup(members, time_support=support, metadata=metadata)


def _span(outline: Outline) -> Span:
    """Return when anything was recorded, s."""
    starts = [each.clock.start_s for each in outline.planes]
    starts += [each for points in outline.points for each in points.observed_start_s]
    stops = [each.clock.stop_s for each in outline.planes]
    stops += [each for points in outline.points for each in points.observed_stop_s]
    start_s = min(starts, default=0.0)
    return start_s, max([*stops, start_s + 1.0])
