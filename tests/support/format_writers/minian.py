"""Folders of Minian as ``save_minian`` leaves them: one Zarr group of version 2 per array, made by xarray.

xarray's ``to_zarr`` writes each array with its coordinates beside it and the attribute ``_ARRAY_DIMENSIONS``,
compressed by Zarr's default (Blosc, lz4, byte shuffle), and names of folders as text coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from roi_truth import RoiTruth, roi_truth


def write_minian(
    folder: Path,
    truth: RoiTruth | None = None,
    *,
    units: Sequence[int] = (2, 5, 11),
    rows: Sequence[int] | None = None,
    frames: Sequence[int] | None = None,
    with_yra: bool = False,
) -> Path:
    """Write the arrays of the last cell of Minian's notebook, and YrA where it is asked for."""
    truth = truth or roi_truth()
    n_rois, height, width = truth.masks.shape
    n_frames = truth.raw.shape[1]
    axes = {
        "unit_id": np.array(units[:n_rois]),
        "frame": np.arange(n_frames) if frames is None else np.array(frames),
        "height": np.arange(height) if rows is None else np.array(rows),
        "width": np.arange(width),
    }
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray, tuple[int, ...]]] = {
        "A": (("unit_id", "height", "width"), truth.masks, (1, height, width)),
        "C": (("unit_id", "frame"), truth.denoised, (1, n_frames)),
        "S": (("unit_id", "frame"), truth.deconvolved, (1, n_frames)),
        "b0": (("unit_id", "frame"), np.full_like(truth.raw, 0.5), (1, n_frames)),
        "b": (("height", "width"), truth.masks.mean(axis=0), (height, width)),
        "f": (("frame",), truth.raw.mean(axis=0), (n_frames,)),
        "max_proj": (("height", "width"), truth.masks.sum(axis=0), (height, width)),
    }
    if with_yra:
        arrays["YrA"] = (("unit_id", "frame"), truth.raw, (1, n_frames))
    for name, (dims, values, chunks) in arrays.items():
        write_group(folder / f"{name}.zarr", name, dims, values, chunks, axes)
    return folder


def write_group(
    path: Path,
    name: str,
    dims: Sequence[str],
    values: np.ndarray,
    chunks: tuple[int, ...],
    axes: dict[str, np.ndarray],
    **options: Any,
) -> None:
    """Write one array with the coordinates of its dimensions."""
    import zarr

    group = zarr.open_group(str(path), mode="w", zarr_version=2)
    array = group.create_dataset(name, data=values, chunks=chunks, **options)
    array.attrs["_ARRAY_DIMENSIONS"] = list(dims)
    for axis in dims:
        coordinate = group.create_dataset(axis, data=axes[axis], chunks=axes[axis].shape)
        coordinate.attrs["_ARRAY_DIMENSIONS"] = [axis]
    for label in ("animal", "session"):
        group.create_dataset(label, data=np.array("mouse1")).attrs["_ARRAY_DIMENSIONS"] = []
