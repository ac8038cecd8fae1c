"""Frames of an HDF5 dataset, read along its chunks: read in order, each is decompressed once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.imaging.movie import MAX_FRAME_BYTES, MovieShape
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

if TYPE_CHECKING:
    import h5py

ROW_BYTES = 256 << 20
"""Decompressed frames that are kept; a row of chunks that is larger is decompressed in several passes."""
MAX_PASSES = 8
FLOATS = (2, 4, 8)
INTEGERS = (1, 2, 4, 8)


class FrameStack:
    """A dataset as frames (frames, y, x) or volumes (frames, y, x, z).

    Parameters
    ----------
    path
        The file, for messages.
    dataset
        Array of numbers, 3 to 5 dimensions.
    axes
        One letter per dimension as HDF5 orders them: t, y, x, and z or c.
    channel, plane
        Numbers along c and z, from 1; a channel is needed where there are several, planes are all by default.
    reverse
        Whether axes are listed the other way round in messages, as MATLAB does.

    Raises
    ------
    InputFileError
        When dimensions and axes do not fit, a channel or plane is not there, frames were never written, or
        chunks are too long to be read in order.
    UnsafeFileError
        When a frame or a chunk would not fit into memory.
    """

    def __init__(
        self,
        path: Path,
        dataset: h5py.Dataset,
        axes: str,
        *,
        channel: int | None = None,
        plane: int | None = None,
        reverse: bool = False,
    ) -> None:
        self.path = path
        self._dataset = dataset
        self._name = str(dataset.name)
        self._axes = axes
        if not is_stack(dataset):
            raise InputFileError(path, f"{self._name} is no array of numbers of 3 to 5 dimensions.")
        if len(axes) != dataset.ndim:
            raise InputFileError(
                path,
                f"{self._name} is {size_text(dataset, reverse=reverse)}, but axes has {len(axes)} letters, "
                f"{axes[::-1] if reverse else axes}.",
            )
        sizes = dict(zip(axes, dataset.shape, strict=True))
        self._fixed = {}
        for letter, index, word in (("c", channel, "channel"), ("z", plane, "plane")):
            if index is not None and not 1 <= index <= sizes.get(letter, 1):
                raise InputFileError(
                    path, f"{self._name} has {sizes.get(letter, 1)} {word}s, counted from 1, no {index}."
                )
            if letter in sizes and (index is not None or letter == "c" or sizes[letter] == 1):
                self._fixed[letter] = (index or 1) - 1
        if channel is None and sizes.get("c", 1) > 1:
            raise InputFileError(path, f"{self._name} has {sizes['c']} channels.", "Give channel, from 1.")
        planes = 1 if "z" in self._fixed else sizes.get("z", 1)
        half = dataset.dtype.kind == "f" and dataset.dtype.itemsize == 2  # no type of number of NWB
        self.shape = MovieShape(
            int(sizes["t"]),
            int(sizes["y"]),
            int(sizes["x"]),
            np.dtype(np.float32) if half else np.dtype(dataset.dtype).newbyteorder("="),
            int(planes),
        )
        self._check_sizes(sizes)
        self._row_frames = self._rows()
        self._kept: tuple[int, NDArray[Any]] | None = None

    def _check_sizes(self, sizes: dict[str, int]) -> None:
        if not all(sizes.values()):
            raise InputFileError(self.path, f"{self._name} is empty ({size_text(self._dataset)}).")
        chunk = math.prod(self._dataset.chunks or (1,)) * self._dataset.dtype.itemsize
        for size, what in ((self.shape.frame_bytes, "frames"), (chunk, "chunks")):
            if size > MAX_FRAME_BYTES:
                raise UnsafeFileError(
                    self.path,
                    f"{self._name} has {what} of {size} bytes; at most {MAX_FRAME_BYTES} are read at once.",
                    "" if what == "frames" else self._repack(),
                )
        if self._dataset.chunks is None:
            missing = int(self._dataset.id.get_storage_size() == 0)
            total = 1
        else:
            grid = zip(self._dataset.shape, self._dataset.chunks, strict=True)
            total = math.prod(-(-size // step) for size, step in grid)
            missing = total - int(self._dataset.id.get_num_chunks())
        if missing:
            raise InputFileError(
                self.path,
                f"{self._name} states {self.shape.n_frames} frames, but {missing} of its {total} pieces were "
                "never written.",
                "The recording or the copy broke off; cut the dataset to the frames that are there.",
            )

    def _rows(self) -> int:
        """Return how many frames are decompressed together."""
        most = max(ROW_BYTES // self.shape.frame_bytes, 1)
        if self._dataset.chunks is None:
            return 1 if self._axes[0] == "t" else most
        span = min(self._dataset.chunks[self._axes.index("t")], self.shape.n_frames)
        if span > MAX_PASSES * most:
            raise InputFileError(
                self.path,
                f"{self._name} has chunks of {span} frames, which would be decompressed {-(-span // most)} "
                "times each.",
                self._repack(),
            )
        return int(min(span, most))

    def _repack(self) -> str:
        sides = {"t": 16, "c": 1, "z": 1}
        shape = [
            min(sides.get(each, size), size)
            for each, size in zip(self._axes, self._dataset.shape, strict=True)
        ]
        return f"Repack it: h5repack -l {self._name}:CHUNK={'x'.join(map(str, shape))} old.h5 new.h5"

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return frames ``start`` to ``stop``, (frames, y, x[, z])."""
        rows = self._row_frames
        frames = np.empty((stop - start, *self.shape.frame_shape), self.shape.dtype)
        at = start
        while at < stop:
            row = at // rows
            if at % rows == 0 and stop - at >= rows:
                end = stop - stop % rows
                frames[at - start : end - start] = self._decompress(at, end)
            else:
                end = min((row + 1) * rows, stop)
                frames[at - start : end - start] = self._row(row)[at - row * rows : end - row * rows]
            at = end
        return frames

    def _row(self, row: int) -> NDArray[Any]:
        """Return a row of chunks, which the next read will probably want the rest of."""
        if self._kept is None or self._kept[0] != row:
            self._kept = None
            begin = row * self._row_frames
            end = min(begin + self._row_frames, self.shape.n_frames)
            self._kept = (row, self._decompress(begin, end))
        return self._kept[1]

    def _decompress(self, start: int, stop: int) -> NDArray[Any]:
        window = tuple(
            slice(start, stop) if each == "t" else self._fixed.get(each, slice(None)) for each in self._axes
        )
        try:
            block = np.asarray(self._dataset[window])
        except (OSError, RuntimeError, ValueError, TypeError) as error:
            raise InputFileError(
                self.path, f"cannot give frames {start + 1} to {stop}: {str(error)[:200]}.", "Copy it again."
            ) from error
        left = [each for each in self._axes if each not in self._fixed]
        return block.transpose([left.index(each) for each in "tyxz"[: len(left)]])


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what h5py raises on damaged names, types and attributes into our error."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError) as error:
        raise InputFileError(path, f"is damaged: {str(error)[:200]}.", "Copy it again.") from error


def is_stack(node: Any) -> bool:
    """Return whether something in an HDF5 file is an array of numbers that may be a movie."""
    import h5py

    if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "uif" or not 3 <= node.ndim <= 5:
        return False
    return node.dtype.itemsize in (FLOATS if node.dtype.kind == "f" else INTEGERS)


def size_text(dataset: h5py.Dataset, *, reverse: bool = False) -> str:
    """Return size and type of a dataset in words, its dimensions as HDF5 or, reversed, as MATLAB has them."""
    sides = reversed(dataset.shape) if reverse else dataset.shape
    return f"{'x'.join(map(str, sides))} {dataset.dtype}"
