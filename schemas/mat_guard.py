"""MAT-files of MATLAB 4 to 7.3, read without believing a size, a reference or an index in them.

`load_mat` gives the values of variables, `mat_variables` their shapes and classes without reading them, and
`mat_array` a large matrix piece by piece. `mat_values` says what MATLAB's values become; the versions have a
reader each (`mat_v4`, `mat_v5`, `mat_v73`), and all give the same values for the same variables.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.hdf5_guard import open_hdf5
from nwbswitch.schemas.mat_v4 import MatV4
from nwbswitch.schemas.mat_v5 import MatV5
from nwbswitch.schemas.mat_v73 import MatV73, as_numbers
from nwbswitch.schemas.mat_values import MatBudget, MatOpaque, MatVariable, damaged

__all__ = ["MatArray", "MatOpaque", "MatVariable", "load_mat", "mat_array", "mat_variables"]

MAX_MAT_BYTES = 4 << 30
_HDF5_MARK = b"\x89HDF\r\n\x1a\n"
_HDF5_PLACES = (0, 512, 1024, 2048)
_FAULTS = (
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def load_mat(
    path: Path | str, names: Sequence[str] | None = None, *, max_bytes: int = MAX_MAT_BYTES
) -> dict[str, Any]:
    """Return variables of a MAT-file of any version by name; see `mat_values` for what they become.

    Parameters
    ----------
    path
        The file.
    names
        The variables that are wanted; all by default. ``"output.spatial_weights"`` is a field of a struct and
        comes back under that name.
    max_bytes
        Most bytes that the wanted values may have together.

    Raises
    ------
    UnsafeFileError
        When the file states or unpacks to more than ``max_bytes``, nests too deep, or reaches outside itself.
    InputFileError
        When the file is missing or damaged, or a variable is not there.
    """
    file = Path(path)
    with _opened(file, max_bytes) as reader, _blamed_on(file):
        wanted = list(reader.variables) if names is None else list(names)
        _check_names(file, reader, wanted)
        return {name: _read(file, reader, name) for name in wanted}


def mat_variables(path: Path | str, *, inside: str | None = None) -> dict[str, MatVariable]:
    """Return shape and class of each variable of a MAT-file, or of each field of a struct, without values.

    Parameters
    ----------
    path
        The file.
    inside
        Name of a struct, such as ``"output"`` or ``"results.options"``; other values have no fields.

    Raises
    ------
    UnsafeFileError, InputFileError
        As `load_mat`.
    """
    file = Path(path)
    with _opened(file, MAX_MAT_BYTES) as reader, _blamed_on(file):
        if inside is None:
            return reader.variables
        _check_names(file, reader, [inside])
        with _blamed_on_name(file, inside):
            return reader.fields(inside)


class MatArray:
    """A numeric array of a MAT-file of which windows are read; made by `mat_array`.

    Indices are whole numbers, slices with positive steps and an ellipsis, in MATLAB's order of dimensions.
    """

    def __init__(
        self, file: Path, source: Any, dtype: np.dtype[Any], *, transposed: bool, limit: int
    ) -> None:
        self._file = file
        self._source = source
        self._transposed = transposed
        self._limit = limit
        shape = tuple(source.shape)
        self.dtype = dtype
        self.shape: tuple[int, ...] = tuple(reversed(shape)) if transposed else shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        window = _full_key(key, self.ndim)
        lengths = [
            len(range(*each.indices(length))) if isinstance(each, slice) else 1
            for each, length in zip(window, self.shape, strict=True)
        ]
        needed = math.prod(lengths) * self.dtype.itemsize
        if needed > self._limit:
            raise InputFileError(
                self._file, f"{needed} bytes were asked for at once, more than {self._limit}."
            )
        with _blamed_on(self._file, but=(IndexError,)):
            found = self._source[tuple(reversed(window)) if self._transposed else window]
            values: NDArray[Any] = as_numbers(np.asarray(found)).astype(self.dtype, copy=False)
        return values.T if self._transposed else values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        values = self[...]
        return values if dtype is None else values.astype(dtype)


@contextmanager
def mat_array(path: Path | str, name: str, *, max_bytes: int = MAX_MAT_BYTES) -> Iterator[MatArray]:
    """Open one numeric array of a MAT-file; with version 7.3 windows are read as they are asked for.

    Parameters
    ----------
    path
        The file.
    name
        The variable, or ``struct.field``.
    max_bytes
        Largest window, and largest variable in files before 7.3, which are read whole.

    Raises
    ------
    UnsafeFileError, InputFileError
        As `load_mat`, and when the variable is no numeric array.
    """
    file = Path(path)
    with _opened(file, max_bytes) as reader:
        with _blamed_on(file):
            _check_names(file, reader, [name])
            if isinstance(reader, MatV73):
                with _blamed_on_name(file, name):
                    array = _window(file, reader, name, max_bytes)
            else:
                value = _read(file, reader, name)
                if not isinstance(value, np.ndarray):
                    raise damaged(file, f"{name} is no array of numbers")
                array = MatArray(file, value, value.dtype, transposed=False, limit=max_bytes)
        yield array


def _window(file: Path, reader: MatV73, name: str, limit: int) -> MatArray:
    node = reader.find(name)
    reader.check_window(node)
    kind = reader.class_of(node)
    stored = as_numbers(np.empty(0, node.dtype)).dtype
    dtype = np.dtype(bool) if kind == "logical" else stored
    if stored.kind not in "iufc" or node.ndim < 2:
        raise damaged(file, f"{name} is no array of numbers")
    return MatArray(file, node, dtype, transposed=True, limit=limit)


@contextmanager
def _opened(file: Path, max_bytes: int) -> Iterator[MatV4 | MatV5 | MatV73]:
    """Open the file with the reader of its version."""
    if not file.is_file():
        raise InputFileError(file, "is not there." if not file.exists() else "is not a file.")
    budget = MatBudget(file, max_bytes)
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InputFileError(file, f"cannot be read: {error.strerror or error}.") from error
    with stream:
        with _blamed_on(file):
            head = stream.read(_HDF5_PLACES[-1] + len(_HDF5_MARK))
            if any(head[place:].startswith(_HDF5_MARK) for place in _HDF5_PLACES):
                reader: MatV4 | MatV5 | None = None
            elif 0 in head[:4]:  # the header of later versions is text
                reader = MatV4(file, stream, budget)
            else:
                reader = MatV5(file, stream, budget)
        if reader is not None:
            yield reader
            return
    with open_hdf5(file) as handle:
        with _blamed_on(file):
            opened = MatV73(file, handle, budget)
        yield opened


@contextmanager
def _blamed_on(file: Path, *, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn what numpy, h5py and struct raise on damaged data into our error."""
    try:
        yield
    except but:
        raise
    except _FAULTS as error:
        raise damaged(file, f"{type(error).__name__}: {error}") from error


def _check_names(file: Path, reader: MatV4 | MatV5 | MatV73, names: list[str]) -> None:
    known = reader.variables
    for name in names:
        if name.split(".")[0] not in known:
            raise InputFileError(file, f"has no variable {name[:80]}; it has {', '.join(known)[:300]}.")


def _read(file: Path, reader: MatV4 | MatV5 | MatV73, name: str) -> Any:
    with _blamed_on_name(file, name):
        return reader.read(name)


@contextmanager
def _blamed_on_name(file: Path, name: str) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        if "." not in name:
            raise
        raise InputFileError(file, f"has no field {name[:80]}.") from error


def _full_key(key: Any, ndim: int) -> tuple[int | slice, ...]:
    parts = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (ndim - len(parts) + 1)
    parts += [slice(None)] * (ndim - len(parts))
    if len(parts) != ndim or not all(isinstance(each, int | np.integer | slice) for each in parts):
        raise TypeError("A window of a MAT-file is whole numbers and slices, one for each dimension.")
    return tuple(each if isinstance(each, slice) else int(each) for each in parts)
