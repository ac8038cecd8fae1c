"""Suite2p plane folders: as .npy files, and as the Fall.mat that ``save_mat`` (suite2p/io/save.py) writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

N_FRAMES, HEIGHT, WIDTH = 37, 20, 30
TRACES = ("F.npy", "Fneu.npy", "spks.npy")


def make_plane(
    folder: Path, *, ops: dict[str, Any] | None = None, extra: dict[str, Any] | None = None, seed: int = 0
) -> Path:
    """Write a plane with two ROIs: 3 pixels in row 4, then 2 pixels in row 10."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for name in TRACES:
        np.save(folder / name, rng.normal(size=(2, N_FRAMES)).astype(np.float32))
    np.save(folder / "iscell.npy", np.array([[1, 0.9], [0, 0.2]]))
    masks = (([4, 4, 4], [25, 26, 27]), ([10, 10], [2, 3]))
    stat = np.array(
        [
            {"ypix": np.array(y), "xpix": np.array(x), "lam": np.ones(len(y), np.float32), "skew": 1.5}
            | (extra or {})
            for y, x in masks
        ],
        dtype=object,
    )
    np.save(folder / "stat.npy", stat, allow_pickle=True)
    if ops is not None:
        np.save(folder / "ops.npy", ops, allow_pickle=True)
    return folder


def ops_of(**values: Any) -> dict[str, Any]:
    image = np.zeros((HEIGHT, WIDTH), np.float32)
    image[4, 25] = 9.0
    projection = np.full((HEIGHT - 4, WIDTH - 6), 2.0, np.float32)
    return {
        "fs": 5.0,
        "Ly": HEIGHT,
        "Lx": WIDTH,
        "meanImg": image,
        "max_proj": projection,
        "yrange": [2, HEIGHT - 2],
        "xrange": [3, WIDTH - 3],
        "save_path": "/home/someone/data",
    } | values


def fall(plane: Path, **changes: Any) -> dict[str, Any]:
    """Return what ``save_mat`` of Suite2p (suite2p/io/save.py) writes to Fall.mat."""
    ops = {
        name: np.array([]) if each is None else each
        for name, each in ops_of(nplanes=1, diameter=None).items()
    }
    values = {name.removesuffix(".npy"): np.load(plane / name) for name in (*TRACES, "iscell.npy")}
    stat = np.load(plane / "stat.npy", allow_pickle=True)
    return {"stat": stat, "ops": ops, **values, "redcell": np.array([]), **changes}
