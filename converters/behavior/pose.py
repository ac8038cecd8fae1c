"""The contract of pose files: named points in each frame of a video, read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
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


class PoseStore:
    """The points of a pose file, keypoint by keypoint, since files have them frame by frame.

    They are read once, when they are first asked for: into memory when they are few, else into a temporary
    file that is gone when it is closed.
    """

    def __init__(self, pose: Pose) -> None:
        self.pose = pose
        self._file: Any = None
        self._arrays: tuple[NDArray[Any], NDArray[Any]] | None = None

    @property
    def arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Places (keypoints, n, 2) and confidence (n, keypoints).

        Raises
        ------
        InputFileError, TableError
            Whatever is wrong with the rows of the file.
        """
        if self._arrays is None:
            try:
                self._arrays = self._read()
            except BaseException:
                self.close()
                raise
        return self._arrays

    def _read(self) -> tuple[NDArray[Any], NDArray[Any]]:
        n, n_points = self.pose.n, len(self.pose.keypoints)
        xy, confidence = self._allocated(n, n_points)
        start = 0
        for block in self.pose.blocks():
            stop = start + len(block)
            if stop > n:
                break
            xy[:, start:stop] = block[:, :, :2].transpose(1, 0, 2)
            confidence[start:stop] = block[:, :, 2]
            start = stop
        if start != n:
            raise InputFileError(
                self.pose.path, f"holds another number of frames than the {n} it began with."
            )
        return xy, confidence

    def _allocated(self, n: int, n_points: int) -> tuple[NDArray[Any], NDArray[Any]]:
        dtype = self.pose.dtype
        if n * n_points * 3 * dtype.itemsize <= MEMORY_BYTES:
            return np.empty((n_points, n, 2), dtype), np.empty((n, n_points), dtype)
        self._file = TemporaryFile()  # noqa: SIM115 - kept open until close()
        size = n * n_points * dtype.itemsize
        self._file.truncate(3 * size)
        xy = np.memmap(self._file, dtype, "r+", shape=(n_points, n, 2))
        return xy, np.memmap(self._file, dtype, "r+", offset=2 * size, shape=(n, n_points))

    def places(self, keypoint: int, stop: int | None) -> NDArray[Any] | PoseChunks:
        """Return x and y of a keypoint (n, 2), in memory or, for many frames, piece by piece."""
        n = self.pose.n if stop is None else min(stop, self.pose.n)
        return self._data(lambda start, end: self.arrays[0][keypoint, start:end], n, 2)

    def confidence(self, stop: int | None) -> NDArray[Any] | PoseChunks:
        """Return the confidence (n, keypoints), in memory or, for many frames, piece by piece."""
        n = self.pose.n if stop is None else min(stop, self.pose.n)
        return self._data(lambda start, end: self.arrays[1][start:end], n, len(self.pose.keypoints))

    def _data(
        self, read: Callable[[int, int], NDArray[Any]], n: int, width: int
    ) -> NDArray[Any] | PoseChunks:
        return np.array(read(0, n)) if n <= MEMORY_FRAMES else PoseChunks(read, n, width, self.pose.dtype)

    def close(self) -> None:
        """Give memory or temporary file back."""
        self._arrays = None
        if self._file is not None:
            self._file.close()
            self._file = None


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
