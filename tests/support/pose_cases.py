"""Small files of poses, faces and videos for the contract of interfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from format_writers.pose_files import (
    dlc_labels,
    facemap_proc,
    walking,
    write_dlc_csv,
    write_dlc_table,
    write_facemap_keypoints,
    write_facemap_proc,
    write_slp,
)
from format_writers.video_files import write_avi

N, RATE_HZ = 300, 30.0


def deeplabcut(folder: Path) -> dict[str, Any]:
    labels = dlc_labels(["nose", "tail"], ["m1", "m2"])
    rows = walking(N, 4).reshape(N, 12)
    path = write_dlc_table(folder / "vDLC_resnet50.h5", labels, rows)
    return {"file_path": str(path), "individual": "m2", "rate_hz": RATE_HZ}


def lightning_pose(folder: Path) -> dict[str, Any]:
    labels = dlc_labels(["nose", "tail"], scorer="heatmap_tracker")
    path = write_dlc_csv(folder / "v.csv", labels, walking(N, 2).reshape(N, 6))
    return {"file_path": str(path), "rate_hz": RATE_HZ}


def sleap(folder: Path) -> dict[str, Any]:
    points = walking(N, 2)
    instances = [(frame, track, False, points[frame] + track) for frame in range(N) for track in (0, 1)]
    path = write_slp(folder / "v.slp", [each for each in instances if each[0] != 7 or each[1] != 1])
    return {"file_path": str(path), "track": "b", "rate_hz": RATE_HZ}


def facemap_keypoints(folder: Path) -> dict[str, Any]:
    path = write_facemap_keypoints(folder / "v_FacemapPose.h5", ["eye(back)", "nose(tip)"], walking(N, 2))
    return {"file_path": str(path), "rate_hz": RATE_HZ}


def facemap(folder: Path) -> dict[str, Any]:
    path = write_facemap_proc(folder / "v_proc.npy", facemap_proc(N))
    return {"file_path": str(path), "components": 3, "rate_hz": RATE_HZ}


def video(folder: Path) -> dict[str, Any]:
    path = write_avi(folder / "v.avi", np.arange(5, 5 + N).tolist(), rate=(30, 1))
    return {"file_path": str(path), "description": "Face of the animal."}


POSE_CASES = {
    "deeplabcut": deeplabcut,
    "lightning_pose": lightning_pose,
    "sleap": sleap,
    "facemap_keypoints": facemap_keypoints,
    "facemap": facemap,
    "video": video,
}
