"""Regions of interest in the pages of a ScanImage file: which rows of a page belong to which region.

Regions that are scanned one after the other are stacked in one page, with the lines during which the scanner
flies from one to the next between them (ScanImage documentation, "Multiple Region of Interest Imaging";
``getMroiFrameSequence`` of ScanImage).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nwbswitch.converters.imaging.paged_movie import Crop
from nwbswitch.schemas.errors import InputFileError, UnsafeFileError

MAX_JSON_BYTES = 64 << 20
Z_TOLERANCE_UM = 1e-4
MAX_LINE_DIFFERENCE = 2.0
"""Lines by which the fly-to time may miss the gap: ScanImage rounds it up, and to whole cycles."""


@dataclass(frozen=True, slots=True)
class Field:
    """One region at one depth: size in pixels, and in degrees of scan angle."""

    height: int
    width: int
    size_degrees: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Region:
    """A region of interest: its name, and its scanfields by depth."""

    name: str
    zs_um: tuple[float, ...]
    fields: tuple[Field, ...]
    discrete: bool

    def at(self, z_um: float) -> Field | None:
        """Return the scanfield at a depth; interpolated between those that define the region."""
        for known, field in zip(self.zs_um, self.fields, strict=True):
            if abs(known - z_um) <= Z_TOLERANCE_UM:
                return field
        if self.discrete:
            return None
        if len(self.fields) == 1:
            return self.fields[0]
        if not min(self.zs_um) <= z_um <= max(self.zs_um):
            return None
        order = np.argsort(self.zs_um)
        zs = np.array(self.zs_um)[order]

        def between(values: Sequence[float]) -> float:
            return float(np.interp(z_um, zs, np.array(values)[order]))

        return Field(
            height=2 * round(between([each.height for each in self.fields]) / 2),
            width=2 * round(between([each.width for each in self.fields]) / 2),
            size_degrees=(
                between([each.size_degrees[0] for each in self.fields]),
                between([each.size_degrees[1] for each in self.fields]),
            ),
        )


def read_regions(path: Path, text: bytes) -> tuple[Region, ...]:
    """Return the imaging regions from the JSON of the artist tag.

    Raises
    ------
    InputFileError
        When it is not there or has another form.
    """
    if len(text) > MAX_JSON_BYTES:
        raise UnsafeFileError(path, f"describes its regions in {len(text)} bytes of JSON.")
    try:
        rois = json.loads(text)["RoiGroups"]["imagingRoiGroup"]["rois"]
        rois = rois if isinstance(rois, list) else [rois]
        found = tuple(_region(number, each) for number, each in enumerate(rois, 1) if _enabled(each))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputFileError(
            path,
            "says that its pages hold several regions, but does not describe them as ScanImage does.",
            "Copy the file again, or export each region on its own.",
        ) from error
    if not found:
        raise InputFileError(path, "describes no region of interest.", "Copy the file again.")
    return found


def _enabled(roi: Any) -> bool:
    return bool(roi.get("enable", True)) and roi.get("zs") not in (None, [])


def _region(number: int, roi: Any) -> Region:
    fields, zs = roi["scanfields"], roi["zs"]
    fields = fields if isinstance(fields, list) else [fields]
    zs = zs if isinstance(zs, list) else [zs]
    if len(zs) != len(fields):
        raise ValueError("as many depths as scanfields are expected")
    return Region(
        name=str(roi.get("name") or f"ROI {number}"),
        zs_um=tuple(float(each) for each in zs),
        fields=tuple(_field(each) for each in fields),
        discrete=bool(roi.get("discretePlaneMode", False)),
    )


def _field(stated: Any) -> Field:
    width, height = (int(each) for each in stated["pixelResolutionXY"])
    across, down = (float(each) for each in stated["sizeXY"])
    if not (0 < width < 1 << 20 and 0 < height < 1 << 20):
        raise ValueError(f"a scanfield of {width}x{height} pixels")
    return Field(height, width, (across, down))


def crops(
    path: Path,
    regions: Sequence[Region],
    region: Region,
    *,
    zs_um: Sequence[float],
    page_height: int,
    page_width: int,
    fly_lines: float | None,
) -> tuple[Crop | None, ...]:
    """Return where a region is in the page of each depth; None where it is not scanned.

    The lines between two regions follow from the page, which the depth with most lines fills; the fly-to time
    must agree.

    Raises
    ------
    InputFileError
        When the regions do not fill the page.
    """
    stacks = [[(each, each.at(z)) for each in regions] for z in zs_um]
    present = [[(each, field) for each, field in stack if field is not None] for stack in stacks]
    gap = _gap_lines(path, present, page_height, fly_lines)
    found: list[Crop | None] = []
    for stack in present:
        top, crop = 0, None
        for each, field in stack:
            if field.width > page_width or top + field.height > page_height:
                raise InputFileError(
                    path,
                    f"has pages of {page_height}x{page_width}, where the regions need "
                    f"{top + field.height}x{field.width}.",
                    "Its description of regions belongs to another file.",
                )
            if each is region:
                crop = Crop(top, 0, field.height, field.width)
            top += field.height + gap
        found.append(crop)
    return tuple(found)


def _gap_lines(
    path: Path, present: Sequence[Sequence[tuple[Region, Field]]], page_height: int, fly_lines: float | None
) -> int:
    fullest = max(present, key=lambda stack: (sum(field.height for _, field in stack), len(stack)))
    if len(fullest) < 2:
        return 0
    lines = sum(field.height for _, field in fullest)
    gap, rest = divmod(page_height - lines, len(fullest) - 1)
    if rest or gap < 0 or (fly_lines is not None and abs(gap - fly_lines) > MAX_LINE_DIFFERENCE):
        stated = "" if fly_lines is None else f" (fly-to time: {fly_lines:.1f} lines)"
        raise InputFileError(
            path,
            f"has pages of {page_height} lines, which {len(fullest)} regions of {lines} lines do not fill "
            f"with equal gaps{stated}.",
            "Its description of regions belongs to another file.",
        )
    return gap
