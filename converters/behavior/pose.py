"""The contract of pose files: named points in each frame of a video, read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import Any

import numpy as np
from hdmf.data_utils import GenericDataChunkIterator
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

BLOCK_FRAMES = 1 << 14
CHUNK_FRAMES = 1 << 16
MEMORY_FRAMES = 1 << 18
MEMORY_BYTES = 256 << 20
MAX_KEYPOINTS = 10_000
MAX_BYTES = 64 << 30
FLOAT64: np.dtype[Any] = np.dtype(np.float64)


@dataclass(frozen=True, slots=True)
class Pose:
    """Points in each of ``n`` frames.

    ``blocks`` returns an iterator over consecutive frames, each block (frames, keypoints, 3) with x, y and
    confidence; what is not known is NaN.
    """

    path: Path
    keypoints: tuple[str, ...]
    n: int
    blocks: Callable[[], Iterator[NDArray[Any]]]
    dtype: np.dtype[Any] = FLOAT64
    software: str = ""
    comments: str = ""
    edges: tuple[tuple[int, int], ...] | None = None
    """Keypoints that the skeleton joins, by their numbers; None where the file has no skeleton."""
    has_confidence: bool = True

    def __post_init__(self) -> None:
        """Refuse what no pose file holds."""
        if not self.keypoints or not self.n:
            raise InputFileError(self.path, "holds no keypoints." if self.n else "holds no frames.")
        if len(set(self.keypoints)) < len(self.keypoints):
            raise InputFileError(self.path, "has two keypoints of the same name.", "Rename one of them.")
        n_bytes = self.n * len(self.keypoints) * 3 * self.dtype.itemsize
        if len(self.keypoints) > MAX_KEYPOINTS or n_bytes > MAX_BYTES:
            raise UnsafeFileError(
                self.path, f"states {len(self.keypoints)} keypoints in {self.n} frames, too many to be read."
            )


class _Rows:
    """Rows of numbers (n, width), in memory or in a part of a file."""

    def __init__(self, n: int, width: int, dtype: np.dtype[Any], file: Any = None, offset: int = 0) -> None:
        self.width, self.dtype = width, dtype
        self._file, self._offset = file, offset
        self._values = np.empty((n, width), dtype) if file is None else None

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Keep rows from ``start`` on."""
        if self._values is not None:
            self._values[start : start + len(rows)] = rows
            return
        self._file.seek(self._offset + start * self.width * self.dtype.itemsize)
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows ``start`` to ``stop``."""
        if self._values is not None:
            return self._values[start:stop].copy()
        rows = np.empty((stop - start, self.width), self.dtype)
        self._file.seek(self._offset + start * self.width * self.dtype.itemsize)
        self._file.readinto(rows.data.cast("B"))
        return rows


class PoseStore:
    """The points of a pose file, keypoint by keypoint, since files have them frame by frame.

    They are read once, when they are first asked for: into memory when they are few, else into a temporary
    file that is gone when it is closed.
    """

    def __init__(self, pose: Pose) -> None:
        self.pose = pose
        self._file: Any = None
        self._rows: list[_Rows] = []
        self._lock = Lock()

    def places(self, keypoint: int, stop: int | None = None) -> NDArray[Any] | PoseChunks:
        """Return x and y of a keypoint (n, 2), in memory or, for many frames, piece by piece.

        Raises
        ------
        InputFileError, TableError
            Whatever is wrong with the rows of the file; also when the pieces are read.
        """
        return self._data(keypoint, 2, stop)

    def confidence(self, stop: int | None = None) -> NDArray[Any] | PoseChunks:
        """Return the confidence (n, keypoints), in memory or, for many frames, piece by piece."""
        n_points = len(self.pose.keypoints)
        return self._data(n_points, n_points, stop)

    def _data(self, number: int, width: int, stop: int | None) -> NDArray[Any] | PoseChunks:
        n = self.pose.n if stop is None else min(stop, self.pose.n)

        def read(start: int, end: int) -> NDArray[Any]:
            with self._lock:
                if not self._rows:
                    self._read()
                return self._rows[number].read(start, end)

        return read(0, n) if n <= MEMORY_FRAMES else PoseChunks(read, n, width, self.pose.dtype)

    def _read(self) -> None:
        """Read the file once; rows of each keypoint, then those of the confidence."""
        pose = self.pose
        n, n_points, size = pose.n, len(pose.keypoints), pose.dtype.itemsize
        if n * n_points * 3 * size > MEMORY_BYTES:
            self._file = TemporaryFile()  # noqa: SIM115 - kept open until close()
        rows = [_Rows(n, 2, pose.dtype, self._file, each * n * 2 * size) for each in range(n_points)]
        rows.append(_Rows(n, n_points, pose.dtype, self._file, n_points * n * 2 * size))
        start = 0
        try:
            for block in pose.blocks():
                if start + len(block) > n:
                    raise _other_length(pose)
                for number in range(n_points):
                    rows[number].write(start, block[:, number, :2])
                rows[-1].write(start, block[:, :, 2])
                start += len(block)
            if start != n:
                raise _other_length(pose)
        except BaseException:
            self.close()
            raise
        self._rows = rows

    def close(self) -> None:
        """Give memory or temporary file back."""
        self._rows = []
        if self._file is not None:
            self._file.close()
            self._file = None


def _other_length(pose: Pose) -> InputFileError:
    return InputFileError(
        pose.path, f"does not hold the {pose.n} frames that were counted.", "Copy it again."
    )


class PoseChunks(GenericDataChunkIterator):  # type: ignore[misc]
    """Rows of many frames in chunks that fit into memory."""

    def __init__(
        self, read: Callable[[int, int], NDArray[Any]], n: int, width: int, dtype: np.dtype[Any]
    ) -> None:
        self._read, self._shape, self._type = read, (n, width), dtype
        rows = max(1, min(n, 2 * CHUNK_FRAMES // width))
        super().__init__(buffer_shape=(min(n, 16 * rows), width), chunk_shape=(rows, width))

    def _get_data(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        rows = self._read(selection[0].start, selection[0].stop)
        return np.array(rows[:, selection[1]])

    def _get_maxshape(self) -> tuple[int, ...]:
        return self._shape

    def _get_dtype(self) -> np.dtype[Any]:
        return self._type
