"""Which interface reads which stream format of a study file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from neuroconv.basedatainterface import BaseDataInterface


class Kind(StrEnum):
    """What a stream is; it decides the order of writing and the name of the file."""

    MOVIE = "movie"
    ROIS = "rois"
    BEHAVIOR = "behavior"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Reader:
    """Where the interface of a format is, below nwbswitch.converters, and what it reads."""

    kind: Kind
    module: str
    name: str

    def load(self) -> type[BaseDataInterface]:
        """Return the interface class."""
        module = import_module(f"nwbswitch.converters.{self.module}")
        return cast("type[BaseDataInterface]", getattr(module, self.name))


READERS: dict[str, Reader] = {
    "tiff_movie": Reader(Kind.MOVIE, "imaging.tiff_movie", "TiffMovieInterface"),
    "scanimage": Reader(Kind.MOVIE, "imaging.scanimage", "ScanImageInterface"),
    "scanbox": Reader(Kind.MOVIE, "imaging.scanbox", "ScanboxInterface"),
    "hdf5_stack": Reader(Kind.MOVIE, "imaging.hdf5_stack", "Hdf5StackInterface"),
    "inscopix": Reader(Kind.MOVIE, "imaging.inscopix", "InscopixInterface"),
    "femtonics": Reader(Kind.MOVIE, "imaging.femtonics", "FemtonicsInterface"),
    "suite2p": Reader(Kind.ROIS, "segmentation.suite2p", "Suite2pInterface"),
    "wheel_csv": Reader(Kind.BEHAVIOR, "behavior.wheel_csv", "WheelCsvInterface"),
}
