"""Points in the analysis HDF5 files that SLEAP and sleap-io export.

Arrays have the axes (tracks, xy, nodes, frames) unless an attribute ``dims`` names others (sleap-io).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.behavior.pose import BLOCK_FRAMES, Pose
from nwbswitch.converters.behavior.sleap_labels import chosen_track
from nwbswitch.schemas.errors import InputFileError

PLACES = ("track", "xy", "node", "frame")
SCORES = ("track", "node", "frame")


def read_analysis(file: Any, path: Path, *, track: str | None) -> Pose:
    """Open the points of one animal in an opened analysis file.

    Raises
    ------
    InputFileError
        A file of another layout, or several tracks when none is chosen.
    """
    tracks, nodes = file["tracks"], _names(file, "node_names")
    axes = _axes(tracks, PLACES, path)
    size = dict(zip(axes, tracks.shape, strict=True))
    names = _names(file, "track_names")
    if size["xy"] != 2 or size["node"] != len(nodes) or (names and size["track"] != len(names)):
        raise InputFileError(
            path, f"has tracks of shape {tracks.shape} for {len(names)} tracks and {len(nodes)} nodes."
        )
    number = chosen_track(path, names or [""] * size["track"], track)
    scores = file.get("point_scores")
    score_axes = _axes(scores, SCORES, path) if scores is not None else SCORES
    if scores is not None and scores.shape != tuple(size[each] for each in score_axes):
        raise InputFileError(path, f"has point_scores of shape {scores.shape}.")

    def blocks() -> Iterator[NDArray[np.float64]]:
        for start in range(0, size["frame"], BLOCK_FRAMES):
            span = slice(start, min(start + BLOCK_FRAMES, size["frame"]))
            places = _part(tracks, axes, number, span, ("frame", "node", "xy"))
            block = np.full((*places.shape[:2], 3), np.nan)
            block[..., :2] = places
            if scores is not None:
                block[..., 2] = _part(scores, score_axes, number, span, ("frame", "node"))
            yield block

    return Pose(
        path,
        tuple(nodes),
        int(size["frame"]),
        blocks,
        software="SLEAP",
        edges=_edges(file, len(nodes), path),
        has_confidence=scores is not None,
    )


def _axes(dataset: Any, usual: tuple[str, ...], path: Path) -> tuple[str, ...]:
    stated = dataset.attrs.get("dims")
    try:
        axes = usual if stated is None else tuple(json.loads(stated))
    except (TypeError, ValueError, RecursionError):
        axes = ()
    if (
        sorted(map(str, axes)) != sorted(usual)
        or dataset.ndim != len(usual)
        or dataset.dtype.kind not in "fiu"
    ):
        raise InputFileError(path, f"has {dataset.name} with axes that SLEAP does not write.")
    return axes


def _part(
    dataset: Any, axes: tuple[str, ...], track: int, frames: slice, wanted: tuple[str, ...]
) -> NDArray[Any]:
    """Return frames of one track with the axes ``wanted``."""
    window = {"track": track, "frame": frames}
    values = dataset[tuple(window.get(each, slice(None)) for each in axes)]
    left = [each for each in axes if each != "track"]
    return np.asarray(values.transpose([left.index(each) for each in wanted]))


def _names(file: Any, name: str) -> list[str]:
    values = file[name][()] if name in file else np.empty(0, "S1")
    return [each.decode("utf-8", "replace") for each in values] if values.dtype.kind in "SO" else []


def _edges(file: Any, n_nodes: int, path: Path) -> tuple[tuple[int, int], ...]:
    pairs = file["edge_inds"][()] if "edge_inds" in file else np.empty((0, 2), int)
    if pairs.size == 0:
        return ()
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.min() < 0 or pairs.max() >= n_nodes:
        raise InputFileError(path, "has a skeleton with edges between nodes that are not there.")
    return tuple((int(one), int(other)) for one, other in pairs)
