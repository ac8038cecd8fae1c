"""Arrays in local Zarr folders of version 2, looked through before the zarr library opens them.

Only numbers are read, stored as they are or compressed by Blosc, which is what Zarr 2 does unless told
otherwise: other codecs may unpack to any size, and object codecs run code. Each chunk must be there and must
state the size that the array gives it. Sources: Zarr storage specification version 2; c-blosc,
README_CHUNK_FORMAT.rst.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nwbswitch.schemas.errors import InputFileError, MissingExtraError, UnsafeFileError
from nwbswitch.schemas.path_guard import inside

MAX_METADATA_BYTES = 1 << 20
MAX_CHUNK_BYTES = 1 << 30
MAX_CHUNKS = 2_000_000
MAX_DIMENSIONS = 8
DIMENSIONS = "_ARRAY_DIMENSIONS"
"""Attribute in which xarray names the dimensions."""
_NUMBERS = re.compile(r"[<>|][iuf][1248]|\|b1")
_BLOSC = struct.Struct("<4BIII")
_REMEDY = "Copy the folder again, or save it anew from Minian."


def open_zarr_array(root: Path, store: str, name: str) -> tuple[Any, tuple[str, ...]]:
    """Return an array of a Zarr group and the names of its dimensions.

    Parameters
    ----------
    root
        The folder that nothing may lead out of.
    store, name
        The group below it, and the array in the group.

    Raises
    ------
    InputFileError, UnsafeFileError
        When it is missing, incomplete, compressed in another way, no array of numbers, or not what it states.
    MissingExtraError
        When zarr is not installed.
    """
    folder = inside(root, Path(store) / name)
    values = _metadata(folder / ".zarray")
    shape, chunks, dtype = _layout(folder, values)
    _check_chunks(root, folder, values, shape, chunks, dtype)
    stated = _metadata(folder / ".zattrs").get(DIMENSIONS)
    names = [each for each in stated if isinstance(each, str)] if isinstance(stated, list) else []
    if len(names) != len(shape) or stated != names:
        raise InputFileError(folder, f"does not name its dimensions ({DIMENSIONS}).", _REMEDY)
    try:
        from zarr import Array, DirectoryStore
    except ImportError as error:  # also with version 3, which has no such store
        raise MissingExtraError("zarr", "zarr") from error
    try:
        array = Array(DirectoryStore(str(folder)), read_only=True)
    except (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise InputFileError(folder, f"cannot be opened as Zarr: {str(error)[:200]}.", _REMEDY) from error
    return array, tuple(names)


def _metadata(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputFileError(file.parent, f"has no {file.name}: it is no Zarr array of version 2.", _REMEDY)
    if file.stat().st_size > MAX_METADATA_BYTES:
        raise UnsafeFileError(file, f"has {file.stat().st_size} bytes, which metadata never have.")
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(file, f"is no JSON: {str(error)[:100]}.", _REMEDY) from error
    if not isinstance(values, dict):
        raise InputFileError(file, "is no JSON object.", _REMEDY)
    return values


def _layout(
    folder: Path, values: Mapping[str, Any]
) -> tuple[tuple[int, ...], tuple[int, ...], np.dtype[Any]]:
    shape, chunks = _sides(values.get("shape")), _sides(values.get("chunks"))
    dtype = values.get("dtype")
    if values.get("zarr_format") != 2:
        raise InputFileError(folder, f"is Zarr of version {str(values.get('zarr_format'))[:20]}, not 2.")
    if not isinstance(dtype, str) or not _NUMBERS.fullmatch(dtype):
        raise InputFileError(folder, f"holds {str(dtype)[:40]}, expected numbers.")
    if values.get("filters"):
        raise UnsafeFileError(folder, "has filters, which are not needed and not run.", "Save it without.")
    codec = values.get("compressor")
    if codec is not None and (not isinstance(codec, dict) or codec.get("id") != "blosc"):
        kind = codec.get("id") if isinstance(codec, dict) else codec
        raise UnsafeFileError(
            folder, f"is compressed by {str(kind)[:40]}; only Blosc is read.", "Save it with Blosc."
        )
    if shape is None or chunks is None or len(shape) != len(chunks) or 0 in chunks:
        stated = [str(values.get(name))[:80] for name in ("shape", "chunks")]
        raise UnsafeFileError(folder, f"states the shape {stated[0]} in chunks of {stated[1]}.")
    return shape, chunks, np.dtype(dtype)


def _sides(value: Any) -> tuple[int, ...] | None:
    known = isinstance(value, list) and len(value) <= MAX_DIMENSIONS
    if not known or not all(type(each) is int and 0 <= each < 1 << 48 for each in value):
        return None
    return tuple(value)


def _check_chunks(
    root: Path,
    folder: Path,
    values: Mapping[str, Any],
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype[Any],
) -> None:
    """Refuse chunks that are missing, lie elsewhere, or state another size than theirs."""
    counts = [-(-side // chunk) for side, chunk in zip(shape, chunks, strict=True)]
    n_bytes = math.prod(chunks) * dtype.itemsize
    if n_bytes > MAX_CHUNK_BYTES or math.prod(counts) > MAX_CHUNKS:
        raise UnsafeFileError(folder, f"states {math.prod(counts)} chunks of {n_bytes} bytes.")
    separator = "/" if values.get("dimension_separator") == "/" else "."
    missing = 0
    for index in np.ndindex(*counts):
        file = folder / (separator.join(map(str, index)) or "0")
        if not file.is_file():
            missing += 1
            continue
        if file.is_symlink():
            inside(root, file)
        with file.open("rb") as stream:
            head, size = stream.read(_BLOSC.size), file.stat().st_size
        if values.get("compressor") is None:
            stated, stored = size, size
        else:
            stated, _, stored = _BLOSC.unpack(head)[4:] if len(head) == _BLOSC.size else (-1, 0, 0)
        if stated != n_bytes or stored != size:
            problem = f"states {stated} bytes in {stored}; the array wants {n_bytes} in {size}."
            raise UnsafeFileError(file, problem, _REMEDY)
    if missing:
        raise InputFileError(folder, f"lacks {missing} of its {math.prod(counts)} chunks.", _REMEDY)
