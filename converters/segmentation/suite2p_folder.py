"""A Suite2p output folder: which plane it holds, in which files, and what its settings say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from nwbswitch.converters.segmentation.masks import checked_sides
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import load_mat, load_npy_dict, mat_variables
from nwbswitch.schemas.stream_base import RoiBasis, natural_order

FALL = "Fall.mat"
COMBINED = "combined"
REQUIRED = ("F", "Fneu", "stat")
OPTIONAL = ("spks", "iscell", "redcell", "F_chan2", "Fneu_chan2")
ARRAYS = (*REQUIRED, *OPTIONAL)
# Suite2p 0.x keeps everything in ops; 1.x has four files and writes ops on request.
SETTINGS = ("db.npy", "settings.npy", "reg_outputs.npy", "detect_outputs.npy")

# Images that Cellpose may be given in place of the activity. A maximum over time shows what was active.
ANATOMICAL_IMAGES = (2, 3, "meanImg", "enhanced_meanImg")


@dataclass(frozen=True, slots=True)
class PlaneFolder:
    """One plane.

    Attributes
    ----------
    path
        The folder.
    settings
        What ``ops.npy`` says, or the four files of Suite2p 1.x together, or ``ops`` in ``Fall.mat``.
    places
        The file that holds each array (F, stat, ...); only those that are there.
    """

    path: Path
    settings: Mapping[str, Any]
    places: Mapping[str, Path]


def plane_path(folder: Path, plane: int | None = None) -> Path:
    """Return the folder of one plane: ``folder`` itself, or ``plane0`` and so on in it or in its ``suite2p``.

    Parameters
    ----------
    folder
        The plane folder, the folder suite2p, or the folder around it.
    plane
        Which plane; may be left out where there is one.

    Raises
    ------
    InputFileError
        When there is no such plane, or there are several and none is named.
    """
    if folder.name == COMBINED and _is_plane(folder):
        raise InputFileError(
            folder,
            "is the combined view of several planes, tiled into one image.",
            "Name the folder above it, and one stream per plane with plane: 0, plane: 1, ...",
        )
    for base in (folder, folder / "suite2p"):
        if _is_plane(base):
            if plane is not None and base.name != f"plane{plane}":
                raise InputFileError(
                    base,
                    f"holds the files of one plane and is not called plane{plane}.",
                    "Leave plane out, or name the folder that holds the planes.",
                )
            return base
        planes = {each.name: each for each in sorted(base.glob("plane*"), key=natural_order)}
        planes = {name: each for name, each in planes.items() if _is_plane(each)}
        if not planes:
            continue
        if plane is not None and f"plane{plane}" not in planes:
            raise InputFileError(base, f"holds no plane{plane}; it holds {', '.join(planes)}.")
        if plane is None and len(planes) > 1:
            raise InputFileError(
                base,
                f"holds {len(planes)} planes ({', '.join(planes)}); a stream is one plane.",
                "Make one stream per plane with plane: 0, plane: 1, ... and what differs, e.g. "
                "imaging: {depth_um: 180}.",
            )
        return planes[next(iter(planes)) if plane is None else f"plane{plane}"]
    raise InputFileError(
        folder, f"is not a Suite2p folder: no F.npy or {FALL} in it, in plane0 or in suite2p/plane0."
    )


def _is_plane(folder: Path) -> bool:
    return (folder / "F.npy").is_file() or (folder / FALL).is_file()


def open_plane(folder: Path, plane: int | None = None) -> PlaneFolder:
    """Return one plane below ``folder`` after checking that its files are there.

    Raises
    ------
    InputFileError
        As `plane_path`, and when files are missing.
    """
    path = plane_path(folder, plane)
    places = {name: path / f"{name}.npy" for name in ARRAYS if (path / f"{name}.npy").is_file()}
    from_mat = "F" not in places
    if from_mat:
        # The GUI changes iscell.npy and redcell.npy only, so that these win where they were copied along.
        known = mat_variables(path / FALL)
        places = {
            name: path / FALL for name in ARRAYS if name in known and 0 not in known[name].shape
        } | places
    missing = [name for name in REQUIRED if name not in places]
    if missing:
        where = f"variables {', '.join(missing)} in {FALL}" if from_mat else f"{', '.join(missing)}.npy"
        raise InputFileError(path, f"lacks {where}.", "Copy the whole plane folder that Suite2p wrote.")
    return PlaneFolder(path, _settings(path, from_mat=from_mat), places)


def _settings(path: Path, *, from_mat: bool) -> dict[str, Any]:
    names = ("ops.npy",) if (path / "ops.npy").is_file() else SETTINGS
    found: dict[str, Any] = {}
    for name in names:
        if (path / name).is_file():
            found |= load_npy_dict(path / name)
    if from_mat and not found and "ops" in mat_variables(path / FALL):
        ops = load_mat(path / FALL, ["ops"])["ops"]
        found = plain_fields(ops) if isinstance(ops, dict) else {}
    return found


def plain_fields(struct: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a MATLAB struct as Python would have had them: scalars and flat arrays."""
    return {name: _plain(value) for name, value in struct.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 2 and 1 in value.shape:
        return value.ravel()[0] if value.size == 1 else value.ravel()
    if isinstance(value, np.ndarray) and not value.size:
        return None
    return value


def bad_frames(plane: PlaneFolder, *, n_frames: int) -> NDArray[np.bool_] | None:
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
    """Return the frame rate of one plane, Hz, that Suite2p ran with; None when its settings state none.

    Raises
    ------
    InputFileError
        When they state something else.
    """
    own = plane.settings.get("fs")
    if own is None:
        return None
    if not (is_number(own) and own > 0):
        stated = own if isinstance(own, int | float) else f"a {type(own).__name__}"
        raise InputFileError(plane.path, f"its settings state the frame rate fs = {stated}.")
    return float(own)


def rate_note(plane: PlaneFolder) -> str:
    """Return what may be wrong with the frame rate in the settings, as a sentence; empty when nothing is."""
    n_planes = plane.settings.get("nplanes")
    if plane.settings.get("fs") == 1:
        return "fs = 1 is what users leave in the settings of Suite2p when they do not set the frame rate."
    if is_number(n_planes) and n_planes > 1:
        return f"fs counts per plane in Suite2p: the rate of the microscope divided by {n_planes:g} planes."
    return ""


def roi_basis(plane: PlaneFolder) -> RoiBasis:
    """Return how ROIs were found: by Cellpose on a mean image (anatomical), else by activity."""
    detection = plane.settings.get("detection")
    if isinstance(detection, Mapping):
        cellpose = detection.get("cellpose_settings")
        image = cellpose.get("img") if isinstance(cellpose, Mapping) else None
        used = detection.get("algorithm") == "cellpose"
    else:
        image = plane.settings.get("anatomical_only")
        used = is_number(image) and image > 0
    known = isinstance(image, str | int | float | np.number) and image in ANATOMICAL_IMAGES
    return "anatomical" if used and known else "activity"


def run_frames(plane: PlaneFolder, *, n_frames: int) -> tuple[tuple[int, ...], ...]:
    """Return the frames of each file and of each folder that Suite2p joined, where there are several."""
    found = []
    for name in ("frames_per_file", "frames_per_folder", "nframes_per_folder"):
        stated = plane.settings.get(name)
        if isinstance(stated, np.ndarray) and stated.ndim == 1 and stated.dtype.kind in "iuf":
            counts = tuple(int(each) for each in stated.tolist() if np.isfinite(each))
            if len(counts) > 1 and sum(counts) == n_frames:
                found.append(counts)
    return tuple(found)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of the settings is one finite number."""
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))


def flat_numbers(value: object) -> NDArray[Any] | None:
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
    sides: Sequence[Any] = stated if all(is_number(each) for each in stated) else ()
    height, width = checked_sides(plane.path, sides, stated_by="Ly, Lx")
    return height, width


def summary_images(plane: PlaneFolder) -> dict[str, NDArray[Any]]:
    """Return mean images, maximum projection and correlation image, each (height, width), as far as known.

    Suite2p crops the last two to ``yrange`` and ``xrange``; the rest is filled with zeros.

    Raises
    ------
    InputFileError
        When images do not fit the size of the image.
    """
    size = image_size(plane)
    images: dict[str, NDArray[Any]] = {}
    for name, key in (("mean_image", "meanImg"), ("mean_image_second_channel", "meanImg_chan2")):
        mean = _image(plane.settings.get(key))
        if mean is not None:
            if size is not None and mean.shape != size:
                raise InputFileError(plane.path, f"its {key} has shape {mean.shape}, the image {size}.")
            images[name] = mean
    for name, key in (("max_projection", "max_proj"), ("correlation_image", "Vcorr")):
        cropped = _image(plane.settings.get(key))
        if cropped is not None:
            images[name] = _uncropped(plane, key, cropped, size or cropped.shape)
    return images


def _image(value: object) -> NDArray[Any] | None:
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "fiu":
        return value.astype(np.float32)
    return None


def _uncropped(plane: PlaneFolder, key: str, cropped: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    if cropped.shape == size:
        return cropped
    ranges = [flat_numbers(plane.settings.get(name)) for name in ("yrange", "xrange")]
    known = [each for each in ranges if each is not None and len(each) == 2 and np.isfinite(each).all()]
    crop = [slice(int(start), int(stop)) for start, stop in known]
    inside = len(crop) == 2 and all(
        0 <= part.start < part.stop <= side for part, side in zip(crop, size, strict=True)
    )
    if not inside or tuple(part.stop - part.start for part in crop) != cropped.shape:
        raise InputFileError(
            plane.path,
            f"its {key} has shape {cropped.shape}, which fits neither the image {size} nor its ranges.",
        )
    image = np.zeros(size, dtype=np.float32)
    image[crop[0], crop[1]] = cropped
    return image
