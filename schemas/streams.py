"""Every format that a stream of a study file may have."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nwbswitch.schemas.stream_base import StreamBase
from nwbswitch.schemas.streams_binary_movies import FemtonicsMovie, Hdf5Stack, InscopixMovie, ScanboxMovie
from nwbswitch.schemas.streams_pose import DeepLabCut, Facemap, FacemapKeypoints, LightningPose, Sleap
from nwbswitch.schemas.streams_segmentation import (
    CaimanFile,
    CnmfeFile,
    ExtractFile,
    ImagejRois,
    InscopixCells,
    MinianFolder,
)
from nwbswitch.schemas.streams_signals import BpodEncoder, SignalSeries, WheelAnalog, WheelEncoder
from nwbswitch.schemas.streams_suite2p import Suite2pFolder
from nwbswitch.schemas.streams_tiff import (
    BrukerTSeries,
    OmeTiffMovie,
    ScanImageMovie,
    ThorMovie,
    TiffMovie,
)
from nwbswitch.schemas.streams_trials import BpodTrials, MedPcEvents, StimulusTable, TrialTable
from nwbswitch.schemas.streams_video import Video
from nwbswitch.schemas.streams_wheel import WheelCsv

Stream = Annotated[
    TiffMovie
    | ScanImageMovie
    | OmeTiffMovie
    | BrukerTSeries
    | ThorMovie
    | ScanboxMovie
    | Hdf5Stack
    | InscopixMovie
    | FemtonicsMovie
    | Suite2pFolder
    | CaimanFile
    | CnmfeFile
    | ExtractFile
    | InscopixCells
    | MinianFolder
    | ImagejRois
    | WheelCsv
    | WheelEncoder
    | WheelAnalog
    | BpodEncoder
    | SignalSeries
    | DeepLabCut
    | LightningPose
    | Sleap
    | FacemapKeypoints
    | Facemap
    | Video
    | TrialTable
    | StimulusTable
    | BpodTrials
    | MedPcEvents,
    Field(discriminator="format"),
]

FORMATS: dict[str, type[StreamBase]] = {
    "tiff_movie": TiffMovie,
    "scanimage": ScanImageMovie,
    "ome_tiff": OmeTiffMovie,
    "bruker": BrukerTSeries,
    "thor": ThorMovie,
    "scanbox": ScanboxMovie,
    "hdf5_stack": Hdf5Stack,
    "inscopix": InscopixMovie,
    "femtonics": FemtonicsMovie,
    "suite2p": Suite2pFolder,
    "caiman": CaimanFile,
    "cnmfe": CnmfeFile,
    "extract": ExtractFile,
    "inscopix_cells": InscopixCells,
    "minian": MinianFolder,
    "imagej_rois": ImagejRois,
    "wheel_csv": WheelCsv,
    "wheel_encoder": WheelEncoder,
    "wheel_analog": WheelAnalog,
    "bpod_encoder": BpodEncoder,
    "series": SignalSeries,
    "deeplabcut": DeepLabCut,
    "lightning_pose": LightningPose,
    "sleap": Sleap,
    "facemap_keypoints": FacemapKeypoints,
    "facemap": Facemap,
    "video": Video,
    "trials": TrialTable,
    "stimuli": StimulusTable,
    "bpod": BpodTrials,
    "medpc": MedPcEvents,
}

FOLDER_FORMATS: frozenset[str] = frozenset({"bruker", "minian", "suite2p", "thor"})
"""Formats whose path is a folder."""
