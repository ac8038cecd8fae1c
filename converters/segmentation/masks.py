"""Masks of ROIs as programs store them, flattened or as images, as the pixels of all ROIs in one array."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.segmentation.rois import PIXEL, VOXEL, joined_masks
from nwbswitch.schemas.errors import InputFileError

MAX_SIDE_PX = 1 << 15
MAX_IMAGE_PX = 1 << 26
MAX_MASK_PX = 1 << 27
"""Most pixels of all masks together: 1.5 GiB as they are written."""


def checked_sides(file: Path, sides: object, *, stated_by: str, volume: bool = False) -> tuple[int, ...]:
    """Return height and width (and depth of a volume) of the image, pixels.

    Raises
    ------
    InputFileError
        When ``sides`` is nothing of the kind, naming ``stated_by``, the field that holds them.
    """
    try:
        values = np.asarray(sides)
        found = values.ravel().tolist() if values.dtype.kind in "iuf" and values.size < 8 else []
    except ValueError:
        found = []
    whole = [int(each) for each in found if float(each).is_integer() and 0 < each <= MAX_SIDE_PX]
    lengths = (2, 3) if volume else (2,)
    if len(whole) != len(found) or len(whole) not in lengths or np.prod(whole, dtype=float) > MAX_IMAGE_PX:
        wanted = "height, width" + " and perhaps planes" * volume
        raise InputFileError(file, f"its {stated_by} is no size of an image ({wanted}).")
    return tuple(whole)


def column_major_masks(file: Path, sparse: Any, sides: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ``pixels`` and ``ends`` of footprints that are the columns of a sparse matrix.

    Parameters
    ----------
    file
        For messages.
    sparse
        `scipy.sparse.csc_array`, (pixels, ROIs); pixels in column-major order, as MATLAB and CaImAn flatten
        images: index = y + height * (x + width * plane).
    sides
        Height and width, and perhaps the number of planes.

    Raises
    ------
    InputFileError
        When the matrix has another number of rows, or weights that are no numbers.
    """
    n_pixels = int(np.prod(sides))
    if sparse.shape[0] != n_pixels:
        size = " x ".join(map(str, sides))
        raise InputFileError(
            file, f"its footprints have {sparse.shape[0]} pixels, an image of {size} has {n_pixels}."
        )
    weights = np.asarray(sparse.data)
    if weights.dtype.kind not in "fiub" or not np.isfinite(weights).all():
        raise InputFileError(file, "its footprints hold weights that are no finite numbers.")
    if weights.size > MAX_MASK_PX:
        raise InputFileError(file, f"its footprints have {weights.size} pixels together.")
    kept = weights != 0
    index = np.asarray(sparse.indices)[kept]
    height, width = sides[:2]
    pixels = np.empty(index.size, PIXEL if len(sides) == 2 else VOXEL)
    pixels["y"] = index % height
    pixels["x"] = index // height % width
    if len(sides) == 3:
        pixels["z"] = index // (height * width)
    pixels["weight"] = weights[kept]
    ends = np.concatenate(([0], np.cumsum(kept)))[np.asarray(sparse.indptr)[1:]]
    return pixels, ends.astype(np.int64)


def image_masks(file: Path, images: Iterable[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return ``pixels`` and ``ends`` of footprints that are images, each (height, width), taken one by one.

    Raises
    ------
    InputFileError
        When weights are no numbers.
    """

    def masks() -> Iterable[tuple[NDArray[Any], ...]]:
        count = 0
        for image in images:
            if image.dtype.kind not in "fiub":
                raise InputFileError(file, f"its footprints hold {image.dtype}, which are no weights.")
            y, x = np.nonzero(image)
            weights = image[y, x]
            count += weights.size
            if not np.isfinite(weights).all() or count > MAX_MASK_PX:
                raise InputFileError(file, "its footprints hold weights that are not finite, or too many.")
            yield x, y, weights

    return joined_masks(masks())
