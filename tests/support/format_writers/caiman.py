"""HDF5 files of CaImAn, as ``save_dict_to_hdf5`` (caiman/utils/utils.py) stores the attributes of a CNMF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse
from roi_truth import HEIGHT, RATE_HZ, WIDTH, RoiTruth, roi_truth


def caiman_objects(truth: RoiTruth | None = None, **changes: Any) -> dict[str, Any]:
    """Return the attributes of a fitted CNMF; ``changes`` are those of its estimates."""
    truth = truth or roi_truth()
    rng = np.random.default_rng(1)
    n_rois, n_frames = truth.denoised.shape
    estimates = {
        "A": scipy.sparse.csc_matrix(truth.columns),
        "C": truth.denoised,
        "YrA": truth.raw - truth.denoised,
        "S": truth.deconvolved,
        "F_dff": truth.dff,
        "R": None,
        "b": rng.random((HEIGHT * WIDTH, 2)),
        "f": rng.random((2, n_frames)),
        "bl": list(rng.random(n_rois)),
        "neurons_sn": rng.random(n_rois),
        "SNR_comp": rng.random(n_rois),
        "r_values": rng.random(n_rois),
        "cnn_preds": [],
        "ecc": None,
        "idx_components": np.array([0, n_rois - 1]),
        "idx_components_bad": np.arange(1, n_rois - 1),
        "Cn": truth.masks.sum(axis=0),
        "dims": (HEIGHT, WIDTH),
        "W": None,
        "shifts": [],
    }
    return {
        "estimates": estimates | changes,
        "params": {
            "data": {
                "fnames": ["/home/someone/movie.tif"],
                "dims": (HEIGHT, WIDTH),
                "fr": RATE_HZ,
                "decay_time": 0.4,
                "caiman_version": "1.11.4",
                "last_commit": None,
            },
            "init": {"K": 30, "gSig": np.array([5, 5])},
        },
        "dims": (HEIGHT, WIDTH),
        "skip_refinement": False,
        "dview": None,
    }


def write_caiman(path: Path, objects: dict[str, Any] | None = None) -> Path:
    """Write the attributes: None as text, text as attributes, sparse matrices as four arrays."""
    with h5py.File(path, "w") as file:
        _put(file, caiman_objects() if objects is None else objects)
    return path


def _put(group: h5py.Group, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if value is None:
            group[name] = "NoneType"
        elif isinstance(value, str):
            group.attrs[name] = value
        elif isinstance(value, dict):
            _put(group.create_group(name), value)
        elif scipy.sparse.issparse(value):
            for part in ("data", "indptr", "indices", "shape"):
                group[f"{name}/{part}"] = getattr(value.tocsc(), part)
        elif isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
            group[name] = np.bytes_(value)
        else:
            group[name] = np.array(value) if isinstance(value, list | tuple) else value
