"""Which interface reads which stream format of a study file."""

from __future__ import annotations

from neuroconv.basedatainterface import BaseDataInterface

from nwbswitch.converters.segmentation.suite2p import Suite2pInterface
from nwbswitch.converters.imaging.tiff_movie import TiffMovieInterface
from nwbswitch.converters.behavior.wheel_csv import WheelCsvInterface

INTERFACES: dict[str, type[BaseDataInterface]] = {
    "tiff_movie": TiffMovieInterface,
    "suite2p": Suite2pInterface,
    "wheel_csv": WheelCsvInterface,
}
