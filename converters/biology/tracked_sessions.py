"""Tracking results of ROICaT, CellReg and CaImAn: which ROI of which session is which neuron.

Sources of the formats: ROICaT ``docs/source/inputsAndOutputs.rst`` and ``roicat/pipelines.py``, richfile's
README; CellReg ``CellReg/demo.m`` and ``compute_scores.m``; CaImAn ``caiman/base/rois.py``,
``register_multisession``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.file_guard import load_npy_array, load_npz, load_pickle, open_hdf5, open_zip
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.mat_guard import load_mat
from nwbswitch.schemas.roi_labels import CaimanTracking

MAX_JSON_BYTES = 128 << 20
MAX_NEURONS = 10_000_000
CELL_MAP = "cell_registered_struct.cell_to_index_map"
CELL_SCORES = "cell_registered_struct.cell_scores"
LABELS = "clusters.labels_bySession"
_CLUSTERS = "clusters.dict_item/value.dict"
_JSON_REMEDY = "Name the file *.tracking.results_clusters.json that ROICaT writes beside it."

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackedSession:
    """The tracked ROIs of one session.

    ``numbers`` are those of the ROIs, from 0, and ``neurons`` those of the neurons, both of shape (tracked,),
    as are ``scores`` where the source has them. ``n_rois`` is how many ROIs the source saw in this session,
    where that can be told.
    """

    numbers: Ints
    neurons: Ints
    scores: Floats | None = None
    n_rois: int | None = None


@dataclass(frozen=True, slots=True)
class TrackingResult:
    """All sessions of a tracking result, the software that made it, and what its numbers and scores mean."""

    sessions: tuple[TrackedSession, ...]
    software: str
    number_means: str
    score_means: str = ""


def read_roicat(path: Path) -> TrackingResult:
    """Return the clusters of ROICaT; the label -1 is no cluster.

    Raises
    ------
    InputFileError
        A file that is not ROICaT's, or one of its formats that needs code to be read.
    """
    clusters = _roicat_clusters(path)
    sessions = clusters.get("labels_bySession")
    if not isinstance(sessions, list | tuple) or not sessions:
        raise InputFileError(path, "holds no labels_bySession, so it is no tracking result of ROICaT.")
    labels = [_whole_numbers(path, each, "labels_bySession", least=-1) for each in sessions]
    quality = clusters.get("quality_metrics")
    stated = quality.get("sample_silhouette") if isinstance(quality, dict) else None
    scores = None if stated is None else _scores(path, stated, sum(map(len, labels)))
    found = []
    start = 0
    for each in labels:
        tracked = np.flatnonzero(each >= 0)
        own = None if scores is None else scores[start : start + len(each)][tracked]
        found.append(TrackedSession(tracked, each[tracked], own, len(each)))
        start += len(each)
    return TrackingResult(
        tuple(found),
        "ROICaT",
        "cluster label (UCID) of ROICaT",
        "sample silhouette of ROICaT, -1 to 1; higher is better separated from other neurons",
    )


def _roicat_clusters(path: Path) -> dict[str, Any]:
    """Return labels_bySession and quality_metrics of a JSON file, a richfile folder or a zipped one."""
    names = ("labels_bySession", "quality_metrics")
    if path.is_dir():
        inner = {name: path / _CLUSTERS / f"{name}.dict_item" / "value.json" for name in names}
        # Inside a folder that others made, a link could lead anywhere.
        own = {name: each for name, each in inner.items() if each.is_file() and not _has_link(path, each)}
        return {name: _json(each, each.stat().st_size, each.read_bytes) for name, each in own.items()}
    if path.suffix.lower() == ".zip":
        with open_zip(path) as archive:
            sizes = {member.name: member.size for member in archive.members}
            held = {name: f"{_CLUSTERS}/{name}.dict_item/value.json" for name in names}
            return {
                name: _json(path, sizes[member], lambda member=member: archive.read(member))
                for name, member in held.items()
                if member in sizes
            }
    if path.suffix.lower() == ".json":
        if not path.is_file():
            raise InputFileError(path, "is not there.")
        document = _json(path, path.stat().st_size, path.read_bytes)
        return _clusters_of(path, document)
    if path.suffix.lower() in (".pkl", ".pickle"):
        return _clusters_of(path, _unpickled(path))
    if path.suffix.lower() == ".mat":
        return {"labels_bySession": _rows(load_mat(path, (LABELS,))[LABELS])}
    problem = "is a format of ROICaT that is not read."
    if path.suffix.lower() not in (".sqlar", ".tar"):
        problem = "is no tracking result of ROICaT: expected .json, .richfile or .richfile.zip."
    raise InputFileError(path, problem, _JSON_REMEDY)


def _clusters_of(path: Path, document: Any) -> dict[str, Any]:
    clusters = document.get("clusters", document) if isinstance(document, dict) else None
    if not isinstance(clusters, dict):
        raise InputFileError(path, "is no tracking result of ROICaT: it holds no clusters.", _JSON_REMEDY)
    return clusters


def _unpickled(path: Path) -> Any:
    try:
        return load_pickle(path)
    except UnsafeFileError as error:
        raise UnsafeFileError(path, error.problem, _JSON_REMEDY) from error


def _rows(cells: Any) -> list[Any]:
    return [np.ravel(each) for each in cells] if isinstance(cells, list) else [np.ravel(cells)]


def _has_link(folder: Path, file: Path) -> bool:
    parts = file.relative_to(folder).parts
    return any(folder.joinpath(*parts[: n + 1]).is_symlink() for n in range(len(parts)))


def _json(path: Path, size: int, read: Any) -> Any:
    if size > MAX_JSON_BYTES:
        raise UnsafeFileError(
            path, f"has {size} bytes of JSON, more than the {MAX_JSON_BYTES} that are read."
        )
    try:
        return json.loads(read())
    except (ValueError, RecursionError) as error:
        raise InputFileError(path, f"is not JSON: {str(error)[:200]}.") from error


def read_cellreg(path: Path) -> TrackingResult:
    """Return the map of CellReg, ``cell_to_index_map`` (neurons, sessions): ROIs from 1, 0 where none is.

    Raises
    ------
    InputFileError
        A file without that map.
    """
    values = _matrix(path, load_mat(path, (CELL_MAP,))[CELL_MAP], "cell_to_index_map")
    if np.isnan(values).any() or (values < 0).any():
        raise InputFileError(path, "cell_to_index_map holds negative or missing numbers.")
    scores = _cell_scores(path, len(values))
    return TrackingResult(
        _columns(path, np.where(values == 0, np.nan, values), first_roi=1, first_neuron=1, scores=scores),
        "CellReg",
        "row of cell_to_index_map of CellReg, counted from 1",
        "cell score of CellReg, 0 to 1: the share of pairs of sessions that agree on this neuron",
    )


def _cell_scores(path: Path, count: int) -> Floats | None:
    """Return one score per neuron; CellReg has them only when it registered by probabilities."""
    try:
        stated = load_mat(path, (CELL_SCORES,))[CELL_SCORES]
    except UnsafeFileError:
        raise
    except InputFileError:
        return None
    return None if np.size(stated) == 0 else _scores(path, stated, count)


def read_caiman(path: Path, source: CaimanTracking) -> TrackingResult:
    """Return the array ``assignments`` of CaImAn, (neurons, sessions): components from 0, NaN where none is.

    Raises
    ------
    InputFileError
        A file without that array.
    """
    values = _matrix(path, _caiman_array(path, source.dataset), source.dataset)
    return TrackingResult(
        _columns(path, values, first_roi=source.first_roi, first_neuron=0),
        "CaImAn (register_multisession)",
        "row of assignments of CaImAn, counted from 0",
    )


def _caiman_array(path: Path, name: str) -> Any:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return load_npy_array(path)
    if suffix == ".npz":
        return load_npz(path, (name,))[name]
    if suffix in (".h5", ".hdf5"):
        import h5py

        with open_hdf5(path) as file:
            node = file.get(name)
            if not isinstance(node, h5py.Dataset):
                held = ", ".join(file)[:200]
                raise InputFileError(
                    path, f"holds no array {name!r}; it holds {held}.", "Name it as dataset."
                )
            if node.size is None or node.size > MAX_NEURONS:
                raise UnsafeFileError(path, f"{name} has more than {MAX_NEURONS} elements.")
            return node[()]
    if suffix == ".mat":
        return load_mat(path, (name,))[name]
    remedy = "Save the array assignments with numpy.save."
    raise InputFileError(path, "is not read: expected .npy, .npz, .h5 or .mat.", remedy)


def _columns(
    path: Path, values: Floats, *, first_roi: int, first_neuron: int, scores: Floats | None = None
) -> tuple[TrackedSession, ...]:
    found = []
    for position, column in enumerate(values.T, start=1):
        rows = np.flatnonzero(~np.isnan(column))
        numbers = column[rows].astype(np.int64) - first_roi
        _check_column(path, numbers + first_roi, position, first_roi)
        # A map that was not filtered names every ROI of a session once.
        whole = len(numbers) > 1 and numbers.min() == 0 and numbers.max() == len(numbers) - 1
        own = None if scores is None else scores[rows]
        found.append(TrackedSession(numbers, rows + first_neuron, own, len(numbers) if whole else None))
    return tuple(found)


def _check_column(path: Path, stated: Ints, position: int, first_roi: int) -> None:
    place = Place(path, item=f"session {position}")
    if stated.size and stated.min() < first_roi:
        _refuse("wrong-value", f"It names ROI {stated.min()}, but counts from {first_roi}.", place, _FIRST)
    every, counts = np.unique(stated, return_counts=True)
    if (counts > 1).any():
        number = int(every[counts > 1][0])
        remedy = ""
        if number == 0:
            remedy = "numpy.nan_to_num makes 0 of what is not found: save the array before that."
        problem = f"ROI {number} is {int(counts[counts > 1][0])} different neurons."
        _refuse("duplicate-id", problem, place, remedy)
    if first_roi == 0 and len(every) > 2 and every[0] == 1 and every[-1] == len(every):
        problem = f"Its ROIs are 1 to {len(every)} without a gap, so they seem to be counted from 1."
        _refuse("wrong-value", problem, place, _FIRST)


_FIRST = "Say first_roi: 1 if the ROIs are counted from 1, as in MATLAB; 0 as in Python."


def _matrix(path: Path, value: Any, name: str) -> Floats:
    """Return a map (neurons, sessions) of whole numbers and NaN."""
    try:
        values = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputFileError(path, f"{name} does not hold numbers.") from error
    if values.ndim != 2 or not values.size:
        raise InputFileError(path, f"{name} has the shape {values.shape}, expected (neurons, sessions).")
    present = values[~np.isnan(values)]
    if not (np.isfinite(present).all() and (present == np.floor(present)).all() and (present < 1e9).all()):
        raise InputFileError(path, f"{name} holds numbers that are no numbers of ROIs.")
    return values


def _whole_numbers(path: Path, values: Any, name: str, *, least: int) -> Ints:
    """Return a list of whole numbers as an array."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputFileError(path, f"{name} does not hold numbers.") from error
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (numbers >= least) & (numbers < 1e9)
    if numbers.ndim != 1 or not whole.all():
        raise InputFileError(path, f"{name} does not hold whole numbers from {least}.")
    return numbers.astype(np.int64)


def _scores(path: Path, values: Any, count: int) -> Floats:
    try:
        scores = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError) as error:
        raise InputFileError(path, "holds scores that are no numbers.") from error
    if scores.size != count:
        raise InputFileError(path, f"holds {scores.size} scores for {count} entries.")
    return scores


def _refuse(code: str, problem: str, place: Place, remedy: str) -> NoReturn:
    raise IssuesError([issue(code, problem, place=place, remedy=remedy)])
