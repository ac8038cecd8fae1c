"""Masks, flags, numbers and traces of the ROIs that Suite2p found in one plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.segmentation.masks import MAX_SIDE_PX
from nwbswitch.converters.segmentation.mat_traces import mat_traces
from nwbswitch.converters.segmentation.rois import ArrayTraces, Traces, joined_masks
from nwbswitch.converters.segmentation.suite2p_folder import (
    PlaneFolder,
    flat_numbers,
    image_size,
    is_number,
    plain_fields,
)
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import load_mat, load_npy, load_npy_array, mat_variables, open_npy

TRACES = ("F", "Fneu", "spks", "F_chan2", "Fneu_chan2")

# Numbers per ROI that Suite2p may put into stat.npy, with their meaning.
ROI_NUMBERS: dict[str, str] = {
    "snr": "Signal-to-noise ratio of the trace, as computed by Suite2p.",
    "skew": "Skewness of the neuropil-corrected trace, as computed by Suite2p.",
    "std": "Standard deviation of the neuropil-corrected trace, as computed by Suite2p.",
    "compact": "Compactness of the ROI (1 for a disk), as computed by Suite2p.",
    "footprint": "Spatial extent of the functional signal of the ROI, as computed by Suite2p.",
    "aspect_ratio": "Ratio of the axes of the ROI, as computed by Suite2p.",
    "radius": "Radius of the ROI in pixels, as computed by Suite2p.",
    "npix": "Number of pixels of the ROI.",
}
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a classifier thinks of each ROI: yes or no, and a probability where it gives one."""

    flags: NDArray[np.bool_]
    probability: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Rois:
    """Pixel masks and properties of all ROIs.

    ``pixels`` is a record array (x, y, weight) of all ROIs one after the other; ``ends`` (n_rois,) is the
    index after the last pixel of each. ``cells`` and ``red`` are None where Suite2p did not judge.
    """

    pixels: NDArray[Any]
    ends: NDArray[Any]
    cells: Judgement | None
    red: Judgement | None
    numbers: Mapping[str, NDArray[np.float64]]
    tracking_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ends)


def read_traces(plane: PlaneFolder, files: ExitStack) -> dict[str, Traces]:
    """Return F, Fneu and what else there is, each (n_rois, n_frames), left on disk; ``files`` closes them.

    Raises
    ------
    InputFileError
        When they are damaged or differ in shape.
    """
    traces: dict[str, Traces] = {}
    for name in TRACES:
        if name not in plane.places:
            continue
        file = plane.places[name]
        if file.suffix == ".mat":
            traces[name] = mat_traces(file, name, mat_variables(file)[name], files)
        else:
            values = files.enter_context(open_npy(file))
            if values.ndim != 2 or values.dtype.kind not in "fiu":
                raise InputFileError(
                    file, f"holds {values.dtype} of shape {values.shape}, expected numbers (ROIs, frames)."
                )
            if 0 in values.shape:
                raise InputFileError(file, f"is empty (shape {values.shape}).")
            traces[name] = ArrayTraces(values)
        if traces[name].shape != traces["F"].shape:
            raise InputFileError(
                file,
                f"has shape {traces[name].shape} for {name}, F has {traces['F'].shape}.",
                "Run Suite2p again.",
            )
    return traces


def read_rois(plane: PlaneFolder, *, n_rois: int) -> Rois:
    """Return pixel masks and properties of the ROIs in ``stat``, ``iscell`` and ``redcell``.

    Raises
    ------
    InputFileError
        When they are damaged, or not for ``n_rois`` ROIs.
    """
    file = plane.places["stat"]
    stat = _stat(file)
    if len(stat) != n_rois:
        raise InputFileError(file, f"holds {len(stat)} ROIs, F holds {n_rois}.", "Run Suite2p again.")
    size = image_size(plane)
    pixels, ends = joined_masks(_mask(file, index, each, size) for index, each in enumerate(stat))
    return Rois(
        pixels=pixels,
        ends=ends,
        cells=_judgement(plane, "iscell", n_rois),
        red=_judgement(plane, "redcell", n_rois),
        numbers={
            name: np.array([float(each[name]) for each in stat])
            for name in ROI_NUMBERS
            if all(is_number(each.get(name)) for each in stat)
        },
        tracking_ids=_tracking_ids(file, stat),
    )


def _stat(file: Path) -> list[Mapping[str, Any]]:
    if file.suffix == ".mat":
        value = load_mat(file, ["stat"])["stat"]
        listed = [value] if isinstance(value, dict) else value
        if isinstance(listed, list) and all(isinstance(each, dict) for each in listed):
            return [plain_fields(each) for each in listed]
    else:
        value = load_npy(file)
        if (
            isinstance(value, np.ndarray)
            and value.ndim == 1
            and all(isinstance(each, dict) for each in value)
        ):
            return list(value)
    raise InputFileError(file, "holds in stat no list of ROIs with their properties.")


def _judgement(plane: PlaneFolder, name: str, n_rois: int) -> Judgement | None:
    """Return flags and probabilities; files saved from the GUI may hold the flags alone."""
    if name not in plane.places:
        return None
    file = plane.places[name]
    values = load_mat(file, [name])[name] if file.suffix == ".mat" else load_npy_array(file)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        raise InputFileError(file, f"holds no numbers as {name}.")
    if file.suffix == ".mat" and values.shape in ((n_rois, 1), (1, n_rois)):
        values = values.ravel()
    if values.shape not in ((n_rois,), (n_rois, 2)):
        raise InputFileError(
            file, f"has shape {values.shape} for {name}, expected ({n_rois}, 2) as F has ROIs."
        )
    if values.ndim == 1:
        return Judgement(values > 0.5, None)
    return Judgement(values[:, 0] > 0.5, values[:, 1].astype(float))


def _tracking_ids(file: Path, stat: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the identity of every neuron across sessions; empty unless every ROI states one."""
    if not all("tracking_id" in each for each in stat):
        return ()
    found = []
    for index, each in enumerate(stat):
        name = each["tracking_id"]
        if not isinstance(name, str | int | np.integer) or not _is_name(str(name)):
            raise InputFileError(file, f"ROI {index} has a tracking_id that is no word.")
        found.append(str(name))
    return tuple(found)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME and text.isprintable()


def _mask(
    file: Path, index: int, properties: Mapping[str, Any], size: tuple[int, int] | None
) -> tuple[NDArray[Any], ...]:
    for key in ("xpix", "ypix", "lam"):
        if key not in properties:
            raise InputFileError(file, f"ROI {index} has no {key}.")
    columns = [_pixel_numbers(properties[key]) for key in ("xpix", "ypix", "lam")]
    x, y, weight = columns
    if x is None or y is None or weight is None or not x.shape == y.shape == weight.shape:
        raise InputFileError(file, f"ROI {index} has xpix, ypix and lam that do not fit together.")
    height, width = size or (MAX_SIDE_PX, MAX_SIDE_PX)
    # Also false for NaN, which is neither at least 0 nor below the limit.
    if not all(
        bool(np.all((c >= 0) & (c < limit) & (c == np.floor(c)))) for c, limit in ((x, width), (y, height))
    ):
        raise InputFileError(file, f"ROI {index} has pixels outside the image.")
    return x, y, weight


def _pixel_numbers(value: object) -> NDArray[Any] | None:
    # MATLAB does not tell an array of one number from the number.
    return np.array([value]) if isinstance(value, np.number) else flat_numbers(value)
