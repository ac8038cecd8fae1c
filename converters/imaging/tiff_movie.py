"""A single-plane movie in one TIFF file, read page by page and written as a TwoPhotonSeries."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.data_utils import GenericDataChunkIterator
from neuroconv.basedatainterface import BaseDataInterface
from neuroconv.utils import DeepDict
from pydantic import FilePath
from pynwb import NWBFile
from pynwb.ophys import TwoPhotonSeries

from nwbswitch.converters.imaging.imaging_plane import (
    PLANE_KEY,
    default_plane_metadata,
    entry,
    imaging_plane,
    with_ophys,
)
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

CHUNK_BYTES = 4 << 20
BUFFER_BYTES = 64 << 20
MAX_FRAME_BYTES = 256 << 20
# zlib cannot compress by more than 1032:1 (RFC 1951), LZW by about 1400:1.
MAX_COMPRESSION_RATIO = 2000
STUB_FRAMES = 100

_COLOUR_AXES = frozenset("SC")
_GREY = (0, 1)


@dataclass(frozen=True, slots=True)
class MovieShape:
    """Number of frames, height and width in pixels, and dtype of a movie."""

    n_frames: int
    height: int
    width: int
    dtype: np.dtype[Any]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame in memory."""
        return self.height * self.width * self.dtype.itemsize


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


class MovieChunks(GenericDataChunkIterator):  # type: ignore[misc]
    """A movie as NWB stores it, (frames, width, height), in buffers that fit into memory."""

    def __init__(self, frames: TiffFrames, *, n_frames: int) -> None:
        self._frames = frames
        self._n_frames = n_frames
        shape = frames.shape
        per_chunk = min(max(CHUNK_BYTES // shape.frame_bytes, 1), n_frames)
        chunks = max(BUFFER_BYTES // (per_chunk * shape.frame_bytes), 1)
        super().__init__(
            buffer_shape=(min(per_chunk * chunks, n_frames), shape.width, shape.height),
            chunk_shape=(per_chunk, shape.width, shape.height),
        )

    def _get_data(self, selection: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        block = self._frames.read(selection[0].start, selection[0].stop)
        return np.ascontiguousarray(block.transpose(0, 2, 1)[(slice(None), *selection[1:])])

    def _get_maxshape(self) -> tuple[int, ...]:
        return (self._n_frames, self._frames.shape.width, self._frames.shape.height)

    def _get_dtype(self) -> np.dtype[Any]:
        return self._frames.shape.dtype.newbyteorder("=")


class TiffMovieInterface(BaseDataInterface):  # type: ignore[misc]
    """Single-plane TIFF movie; stored as (frames, x, y), the transpose of the TIFF's (y, x) pages.

    Parameters
    ----------
    file_path : FilePath
        The TIFF file.
    rate_hz : float
        Frame rate, Hz.
    start_s : float
        Session time of the first frame, s.
    metadata_key : str
        Key of this movie in metadata["Ophys"]["MicroscopySeries"].
    """

    display_name = "TIFF movie"
    keywords = ("two-photon", "movie")
    associated_suffixes = (".tif", ".tiff")
    info = "Reads a single-plane movie from one TIFF file, page by page."

    def __init__(
        self, *, file_path: FilePath, rate_hz: float, start_s: float = 0.0, metadata_key: str = "movie"
    ) -> None:
        """Examine the file; nothing is read yet."""
        if not rate_hz > 0:
            raise ValueError(f"rate_hz must be positive, not {rate_hz}")
        super().__init__(file_path=file_path, rate_hz=rate_hz, start_s=start_s, metadata_key=metadata_key)
        self.rate_hz = rate_hz
        self.start_s = start_s
        self.metadata_key = metadata_key
        self.frames = TiffFrames(Path(file_path))

    @property
    def n_frames(self) -> int:
        """Number of frames in the file."""
        return self.frames.shape.n_frames

    def get_metadata_schema(self) -> dict[str, Any]:
        """Return neuroconv's base schema with the imaging plane and the series."""
        return with_ophys(super().get_metadata_schema(), "MicroscopySeries")

    def get_metadata(self) -> DeepDict:
        """Return what a TIFF says of itself: nothing but the default names."""
        metadata = super().get_metadata()
        own = default_plane_metadata()
        own["Ophys"]["MicroscopySeries"] = {self.metadata_key: self._defaults()}
        metadata.deep_update(DeepDict(own))
        return metadata

    def _defaults(self) -> dict[str, str]:
        return {
            "name": "TwoPhotonSeries",
            "description": "Two-photon movie as acquired, stored as (frames, x, y).",
            "imaging_plane_metadata_key": PLANE_KEY,
        }

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the movie to the acquisition.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the series.
        metadata : dict
            As from get_metadata.
        stub : bool
            Take the first 100 frames only.
        """
        metadata = self.get_metadata() if metadata is None else metadata
        fields = entry(metadata, "MicroscopySeries", self.metadata_key, self._defaults())
        n_frames = min(self.n_frames, STUB_FRAMES) if stub else self.n_frames
        shape = self.frames.shape
        nwbfile.add_acquisition(
            TwoPhotonSeries(
                name=fields["name"],
                description=fields["description"],
                data=H5DataIO(
                    MovieChunks(self.frames, n_frames=n_frames),
                    compression="gzip",
                    compression_opts=4,
                    shuffle=True,
                ),
                unit="n.a.",
                comments="Pixel values as delivered by the microscope; one page of the source is (y, x).",
                imaging_plane=imaging_plane(nwbfile, metadata, key=fields["imaging_plane_metadata_key"]),
                dimension=[shape.width, shape.height],
                starting_time=float(self.start_s),
                rate=float(self.rate_hz),
            )
        )

    def close(self) -> None:
        """Close the file; call it after the NWB file is written."""
        self.frames.close()
