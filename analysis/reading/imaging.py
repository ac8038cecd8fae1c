"""What a file says about an imaging plane: indicator, area, layer, depth, rate and the size of its pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nwbswitch.analysis.reading.depths import MAX_DEPTH_UM, UM_PER_UNIT, depths_in, is_from_surface
from nwbswitch.analysis.reading.regions import UNKNOWN, Structure, imaged_structure, structure_in
from nwbswitch.analysis.reading.stored_values import (
    dataset_at,
    fact,
    group_at,
    neurodata_type,
    numbers_of,
    stated,
    text_of,
)
from nwbswitch.analysis.reading.subjects import stated_species
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import FILL_IN, proposal

if TYPE_CHECKING:
    import h5py

PLANE_LINKS = ("imaging_plane", "imaging_space", "planar_imaging_space")
"""What segmentations call their imaging plane: in core NWB and in ndx-microscopy."""
PLANE_TYPES = frozenset({"ImagingPlane", "PlanarImagingSpace", "VolumetricImagingSpace"})
PIXEL_UM = (0.02, 200.0)
"""Sizes of pixels between which the unit of a file is believed."""
MAX_RATE_HZ = 20_000.0
MAX_SHOWN = 5
"""Words that are told one by one; a column may hold another one in each row."""


@dataclass(frozen=True, slots=True)
class ImagingFacts:
    """An imaging plane as its file states it."""

    path: str
    """Path of the imaging plane; empty where there is none."""
    description: str
    indicator: str
    structure: Structure
    depth_um: float
    """Below the surface of the brain; NaN where it is not stated with its unit."""
    rate_hz: float | None
    pixel_um: tuple[float, ...] | None
    """Size of a pixel along x, y and, of volumes, z."""
    excitation_nm: float | None

    @property
    def region(self) -> str:
        """Allen acronym, or the file's own word."""
        return self.structure.region

    @property
    def layer(self) -> str:
        """Layer of the cortex."""
        return self.structure.layer


def imaging_facts(
    nwb: h5py.File, segmentation: h5py.Group | None, *, found: list[Issue], name: str
) -> ImagingFacts:
    """Return what a file says about the imaging plane of a segmentation.

    Without a segmentation the only imaging plane of the file is taken, where there is one.

    Parameters
    ----------
    nwb
        The open file.
    segmentation
        Plane segmentation, or None for traces that name none.
    found
        Receives findings.
    name
        What messages call the file.
    """
    plane = _plane(nwb, segmentation)
    if plane is None:
        item = "/general/optophysiology" if segmentation is None else str(segmentation.name)
        problem = "No imaging plane belongs to the traces: region, depth and indicator are unknown."
        found.append(issue("not-stated", problem, place=Place(name, item=item)))
        return ImagingFacts("", "", "", Structure(UNKNOWN, "", ""), math.nan, None, None, None)
    reader = _Reader(nwb, plane, name, found)
    return ImagingFacts(
        path=str(plane.name),
        description=stated(fact(plane, "description")),
        indicator=stated(fact(plane, "indicator")),
        structure=reader.structure(),
        depth_um=reader.depth_um(),
        rate_hz=_positive(numbers_of(fact(plane, "imaging_rate")), MAX_RATE_HZ),
        pixel_um=reader.pixel_um(),
        excitation_nm=_positive(numbers_of(fact(plane, "excitation_lambda")), 10_000.0),
    )


def _plane(nwb: h5py.File, segmentation: h5py.Group | None) -> h5py.Group | None:
    for link in PLANE_LINKS if segmentation is not None else ():
        plane = group_at(segmentation, link)
        if plane is not None:
            return plane
    planes = _planes(nwb)
    return planes[0] if len(planes) == 1 and segmentation is None else None


def _planes(nwb: h5py.File) -> list[h5py.Group]:
    optics = group_at(nwb, "general/optophysiology")
    inside = [] if optics is None else [group_at(optics, each) for each in optics]
    return [each for each in inside if each is not None and neurodata_type(each) in PLANE_TYPES]


def _positive(values: tuple[float, ...], most: float) -> float | None:
    return values[0] if len(values) == 1 and 0 < values[0] <= most else None


@dataclass(frozen=True, slots=True)
class _Reader:
    nwb: h5py.File
    plane: h5py.Group
    name: str
    found: list[Issue]

    def find(self, code: str, message: str, *, field: str, remedy: str = "") -> None:
        place = Place(self.name, item=f"{self.plane.name}/{field}")
        self.found.append(issue(code, message, place=place, remedy=remedy))

    def structure(self) -> Structure:
        """Return the area of the plane by its location; an area that only the description names is proposed.

        A layer is taken from the description too, where the location has none.
        """
        species = stated_species(self.nwb)
        found = imaged_structure(structure_in(text_of(fact(self.plane, "location")), species=species))
        report_structure(found, found=self.found, place=self.place("location"), name=self.name)
        described = structure_in(stated(fact(self.plane, "description")), species=species)
        if found.region == UNKNOWN and not found.candidates and described.is_known:
            layer = {"layer": described.layer} if described.layer else {}
            problem = f"The location is not stated; the description {described.stated[:80]!r} hints at it."
            remedy = proposal(self.name, {"region": described.region} | layer)
            self.find("proposed-value", problem, field="description", remedy=remedy)
        return replace(found, layer=found.layer or described.layer)

    def place(self, field: str) -> Place:
        return Place(self.name, item=f"{self.plane.name}/{field}")

    def depth_um(self) -> float:
        """Return the depth by words, coordinates and metadata of the Allen Institute, where they agree."""
        stated_um: dict[str, float] = {}
        for field in ("description", "location"):
            depths = depths_in(stated(fact(self.plane, field)))
            stated_um |= {field if len(depths) == 1 else f"{field} {each:g} um": each for each in depths}
        coordinate = self._origin_depth_um()
        if coordinate is not None:
            stated_um["origin_coords"] = coordinate
        allen = self._allen_depth_um()
        if allen is not None:
            stated_um["imaging_depth"] = allen
        if not stated_um:
            return math.nan
        if max(stated_um.values()) - min(stated_um.values()) > 1.0:
            several = ", ".join(f"{where}: {depth:g} um" for where, depth in stated_um.items())
            remedy = proposal(self.name, {"depth_um": FILL_IN})
            problem = f"Several depths are stated ({several}); none is used."
            self.find("unclear-value", problem, field="description", remedy=remedy)
            return math.nan
        return next(iter(stated_um.values()))

    def _origin_depth_um(self) -> float | None:
        origin = fact(self.plane, "origin_coords")
        values = numbers_of(origin)
        unit_um = UM_PER_UNIT.get(stated(getattr(origin, "attrs", {}).get("unit")).casefold())
        frame = stated(fact(self.plane, "reference_frame"))
        if len(values) != 3 or unit_um is None or not is_from_surface(frame):
            return None
        depth_um = abs(values[2]) * unit_um
        return depth_um if 0 < depth_um <= MAX_DEPTH_UM else None

    def _allen_depth_um(self) -> float | None:
        """Return ``imaging_depth`` of the Allen Institute's metadata, defined in um below the surface."""
        general = group_at(self.nwb, "general")
        if general is None or len(_planes(self.nwb)) != 1:
            return None
        for each in general:
            group = group_at(general, each) if each not in ("optophysiology", "devices", "subject") else None
            if group is not None and neurodata_type(group) == "OphysBehaviorMetadata":
                return _positive(numbers_of(fact(group, "imaging_depth")), MAX_DEPTH_UM)
        return None

    def pixel_um(self) -> tuple[float, ...] | None:
        """Return the size of a pixel, where its unit can be believed."""
        spacing = dataset_at(self.plane, "grid_spacing")
        in_um = dataset_at(self.plane, "grid_spacing_in_um")
        values = numbers_of(spacing if in_um is None else in_um)
        if len(values) not in (2, 3) or not all(value > 0 for value in values):
            return None
        unit = "um" if in_um is not None else stated(spacing.attrs.get("unit") if spacing is not None else "")
        size_um = tuple(value * UM_PER_UNIT.get(unit.casefold(), math.nan) for value in values)
        if all(PIXEL_UM[0] <= each <= PIXEL_UM[1] for each in size_um[:2]):
            return size_um
        shown = " x ".join(f"{value:g}" for value in values)
        problem = f"A pixel of {shown} {unit or 'of no unit'} is not believed; shifts of frames have no size."
        self.find("unclear-value", problem, field="grid_spacing", remedy="Mend its unit in the file.")
        return None


def report_structures(
    structures: Iterable[Structure], *, found: list[Issue], place: Place, name: str
) -> None:
    """Do what `report_structure` does for several; of many, the first ones and their number are told."""
    each_found: list[Issue] = []
    for structure in structures:
        report_structure(structure, found=each_found, place=place, name=name)
    found += each_found[:MAX_SHOWN]
    if len(each_found) > MAX_SHOWN:
        problem = f"So it is with {len(each_found) - MAX_SHOWN} further words for areas."
        found.append(issue("unclear-region", problem, place=place))


def report_structure(structure: Structure, *, found: list[Issue], place: Place, name: str) -> None:
    """Add a finding where the words for an area name several structures, or none that is known."""
    if structure.is_known or structure.is_foreign:
        return
    if structure.region == UNKNOWN and not structure.candidates:
        return
    words = structure.stated[:80]
    if structure.candidates:
        several = ", ".join(structure.candidates[:9])
        problem = f"{words!r} is not one structure of the Allen CCF (it may be {several})."
    else:
        problem = f"{words!r} is no structure that is known; it is kept as it is."
    remedy = proposal(name, {"region": FILL_IN})
    found.append(issue("unclear-region", problem, place=place, remedy=remedy))
