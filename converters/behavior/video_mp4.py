"""Frames of MP4 and QuickTime files: number, order and times by the tables of the track.

Boxes as in ISO/IEC 14496-12 (ISO base media file format). The tables stand at the end of a file that was
recorded in order; a camera that loses power leaves none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.behavior.video_facts import VideoFacts, damaged
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_MOOV_BYTES = 512 << 20
MAX_FRAMES = 100_000_000
Boxes = dict[bytes, tuple[int, int]]
"""Begin and end of each box by its name."""


def read_mp4(stream: BinaryIO, path: Path) -> VideoFacts:
    """Return the facts of an MP4 or QuickTime file.

    Raises
    ------
    InputFileError
        When the file is cut off, has no tables, is fragmented, or has not exactly one track of pictures.
    """
    size = path.stat().st_size
    moov = _moov(stream, size, path)
    boxes = dict(_by_name(moov, 0, len(moov), path))
    if b"mvex" in boxes:
        raise InputFileError(
            path, "is recorded in fragments.", "Join them, e.g. with ffmpeg -i in.mp4 -c copy out.mp4."
        )
    tracks = [
        track
        for name, start, stop in _boxes(moov, 0, len(moov), path)
        if name == b"trak"
        for track in (_Track(moov, start, stop, path),)
        if track.is_video
    ]
    if len(tracks) != 1:
        raise InputFileError(path, f"has {len(tracks) or 'no'} tracks of pictures; one is expected.")
    return tracks[0].facts(size)


def _moov(stream: BinaryIO, size: int, path: Path) -> bytes:
    """Return the contents of the box with all tables, after all boxes were found complete."""
    at, found = 0, b""
    while at + 8 <= size:
        stream.seek(at)
        length, name = struct.unpack(">I4s", stream.read(8))
        head = 8
        if length == 1 and at + 16 <= size:
            (length,), head = struct.unpack(">Q", stream.read(8)), 16
        elif length == 0:
            length = size - at
        if length < head or at + length > size:
            raise damaged(
                path, f"{name!r} at byte {at} states {length} bytes, of which {size - at} are there"
            )
        if name == b"moov":
            if length > MAX_MOOV_BYTES:
                raise UnsafeFileError(path, f"has tables of {length} bytes.")
            found = stream.read(length - head)
        at += length
    if not found:
        raise damaged(path, "it has no tables of frames (moov), as when recording was not ended in order")
    return found


def _boxes(data: bytes, start: int, stop: int, path: Path) -> Iterator[tuple[bytes, int, int]]:
    at = start
    while at + 8 <= stop:
        length, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= stop:
            (length,), head = struct.unpack_from(">Q", data, at + 8), 16
        elif length == 0:
            length = stop - at
        if length < head or at + length > stop:
            raise damaged(path, f"the box {name!r} in its tables is longer than what holds it")
        yield name, at + head, at + length
        at += length


def _by_name(data: bytes, start: int, stop: int, path: Path) -> Iterator[tuple[bytes, tuple[int, int]]]:
    for name, begin, end in _boxes(data, start, stop, path):
        yield name, (begin, end)


class _Track:
    """The boxes of one track."""

    def __init__(self, data: bytes, start: int, stop: int, path: Path) -> None:
        self.data, self.path = data, path
        self.trak = dict(_by_name(data, start, stop, path))
        self.mdia = self._inside(self.trak, b"mdia")
        begin, end = self.mdia.get(b"hdlr", (0, 0))
        self.is_video = data[begin + 8 : min(begin + 12, end)] == b"vide"

    def _inside(self, boxes: Boxes, name: bytes) -> Boxes:
        start, stop = boxes.get(name, (0, 0))
        return dict(_by_name(self.data, start, stop, self.path))

    def _values(self, boxes: Boxes, name: bytes, form: str, skip: int) -> tuple[Any, ...]:
        start, stop = boxes.get(name, (0, 0))
        if stop - start < skip + struct.calcsize(form):
            raise damaged(self.path, f"its table {name.decode('latin1')} is missing or too short")
        return struct.unpack_from(form, self.data, start + skip)

    def _table(
        self, boxes: Boxes, name: bytes, dtype: str, width: int, *, skip: int = 4
    ) -> NDArray[np.int64]:
        """Return the rows of a table that begins with their number."""
        (count,) = self._values(boxes, name, ">I", skip)
        start, stop = boxes[name]
        n_bytes = count * width * np.dtype(dtype).itemsize
        if start + skip + 4 + n_bytes > stop:
            raise damaged(self.path, f"its table {name.decode('latin1')} states {count} rows, it has fewer")
        values = np.frombuffer(self.data, dtype, count * width, start + skip + 4)
        return values.astype(np.int64).reshape(-1, width)

    def facts(self, size: int) -> VideoFacts:
        """Return what the track states, checked against the size of the file."""
        stbl = self._inside(self._inside(self.mdia, b"minf"), b"stbl")
        (version,) = self._values(self.mdia, b"mdhd", ">B", 0)
        (timescale,) = self._values(self.mdia, b"mdhd", ">I", 20 if version else 12)
        if not timescale:
            raise damaged(self.path, "it counts time in no unit")
        sizes = self._sizes(stbl, size)
        self._check_places(stbl, sizes, size)
        codec, width, height = self._values(stbl, b"stsd", ">4s24xHH", 12)
        ticks = self._times(stbl, len(sizes))
        rate_hz, times_s = _regular(ticks, timescale)
        return VideoFacts(
            self.path, "MP4", codec.decode("ascii", "replace").strip(),
            width, height, len(sizes), rate_hz, times_s, n_empty=int((sizes == 0).sum()),
        )  # fmt: skip

    def _sizes(self, stbl: Boxes, file_size: int) -> NDArray[np.int64]:
        """Return the bytes of each frame."""
        uniform, count = self._values(stbl, b"stsz", ">II", 4)
        if count > MAX_FRAMES:
            raise UnsafeFileError(self.path, f"states {count} frames.")
        if uniform:
            if uniform * count > file_size:
                raise damaged(self.path, f"it states {count} frames of {uniform} bytes in {file_size} bytes")
            return np.full(count, uniform, np.int64)
        return self._table(stbl, b"stsz", ">u4", 1, skip=8)[:, 0]

    def _check_places(self, stbl: Boxes, sizes: NDArray[np.int64], file_size: int) -> None:
        """Refuse frames that are not in the file."""
        wide = b"co64" in stbl
        offsets = self._table(stbl, b"co64" if wide else b"stco", ">u8" if wide else ">u4", 1)[:, 0]
        runs = self._table(stbl, b"stsc", ">u4", 3)
        if not len(sizes) or not len(offsets) or not len(runs):
            raise damaged(self.path, "it holds no frames")
        lengths = np.diff(runs[:, 0], append=len(offsets) + 1)
        if runs[0, 0] != 1 or (lengths <= 0).any() or lengths.sum() != len(offsets):
            raise damaged(self.path, "its tables of frames do not fit together")
        ends = np.cumsum(np.repeat(runs[:, 1], lengths))
        if ends[-1] != len(sizes):
            raise damaged(self.path, f"its tables state {len(sizes)} and {int(ends[-1])} frames")
        total = np.concatenate([[0], np.cumsum(sizes)])
        last = offsets + np.diff(total[ends], prepend=0)
        outside = np.flatnonzero(last > file_size)
        if outside.size:
            first = int(ends[outside[0] - 1]) if outside[0] else 0
            raise damaged(
                self.path, f"of its {len(sizes)} frames those after {first} are not all in the file"
            )

    def _times(self, stbl: Boxes, n: int) -> NDArray[np.int64]:
        """Return when frames are shown, in order, from 0, in units of the time scale."""
        times = self._repeated(stbl, b"stts", ">u4", n)
        shown = np.concatenate([[0], np.cumsum(times)[:-1]])
        if b"ctts" in stbl:
            shown = shown + self._repeated(stbl, b"ctts", ">i4", n)
        shown = np.sort(shown)
        edits = self._inside(self.trak, b"edts")
        if b"elst" in edits:
            n_hidden = int((shown < self._edit_start(edits)).sum())
            if n_hidden:
                raise InputFileError(
                    self.path,
                    f"hides {n_hidden} of its {n} frames by an edit list: programs count them differently.",
                    "Write them anew, e.g. with ffmpeg -i in.mp4 out.mp4, before they are analysed.",
                )
        return np.asarray(shown - shown[0])

    def _edit_start(self, edits: Boxes) -> int:
        """Return the time of the first picture that is shown; entries with -1 are pauses before it."""
        version, count = self._values(edits, b"elst", ">B3xI", 0)
        entry = ">Qqi" if version else ">Iii"
        size = struct.calcsize(entry)
        for number in range(min(count, 100)):
            _, media_time, _ = self._values(edits, b"elst", entry, 8 + number * size)
            if media_time >= 0:
                return int(media_time)
        return 0

    def _repeated(self, stbl: Boxes, name: bytes, dtype: str, n: int) -> NDArray[np.int64]:
        """Return a value per frame from a table of runs (number, value)."""
        counts = self._table(stbl, name, ">u4", 2)[:, 0]
        values = self._table(stbl, name, dtype, 2)[:, 1]
        if counts.sum() != n:
            raise damaged(
                self.path, f"its table {name.decode('latin1')} is of {counts.sum()} frames, not {n}"
            )
        return np.repeat(values, counts)


def _regular(ticks: NDArray[np.int64], timescale: int) -> tuple[float | None, NDArray[np.float64] | None]:
    """Return the rate of frames that are regular up to the rounding of their times, else their times."""
    if len(ticks) < 2:
        return None, None
    step = ticks[-1] / (len(ticks) - 1)
    if step > 0 and np.abs(ticks - step * np.arange(len(ticks))).max() <= 1:
        return float(timescale / step), None
    return None, ticks / timescale
