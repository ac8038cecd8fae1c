"""ROI sets of ImageJ with the tables of Multi Measure; the .roi files are written by roifile."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi


def rectangle(left: int, top: int, width: int, height: int, **fields: Any) -> ImagejRoi:
    """Return a rectangle; ``roitype=ROI_TYPE.OVAL`` makes it an oval."""
    roi = ImagejRoi()
    roi.version, roi.byteorder, roi.roitype = 227, ">", ROI_TYPE.RECT
    roi.left, roi.top, roi.right, roi.bottom = left, top, left + width, top + height
    for name, value in fields.items():
        setattr(roi, name, value)
    return roi


def polygon(corners: Sequence[tuple[float, float]], *, subpixel: bool = False, **fields: Any) -> ImagejRoi:
    """Return a polygon through corners (x, y)."""
    points = np.array(corners, np.float32)
    low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int)
    roi = rectangle(
        *low.tolist(), *(high - low).tolist(), roitype=ROI_TYPE.POLYGON, n_coordinates=len(points)
    )
    roi.integer_coordinates = (points - low).astype(np.int32)
    if subpixel:
        roi.options = ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        roi.subpixel_coordinates = points
    for name, value in fields.items():
        setattr(roi, name, value)
    return roi


def composite(segments: Sequence[float], bounds: tuple[int, int, int, int]) -> ImagejRoi:
    """Return a shape of the segments of java.awt.geom.PathIterator in bounds (left, top, right, bottom)."""
    left, top, right, bottom = bounds
    values = np.array(segments, np.float32)
    return rectangle(
        left, top, right - left, bottom - top, multi_coordinates=values, shape_roi_size=len(values)
    )


def write_roi_set(path: Path, rois: Mapping[str, ImagejRoi], *, named: bool = True) -> Path:
    """Write RoiSet.zip as the ROI Manager does: one member per ROI, called after it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, roi in rois.items():
            roi.name = name if named else ""
            archive.writestr(f"{name}.roi", roi.tobytes())
    return path


def write_multi_measure(path: Path, headings: Sequence[str], traces: np.ndarray) -> Path:
    """Write a table of Multi Measure with one row per slice: Area, Mean, Min and Max of each ROI.

    ``headings`` are what ImageJ puts behind the measure: 1, 2, ... or the names of ROIs in parentheses.
    """
    names = [f"{measure}{each}" for each in headings for measure in ("Area", "Mean", "Min", "Max")]
    lines = [",".join([" ", *names])]
    for frame, values in enumerate(traces.T, 1):
        cells = [f"{4},{value!r},{value - 1:.3f},{value + 1:.3f}" for value in values.tolist()]
        lines.append(",".join([str(frame), *cells]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
