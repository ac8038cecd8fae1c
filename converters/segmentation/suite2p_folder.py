"""A Suite2p output folder: which files it holds, whether they fit together, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import load_npy, load_npy_array, load_npy_dict

TRACES = ("F.npy", "Fneu.npy", "spks.npy")
REQUIRED = (*TRACES, "stat.npy", "iscell.npy")
OPTIONAL = ("ops.npy", "settings.npy", "db.npy")

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
MAX_SIDE_PX = 1 << 15
MAX_IMAGE_PX = 1 << 26
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Rois:
    """Pixel masks and properties of all ROIs.

    ``pixels`` is a record array (x, y, weight) of all ROIs one after the other; ``ends`` (n_rois,) is the
    index after the last pixel of each.
    """

    pixels: np.ndarray[Any, Any]
    ends: np.ndarray[Any, Any]
    accepted: np.ndarray[Any, Any]
    cell_probability: np.ndarray[Any, Any]
    numbers: dict[str, np.ndarray[Any, Any]]
    tracking_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ends)


@dataclass(frozen=True, slots=True)
class PlaneFolder:
    """One plane folder with its settings.

    ``settings`` merges ``ops.npy`` or, where there is none, ``db.npy`` and ``settings.npy``.
    """

    path: Path
    settings: Mapping[str, Any]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return tuple(self.path / name for name in (*REQUIRED, *OPTIONAL) if (self.path / name).is_file())


def plane_path(folder: Path) -> Path:
    """Return the plane folder of ``folder``: itself, its only ``plane*``, or that of its ``suite2p``.

    Raises
    ------
    InputFileError
        When there is none, or several.
    """
    for base in (folder, folder / "suite2p"):
        if (base / "F.npy").is_file():
            return base
        planes = sorted(each for each in base.glob("plane*") if (each / "F.npy").is_file())
        if len(planes) > 1:
            names = ", ".join(each.name for each in planes)
            raise InputFileError(
                base,
                f"holds {len(planes)} planes ({names}); a stream is one plane.",
                f"Name one of them, e.g. {planes[0]}.",
            )
        if planes:
            return planes[0]
    raise InputFileError(folder, "is not a Suite2p folder: no F.npy in it, in plane0 or in suite2p/plane0.")


def open_plane(folder: Path) -> PlaneFolder:
    """Return the plane below ``folder`` after checking that its files are there."""
    path = plane_path(folder)
    missing = [name for name in REQUIRED if not (path / name).is_file()]
    if missing:
        raise InputFileError(
            path, f"lacks {', '.join(missing)}.", "Copy the whole plane folder that Suite2p wrote."
        )
    settings: dict[str, Any] = {}
    names = ("ops.npy",) if (path / "ops.npy").is_file() else ("db.npy", "settings.npy")
    for name in names:
        if (path / name).is_file():
            settings |= load_npy_dict(path / name)
    return PlaneFolder(path, settings)


def bad_frames(plane: PlaneFolder, *, n_frames: int) -> np.ndarray[Any, Any] | None:
    """Return (n_frames,) truth values: frames Suite2p found too displaced; None when it does not say.

    Raises
    ------
    InputFileError
        When they are not one truth value per frame.
    """
    stated = plane.settings.get("badframes")
    if stated is None:
        return None
    flags = np.asarray(stated) if isinstance(stated, np.ndarray) else None
    if flags is None or flags.shape != (n_frames,) or flags.dtype.kind not in "bu":
        raise InputFileError(
            plane.path,
            f"badframes in its settings is not one truth value for each of {n_frames} frames.",
            "Use the settings that belong to these traces.",
        )
    return flags > 0


def frame_rate_hz(plane: PlaneFolder) -> float | None:
    """Return the frame rate, Hz, that Suite2p ran with; None when its settings do not state one.

    Raises
    ------
    InputFileError
        When they state something else.
    """
    own = plane.settings.get("fs")
    if own is None:
        return None
    if not (_is_number(own) and own > 0):
        stated = own if isinstance(own, int | float) else f"a {type(own).__name__}"
        raise InputFileError(plane.path, f"its settings state the frame rate fs = {stated}.")
    return float(own)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))


def read_traces(plane: PlaneFolder) -> dict[str, np.ndarray[Any, Any]]:
    """Return F, Fneu and spks, each memory-mapped (n_rois, n_frames), by file name."""
    traces = {name: load_npy_array(plane.path / name, mmap=True) for name in TRACES}
    shape = traces["F.npy"].shape
    for name, values in traces.items():
        if values.ndim != 2 or values.dtype.kind not in "fiu":
            raise InputFileError(
                plane.path / name,
                f"holds {values.dtype} of shape {values.shape}, expected numbers (ROIs, frames).",
            )
        if values.shape != shape:
            raise InputFileError(
                plane.path / name, f"has shape {values.shape}, F.npy has {shape}.", "Run Suite2p again."
            )
    if 0 in shape:
        raise InputFileError(plane.path / "F.npy", f"is empty (shape {shape}).")
    return traces


def read_rois(plane: PlaneFolder, *, n_rois: int) -> Rois:
    """Return pixel masks and properties of the ROIs in ``stat.npy`` and ``iscell.npy``."""
    iscell = load_npy_array(plane.path / "iscell.npy")
    if iscell.ndim != 2 or iscell.shape[1] < 2 or len(iscell) != n_rois or iscell.dtype.kind not in "fiu":
        raise InputFileError(
            plane.path / "iscell.npy", f"has shape {iscell.shape}, expected ({n_rois}, 2) as F.npy has ROIs."
        )
    stat = load_npy(plane.path / "stat.npy")
    if isinstance(stat, dict) or stat.ndim != 1 or not all(isinstance(each, dict) for each in stat):
        raise InputFileError(plane.path / "stat.npy", "is not a list of ROIs with their properties.")
    if len(stat) != n_rois:
        raise InputFileError(
            plane.path / "stat.npy", f"holds {len(stat)} ROIs, F.npy holds {n_rois}.", "Run Suite2p again."
        )
    size = image_size(plane)
    masks = [_mask(plane, index, properties, size) for index, properties in enumerate(stat)]
    numbers = {
        name: np.array([float(each[name]) for each in stat])
        for name in ROI_NUMBERS
        if all(_is_number(each.get(name)) for each in stat)
    }
    return Rois(
        pixels=np.concatenate(masks),
        ends=np.cumsum([len(mask) for mask in masks]),
        accepted=iscell[:, 0] > 0.5,
        cell_probability=iscell[:, 1].astype(float),
        numbers=numbers,
        tracking_ids=_tracking_ids(plane, list(stat)),
    )


def _tracking_ids(plane: PlaneFolder, stat: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the identity of every neuron across sessions; empty unless every ROI states one."""
    if not all("tracking_id" in each for each in stat):
        return ()
    found = []
    for index, each in enumerate(stat):
        name = each["tracking_id"]
        if not isinstance(name, str | int | np.integer) or not _is_name(str(name)):
            raise InputFileError(plane.path / "stat.npy", f"ROI {index} has a tracking_id that is no word.")
        found.append(str(name))
    return tuple(found)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_NAME and text.isprintable()


def _mask(
    plane: PlaneFolder, index: int, properties: Mapping[str, Any], size: tuple[int, int] | None
) -> np.ndarray[Any, Any]:
    file = plane.path / "stat.npy"
    for key in ("xpix", "ypix", "lam"):
        if key not in properties:
            raise InputFileError(file, f"ROI {index} has no {key}.")
    columns = [_numbers(properties[key]) for key in ("xpix", "ypix", "lam")]
    x, y, weight = columns
    if x is None or y is None or weight is None or not x.shape == y.shape == weight.shape:
        raise InputFileError(file, f"ROI {index} has xpix, ypix and lam that do not fit together.")
    height, width = size or (MAX_SIDE_PX, MAX_SIDE_PX)
    # Also false for NaN, which is neither at least 0 nor below the limit.
    if not all(
        bool(np.all((c >= 0) & (c < limit) & (c == np.floor(c)))) for c, limit in ((x, width), (y, height))
    ):
        raise InputFileError(file, f"ROI {index} has pixels outside the image.")
    mask = np.empty(len(x), dtype=[("x", "<u4"), ("y", "<u4"), ("weight", "<f4")])
    mask["x"], mask["y"], mask["weight"] = columns
    return mask


def _numbers(value: object) -> np.ndarray[Any, Any] | None:
    """Return a flat array of numbers, or None for anything else: nested lists can stand for endless ones."""
    if isinstance(value, list | tuple) and all(isinstance(each, int | float | np.number) for each in value):
        value = np.array(value) if value else np.empty(0)
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "fiu":
        return value
    return None


def image_size(plane: PlaneFolder) -> tuple[int, int] | None:
    """Return height and width of the image, pixels, as the settings state them; None when they do not.

    Raises
    ------
    InputFileError
        When what they state is no size of an image.
    """
    stated = [plane.settings.get(key) for key in ("Ly", "Lx")]
    if any(each is None for each in stated):
        return None
    sides = [
        int(each)
        for each in stated
        if isinstance(each, int | float | np.integer | np.floating)
        and float(each).is_integer()
        and 0 < each <= MAX_SIDE_PX
    ]
    if len(sides) < 2 or sides[0] * sides[1] > MAX_IMAGE_PX:
        raise InputFileError(plane.path, "its settings state Ly and Lx that are no size of an image.")
    return sides[0], sides[1]


def summary_images(plane: PlaneFolder) -> dict[str, np.ndarray[Any, Any]]:
    """Return mean image and maximum projection, each (height, width), as far as the settings hold them.

    Suite2p crops the projection to ``yrange`` and ``xrange``; the rest is filled with zeros.
    """
    size = image_size(plane)
    images: dict[str, np.ndarray[Any, Any]] = {}
    mean, projection = (_image(plane.settings.get(key)) for key in ("meanImg", "max_proj"))
    if mean is not None:
        if size is not None and mean.shape != size:
            raise InputFileError(plane.path, f"its meanImg has shape {mean.shape}, the image {size}.")
        images["mean_image"] = mean
    if projection is not None:
        images["max_projection"] = _uncropped(plane, projection, size or projection.shape)
    return images


def _image(value: object) -> np.ndarray[Any, Any] | None:
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "fiu":
        return value.astype(np.float32)
    return None


def _uncropped(
    plane: PlaneFolder, projection: np.ndarray[Any, Any], size: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    if projection.shape == size:
        return projection
    ranges = [_numbers(plane.settings.get(key)) for key in ("yrange", "xrange")]
    known = [each for each in ranges if each is not None and len(each) == 2 and np.isfinite(each).all()]
    crop = [slice(int(start), int(stop)) for start, stop in known]
    inside = len(crop) == 2 and all(
        0 <= part.start < part.stop <= side for part, side in zip(crop, size, strict=True)
    )
    if not inside or tuple(part.stop - part.start for part in crop) != projection.shape:
        raise InputFileError(
            plane.path,
            f"its max_proj has shape {projection.shape}, which fits neither the image {size} nor its ranges.",
        )
    image = np.zeros(size, dtype=np.float32)
    image[crop[0], crop[1]] = projection
    return image
