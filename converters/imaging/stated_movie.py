"""Movies whose files state the size of a pixel: it goes to the imaging plane unless the study states one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuroconv.utils import DeepDict
from pynwb import NWBFile

from nwbswitch.converters.imaging.imaging_plane import PLANE_KEY, default_plane_metadata, entry
from nwbswitch.converters.imaging.movie_interface import MovieInterface


class StatedMovieInterface(MovieInterface):
    """A movie with a pixel size of its own."""

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Size of a pixel along x and y, um, as the (first) file states it."""
        first = getattr(self.movie, "movies", [self.movie])[0]
        return getattr(first, "pixel_size_um", None)

    def get_metadata(self) -> DeepDict:
        """Return the default names, the session start and the grid spacing as the files state them."""
        metadata = super().get_metadata()
        metadata["Ophys"]["ImagingPlanes"][PLANE_KEY].update(self._grid())
        return metadata

    def _grid(self) -> dict[str, Any]:
        size = self.pixel_size_um
        if size is None:
            return {}
        # A tuple: neuroconv's update of nested dictionaries drops values from lists that repeat.
        return {"grid_spacing": tuple(each * 1e-6 for each in size), "grid_spacing_unit": "meters"}

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add the movie to the acquisition.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the series.
        metadata : dict
            As from get_metadata.
        stub : bool
            Take the first 100 frames only.
        """
        metadata = self.get_metadata() if metadata is None else metadata
        super().add_to_nwbfile(nwbfile, self._with_grid(metadata), stub=stub)

    def _with_grid(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return metadata whose imaging plane has a grid spacing if the files state one and it has none."""
        series = entry(metadata, "MicroscopySeries", self.metadata_key, self._defaults())
        key = series["imaging_plane_metadata_key"]
        defaults = default_plane_metadata()["Ophys"]["ImagingPlanes"][PLANE_KEY]
        plane = {**self._grid(), **entry(metadata, "ImagingPlanes", key, defaults)}
        if "grid_spacing" in plane:
            plane["grid_spacing"] = list(plane["grid_spacing"])
        ophys = dict(metadata.get("Ophys", {}))
        ophys["ImagingPlanes"] = {**ophys.get("ImagingPlanes", {}), key: plane}
        return {**metadata, "Ophys": ophys}
