"""What OME-XML says of the images in TIFF files: axes, channels, pixel size, times, and where each plane is.

The meaning of the elements follows the OME model 2016-06 and the OME-TIFF specification
(docs.openmicroscopy.org).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.errors import InputFileError, UnsafeFileError
from nwbswitch.schemas.ome_files import named_beside, ome_text
from nwbswitch.schemas.xml_guard import read_xml

MAX_PLANES = 20_000_000
OWN_FILE = ""
"""Name of the file that holds the XML."""

# Units of the OME model that a microscope can mean.
_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0}
_MICROMETRES = {"µm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4, "pm": 1e-6}
_MICRO = str.maketrans("μ", "µ")


@dataclass(frozen=True, slots=True)
class Block:
    """Planes in a row: file, its first page, first plane (C, Z, T) and number; None means the whole file."""

    file: str
    uuid: str
    page: int | None
    first: tuple[int, int, int]
    n_planes: int | None


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One image of a set.

    Attributes
    ----------
    name
        As the microscope's software calls it.
    sizes
        Numbers of channels, planes and time points, (C, Z, T).
    order
        The same letters, fastest first, e.g. "CZT".
    height, width
        Size in pixels.
    channels
        Names of the channels; "" where there is none.
    blocks
        Where the planes are, with first planes as (C, Z, T).
    interval_s
        Time between time points, s.
    times_s
        Time of each plane (T, Z, C), s; NaN where it is not stated.
    pixel_size_um
        Size of a pixel along x and y, um.
    started
        When the acquisition began.
    """

    name: str
    sizes: tuple[int, int, int]
    order: str
    height: int
    width: int
    channels: tuple[str, ...]
    blocks: tuple[Block, ...]
    interval_s: float | None
    times_s: NDArray[np.float64] | None
    pixel_size_um: tuple[float, float] | None
    started: datetime | None


@dataclass(frozen=True, slots=True)
class OmeSet:
    """The images of a set, and the UUID of the file that was asked."""

    uuid: str
    images: tuple[OmeImage, ...]


def read_ome(path: Path, description: bytes) -> OmeSet:
    """Return what the description of the first page says, or the companion file that it names.

    Raises
    ------
    InputFileError
        When there is no OME-XML, it is damaged or contradicts itself.
    UnsafeFileError
        When it has a document type, is too large or names a file outside the folder.
    """
    root = read_xml(ome_text(path, description), name=path)
    uuid = root.get("UUID", "")
    pointer = next(_children(root, "BinaryOnly"), None)
    if pointer is not None and not any(_children(root, "Image")):
        companion = named_beside(path, pointer.get("MetadataFile", ""))
        if not companion.is_file():
            raise InputFileError(
                path,
                f"leaves its description to {companion.name}, which is not there.",
                "Copy it into the same folder.",
            )
        uuid = pointer.get("UUID", uuid)
        root = read_xml(companion)
    try:
        images = tuple(_image(path, each) for each in _children(root, "Image"))
    except (ValueError, OverflowError) as error:
        raise InputFileError(path, f"has OME-XML that cannot be used: {str(error)[:200]}.") from error
    if not images:
        raise InputFileError(path, "has OME-XML without an image.", "Export the movie again.")
    return OmeSet(uuid, images)


def _children(element: Element, tag: str) -> Iterator[Element]:
    return (each for each in element if each.tag.rpartition("}")[2] == tag)


def _image(path: Path, image: Element) -> OmeImage:
    pixels = next(_children(image, "Pixels"), None)
    if pixels is None:
        raise ValueError("an image without pixels")
    sizes = tuple(_positive(pixels, f"Size{axis}") for axis in "CZT")
    n_planes = sizes[0] * sizes[1] * sizes[2]
    if n_planes > MAX_PLANES:
        raise UnsafeFileError(path, f"declares {n_planes} planes; at most {MAX_PLANES} are read.")
    order = pixels.get("DimensionOrder", "XYCZT").removeprefix("XY")
    if sorted(order) != ["C", "T", "Z"]:
        raise ValueError(f"the order of dimensions XY{order}")
    names = [each.get("Name", "") for each in _children(pixels, "Channel")]
    interval = _number(pixels, "TimeIncrement")
    seconds = _SECONDS.get(_unit(pixels, "TimeIncrementUnit", "s"))
    date = next(_children(image, "AcquisitionDate"), None)
    return OmeImage(
        name=image.get("Name", ""),
        sizes=(sizes[0], sizes[1], sizes[2]),
        order=order,
        height=_positive(pixels, "SizeY"),
        width=_positive(pixels, "SizeX"),
        channels=tuple(names) if len(names) == sizes[0] else ("",) * sizes[0],
        blocks=tuple(_block(each) for each in _children(pixels, "TiffData")),
        interval_s=interval * seconds if interval and interval > 0 and seconds else None,
        times_s=_times(pixels, (sizes[2], sizes[1], sizes[0])),
        pixel_size_um=_pixel_size_um(pixels),
        started=_moment(date.text if date is not None else None),
    )


def _block(element: Element) -> Block:
    named = next(_children(element, "UUID"), None)
    first = tuple(int(element.get(f"First{axis}", 0)) for axis in "CZT")
    page, count = element.get("IFD"), element.get("PlaneCount")
    n_planes = int(count) if count is not None else None if page is None else 1
    if min(first) < 0 or int(page or 0) < 0 or (n_planes is not None and n_planes < 0):
        raise ValueError("a negative number in TiffData")
    return Block(
        file=OWN_FILE if named is None else named.get("FileName", OWN_FILE),
        uuid="" if named is None else (named.text or "").strip(),
        page=None if page is None and count is None else int(page or 0),
        first=(first[0], first[1], first[2]),
        n_planes=n_planes,
    )


def _times(pixels: Element, shape: tuple[int, int, int]) -> NDArray[np.float64] | None:
    """Return the times of planes (T, Z, C), s."""
    times: NDArray[np.float64] | None = None
    for plane in _children(pixels, "Plane"):
        stated = _number(plane, "DeltaT")
        seconds = _SECONDS.get(_unit(plane, "DeltaTUnit", "s"))
        place = tuple(int(plane.get(f"The{axis}", 0)) for axis in "TZC")
        if stated is None or seconds is None:
            continue
        if any(not 0 <= each < size for each, size in zip(place, shape, strict=True)):
            raise ValueError(f"a plane {place} of {shape} (T, Z, C)")
        times = np.full(shape, np.nan) if times is None else times
        times[place] = stated * seconds
    return times


def _pixel_size_um(pixels: Element) -> tuple[float, float] | None:
    found = []
    for axis in "XY":
        size = _number(pixels, f"PhysicalSize{axis}")
        micrometres = _MICROMETRES.get(_unit(pixels, f"PhysicalSize{axis}Unit", "µm"))
        found.append(size * micrometres if size and size > 0 and micrometres else None)
    return (found[0], found[1]) if found[0] and found[1] else None


def _positive(element: Element, name: str) -> int:
    value = int(element.get(name, "0"))
    if not 0 < value < 1 << 31:
        raise ValueError(f"{name}={value}")
    return value


def _number(element: Element, name: str) -> float | None:
    try:
        value = float(element.get(name, ""))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _unit(element: Element, name: str, default: str) -> str:
    return element.get(name, default).translate(_MICRO)


def _moment(text: str | None) -> datetime | None:
    """Return a date; Micro-Manager puts a blank before the UTC offset."""
    try:
        return datetime.fromisoformat((text or "").strip().replace(" +", "+").replace(" -", "-"))
    except ValueError:
        return None
