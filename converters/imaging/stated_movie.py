"""Movies whose files state the size of a pixel: it goes to the imaging plane unless the study states one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

from pynwb import NWBFile
from pynwb.ophys import ImagingPlane

from nwbswitch.converters.imaging.imaging_plane import PLANE_KEY, default_plane_metadata, entry
from nwbswitch.converters.imaging.joined_movie import JoinedMovie
from nwbswitch.converters.imaging.movie import Movie
from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.schemas.errors import InputFileError

_ROUNDING = 1e-3
"""Relative difference below which two stated sizes are one."""


class StatedMovieInterface(MovieInterface):
    """A movie with a pixel size of its own; parameters as of MovieInterface.

    Attributes
    ----------
    pixel_size_um
        Size of a pixel along x and y, um; None when the files do not state it.
    """

    pixel_size_um: tuple[float, float] | None

    def _take_facts(self, movie: Movie) -> None:
        self.pixel_size_um = _pixel_size_um(movie)

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the movie to the acquisition, and the size of its pixels to the imaging plane.

        A plane that another movie with pixels of another size has taken is not shared: this movie gets one
        of its own, named after ``metadata_key``.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the series.
        metadata : dict
            As from get_metadata. A ``grid_spacing`` of the imaging plane there is taken instead.
        stub : bool
            Take the first 100 frames only.
        """
        metadata = self.get_metadata() if metadata is None else metadata
        super().add_to_nwbfile(nwbfile, self._with_grid(nwbfile, metadata), stub=stub)

    def _with_grid(self, nwbfile: NWBFile, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return metadata whose imaging plane has a grid spacing if the files state one and it has none."""
        size = self.pixel_size_um
        series = entry(metadata, "MicroscopySeries", self.metadata_key, self._defaults())
        key = series["imaging_plane_metadata_key"]
        defaults = default_plane_metadata()["Ophys"]["ImagingPlanes"][PLANE_KEY]
        plane = entry(metadata, "ImagingPlanes", key, defaults)
        if size is None or "grid_spacing" in plane:
            return metadata
        spacing_m = [each * 1e-6 for each in size]
        there = nwbfile.imaging_planes.get(plane["name"])
        if there is not None and there.grid_spacing is None and not _filmed(nwbfile, there):
            there.grid_spacing = spacing_m
        elif there is not None and not _same(there.grid_spacing, spacing_m):
            key = f"{key}_{self.metadata_key}"
            plane["name"] = f"{plane['name']}_{self.metadata_key}"
        plane |= {"grid_spacing": spacing_m, "grid_spacing_unit": "meters"}
        ophys = dict(metadata.get("Ophys", {}))
        ophys["ImagingPlanes"] = {**ophys.get("ImagingPlanes", {}), key: plane}
        ophys["MicroscopySeries"] = {
            **ophys.get("MicroscopySeries", {}),
            self.metadata_key: {**series, "imaging_plane_metadata_key": key},
        }
        return {**metadata, "Ophys": ophys}


def _pixel_size_um(movie: Movie) -> tuple[float, float] | None:
    """Return the size of a pixel along x and y, um, that the first of the files states."""
    if not isinstance(movie, JoinedMovie):
        return getattr(movie, "pixel_size_um", None)
    sizes = [getattr(each, "pixel_size_um", None) for each in movie.movies]
    for path, size in zip(movie.paths, sizes, strict=True):
        if size is not None and sizes[0] is not None and not _same(size, sizes[0]):
            raise InputFileError(
                path,
                f"has pixels of {size[0]:g} x {size[1]:g} um, {movie.paths[0].name} of {sizes[0][0]:g} x "
                f"{sizes[0][1]:g} um.",
                "Files of one movie have one zoom; make the others a stream of their own.",
            )
    return sizes[0]


def _same(size: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    if size is None or other is None:
        return False
    return all(isclose(a, b, rel_tol=_ROUNDING) for a, b in zip(size, other, strict=False))


def _filmed(nwbfile: NWBFile, plane: ImagingPlane) -> bool:
    """Return whether a movie of this file, whose pixel size is not known, has the plane."""
    return any(getattr(each, "imaging_plane", None) is plane for each in nwbfile.acquisition.values())
