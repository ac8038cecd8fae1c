"""Outputs of EXTRACT as ``extractor.m`` (schnitzer-lab/EXTRACT-public, version 1.3.0) returns them."""

from __future__ import annotations

from typing import Any

import numpy as np
from roi_truth import HEIGHT, WIDTH, RoiTruth, roi_truth


def extract_output(
    truth: RoiTruth | None = None,
    *,
    config: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Return the struct ``output``; traces are (frames, cells), footprints (height, width, cells)."""
    truth = truth or roi_truth()
    n_rois = len(truth.masks)
    one = np.ones((1, 1))
    image = np.arange(HEIGHT * WIDTH, dtype=float).reshape(HEIGHT, WIDTH) + 1
    fields = {
        "spatial_weights": truth.masks.transpose(1, 2, 0).astype(np.float32),
        "temporal_weights": truth.dff.T.astype(np.float32),
        "info": {
            "version": "1.3.0",
            "runtime": 60.0 * one,
            "summary_image": image,
            "F_per_pixel": 10 * image,
            "max_image": 2 * image,
            "cellcheck": {
                "metrics": np.arange(30.0 * n_rois).reshape(30, n_rois),
                "is_bad": np.zeros((1, n_rois)),
            },
        }
        | (info or {}),
        "config": {
            "avg_cell_radius": 6 * one,
            "preprocess": np.array([[True]]),
            "skip_dff": np.array([[False]]),
            "trace_output_option": "baseline_adjusted",
            "S_init": np.empty((0, 0)),
            "thresholds": {"T_min_snr": 7 * one},
        }
        | (config or {}),
    }
    return fields | changes
