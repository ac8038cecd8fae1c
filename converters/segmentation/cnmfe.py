"""The CNMF-E interface: neurons that CNMF-E (MATLAB) found, from the MAT-file that it saves.

Fields are those of the class ``Sources2D`` (zhoupc/CNMF_E on GitHub); CIAtah (bahanonu/ciatah) renames them.
Images are flattened column by column, as MATLAB does: A is (d1 * d2, neurons).
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import FilePath

from nwbswitch.converters.segmentation.masks import checked_sides, column_major_masks, image_masks
from nwbswitch.converters.segmentation.mat_results import MatResult, open_result
from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.segmentation.rois import RoiSet, TraceKind, Traces
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.stream_base import RoiBasis

ACCEPTED_BY = "CNMF-E deletes what it rejects: every neuron that is left counts."
REMEDY = (
    "In MATLAB: neuron_results = struct(neuron); save('results.mat', 'neuron_results', '-v7.3'), "
    "or neuron.save_results('results.mat')."
)


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields in which a program keeps footprints and traces of CNMF-E."""

    footprints: str
    traces: dict[str, TraceKind]


SOURCES2D = Layout("A", {"C_raw": TraceKind.DEMIXED, "C": TraceKind.DENOISED, "S": TraceKind.DECONVOLVED})
CIATAH = Layout(
    "extractedImages",
    {
        "extractedSignalsEst": TraceKind.DEMIXED,
        "extractedSignals": TraceKind.DENOISED,
        "extractedPeaks": TraceKind.DECONVOLVED,
    },
)
# CIAtah says which is which; what it calls dfof is C_raw, in the unit of the movie.
CIATAH_TYPES = {"dfof": TraceKind.DEMIXED, "model": TraceKind.DENOISED}


SMALL = (
    "ids",
    "tags",
    "Fs",
    "Cn",
    "PNR",
    "options.d1",
    "options.d2",
    "extractedSignalsType",
    "extractedSignalsEstType",
)


class CnmfeInterface(RoiInterface):
    """Neurons of one CNMF-E result.

    Parameters
    ----------
    file_path : FilePath
        The .mat file, of any version.
    variable : str, optional
        Name of the struct, where the file holds several results.
    rate_hz : float, optional
        Frame rate, Hz; needed when CNMF-E was not told.
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

    display_name = "CNMF-E"
    associated_suffixes = (".mat",)
    info = "Reads neurons and traces that CNMF-E saved in a MAT-file."

    def __init__(
        self,
        *,
        file_path: FilePath,
        variable: str | None = None,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        roi_basis: RoiBasis = "activity",
        cell_type: str = "unknown",
        depth_um: float | None = None,
        metadata_key: str = "cnmfe",
    ) -> None:
        """Open the file and check that its fields fit together."""
        super().__init__(
            cnmfe_rois(Path(file_path), variable),
            place=Path(file_path),
            rate_hz=rate_hz,
            start_s=start_s,
            roi_basis=roi_basis,
            cell_type=cell_type,
            depth_um=depth_um,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
                "variable": variable,
            },
        )


def cnmfe_rois(file: Path, variable: str | None = None) -> RoiSet:
    """Return the neurons of a CNMF-E result.

    Raises
    ------
    InputFileError, UnsafeFileError
        When the file is damaged, holds no such result, or its fields do not fit together.
    """
    result = open_result(
        file,
        layouts=[("A", "C"), ("extractedImages", "extractedSignals")],
        small=SMALL,
        variable=variable,
        program="CNMF-E",
        remedy=REMEDY,
    )
    layout = SOURCES2D if "A" in result.fields else CIATAH
    if not result.has(layout.footprints):
        raise InputFileError(file, f"holds no neurons: {layout.footprints} is empty.")
    with ExitStack() as files:
        notes, traces = _traces(result, layout, files)
        n_rois = next(iter(traces.values())).shape[0]
        sides = _sides(result, layout)
        sparse = result.fields[layout.footprints].class_name == "sparse"
        if sparse:
            pixels, ends = column_major_masks(file, result.read(layout.footprints), sides)
        elif layout is SOURCES2D:
            pixels, ends = image_masks(file, result.columns("A", sides))
        else:
            pixels, ends = image_masks(file, result.images("extractedImages", n_rois))
        shape = result.fields[layout.footprints].shape
        n_masks = shape[1] if layout is SOURCES2D else (*shape, 1)[2]
        if n_masks != n_rois:
            raise InputFileError(file, f"holds {n_masks} footprints and {n_rois} traces.")
        numbers = {
            "neuron_id": result.column("ids", n_rois, "Number of the neuron; CNMF-E's ids."),
            "quality_tags": result.column(
                "tags",
                n_rois,
                "Doubts as bits: 1 few pixels, 2 no transients, 4 little noise, 8 low peak-to-noise ratio; "
                "CNMF-E's tags.",
            ),
        }
        pictures = {
            "correlation_image": result.image(
                "Cn", sides, "Correlation of neighbouring pixels (CNMF-E's Cn), stored as (x, y)."
            ),
            "peak_to_noise_image": result.image(
                "PNR", sides, "Peak-to-noise ratio of each pixel (CNMF-E's PNR), stored as (x, y)."
            ),
        }
        rate_hz = result.number("Fs")
        return RoiSet(
            software="CNMF-E",
            accepted=np.ones(n_rois, bool),
            accepted_by=ACCEPTED_BY,
            traces=traces,
            trace_notes=notes,
            pixels=pixels,
            ends=ends,
            columns={name: each for name, each in numbers.items() if each is not None},
            images={name: each for name, each in pictures.items() if each is not None},
            rate_hz=rate_hz if rate_hz is not None and rate_hz > 0 else None,
            open_files=files.pop_all(),
        )


def _traces(
    result: MatResult, layout: Layout, files: ExitStack
) -> tuple[dict[TraceKind, str], dict[TraceKind, Traces]]:
    traces: dict[TraceKind, Traces] = {}
    notes: dict[TraceKind, str] = {}
    for field, usual in layout.traces.items():
        if not result.has(field):
            continue
        kind = CIATAH_TYPES.get(result.text(f"{field}Type"), usual) if layout is CIATAH else usual
        found = result.traces(field, files)
        if traces and found.shape != next(iter(traces.values())).shape:
            raise InputFileError(
                result.file,
                f"holds {field} of shape {found.shape}, other traces have "
                f"{next(iter(traces.values())).shape}.",
            )
        if kind in traces:
            raise InputFileError(result.file, f"holds {kind.value} traces twice, {field} among them.")
        traces[kind] = found
        notes[kind] = f"{'CIAtah' if layout is CIATAH else 'CNMF-E'}'s {field}."
    if not traces:
        raise InputFileError(result.file, f"holds no traces in {', '.join(layout.traces)}.")
    return notes, traces


def _sides(result: MatResult, layout: Layout) -> tuple[int, ...]:
    """Return height and width: of the footprints, or as the options or the correlation image state them."""
    if layout is CIATAH:
        return checked_sides(
            result.file, result.fields["extractedImages"].shape[:2], stated_by="extractedImages"
        )
    stated = [result.number(f"options.{name}") for name in ("d1", "d2")]
    if None not in stated:
        return checked_sides(result.file, stated, stated_by="options.d1, options.d2")
    if result.has("Cn"):
        return checked_sides(result.file, result.fields["Cn"].shape, stated_by="Cn")
    raise InputFileError(result.file, "states no size of the image: neither options.d1 and d2 nor Cn.")
