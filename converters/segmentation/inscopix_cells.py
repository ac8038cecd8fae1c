"""The Inscopix interface for cell sets (.isxd): footprints and traces by CNMF-E, PCA-ICA or by hand.

The layout is that of ``CellSetFile`` in isxcore (https://github.com/inscopix/isxcore): the footprint
of each cell, row by row, and its trace, both 32-bit floats, and the JSON text at the end that names cells and
says which were accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FilePath, ValidationError

from nwbswitch.converters.imaging.inscopix_footer import (
    FooterPart,
    SpacingInfo,
    TimingInfo,
    read_footer,
    stored_frames,
)
from nwbswitch.converters.segmentation.masks import checked_sides, image_masks
from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.segmentation.rois import ArrayTraces, Column, PickedTraces, RoiSet, TraceKind
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.mapped_array import MappedArray
from nwbswitch.schemas.stream_base import RoiBasis

CELL_SET = 1
"""Type of a cell set in the footer."""
STATUSES = ("accepted", "undecided", "rejected")
"""Meaning of the numbers in CellStatuses."""
DFF_UNITS = frozenset({"df/f", "dff", "df over f", "scaled df/f", "deltaf/f"})
N_METRICS = 7
MAX_NAME = 200


class CellSetFooter(FooterPart):
    """What an .isxd file says of a cell set."""

    type: int
    timing_info: TimingInfo
    spacing_info: SpacingInfo
    names: tuple[str, ...] = Field(alias="CellNames")
    statuses: tuple[int, ...] = Field(alias="CellStatuses")
    is_roi_set: bool = False
    cell_metrics: tuple[Any, ...] | None = None
    extra_properties: dict[str, Any] | None = None


class InscopixCellsInterface(RoiInterface):
    """Cells of one Inscopix cell set; frames that were dropped, cropped or blank are left out.

    Parameters
    ----------
    file_path : FilePath
        The .isxd file.
    rate_hz : float, optional
        Frame rate, Hz; must agree with the file.
    start_s : float
        Time of the first frame, s.
    roi_basis : str, optional
        How ROIs were found: activity, anatomical or unknown; by default unknown for cells drawn by hand and
        activity for others.
    cell_type : str
        Cell type of all ROIs.
    depth_um : float, optional
        Depth of the plane below the pia, um.
    metadata_key : str
        Key of this plane in metadata["Ophys"]["PlaneSegmentations"].
    """

    display_name = "Inscopix cell set"
    associated_suffixes = (".isxd",)
    info = "Reads footprints, traces and statuses of cells in an Inscopix cell set."

    def __init__(
        self,
        *,
        file_path: FilePath,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        roi_basis: RoiBasis | None = None,
        cell_type: str = "unknown",
        depth_um: float | None = None,
        metadata_key: str = "inscopix_cells",
    ) -> None:
        """Open the file and check that its parts fit together."""
        super().__init__(
            inscopix_rois(Path(file_path)),
            place=Path(file_path),
            rate_hz=rate_hz,
            start_s=start_s,
            roi_basis=roi_basis,
            cell_type=cell_type,
            depth_um=depth_um,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
            },
        )


def inscopix_rois(file: Path) -> RoiSet:
    """Return the cells of a cell set; their traces stay in the file.

    Raises
    ------
    InputFileError, UnsafeFileError
        When the file is damaged, no cell set, or its parts do not fit together.
    """
    values, data_bytes = read_footer(file)
    footer = _cell_set_footer(file, values)
    n_rois, n_times = len(footer.names), footer.timing_info.num_times
    pixels = footer.spacing_info.num_pixels
    sides = checked_sides(file, (pixels.y, pixels.x), stated_by="spacingInfo")
    width = pixels.x * pixels.y + n_times
    if not n_rois or len(footer.statuses) != n_rois or data_bytes != 4 * n_rois * width:
        raise InputFileError(
            file,
            f"names {n_rois} cells and states {len(footer.statuses)} statuses; its data have "
            f"{data_bytes / (4 * width):g} cells.",
            "Copy it again, or export the cell set anew.",
        )
    # Each cell is its image and then its trace.
    number = np.dtype("<f4")
    by_image = (4 * width, 4 * pixels.x, 4)
    with MappedArray(file, dtype=number, shape=(n_rois, *sides), strides=by_image) as images:
        masks, ends = image_masks(file, (images[index] for index in range(n_rois)))
    stored = stored_frames(file, footer.timing_info)
    period_s = footer.timing_info.period.value
    if not period_s > 0 or not len(stored):
        raise InputFileError(file, f"states a period of {period_s:g} s for {len(stored)} frames.")
    kind, note = _trace_kind(footer)
    accepted, accepted_by = _accepted(footer)
    columns = _columns(footer)
    files = ExitStack()
    after_image = 4 * pixels.x * pixels.y
    traces = files.enter_context(
        MappedArray(file, dtype=number, shape=(n_rois, n_times), offset=after_image, strides=(4 * width, 4))
    )
    return RoiSet(
        software="Inscopix",
        accepted=accepted,
        accepted_by=accepted_by,
        traces={kind: PickedTraces(ArrayTraces(traces), stored)},
        trace_notes={kind: note},
        pixels=masks,
        ends=ends,
        columns=columns,
        rate_hz=1 / period_s,
        frame_times_s=stored.astype(np.float64) * period_s,
        roi_basis="unknown" if footer.is_roi_set else "activity",
        open_files=files,
    )


def _cell_set_footer(file: Path, values: Mapping[str, Any]) -> CellSetFooter:
    if values.get("type") != CELL_SET:
        raise InputFileError(file, "is an Inscopix file, but no cell set.", "Name the file with the cells.")
    try:
        footer = CellSetFooter.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputFileError(file, f"has a damaged footer: {place}: {first['msg']}.") from error
    if any(not 0 <= each < len(STATUSES) for each in footer.statuses):
        raise InputFileError(file, "has a damaged footer: a status that there is not.")
    if any(len(each) > MAX_NAME or not each.isprintable() for each in footer.names):
        raise InputFileError(file, "has a damaged footer: a name of a cell that is no word.")
    return footer


def _accepted(footer: CellSetFooter) -> tuple[NDArray[np.bool_], str]:
    statuses = np.array(footer.statuses)
    if (statuses == STATUSES.index("undecided")).all():
        return np.ones(len(statuses), bool), "Nobody accepted or rejected cells: every cell counts."
    return statuses == STATUSES.index("accepted"), "Cells with the status accepted."


def _cell_set_properties(footer: CellSetFooter) -> Mapping[str, Any]:
    found: Any = footer.extra_properties
    for name in ("idps", "cellset"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _trace_kind(footer: CellSetFooter) -> tuple[TraceKind, str]:
    stated = [_cell_set_properties(footer).get(name) for name in ("units", "method")]
    unit, method = (each[:40] if isinstance(each, str) and each.isprintable() else "" for each in stated)
    kind = TraceKind.DFF if unit.strip().lower() in DFF_UNITS else TraceKind.DEMIXED
    by = f" by {method}" if method else ""
    return kind, f"Traces{by} of the cell set, unit {unit or 'not stated'}."


def _columns(footer: CellSetFooter) -> dict[str, Column]:
    columns = {
        "roi_name": Column("Name of the cell in the cell set.", footer.names),
        "status": Column(
            "Status of the cell: accepted, undecided or rejected.",
            [STATUSES[each] for each in footer.statuses],
        ),
    }
    metrics = footer.cell_metrics or ()
    if len(metrics) == len(footer.names) and all(_is_metric(each) for each in metrics):
        columns["n_components"] = Column(
            "Number of separate parts of the footprint; Inscopix's cellMetrics.",
            np.array([int(each[0]) for each in metrics]),
        )
        columns["area_px"] = Column(
            "Area of the footprint, pixels; Inscopix's cellMetrics.",
            np.array([float(each[3]) for each in metrics]),
        )
    return columns


def _is_metric(value: Any) -> bool:
    numbers = [value[0], value[3]] if isinstance(value, list) and len(value) == N_METRICS else []
    return bool(numbers) and all(type(each) in (int, float) and abs(each) < 2**53 for each in numbers)
