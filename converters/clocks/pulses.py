"""Times of pulses on the clock that recorded them: stated, counted, or edges of a sampled line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.clocks.edges import EdgeFinder
from nwbswitch.schemas.errors import InputFileError, TableError, UnsafeFileError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.mapped_array import MappedArray
from nwbswitch.schemas.study_clocks import (
    HDF5_SUFFIXES,
    MATLAB_SUFFIXES,
    NUMPY_SUFFIXES,
    TABLE_SUFFIXES,
    PulseSource,
)

Floats = NDArray[np.float64]

BLOCK_SAMPLES = 1 << 22
"""Samples of a line that are in memory at once: 32 MB as float64."""
MAX_PULSES = 50_000_000
"""More pulses than an hour of any line clock has (16 kHz); noise around the threshold has more."""
MAX_CHUNK_BYTES = 256 << 20
"""Largest HDF5 chunk that is unpacked, which HDF5 does in one piece."""


@dataclass(frozen=True, slots=True)
class PulseTrain:
    """Pulses of one file on the clock that recorded them."""

    path: Path
    item: str
    """Column, dataset or variable; empty where the file holds one array."""
    times_s: Floats
    """In order, s; equal times are kept."""
    n_bounces: int = 0
    """Pulses left out because they followed another one too soon."""

    @property
    def place(self) -> Place:
        """Where the pulses are, for findings."""
        return Place(self.path, item=self.item)


def read_pulses(source: PulseSource, *, block_samples: int = BLOCK_SAMPLES) -> PulseTrain:
    """Return the pulses that a source describes.

    An edge lies where the straight line between the samples around it crosses the threshold. On a digital
    line that is half a sample before the first sample of the new level, the middle of where it can be.

    Parameters
    ----------
    source
        The file and what is in it.
    block_samples
        Samples of a line that are read at once.

    Raises
    ------
    InputFileError
        The file is not there, damaged, or holds something else than stated.
    UnsafeFileError
        The file is refused, or holds more pulses than any line has.
    TableError
        Cells of a CSV file that are no numbers or no times.
    """
    item = source.column or source.dataset or source.variable or ""
    try:
        with _opened(source) as line:
            levels = source.kind == "levels"
            times = _edge_times(source, line, block_samples) if levels else _stated_times(source, line)
    except (OSError, RuntimeError) as error:
        raise InputFileError(source.path, f"cannot be read: {str(error)[:200]}.") from error
    kept = _without_bounces(times, source.min_interval_s)
    return PulseTrain(source.path, item, kept, len(times) - len(kept))


@dataclass(frozen=True, slots=True)
class _Line:
    """Numbers of a file along time, read piece by piece; ``time_axis`` is None for one dimension."""

    data: Any
    n: int
    time_axis: int | None = None
    channel: int = 0
    times_s: Floats | None = None
    rows: NDArray[Any] | None = None
    """Line of the file of each number, where it is a table."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        if self.time_axis is None:
            return np.asarray(self.data[start:stop])
        if self.time_axis == 0:
            return np.asarray(self.data[start:stop, self.channel])
        return np.asarray(self.data[self.channel, start:stop])


@contextmanager
def _opened(source: PulseSource) -> Iterator[_Line]:
    """Open the numbers of a source while they are read."""
    suffix = source.path.suffix.lower()
    if suffix in HDF5_SUFFIXES:
        from nwbswitch.schemas.hdf5_guard import open_hdf5

        with open_hdf5(source.path) as file:
            yield _line(source, _dataset(source, file))
    elif suffix in TABLE_SUFFIXES:
        yield _table(source)
    elif suffix in MATLAB_SUFFIXES:
        from nwbswitch.schemas.mat_guard import mat_array

        with mat_array(source.path, str(source.variable)) as array:
            yield _line(source, array)
    elif suffix in NUMPY_SUFFIXES:
        from nwbswitch.schemas.npy_guard import open_npy

        with open_npy(source.path) as array:
            yield _line(source, array)
    else:
        with _raw(source) as array:
            yield _line(source, array)


def _dataset(source: PulseSource, file: Any) -> Any:
    import h5py

    name = str(source.dataset)
    node = file.get(name)
    if not isinstance(node, h5py.Dataset):
        held: list[str] = []
        file.visititems(lambda key, each: held.append(key) if isinstance(each, h5py.Dataset) else None)
        shown = ", ".join(held[:20]) or "none"
        raise InputFileError(
            source.path, f"holds no dataset {name!r}; there are: {shown}.", "Correct dataset."
        )
    if node.chunks is not None and math.prod(node.chunks) * node.dtype.itemsize > MAX_CHUNK_BYTES:
        problem = f"stores {name} in chunks of more than {MAX_CHUNK_BYTES} bytes."
        raise UnsafeFileError(source.path, problem, "Repack it with smaller chunks (h5repack -l).")
    return node


def _table(source: PulseSource) -> _Line:
    from nwbswitch.converters.behavior.signal_table import read_columns

    column = str(source.column)
    names = [column] + ([source.time_column] if source.time_column else [])
    columns, rows = read_columns(source.path, names)
    times = columns[source.time_column] * source.scale if source.time_column else None
    return _Line(columns[column], len(rows), times_s=times, rows=rows)


def _raw(source: PulseSource) -> MappedArray:
    dtype = np.dtype(str(source.dtype)).newbyteorder("<")
    width = dtype.itemsize * int(source.n_channels or 1)
    size = source.path.stat().st_size
    if not size or size % width:
        raise InputFileError(
            source.path,
            f"has {size} bytes, not a whole number of samples of {width} bytes "
            f"({source.n_channels} channels of {source.dtype}).",
            "Correct dtype or n_channels.",
        )
    return MappedArray(source.path, dtype=dtype, shape=(size // width, int(source.n_channels or 1)))


def _line(source: PulseSource, data: Any) -> _Line:
    """Return one channel of an array; time runs along the longer of two dimensions, in raw samples first."""
    shape = tuple(data.shape or ())
    if data.dtype.kind not in "iufb":
        raise InputFileError(source.path, f"holds {data.dtype} where numbers of pulses were expected.")
    if len(shape) == 1:
        if source.channel:
            raise InputFileError(source.path, f"has one channel, not channel {source.channel}.")
        return _Line(data, shape[0])
    if len(shape) != 2:
        raise InputFileError(
            source.path, f"holds an array of shape {shape}; pulses have one dimension or two."
        )
    if 0 in shape:
        return _Line(np.empty(0), 0)
    is_raw = source.dtype is not None
    if shape[0] == shape[1] > 1 and not is_raw:
        raise InputFileError(source.path, f"has shape {shape}, which does not tell time from channels.")
    time_axis = 0 if is_raw or shape[0] > shape[1] else 1
    n_channels = shape[1 - time_axis]
    channel = 0 if n_channels == 1 and source.channel is None else source.channel
    if channel is None or channel >= n_channels:
        problem = f"has {n_channels} channels of {shape[time_axis]} numbers"
        raise InputFileError(source.path, f"{problem}.", f"Give channel, from 0 to {n_channels - 1}.")
    return _Line(data, shape[time_axis], time_axis, channel)


def _stated_times(source: PulseSource, line: _Line) -> Floats:
    if line.n > MAX_PULSES:
        _refuse_noise(source)
    values = line.read(0, line.n).astype(np.float64)
    if line.rows is not None and np.isnan(values).any():
        _refuse_row(source, line, int(np.flatnonzero(np.isnan(values))[0]), "The time is missing.")
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputFileError(source.path, f"pulse {row + 1} has no finite time.")
    backward = np.flatnonzero(np.diff(values) < 0) + 1
    if backward.size:
        row = int(backward[0])
        problem = f"Pulse {row + 1} ({values[row]:.10g}) comes before pulse {row} ({values[row - 1]:.10g})."
        if line.rows is not None:
            _refuse_row(source, line, row, problem)
        raise InputFileError(source.path, problem)
    if source.kind == "times":
        return np.asarray(values * source.scale)
    if values.size and (values[0] < source.first_sample or (values % 1).any()):
        raise InputFileError(
            source.path,
            f"holds numbers that are no sample numbers counted from {source.first_sample}.",
            "Give kind: times if they are times.",
        )
    return np.asarray((values - source.first_sample) / float(source.rate_hz or 1))


def _refuse_row(source: PulseSource, line: _Line, row: int, problem: str) -> NoReturn:
    assert line.rows is not None
    place = Place(source.path, int(line.rows[row]), str(source.column))
    raise TableError([issue("bad-cell", problem, place=place)])


def _edge_times(source: PulseSource, line: _Line, block_samples: int) -> Floats:
    if source.bit is not None:
        _check_bit(source, line, source.bit)
    if line.times_s is not None:
        _check_row_times(source, line)
    finder = EdgeFinder(
        threshold=0.5 if source.threshold is None else source.threshold,
        hysteresis=source.hysteresis,
        falling=source.edge == "falling",
    )
    found: list[Floats] = []
    n_found = 0
    for start in range(0, line.n, block_samples):
        values = line.read(start, min(line.n, start + block_samples))
        edges = finder.edges(_levels(source, values, start))
        n_found += len(edges)
        if n_found > MAX_PULSES:
            _refuse_noise(source)
        found.append(edges)
    edges = np.concatenate(found) if found else np.empty(0)
    if line.times_s is not None:
        times: Floats = np.interp(edges, np.arange(line.n), line.times_s)
        return times
    return edges / float(source.rate_hz or 1)


def _check_bit(source: PulseSource, line: _Line, bit: int) -> None:
    dtype = line.data.dtype
    # Columns of a table are floats, which hold whole numbers of 53 bits.
    width = 53 if line.rows is not None else 8 * dtype.itemsize if dtype.kind in "iu" else 0
    if bit >= width:
        raise InputFileError(source.path, f"holds {dtype}, which has no bit {bit}.", "Correct bit.")


def _levels(source: PulseSource, values: NDArray[Any], start: int) -> NDArray[Any]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = start + int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputFileError(source.path, f"sample {row} of the line is no finite number.")
    if source.bit is None:
        return values
    words = values if values.dtype.kind in "iu" else values.astype(np.int64)
    if not np.array_equal(words, values):
        raise InputFileError(source.path, "holds fractions, not digital words.", "Give a threshold.")
    bits: NDArray[Any] = (words >> words.dtype.type(source.bit)) & words.dtype.type(1)
    return bits


def _check_row_times(source: PulseSource, line: _Line) -> None:
    assert line.times_s is not None
    wrong = np.flatnonzero(~(np.diff(line.times_s) > 0)) + 1
    if np.isnan(line.times_s[:1]).any():
        wrong = np.zeros(1, dtype=np.int64)
    if wrong.size:
        _refuse_row(source, line, int(wrong[0]), f"{source.time_column} is missing or does not increase.")


def _refuse_noise(source: PulseSource) -> NoReturn:
    raise UnsafeFileError(
        source.path,
        f"holds more than {MAX_PULSES} pulses.",
        "Move the threshold out of the noise, or give hysteresis.",
    )


def _without_bounces(times_s: Floats, min_interval_s: float) -> Floats:
    """Return times of which none follows the last one kept within ``min_interval_s``."""
    if not min_interval_s or not (np.diff(times_s) < min_interval_s).any():
        return times_s
    kept = np.zeros(len(times_s), dtype=bool)
    last = -np.inf
    for row, time_s in enumerate(times_s.tolist()):
        if time_s - last >= min_interval_s:
            kept[row] = True
            last = time_s
    return np.asarray(times_s[kept])
