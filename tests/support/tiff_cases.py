"""Small sources for the interfaces of the formats that keep movies in TIFF files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from format_writers.ome_tiff import write_set
from format_writers.prairie import write_tseries
from format_writers.scanimage import settings, write_big
from format_writers.thor import write_experiment, write_raw


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4000, shape).astype(np.uint16)


def _scanimage(folder: Path) -> dict[str, Any]:
    values = settings(channels=(1, 2), slices=2, flyback=1, shape=(6, 9))
    write_big(folder / "m_00001.tif", _images(720, 6, 9).astype(np.int16), values)
    return {"file_path": str(folder / "m_00001.tif"), "channel": 2}


def _ome_tiff(folder: Path) -> dict[str, Any]:
    paths = write_set(folder, _images(120, 1, 2, 6, 9), delta_t=list(np.arange(120) / 5))
    return {"file_path": str(paths[0]), "channel": 1}


def _bruker(folder: Path) -> dict[str, Any]:
    made = write_tseries(
        folder / "T", _images(60, 2, 6, 9), kind="TSeries ZSeries Element", cycles=30, many_pages=True
    )
    return {"folder_path": str(made), "channel": "Ch1"}


def _thor(folder: Path) -> dict[str, Any]:
    write_experiment(folder, height=6, width=9, frames=130, steps=1)
    write_raw(folder, _images(130, 1, 6, 9))
    return {"folder_path": str(folder)}


TIFF_CASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "scanimage": _scanimage,
    "ome_tiff": _ome_tiff,
    "bruker": _bruker,
    "thor": _thor,
}
