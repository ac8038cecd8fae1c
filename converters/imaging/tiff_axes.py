"""What the description of a TIFF says of the order of its pages: frames, planes and channels."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from nwbswitch.converters.imaging.tiff_pages import TiffPages
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.streams_tiff import PageMeaning

Axes = tuple[tuple[str, int], ...]
"""Axes of more than one element with their sizes, slowest first, e.g. (("T", 100), ("C", 2))."""

_UIC2, _LSM, _FLUOVIEW = 33629, 34412, 34361
_IMAGEJ_KEY = re.compile(r"^(images|channels|slices|frames|order)=(\S+)", re.MULTILINE)
_OME_SIZE = re.compile(rb'\bSize([CZT])="(\d{1,9})"')
_SCANIMAGE = re.compile(rb"(scanimage\.)?SI[45]?\.|state\.config(Name|Path)|frameTimestamps_sec")
_COLOUR = frozenset("S")
_MAX_TEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How frames and planes follow each other in the pages of a file."""

    n_frames: int
    n_planes: int
    first: int
    frame_step: int
    plane_step: int


def stated_axes(pages: TiffPages) -> Axes:
    """Return the axes of the images of a file; where it says nothing, its pages are one axis, "I".

    Raises
    ------
    InputFileError
        When the description promises other images than there are, or the file is one of another format.
    """
    text = pages.text()
    if text.startswith(b"ImageJ="):
        axes = _imagej(text.decode("latin-1"))
    elif text.startswith((b'{"shape":', b"shape=(")):
        axes = _tifffile(text, pages)
    elif text[:2000].lstrip().startswith((b"<?xml", b"<OME", b"<!--")) and b"OME" in text[:2000]:
        axes = _ome(text)
    else:
        _refuse_others(pages, text)
        axes = ()
    total = math.prod(size for _, size in axes)
    return axes if total not in (0, 1) else (("I", pages.n_pages),) if pages.n_pages > 1 else ()


def rhythm(
    pages: TiffPages, axes: Axes, *, meaning: PageMeaning, channel: int | None, plane: int | None
) -> Rhythm:
    """Return which of the images are the frames and planes that are wanted.

    Parameters
    ----------
    pages, axes
        The file and its axes.
    meaning
        Whether images that only follow each other are frames, or the planes of one volume.
    channel, plane
        Numbers of a channel and a plane, counted from 1.

    Raises
    ------
    InputFileError
        When a channel must be chosen, or the choice does not fit the file.
    """
    layout = ", ".join(f"{axis}={size}" for axis, size in axes) or "one image"
    others = [axis for axis, _ in axes if axis not in "TZCIQ"]
    if others or len({axis for axis, _ in axes}) < len(axes):
        raise InputFileError(
            pages.path,
            f"it holds more than frames, planes and channels ({layout}).",
            "Export them as frames of one channel.",
        )
    steps: dict[str, tuple[int, int]] = {}
    step = 1
    for axis, size in reversed(axes):
        steps[axis] = (size, step)
        step *= size
    channels, channel_step = steps.pop("C", (1, 0))
    first = channel_step * (_chosen(pages, "channel", channel, channels, layout) - 1)
    n_planes, plane_step = steps.pop("Z", (1, 0))
    rest = list(steps.values())
    if len(rest) > 1:
        raise InputFileError(
            pages.path, f"it holds two axes of frames ({layout}).", "Export them as one movie."
        )
    n_frames, frame_step = rest[0] if rest else (1, 0)
    if meaning == "frames" and n_frames == 1 and n_planes > 1 and plane is None:
        n_frames, frame_step, n_planes, plane_step = n_planes, plane_step, 1, 0
    if meaning == "planes":
        if n_frames > 1 and n_planes > 1:
            raise InputFileError(
                pages.path,
                f"it holds volumes that follow each other ({layout}), not one volume.",
                "Leave out pages: planes.",
            )
        if n_planes == 1:
            n_frames, frame_step, n_planes, plane_step = 1, 0, n_frames, frame_step
    if plane is not None:
        first += plane_step * (_chosen(pages, "plane", plane, n_planes, layout) - 1)
        n_planes, plane_step = 1, 0
    return Rhythm(n_frames, n_planes, first, frame_step, plane_step)


def _chosen(pages: TiffPages, key: str, wanted: int | None, n: int, layout: str) -> int:
    if wanted is None and n > 1:
        raise InputFileError(
            pages.path, f"it holds {n} channels ({layout}).", f"Choose one: {key}: 1 to {n}."
        )
    if wanted is not None and not 1 <= wanted <= n:
        raise InputFileError(
            pages.path,
            f"it has no {key} {wanted}: it holds {layout}.",
            f"{key.capitalize()}s are counted from 1; there {'is 1' if n == 1 else f'are {n}'}.",
        )
    return wanted or 1


def _imagej(text: str) -> Axes:
    found = dict(_IMAGEJ_KEY.findall(text[:_MAX_TEXT]))
    sizes = {
        axis: int(found[key]) if found.get(key, "").isdecimal() else 1
        for axis, key in (("C", "channels"), ("Z", "slices"), ("T", "frames"))
    }
    images = int(found["images"]) if found.get("images", "").isdecimal() else 1
    if math.prod(sizes.values()) != images:
        sizes = {"I": images}
    order = {"czt": "TZC", "ctz": "ZTC", "zct": "TCZ", "ztc": "CTZ", "tcz": "ZCT", "tzc": "CZT"}
    axes = order.get(found.get("order", "czt").removeprefix("xy"), "TZC") if "I" not in sizes else "I"
    return tuple((axis, sizes[axis]) for axis in axes if sizes[axis] > 1)


def _tifffile(text: bytes, pages: TiffPages) -> Axes:
    """Return the axes of a file that tifffile wrote; sizes of one are left out."""
    if not text.startswith(b"{"):
        return ()
    try:
        stated = json.loads(text[:_MAX_TEXT])
        shape = [int(size) for size in stated["shape"]][:-2]
        axes = str(stated.get("axes", ""))[:-2]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    if any(size < 1 for size in shape) or len(shape) > 16:
        return ()
    axes = axes if len(axes) == len(shape) else "?" * len(shape)
    found = tuple((axis, size) for axis, size in zip(axes, shape, strict=True) if size > 1)
    if len(found) == 1 and found[0][0] not in "TZC":
        found = (("I", found[0][1]),)
    total = math.prod(shape)
    # A page written alone states its own shape, however many follow it.
    return found if total == pages.n_pages or pages.n_pages == 1 else ()


def _ome(text: bytes) -> Axes:
    sizes = dict(_OME_SIZE.findall(text))
    found = tuple((axis, int(sizes[axis.encode()])) for axis in "TZC" if int(sizes.get(axis.encode(), 1)) > 1)
    # The order of several axes, and which file holds what, is for the reader of OME-TIFF to say.
    return found if len(found) < 2 else tuple((f"OME-{axis}", size) for axis, size in found)


def _refuse_others(pages: TiffPages, text: bytes) -> None:
    software = pages.text(code=305)
    if _SCANIMAGE.search(text[:_MAX_TEXT]) or software.startswith(b"SI."):
        raise InputFileError(
            pages.path, "it is a ScanImage file.", "Use format: scanimage, which knows channels and planes."
        )
    for code, name in ((_LSM, "a Zeiss LSM"), (_FLUOVIEW, "an Olympus FluoView")):
        if pages.has(code):
            raise InputFileError(pages.path, f"it is {name} file.", "Export it as OME-TIFF or ImageJ TIFF.")


def metamorph_planes(pages: TiffPages) -> int:
    """Return how many images a MetaMorph stack (.stk) keeps behind its only page; 1 for other files."""
    return max(pages.count(_UIC2), 1) if pages.n_pages == 1 else 1
