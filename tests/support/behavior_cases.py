"""Small behaviour files for the contract of interfaces."""

from __future__ import annotations

import json
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


def trials(folder: Path) -> dict[str, Any]:
    rows = "\n".join(f"{4 * index},{4 * index + 3},{index % 2},left" for index in range(120))
    (folder / "t.csv").write_text(f"start,stop,correct,side\n{rows}\n", encoding="utf-8")
    return {"file_path": str(folder / "t.csv"), "start_column": "start", "stop_column": "stop"}


def stimuli(folder: Path) -> dict[str, Any]:
    rows = "\n".join(f"{5000 * index},{index / 7:.3f}" for index in range(120))
    (folder / "s.csv").write_text(f"onset_ms,response\n{rows}\n", encoding="utf-8")
    return {
        "file_path": str(folder / "s.csv"),
        "start_column": "onset_ms",
        "duration_s": 0.2,
        "time_scale": 0.001,
        "stimulus": "air puff",
    }


def bpod(folder: Path) -> dict[str, Any]:
    lines = []
    for index in range(120):
        states = {"wait": [[0, 1.0]], "reward": [[1.0, 1.2]], "punish": [[float("nan"), float("nan")]]}
        data = {
            "Trial start timestamp": 5.0 * index,
            "Trial end timestamp": 5.0 * index + 3,
            "States timestamps": states,
            "Events timestamps": {"Port1In": [0.5, 1.1]},
        }
        lines.append(json.dumps({"behavior_data": data}))
    (folder / "_iblrig_taskData.raw.jsonable").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"file_path": str(folder / "_iblrig_taskData.raw.jsonable")}


def medpc(folder: Path) -> dict[str, Any]:
    blocks = [r"File: C:\MED-PC\Data\!2020", ""]
    for subject in ("56", "58"):
        blocks += ["", "Start Date: 01/23/20", f"Subject: {subject}", "MSN: lick", "R:       0.000", "G:"]
        for first in range(0, 10, 5):
            values = "".join(f"{index + int(subject):13.3f}" for index in range(first, first + 5))
            blocks.append(f"{first:6d}:{values}")
    (folder / "data.txt").write_text("\r\n".join(blocks) + "\r\n", encoding="latin-1")
    return {
        "file_path": str(folder / "data.txt"),
        "events": {"G": "lick"},
        "select": {"Subject": "58"},
    }


BEHAVIOR_CASES = {
    "wheel_encoder": wheel_encoder,
    "wheel_analog": wheel_analog,
    "bpod_encoder": bpod_encoder,
    "series": series,
    "trials": trials,
    "stimuli": stimuli,
    "bpod": bpod,
    "medpc": medpc,
}
