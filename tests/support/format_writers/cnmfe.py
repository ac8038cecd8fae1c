"""Results of CNMF-E as ``save_results`` and ``obj2struct`` of Sources2D and CIAtah leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import scipy.sparse
from format_writers.mat_v73 import write_mat_v73
from roi_truth import HEIGHT, RATE_HZ, WIDTH, RoiTruth, roi_truth


def sources2d(truth: RoiTruth | None = None, **changes: Any) -> dict[str, Any]:
    """Return the struct of ``struct(neuron)`` after ``compress_results``."""
    truth = truth or roi_truth()
    n_rois, n_frames = truth.raw.shape
    fields = {
        "A": scipy.sparse.csc_matrix(truth.columns),
        "A_prev": np.empty((0, 0)),
        "C": truth.denoised,
        "C_raw": truth.raw,
        "S": scipy.sparse.csc_matrix(truth.deconvolved),
        "options": {
            "d1": np.array([[float(HEIGHT)]]),
            "d2": np.array([[float(WIDTH)]]),
            "ssub": np.ones((1, 1)),
        },
        "P": {"mat_file": "/home/someone/data.mat", "k_ids": np.ones((1, 1))},
        "Fs": np.array([[RATE_HZ]]),
        "file": "/home/someone/movie.tif",
        "frame_range": np.array([[1.0, float(n_frames)]]),
        "ids": np.arange(1.0, n_rois + 1)[None] * 10,
        "tags": np.arange(n_rois, dtype=np.uint16)[:, None],
        "Cn": truth.masks.sum(axis=0),
        "PNR": truth.masks.max(axis=0),
        "Coor": [],
        "W": [np.ones((2, 2)), np.ones((2, 2))],
        "b0": np.ones((HEIGHT * WIDTH, 1)),
    }
    return fields | changes


def ciatah(truth: RoiTruth | None = None, **changes: Any) -> dict[str, Any]:
    """Return the struct ``cnmfeAnalysisOutput`` of computeCnmfeSignalExtraction_batch."""
    truth = truth or roi_truth()
    fields = {
        "extractedImages": truth.masks.transpose(1, 2, 0),
        "extractedSignals": truth.denoised,
        "extractedSignalsEst": truth.raw,
        "extractedSignalsType": "model",
        "extractedSignalsEstType": "dfof",
        "extractedPeaks": truth.deconvolved,
        "Cn": truth.masks.sum(axis=0),
        "movieList": "/home/someone/movie.h5",
        "time": {"totalTime": np.array([[777.0]])},
    }
    return fields | changes


def write_mat(path: Path, variables: dict[str, Any], *, version: str) -> Path:
    """Write variables as MATLAB does: ``v7`` (compressed), ``v6`` or ``v7.3``."""
    if version == "v7.3":
        return write_mat_v73(path, variables)
    scipy.io.savemat(
        path, {name: _v5(value) for name, value in variables.items()}, do_compression=version == "v7"
    )
    return path


def _v5(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _v5(each) for name, each in value.items()}
    if isinstance(value, list):
        cell = np.empty((1, len(value)), dtype=object)
        for place, each in enumerate(value):
            cell[0, place] = _v5(each)
        return cell
    return value
