"""The Suite2p interface: ROIs, traces and summary images into the processing module ophys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.common import VectorData, VectorIndex
from hdmf.data_utils import GenericDataChunkIterator
from neuroconv.basedatainterface import BaseDataInterface
from neuroconv.tools.nwb_helpers import get_module
from neuroconv.utils import DeepDict
from pydantic import DirectoryPath
from pynwb import NWBFile
from pynwb.base import Images, TimeSeries
from pynwb.image import GrayscaleImage
from pynwb.ophys import Fluorescence, ImageSegmentation, PlaneSegmentation, RoiResponseSeries

from nwbswitch.converters.imaging.imaging_plane import (
    PLANE_KEY,
    default_plane_metadata,
    entry,
    imaging_plane,
    with_ophys,
)
from nwbswitch.converters.segmentation.suite2p_folder import (
    ROI_NUMBERS,
    Rois,
    bad_frames,
    frame_rate_hz,
    open_plane,
    read_rois,
    read_traces,
    summary_images,
)
from nwbswitch.schemas.study import RoiBasis

STUB_FRAMES = 100
CHUNK_FRAMES = 500
CHUNK_BYTES = 10 << 20
BUFFER_BYTES = 128 << 20

_VERSION = re.compile(r"[\w.+-]{1,40}")
MODULE_DESCRIPTION = "Regions of interest and their fluorescence."
SERIES: dict[str, tuple[str, str]] = {
    "F.npy": ("RoiResponseSeries", "Raw fluorescence of each ROI, without neuropil correction."),
    "Fneu.npy": ("Neuropil", "Fluorescence of the neuropil around each ROI."),
    "spks.npy": ("Deconvolved", "Activity deconvolved from the neuropil-corrected fluorescence."),
}


class TraceChunks(GenericDataChunkIterator):  # type: ignore[misc]
    """Traces as NWB stores them, (frames, ROIs), from a memory map (ROIs, frames)."""

    def __init__(self, traces: np.ndarray[Any, Any], *, n_frames: int) -> None:
        self._traces = traces
        self._shape = (n_frames, traces.shape[0])
        frames = min(CHUNK_FRAMES, n_frames)
        rois = min(max(CHUNK_BYTES // (frames * traces.itemsize), 1), traces.shape[0])
        buffered = max(BUFFER_BYTES // (frames * traces.shape[0] * traces.itemsize), 1) * frames
        super().__init__(
            buffer_shape=(min(buffered, n_frames), traces.shape[0]),
            chunk_shape=(frames, rois),
        )

    def _get_data(self, selection: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        frames, rois = selection
        return np.ascontiguousarray(self._traces[rois, frames].T)

    def _get_maxshape(self) -> tuple[int, int]:
        return self._shape

    def _get_dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._traces.dtype
        return dtype.newbyteorder("=")


class Suite2pInterface(BaseDataInterface):  # type: ignore[misc]
    """One plane of Suite2p output; its pickles are read without running code.

    Parameters
    ----------
    folder_path : DirectoryPath
        The plane folder, the folder suite2p, or the folder around it.
    rate_hz : float, optional
        Frame rate, Hz; needed when the folder has no ops.npy or settings.npy.
    start_s : float
        Session time of the first frame, s.
    roi_basis : str
        How ROIs were found: activity, anatomical or unknown.
    cell_type : str
        Cell type of all ROIs.
    depth_um : float, optional
        Depth of the plane below the pia, um.
    metadata_key : str
        Key of this plane in metadata["Ophys"]["PlaneSegmentations"].
    """

    display_name = "Suite2p"
    keywords = ("segmentation", "roi", "fluorescence")
    associated_suffixes = (".npy",)
    info = "Reads ROIs, traces and summary images of one plane that Suite2p wrote."

    def __init__(
        self,
        *,
        folder_path: DirectoryPath,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        roi_basis: RoiBasis = "activity",
        cell_type: str = "unknown",
        depth_um: float | None = None,
        metadata_key: str = "suite2p",
    ) -> None:
        """Open the folder and check that its files fit together."""
        super().__init__(
            folder_path=folder_path,
            rate_hz=rate_hz,
            start_s=start_s,
            roi_basis=roi_basis,
            cell_type=cell_type,
            depth_um=depth_um,
            metadata_key=metadata_key,
        )
        self.plane = open_plane(Path(folder_path))
        self.rate_hz = frame_rate_hz(self.plane, rate_hz)
        self.start_s = start_s
        self.roi_basis = roi_basis
        self.cell_type = cell_type
        self.depth_um = depth_um
        self.metadata_key = metadata_key
        self.traces = read_traces(self.plane)
        self.bad_frames = bad_frames(self.plane, n_frames=self.n_frames)

    @property
    def n_rois(self) -> int:
        """Number of ROIs, accepted or not."""
        return int(self.traces["F.npy"].shape[0])

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return int(self.traces["F.npy"].shape[1])

    def get_metadata_schema(self) -> dict[str, Any]:
        """Return neuroconv's base schema with the imaging plane and the plane segmentation."""
        return with_ophys(super().get_metadata_schema(), "PlaneSegmentations")

    def get_metadata(self) -> DeepDict:
        """Return the default names; paths that Suite2p stores are left out on purpose."""
        metadata = super().get_metadata()
        own = default_plane_metadata()
        own["Ophys"]["PlaneSegmentations"] = {self.metadata_key: self._defaults()}
        metadata.deep_update(DeepDict(own))
        return metadata

    def _defaults(self) -> dict[str, str]:
        stated = [self.plane.settings.get(key) for key in ("version", "suite2p_version")]
        versions = [each for each in stated if isinstance(each, str) and _VERSION.fullmatch(each)]
        by = " ".join(["Suite2p", *versions[:1]])
        return {
            "name": "PlaneSegmentation",
            "description": f"All ROIs found by {by}; the column accepted tells which count as cells.",
            "imaging_plane_metadata_key": PLANE_KEY,
        }

    def add_to_nwbfile(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any] | None = None, *, stub: bool = False
    ) -> None:
        """Add ROIs, traces and images.

        Parameters
        ----------
        nwbfile : NWBFile
            Receives the processing module ophys.
        metadata : dict
            As from get_metadata.
        stub : bool
            Take the first 100 frames only.
        """
        metadata = self.get_metadata() if metadata is None else metadata
        fields = entry(metadata, "PlaneSegmentations", self.metadata_key, self._defaults())
        rois = read_rois(self.plane, n_rois=self.n_rois)
        segmentation = self._segmentation(nwbfile, metadata, fields, rois)
        module = get_module(nwbfile, "ophys", MODULE_DESCRIPTION)
        module.add(ImageSegmentation(plane_segmentations=[segmentation]))
        n_frames = min(self.n_frames, STUB_FRAMES) if stub else self.n_frames
        fluorescence = Fluorescence()
        module.add(fluorescence)
        for file_name, (name, description) in SERIES.items():
            fluorescence.add_roi_response_series(
                RoiResponseSeries(
                    name=name,
                    description=description,
                    data=H5DataIO(
                        TraceChunks(self.traces[file_name], n_frames=n_frames),
                        compression="gzip",
                        compression_opts=4,
                        shuffle=True,
                    ),
                    unit="n.a.",
                    rois=segmentation.create_roi_table_region(
                        region=list(range(len(rois))), description="All rows of the plane segmentation."
                    ),
                    starting_time=float(self.start_s),
                    rate=float(self.rate_hz),
                )
            )
        if self.bad_frames is not None:
            module.add(
                TimeSeries(
                    name="bad_frames",
                    description="Frames that Suite2p found too displaced to be used (true), one per frame.",
                    data=H5DataIO(self.bad_frames[:n_frames], compression="gzip"),
                    unit="n.a.",
                    starting_time=float(self.start_s),
                    rate=float(self.rate_hz),
                )
            )
        images = summary_images(self.plane)
        if images:
            module.add(_images(images))

    def _segmentation(
        self, nwbfile: NWBFile, metadata: Mapping[str, Any], fields: Mapping[str, Any], rois: Rois
    ) -> PlaneSegmentation:
        pixels = VectorData(
            name="pixel_mask",
            description="Pixels (x, y, weight) of each ROI, in the axes of the movie and the images.",
            data=rois.pixels,
        )
        columns = [
            pixels,
            VectorIndex(name="pixel_mask_index", data=rois.ends, target=pixels),
            *self._columns(rois),
        ]
        return PlaneSegmentation(
            name=fields["name"],
            description=fields["description"],
            imaging_plane=imaging_plane(nwbfile, metadata, key=fields["imaging_plane_metadata_key"]),
            columns=columns,
            colnames=[column.name for column in columns if not isinstance(column, VectorIndex)],
            id=list(range(len(rois))),
        )

    def _columns(self, rois: Rois) -> list[VectorData]:
        values: list[tuple[str, str, Any]] = [
            ("accepted", "Whether the ROI counts as a cell (first column of iscell.npy).", rois.accepted),
            (
                "cell_probability",
                "Probability of being a cell, by Suite2p's classifier.",
                rois.cell_probability,
            ),
            ("cell_type", "Cell type, as stated for the recording.", [self.cell_type] * len(rois)),
            (
                "roi_basis",
                "How ROIs were found: activity, anatomical or unknown.",
                [self.roi_basis] * len(rois),
            ),
        ]
        if self.depth_um is not None:
            depths = np.full(len(rois), float(self.depth_um))
            values.append(("depth_um", "Depth of the imaging plane below the pia, um.", depths))
        if rois.tracking_ids:
            values.append(
                ("tracking_id", "Identity of the neuron across recording sessions.", list(rois.tracking_ids))
            )
        values += [(name, ROI_NUMBERS[name], numbers) for name, numbers in rois.numbers.items()]
        return [VectorData(name=name, description=text, data=data) for name, text, data in values]


def _images(images: Mapping[str, np.ndarray[Any, Any]]) -> Images:
    descriptions = {
        "mean_image": "Mean of the registered movie, stored as (x, y).",
        "max_projection": "Maximum over time of the filtered movie, stored as (x, y); zero outside the crop.",
    }
    return Images(
        name="SegmentationImages",
        description="Summary images that Suite2p computed.",
        images=[
            GrayscaleImage(name=name, description=descriptions[name], data=np.ascontiguousarray(image.T))
            for name, image in images.items()
        ],
    )
