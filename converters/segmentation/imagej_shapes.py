"""Pixels of ROIs that were drawn in ImageJ, by ImageJ's own rules.

A pixel belongs to a polygon when its centre does (``PolygonFiller``), to an oval when its centre lies in the
ellipse of the oval's integer bounds (``OvalRoi.getMask``); paths that cross or lie in each other exclude by
the even-odd rule (``ShapeRoi``). All in imagej/ImageJ on GitHub, version 1.54.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from roifile import ImagejRoi

POLYGON, RECT, OVAL, FREEHAND, TRACED = 0, 1, 2, 7, 8
"""Types of ROIs that have an area."""
NAMES = {3: "a line", 4: "a freehand line", 5: "a polyline", 6: "nothing", 9: "an angle", 10: "points"}
TEXT, ARROW, IMAGE = 1, 2, 4
"""Subtypes that are decoration."""
SPLINE_FIT = 1
MAX_CROSSINGS = 1 << 23
"""Most rows that the edges of one shape cross together."""
CURVE_STEPS = 16
"""Lines that stand for one curve of a path."""
_COORDINATES = {0: 2, 1: 2, 2: 4, 3: 6, 4: 0}

Polygon = NDArray[np.float64]


class NoAreaError(ValueError):
    """A shape that has no pixels, or whose pixels are not known; the message completes "ROI x is ..."."""


def roi_pixels(roi: ImagejRoi, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels (x, y) of a ROI that lie in an image of this size, row by row.

    Raises
    ------
    NoAreaError
        For lines, points, text and the like, fitted splines, and shapes outside the image.
    """
    if roi.subtype in (TEXT, ARROW, IMAGE):
        raise NoAreaError("decoration (text, an arrow or an image)")
    bounds = (roi.left, roi.top, roi.right, roi.bottom)
    if roi.shape_roi_size > 0:
        if roi.multi_coordinates is None:
            raise NoAreaError("a shape without paths")
        mask, left, top = _filled(_paths(roi.multi_coordinates.tolist()), height, width)
    elif roi.roitype == RECT and roi.rounded_rect_arc_size > 0:
        mask, left, top = _filled([_rounded(bounds, roi.rounded_rect_arc_size)], height, width)
    elif roi.roitype == RECT:
        mask, left, top = _clipped(bounds, height, width)
    elif roi.roitype == OVAL:
        mask, left, top = _oval(bounds, height, width)
    elif roi.roitype in (POLYGON, FREEHAND, TRACED):
        if roi.options & SPLINE_FIT:
            raise NoAreaError("a polygon with a fitted spline; use Edit > Selection > Interpolate in ImageJ")
        corners = np.asarray(roi.coordinates(), dtype=np.float64)
        if corners.ndim != 2 or len(corners) < 3 or not np.isfinite(corners).all():
            raise NoAreaError("a polygon without three corners")
        mask, left, top = _filled([corners], height, width)
    else:
        raise NoAreaError(NAMES.get(int(roi.roitype), f"of the unknown type {int(roi.roitype)}"))
    y, x = np.nonzero(mask)
    if not len(x):
        raise NoAreaError(f"outside the image of {height} x {width} pixels")
    return x + left, y + top


def _clipped(
    bounds: tuple[int, int, int, int], height: int, width: int
) -> tuple[NDArray[np.bool_], int, int]:
    """Return a full mask of the part of the bounds that lies in the image, and where it begins."""
    left, top = max(bounds[0], 0), max(bounds[1], 0)
    size = max(min(bounds[3], height) - top, 0), max(min(bounds[2], width) - left, 0)
    return np.ones(size, bool), left, top


def _oval(bounds: tuple[int, int, int, int], height: int, width: int) -> tuple[NDArray[np.bool_], int, int]:
    mask, left, top = _clipped(bounds, height, width)
    a, b = (bounds[2] - bounds[0]) / 2, (bounds[3] - bounds[1]) / 2
    if not mask.size:
        return mask, left, top
    x = left + np.arange(mask.shape[1]) + 0.5 - (bounds[0] + a)
    y = top + np.arange(mask.shape[0]) + 0.5 - (bounds[1] + b)
    return (x / a)[None] ** 2 + (y / b)[:, None] ** 2 <= 1.0, left, top


def _filled(paths: Sequence[Polygon], height: int, width: int) -> tuple[NDArray[np.bool_], int, int]:
    """Return the even-odd filling of closed paths, and where it begins."""
    corners = np.concatenate(paths)
    low, high = corners.min(axis=0), corners.max(axis=0)
    if not np.isfinite(corners).all() or (np.abs(corners) > 1e6).any():
        raise NoAreaError("a shape whose corners are no numbers")
    bounds = math.floor(low[0]), math.floor(low[1]), math.ceil(high[0]) + 1, math.ceil(high[1]) + 1
    mask, left, top = _clipped(bounds, height, width)
    rows, columns = mask.shape
    starts = np.concatenate(paths)
    stops = np.concatenate([np.roll(path, -1, axis=0) for path in paths])
    upward = (starts[:, 1] > stops[:, 1])[:, None]
    (x1, y1), (x2, y2) = np.where(upward, stops, starts).T, np.where(upward, starts, stops).T
    first = np.maximum(np.floor(y1 + 0.5), top).astype(np.int64)
    counts = np.maximum(np.minimum(np.floor(y2 + 0.5), top + rows).astype(np.int64) - first, 0)
    if counts.sum() > MAX_CROSSINGS:
        raise NoAreaError("a shape of too many edges")
    edge = np.repeat(np.arange(len(counts)), counts)
    y = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    # The shift is ImageJ's, for centres that lie on an edge.
    x = x1[edge] + (y - y1[edge] + 0.5) * ((x2 - x1)[edge] / (y2 - y1)[edge]) + 1e-8
    column = np.clip(np.floor(x + 0.5).astype(np.int64) - left, 0, columns)
    crossings = np.zeros((rows, columns + 1), np.uint8)
    np.bitwise_xor.at(crossings, (y - top, column), 1)
    return np.bitwise_xor.accumulate(crossings, axis=1)[:, :columns] == 1, left, top


def _paths(values: Sequence[float]) -> list[Polygon]:
    """Return the closed paths of a composite shape, curves as lines.

    Its values are segments of java.awt.geom.PathIterator, each a number for its kind and its points.
    """
    paths: list[list[tuple[float, float]]] = []
    at = 0
    while at < len(values):
        kind = int(values[at]) if values[at] in _COORDINATES else -1
        points = values[at + 1 : at + 1 + _COORDINATES.get(kind, 0)]
        if kind < 0 or len(points) != _COORDINATES[kind] or (kind and not paths):
            raise NoAreaError("a shape with damaged paths")
        at += 1 + len(points)
        if kind == 0:
            paths.append([(points[0], points[1])])
        elif kind != 4:
            paths[-1] += _segment(paths[-1][-1], points)
    return [np.array(path, dtype=np.float64) for path in paths]


def _segment(start: tuple[float, float], points: Sequence[float]) -> list[tuple[float, float]]:
    """Return what follows the start of a line, or of a Bezier curve of second or third order."""
    control = np.array([*start, *points], dtype=np.float64).reshape(-1, 2)
    order = len(control) - 1
    if order == 1:
        return [(float(points[0]), float(points[1]))]
    t = np.linspace(0, 1, CURVE_STEPS + 1)[1:, None]
    weights = [math.comb(order, k) * t**k * (1 - t) ** (order - k) for k in range(order + 1)]
    curve = sum(weight * point for weight, point in zip(weights, control, strict=True))
    return [(float(x), float(y)) for x, y in np.asarray(curve)]


def _rounded(bounds: tuple[int, int, int, int], diameter: float) -> Polygon:
    """Return a rectangle with round corners (``RoundRectangle2D``) as a polygon."""
    left, top, right, bottom = bounds
    a, b = min(diameter, right - left) / 2, min(diameter, bottom - top) / 2
    turn = np.linspace(0, np.pi / 2, CURVE_STEPS)
    centres = ((right - a, bottom - b), (left + a, bottom - b), (left + a, top + b), (right - a, top + b))
    corners: list[Any] = [
        np.column_stack((x + a * np.cos(turn + k * np.pi / 2), y + b * np.sin(turn + k * np.pi / 2)))
        for k, (x, y) in enumerate(centres)
    ]
    return np.concatenate(corners)
