"""One small source for the interface of every stream format, for the tests that all of them must pass.

A case writes its files into a folder and returns the arguments of the interface. Formats that need a writer
of their own have it, with their cases, in ``format_writers``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from small_study import write_raw

Case = Callable[[Path], dict[str, Any]]


def _tiff_movie(folder: Path) -> dict[str, Any]:
    write_raw(folder)
    return {"file_path": str(folder / "movie.tif"), "rate_hz": 5.0}


def _suite2p(folder: Path) -> dict[str, Any]:
    write_raw(folder)
    return {"folder_path": str(folder / "suite2p"), "roi_basis": "anatomical"}


def _wheel_csv(folder: Path) -> dict[str, Any]:
    write_raw(folder)
    signals = [{"column": "speed", "unit": "cm/s"}]
    return {"file_path": str(folder / "wheel.csv"), "signals": signals, "time_column": "time_s"}


CASES: dict[str, Case] = {
    "tiff_movie": _tiff_movie,
    "suite2p": _suite2p,
    "wheel_csv": _wheel_csv,
}
