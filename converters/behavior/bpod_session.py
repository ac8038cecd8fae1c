"""What Bpod recorded in a session: trials, states and events, from MATLAB or from iblrig's text files.

In both, times of states and events count from the start of their trial.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nwbswitch.schemas.errors import InputFileError, TableError, UnsafeFileError
from nwbswitch.schemas.issues import Place, issue

MAX_BYTES = 1 << 29
MAX_TRIALS = 1_000_000
MAX_LINE = 1 << 26
_NOT_BPODS = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
)
"""What other data in the place of Bpod's lead to."""


@dataclass(frozen=True, slots=True)
class BpodTrial:
    """One trial: its start and end on Bpod's clock, s, visits to states and times of events."""

    start_s: float
    stop_s: float
    states: tuple[tuple[str, float, float], ...]
    """Name, start and end on Bpod's clock, s, of every visit."""
    events: tuple[tuple[str, float], ...]
    """Name and time on Bpod's clock, s."""
    trial_type: float
    """NaN where it is not stated."""


def read_bpod(path: Path) -> list[BpodTrial]:
    """Return the trials of a Bpod file.

    Raises
    ------
    InputFileError, TableError
        A file without trials, damaged, or of another kind.
    UnsafeFileError
        A file larger than is read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UnsafeFileError(path, f"has more than the {MAX_BYTES} bytes that are read.")
    trials = _matlab(path) if path.suffix.lower() == ".mat" else _lines(path)
    if not trials:
        raise InputFileError(path, "holds no trials.")
    for number, (one, other) in enumerate(pairwise(trials), start=2):
        if other.start_s < one.start_s:
            raise InputFileError(
                path,
                f"begins trial {number} at {other.start_s:g} s, but the one before it at {one.start_s:g} s.",
                "The file may hold several recordings; split it.",
            )
    return trials


def _lines(path: Path) -> list[BpodTrial]:
    """Return the trials of iblrig's file, one JSON object per line."""
    found = []
    with path.open(encoding="utf-8", errors="replace") as stream:
        number = 0
        while line := stream.readline(MAX_LINE):
            number += 1
            if not line.strip():
                continue
            try:
                data = json.loads(line)["behavior_data"]
                found.append(
                    _trial(
                        data["Trial start timestamp"],
                        data["Trial end timestamp"],
                        data["States timestamps"],
                        data["Events timestamps"],
                        math.nan,
                    )
                )
            except _NOT_BPODS as error:
                problem = f"The line is no trial of iblrig: {type(error).__name__} {str(error)[:80]}."
                remedy = (
                    "Copy the file again; a line cut short belongs to a session that was stopped."
                    if found
                    else "Name the file _iblrig_taskData.raw.jsonable."
                )
                raise TableError(
                    [issue("bad-cell", problem, place=Place(path, number), remedy=remedy)]
                ) from error
            if len(found) > MAX_TRIALS:
                raise UnsafeFileError(path, f"holds more than {MAX_TRIALS} trials.")
    return found


def _matlab(path: Path) -> list[BpodTrial]:
    """Return the trials of ``SessionData``, as the state machine's MATLAB software saves it."""
    from nwbswitch.schemas.mat_guard import load_mat, mat_variables

    if "SessionData" not in mat_variables(path):
        raise InputFileError(path, "holds no SessionData.", "Name the .mat file that Bpod saved.")
    session = load_mat(path, ["SessionData"])["SessionData"]
    try:
        starts = np.ravel(session["TrialStartTimestamp"]).astype(float)
        trials = session["RawEvents"]["Trial"]
        types = np.ravel(session.get("TrialTypes", np.full(len(starts), math.nan))).astype(float)
        ends = session.get("TrialEndTimestamp")
        stops = None if ends is None else np.ravel(ends).astype(float)
        listed = list(trials) if isinstance(trials, list) else [trials]
        if len(listed) != len(starts):
            raise ValueError(f"{len(listed)} trials, {len(starts)} starts")
        found = []
        for index, each in enumerate(listed):
            states, events = each.get("States", {}), each.get("Events", {})
            stop_s = math.nan if stops is None else stops[index]
            kind = types[index] if index < len(types) else math.nan
            found.append(_trial(starts[index], stop_s, states, events, kind))
    except _NOT_BPODS as error:
        raise InputFileError(
            path, f"holds a SessionData that is not Bpod's: {type(error).__name__} {str(error)[:80]}."
        ) from error
    return found


def _trial(
    start_s: Any, stop_s: Any, states: Mapping[str, Any], events: Mapping[str, Any], trial_type: float
) -> BpodTrial:
    start, stop = float(start_s), float(stop_s)
    if not math.isfinite(start):
        raise ValueError(f"the trial starts at {start}")
    visits = [
        (str(name), start + first, start + last)
        for name, times in states.items()
        for first, last in _pairs(times)
    ]
    happened = [(str(name), start + time) for name, times in events.items() for time in _times(times)]
    if not math.isfinite(stop):
        # The last trial of a recording that was stopped has no end.
        stop = max([start, *(last for _, _, last in visits), *(time for _, time in happened)])
    if stop < start:
        raise ValueError(f"the trial ends at {stop:g} s, before it starts at {start:g} s")
    return BpodTrial(
        start,
        stop,
        tuple(sorted(visits, key=lambda each: each[1])),
        tuple(sorted(happened, key=lambda each: each[1])),
        trial_type,
    )


def _pairs(times: Any) -> Iterator[tuple[float, float]]:
    """Yield the visits of a state; a state that was not visited has NaN."""
    values = np.asarray(times, dtype=float).reshape(-1, 2)
    for first, last in values:
        if math.isfinite(first) and math.isfinite(last):
            yield float(first), float(last)


def _times(times: Any) -> Iterator[float]:
    for time in np.ravel(np.asarray(times, dtype=float)):
        if math.isfinite(time):
            yield float(time)
