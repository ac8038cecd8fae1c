"""Every format that a stream of a study file may have."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nwbswitch.schemas.stream_base import StreamBase
from nwbswitch.schemas.streams_binary_movies import FemtonicsMovie, Hdf5Stack, InscopixMovie, ScanboxMovie
from nwbswitch.schemas.streams_suite2p import Suite2pFolder
from nwbswitch.schemas.streams_tiff import TiffMovie
from nwbswitch.schemas.streams_wheel import WheelCsv

Stream = Annotated[
    TiffMovie | ScanboxMovie | Hdf5Stack | InscopixMovie | FemtonicsMovie | Suite2pFolder | WheelCsv,
    Field(discriminator="format"),
]

FORMATS: dict[str, type[StreamBase]] = {
    "tiff_movie": TiffMovie,
    "scanbox": ScanboxMovie,
    "hdf5_stack": Hdf5Stack,
    "inscopix": InscopixMovie,
    "femtonics": FemtonicsMovie,
    "suite2p": Suite2pFolder,
    "wheel_csv": WheelCsv,
}

FOLDER_FORMATS: frozenset[str] = frozenset({"suite2p"})
"""Formats whose path is a folder."""
