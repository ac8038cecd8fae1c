"""Inscopix cell sets, byte by byte as ``CellSetFile`` of isxcore writes them.

A file that Inscopix's own library wrote is in tests/reference/inscopix, for comparison.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roi_truth import RoiTruth, roi_truth


def cell_set_footer(
    shape: tuple[int, int],
    n_times: int,
    *,
    names: Sequence[str],
    statuses: Sequence[int],
    dropped: Sequence[int] = (),
    cropped: Sequence[str] = (),
    period: tuple[int, int] = (200, 1000),
    units: str | None = None,
    metrics: Sequence[Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return the footer of a cell set."""
    fraction = {"den": 1, "num": 3}
    extra = None if units is None else {"idps": {"cellset": {"method": "cnmfe", "units": units}}}
    return {
        "CellActivity": [True] * len(names),
        "CellColors": [4294967295] * len(names),
        "CellNames": list(names),
        "CellStatuses": list(statuses),
        "CentroidDistances": [],
        "Matches": [],
        "PairScores": [],
        "SizeGlobalCS": 0,
        "cellMetrics": metrics,
        "dataType": "float",
        "efocusValues": [0],
        "extraProperties": extra,
        "fileVersion": 5,
        "isRoiSet": False,
        "producer": {"name": "isxcore", "version": [2, 0, 1]},
        "spacingInfo": {
            "numPixels": {"x": shape[1], "y": shape[0]},
            "pixelSize": {"x": fraction, "y": fraction},
            "topLeft": {"x": {"den": 1, "num": 0}, "y": {"den": 1, "num": 0}},
        },
        "timingInfo": {
            "blank": [],
            "cropped": list(cropped),
            "dropped": list(dropped),
            "numTimes": n_times,
            "period": {"den": period[1], "num": period[0]},
            "start": {"secsSinceEpoch": {"den": 1, "num": 0}, "utcOffset": 0},
        },
        "type": 1,
        **changes,
    }


def write_cell_set(
    path: Path, truth: RoiTruth | None = None, *, footer: dict[str, Any] | None = None, **stated: Any
) -> Path:
    """Write cells with their traces; samples that are not stored are NaN, as isxcore leaves them."""
    truth = truth or roi_truth()
    n_rois, n_times = truth.raw.shape
    stated = {"names": [f"C{each}" for each in range(n_rois)], "statuses": [0, 2, 1][:n_rois], **stated}
    footer = footer or cell_set_footer(truth.masks.shape[1:], n_times, **stated)
    text = json.dumps(footer, indent=4).encode()
    with path.open("wb") as stream:
        for mask, trace in zip(truth.masks, truth.raw, strict=True):
            stream.write(mask.astype("<f4").tobytes() + trace.astype("<f4").tobytes())
        stream.write(text + b"\0" + len(text).to_bytes(8, "little"))
    return path
