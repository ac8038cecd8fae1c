"""One small source for the interface of every stream format, for the tests that all of them must pass.

A case writes its files into a folder and returns the arguments of the interface. Formats that need a writer
of their own have it, with their cases, in ``format_writers``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from behavior_cases import BEHAVIOR_CASES
from format_writers.caiman import write_caiman
from format_writers.cnmfe import sources2d, write_mat
from format_writers.extract import extract_output
from format_writers.femtonics import write_mesc
from format_writers.imagej import rectangle, write_multi_measure, write_roi_set
from format_writers.inscopix import write_isxd
from format_writers.inscopix_cells import write_cell_set
from format_writers.minian import write_minian
from format_writers.scanbox import write_scanbox
from pose_cases import POSE_CASES
from roi_truth import roi_truth
from small_study import write_raw
from tiff_cases import TIFF_CASES

Case = Callable[[Path], dict[str, Any]]


def _tiff_movie(folder: Path) -> dict[str, Any]:
    write_raw(folder)
    return {"file_path": str(folder / "movie.tif"), "rate_hz": 5.0}


def _movie(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)


def _scanbox(folder: Path) -> dict[str, Any]:
    path = write_scanbox(folder / "m.sbx", _movie(300, 6, 9, 2), pmts=(0, 1))
    return {"file_path": str(path), "channel": "pmt1"}


def _hdf5_stack(folder: Path) -> dict[str, Any]:
    with h5py.File(folder / "m.h5", "w") as file:
        file.create_dataset("mov", data=_movie(300, 6, 9), chunks=(7, 6, 9), compression="gzip")
    return {"file_path": str(folder / "m.h5"), "axes": "tyx", "rate_hz": 5.0}


def _inscopix(folder: Path) -> dict[str, Any]:
    path = write_isxd(folder / "m.isxd", _movie(300, 6, 9), n_times=304, dropped=[7], cropped=["20 - 22"])
    return {"file_path": str(path)}


def _femtonics(folder: Path) -> dict[str, Any]:
    return {"file_path": str(write_mesc(folder / "m.mesc", {"UG": _movie(300, 6, 9)}))}


def _suite2p(folder: Path) -> dict[str, Any]:
    write_raw(folder)
    return {"folder_path": str(folder / "suite2p"), "roi_basis": "anatomical"}


def _caiman(folder: Path) -> dict[str, Any]:
    return {"file_path": str(write_caiman(folder / "cnm.hdf5"))}


def _cnmfe(folder: Path) -> dict[str, Any]:
    return {"file_path": str(write_mat(folder / "r.mat", {"neuron": sources2d()}, version="v7.3"))}


def _extract(folder: Path) -> dict[str, Any]:
    path = write_mat(folder / "o.mat", {"output": extract_output()}, version="v7.3")
    return {"file_path": str(path), "rate_hz": 5.0}


def _inscopix_cells(folder: Path) -> dict[str, Any]:
    return {"file_path": str(write_cell_set(folder / "c.isxd", dropped=[7], cropped=["20 - 22"]))}


def _minian(folder: Path) -> dict[str, Any]:
    return {"folder_path": str(write_minian(folder / "minian", with_yra=True)), "rate_hz": 5.0}


def _imagej_rois(folder: Path) -> dict[str, Any]:
    rois = {f"cell{each}": rectangle(each, 1, 2, 3) for each in range(3)}
    path = write_roi_set(folder / "RoiSet.zip", rois)
    table = write_multi_measure(folder / "Results.csv", ["(cell0)", "(cell1)", "(cell2)"], roi_truth().raw)
    return {"file_path": str(path), "traces": {"path": str(table)}, "image_size": [6, 9], "rate_hz": 5.0}


def _wheel_csv(folder: Path) -> dict[str, Any]:
    write_raw(folder)
    signals = [{"column": "speed", "unit": "cm/s"}]
    return {"file_path": str(folder / "wheel.csv"), "signals": signals, "time_column": "time_s"}


CASES: dict[str, Case] = {
    "tiff_movie": _tiff_movie,
    **TIFF_CASES,
    "scanbox": _scanbox,
    "hdf5_stack": _hdf5_stack,
    "inscopix": _inscopix,
    "femtonics": _femtonics,
    "suite2p": _suite2p,
    "caiman": _caiman,
    "cnmfe": _cnmfe,
    "extract": _extract,
    "inscopix_cells": _inscopix_cells,
    "minian": _minian,
    "imagej_rois": _imagej_rois,
    "wheel_csv": _wheel_csv,
    **BEHAVIOR_CASES,
    **POSE_CASES,
}
