"""The CaImAn interface: components that CNMF, CNMF-E or OnACID of CaImAn found, from the HDF5 file it saves.

CaImAn writes its objects attribute by attribute (``save_dict_to_hdf5`` in caiman/utils/utils.py): arrays as
datasets, sparse matrices as groups (data, indices, indptr, shape), None as the text ``NoneType``, text as
attributes. The attributes are described in the class ``Estimates``.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import FilePath
from scipy.sparse import csc_array

from nwbswitch.converters.segmentation.masks import checked_sides, column_major_masks
from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.segmentation.rois import (
    ArrayTraces,
    Column,
    RoiSet,
    SummaryImage,
    SummedTraces,
    TraceKind,
    Traces,
)
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.stream_base import RoiBasis

DEFAULT_RATE_HZ = 30.0
"""What CaImAn takes for ``fr`` when the user states none."""
MAX_ROIS = 1_000_000
_SPARSE = ("data", "indices", "indptr", "shape")
_VERSION = re.compile(r"[\w.+-]{1,40}")

COLUMNS = {
    "snr": ("SNR_comp", "Signal-to-noise ratio of the trace"),
    "r_value": ("r_values", "Correlation of the footprint with the movie when the component is active"),
    "cnn_prediction": ("cnn_preds", "Probability of being a cell, by CaImAn's neural network"),
    "eccentricity": ("ecc", "Eccentricity of the footprint"),
    "baseline": ("bl", "Constant baseline of the trace"),
    "noise": ("neurons_sn", "Standard deviation of the noise of the trace"),
}
"""Columns, the fields of estimates they come from, and what they mean."""


class CaimanInterface(RoiInterface):
    """Components of one CaImAn file, accepted or not; background components are left out.

    Parameters
    ----------
    file_path : FilePath
        The .hdf5 file that ``cnm.save`` wrote.
    rate_hz : float, optional
        Frame rate, Hz; must agree with the one that CaImAn ran with.
    start_s : float
        Time of the first frame, s.
    roi_basis : str
        How ROIs were found: activity, anatomical (components seeded with masks) or unknown.
    cell_type : str
        Cell type of all ROIs.
    depth_um : float, optional
        Depth of the plane below the pia, um.
    metadata_key : str
        Key of this plane in metadata["Ophys"]["PlaneSegmentations"].
    """

    display_name = "CaImAn"
    associated_suffixes = (".hdf5", ".h5")
    info = "Reads components, traces and quality numbers that CaImAn saved."

    def __init__(
        self,
        *,
        file_path: FilePath,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        roi_basis: RoiBasis = "activity",
        cell_type: str = "unknown",
        depth_um: float | None = None,
        metadata_key: str = "caiman",
    ) -> None:
        """Open the file and check that its fields fit together."""
        super().__init__(
            caiman_rois(Path(file_path)),
            place=Path(file_path),
            rate_hz=rate_hz,
            start_s=start_s,
            roi_basis=roi_basis,
            cell_type=cell_type,
            depth_um=depth_um,
            metadata_key=metadata_key,
            source={
                "file_path": file_path,
            },
        )


def caiman_rois(file: Path) -> RoiSet:
    """Return the components of a CaImAn file; their traces stay in it.

    Raises
    ------
    InputFileError, UnsafeFileError
        When the file is damaged, not CaImAn's, or its fields do not fit together.
    """
    with ExitStack() as files:
        handle = files.enter_context(open_hdf5(file))
        try:
            rois = _rois(file, handle, files)
        except (KeyError, OSError, RuntimeError, TypeError, OverflowError) as error:
            raise InputFileError(file, f"cannot be read as CaImAn's: {str(error)[:200]}.") from error
    return rois


def _rois(file: Path, handle: Any, files: ExitStack) -> RoiSet:
    estimates, params = handle.get("estimates"), handle.get("params/data")
    if not isinstance(estimates, h5py.Group) or not isinstance(estimates.get("A"), h5py.Group):
        raise InputFileError(
            file,
            "holds no sparse footprints in estimates/A.",
            "Give the file that cnm.save wrote, with estimates.A as scipy.sparse.csc_matrix.",
        )
    footprints = _footprints(file, estimates["A"])
    n_rois = int(footprints.shape[1])
    sides = _sides(file, handle)
    pixels, ends = column_major_masks(file, footprints, sides)
    accepted, accepted_by = _accepted(file, estimates, n_rois)
    notes, traces = _traces(file, estimates, n_rois)
    rate_hz = _rate_hz(file, params)
    default = rate_hz == DEFAULT_RATE_HZ
    return RoiSet(
        software="CaImAn",
        version=_version(params),
        accepted=accepted,
        accepted_by=accepted_by,
        traces=traces,
        trace_notes=notes,
        pixels=pixels,
        ends=ends,
        columns=_columns(file, estimates, n_rois),
        images=_images(file, estimates, sides) if len(sides) == 2 else {},
        rate_hz=rate_hz,
        rate_note="CaImAn takes fr = 30 when no frame rate is set." if default else "",
        open_files=files.pop_all(),
    )


def _array(group: Any, name: str) -> Any:
    """Return a dataset with values; None where CaImAn stored None, nothing or an empty list."""
    node = group.get(name)
    if not isinstance(node, h5py.Dataset) or not node.shape or 0 in node.shape:
        return None
    return node


def _footprints(file: Path, group: Any) -> csc_array:
    parts = {name: group.get(name) for name in _SPARSE}
    if not all(isinstance(each, h5py.Dataset) and each.ndim == 1 for each in parts.values()):
        raise InputFileError(file, f"lacks one of {', '.join(_SPARSE)} in estimates/A.")
    shape = parts["shape"]
    if shape.size != 2 or parts["indptr"].size > MAX_ROIS or parts["data"].size != parts["indices"].size:
        raise InputFileError(file, "states parts of estimates/A that do not fit together.")
    n_pixels, n_rois = (int(each) for each in shape[()])
    indices, starts = np.asarray(parts["indices"][()]), np.asarray(parts["indptr"][()])
    if (
        indices.dtype.kind not in "iu"
        or starts.dtype.kind not in "iu"
        or starts.size != n_rois + 1
        or n_rois < 1
        or starts[0] != 0
        or starts[-1] != indices.size
        or (np.diff(starts.astype(np.int64)) < 0).any()
        or (indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < n_pixels)
    ):
        raise InputFileError(file, "states indices in estimates/A that are no columns of footprints.")
    data = np.asarray(parts["data"][()])
    return csc_array((data, indices.astype(np.int64), starts.astype(np.int64)), shape=(n_pixels, n_rois))


def _sides(file: Path, handle: Any) -> tuple[int, ...]:
    """Return height, width and perhaps planes; CaImAn keeps them in three places."""
    found = {}
    for name in ("params/data/dims", "dims", "estimates/dims"):
        values = _array(handle, name)
        if values is not None and values.size < 8:
            found[name] = checked_sides(file, values[()], stated_by=name, volume=True)
    if not found:
        raise InputFileError(file, "states no size of the image (params/data/dims).")
    if len(set(found.values())) > 1:
        raise InputFileError(file, f"states different sizes of the image: {found}.")
    return next(iter(found.values()))


def _traces(file: Path, estimates: Any, n_rois: int) -> tuple[dict[TraceKind, str], dict[TraceKind, Traces]]:
    found: dict[str, Traces] = {}
    for name in ("C", "S", "F_dff", "YrA", "R"):
        values = _array(estimates, name)
        if values is None:
            continue
        first = next(iter(found.values())).shape if found else (n_rois, values.shape[-1])
        if values.dtype.kind not in "fiu" or values.shape != first:
            raise InputFileError(
                file, f"holds {values.dtype} of shape {values.shape} as estimates/{name}, expected {first}."
            )
        found[name] = ArrayTraces(values)
    residual = next((name for name in ("YrA", "R") if name in found), None)
    traces: dict[TraceKind, Traces] = {}
    notes = {
        TraceKind.DFF: "CaImAn's estimates.F_dff.",
        TraceKind.DENOISED: "CaImAn's estimates.C.",
        TraceKind.DECONVOLVED: "CaImAn's estimates.S.",
    }
    if "C" in found and residual is not None:
        traces[TraceKind.DEMIXED] = SummedTraces(found["C"], found[residual])
        notes[TraceKind.DEMIXED] = f"CaImAn's estimates.C + estimates.{residual}."
    for kind, name in ((TraceKind.DFF, "F_dff"), (TraceKind.DENOISED, "C"), (TraceKind.DECONVOLVED, "S")):
        if name in found:
            traces[kind] = found[name]
    if not traces:
        raise InputFileError(file, "holds no traces (estimates/C).", "Save the object after cnm.fit.")
    return notes, traces


def _accepted(file: Path, estimates: Any, n_rois: int) -> tuple[NDArray[np.bool_], str]:
    node = estimates.get("idx_components")
    if not isinstance(node, h5py.Dataset) or not node.shape:
        return np.ones(n_rois, bool), "CaImAn keeps no list of accepted components: every component counts."
    index = np.asarray(node[()])
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise InputFileError(file, "holds in estimates/idx_components no list of components.")
    if index.size and not 0 <= int(index.min()) <= int(index.max()) < n_rois:
        raise InputFileError(file, f"accepts components that are not among its {n_rois} (idx_components).")
    accepted = np.zeros(n_rois, bool)
    accepted[index.astype(np.int64)] = True
    return accepted, "CaImAn's estimates.idx_components."


def _columns(file: Path, estimates: Any, n_rois: int) -> dict[str, Column]:
    columns = {}
    for name, (field, meaning) in COLUMNS.items():
        values = _array(estimates, field)
        if values is None:
            continue
        if values.shape not in ((n_rois,), (n_rois, 1)) or values.dtype.kind not in "fiu":
            raise InputFileError(
                file, f"holds {values.shape} values as estimates/{field} for {n_rois} components."
            )
        numbers = np.asarray(values[()], dtype=float).ravel()
        columns[name] = Column(f"{meaning}; CaImAn's estimates.{field}.", numbers)
    return columns


def _images(file: Path, estimates: Any, sides: tuple[int, ...]) -> dict[str, SummaryImage]:
    images = {}
    correlation = _array(estimates, "Cn")
    if correlation is not None:
        if correlation.shape != sides or correlation.dtype.kind not in "fiu":
            raise InputFileError(file, f"holds an image of shape {correlation.shape} as estimates/Cn.")
        images["correlation_image"] = SummaryImage(
            "Correlation of neighbouring pixels (CaImAn's estimates.Cn), stored as (x, y).",
            np.asarray(correlation[()], np.float32),
        )
    spatial, temporal = _array(estimates, "b"), _array(estimates, "f")
    n_pixels = int(np.prod(sides))
    if spatial is not None and temporal is not None and spatial.shape == (n_pixels, temporal.shape[0]):
        means = np.array([float(np.mean(each)) for each in temporal])
        background = (np.asarray(spatial[()], float) @ means).reshape(sides, order="F")
        images["background_image"] = SummaryImage(
            "Background that CaImAn modelled, mean over time (estimates.b times the mean of estimates.f), "
            "stored as (x, y).",
            background.astype(np.float32),
        )
    return images


def _rate_hz(file: Path, params: Any) -> float | None:
    node = params.get("fr") if isinstance(params, h5py.Group) else None
    if not isinstance(node, h5py.Dataset) or node.size != 1 or node.dtype.kind not in "fiu":
        return None
    rate_hz = float(np.ravel(node[()])[0])
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise InputFileError(file, f"states the frame rate {rate_hz:g} in params/data/fr.")
    return rate_hz


def _version(params: Any) -> str:
    if not isinstance(params, h5py.Group):
        return ""
    stated: Any = params.attrs.get("caiman_version", "")
    text = stated.decode("utf-8", "replace") if isinstance(stated, bytes) else stated
    return text if isinstance(text, str) and _VERSION.fullmatch(text) else ""
