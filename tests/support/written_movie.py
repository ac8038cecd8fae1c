"""A movie interface written to an NWB file and read back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from pynwb import NWBFile

from nwbswitch.converters.imaging.movie_interface import MovieInterface
from nwbswitch.converters.writing.nwb_writer import write_nwb


class Written(NamedTuple):
    """A series as the file holds it; ``times_s`` is None where it has a rate."""

    kind: str
    data: np.ndarray
    attributes: dict[str, Any]
    start_s: float | None
    rate_hz: float | None
    times_s: np.ndarray | None
    description: str


def written(interface: MovieInterface, path: Path, *, stub: bool = False) -> Written:
    """Write the movie with the metadata that its interface gives, and close it."""
    nwbfile = NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC))
    interface.add_to_nwbfile(nwbfile, interface.get_metadata(), stub=stub)
    write_nwb(nwbfile, path)
    interface.close()
    with h5py.File(path) as file:
        (series,) = file["acquisition"].values()
        start = series.get("starting_time")
        return Written(
            series.attrs["neurodata_type"],
            series["data"][:],
            dict(series["data"].attrs),
            None if start is None else float(start[()]),
            None if start is None else float(start.attrs["rate"]),
            series["timestamps"][:] if "timestamps" in series else None,
            series.attrs["description"],
        )


def corner_movie(n_frames: int = 5, height: int = 4, width: int = 7) -> np.ndarray:
    """Return an asymmetric movie (frames, height, width): every pixel of every frame is another number."""
    return np.arange(n_frames * height * width, dtype=np.uint16).reshape(n_frames, height, width)
