"""The EXTRACT interface: cells that EXTRACT (MATLAB) found, from the MAT-file with its output.

Fields are those of ``extractor.m`` and ``cell_check.m`` (schnitzer-lab/EXTRACT-public on GitHub, version
1.3.0). EXTRACT divides traces by the fluorescence of each cell (``F_per_pixel``), which makes them dF/F,
unless that division was switched off.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath

from nwbswitch.converters.segmentation.masks import checked_sides, column_major_masks, image_masks
from nwbswitch.converters.segmentation.mat_results import MatResult, open_result
from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.segmentation.rois import Column, RoiSet, SummaryImage, TraceKind
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.mat_values import NUMBERS
from nwbswitch.schemas.stream_base import RoiBasis

N_METRICS = 30
METRICS = {
    "snr": (0, "Signal-to-noise ratio of the trace", "T_maxval"),
    "relative_area": (5, "Area of the footprint over that of an average cell", "S_area_2"),
    "eccentricity": (9, "Eccentricity of the footprint", "S_eccent"),
    "circularity": (10, "Circularity of the footprint", "S_circularity"),
}
"""Rows of ``info.cellcheck.metrics`` that become columns (``get_quality_metric_map.m``)."""
IMAGES = {
    "summary_image": "Summary of the movie before cells were found (EXTRACT's info.summary_image)",
    "max_image": "Maximum over time of the movie (EXTRACT's info.max_image)",
    "fluorescence_per_pixel": "Fluorescence by which traces were divided (EXTRACT's info.F_per_pixel)",
}
SMALL = (
    "labels",
    "info.version",
    "info.summary_image",
    "info.max_image",
    "info.F_per_pixel",
    "info.cellcheck.metrics",
    "config.preprocess",
    "config.skip_dff",
    "config.trace_output_option",
)
REMEDY = "In MATLAB: save('output.mat', 'output', '-v7.3') with the output of extractor."
_VERSION = re.compile(r"[\w.+-]{1,40}")


class ExtractInterface(RoiInterface):
    """Cells of one EXTRACT output.

    Parameters
    ----------
    file_path : FilePath
        The .mat file, of any version.
    variable : str, optional
        Name of the struct, where the file holds several outputs.
    rate_hz : float, optional
        Frame rate, Hz; EXTRACT does not keep it.
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

    display_name = "EXTRACT"
    associated_suffixes = (".mat",)
    info = "Reads cells and traces that EXTRACT saved in a MAT-file."

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
        metadata_key: str = "extract",
    ) -> None:
        """Open the file and check that its fields fit together."""
        super().__init__(
            extract_rois(Path(file_path), variable),
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


def extract_rois(file: Path, variable: str | None = None) -> RoiSet:
    """Return the cells of an EXTRACT output.

    Raises
    ------
    InputFileError, UnsafeFileError
        When the file is damaged, holds no such output, or its fields do not fit together.
    """
    result = open_result(
        file,
        layouts=[("spatial_weights", "temporal_weights")],
        small=SMALL,
        variable=variable,
        program="EXTRACT",
        remedy=REMEDY,
    )
    with ExitStack() as files:
        if not result.has("temporal_weights"):
            raise InputFileError(file, "holds an output without cells (temporal_weights is empty).")
        traces = result.traces("temporal_weights", files, frames_first=True)
        n_rois = traces.shape[0]
        images, sides = _images(result)
        pixels, ends = _masks(result, sides, n_rois)
        sizes = np.diff(ends, prepend=0)
        accepted, accepted_by = _accepted(result, sizes)
        kind, note = _trace_kind(result, images)
        version = result.text("info.version")
        return RoiSet(
            software="EXTRACT",
            version=version if _VERSION.fullmatch(version) else "",
            accepted=accepted,
            accepted_by=accepted_by,
            traces={kind: traces},
            trace_notes={kind: note},
            pixels=pixels,
            ends=ends,
            columns=_columns(result, n_rois),
            images=images,
            open_files=files.pop_all(),
        )


def _images(result: MatResult) -> tuple[dict[str, SummaryImage], tuple[int, ...]]:
    """Return summary images, and height and width of the plane."""
    weights = result.fields["spatial_weights"]
    if weights.class_name in NUMBERS and len(weights.shape) in (2, 3):
        sides = checked_sides(result.file, weights.shape[:2], stated_by="spatial_weights")
    else:
        sides = _stated_sides(result)
    images = {}
    for name, meaning in IMAGES.items():
        field = "F_per_pixel" if name == "fluorescence_per_pixel" else name
        image = result.image(f"info.{field}", sides, f"{meaning}, stored as (x, y).")
        if image is not None:
            images[name] = image
    return images, sides


def _stated_sides(result: MatResult) -> tuple[int, ...]:
    for field in ("info.summary_image", "info.F_per_pixel", "info.max_image"):
        image = result.values.get(field)
        if isinstance(image, np.ndarray) and image.size:
            return checked_sides(result.file, image.shape, stated_by=field)
    raise InputFileError(result.file, "states no size of the image: spatial_weights and images are flat.")


def _masks(
    result: MatResult, sides: tuple[int, ...], n_rois: int
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    weights = result.fields["spatial_weights"]
    if weights.class_name == "sparse":
        pixels, ends = column_major_masks(result.file, result.read("spatial_weights"), sides)
    elif weights.class_name in NUMBERS:
        pixels, ends = image_masks(result.file, result.images("spatial_weights", n_rois))
    else:
        raise InputFileError(
            result.file,
            f"holds spatial_weights as an object of the class {weights.class_name}, which only MATLAB reads.",
            "In MATLAB: output.spatial_weights = full(output.spatial_weights), then save it anew.",
        )
    n_masks = len(ends) if weights.class_name == "sparse" else (*weights.shape, 1)[2]
    if n_masks != n_rois:
        raise InputFileError(result.file, f"holds {n_masks} footprints and {n_rois} traces.")
    return pixels, ends


def _accepted(result: MatResult, sizes: NDArray[np.int64]) -> tuple[NDArray[np.bool_], str]:
    """Return which cells count: as sorted by cell_check, else all that have a footprint."""
    labels = result.column("labels", len(sizes), "")
    if labels is None or not np.any(labels.values):
        return sizes > 0, "EXTRACT removes what it rejects: every cell with a footprint counts."
    return np.asarray(labels.values) == 1, "Cells that cell_check labels as good (EXTRACT's labels = 1)."


def _trace_kind(result: MatResult, images: dict[str, SummaryImage]) -> tuple[TraceKind, str]:
    preprocess, skipped = result.number("config.preprocess"), result.number("config.skip_dff")
    divisor = images.get("fluorescence_per_pixel")
    given = divisor is not None and bool(np.any(divisor.image != 1)) and bool(np.any(divisor.image))
    divided = (preprocess == 1 and not skipped) or (not preprocess and given)
    solver = result.text("config.trace_output_option")
    how = f", solver {solver}" if _VERSION.fullmatch(solver) else ""
    unit = "divided by F_per_pixel" if divided else "in the unit of the movie that EXTRACT was given"
    return (
        TraceKind.DFF if divided else TraceKind.DEMIXED,
        f"EXTRACT's temporal_weights, {unit}{how}.",
    )


def _columns(result: MatResult, n_rois: int) -> dict[str, Column]:
    values = result.values.get("info.cellcheck.metrics")
    columns = {}
    if isinstance(values, np.ndarray) and values.shape == (N_METRICS, n_rois) and values.dtype.kind in "fiu":
        columns = {
            name: Column(f"{meaning}; EXTRACT's {field}.", values[row].astype(float))
            for name, (row, meaning, field) in METRICS.items()
        }
    labels = result.column("labels", n_rois, "Label by cell_check: 1 good, -1 bad, 0 none; EXTRACT's labels.")
    return columns if labels is None else columns | {"extract_label": labels}
