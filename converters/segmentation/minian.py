"""The Minian interface: cells that Minian found, from the folder of Zarr arrays that it saves.

Arrays are those that Minian's pipeline notebook saves last (denisecailab/minian on GitHub): footprints A,
denoised traces C, deconvolved traces S, baselines b0 and the maximum projection; YrA, the traces before they
are denoised, is there when the user saved it too. Background (b, f) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import DirectoryPath

from nwbswitch.converters.behavior.signal_table import read_columns
from nwbswitch.converters.segmentation.masks import checked_sides, image_masks
from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.segmentation.rois import (
    ArrayTraces,
    Column,
    RoiSet,
    SummaryImage,
    TraceKind,
    Traces,
)
from nwbswitch.converters.segmentation.zarr_arrays import open_zarr_array
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import RoiBasis
from nwbswitch.schemas.streams_segmentation import MinianTimes

TRACES = {
    "YrA": TraceKind.DEMIXED,
    "C": TraceKind.DENOISED,
    "S": TraceKind.DECONVOLVED,
    "b0": TraceKind.BASELINE,
}
FRAME_NUMBER, FRAME_TIME = "Frame Number", "Time Stamp (ms)"
"""Columns of timeStamps.csv of the Miniscope software."""
BLOCK_BYTES = 64 << 20
MAX_COORDINATES = 50_000_000


class MinianInterface(RoiInterface):
    """Cells of one Minian folder.

    Parameters
    ----------
    folder_path : DirectoryPath
        The folder with A.zarr and C.zarr, or the one around it when it is called minian.
    timestamps : dict, optional
        Where the times of frames are: path of timeStamps.csv of the Miniscope software.
    rate_hz : float, optional
        Frame rate, Hz; may be left out with timestamps, or where the traces follow a movie.
    start_s : float
        Time of the zero of the timestamps; without them, of the first frame, s.
    roi_basis : str
        How ROIs were found: activity, anatomical or unknown.
    cell_type : str
        Cell type of all ROIs.
    depth_um : float, optional
        Depth of the plane below the pia, um.
    metadata_key : str
        Key of this plane in metadata["Ophys"]["PlaneSegmentations"].
    """

    display_name = "Minian"
    associated_suffixes = (".zarr",)
    info = "Reads footprints and traces that Minian saved as Zarr arrays."

    def __init__(
        self,
        *,
        folder_path: DirectoryPath,
        timestamps: dict[str, Any] | None = None,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        roi_basis: RoiBasis = "activity",
        cell_type: str = "unknown",
        depth_um: float | None = None,
        metadata_key: str = "minian",
    ) -> None:
        """Open the arrays and check that they fit together."""
        folder = minian_folder(Path(folder_path))
        times = None if timestamps is None else MinianTimes.model_validate(timestamps)
        super().__init__(
            minian_rois(folder, times),
            place=folder,
            rate_hz=rate_hz,
            start_s=start_s,
            roi_basis=roi_basis,
            cell_type=cell_type,
            depth_um=depth_um,
            metadata_key=metadata_key,
            source={
                "folder_path": folder_path,
                "timestamps": timestamps,
            },
        )


def minian_folder(folder: Path) -> Path:
    """Return the folder that holds the arrays.

    Raises
    ------
    InputFileError
        When there is none.
    """
    for each in (folder, folder / "minian"):
        if (each / "A.zarr").is_dir() and (each / "C.zarr").is_dir():
            return each
    raise InputFileError(folder, "is not a Minian folder: no A.zarr and C.zarr in it.")


def minian_rois(folder: Path, times: MinianTimes | None = None) -> RoiSet:
    """Return the cells of a Minian folder; their traces stay in it.

    Raises
    ------
    InputFileError, UnsafeFileError, TableError
        When arrays are missing, damaged or do not fit together.
    MissingExtraError
        When zarr is not installed.
    """
    footprints, dims = open_zarr_array(folder, "A.zarr", "A")
    if sorted(dims) != ["height", "unit_id", "width"]:
        raise InputFileError(folder / "A.zarr", f"has the dimensions {', '.join(dims)}.")
    sides = checked_sides(
        folder, [footprints.shape[dims.index(name)] for name in ("height", "width")], stated_by="A.zarr"
    )
    units = _coordinate(folder, "A.zarr", "unit_id", length=footprints.shape[dims.index("unit_id")])
    if not len(units):
        raise InputFileError(folder / "A.zarr", "holds no cells.")
    traces = _traces(folder, units)
    pixels, ends = image_masks(folder, _footprints(footprints, dims))
    n_frames = next(iter(traces.values())).shape[1]
    images = {}
    if (folder / "max_proj.zarr").is_dir():
        projection, names = open_zarr_array(folder, "max_proj.zarr", "max_proj")
        own = dict(zip(names, projection.shape, strict=True))
        if own != {"height": sides[0], "width": sides[1]}:
            raise InputFileError(folder / "max_proj.zarr", f"has the dimensions {own}, not those of A.zarr.")
        image = projection[:] if names[0] == "height" else projection[:].T
        images["max_projection"] = SummaryImage(
            "Maximum over time of the preprocessed movie (Minian's max_proj), stored as (x, y).",
            image.astype(np.float32),
        )
    return RoiSet(
        software="Minian",
        accepted=np.ones(len(units), bool),
        accepted_by="Minian drops what it rejects: every cell that is left counts.",
        traces=traces,
        trace_notes={kind: f"Minian's {name}." for name, kind in TRACES.items()},
        pixels=pixels,
        ends=ends,
        pixel_note=_pixel_note(folder, sides),
        columns={"unit_id": Column("Number of the cell; Minian's unit_id.", units)},
        images=images,
        frame_times_s=None if times is None else _frame_times_s(folder, times, n_frames=n_frames),
    )


def _coordinate(folder: Path, store: str, name: str, *, length: int) -> NDArray[np.int64]:
    array, dims = open_zarr_array(folder, store, name)
    if dims != (name,) or array.dtype.kind not in "iu":
        raise InputFileError(folder / store, f"has no whole numbers as {name}.")
    if array.shape[0] != length or length > MAX_COORDINATES:
        raise InputFileError(folder / store, f"has {array.shape[0]} values of {name} for {length}.")
    values: NDArray[np.int64] = array[:].astype(np.int64)
    return values


def _traces(folder: Path, units: NDArray[np.int64]) -> dict[TraceKind, Traces]:
    traces: dict[TraceKind, Traces] = {}
    shape: tuple[int, int] | None = None
    for name, kind in TRACES.items():
        store = f"{name}.zarr"
        if not (folder / store).is_dir():
            continue
        array, dims = open_zarr_array(folder, store, name)
        if sorted(dims) != ["frame", "unit_id"]:
            raise InputFileError(folder / store, f"has the dimensions {', '.join(dims)}.")
        own = _coordinate(folder, store, "unit_id", length=array.shape[dims.index("unit_id")])
        if not np.array_equal(own, units):
            raise InputFileError(
                folder / store,
                f"holds the units {str(own.tolist())[:60]}, A.zarr {str(units.tolist())[:60]}.",
                "Save all arrays from one run of Minian.",
            )
        found = ArrayTraces(array, frames_first=dims[0] == "frame")
        if 0 in found.shape or (shape is not None and found.shape != shape):
            raise InputFileError(folder / store, f"has the shape {found.shape}, others have {shape}.")
        shape = found.shape
        traces[kind] = found
    return traces


def _footprints(array: Any, dims: tuple[str, ...]) -> Iterator[NDArray[Any]]:
    """Yield footprints (height, width), read in blocks of units."""
    axes = [dims.index(name) for name in ("unit_id", "height", "width")]
    n_units = array.shape[axes[0]]
    block = max(BLOCK_BYTES // max(array.nbytes // n_units, 1), 1)
    for start in range(0, n_units, block):
        window: list[slice] = [slice(None)] * 3
        window[axes[0]] = slice(start, min(start + block, n_units))
        yield from np.transpose(array[tuple(window)], axes)


def _pixel_note(folder: Path, sides: tuple[int, ...]) -> str:
    """Return how rows and columns relate to those of the video, where some were left out."""
    notes = []
    for name, side, word in (("height", sides[0], "rows"), ("width", sides[1], "columns")):
        values = _coordinate(folder, "A.zarr", name, length=side)
        if not np.array_equal(values, np.arange(side)):
            step = int(values[1] - values[0]) if side > 1 else 1
            notes.append(f"{word} from {int(values[0])} in steps of {step}")
    return f"Minian kept of the video {' and '.join(notes)}." if notes else ""


def _frame_times_s(folder: Path, times: MinianTimes, *, n_frames: int) -> NDArray[np.float64]:
    """Return the time of each frame, s, from the table of the Miniscope software."""
    frames = _coordinate(folder, "C.zarr", "frame", length=n_frames)
    columns, _ = read_columns(times.path, [FRAME_NUMBER, FRAME_TIME])
    numbers, stamps_ms = columns[FRAME_NUMBER], columns[FRAME_TIME]
    order = np.argsort(numbers, kind="stable")
    place = np.searchsorted(numbers[order], frames)
    known = place < len(order)
    known[known] = numbers[order][place[known]] == frames[known]
    if not known.all():
        raise InputFileError(
            times.path,
            f"has no row for frame {int(frames[~known][0])} of Minian, and {int((~known).sum())} in all.",
            "Give the table of this recording.",
        )
    return stamps_ms[order][place].astype(np.float64) / 1000
