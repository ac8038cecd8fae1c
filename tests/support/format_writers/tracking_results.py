"""Tracking results as ROICaT, CellReg and CaImAn write them.

From the programs' own code: ROICaT ``roicat/pipelines.py`` and richfile's folder layout (as richfile 0.6.2
writes it), CellReg ``CellReg/demo.m`` (a struct saved with -v7.3), CaImAn ``register_multisession``.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def roicat_clusters(labels: Sequence[Sequence[int]], *, scores: bool = True) -> dict[str, Any]:
    """Return what ROICaT keeps as results_clusters."""
    flat = [label for session in labels for label in session]
    unique = sorted(set(flat))
    silhouette = [round(0.1 * n, 3) for n in range(len(flat))] if scores else None
    return {
        "labels": flat,
        "labels_bySession": [list(session) for session in labels],
        "labels_dict": {str(u): [n for n, label in enumerate(flat) if label == u] for u in unique},
        "quality_metrics": {
            "cluster_labels_unique": [float(u) for u in unique],
            "cluster_silhouette": [0.5] * len(unique),
            "sample_silhouette": silhouette,
            "hdbscan": None,
            "sequentialHungarian": None,
        },
    }


def write_roicat_json(path: Path, clusters: dict[str, Any]) -> Path:
    """Write ``*.tracking.results_clusters.json``."""
    path.write_text(json.dumps(clusters, indent=4), encoding="utf-8")
    return path


def write_roicat_richfile(path: Path, clusters: dict[str, Any]) -> Path:
    """Write ``clusters`` of ``*.tracking.results_all.richfile``: a folder or, by its name, zipped."""
    inner = "clusters.dict_item/value.dict"
    members: dict[str, Any] = {"clusters.dict_item/key.json": "clusters"}
    for name in ("labels", "labels_bySession", "labels_dict", "quality_metrics"):
        members[f"{inner}/{name}.dict_item/key.json"] = name
        members[f"{inner}/{name}.dict_item/value.json"] = clusters[name]
    members[".metadata.richfile"] = {"type": "dict", "library": "python", "version_richfile": "0.6.2"}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, value in members.items():
                archive.writestr(name, json.dumps(value))
        return path
    for name, value in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(json.dumps(value), encoding="utf-8")
    return path


def write_cellreg(path: Path, cells: np.ndarray, *, scores: np.ndarray | None = None) -> Path:
    """Write ``cellRegistered_*.mat`` of version 7.3: HDF5 behind a block of 512 bytes, axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("cell_registered_struct")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        fields = {"cell_to_index_map": np.asarray(cells, dtype=np.float64)}
        if scores is not None:
            fields["cell_scores"] = np.asarray(scores, dtype=np.float64)[:, None]
        for name, values in fields.items():
            dataset = group.create_dataset(name, data=values.T)
            dataset.attrs["MATLAB_class"] = np.bytes_("double")
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu May 20 10:00:00 2021 HDF5 schema 1.00 ."
    with path.open("r+b") as stream:
        stream.write(text.ljust(124) + b"\x00\x02IM")
    return path


def caiman_assignments() -> np.ndarray:
    """Return assignments of four neurons in three sessions with 3, 3 and 2 components."""
    nan = np.nan
    return np.array([[0, 1, nan], [1, nan, 0], [2, 0, 1], [nan, 2, nan]])
