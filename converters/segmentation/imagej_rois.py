"""The ImageJ interface: ROIs drawn by hand (RoiSet.zip or one .roi) with their traces in a table."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import FilePath

from nwbswitch.converters.segmentation.imagej_shapes import NoAreaError, roi_pixels
from nwbswitch.converters.segmentation.imagej_traces import table_traces
from nwbswitch.converters.segmentation.masks import MAX_MASK_PX, checked_sides
from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.segmentation.rois import Column, RoiSet, TraceKind, joined_masks
from nwbswitch.schemas.errors import InputFileError, MissingExtraError, UnsafeFileError
from nwbswitch.schemas.stream_base import RoiBasis
from nwbswitch.schemas.streams_segmentation import TraceTable
from nwbswitch.schemas.zip_guard import open_zip

if TYPE_CHECKING:
    from roifile import ImagejRoi

MAX_ROI_BYTES = 5 << 20
"""ImageJ itself reads no larger .roi file."""
MAX_SET_BYTES = 32 << 20
"""A ROI has about a kilobyte."""
MAX_NAME = 200
_FAULTS = (ArithmeticError, AssertionError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)


class ImagejRoisInterface(RoiInterface):
    """ROIs of one ROI set with their traces.

    Parameters
    ----------
    file_path : FilePath
        RoiSet.zip of ImageJ's ROI Manager, or a single .roi file.
    traces : dict
        Where the traces are: path, kind (raw or dff), measure (column of Multi Measure), variable and rows
        (of a MAT-file).
    image_size : sequence of int
        Height and width of the image that the ROIs were drawn in, pixels.
    rate_hz : float, optional
        Frame rate, Hz; may be left out where the traces follow a movie.
    start_s : float
        Time of the first frame, s.
    roi_basis : str
        How ROIs were found: activity, anatomical or unknown.
    cell_type : str
        Cell type of all ROIs.
    depth_um : float, optional
        Depth of the plane below the pia, um.
    metadata_key : str
        Key of this plane in metadata["Ophys"]["PlaneSegmentations"].
    """

    display_name = "ImageJ ROIs"
    associated_suffixes = (".zip", ".roi")
    info = "Reads ROIs drawn in ImageJ and their traces in a table."

    def __init__(
        self,
        *,
        file_path: FilePath,
        traces: dict[str, Any],
        image_size: list[int],
        rate_hz: float | None = None,
        start_s: float = 0.0,
        roi_basis: RoiBasis = "anatomical",
        cell_type: str = "unknown",
        depth_um: float | None = None,
        metadata_key: str = "imagej_rois",
    ) -> None:
        """Open the ROIs and check that they fit their traces."""
        table = TraceTable.model_validate(traces)
        super().__init__(
            imagej_rois(Path(file_path), table, image_size=(image_size[0], image_size[1])),
            place=Path(file_path),
            rate_hz=rate_hz,
            start_s=start_s,
            roi_basis=roi_basis,
            cell_type=cell_type,
            depth_um=depth_um,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "traces": traces,
                "image_size": image_size,
            },
        )


def imagej_rois(file: Path, table: TraceTable, *, image_size: tuple[int, int]) -> RoiSet:
    """Return the ROIs of a ROI set with their traces.

    Raises
    ------
    InputFileError, UnsafeFileError, TableError
        When a file is damaged, a ROI has no pixels in the image, or traces are of another number of ROIs.
    MissingExtraError
        When roifile is not installed.
    """
    height, width = checked_sides(file, image_size, stated_by="image_size")
    named = read_roi_set(file)
    masks = []
    n_pixels = 0
    for name, roi in named:
        try:
            x, y = roi_pixels(roi, height, width)
        except NoAreaError as error:
            raise InputFileError(
                file, f"the ROI {name!r} is {error}.", "Leave it out of the set, or draw it anew."
            ) from error
        masks.append((x, y, np.ones(len(x), np.float32)))
        n_pixels += len(x)
        if n_pixels > MAX_MASK_PX:
            raise UnsafeFileError(file, f"holds ROIs of more than {MAX_MASK_PX} pixels together.")
    pixels, ends = joined_masks(masks)
    names = [name for name, _ in named]
    kind = TraceKind.DFF if table.kind == "dff" else TraceKind.RAW
    measured = f"{table.measure} of the pixels, measured in ImageJ."
    with ExitStack() as files:
        return RoiSet(
            software="ImageJ",
            accepted=np.ones(len(names), bool),
            accepted_by="ROIs were drawn by hand: every ROI counts.",
            traces={kind: table_traces(table, names, files)},
            trace_notes={TraceKind.RAW: measured} if table.path.suffix.lower() != ".mat" else {},
            pixels=pixels,
            ends=ends,
            columns={"roi_name": Column("Name of the ROI in ImageJ.", names)},
            open_files=files.pop_all(),
        )


def read_roi_set(file: Path) -> list[tuple[str, ImagejRoi]]:
    """Return the ROIs of a ROI set with their names, in its order.

    Raises
    ------
    InputFileError, UnsafeFileError
        When the file is missing or damaged, or holds no ROI.
    MissingExtraError
        When roifile is not installed.
    """
    if file.suffix.lower() == ".roi":
        try:
            size = file.stat().st_size
            data = file.read_bytes() if size <= MAX_ROI_BYTES else b""
        except OSError as error:
            raise InputFileError(file, f"cannot be read: {error.strerror or error}.") from error
        if size > MAX_ROI_BYTES:
            raise UnsafeFileError(file, f"has {size} bytes; a ROI has {MAX_ROI_BYTES} at most.")
        return [_decoded(file, file.name, data)]
    with open_zip(file, max_bytes=MAX_SET_BYTES) as archive:
        members = [each for each in archive.members if _is_roi(each.name)]
        large = [each.name for each in members if each.size > MAX_ROI_BYTES]
        if large:
            raise UnsafeFileError(file, f"holds a ROI of more than {MAX_ROI_BYTES} bytes: {large[0][:80]}.")
        if not members:
            raise InputFileError(file, "holds no .roi files.", "Save the ROIs from ImageJ's ROI Manager.")
        return [_decoded(file, each.name, archive.read(each.name)) for each in members]


def _is_roi(name: str) -> bool:
    """Return whether a member is a ROI; macOS adds files of its own, whose names begin with ``._``."""
    return name.lower().endswith(".roi") and not Path(name).name.startswith("._")


def _decoded(file: Path, member: str, data: bytes) -> tuple[str, ImagejRoi]:
    try:
        from roifile import ImagejRoi
    except ImportError as error:
        raise MissingExtraError("roifile", "convert") from error
    try:
        roi = ImagejRoi.frombytes(data)
    except _FAULTS as error:
        raise InputFileError(file, f"holds a damaged ROI, {member[:80]!r}: {str(error)[:100]}.") from error
    name = roi.name or Path(member).name[: -len(".roi")]
    if len(name) > MAX_NAME or not name.isprintable():
        raise InputFileError(file, f"holds a ROI whose name is no word: {name[:80]!r}.")
    return name, roi
