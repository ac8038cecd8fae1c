"""Three neurons whose masks and traces are known, for the writers of every segmentation format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from pynwb import NWBHDF5IO, NWBFile

HEIGHT, WIDTH, N_ROIS, N_FRAMES, RATE_HZ = 6, 9, 3, 300, 5.0


@dataclass(frozen=True)
class RoiTruth:
    """Masks (ROIs, height, width), none of them symmetric, and traces (ROIs, frames)."""

    masks: np.ndarray
    raw: np.ndarray
    denoised: np.ndarray
    deconvolved: np.ndarray
    dff: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """Masks flattened column by column, as MATLAB and CaImAn do, shape (pixels, ROIs)."""
        return self.masks.transpose(0, 2, 1).reshape(len(self.masks), -1).T


def roi_truth(*, n_rois: int = N_ROIS, n_frames: int = N_FRAMES, seed: int = 0) -> RoiTruth:
    """Return neurons in the corners and the middle of a 6 x 9 image."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n_rois, HEIGHT, WIDTH))
    for roi in range(n_rois):
        y, x = (0, 5, 2)[roi % 3], (7, 0, 4)[roi % 3]
        masks[roi, y, x : x + 2] = 0.5, 1.0
        masks[roi, (y + 1) % HEIGHT, x] = 0.25 + roi
    deconvolved = np.where(rng.random((n_rois, n_frames)) > 0.95, rng.random((n_rois, n_frames)), 0.0)
    denoised = np.array([np.convolve(each, 0.8 ** np.arange(20))[:n_frames] for each in deconvolved])
    raw = denoised + rng.normal(0, 0.1, denoised.shape)
    return RoiTruth(masks, raw, denoised, deconvolved, raw / 2)


def new_nwbfile() -> NWBFile:
    """Return an empty file in memory."""
    from datetime import UTC, datetime

    return NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))


def write(interface: Any, path: Path, *, stub: bool = False) -> Path:
    """Write what an interface reads as an NWB file, and close the interface."""
    nwbfile = new_nwbfile()
    interface.add_to_nwbfile(nwbfile, interface.get_metadata(), stub=stub)
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    interface.close()
    return path


def stored_masks(file: h5py.File, shape: tuple[int, ...], table: str = "PlaneSegmentation") -> np.ndarray:
    """Return the masks in an NWB file, shape (ROIs, height, width)."""
    group = file[f"processing/ophys/ImageSegmentation/{table}"]
    pixels, ends = group["pixel_mask"][:], group["pixel_mask_index"][:]
    masks = np.zeros((len(ends), *shape))
    for roi, (start, stop) in enumerate(zip(np.r_[0, ends[:-1]], ends, strict=True)):
        part = pixels[start:stop]
        masks[roi, part["y"], part["x"]] = part["weight"]
    return masks


def stored_traces(file: h5py.File, series: str, container: str = "Fluorescence") -> np.ndarray:
    """Return traces in an NWB file, shape (ROIs, frames)."""
    return np.asarray(file[f"processing/ophys/{container}/{series}/data"][:]).T


def column(file: h5py.File, name: str, table: str = "PlaneSegmentation") -> list[Any]:
    """Return a column of the ROIs in an NWB file."""
    values = file[f"processing/ophys/ImageSegmentation/{table}/{name}"][:]
    return [each.decode() if isinstance(each, bytes) else each for each in values.tolist()]
