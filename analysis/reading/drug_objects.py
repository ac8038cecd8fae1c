"""What tables and series of an open NWB file may say of drugs: names, labels and rows, with their times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.reading.stored_values import dataset_at, fits, neurodata_type, stated, text_of
from nwbswitch.schemas.drug_reading.cues import UNNAMED
from nwbswitch.schemas.drug_reading.evidence import Statement
from nwbswitch.schemas.drug_reading.lexicon import find_names, spaced

if TYPE_CHECKING:
    import h5py

MAX_EVENTS = 1000
"""A series or table with more times does not hold administrations."""
MAX_ROWS = 100_000
MAX_LABELS = 200
MAX_TABLE_ROWS = 1000
"""Rows of a table about drugs that are read one by one."""
_MAX_ITEM_BYTES = 65_536

ACTIVITY_TYPES = frozenset((
    "ElectricalSeries", "SpikeEventSeries", "RoiResponseSeries", "TwoPhotonSeries", "OnePhotonSeries",
    "ImageSeries", "OpticalSeries", "IndexSeries", "ImageMaskSeries", "DecompositionSeries", "Units",
    "PlaneSegmentation", "ImageSegmentation", "FilteredEphys", "LFP", "MicroscopySeries",
    "FiberPhotometryResponseSeries", "CommandedVoltageSeries", "SpatialSeries", "ElectrodesTable",
))  # fmt: skip
"""Types whose names may matter, but not their descriptions or samples."""
OTHER_TYPES = frozenset((
    "CurrentClampSeries", "IZeroClampSeries", "CurrentClampStimulusSeries", "VoltageClampSeries",
    "VoltageClampStimulusSeries", "PatchClampSeries", "SweepTable", "IntracellularRecordingsTable",
    "SimultaneousRecordingsTable", "SequentialRecordingsTable", "RepetitionsTable",
    "ExperimentalConditionsTable", "OptogeneticSeries", "OptogeneticStimulusSite",
    "OptogeneticEpochsTable", "MeaningsTable", "DynamicTableRegion", "HERD",
))  # fmt: skip
"""Types that say nothing of drugs: their injections are of current, their stimulation is light."""
_TABLE_TYPES = frozenset(("TimeIntervals", "EventsTable", "DynamicTable", "AnnotatedEventsTable"))

_DRUG_COLUMN = re.compile(
    r"drug|compound|substance|inject|infus|treatment|pharmac|dose|dosage|route|vehicle|ligand|agonist|antagonist"
    r"|an(?:a)?esth|solution|concentration|manipulation",
    re.IGNORECASE,
)
_LABEL_COLUMN = re.compile(
    r"tag|label|name|type|condition|epoch|event|annotation|comment|note|description|phase|block|stage|state|period",
    re.IGNORECASE,
)
_STARTS = (
    "timestamp",
    "start_time",
    "timestamps",
    "time",
    "time_s",
    "onset_time",
    "onset",
    "injection_time",
    "start",
)
_STOPS = ("stop_time", "end_time", "stop", "end")
_INJECTION_TIME = re.compile(r"(?:inj|infus|admin|dos)\w{0,12}[_ ]?(?:time|onset|start)", re.IGNORECASE)


def table_statements(table: h5py.Group) -> Iterator[Statement]:
    """Yield what a table says: its name and description with its times, its labels, rows about drugs."""
    place = str(table.name)
    title = spaced(place.rpartition("/")[2])
    if neurodata_type(table) in ACTIVITY_TYPES:
        yield Statement(place, title)
        return
    description = stated(table.attrs.get("description"))
    columns = _columns(table)
    n_rows = max((len(each) for each in columns.values()), default=0)
    starts, stops = _times(columns, n_rows)
    about_drugs = [name for name in columns if _is_about_drugs(name) and name not in _STOPS]
    words = f"{title}. {description}".strip(". ")
    labels = [name for name in columns if _is_text(columns[name]) and _LABEL_COLUMN.search(name)]
    if about_drugs and n_rows <= MAX_TABLE_ROWS:
        yield from _row_statements(place, columns, about_drugs, starts, stops)
    for name in labels:
        if name not in about_drugs:
            yield from _label_statements(f"{place}/{name}", title, columns[name], starts, stops)
    few = n_rows <= MAX_EVENTS and not labels and not about_drugs
    yield Statement(place, words, tuple(starts) if few else (), tuple(stops) if few else ())


def series_statements(series: h5py.Group) -> Iterator[Statement]:
    """Yield what a series says: its name, and its description and times where it holds few of them."""
    place = str(series.name)
    kind = neurodata_type(series)
    title = place.rpartition("/")[2]
    if kind in ACTIVITY_TYPES:
        yield Statement(place, title)
        return
    starts, stops = _stamps(series)
    description = stated(series.attrs.get("description"))
    if starts is None:
        yield Statement(place, title)
        return
    words = f"{spaced(title)}. {description}".strip(". ")
    labels = _labels(series, len(starts))
    if labels:
        yield from _label_statements(place, spaced(title), labels, starts, stops)
        yield Statement(place, words)
    else:
        yield Statement(place, words, tuple(starts), tuple(stops))


def _is_about_drugs(name: str) -> bool:
    words = spaced(name)
    return bool(_DRUG_COLUMN.search(words) or find_names(words)) and not _INJECTION_TIME.fullmatch(words)


def _columns(table: h5py.Group) -> dict[str, list[Any]]:
    """Return the columns with one plain value per row; of ragged texts each row's words, joined."""
    found: dict[str, list[Any]] = {}
    for name in list(table)[:256]:
        dataset = dataset_at(table, name)
        if dataset is None or name.endswith("_index") or not _is_wanted(name, dataset):
            continue
        index = dataset_at(table, f"{name}_index")
        values = _values(dataset)
        if values is None:
            continue
        if index is not None:
            ends = _values(index)
            values = None if ends is None else _ragged(values, ends)
        if values is not None:
            found[str(name)] = values
    return found


def _is_wanted(name: str, dataset: h5py.Dataset) -> bool:
    """Return whether a column holds times, labels or drugs; others are not read."""
    import h5py

    if name in _STARTS or name in _STOPS or _INJECTION_TIME.search(spaced(name)) or _is_about_drugs(name):
        return True
    is_text = dataset.dtype.kind in "SU" or h5py.check_string_dtype(dataset.dtype) is not None
    return is_text and bool(_LABEL_COLUMN.search(name))


def _values(dataset: h5py.Dataset) -> list[Any] | None:
    shape = dataset.shape
    if shape is None or len(shape) != 1 or shape[0] > MAX_ROWS or not fits(dataset):
        return None
    if dataset.dtype.kind not in "biufSUO" or dataset.dtype.itemsize > _MAX_ITEM_BYTES:
        return None
    try:
        values = dataset[()].tolist()
    except (OSError, RuntimeError, ValueError, TypeError):
        return None
    return [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in values]


def _ragged(values: Sequence[Any], ends: Sequence[Any]) -> list[Any] | None:
    if not _is_text(values):
        return None
    found, start = [], 0
    for end in ends:
        if not isinstance(end, int) or not start <= end <= len(values):
            return None
        found.append(", ".join(values[start:end]))
        start = end
    return found


def _is_text(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(each, str) for each in values)


def _times(columns: Mapping[str, list[Any]], n_rows: int) -> tuple[list[float], list[float]]:
    """Return the times of the rows; none where the table has no column of times."""
    starts = next((columns[name] for name in _STARTS if name in columns), None)
    if starts is None:
        named = [name for name in columns if _INJECTION_TIME.search(spaced(name))]
        starts = columns[named[0]] if len(named) == 1 else None
    stops = next((columns[name] for name in _STOPS if name in columns), None)
    if starts is None or len(starts) != n_rows or not _is_numeric(starts):
        return [], []
    if stops is None or len(stops) != n_rows or not _is_numeric(stops):
        stops = []
    return [float(each) for each in starts], [float(each) for each in stops]


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(each, (int, float)) and math.isfinite(each) for each in values)


def _row_statements(
    place: str,
    columns: Mapping[str, list[Any]],
    names: Sequence[str],
    starts: Sequence[float],
    stops: Sequence[float],
) -> Iterator[Statement]:
    """Yield the rows of a table about drugs, equal rows once with all their times."""
    rows: dict[str, list[int]] = {}
    length = min(len(columns[name]) for name in names)
    for index in range(length):
        cells = ((name, _cell(columns[name][index])) for name in names)
        text = "; ".join(f"{name}: {cell}" for name, cell in cells if cell)
        if text:
            rows.setdefault(text, []).append(index)
    for text, indices in list(rows.items())[:MAX_LABELS]:
        yield _timed(place, text, indices, starts, stops)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else ""
    return str(value).strip()


def _label_statements(
    place: str, title: str, labels: Sequence[Any], starts: Sequence[float], stops: Sequence[float]
) -> Iterator[Statement]:
    """Yield each label with the times of its rows; the title of what it labels comes before it."""
    rows: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        if str(label).strip():
            rows.setdefault(str(label), []).append(index)
    prefix = f"{title}: " if UNNAMED.search(title) else ""
    for label, indices in list(rows.items())[:MAX_LABELS]:
        yield _timed(place, prefix + label, indices, starts, stops)


def _timed(
    place: str, text: str, indices: Sequence[int], starts: Sequence[float], stops: Sequence[float]
) -> Statement:
    fits = bool(starts) and indices[-1] < len(starts)
    times = tuple(starts[index] for index in indices[:MAX_EVENTS]) if fits else ()
    ends = tuple(stops[index] for index in indices[:MAX_EVENTS]) if fits and stops else ()
    return Statement(place, text, times, ends)


def _stamps(series: h5py.Group) -> tuple[list[float] | None, list[float]]:
    """Return starts and stops of a series of few events, None for a longer one."""
    stamps = dataset_at(series, "timestamps")
    data = dataset_at(series, "data")
    if stamps is not None:
        if len(stamps.shape) != 1 or stamps.shape[0] > MAX_EVENTS:
            return None, []
        values = _values(stamps) or []
        if not _is_numeric(values):
            return None, []
        if neurodata_type(series) == "IntervalSeries" and data is not None and data.shape == stamps.shape:
            signs = _values(data) or []
            starts = [float(at) for at, sign in zip(values, signs, strict=True) if sign > 0]
            return starts, [float(at) for at, sign in zip(values, signs, strict=True) if sign < 0]
        return [float(each) for each in values], []
    start = dataset_at(series, "starting_time")
    if start is None or start.size != 1 or data is None or not data.shape or data.shape[0] > MAX_EVENTS:
        return None, []
    first, rate = np.asarray(start[()], dtype=float), np.asarray(start.attrs.get("rate", np.nan), dtype=float)
    if first.size != 1 or rate.size != 1 or not math.isfinite(first.item()):
        return None, []
    if data.shape[0] == 1:
        return [first.item()], []
    return None, []


def _labels(series: h5py.Group, n_events: int) -> list[str]:
    """Return the labels of annotated or labelled events, one per event."""
    data = dataset_at(series, "data")
    values = None if data is None else _values(data)
    if values is None or len(values) != n_events or not values:
        return []
    if _is_text(values):
        return values
    named: NDArray[Any] | None = None if data is None else data.attrs.get("labels")
    if named is None:
        stored = dataset_at(series, "labels")
        words = None if stored is None else _values(stored)
    else:
        words = [text_of(each) for each in np.atleast_1d(named).ravel().tolist()]
    if not words or not all(isinstance(each, int) and 0 <= each < len(words) for each in values):
        return []
    return [str(words[each]) for each in values]


def is_table(group: h5py.Group) -> bool:
    """Return whether a group is a table with columns."""
    return neurodata_type(group) in _TABLE_TYPES or "colnames" in group.attrs
