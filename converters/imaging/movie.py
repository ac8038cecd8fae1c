"""A movie as every reader gives it: frames by number, and what its files say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from hdmf.data_utils import GenericDataChunkIterator
from numpy.typing import NDArray

CHUNK_BYTES = 4 << 20
BUFFER_BYTES = 64 << 20
MAX_FRAME_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class MovieShape:
    """Number of frames, height and width in pixels, dtype, and planes of a volumetric movie."""

    n_frames: int
    height: int
    width: int
    dtype: np.dtype[Any]
    n_planes: int = 1

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame (of all its planes) in memory."""
        return self.height * self.width * self.n_planes * self.dtype.itemsize

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Height and width, and planes when there are several."""
        sides = (self.height, self.width)
        return sides if self.n_planes == 1 else (*sides, self.n_planes)


class Movie(Protocol):
    """An open movie; what its files do not state is None."""

    @property
    def shape(self) -> MovieShape:
        """Frames, height, width, dtype and planes."""

    @property
    def rate_hz(self) -> float | None:
        """Frame (volume) rate, Hz."""

    @property
    def started(self) -> datetime | None:
        """When the first frame was taken; without a UTC offset where the file has none."""

    @property
    def frame_times_s(self) -> NDArray[np.float64] | None:
        """Time of each frame (n_frames,) on the movie's own clock, s."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, shape (frames, height, width) or (…, planes)."""

    def close(self) -> None:
        """Close its files."""


class MovieChunks(GenericDataChunkIterator):  # type: ignore[misc]
    """A movie as NWB stores it, (frames, width, height[, planes]), in buffers that fit into memory."""

    def __init__(self, movie: Movie, *, n_frames: int) -> None:
        self._movie = movie
        self._n_frames = n_frames
        shape = movie.shape
        per_chunk = min(max(CHUNK_BYTES // shape.frame_bytes, 1), n_frames)
        chunks = max(BUFFER_BYTES // (per_chunk * shape.frame_bytes), 1)
        frame = self._frame_shape()
        super().__init__(
            buffer_shape=(min(per_chunk * chunks, n_frames), *frame), chunk_shape=(per_chunk, *frame)
        )

    def _frame_shape(self) -> tuple[int, ...]:
        height, width, *planes = self._movie.shape.frame_shape
        return (width, height, *planes)

    def _get_data(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        block = self._movie.read(selection[0].start, selection[0].stop)
        return block.swapaxes(1, 2)[(slice(None), *selection[1:])]

    def _get_maxshape(self) -> tuple[int, ...]:
        return (self._n_frames, *self._frame_shape())

    def _get_dtype(self) -> np.dtype[Any]:
        return self._movie.shape.dtype.newbyteorder("=")
