"""Raw files of one simulated recording session, in the layouts a lab has them: Suite2p, TIFF and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.simulate_traces import (
    DECAY_S,
    NEUROPIL_COEFFICIENT,
    RATE_HZ,
    Neurons,
    Recording,
)

HEIGHT_PX, WIDTH_PX = 48, 72
"""Field of view, rows by columns; not square, so that a transposed image is seen."""
CELL_PX = 6
"""Spacing of the grid on which ROIs are placed, pixels."""
MAX_ROIS = (HEIGHT_PX // CELL_PX) * (WIDTH_PX // CELL_PX)
MOVIE_CHUNK = 1000
PIXEL_SIZE_UM = 2.5
SIMULATED = "SIMULATED: made by a random number generator, not by a microscope."


@dataclass(frozen=True, slots=True)
class Mask:
    """Pixels and weights of one ROI, as Suite2p keeps them; every array has shape (pixels,)."""

    ypix: NDArray[np.int64]
    xpix: NDArray[np.int64]
    lam: NDArray[np.float32]
    radius_px: float


def make_masks(n_rois: int, rng: np.random.Generator) -> list[Mask]:
    """Place ``n_rois`` discs on a jittered grid, without regard to activity and without overlap."""
    columns = WIDTH_PX // CELL_PX
    masks = []
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX]
    for place in rng.choice(MAX_ROIS, n_rois, replace=False):
        centre = np.array([place // columns, place % columns]) * CELL_PX + (CELL_PX - 1) / 2
        centre = centre + rng.uniform(-0.4, 0.4, 2)
        radius = float(rng.uniform(1.9, 2.3))
        distance = np.hypot(y - centre[0], x - centre[1])
        ypix, xpix = np.nonzero(distance <= radius)
        weight = np.exp(-((distance[ypix, xpix] / radius) ** 2))
        lam = (weight / weight.sum()).astype(np.float32)
        masks.append(Mask(ypix.astype(np.int64), xpix.astype(np.int64), lam, radius))
    return masks


def write_suite2p(
    folder: Path,
    recording: Recording,
    neurons: Neurons,
    masks: Sequence[Mask],
    *,
    subject_id: str,
    start_time: datetime,
    rng: np.random.Generator,
) -> None:
    """Write a Suite2p plane folder: F, Fneu, spks, iscell, stat and ops, object pickles included.

    Each entry of stat has a ``tracking_id``, the same for the same ROI in every session of an animal.
    """
    folder.mkdir(parents=True)
    np.save(folder / "F.npy", recording.fluorescence)
    np.save(folder / "Fneu.npy", recording.neuropil)
    np.save(folder / "spks.npy", recording.deconvolved)
    probability = np.where(
        neurons.accepted, rng.uniform(0.6, 0.99, len(masks)), rng.uniform(0.01, 0.3, len(masks))
    )
    np.save(folder / "iscell.npy", np.column_stack([neurons.accepted.astype(np.float64), probability]))
    stat = np.empty(len(masks), dtype=object)
    residual = recording.fluorescence - NEUROPIL_COEFFICIENT * recording.neuropil
    sd = residual.std(axis=1)
    skew = (((residual - residual.mean(axis=1, keepdims=True)) / sd[:, None]) ** 3).mean(axis=1)
    for index, mask in enumerate(masks):
        stat[index] = _stat(mask, sd=sd[index], skew=skew[index])
        stat[index]["tracking_id"] = f"{subject_id}-{index:03d}"
    np.save(folder / "stat.npy", stat, allow_pickle=True)
    ops = np.array(_ops(recording, masks, start_time=start_time, rng=rng), dtype=object)
    np.save(folder / "ops.npy", ops, allow_pickle=True)


def write_movie(path: Path, recording: Recording, masks: Sequence[Mask], *, rng: np.random.Generator) -> None:
    """Write the movie of all frames as a multi-page int16 TIFF, shape (frames, rows, columns).

    Each ROI's pixels carry its fluorescence, the rest the mean neuropil; every pixel has its own noise.
    """
    import tifffile

    n_frames = recording.fluorescence.shape[1]
    around = recording.neuropil.mean(axis=0)
    pages = np.empty((n_frames, HEIGHT_PX, WIDTH_PX), dtype=np.int16)
    for start in range(0, n_frames, MOVIE_CHUNK):
        chunk = slice(start, start + MOVIE_CHUNK)
        light = np.empty(pages[chunk].shape, dtype=np.float32)
        light[:] = around[chunk, None, None]
        for mask, trace in zip(masks, recording.fluorescence, strict=True):
            light[:, mask.ypix, mask.xpix] = trace[chunk, None] * (mask.lam / mask.lam.mean())
        light += rng.standard_normal(light.shape, dtype=np.float32) * np.sqrt(np.maximum(light, 1.0))
        pages[chunk] = np.clip(np.rint(light), 0, np.iinfo(np.int16).max)
    tifffile.imwrite(
        path,
        pages,
        photometric="minisblack",
        description=SIMULATED,
        software="nwbswitch simulator",
        metadata=None,
    )


def write_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a CSV table with the keys of the first row as header; missing values are empty."""
    import csv

    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def write_treadmill(path: Path, time_s: NDArray[np.float64], speed_cm_s: NDArray[np.float64]) -> None:
    """Write treadmill speed with the time on the treadmill's own clock."""
    pairs = zip(time_s.tolist(), speed_cm_s.tolist(), strict=True)
    lines = [f"{time:.3f},{speed:.2f}" for time, speed in pairs]
    path.write_text("\n".join(["time_s,speed_cm_s", *lines, ""]), encoding="utf-8")


def _cell(value: object) -> object:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else value


def _stat(mask: Mask, *, sd: float, skew: float) -> dict[str, Any]:
    n = mask.ypix.size
    return {
        "ypix": mask.ypix,
        "xpix": mask.xpix,
        "lam": mask.lam,
        "med": [int(np.median(mask.ypix)), int(np.median(mask.xpix))],
        "footprint": np.float64(1.0),
        "mrs": np.float64(mask.radius_px / 2),
        "mrs0": np.float64(mask.radius_px / 2),
        "compact": 1.0,
        "solidity": 1.0,
        "npix": n,
        "npix_soma": np.int64(n),
        "soma_crop": np.ones(n, dtype=bool),
        "overlap": np.zeros(n, dtype=bool),
        "radius": np.float64(mask.radius_px),
        "aspect_ratio": np.float64(1.0),
        "npix_norm": np.float32(1.0),
        "npix_norm_no_crop": np.float32(1.0),
        "skew": np.float32(skew),
        "std": np.float32(sd),
    }


def _ops(
    recording: Recording, masks: Sequence[Mask], *, start_time: datetime, rng: np.random.Generator
) -> dict[str, Any]:
    n_frames = recording.fluorescence.shape[1]
    mean_image = np.full((HEIGHT_PX, WIDTH_PX), recording.neuropil.mean(), dtype=np.float32)
    max_image = np.full((HEIGHT_PX, WIDTH_PX), recording.neuropil.max(), dtype=np.float32)
    for mask, trace in zip(masks, recording.fluorescence, strict=True):
        shape = mask.lam / mask.lam.mean()
        mean_image[mask.ypix, mask.xpix] = trace.mean() * shape
        max_image[mask.ypix, mask.xpix] = trace.max() * shape
    enhanced = np.asarray((mean_image - mean_image.min()) / np.ptp(mean_image), dtype=np.float32)
    return {
        "note": SIMULATED + " spks.npy holds thresholded frame-to-frame rises in place of OASIS output.",
        "suite2p_version": "0.14.4",
        "date_proc": start_time.replace(tzinfo=None),
        "data_path": ["simulated"],
        "save_path": "suite2p/plane0",
        "save_folder": "suite2p",
        "nplanes": 1,
        "nchannels": 1,
        "functional_chan": 1,
        "tau": round(DECAY_S, 3),
        "fs": RATE_HZ,
        "do_registration": 0,
        "roidetect": True,
        "anatomical_only": 2,
        "neuropil_extract": True,
        "neucoeff": NEUROPIL_COEFFICIENT,
        "spikedetect": True,
        "Ly": HEIGHT_PX,
        "Lx": WIDTH_PX,
        "yrange": [0, HEIGHT_PX],
        "xrange": [0, WIDTH_PX],
        "nframes": n_frames,
        "frames_per_file": np.array([n_frames], dtype=np.int64),
        "diameter": round(float(np.mean([2 * mask.radius_px for mask in masks])), 3),
        "meanImg": mean_image,
        "meanImgE": enhanced,
        "refImg": mean_image.astype(np.int16),
        "max_proj": max_image,
        "Vcorr": enhanced,
        "xoff": np.zeros(n_frames, dtype=np.int32),
        "yoff": np.zeros(n_frames, dtype=np.int32),
        "corrXY": rng.normal(0.3, 0.01, (n_frames,)).astype(np.float32),
        "badframes": np.zeros(n_frames, dtype=bool),
    }
