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
    "ome_tiff": Reader(Kind.MOVIE, "imaging.ome_tiff", "OmeTiffInterface"),
    "bruker": Reader(Kind.MOVIE, "imaging.bruker", "BrukerInterface"),
    "thor": Reader(Kind.MOVIE, "imaging.thor", "ThorInterface"),
    "scanbox": Reader(Kind.MOVIE, "imaging.scanbox", "ScanboxInterface"),
    "hdf5_stack": Reader(Kind.MOVIE, "imaging.hdf5_stack", "Hdf5StackInterface"),
    "inscopix": Reader(Kind.MOVIE, "imaging.inscopix", "InscopixInterface"),
    "femtonics": Reader(Kind.MOVIE, "imaging.femtonics", "FemtonicsInterface"),
    "suite2p": Reader(Kind.ROIS, "segmentation.suite2p", "Suite2pInterface"),
    "caiman": Reader(Kind.ROIS, "segmentation.caiman", "CaimanInterface"),
    "cnmfe": Reader(Kind.ROIS, "segmentation.cnmfe", "CnmfeInterface"),
    "extract": Reader(Kind.ROIS, "segmentation.extract", "ExtractInterface"),
    "inscopix_cells": Reader(Kind.ROIS, "segmentation.inscopix_cells", "InscopixCellsInterface"),
    "minian": Reader(Kind.ROIS, "segmentation.minian", "MinianInterface"),
    "imagej_rois": Reader(Kind.ROIS, "segmentation.imagej_rois", "ImagejRoisInterface"),
    "wheel_encoder": Reader(Kind.BEHAVIOR, "behavior.wheel_encoder", "WheelEncoderInterface"),
    "wheel_analog": Reader(Kind.BEHAVIOR, "behavior.wheel_analog", "WheelAnalogInterface"),
    "bpod_encoder": Reader(Kind.BEHAVIOR, "behavior.bpod_encoder", "BpodEncoderInterface"),
    "series": Reader(Kind.BEHAVIOR, "behavior.series", "SeriesInterface"),
    "deeplabcut": Reader(Kind.BEHAVIOR, "behavior.deeplabcut", "DeepLabCutInterface"),
    "lightning_pose": Reader(Kind.BEHAVIOR, "behavior.lightning_pose", "LightningPoseInterface"),
    "sleap": Reader(Kind.BEHAVIOR, "behavior.sleap", "SleapInterface"),
    "facemap_keypoints": Reader(Kind.BEHAVIOR, "behavior.facemap_keypoints", "FacemapKeypointsInterface"),
    "facemap": Reader(Kind.BEHAVIOR, "behavior.facemap", "FacemapInterface"),
    "video": Reader(Kind.IMAGE, "behavior.video", "VideoInterface"),
    "trials": Reader(Kind.BEHAVIOR, "behavior.trials", "TrialsInterface"),
    "stimuli": Reader(Kind.BEHAVIOR, "behavior.trials", "StimuliInterface"),
    "bpod": Reader(Kind.BEHAVIOR, "behavior.bpod", "BpodInterface"),
    "medpc": Reader(Kind.BEHAVIOR, "behavior.medpc", "MedPcInterface"),
    "wheel_csv": Reader(Kind.BEHAVIOR, "behavior.wheel_csv", "WheelCsvInterface"),
}
