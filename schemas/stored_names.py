"""What the streams of a session are called in its NWB file, where two things of one place need two names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nwbswitch.schemas.drug_log import EPOCHS_NAME, TABLE_NAME
from nwbswitch.schemas.issues import Issue, issue
from nwbswitch.schemas.stream_base import StreamBase
from nwbswitch.schemas.streams_signals import (
    BpodEncoder,
    NamedSignal,
    SignalSeries,
    WheelAnalog,
    WheelEncoder,
)
from nwbswitch.schemas.streams_trials import BpodTrials, MedPcEvents, StimulusTable, TrialTable
from nwbswitch.schemas.streams_wheel import WheelCsv
from nwbswitch.schemas.study_positions import KeyPath, Places, place_of

TRIALS = "trials"
SIGNALS, POSITIONS, INTERVALS, EVENTS = "signal", "position", "table of intervals", "table of events"
_TAKEN = {
    (INTERVALS, EPOCHS_NAME): "the analysis windows",
    (INTERVALS, "epochs"): "the epochs of NWB",
    (INTERVALS, "invalid_times"): "the invalid times of NWB",
    (EVENTS, TABLE_NAME): "the drug log",
}
_NOT_IN_NAMES = str.maketrans("/:", "__")


def plain_name(name: str) -> str:
    """Return a name without the characters that NWB does not take."""
    return name.strip("/").translate(_NOT_IN_NAMES)


def series_name(signal: NamedSignal) -> str:
    """Return the name of a signal's series: what it measures, else what its file calls it."""
    own = signal.name if signal.channel is None else f"{signal.name}_{signal.channel}"
    return plain_name(signal.quantity or own)


def name_issues(streams: Mapping[str, StreamBase], places: Places) -> list[Issue]:
    """Return streams whose names NWB does not take, and what two streams would store under one name."""
    found = []
    for name in streams:
        if not name.strip() or name != name.strip() or set(name) & set("/:\0") or name in (".", ".."):
            message = f"A stream cannot be called {name!r}: the name becomes part of names in the NWB file."
            remedy = f"Write it without slash, colon and outer spaces, e.g. {plain_name(name.strip())!r}."
            found.append(
                issue("wrong-value", message, place=place_of(places, ("streams", name)), remedy=remedy)
            )
    owners: dict[tuple[str, str], str] = {}
    for kind, name, path in _stored(streams):
        place = place_of(places, path)
        if not name or name in (".", ".."):
            message = f"{name!r} cannot be the name of a {kind} in the NWB file."
            found.append(issue("wrong-value", message, place=place, remedy="Give it a quantity."))
        elif (kind, name) in _TAKEN:
            message = f"{name!r} is the name of {_TAKEN[kind, name]} in the NWB file."
            found.append(issue("duplicate-id", message, place=place, remedy="Give the stream another name."))
        elif (kind, name) in owners:
            message = f"The {kind} {name!r} of {path[1]} would be stored under the name of one of "
            message += f"{owners[kind, name]}."
            found.append(issue("duplicate-id", message, place=place, remedy=_REMEDIES.get(kind, _RENAME)))
        owners.setdefault((kind, name), str(path[1]))
    return found


_RENAME = "Give one of the streams another name."
_OWN = "Give each a quantity of its own, e.g. pupil_area_left; columns of wheel_csv need other names."
_REMEDIES = {SIGNALS: _OWN, POSITIONS: _OWN}


def _stored(streams: Mapping[str, StreamBase]) -> Iterator[tuple[str, str, KeyPath]]:
    """Yield kind, name and origin of everything of behaviour that is stored under a name of its own."""
    has_trials = False
    for key, stream in streams.items():
        path: KeyPath = ("streams", key)
        match stream:
            case WheelCsv():
                for position, each in enumerate(stream.signals):
                    kind = POSITIONS if each.quantity == "position" else SIGNALS
                    yield kind, plain_name(each.column), (*path, "signals", position, "column")
            case SignalSeries():
                for position, signal in enumerate(stream.signals):
                    kind = POSITIONS if signal.quantity == "position" else SIGNALS
                    yield kind, series_name(signal), (*path, "signals", position)
            case WheelEncoder() | WheelAnalog() | BpodEncoder():
                yield SIGNALS, f"{key}_speed", path
                if not isinstance(stream, WheelAnalog) or stream.volts_per_turn is not None:
                    yield POSITIONS, f"{key}_position", path
            case TrialTable() | BpodTrials():
                yield INTERVALS, key if has_trials else TRIALS, path
                has_trials = True
                if isinstance(stream, BpodTrials):
                    yield INTERVALS, f"{key}_states", path
                    yield EVENTS, f"{key}_events", path
            case StimulusTable():
                yield INTERVALS, key, path
            case MedPcEvents():
                yield EVENTS, key, path
            case _:
                pass
