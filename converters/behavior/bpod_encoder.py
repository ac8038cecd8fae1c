"""Positions of Bpod's rotary encoder module, as iblrig writes them to text files.

Until iblrig 4 a line is ``Position <us> <position> <computer time>``, from 5 on ``<us> <position>``. The
microseconds are those of a 32-bit counter, which starts again after 71.6 min; a position is reported whenever
it changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.behavior.turning import path_of
from nwbswitch.converters.behavior.wheel_interface import WheelInterface
from nwbswitch.converters.timing import Timing
from nwbswitch.schemas.errors import InputFileError, TableError, UnsafeFileError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.streams_signals import Wheel

Floats = NDArray[np.float64]
COUNTER_US = 2.0**32
MAX_BYTES = 1 << 28
MAX_STEP = 1 << 20
OVERTAKEN_US = 1000
"""Reports that overtake each other by less, us, are put in order; of two at one time the last counts."""


class BpodEncoderInterface(WheelInterface):
    """Positions of a wheel on Bpod's rotary encoder module.

    Parameters
    ----------
    file_path : FilePath
        _iblrig_encoderPositions.raw.ssv.
    counts_per_turn : float
        Positions of one turn.
    skip_rows : int
        Leading rows to leave out.
    wheel : dict
        radius_cm, reversed and speed_window_s.
    start_s : float
        Time of the zero of the module's clock, s.
    metadata_key : str
        Name of the stream; the series are called <name>_position and <name>_speed.
    """

    display_name = "Bpod rotary encoder"
    associated_suffixes = (".ssv",)
    info = "Reads the positions that Bpod's rotary encoder module reported."

    def __init__(
        self,
        *,
        file_path: FilePath,
        counts_per_turn: float = 1024,
        skip_rows: int = 0,
        wheel: dict[str, Any] | None = None,
        start_s: float = 0.0,
        metadata_key: str = "wheel",
    ) -> None:
        """Read the positions."""
        super().__init__(
            file_path=file_path,
            counts_per_turn=counts_per_turn,
            skip_rows=skip_rows,
            wheel=wheel,
            start_s=start_s,
            metadata_key=metadata_key,
        )
        self.wheel = Wheel.model_validate(wheel or {})
        self.metadata_key = metadata_key
        self.counts_per_turn = counts_per_turn
        times_s, self.positions = read_positions(Path(file_path), skip_rows=skip_rows)
        self.set_own_timing(Timing.of_times(times_s + start_s), Path(file_path))

    def path_and_unit(self) -> tuple[Floats, str]:
        """Return the path; zero is the module's own."""
        return path_of(self.positions / self.counts_per_turn, self.wheel)

    def source_words(self) -> str:
        """Return the calibration."""
        radius = "" if self.wheel.radius_cm is None else f", radius {self.wheel.radius_cm:g} cm"
        return f"Bpod rotary encoder module, {self.counts_per_turn:g} positions a turn{radius}."


def read_positions(path: Path, *, skip_rows: int = 0) -> tuple[Floats, Floats]:
    """Return times, s, and positions, each (n,), of an encoder file.

    Raises
    ------
    TableError
        A line that cannot be read, or a time that goes back, with its line.
    InputFileError, UnsafeFileError
        A file of events instead of positions, without rows, or too large.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UnsafeFileError(path, f"has {size} bytes, more than the {MAX_BYTES} read.")
    lines = path.read_bytes().decode("ascii", errors="replace").splitlines()
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    # Newer firmware writes events, like positions, as a time and a number: only the name tells.
    if "encoderEvents" in path.name or (rows and rows[0][1][0] == "Event"):
        raise InputFileError(
            path, "holds events of the state machine, not positions.", "Name the encoderPositions file."
        )
    if rows and lines and len(rows[-1][1]) < 2:
        remedy = "Copy the file again, or delete its last line."
        _refuse(path, rows[-1][0], "The last line is cut short.", remedy)
    parsed = [(number, *_row(path, number, cells)) for number, cells in rows[skip_rows:]]
    if not parsed:
        raise InputFileError(path, "holds no positions.")
    times = np.array([each[1] for each in parsed])
    steps = np.diff(times)
    begins_again = steps < -COUNTER_US / 2
    for index in np.flatnonzero((steps < -OVERTAKEN_US) & ~begins_again)[:1]:
        _refuse(
            path,
            parsed[index + 1][0],
            f"The time {times[index + 1]:.0f} us is not after {times[index]:.0f} us.",
            "Positions from before a reset lie at the beginning: give skip_rows to leave them out.",
        )
    times[1:] += COUNTER_US * np.cumsum(begins_again)
    order = np.argsort(times, kind="stable")
    last = np.append(np.diff(times[order]) > 0, True)
    kept = order[last]
    return times[kept] * 1e-6, np.array([each[2] for each in parsed])[kept]


def _row(path: Path, number: int, cells: list[str]) -> tuple[float, float]:
    if cells[0] == "Position":
        cells = cells[1:3] if len(cells) == 4 else []
    try:
        if len(cells) != 2:
            raise ValueError
        time, position = int(cells[0]), int(cells[1])
    except ValueError:
        problem = "The line is no time and position of the encoder."
        _refuse(path, number, problem, "The file is damaged, or is not iblrig's encoderPositions file.")
    if not 0 <= time < COUNTER_US or abs(position) > MAX_STEP * 1024:
        _refuse(path, number, f"{time} us and {position} are beyond what the module counts.", "")
    return float(time), float(position)


def _refuse(path: Path, line: int, problem: str, remedy: str) -> NoReturn:
    raise TableError([issue("bad-cell", problem, place=Place(path, line), remedy=remedy)])
