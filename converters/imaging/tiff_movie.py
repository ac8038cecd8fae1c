"""A single-plane movie in one TIFF file, read page by page and written as a TwoPhotonSeries."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import FilePath

from nwbswitch.converters.imaging.movie import MAX_FRAME_BYTES, MovieShape
from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.stream_base import Parts

# zlib cannot compress by more than 1032:1 (RFC 1951), LZW by about 1400:1.
MAX_COMPRESSION_RATIO = 2000

_COLOUR_AXES = frozenset("SC")
_GREY = (0, 1)


class TiffFrames:
    """The frames of a TIFF movie, one at a time; a context manager that closes the file.

    Parameters
    ----------
    path
        TIFF or BigTIFF with one grey page per frame, or an ImageJ stack with one page for all frames.

    Raises
    ------
    InputFileError
        Saying what is odd about the file: no pages, colour, pages of different shape, missing bytes,
        several channels, a compression that cannot be read.
    UnsafeFileError
        The file declares frames that its bytes cannot hold.
    """

    def __init__(self, path: Path) -> None:
        import tifffile

        self.path = Path(path)
        with _reading(self.path, step="open it"), _damage_found(self.path):
            if self.path.stat().st_size == 0:
                raise InputFileError(self.path, "the file is empty.", "Copy or export it again.")
            self._file = tifffile.TiffFile(self.path)
            try:
                self.shape, self._stack = self._examine()
            except BaseException:
                self._file.close()
                raise

    def _examine(self) -> tuple[MovieShape, np.memmap[Any, Any] | None]:
        pages = self._file.pages
        if len(pages) == 0:
            raise InputFileError(self.path, "the TIFF holds no pages.", "Export the movie again.")
        series = list(self._file.series)
        if len(series) != 1:
            kinds = ", ".join(f"{'x'.join(map(str, each.shape))} {each.dtype}" for each in series[:4])
            raise InputFileError(
                self.path,
                f"its {len(pages)} pages differ in shape or type ({kinds}).",
                "A movie needs equal pages; split the file.",
            )
        _check_page(self.path, pages[0], None)
        sizes = [
            (axis, size)
            for axis, size in zip(series[0].axes[:-2], series[0].shape[:-2], strict=True)
            if size > 1
        ]
        if len(sizes) > 1 or any(axis in _COLOUR_AXES for axis, _ in sizes):
            layout = ", ".join(f"{axis}={size}" for axis, size in sizes)
            raise InputFileError(
                self.path,
                f"it holds more than frames of one channel and one plane ({layout}).",
                "Export one channel and one plane per file.",
            )
        height, width = series[0].shape[-2:]
        n_frames = int(np.prod([size for _, size in sizes], dtype=int))
        shape = MovieShape(n_frames, int(height), int(width), np.dtype(series[0].dtype))
        if n_frames == len(pages):
            _check_page(self.path, pages[n_frames - 1], shape)
            return shape, None
        if len(pages) == 1 and series[0].dataoffset is not None:
            return shape, self._one_page_stack(int(series[0].dataoffset), shape)
        raise InputFileError(
            self.path,
            f"its description promises {n_frames} frames, but it holds {len(pages)} pages.",
            "The file may be cut short; export it again.",
        )

    def _one_page_stack(self, offset: int, shape: MovieShape) -> np.memmap[Any, Any]:
        needed = offset + shape.n_frames * shape.frame_bytes
        present = self.path.stat().st_size
        if needed > present:
            raise InputFileError(
                self.path,
                f"it is cut short: {shape.n_frames} frames need {needed} bytes, it has {present}.",
                "Copy or export it again.",
            )
        dtype = shape.dtype.newbyteorder(self._file.byteorder)
        return np.memmap(self.path, dtype, "r", offset, (shape.n_frames, shape.height, shape.width))

    rate_hz = None
    started = None
    frame_times_s = None

    def read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Return frames ``start`` to ``stop`` as an array (frames, height, width)."""
        shape = self.shape
        if self._stack is not None:
            return np.asarray(self._stack[start:stop], dtype=shape.dtype)
        frames = np.empty((stop - start, shape.height, shape.width), shape.dtype)
        for place, index in enumerate(range(start, stop)):
            with _reading(self.path, step=f"read page {index + 1}"):
                page = self._file.pages[index]
                _check_page(self.path, page, shape)
                frames[place] = page.asarray()
        return frames

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stack = None
        self._file.close()


def _check_page(path: Path, page: Any, shape: MovieShape | None) -> None:
    """Refuse a page that is not a grey image, differs from the others, or whose bytes are not there."""
    name = f"page {page.index + 1}"
    if page.samplesperpixel != 1 or len(page.shape) != 2:
        raise InputFileError(
            path,
            f"{name} has {page.samplesperpixel} samples per pixel (colour or alpha).",
            "A calcium movie has one; export it as grey values.",
        )
    if int(page.photometric) not in _GREY:
        raise InputFileError(
            path, f"{name} holds {page.photometric.name.lower()} colours.", "Export it as grey values."
        )
    if page.dtype is None or page.dtype.kind not in "uif":
        raise InputFileError(
            path,
            f"{name} has {page.bitspersample} bits per pixel, which is no type of number that NWB stores.",
            "Export it with 8, 16 or 32 bits.",
        )
    if 0 in page.shape:
        raise InputFileError(path, f"{name} is empty (shape {page.shape}).", "Export the movie again.")
    if shape is not None and (page.shape != (shape.height, shape.width) or page.dtype != shape.dtype):
        raise InputFileError(
            path,
            f"{name} is {page.shape} {page.dtype}, page 1 is {(shape.height, shape.width)} {shape.dtype}.",
            "A movie needs equal pages; split the file.",
        )
    stored = sum(page.databytecounts)
    end = max((a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
    size = path.stat().st_size
    if end > size:
        raise InputFileError(
            path,
            f"{name} is cut short: it ends at byte {end}, the file at {size}.",
            "Copy or export it again.",
        )
    needed = page.nbytes if page.bitspersample >= 8 else page.nbytes * page.bitspersample // 8
    if int(page.compression) == 1 and stored < needed:
        raise InputFileError(
            path, f"{name} needs {needed} bytes but states {stored}.", "Copy or export it again."
        )
    if page.nbytes > MAX_FRAME_BYTES or page.nbytes > MAX_COMPRESSION_RATIO * max(stored, 1):
        raise UnsafeFileError(
            path,
            f"{name} declares {page.nbytes} bytes out of {stored} stored ones.",
            f"At most {MAX_FRAME_BYTES} bytes per frame are read.",
        )


@contextmanager
def _reading(path: Path, *, step: str) -> Iterator[None]:
    """Turn whatever tifffile raises on odd files into an error that names the file."""
    try:
        yield
    except InputFileError:
        raise
    except MemoryError as error:
        raise UnsafeFileError(path, f"could not {step}: not enough memory.") from error
    except Exception as error:
        wants_codecs = "imagecodecs" in str(error) or "compression" in str(error)
        remedy = (
            "Export it without compression, or install imagecodecs."
            if wants_codecs
            else "Open it in ImageJ to see whether it is damaged."
        )
        raise InputFileError(path, f"could not {step}: {error}.", remedy) from error


class _Damage(logging.Handler):
    """Collects what tifffile only logs: a broken chain of pages ends a movie early and silently."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "TiffPages" in text or "TiffPageSeries" in text or "series" in text:
            self.found.append(text)


@contextmanager
def _damage_found(path: Path) -> Iterator[None]:
    handler = _Damage()
    logger = logging.getLogger("tifffile")
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
    if handler.found:
        raise InputFileError(
            path, f"the chain of pages is damaged: {handler.found[0]}.", "Copy or export it again."
        )


class TiffMovieInterface(MovieInterface):
    """Single-plane TIFF movie; stored as (frames, x, y), the transpose of the TIFF's (y, x) pages.

    Parameters
    ----------
    file_path : FilePath or list of FilePath
        The TIFF file; several with parts continuous or runs.
    rate_hz : float
        Frame rate, Hz.
    start_s : float
        Time of the first frame, s.
    parts : str
        How several files follow each other: single, continuous or runs.
    part_start_s : list of float
        Start of each run, s.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "TIFF movie"
    associated_suffixes = (".tif", ".tiff")
    info = "Reads a single-plane movie from TIFF files, page by page."

    def __init__(
        self,
        *,
        file_path: FilePath | list[FilePath],
        rate_hz: float,
        start_s: float = 0.0,
        parts: Parts = "single",
        part_start_s: Sequence[float] = (),
        metadata_key: str = "movie",
    ) -> None:
        """Examine the files; nothing is read yet."""
        super().__init__(
            TiffFrames,
            paths=file_path,
            rate_hz=rate_hz,
            start_s=start_s,
            parts=parts,
            part_start_s=part_start_s,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "rate_hz": rate_hz,
                "start_s": start_s,
                "parts": parts,
                "part_start_s": part_start_s,
                "metadata_key": metadata_key,
            },
        )
