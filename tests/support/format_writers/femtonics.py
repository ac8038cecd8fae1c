"""Femtonics .mesc files: HDF5 with the groups and attributes that MESc writes.

Texts are arrays of character codes, most of 8 and some of 16 bits, that end with zero; sizes are unsigned
integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def mesc_text(text: str, dtype: Any = np.uint8) -> np.ndarray:
    """Return a text as MESc stores it."""
    return np.array([*map(ord, text), 0], dtype)


def add_unit(
    file: h5py.File,
    name: str,
    channels: Mapping[str, np.ndarray],
    *,
    period_ms: float = 32.3,
    scale: float = 1.0,
    offset: float = -786.0,
    began: tuple[int, int] = (1_700_000_000, 250_000_000),
    comment: str = "",
    changes: Mapping[str, Any] | None = None,
    **storage: Any,
) -> h5py.Group:
    """Add a measurement unit whose channels, by name, hold stored values (frames, rows, columns)."""
    group = file.create_group(name)
    stacks = list(channels.values())
    attributes: dict[str, Any] = {
        "MeasurementDatePosix": np.uint64(began[0]),
        "MeasurementDateNanoSecs": np.uint32(began[1]),
        "Comment": mesc_text(comment),
        "VecChannelsSize": np.uint64(len(stacks)),
        "ZDim": np.uint64(stacks[0].shape[0]),
        "YDim": np.uint64(stacks[0].shape[1]),
        "XDim": np.uint64(stacks[0].shape[2]),
        "XAxisConversionConversionLinearScale": 0.449,
        "YAxisConversionConversionLinearScale": 0.449,
        "XAxisConversionUnitName": mesc_text("µm", np.int16),
        "ZAxisConversionConversionLinearScale": period_ms,
        "ZAxisConversionConversionLinearOffset": 0.0,
        "ZAxisConversionUnitName": mesc_text("ms", np.int16),
        "ZAxisGeomRole": np.uint32(0),
        "ExperimenterUsername": mesc_text("measurement"),
    }
    for number, (label, values) in enumerate(channels.items()):
        group.create_dataset(f"Channel_{number}", data=values, **storage)
        attributes |= {
            f"Channel_{number}_Name": mesc_text(label, np.int16),
            f"Channel_{number}_Conversion_ConversionLinearScale": scale,
            f"Channel_{number}_Conversion_ConversionLinearOffset": offset,
        }
    for key, value in (attributes | dict(changes or {})).items():
        if value is not None:
            group.attrs[key] = value
    return group


def write_mesc(path: Path, channels: Mapping[str, np.ndarray], **unit: Any) -> Path:
    """Write a file with one measurement unit."""
    with h5py.File(path, "w") as file:
        add_unit(file, "MSession_0/MUnit_0", channels, **unit)
    return path
