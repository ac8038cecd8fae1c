"""Analysis windows: those of the overrides or of our own table; other tables of times are proposed only."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.reading.columns import Table
from nwbswitch.analysis.reading.outline import Plane, WindowSpan
from nwbswitch.analysis.reading.ragged import ragged_ends
from nwbswitch.analysis.reading.stored_values import dataset_at, fits, group_at, text_of
from nwbswitch.schemas.drug_log import EPOCHS_NAME, Administration, deciding_row
from nwbswitch.schemas.epochs import Epoch, TimeZero, Window, must_be_apart
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.overrides import FILL_IN, Override, proposal

if TYPE_CHECKING:
    import h5py

MAX_ROWS = 10_000
MAX_WINDOWS = 1000
LONGEST_S = 30 * 86_400.0
"""Longer windows are times in another unit, or damaged."""
MAX_SHOWN = 12
"""Spans of other tables that a proposal quotes."""
LABELS = ("tags", "window", "label", "labels", "name", "epoch", "epoch_name", "condition", "state", "phase",
          "block", "stage", "treatment", "drug", "type", "description")  # fmt: skip
"""Columns that name spans, the most telling ones first."""
NOT_EPOCHS = frozenset({"trials", "invalid_times", EPOCHS_NAME})
_LIKE: tuple[tuple[Window, re.Pattern[str]], ...] = (
    (Window.WASHOUT, re.compile(r"wash")),
    (Window.RECOVERY, re.compile(r"recover")),
    (Window.BASELINE, re.compile(r"base ?line|\bpre\b|^pre|before|control")),
    (Window.DRUG, re.compile(r"\bpost\b|^post|after|drug|inject|infus|treat")),
)


@dataclass(frozen=True, slots=True)
class NamedSpan:
    """A span of time that some table of the file names."""

    table: str
    label: str
    start_s: float
    stop_s: float
    n_rows: int


def read_windows(
    nwb: h5py.File,
    *,
    name: str,
    override: Override,
    administrations: Sequence[Administration],
    extent_s: tuple[float, float] | None,
    found: list[Issue],
) -> tuple[WindowSpan, ...]:
    """Return the analysis windows in order of their starts; without any, a finding proposes some.

    Parameters
    ----------
    nwb
        The open file.
    name
        What messages call it.
    override
        Its windows, where it states some, are taken in place of the file's.
    administrations
        What was given, for windows that count from it.
    extent_s
        When the recording begins and ends on the session clock, s.
    found
        Receives findings.
    """
    if override.windows is not None:
        return _stated(override.windows, administrations, name, found)
    table = group_at(nwb, f"intervals/{EPOCHS_NAME}")
    named = dataset_at(table, "window")
    if table is not None and named is not None and len(named.shape) == 1 and named.shape[0]:
        return _own(Table(nwb, table, int(named.shape[0]), name, found), found)
    found.append(_proposal(nwb, name, administrations, extent_s))
    return ()


def check_overlap(
    windows: Sequence[WindowSpan], planes: Iterable[Plane], *, name: str, found: list[Issue]
) -> None:
    """Report planes that were recorded outside all windows, as when two clocks have two starts."""
    for plane in planes if windows else ():
        begin_s, end_s = plane.clock.start_s, plane.clock.stop_s
        if all(span.stop_s <= begin_s or span.start_s >= end_s for span in windows):
            first_s, last_s = min(each.start_s for each in windows), max(each.stop_s for each in windows)
            problem = (
                f"The traces go from {begin_s:g} to {end_s:g} s, the analysis windows from {first_s:g} to "
                f"{last_s:g} s: nothing can be compared."
            )
            fields = {"series": plane.traces.array.object_path.rpartition("/")[0], "start_s": FILL_IN}
            remedy = "If the clocks differ, say when the first frame was. "
            remedy += proposal(name, {"activity": [fields]})
            place = Place(name, item=plane.traces.array.object_path)
            found.append(issue("epoch-outside-recording", problem, place=place, remedy=remedy))


def named_spans(nwb: h5py.File) -> list[NamedSpan]:
    """Return the spans that tables of intervals name, except trials; rows of one label are one span."""
    intervals = group_at(nwb, "intervals")
    found: list[NamedSpan] = []
    for key in intervals if intervals is not None else ():
        table = group_at(intervals, key)
        if table is not None and key not in NOT_EPOCHS:
            found += _spans_of(nwb, table, key)
    return found


def _stated(
    epochs: Sequence[Epoch], administrations: Sequence[Administration], name: str, found: list[Issue]
) -> tuple[WindowSpan, ...]:
    zero = deciding_row(administrations)
    zero_s = None if zero is None or "timestamp_s" in zero.missing else zero.timestamp_s
    spans = []
    for epoch in epochs:
        relative = epoch.relative_to is TimeZero.ADMINISTRATION
        if relative and zero_s is None:
            problem = "The windows of the overrides count from the administration, of which no time is known."
            row = {"timestamp_s": FILL_IN, "substance": zero.substance if zero else FILL_IN}
            remedy = proposal(name, {"administrations": [row]})
            found.append(issue("no-epochs", problem, place=Place(name), remedy=remedy))
            return ()
        shift_s = (zero_s or 0.0) if relative else 0.0
        spans.append(WindowSpan(epoch.window, epoch.start_s + shift_s, epoch.stop_s + shift_s))
    if not spans:
        problem = "The overrides state an empty list of windows."
        found.append(issue("no-epochs", problem, place=Place(name), remedy="Name at least a baseline."))
    return _checked(spans, Place(name), found)


def _own(table: Table, found: list[Issue]) -> tuple[WindowSpan, ...]:
    place = Place(table.source, item=f"/intervals/{EPOCHS_NAME}")
    names = _labels(table, "window")
    starts, stops = _numbers(table, "start_time"), _numbers(table, "stop_time")
    if not len(names) == len(starts) == len(stops) == table.n_rows:
        problem = "Its columns window, start_time and stop_time do not belong together."
        found.append(issue("length-differs", problem, place=place))
        return ()
    spans, wrong = [], []
    for word, start_s, stop_s in zip(names, starts, stops, strict=True):
        if word not in list(Window):
            problem = f"{word!r} is no analysis window."
            wrong.append(issue("unknown-word", problem, place=place, remedy=nearest(word, Window)))
        elif not (math.isfinite(start_s) and math.isfinite(stop_s) and stop_s > start_s):
            problem = f"The window {word} goes from {start_s} to {stop_s} s."
            wrong.append(issue("wrong-value", problem, place=place))
        else:
            spans.append(WindowSpan(Window(word), start_s, stop_s))
    found += wrong
    return () if wrong else _checked(spans, place, found)


def _checked(spans: Sequence[WindowSpan], place: Place, found: list[Issue]) -> tuple[WindowSpan, ...]:
    """Return windows in order of time, or none with the reason when they cannot be compared."""
    ordered = tuple(sorted(spans, key=lambda span: (span.start_s, span.window)))
    if len(ordered) > MAX_WINDOWS:
        problem = f"There are {len(ordered)} analysis windows, up to {MAX_WINDOWS} are measured."
        found.append(issue("wrong-value", problem, place=place))
        return ()
    wrong = [
        issue(
            "wrong-value",
            f"The window {span.window} goes from {span.start_s:g} to {span.stop_s:g} s: no recording session "
            f"is longer than {LONGEST_S / 86_400:g} days.",
            place=place,
        )
        for span in ordered
        if not span.stop_s - span.start_s <= LONGEST_S
    ]
    wrong += [
        issue(
            "epochs-overlap",
            f"The windows {one.window} from {one.start_s:g} to {one.stop_s:g} s and {other.window} from "
            f"{other.start_s:g} to {other.stop_s:g} s share time, which would count twice.",
            place=place,
            remedy="State the windows in a file of overrides, or correct those of the file.",
        )
        for position, one in enumerate(ordered)
        for other in ordered[position + 1 :]
        if other.start_s < one.stop_s and must_be_apart(one.window, other.window)
    ]
    found += wrong[:MAX_SHOWN]
    return () if wrong else ordered


def _proposal(
    nwb: h5py.File,
    name: str,
    administrations: Sequence[Administration],
    extent_s: tuple[float, float] | None,
) -> Issue:
    """Return the finding that there are no windows, with all times that the file knows."""
    said = ["The file names no analysis windows, so there is nothing to compare."]
    if extent_s is not None:
        said.append(f"It was recorded from {extent_s[0]:g} to {extent_s[1]:g} s.")
    timed = [row for row in administrations if "timestamp_s" not in row.missing]
    said += [f"{row.substance[:1].upper()}{row.substance[1:]} at {row.timestamp_s:g} s." for row in timed]
    spans = named_spans(nwb)
    if spans:
        shown = [
            f"{span.table}/{span.label} {span.start_s:g} to {span.stop_s:g} s"
            + (f" ({span.n_rows} rows)" if span.n_rows > 1 else "")
            for span in spans[:MAX_SHOWN]
        ]
        more = f" and {len(spans) - MAX_SHOWN} more" if len(spans) > MAX_SHOWN else ""
        said.append(f"Its tables of intervals name {'; '.join(shown)}{more}.")
    windows = _proposed(spans, deciding_row(timed), extent_s)
    place = Place(name, item=f"/intervals/{EPOCHS_NAME}")
    remedy = "Correct the times to what was done. " + proposal(name, {"windows": windows})
    return issue("no-epochs", " ".join(said), place=place, remedy=remedy)


def _proposed(
    spans: Sequence[NamedSpan], zero: Administration | None, extent_s: tuple[float, float] | None
) -> list[dict[str, Any]]:
    """Return windows to be corrected: by names of spans, else around the administration, else blanks."""
    by_window: dict[Window, list[NamedSpan]] = {}
    for span in spans:
        window = next((window for window, like in _LIKE if like.search(span.label.casefold())), None)
        if window is not None:
            by_window.setdefault(window, []).append(span)
    alone = {window: each[0] for window, each in by_window.items() if len(each) == 1}
    if Window.BASELINE in alone and len(alone) > 1:
        return [
            {"window": window.value, "start_s": span.start_s, "stop_s": span.stop_s}
            for window, span in sorted(alone.items(), key=lambda pair: pair[1].start_s)
        ]
    begin_s, end_s = extent_s or (FILL_IN, FILL_IN)
    middle: Any = FILL_IN
    if zero is not None and (extent_s is None or extent_s[0] < zero.timestamp_s < extent_s[1]):
        middle = zero.timestamp_s
    return [
        {"window": Window.BASELINE.value, "start_s": begin_s, "stop_s": middle},
        {"window": Window.DRUG.value, "start_s": middle, "stop_s": end_s},
    ]


def _spans_of(nwb: h5py.File, group: h5py.Group, key: str) -> list[NamedSpan]:
    starts = dataset_at(group, "start_time")
    if starts is None or len(starts.shape) != 1 or not 0 < starts.shape[0] <= MAX_ROWS:
        return []
    table = Table(nwb, group, int(starts.shape[0]), "", [])
    start_s, stop_s = _numbers(table, "start_time"), _numbers(table, "stop_time")
    if not len(start_s) == len(stop_s) == table.n_rows:
        return []
    columns = (_labels(table, column) for column in LABELS if dataset_at(group, column) is not None)
    labels = next((words for words in columns if len(words) == table.n_rows), [key] * table.n_rows)
    grouped: dict[str, list[tuple[float, float]]] = {}
    for label, begin_s, end_s in zip(labels, start_s, stop_s, strict=True):
        if math.isfinite(begin_s) and math.isfinite(end_s):
            grouped.setdefault(label[:60] or key, []).append((begin_s, end_s))
    return [
        NamedSpan(key, label, round(min(each)[0], 3), round(max(end for _, end in each), 3), len(each))
        for label, each in grouped.items()
    ]


def _numbers(table: Table, name: str) -> list[float]:
    column = table.column(name)
    return [] if column is None or column.is_text else [float(value) for value in column.values.tolist()]


def _labels(table: Table, name: str) -> list[str]:
    """Return a column of words; of several tags per row all, joined."""
    values = dataset_at(table.group, name)
    if dataset_at(table.group, f"{name}_index") is None:
        column = table.column(name)
        return column.words() if column is not None and column.is_text else []
    ends = ragged_ends(table, name)
    if (
        ends is None
        or values is None
        or len(values.shape) != 1
        or values.shape[0] > MAX_ROWS
        or not fits(values)
    ):
        return []
    words = [text_of(value) for value in values[()].tolist()]
    starts = [0, *ends[:-1].tolist()]
    return [" ".join(words[start:end]) for start, end in zip(starts, ends.tolist(), strict=True)]
