"""Points in SLEAP's project and prediction files (.slp), read from HDF5 and JSON.

The layout is that of ``sleap.io.format.hdf5`` and of sleap-io: tables of frames, of instances (one animal in
one frame) and of points; the skeletons are JSON in an attribute. Before format 1.1 the origin was the corner
of the first pixel instead of its centre.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.behavior.pose import BLOCK_FRAMES, Pose
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.issues import nearest

USER, PREDICTED = 0, 1
COLUMNAR = 3.0
CENTRED = 1.1
MAX_EMPTY = 1_000_000
"""Frames without any animal that a file may name beyond a thousand times those it has."""
EDGE = 1


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Names of the points in their order, and the edges between them."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


def chosen_track(path: Path, names: list[str], track: str | None) -> int:
    """Return the number of the track that is meant.

    Raises
    ------
    InputFileError
        Several tracks and none chosen, or one that is not there.
    """
    shown = [name if name and names.count(name) == 1 else str(number) for number, name in enumerate(names)]
    if track is None:
        if len(shown) == 1:
            return 0
        remedy = "Name one of them as track."
        raise InputFileError(path, f"holds {len(shown)} tracks: {', '.join(shown[:50])}.", remedy)
    if track not in shown:
        raise InputFileError(path, f"has no track {track!r}.", nearest(track, shown))
    return shown.index(track)


def read_slp(file: Any, path: Path, *, track: str | None, video: int | None) -> Pose:
    """Open the points of one animal in an opened .slp file.

    Raises
    ------
    InputFileError
        A file of another layout, or several animals or videos when none is chosen.
    UnsafeFileError
        Frame numbers that no video has.
    """
    version, skeletons = _metadata(file, path)
    frames, instances = _table(file, path, "frames"), _table(file, path, "instances")
    if not len(frames) or not len(instances):
        raise InputFileError(path, "holds no animals.")
    in_video, frame_of = _frames(path, frames, video)
    at = np.searchsorted(frames["frame_id"], instances["frame_id"])
    at = np.minimum(at, len(frames) - 1)
    if (frames["frame_id"][at] != instances["frame_id"]).any():
        raise InputFileError(path, "is damaged: an instance is of a frame that is not there.")
    mine = in_video[at]
    names = track_names(file, path)
    if names:
        of_track = instances["track"] == chosen_track(path, names, track)
        n_untracked = int((mine & (instances["track"] < 0)).sum())
    else:
        if track is not None:
            raise InputFileError(path, "has no tracks.", "Leave track out.")
        of_track, n_untracked = np.ones(len(instances), bool), 0
    chosen = np.flatnonzero(mine & of_track)
    if not len(chosen):
        raise InputFileError(path, "holds no instance of this track and video.")
    numbers = frame_of[at[chosen]]
    chosen, numbers = _one_per_frame(path, instances["instance_type"][chosen], chosen, numbers, bool(names))
    skeleton = _skeleton(path, skeletons, instances["skeleton"][chosen])
    n = int(frame_of[in_video].max()) + 1
    if n > MAX_EMPTY + 1000 * len(frames):
        raise UnsafeFileError(path, f"names frame {n - 1}, but holds {len(frames)} frames.")
    kinds = instances["instance_type"][chosen]
    starts = instances["point_id_start"][chosen].astype(np.int64)
    stops = instances["point_id_end"][chosen].astype(np.int64)
    points = _Points(file, path, len(skeleton.nodes), 0.5 if version < CENTRED else 0.0)
    points.check(kinds, starts, stops)
    return Pose(
        path,
        skeleton.nodes,
        n,
        lambda: points.blocks(n, numbers, kinds, starts),
        software="SLEAP",
        comments=_comments(n, kinds, n_untracked),
        edges=skeleton.edges,
        has_confidence=bool((kinds == PREDICTED).any()),
    )


def _comments(n: int, kinds: NDArray[Any], n_untracked: int) -> str:
    found = [f"The animal was found in {len(kinds)} of {n} frames."]
    n_user = int((kinds == USER).sum())
    if n_user:
        found.append(f"Points of {n_user} frames were set by a person and have no confidence.")
    if n_untracked:
        found.append(f"{n_untracked} instances without a track were left out.")
    return " ".join(found)


def _metadata(file: Any, path: Path) -> tuple[float, list[Skeleton]]:
    try:
        attributes = file["metadata"].attrs
        version = float(attributes["format_id"])
        text = attributes["json"]
        content = json.loads(text.decode("utf-8") if isinstance(text, bytes) else str(text))
        if version >= COLUMNAR:
            raise InputFileError(
                path, f"has SLEAP's format {version:g}; 1.0 to 2.x are read.", "Export an analysis HDF5 file."
            )
        names = [str(each["name"]) for each in content["nodes"]]
        return version, [_decoded(each, names) for each in content["skeletons"]]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise InputFileError(
            path, f"is no SLEAP file that can be read ({type(error).__name__}: {str(error)[:100]})."
        ) from error


def _decoded(entry: dict[str, Any], names: list[str]) -> Skeleton:
    graph = entry.get("nx_graph", entry)
    ids = [int(node["id"]) for node in graph["nodes"]]
    if min(ids, default=0) < 0:
        raise ValueError("a node with a negative number")
    edges = []
    kinds: list[int] = []
    for link in graph["links"]:
        # The first link of a kind says which it is, later ones refer to it by its place among the firsts.
        kind = link["type"]
        if "py/reduce" in kind:
            kinds.append(int(kind["py/reduce"][1]["py/tuple"][0]))
            value = kinds[-1]
        else:
            reference = int(kind["py/id"])
            value = kinds[reference - 1] if 0 < reference <= len(kinds) else reference
        if value == EDGE:
            edges.append((ids.index(link["source"]), ids.index(link["target"])))
    return Skeleton(tuple(names[each] for each in ids), tuple(edges))


def track_names(file: Any, path: Path) -> list[str]:
    """Return the names of the tracks of an opened .slp file."""
    names = []
    for text in file["tracks_json"][()] if "tracks_json" in file else ():
        try:
            entry = json.loads(text)
            names.append(str(entry["name"] if isinstance(entry, dict) else entry[1]))
        except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
            raise InputFileError(path, "has names of tracks that cannot be read.") from error
    return names


def _table(file: Any, path: Path, name: str) -> NDArray[Any]:
    if name not in file or file[name].dtype.names is None or file[name].ndim != 1:
        raise InputFileError(path, f"has no table {name!r}; it is no .slp file of SLEAP.")
    return np.asarray(file[name][()])


def _frames(
    path: Path, frames: NDArray[Any], video: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which labelled frames are of the video, and the number of each in its video."""
    if (np.diff(frames["frame_id"].astype(np.int64)) <= 0).any():
        raise InputFileError(path, "is damaged: its frames are not in order.")
    videos = np.unique(frames["video"])
    if video is None and len(videos) > 1:
        raise InputFileError(
            path, f"holds {len(videos)} videos: {', '.join(map(str, videos[:50]))}.", "Name one as video."
        )
    if video is not None and video not in videos:
        raise InputFileError(path, f"has no video {video}; it has {', '.join(map(str, videos[:50]))}.")
    numbers = frames["frame_idx"].astype(np.int64)
    if (numbers < 0).any():
        raise UnsafeFileError(path, "names frames that no video has.")
    return frames["video"] == (videos[0] if video is None else video), numbers


def _one_per_frame(
    path: Path, kinds: NDArray[Any], chosen: NDArray[np.intp], numbers: NDArray[np.int64], tracked: bool
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return one instance per frame in the order of frames; what a person corrected counts."""
    order = np.lexsort((kinds, numbers))
    chosen, numbers, kinds = chosen[order], numbers[order], kinds[order]
    again = np.concatenate([[False], np.diff(numbers) == 0])
    same = again & np.concatenate([[False], np.diff(kinds.astype(np.int16)) == 0])
    if same.any():
        frame = int(numbers[same][0])
        problem = "of this track" if tracked else "but no tracks"
        raise InputFileError(
            path,
            f"holds two animals in frame {frame} {problem}.",
            "Track the animals, or correct that frame.",
        )
    return chosen[~again], numbers[~again]


def _skeleton(path: Path, skeletons: list[Skeleton], used: NDArray[Any]) -> Skeleton:
    numbers = np.unique(used)
    if len(numbers) != 1 or numbers[0] >= len(skeletons):
        raise InputFileError(path, "uses several skeletons for one animal, or one that is not there.")
    return skeletons[int(numbers[0])]


class _Points:
    """The tables of points, read a range of frames at a time."""

    def __init__(self, file: Any, path: Path, n_nodes: int, shift: float) -> None:
        self.path, self.n_nodes, self.shift = path, n_nodes, shift
        self.tables = {}
        for kind, name in ((USER, "points"), (PREDICTED, "pred_points")):
            table = file.get(name)
            wanted = {"x", "y", "visible"} | ({"score"} if kind == PREDICTED else set())
            if table is None or table.ndim != 1 or not wanted <= set(table.dtype.names or ()):
                raise InputFileError(path, f"has no table {name!r}; it is no .slp file of SLEAP.")
            self.tables[kind] = table

    def check(self, kinds: NDArray[Any], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> None:
        """Refuse instances whose points are not there or not as many as the skeleton has."""
        lengths = np.array([len(self.tables[kind]) for kind in (USER, PREDICTED)])
        known = (kinds == USER) | (kinds == PREDICTED)
        if not known.all() or (stops - starts != self.n_nodes).any() or (starts < 0).any():
            raise InputFileError(self.path, "is damaged: instances do not have the points of their skeleton.")
        if (stops > lengths[kinds]).any():
            raise InputFileError(self.path, "is damaged: it names points that are not there.")

    def blocks(
        self, n: int, numbers: NDArray[np.int64], kinds: NDArray[Any], starts: NDArray[np.int64]
    ) -> Iterator[NDArray[np.float64]]:
        """Yield the points of all frames, NaN where the animal was not found."""
        for first in range(0, n, BLOCK_FRAMES):
            stop = min(first + BLOCK_FRAMES, n)
            block = np.full((stop - first, self.n_nodes, 3), np.nan)
            low, high = np.searchsorted(numbers, [first, stop])
            for kind in (USER, PREDICTED):
                rows = low + np.flatnonzero(kinds[low:high] == kind)
                if len(rows):
                    block[numbers[rows] - first] = self._read(kind, starts[rows])
            yield block

    def _read(self, kind: int, starts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the points of some instances (instances, nodes, 3)."""
        table, n_nodes = self.tables[kind], self.n_nodes
        low, high = int(starts.min()), int(starts.max()) + n_nodes
        if high - low <= 64 * n_nodes * len(starts):
            near = table[low:high]
            points = near[(starts - low)[:, np.newaxis] + np.arange(n_nodes)]
        else:
            points = np.stack([table[start : start + n_nodes] for start in starts])
        found = np.empty((*points.shape, 3))
        found[..., 0], found[..., 1] = points["x"] - self.shift, points["y"] - self.shift
        found[..., 2] = points["score"] if kind == PREDICTED else np.nan
        found[~points["visible"].astype(bool), :2] = np.nan
        return found
