"""Small pose files as DeepLabCut, Lightning Pose, SLEAP and Facemap write them.

Tables of pandas in HDF5 follow ``pandas.io.pytables`` (compare tests/reference/deeplabcut, which pandas and
PyTables wrote); .slp follows sleap-io's ``write_lfs`` and ``write_metadata``, the analysis file SLEAP's
``write_tracking_h5``; Facemap's files follow its ``process.save`` and ``Pose.save_data_to_hdf5``.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

SCORER = "DLC_resnet50_openfieldAug20shuffle1_30000"
COORDS = ("x", "y", "likelihood")
Labels = list[tuple[str, ...]]


def dlc_labels(
    parts: Sequence[str],
    individuals: Sequence[str] = (),
    coords: Sequence[str] = COORDS,
    scorer: str = SCORER,
) -> Labels:
    """Return the labels of all columns of a table of points."""
    if not individuals:
        return [(scorer, part, coord) for part in parts for coord in coords]
    return [(scorer, each, part, coord) for each in individuals for part in parts for coord in coords]


def walking(n: int, parts: int, *, seed: int = 0) -> np.ndarray:
    """Return points (n, parts, 3) that wander, each with a confidence."""
    rng = np.random.default_rng(seed)
    points = rng.random((n, parts, 3))
    points[:, :, :2] = 200 + np.cumsum(rng.normal(size=(n, parts, 2)), axis=0)
    return points


def write_dlc_csv(path: Path, labels: Labels, rows: np.ndarray) -> Path:
    """Write a table of points as pandas' ``to_csv`` does for DeepLabCut and Lightning Pose."""
    names = ["scorer", "bodyparts", "coords"] if len(labels[0]) == 3 else None
    names = names or ["scorer", "individuals", "bodyparts", "coords"]
    columns = pd.MultiIndex.from_tuples(labels, names=names)
    pd.DataFrame(rows, columns=columns).to_csv(path)
    return path


def write_dlc_table(path: Path, labels: Labels, rows: np.ndarray, *, index: np.ndarray | None = None) -> Path:
    """Write a table of points as ``to_hdf(..., format="table")`` does."""
    frames = np.arange(len(rows)) if index is None else index
    kind = np.dtype([("index", frames.dtype), ("values_block_0", rows.dtype, (rows.shape[1],))])
    table = np.empty(len(rows), kind)
    table["index"], table["values_block_0"] = frames, rows
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_("frame_table")
        group.attrs["table_type"] = np.bytes_("appendable_frame")
        group.attrs["values_cols"] = np.bytes_(pickle.dumps(["values_block_0"], 0))
        group.attrs["non_index_axes"] = np.bytes_(pickle.dumps([(1, labels)], 0))
        dataset = group.create_dataset("table", data=table, chunks=True)
        dataset.attrs["index_kind"] = np.bytes_("integer" if frames.dtype.kind == "i" else "string")
        dataset.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(labels, 0))
    return path


def skeleton_json(nodes: Sequence[str], edges: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return nodes and skeleton as SLEAP keeps them: node numbers run backward to tell them from places."""
    n = len(nodes)
    links = [
        {
            "edge_insert_idx": number,
            "key": 0,
            "source": n - 1 - one,
            "target": n - 1 - other,
            "type": {"py/id": 1}
            if number
            else {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}]},
        }
        for number, (one, other) in enumerate(edges)
    ]
    symmetry = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [2]}]}
    links.append({"key": 0, "source": 0, "target": n - 1, "type": symmetry})
    return {
        "version": "2.0.0",
        "skeletons": [
            {
                "directed": True,
                "graph": {"name": "Skeleton-0", "num_edges_inserted": len(edges)},
                "links": links,
                "multigraph": True,
                "nodes": [{"id": n - 1 - place} for place in range(n)],
            }
        ],
        "nodes": [{"name": name, "weight": 1.0} for name in reversed(nodes)],
        "videos": [],
        "tracks": [],
    }


INSTANCE = np.dtype(
    [
        ("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"),
        ("track", "i4"), ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"),
        ("point_id_end", "u8"), ("tracking_score", "f4"),
    ]
)  # fmt: skip
FRAME = np.dtype(
    [
        ("frame_id", "u8"), ("video", "u4"), ("frame_idx", "u8"), ("instance_id_start", "u8"),
        ("instance_id_end", "u8"),
    ]
)  # fmt: skip
POINT = np.dtype([("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")])
PREDICTED_POINT = np.dtype([*POINT.descr, ("score", "f8")])

Instance = tuple[int, int, bool, np.ndarray]
"""Frame, track (-1 for none), whether a person set it, and points (nodes, 3)."""


def write_slp(
    path: Path,
    instances: Sequence[Instance],
    *,
    nodes: Sequence[str] = ("nose", "tail"),
    edges: Sequence[tuple[int, int]] = ((0, 1),),
    tracks: Sequence[str] = ("a", "b"),
    videos: Sequence[int] | None = None,
    format_id: float = 1.2,
) -> Path:
    """Write instances, in the order of their frames, as a .slp file; ``videos`` gives that of each frame."""
    numbers = sorted({each[0] for each in instances})
    frames = np.zeros(len(numbers), FRAME)
    frames["frame_id"], frames["frame_idx"] = np.arange(len(numbers)), numbers
    if videos is not None:
        frames["video"] = videos
    rows = np.zeros(len(instances), INSTANCE)
    points: dict[bool, list[Any]] = {True: [], False: []}
    for number, (frame, track, is_user, places) in enumerate(instances):
        start = len(points[is_user])
        for x, y, score in places:
            visible = bool(np.isfinite(x))
            points[is_user].append((x, y, visible, False) if is_user else (x, y, visible, False, score))
        rows[number] = (
            number, not is_user, numbers.index(frame), 0, track, -1, 0.5, start, start + len(places), 0.0,
        )  # fmt: skip
    with h5py.File(path, "w") as file:
        file["frames"], file["instances"] = frames, rows
        file["points"] = np.array(points[True], POINT)
        file["pred_points"] = np.array(points[False], PREDICTED_POINT)
        file["tracks_json"] = np.array([json.dumps([0, name]).encode() for name in tracks], dtype="S")
        file["videos_json"] = np.array([b"{}"])
        group = file.create_group("metadata")
        group.attrs["format_id"] = format_id
        group.attrs["json"] = np.bytes_(json.dumps(skeleton_json(nodes, edges)))
    return path


def write_analysis(
    path: Path, points: np.ndarray, *, nodes: Sequence[str], tracks: Sequence[str], standard: bool = False
) -> Path:
    """Write points (tracks, frames, nodes, 3) as SLEAP's analysis file, or with sleap-io's other axes."""
    places, scores = points[..., :2], points[..., 2]
    with h5py.File(path, "w") as file:
        if standard:
            file["tracks"] = places.transpose(1, 0, 2, 3)
            file["tracks"].attrs["dims"] = json.dumps(["frame", "track", "node", "xy"])
            file["point_scores"] = scores.transpose(1, 0, 2)
            file["point_scores"].attrs["dims"] = json.dumps(["frame", "track", "node"])
        else:
            file["tracks"] = places.transpose(0, 3, 2, 1)
            file["point_scores"] = scores.transpose(0, 2, 1)
        file["node_names"] = np.array(nodes, dtype="S")
        file["track_names"] = np.array(tracks, dtype="S") if tracks else np.empty(0)
        file["edge_inds"] = np.array([[0, 1]])
    return path


def write_facemap_keypoints(path: Path, parts: Sequence[str], points: np.ndarray) -> Path:
    """Write points (n, parts, 3) as Facemap does."""
    with h5py.File(path, "w") as file:
        for number, part in enumerate(parts):
            for place, coord in enumerate(COORDS):
                file[f"Facemap/{part}/{coord}"] = points[:, number, place].astype(np.float32)
    return path


def facemap_proc(n: int = 500, *, pupils: int = 1) -> dict[str, Any]:
    """Return what Facemap saves of a video with regions for pupils, motion, blinks and running."""
    rng = np.random.default_rng(0)
    regions = [
        {
            "rind": 0,
            "rtype": "Pupil",
            "ivid": 0,
            "yrange": np.arange(20 + each, 40),
            "xrange": np.arange(50, 90),
        }
        for each in range(pupils)
    ]
    regions += [
        {"rind": kind, "rtype": word, "ivid": 0, "yrange": np.arange(9), "xrange": np.arange(9)}
        for kind, word in ((1, "motion SVD"), (2, "Blink"), (3, "Running"))
    ]
    return {
        "filenames": [["D:/Jane Doe/secret/cam1.avi"]],
        "save_path": "D:/Jane Doe/secret",
        "Ly": [100],
        "Lx": [120],
        "sbin": 4,
        "fullSVD": True,
        "save_mat": False,
        "avgframe": [rng.random(30).astype(np.float32)],
        "motion": [rng.random(n).astype(np.float32), rng.random(n).astype(np.float32)],
        "motSv": rng.random(6),
        "motMask": [rng.random((30, 6)).astype(np.float32)],
        "motSVD": [rng.random((n, 6)).astype(np.float32), rng.random((n, 6)).astype(np.float32)],
        "movSVD": [],
        "pupil": [
            {
                "area": rng.random(n) * 100,
                "area_smooth": rng.random(n) * 100,
                "com": rng.random((n, 2)) * [20, 40],
                "com_smooth": rng.random((n, 2)),
                "axdir": rng.random((n, 2, 2)),
                "axlen": rng.random((n, 2)),
            }
            for _ in range(pupils)
        ],
        "blink": [rng.random(n)],
        "running": [rng.random((n, 2))],
        "rois": regions,
        "sy": 0,
        "sx": 0,
    }


def write_facemap_proc(path: Path, proc: dict[str, Any]) -> Path:
    """Save a dictionary as Facemap does."""
    np.save(path, np.array(proc, dtype=object), allow_pickle=True)
    return path
