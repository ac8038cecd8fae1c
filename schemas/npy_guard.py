"""Arrays of ``.npy`` and ``.npz`` files, values of ``.pkl`` files: no code is run, no size is believed."""

from __future__ import annotations

import io
import math
import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.mapped_array import MappedArray
from nwbswitch.schemas.plain_pickle import read_pickle_bytes
from nwbswitch.schemas.zip_guard import open_zip

MAX_ARRAY_BYTES = 64 << 30
MAX_OBJECT_BYTES = 2 << 30
MAX_DEFLATE_RATIO = 1100.0
"""Deflate cannot exceed 1032:1, and arrays of zeros come near that."""
_MAX_HEADER = 65_536


def load_npy(path: Path | str, *, max_bytes: int = MAX_ARRAY_BYTES) -> NDArray[Any] | dict[Any, Any]:
    """Return the array of a ``.npy`` file, or the dictionary when it holds a single one (``ops.npy``).

    Parameters
    ----------
    path
        The file. Arrays of objects are read by `read_plain_pickle`, so nothing in the file is run.
    max_bytes
        Largest file that is read into memory, bytes (2 GiB at most for objects).

    Raises
    ------
    UnsafeFileError
        When the file asks for code, or for more than ``max_bytes``.
    InputFileError
        When the file is missing, damaged, truncated or not ``.npy``.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            shape, fortran, dtype = _header(file, stream)
            if dtype.hasobject:
                return _objects(file, stream, shape, dtype, limit=min(max_bytes, MAX_OBJECT_BYTES), size=size)
            start = stream.tell()
            _check_size(file, shape, dtype, available=size - start)
            _check_limit(file, size, max_bytes)
            values = np.fromfile(stream, dtype=dtype, count=math.prod(shape))
            return values.reshape(shape, order="F" if fortran else "C")
    except OSError as error:
        raise InputFileError(file, f"cannot be read: {error.strerror or error}.") from error


def open_npy(path: Path | str) -> MappedArray:
    """Return the array of a ``.npy`` file, which stays on disk; the caller closes it.

    Raises
    ------
    UnsafeFileError
        When it holds Python objects.
    InputFileError
        When the file is missing, damaged, truncated or not ``.npy``.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            shape, fortran, dtype = _header(file, stream)
            start = stream.tell()
        if dtype.hasobject:
            raise UnsafeFileError(file, "holds Python objects, where numbers were expected.")
        _check_size(file, shape, dtype, available=size - start)
        return MappedArray(file, dtype=dtype, shape=shape, offset=start, order="F" if fortran else "C")
    except OSError as error:
        raise InputFileError(file, f"cannot be read: {error.strerror or error}.") from error


def load_npy_array(path: Path | str, *, max_bytes: int = MAX_ARRAY_BYTES) -> NDArray[Any]:
    """Return the array of a ``.npy`` file that must hold one; see `load_npy`."""
    value = load_npy(path, max_bytes=max_bytes)
    if isinstance(value, dict):
        raise InputFileError(path, "holds a dictionary, where an array was expected.")
    return value


def load_npy_dict(path: Path | str, *, max_bytes: int = MAX_OBJECT_BYTES) -> dict[str, Any]:
    """Return the dictionary of a ``.npy`` file that must hold one with text keys; see `load_npy`."""
    value = load_npy(path, max_bytes=max_bytes)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputFileError(path, "does not hold a dictionary with text keys.")
    return value


def load_npz(
    path: Path | str, names: Sequence[str] | None = None, *, max_bytes: int = MAX_OBJECT_BYTES
) -> dict[str, NDArray[Any] | dict[Any, Any]]:
    """Return the arrays of a ``.npz`` file by name, each as `load_npy` returns it.

    Parameters
    ----------
    path
        The file.
    names
        The arrays that are wanted, without ``.npy``; all by default.
    max_bytes
        Most bytes of all arrays of the file together.

    Raises
    ------
    UnsafeFileError
        When the file asks for code, for more than ``max_bytes``, or is no honest ZIP archive (`open_zip`).
    InputFileError
        When the file is missing or damaged, or an array is not there.
    """
    file = Path(path)
    with open_zip(file, max_bytes=max_bytes, max_ratio=MAX_DEFLATE_RATIO) as archive:
        members = {member.name.removesuffix(".npy"): member.name for member in archive.members}
        missing = [name for name in names or () if name not in members]
        if missing:
            raise InputFileError(file, f"has no array {missing[0]}; it has {', '.join(members)[:300]}.")
        wanted = members if names is None else names
        return {name: _array_of(file, archive.read(members[name])) for name in wanted}


def load_pickle(path: Path | str, *, max_bytes: int = MAX_OBJECT_BYTES) -> Any:
    """Return the value of a pickle file (``.pkl``, ``.pickle``) that holds plain data only.

    Numbers, text, containers, dates, paths, numpy arrays and pandas tables are read; the whole list of names
    that a pickle may use is `plain_values.CONSTRUCTORS`.

    Raises
    ------
    UnsafeFileError
        When the pickle asks for code, is larger than ``max_bytes`` or damaged.
    InputFileError
        When the file is missing.
    """
    file = Path(path)
    try:
        _check_limit(file, file.stat().st_size, max_bytes)
        data = file.read_bytes()
    except OSError as error:
        raise InputFileError(file, f"cannot be read: {error.strerror or error}.") from error
    return read_pickle_bytes(data, file)


def _array_of(file: Path, data: bytes) -> NDArray[Any] | dict[Any, Any]:
    stream = io.BytesIO(data)
    shape, fortran, dtype = _header(file, stream)
    if dtype.hasobject:
        return _objects(file, stream, shape, dtype, limit=MAX_OBJECT_BYTES, size=len(data))
    start = stream.tell()
    _check_size(file, shape, dtype, available=len(data) - start)
    end = start + math.prod(shape) * dtype.itemsize
    values = np.frombuffer(data[start:end], dtype=dtype) if end > start else np.empty(0, dtype)
    return values.reshape(shape, order="F" if fortran else "C").copy(order="K")


def _header(file: Path, stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, Fortran order and dtype, as numpy's own header reader finds them."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise ValueError(f"version {version} of the format is not supported")
        shape, fortran, dtype = readers[version](stream, max_header_size=_MAX_HEADER)
    except (
        ValueError,
        TypeError,
        SyntaxError,
        MemoryError,
        RecursionError,
        OverflowError,
        tokenize.TokenError,
    ) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputFileError(file, f"is not a .npy file: {reason}.") from error
    if any(type(n) is not int or not 0 <= n < 1 << 62 for n in shape):
        raise UnsafeFileError(file, f"states the impossible shape {shape}.")
    if dtype.hasobject and dtype != np.dtype(object):
        raise UnsafeFileError(file, "holds records with Python objects in them.")
    return shape, fortran, dtype


def _check_size(file: Path, shape: tuple[int, ...], dtype: np.dtype[Any], *, available: int) -> None:
    if math.prod(shape) and not dtype.itemsize:
        raise UnsafeFileError(file, f"states {math.prod(shape)} elements of no size.")
    needed = math.prod(shape) * dtype.itemsize
    if needed > available:
        raise InputFileError(
            file,
            f"states an array of shape {shape} and type {dtype}, {needed} bytes, but holds {available}.",
            "The copy may be incomplete; copy the file again.",
        )


def _check_limit(file: Path, size: int, limit: int) -> None:
    if size > limit:
        raise UnsafeFileError(file, f"has {size} bytes, more than the {limit} that are read into memory.")


def _objects(
    file: Path, stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any], *, limit: int, size: int
) -> NDArray[Any] | dict[Any, Any]:
    _check_limit(file, size, limit)
    value = read_pickle_bytes(stream.read(), file)
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != shape:
        raise InputFileError(file, f"does not hold the array of shape {shape} that its header states.")
    if value.shape == () and isinstance(value.item(), dict):
        return dict(value.item())
    return value
