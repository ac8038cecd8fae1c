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
from format_writers.femtonics import write_mesc
from format_writers.inscopix import write_isxd
from format_writers.scanbox import write_scanbox
from format_writers.scanimage import settings, write_big
from small_study import write_raw

Case = Callable[[Path], dict[str, Any]]


def _tiff_movie(folder: Path) -> dict[str, Any]:
    write_raw(folder)
    return {"file_path": str(folder / "movie.tif"), "rate_hz": 5.0}


def _scanimage(folder: Path) -> dict[str, Any]:
    values = settings(channels=(1, 2), slices=2, flyback=1, shape=(6, 9))
    write_big(folder / "m_00001.tif", _movie(720, 6, 9).astype(np.int16), values)
    return {"file_path": str(folder / "m_00001.tif"), "channel": 2}


def _movie(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)


def _scanbox(folder: Path) -> dict[str, Any]:
    return {
        "file_path": str(write_scanbox(folder / "m.sbx", _movie(300, 6, 9, 2), pmts=(0, 1))),
        "channel": 1,
    }


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


def _wheel_csv(folder: Path) -> dict[str, Any]:
    write_raw(folder)
    signals = [{"column": "speed", "unit": "cm/s"}]
    return {"file_path": str(folder / "wheel.csv"), "signals": signals, "time_column": "time_s"}


CASES: dict[str, Case] = {
    "tiff_movie": _tiff_movie,
    "scanimage": _scanimage,
    "scanbox": _scanbox,
    "hdf5_stack": _hdf5_stack,
    "inscopix": _inscopix,
    "femtonics": _femtonics,
    "suite2p": _suite2p,
    "wheel_csv": _wheel_csv,
    **BEHAVIOR_CASES,
}
