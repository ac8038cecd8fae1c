"""Regions of interest as every reader gives them: masks, traces, flags and numbers, whoever found them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from hdmf.data_utils import GenericDataChunkIterator
from numpy.typing import NDArray

from nwbswitch.schemas.mapped_array import copied
from nwbswitch.schemas.stream_base import RoiBasis

CHUNK_FRAMES = 500
CHUNK_BYTES = 10 << 20
BUFFER_BYTES = 128 << 20
PIXEL = np.dtype([("x", "<u4"), ("y", "<u4"), ("weight", "<f4")])
VOXEL = np.dtype([("x", "<u4"), ("y", "<u4"), ("z", "<u4"), ("weight", "<f4")])


class TraceKind(StrEnum):
    """What a matrix of traces holds; the value is the name of its series."""

    RAW = "RoiResponseSeries"
    NEUROPIL = "Neuropil"
    DECONVOLVED = "Deconvolved"
    DFF = "DfOverF"
    DEMIXED = "Demixed"
    DENOISED = "Denoised"
    BASELINE = "Baseline"
    SECOND_CHANNEL = "SecondChannel"
    SECOND_CHANNEL_NEUROPIL = "SecondChannelNeuropil"


TRACE_DESCRIPTIONS: dict[TraceKind, str] = {
    TraceKind.RAW: "Raw fluorescence of each ROI, without neuropil correction.",
    TraceKind.NEUROPIL: "Fluorescence of the neuropil around each ROI.",
    TraceKind.DECONVOLVED: "Activity deconvolved from the fluorescence.",
    TraceKind.DFF: "Fluorescence relative to baseline, dF/F.",
    TraceKind.DEMIXED: "Fluorescence of each ROI as the segmentation program gives it, without background "
    "and other ROIs or in a unit of its own, not denoised. Its zero is arbitrary: it must not be divided by "
    "its level at rest.",
    TraceKind.DENOISED: "Denoised fluorescence, as the segmentation program models it.",
    TraceKind.BASELINE: "Baseline fluorescence of each ROI.",
    TraceKind.SECOND_CHANNEL: "Fluorescence of each ROI in the second channel, without neuropil correction.",
    TraceKind.SECOND_CHANNEL_NEUROPIL: "Fluorescence of the neuropil around each ROI in the second channel.",
}


class Traces(Protocol):
    """A matrix of traces that stays where it is until a window of it is read."""

    @property
    def shape(self) -> tuple[int, int]:
        """ROIs and frames."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def read(self, rois: slice, frames: slice) -> NDArray[Any]:
        """Return a window, shape (ROIs, frames)."""


@dataclass(frozen=True, slots=True)
class ArrayTraces:
    """Traces in anything that slices as a two-dimensional array: in memory, mapped, or an HDF5 dataset."""

    array: Any
    frames_first: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """ROIs and frames."""
        first, second = self.array.shape
        return (second, first) if self.frames_first else (first, second)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def read(self, rois: slice, frames: slice) -> NDArray[Any]:
        """Return a window, shape (ROIs, frames)."""
        if self.frames_first:
            return copied(np.asarray(self.array[frames, rois])).T
        return copied(np.asarray(self.array[rois, frames]))


@dataclass(frozen=True, slots=True)
class SummedTraces:
    """The sum of two matrices of traces, formed window by window."""

    one: Traces
    other: Traces

    def __post_init__(self) -> None:
        """Check that they belong together."""
        if self.one.shape != self.other.shape:
            raise ValueError(f"traces of shapes {self.one.shape} and {self.other.shape} have no sum")

    @property
    def shape(self) -> tuple[int, int]:
        """ROIs and frames."""
        return self.one.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = np.result_type(self.one.dtype, self.other.dtype)
        return dtype

    def read(self, rois: slice, frames: slice) -> NDArray[Any]:
        """Return a window, shape (ROIs, frames)."""
        window: NDArray[Any] = self.one.read(rois, frames) + self.other.read(rois, frames)
        return window


@dataclass(frozen=True, slots=True)
class SparseTraces:
    """Traces of which only the values that are not zero are in memory: a `scipy.sparse.csc_array`."""

    array: Any

    @property
    def shape(self) -> tuple[int, int]:
        """ROIs and frames."""
        n_rois, n_frames = self.array.shape
        return n_rois, n_frames

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype

    def read(self, rois: slice, frames: slice) -> NDArray[Any]:
        """Return a window, shape (ROIs, frames)."""
        window: NDArray[Any] = self.array[:, frames].toarray()[rois]
        return window


@dataclass(frozen=True, slots=True)
class PickedTraces:
    """Some frames of a matrix of traces: those at ``index`` (n,), which increases."""

    traces: Traces
    index: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """ROIs and frames."""
        return self.traces.shape[0], len(self.index)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.traces.dtype

    def read(self, rois: slice, frames: slice) -> NDArray[Any]:
        """Return a window, shape (ROIs, frames)."""
        wanted = self.index[frames]
        if not len(wanted):
            return self.traces.read(rois, slice(0, 0))
        first = int(wanted[0])
        window: NDArray[Any] = self.traces.read(rois, slice(first, int(wanted[-1]) + 1))[:, wanted - first]
        return window


@dataclass(frozen=True, slots=True)
class Column:
    """One value per ROI, with what it means."""

    description: str
    values: NDArray[Any] | Sequence[str]


@dataclass(frozen=True, slots=True)
class SummaryImage:
    """An image of the whole plane, shape (height, width), with what it shows."""

    description: str
    image: NDArray[Any]


@dataclass(frozen=True, slots=True)
class RoiSet:
    """All ROIs of one plane, accepted or not.

    Attributes
    ----------
    software, version
        The program that found them; the version is empty where it is not stated.
    pixels, ends
        Pixels (`PIXEL` or `VOXEL`) of all ROIs one after the other, in the axes (x, y) of the movie, and
        (n_rois,) the index after the last pixel of each. ``pixels`` is None where masks are not known.
    pixel_note
        How the axes of the masks differ from those of the movie, as a sentence.
    accepted
        (n_rois,) whether the ROI counts as a cell.
    accepted_by
        What decided it, as a sentence.
    traces
        At least one kind; all of the same shape.
    columns
        Further numbers or words per ROI by the name of the column.
    images
        Summary images by name.
    rate_hz
        Frame rate that the files state, Hz.
    frame_times_s
        (n_frames,) times that the files state, s, where frames are missing between others.
    bad_frames, bad_frames_are
        (n_frames,) frames that must not be used, and why.
    roi_basis
        How ROIs were found, where the program or its settings tell.
    trace_notes
        Where traces come from in the files, as sentences.
    rate_note
        What to know of the stated rate when another one contradicts it.
    run_frames
        Frames of each run or file that the program read, in the ways in which it states them.
    open_files
        What stays open while traces are read.
    """

    software: str
    accepted: NDArray[np.bool_]
    accepted_by: str
    traces: Mapping[TraceKind, Traces]
    version: str = ""
    pixels: NDArray[Any] | None = None
    ends: NDArray[Any] | None = None
    pixel_note: str = ""
    columns: Mapping[str, Column] = field(default_factory=dict)
    images: Mapping[str, SummaryImage] = field(default_factory=dict)
    rate_hz: float | None = None
    frame_times_s: NDArray[np.float64] | None = None
    bad_frames: NDArray[np.bool_] | None = None
    bad_frames_are: str = "too displaced to be used"
    roi_basis: RoiBasis | None = None
    trace_notes: Mapping[TraceKind, str] = field(default_factory=dict)
    rate_note: str = ""
    run_frames: tuple[tuple[int, ...], ...] = ()
    open_files: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Check that everything is there for the same number of ROIs and frames."""
        shapes = {traces.shape for traces in self.traces.values()}
        if len(shapes) != 1:
            raise ValueError(f"traces of one set have one shape, not {sorted(shapes)}")
        counts = {self.n_rois, len(self.accepted), *(len(each.values) for each in self.columns.values())}
        if self.ends is not None:
            counts.add(len(self.ends))
        if len(counts) != 1:
            raise ValueError(f"a set of ROIs with different numbers of ROIs: {sorted(counts)}")

    @property
    def n_rois(self) -> int:
        """Number of ROIs."""
        return next(iter(self.traces.values())).shape[0]

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return next(iter(self.traces.values())).shape[1]

    def contradicts_runs(self, counts: Sequence[int]) -> tuple[int, ...] | None:
        """Return the frames per run that the program read, where these are as many runs of other lengths."""
        alike = [each for each in self.run_frames if len(each) == len(counts)]
        return alike[0] if alike and tuple(counts) not in alike else None


def joined_masks(masks: Iterable[tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ``pixels`` and ``ends`` of masks given as (x, y, weight) or (x, y, z, weight) arrays."""
    parts = []
    for columns in masks:
        part = np.empty(len(columns[0]), PIXEL if len(columns) == 3 else VOXEL)
        for name, values in zip(part.dtype.names or (), columns, strict=True):
            part[name] = values
        parts.append(part)
    pixels = np.concatenate(parts) if parts else np.empty(0, PIXEL)
    return pixels, np.cumsum([len(part) for part in parts], dtype=np.int64)


class TraceChunks(GenericDataChunkIterator):  # type: ignore[misc]
    """Traces as NWB stores them, (frames, ROIs), in chunks that suit windows of time."""

    def __init__(self, traces: Traces, *, n_frames: int) -> None:
        self._traces = traces
        n_rois = traces.shape[0]
        itemsize = traces.dtype.itemsize
        self._shape = (n_frames, n_rois)
        frames = min(CHUNK_FRAMES, n_frames)
        rois = min(max(CHUNK_BYTES // (frames * itemsize), 1), n_rois)
        buffered = max(BUFFER_BYTES // (frames * n_rois * itemsize), 1) * frames
        super().__init__(buffer_shape=(min(buffered, n_frames), n_rois), chunk_shape=(frames, rois))

    def _get_data(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        frames, rois = selection
        return self._traces.read(rois, frames).T

    def _get_maxshape(self) -> tuple[int, int]:
        return self._shape

    def _get_dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._traces.dtype.newbyteorder("=")
        return dtype
