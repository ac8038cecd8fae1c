"""Named signals of one dimension in CSV, HDF5, MATLAB or NumPy files, read when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from hdmf.data_utils import GenericDataChunkIterator
from numpy.typing import NDArray

from nwbswitch.converters.behavior.signal_table import read_columns
from nwbswitch.schemas.errors import InputFileError, TableError
from nwbswitch.schemas.file_guard import open_hdf5, open_npy
from nwbswitch.schemas.issues import Place, issue, nearest
from nwbswitch.schemas.study_clocks import HDF5_SUFFIXES, MATLAB_SUFFIXES, NUMPY_SUFFIXES, TABLE_SUFFIXES

CHUNK_SAMPLES = 1 << 18
BUFFER_SAMPLES = 1 << 23
MEMORY_SAMPLES = 1 << 20
SUFFIXES = (*TABLE_SUFFIXES, *HDF5_SUFFIXES, *MATLAB_SUFFIXES, *NUMPY_SUFFIXES)


class SignalFile:
    """A file of signals: columns of a table, HDF5 datasets, MATLAB variables or one NumPy array.

    Parameters
    ----------
    path
        The file; its suffix tells what it is.
    names
        Columns, datasets or variables that will be asked for. Of a NumPy file every name is its array.

    Raises
    ------
    InputFileError, TableError
        A file of another kind, damaged, or without one of the names.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self.path = path
        self.lines: NDArray[Any] | None = None
        self._open = ExitStack()
        wanted = list(dict.fromkeys(names))
        suffix = path.suffix.lower()
        try:
            if suffix in TABLE_SUFFIXES:
                columns, self.lines = read_columns(path, wanted)
                self._values: dict[str, Any] = dict(columns)
            elif suffix in HDF5_SUFFIXES:
                self._values = self._datasets(wanted)
            elif suffix in MATLAB_SUFFIXES:
                self._values = self._variables(wanted)
            elif suffix in NUMPY_SUFFIXES:
                array = self._open.enter_context(open_npy(path))
                self._values = dict.fromkeys(wanted, array)
            else:
                raise InputFileError(
                    path,
                    f"is no file that signals are read from ({', '.join(SUFFIXES)}).",
                    "Export it as CSV.",
                )
        except BaseException:
            self.close()
            raise

    def _datasets(self, names: Sequence[str]) -> dict[str, Any]:
        import h5py

        file = self._open.enter_context(open_hdf5(self.path))
        found: dict[str, Any] = {}
        for name in names:
            node = file.get(name)
            if not isinstance(node, h5py.Dataset):
                raise self._missing("dataset", name, _datasets_in(file))
            found[name] = node
        return found

    def _variables(self, names: Sequence[str]) -> dict[str, Any]:
        from nwbswitch.schemas.mat_guard import load_mat, mat_variables

        known = list(mat_variables(self.path))
        for name in names:
            if name.partition(".")[0] not in known:
                raise self._missing("variable", name, known)
        return load_mat(self.path, names)

    def _missing(self, kind: str, name: str, known: Sequence[str]) -> TableError:
        problem = f"There is no {kind} {name!r}; there are {', '.join(known[:20]) or 'none'}."
        place, remedy = Place(self.path), nearest(name, known)
        return TableError([issue("missing-column", problem, place=place, remedy=remedy)])

    def signal(self, name: str, channel: int | None = None, *, key: str = "channel") -> OneSignal:
        """Return a signal; ``channel`` picks one, from 0, of an array with two dimensions.

        ``key`` is what the study file calls the channel.

        Raises
        ------
        InputFileError
            For what is no row of numbers.
        """
        values = self._values[name]
        # The shape of an HDF5 dataset without any space is None.
        stated = getattr(values, "shape", None)
        kind = getattr(getattr(values, "dtype", None), "kind", "O")
        if kind not in "iufb" or stated is None or 0 in stated:
            raise InputFileError(self.path, f"{name} holds no numbers.")
        shape = tuple(int(side) for side in stated)
        sides = [side for side in shape if side != 1]
        if len(sides) > 2 or (len(sides) == 2 and channel is None):
            raise InputFileError(
                self.path, f"{name} has shape {shape}; one signal is wanted.", f"Give {key}, counted from 0."
            )
        if len(sides) < 2:
            if channel:
                raise InputFileError(self.path, f"{name} has 1 channel, there is no {channel}.")
            return OneSignal(values, shape, None, 0)
        if len(shape) != 2:
            raise InputFileError(self.path, f"{name} has shape {shape}; two dimensions are wanted.")
        axis = 0 if shape[0] < shape[-1] else 1
        if channel is None or not 0 <= channel < shape[axis]:
            raise InputFileError(self.path, f"{name} has {shape[axis]} channels, there is no {channel}.")
        return OneSignal(values, shape, channel, axis)

    def close(self) -> None:
        """Close the file."""
        self._open.close()


def _datasets_in(file: Any) -> list[str]:
    found: list[str] = []
    file.visititems(lambda key, each: found.append(key) if hasattr(each, "shape") else None)
    return found


class OneSignal:
    """A signal that is read piece by piece."""

    def __init__(
        self,
        values: Any,
        shape: tuple[int, ...],
        channel: int | None,
        channel_axis: int,
        span: tuple[int, int] | None = None,
    ) -> None:
        self._values = values
        self._channel = channel
        self._axis = channel_axis
        self._shape = shape
        self._whole = max(shape, default=1) if channel is None else shape[1 - channel_axis]
        self._first, stop = (0, self._whole) if span is None else span
        self.n = stop - self._first
        self.dtype = np.dtype(values.dtype).newbyteorder("=")

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return samples ``start`` to ``stop``, shape (n,)."""
        span = slice(self._first + start, self._first + (self.n if stop is None else min(stop, self.n)))
        window: tuple[Any, ...]
        if self._channel is not None:
            window = (self._channel, span) if self._axis == 0 else (span, self._channel)
        elif len(self._shape) < 2:
            window = (span,) if self._shape else ()
        else:
            window = tuple(span if side == self._whole else slice(None) for side in self._shape)
        return np.asarray(self._values[window], dtype=self.dtype).reshape(-1)

    def part(self, start: int, stop: int) -> OneSignal:
        """Return the samples ``start`` to ``stop`` as a signal of their own."""
        span = (self._first + start, self._first + stop)
        return OneSignal(self._values, self._shape, self._channel, self._axis, span)

    def data(self, stop: int | None = None) -> NDArray[Any] | SignalChunks:
        """Return the samples for a series: in memory when they are few, else chunk by chunk."""
        n = self.n if stop is None else min(stop, self.n)
        return self.read(0, n) if n <= MEMORY_SAMPLES else SignalChunks(self, n)


class SignalChunks(GenericDataChunkIterator):  # type: ignore[misc]
    """A long signal in chunks that fit into memory."""

    def __init__(self, signal: OneSignal, n: int) -> None:
        self._signal = signal
        self._n = n
        super().__init__(buffer_shape=(min(BUFFER_SAMPLES, n),), chunk_shape=(min(CHUNK_SAMPLES, n),))

    def _get_data(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        return self._signal.read(selection[0].start, selection[0].stop)

    def _get_maxshape(self) -> tuple[int, ...]:
        return (self._n,)

    def _get_dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._signal.dtype
        return dtype
