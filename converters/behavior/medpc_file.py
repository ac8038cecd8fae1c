"""MED-PC's data files: one or more recordings, each with header lines and arrays named by letters.

A recording begins with ``Start Date:``; arrays of numbers follow as ``A:`` with rows ``0:  1.0  2.0 …`` of
five values each, numbered by the index of their first, or as ``A: 1.0`` for a single value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, TableError, UnsafeFileError
from nwbswitch.schemas.issues import Place, issue, nearest

MAX_BYTES = 1 << 28
_FIRST = "Start Date"
_HEADER = re.compile(r"([A-Z][A-Za-z ]+[A-Za-z]):\s*(.*)")
_ARRAY = re.compile(r"([A-Z]):\s*(\S.*)?")
_ROW = re.compile(r"\s+(\d+):\s+(\S.*)")


@dataclass(slots=True)
class MedPcRecording:
    """One recording: its header and its arrays by letter."""

    line: int
    header: dict[str, str]
    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def read_medpc(path: Path) -> list[MedPcRecording]:
    """Return all recordings of a file.

    Raises
    ------
    InputFileError, UnsafeFileError
        A file that is not MED-PC's, or too large.
    TableError
        Rows that are no numbers or out of order, with their lines.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UnsafeFileError(path, f"has {size} bytes, more than the {MAX_BYTES} read.")
    recordings: list[MedPcRecording] = []
    # Numbers of each array of each recording; rows are added to lists, which become arrays once.
    lists: list[dict[str, list[float]]] = []
    letter = ""
    text = path.read_bytes().decode("latin-1")
    for number, line in enumerate(text.splitlines(), start=1):
        header, row = _HEADER.fullmatch(line.rstrip()), _ROW.fullmatch(line.rstrip())
        array = _ARRAY.fullmatch(line.rstrip())
        if header and header[1] == _FIRST:
            recordings.append(MedPcRecording(number, {_FIRST: header[2].strip()}))
            lists.append({})
            letter = ""
        elif not recordings:
            continue
        elif row and letter:
            values = lists[-1][letter]
            if row[1] != str(len(values)):
                _refuse(path, number, f"Row {row[1][:20]} of {letter} follows {len(values)} values.")
            values += _numbers(path, number, row[2])
        elif array:
            letter = array[1]
            if letter in lists[-1]:
                _refuse(path, number, f"The array {letter} is there twice.")
            lists[-1][letter] = _numbers(path, number, array[2]) if array[2] else []
        elif header:
            recordings[-1].header.setdefault(header[1], header[2].strip())
        elif line.strip():
            _refuse(path, number, f"The line {line.strip()[:40]!r} is not MED-PC's.")
    if not recordings:
        raise InputFileError(
            path,
            "is no data file of MED-PC: there is no line 'Start Date:'.",
            "Name the text file that MED-PC wrote.",
        )
    for recording, arrays in zip(recordings, lists, strict=True):
        recording.arrays.update({name: np.array(values, dtype=float) for name, values in arrays.items()})
    return recordings


def pick(path: Path, recordings: list[MedPcRecording], select: Mapping[str, str]) -> MedPcRecording:
    """Return the one recording whose header has all of ``select``.

    Raises
    ------
    InputFileError
        When none or several have; it lists what tells them apart.
    """
    known = list(dict.fromkeys(key for each in recordings for key in each.header))
    for key in select:
        if key not in known:
            raise InputFileError(
                path, f"has no header line {key!r}.", nearest(key, known) or f"There are: {', '.join(known)}."
            )
    found = [
        each
        for each in recordings
        if all(each.header.get(key, "").strip() == str(value).strip() for key, value in select.items())
    ]
    if len(found) == 1:
        return found[0]
    among = found or recordings
    telling = [key for key in known if len({each.header.get(key, "") for each in among}) == len(among)]
    key = next((each for each in ("Subject", "Start Time") if each in telling), (telling or known)[0])
    listed = ", ".join(repr(each.header.get(key, "")) for each in among[:20])
    stated = ", ".join(f"{name}: {value}" for name, value in select.items()) or "nothing"
    raise InputFileError(
        path,
        f"holds {len(recordings)} recordings; {len(found)} of them have what select states ({stated}).",
        f"Pick one by {key}: {listed}.",
    )


def _numbers(path: Path, line: int, text: str) -> list[float]:
    try:
        values = [float(each) for each in text.split()]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        _refuse(path, line, f"{text[:40]!r} are no numbers.")
    return values


def _refuse(path: Path, line: int, problem: str) -> NoReturn:
    remedy = "The file may be damaged; copy it again."
    raise TableError([issue("bad-cell", problem, place=Place(path, line), remedy=remedy)])
