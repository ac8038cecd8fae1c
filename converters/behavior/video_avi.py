"""Frames of AVI files: header, index and size must agree.

RIFF chunks as in Microsoft's "AVI RIFF File Reference", large files as in the OpenDML AVI File Format
Extensions 1.02. Cameras that lose power leave files without an index, with a header of no frames, or cut off.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.behavior.video_facts import VideoFacts, damaged
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_INDEX_BYTES = 1 << 30
MAX_HEADER_BYTES = 16 << 20
MAX_SEGMENTS = 10_000
_IDX1 = np.dtype([("id", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])
_SUPER = np.dtype([("offset", "<u8"), ("size", "<u4"), ("duration", "<u4")])
_STANDARD = np.dtype([("offset", "<u4"), ("size", "<u4")])
_SIZE_MASK = np.uint32(0x7FFFFFFF)
"""The highest bit of a size in a standard index tells that the frame is no key frame."""


@dataclass
class _Header:
    number: int = -1
    codec: str = ""
    width: int = 0
    height: int = 0
    rate_hz: float | None = None
    totals: dict[str, int] = field(default_factory=dict)
    super_index: NDArray[np.void] | None = None


def read_avi(stream: BinaryIO, path: Path) -> VideoFacts:
    """Return the facts of an AVI file.

    Raises
    ------
    InputFileError
        When header, index and size of the file disagree, or there is no index.
    """
    size = path.stat().st_size
    header = _Header()
    old_index: NDArray[np.void] | None = None
    movie = 0
    for segment, (tag, start, stop, kind) in enumerate(_chunks(stream, 0, size, path)):
        if tag != b"RIFF" or segment >= MAX_SEGMENTS:
            raise damaged(path, f"it has {tag!r} where a segment of the video is expected")
        if segment and kind != b"AVIX":
            raise damaged(path, f"it has a segment of kind {kind!r}")
        for name, begin, end, inner in _chunks(stream, start, stop, path):
            if name == b"LIST" and inner == b"hdrl":
                _read_header(stream, begin, end, path, header)
            elif name == b"LIST" and inner == b"movi" and not movie:
                movie = begin - 4
            elif name == b"idx1" and old_index is None:
                old_index = _array(stream, begin, end - begin, _IDX1, path)
    if header.number < 0:
        raise InputFileError(path, "has no stream of pictures.")
    if header.super_index is not None and len(header.super_index):
        sizes = _by_standard_indices(stream, header.super_index, size, path)
    elif old_index is not None:
        sizes = _by_old_index(old_index, header.number, movie, size, path)
    else:
        raise damaged(path, "it has no index, as when recording was not ended in order")
    _compare(path, len(sizes), header)
    return VideoFacts(
        path, "AVI", header.codec, header.width, header.height, len(sizes), header.rate_hz,
        n_empty=int((sizes == 0).sum()),
    )  # fmt: skip


def _compare(path: Path, n_frames: int, header: _Header) -> None:
    """The total of OpenDML counts, else that of the stream, else that of the file."""
    stated = next((header.totals[key] for key in ("dmlh", "strh", "avih") if header.totals.get(key)), 0)
    if not n_frames or n_frames != stated:
        raise damaged(path, f"its header states {stated} frames, its index {n_frames}")


def _chunks(stream: BinaryIO, start: int, stop: int, path: Path) -> Iterator[tuple[bytes, int, int, bytes]]:
    """Yield name, begin, end and, of lists, kind of the chunks between two places of the file."""
    at = start
    while at + 8 <= stop:
        stream.seek(at)
        name, length = struct.unpack("<4sI", stream.read(8))
        begin, end = at + 8, at + 8 + length
        kind = b""
        if name in (b"RIFF", b"LIST"):
            kind = stream.read(4)
            begin += 4
        if end > stop or begin > end:
            raise damaged(
                path, f"{name!r} at byte {at} states {length} bytes, of which {stop - at - 8} are there"
            )
        yield name, begin, end, kind
        at = end + length % 2


def _read_header(stream: BinaryIO, begin: int, end: int, path: Path, header: _Header) -> None:
    if end - begin > MAX_HEADER_BYTES:
        raise UnsafeFileError(path, f"has a header of {end - begin} bytes.")
    number = -1
    for name, start, stop, kind in _chunks(stream, begin, end, path):
        if name == b"avih":
            header.totals["avih"] = _unpack(stream, start, stop, "<16xI", path)[0]
        elif name == b"LIST" and kind == b"strl":
            number += 1
            _read_stream(stream, start, stop, path, header, number)
        elif name == b"LIST" and kind == b"odml":
            for part, first, last, _ in _chunks(stream, start, stop, path):
                if part == b"dmlh":
                    header.totals["dmlh"] = _unpack(stream, first, last, "<I", path)[0]


def _read_stream(stream: BinaryIO, begin: int, end: int, path: Path, header: _Header, number: int) -> None:
    is_video = False
    for name, start, stop, _ in _chunks(stream, begin, end, path):
        if name == b"strh":
            kind, scale, rate, length = _unpack(stream, start, stop, "<4s16xII4xI", path)
            is_video = kind == b"vids"
            if is_video and header.number >= 0:
                raise InputFileError(path, "has several streams of pictures.", "Separate them.")
            if is_video:
                header.number = number
                header.totals["strh"] = length
                header.rate_hz = rate / scale if rate and scale else None
        elif name == b"strf" and is_video:
            width, height, codec = _unpack(stream, start, stop, "<4xii4x4s", path)
            header.width, header.height = abs(width), abs(height)
            header.codec = "raw" if not codec.strip(b"\0") else codec.decode("ascii", "replace").strip()
        elif name == b"indx" and is_video:
            words, _, kind, used = _unpack(stream, start, stop, "<HBBI", path)
            if (words, kind) == (4, 0):
                if 24 + used * _SUPER.itemsize > stop - start:
                    raise damaged(path, f"its index states {used} parts")
                header.super_index = _array(stream, start + 24, used * _SUPER.itemsize, _SUPER, path)


def _unpack(stream: BinaryIO, start: int, stop: int, form: str, path: Path) -> tuple[Any, ...]:
    size = struct.calcsize(form)
    if stop - start < size:
        raise damaged(path, f"a part of its header has {stop - start} bytes instead of {size}")
    stream.seek(start)
    return struct.unpack(form, stream.read(size))


def _array(
    stream: BinaryIO, start: int, n_bytes: int, dtype: np.dtype[np.void], path: Path
) -> NDArray[np.void]:
    if n_bytes > MAX_INDEX_BYTES:
        raise UnsafeFileError(path, f"has an index of {n_bytes} bytes.")
    stream.seek(start)
    data = stream.read(n_bytes)
    if len(data) < n_bytes:
        raise damaged(path, "its index is cut off")
    return np.frombuffer(data, dtype, count=n_bytes // dtype.itemsize)


def _by_standard_indices(
    stream: BinaryIO, parts: NDArray[np.void], size: int, path: Path
) -> NDArray[np.uint32]:
    """Return the size of each frame, by the indices that the super index names."""
    found = []
    for part in parts:
        at = int(part["offset"])
        if at + 32 > size:
            raise damaged(path, f"its index names byte {at}, the file ends at {size}")
        stream.seek(at)
        _, length, words, _, kind, used, _, base = struct.unpack("<4sIHBBI4sQ", stream.read(28))
        if kind != 1 or words < 2 or 24 + used * 4 * words > length or at + 8 + length > size:
            raise damaged(path, f"the part of its index at byte {at} is none")
        rows = np.dtype((np.void, 4 * words))
        raw = _array(stream, at + 32, used * 4 * words, rows, path).tobytes()
        entries = np.frombuffer(raw, "<u4").reshape(-1, words)[:, :2]
        sizes = entries[:, 1] & _SIZE_MASK
        if len(entries) and base + int((entries[:, 0].astype(np.int64) + sizes).max()) > size:
            raise damaged(path, f"its index names frames after the end of the file at byte {size}")
        found.append(sizes)
    return np.concatenate(found)


def _by_old_index(
    index: NDArray[np.void], number: int, movie: int, size: int, path: Path
) -> NDArray[np.uint32]:
    """Return the size of each frame, by the index at the end of the file."""
    names = (f"{number:02d}dc".encode(), f"{number:02d}db".encode())
    entries = index[np.isin(index["id"], names)]
    if len(entries):
        # Places count from the list of frames, in files of some programs from the beginning of the file.
        origin = 0 if int(entries["offset"][0]) > movie else movie
        ends = entries["offset"].astype(np.int64) + entries["size"] + origin + 8
        if int(ends.max()) > size:
            raise damaged(path, f"its index names frames after the end of the file at byte {size}")
    return np.asarray(entries["size"])
