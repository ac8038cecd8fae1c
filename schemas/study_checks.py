"""What a resolved session must fulfil beyond the types of its fields: words, units, clocks and windows."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from nwbswitch.schemas.drug_log import Administration, deciding_row
from nwbswitch.schemas.epochs import Epoch, TimeZero, Window
from nwbswitch.schemas.issues import Issue, issue, nearest
from nwbswitch.schemas.stream_base import RowStream, StreamBase
from nwbswitch.schemas.streams_wheel import Signal, WheelCsv
from nwbswitch.schemas.study_clocks import SESSION_CLOCK
from nwbswitch.schemas.study_positions import KeyPath, Places, place_of
from nwbswitch.schemas.units import convert
from nwbswitch.schemas.vocabularies import canonical, spellings

UNKNOWN = "unknown"
NO_UNIT = "n/a"
SIGNAL_UNITS = {"speed": ("m/s", "rad/s"), "position": ("m", "rad"), "distance": ("m", "rad")}
"""SI units that a signal may have, along the wheel's surface or as an angle."""
VOCABULARY_OF = {"region": "regions", "target_structure": "regions", "cell_type": "cell_types"}

_MAIN = frozenset({Window.BASELINE, Window.DRUG, Window.WASHOUT, Window.RECOVERY})
_AFTER = frozenset({Window.DRUG, Window.WASHOUT, Window.RECOVERY})
_PSEUDO = frozenset({Window.PSEUDO_BASELINE, Window.PSEUDO_DRUG})
_MAX_HEADER = 1 << 16


def canonical_words(
    imaging: Mapping[str, object], places: Places, path: KeyPath, *, mouse: bool
) -> tuple[dict[str, object], list[Issue]]:
    """Return ``imaging`` with region and cell type as the vocabulary spells them, and unknown words.

    The regions are those of the mouse; of another animal an unknown one is kept, with a warning.
    """
    result, found = dict(imaging), []
    for field, vocabulary in VOCABULARY_OF.items():
        word = imaging.get(field)
        if not isinstance(word, str) or word in ("", UNKNOWN):
            continue
        known = canonical(vocabulary, word)
        if known is None:
            accepted = [spelling for each in spellings(vocabulary).values() for spelling in each]
            message = f"{word!r} is not in the vocabulary of {vocabulary.replace('_', ' ')}."
            place = place_of(places, (*path, field))
            if vocabulary == "regions" and not mouse:
                message += " It is stored as written: the vocabulary is that of the mouse."
                found.append(issue("unknown-region", message, place=place))
                continue
            remedy = nearest(word, accepted) or "Write 'unknown' if the source does not state it."
            found.append(issue("unknown-word", message, place=place, remedy=remedy))
        else:
            result[field] = known
    return result, found


def clock_issues(clock: str, clocks: Iterable[str], places: Places, path: KeyPath) -> list[Issue]:
    """Return a finding when a stream counts on a clock that the session does not have."""
    known = [SESSION_CLOCK, *clocks]
    if clock in known:
        return []
    message = f"There is no clock {clock!r}."
    remedy = nearest(clock, known) or f"Clocks of this session: {', '.join(known)}."
    return [issue("unknown-word", message, place=place_of(places, path), remedy=remedy)]


def tool_issues(value: Mapping[str, object], places: Places) -> list[Issue]:
    """Return actuators that name a virus or a ligand that is not known."""
    viruses, actuators = value.get("viruses"), value.get("actuators")
    known = list(viruses) if isinstance(viruses, dict) else []
    found = []
    for name, actuator in actuators.items() if isinstance(actuators, dict) else ():
        virus = actuator.get("virus") if isinstance(actuator, dict) else None
        if isinstance(virus, str) and virus and virus not in known:
            message = f"The actuator {name!r} names the virus {virus!r}, which is not under viruses."
            remedy = nearest(virus, known) or f"Viruses of this session: {', '.join(known) or 'none'}."
            place = place_of(places, ("actuators", name, "virus"))
            found.append(issue("unknown-word", message, place=place, remedy=remedy))
    return found


def timing_issues(
    stream: StreamBase, name: str, streams: Mapping[str, object], places: Places, path: KeyPath
) -> list[Issue]:
    """Return a finding when a stream takes its times from one that the session does not have, or itself."""
    other = stream.timing_of if isinstance(stream, RowStream) else None
    others = [each for each, value in streams.items() if each != name and value is not None]
    if other is None or other in others:
        return []
    message = f"There is no other stream {other!r} to take the times from."
    remedy = nearest(other, others) or f"Other streams: {', '.join(others) or 'none'}."
    return [issue("unknown-word", message, place=place_of(places, (*path, "timing_of")), remedy=remedy)]


def wheel_issues(stream: WheelCsv, file: Path | None, places: Places, path: KeyPath) -> list[Issue]:
    """Return what does not fit in a wheel stream: no times, wrong units, columns that are not there."""
    found = []
    if stream.time_column is None and stream.rate_hz is None and stream.timing_of is None:
        message = "The times of the rows are not given."
        remedy = (
            "Name time_column, give rate_hz if rows come at a constant rate, or timing_of if they are frames."
        )
        found.append(issue("missing-value", message, place=place_of(places, path), remedy=remedy))
    for position, signal in enumerate(stream.signals):
        found += _unit_issues(signal, places, (*path, "signals", position))
    header = _header(file) if file is not None else None
    if header is None:
        return found
    wanted: list[tuple[str | None, KeyPath]] = [(stream.time_column, (*path, "time_column"))]
    wanted += [
        (signal.column, (*path, "signals", position, "column"))
        for position, signal in enumerate(stream.signals)
    ]
    for column, where in wanted:
        if column is not None and column not in header:
            message = f"The file {file} has no column {column!r}."
            remedy = nearest(column, header) or f"Its columns: {', '.join(header)[:200]}."
            found.append(issue("missing-column", message, place=place_of(places, where), remedy=remedy))
    return found


def repeated_signals(
    stream: WheelCsv, taken: set[tuple[bool, str]], places: Places, path: KeyPath
) -> list[Issue]:
    """Return signals that would be stored under the name of another; ``taken`` collects the names."""
    found = []
    for position, signal in enumerate(stream.signals):
        key = (signal.quantity == "position", signal.column)
        if key in taken:
            message = f"Another signal of this session is called {signal.column!r} too."
            place = place_of(places, (*path, "signals", position, "column"))
            found.append(issue("duplicate-id", message, place=place, remedy="Rename one of the columns."))
        taken.add(key)
    return found


def si_unit(signal: Signal) -> tuple[str, float]:
    """Return the SI unit of a signal and the factor that leads to it.

    Raises
    ------
    ValueError
        When its unit does not measure its quantity, or is none.
    """
    reasons = []
    for unit in SIGNAL_UNITS[signal.quantity]:
        try:
            return unit, convert(1.0, signal.unit, unit)
        except ValueError as error:
            reasons.append(str(error))
    raise ValueError(reasons[0])


def _unit_issues(signal: Signal, places: Places, path: KeyPath) -> list[Issue]:
    if signal.unit == NO_UNIT:
        return []
    try:
        si_unit(signal)
    except ValueError as error:
        message = f"{signal.unit!r} is not a unit of {signal.quantity} ({error})."
        example = f"c{SIGNAL_UNITS[signal.quantity][0]}"
        remedy = f"Write UCUM, e.g. {example}; {NO_UNIT!r} if the source does not state one."
        return [issue("bad-unit", message, place=place_of(places, (*path, "unit")), remedy=remedy)]
    return []


def _header(file: Path) -> list[str] | None:
    """Return the column names of a CSV file, or None when it cannot be read as one."""
    try:
        with file.open("rb") as stream:
            line = stream.readline(_MAX_HEADER).decode("utf-8-sig")
        cells = next(iter(csv.reader([line])), None)
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return [cell.strip() for cell in cells] if cells else None


def resolved_epochs(
    epochs: Sequence[Epoch], drug_log: Sequence[Administration], places: Places, path: KeyPath
) -> tuple[tuple[Epoch, ...], list[Issue]]:
    """Return the windows on the session clock, and what keeps one from being placed there."""
    zero = deciding_row(drug_log)
    result, found = [], []
    for position, epoch in enumerate(epochs):
        if epoch.relative_to is TimeZero.SESSION:
            result.append(epoch)
        elif zero is None:
            message = f"The window {epoch.window} counts from an administration, but this session has none."
            remedy = "Add it to the drug log, or give the window relative_to: session."
            place = place_of(places, (*path, position))
            found.append(issue("missing-value", message, place=place, remedy=remedy))
        else:
            start, stop = zero.timestamp_s + epoch.start_s, zero.timestamp_s + epoch.stop_s
            result.append(
                Epoch(window=epoch.window, start_s=start, stop_s=stop, relative_to=TimeZero.SESSION)
            )
    return tuple(result), found


def overlap_issues(epochs: Sequence[Epoch], places: Places, path: KeyPath) -> list[Issue]:
    """Return pairs of windows that share time although one is compared with the other.

    The pseudo windows lie inside the baseline, so only they may share time with it.
    """
    found = []
    for (_, one), (position, other) in combinations(enumerate(epochs), 2):
        pair = {one.window, other.window}
        apart = len(pair) == 1 or pair <= _MAIN or pair <= _PSEUDO or bool(pair & _AFTER)
        if apart and one.start_s < other.stop_s and other.start_s < one.stop_s:
            message = (
                f"The windows {one.window} [{one.start_s:g}, {one.stop_s:g}) s and {other.window} "
                f"[{other.start_s:g}, {other.stop_s:g}) s overlap."
            )
            found.append(issue("epochs-overlap", message, place=place_of(places, (*path, position))))
    return found
