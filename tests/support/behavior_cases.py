"""Small behaviour files for the contract of interfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

N, RATE_HZ = 500, 50.0


def turning(n: int = N) -> np.ndarray:
    """Return turns of a wheel that stands, runs and runs back; shape (n,)."""
    speed = np.where(np.arange(n) < n // 4, 0.0, np.where(np.arange(n) < 3 * n // 4, 0.4, -0.2))
    return np.cumsum(speed) / RATE_HZ


def wheel_encoder(folder: Path) -> dict[str, Any]:
    counts = np.round(turning() * 4096).astype(int) % 65536
    rows = "\n".join(f"{20 * index},{count}" for index, count in enumerate(counts))
    (folder / "w.csv").write_text(f"ms,count\n{rows}\n", encoding="utf-8")
    return {
        "file_path": str(folder / "w.csv"),
        "count": "count",
        "counts_per_turn": 4096,
        "counter_bits": 16,
        "wheel": {"radius_cm": 7.5},
        "time_column": "ms",
        "time_scale": 0.001,
    }


def wheel_analog(folder: Path) -> dict[str, Any]:
    with h5py.File(folder / "daq.h5", "w") as file:
        file["analog"] = np.stack([np.zeros(N), turning() % 1 * 5.0])
    return {
        "file_path": str(folder / "daq.h5"),
        "voltage": "analog",
        "channel": 1,
        "volts_per_turn": 5.0,
        "wheel": {"radius_cm": 7.5},
        "rate_hz": RATE_HZ,
    }


def bpod_encoder(folder: Path) -> dict[str, Any]:
    positions = np.round(turning() * 1024).astype(int)
    changed = np.flatnonzero(np.diff(positions, prepend=-1))
    rows = "\n".join(f"{index * 20_000} {positions[index]} " for index in changed)
    (folder / "_iblrig_encoderPositions.raw.ssv").write_text(rows + "\n", encoding="utf-8")
    return {"file_path": str(folder / "_iblrig_encoderPositions.raw.ssv"), "wheel": {"radius_cm": 3.1}}


def series(folder: Path) -> dict[str, Any]:
    with h5py.File(folder / "daq.h5", "w") as file:
        file["analog/pressure"] = np.sin(np.arange(N))
        file["analog/t"] = np.arange(N) / RATE_HZ
    signals = [{"name": "analog/pressure", "quantity": "respiration", "unit": "V"}]
    return {"file_path": str(folder / "daq.h5"), "signals": signals, "time_column": "analog/t"}


BEHAVIOR_CASES = {
    "wheel_encoder": wheel_encoder,
    "wheel_analog": wheel_analog,
    "bpod_encoder": bpod_encoder,
    "series": series,
}
