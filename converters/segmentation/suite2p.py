"""The Suite2p interface: ROIs, traces and summary images of one plane."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import DirectoryPath

from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.segmentation.rois import ArrayTraces, Column, RoiSet, SummaryImage, TraceKind
from nwbswitch.converters.segmentation.suite2p_folder import (
    ROI_NUMBERS,
    PlaneFolder,
    bad_frames,
    frame_rate_hz,
    open_plane,
    read_rois,
    read_traces,
    summary_images,
)
from nwbswitch.schemas.stream_base import RoiBasis

KINDS = {
    "F.npy": TraceKind.RAW,
    "Fneu.npy": TraceKind.NEUROPIL,
    "spks.npy": TraceKind.DECONVOLVED,
}
IMAGES = {
    "mean_image": "Mean of the registered movie, stored as (x, y).",
    "max_projection": "Maximum over time of the filtered movie, stored as (x, y); zero outside the crop.",
}
_VERSION = re.compile(r"[\w.+-]{1,40}")


class Suite2pInterface(RoiInterface):
    """One plane of Suite2p output; its pickles are read without running code.

    Parameters
    ----------
    folder_path : DirectoryPath
        The plane folder, the folder suite2p, or the folder around it.
    rate_hz : float, optional
        Frame rate, Hz; needed when the folder has no ops.npy or settings.npy.
    start_s : float
        Time of the first frame, s.
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
        self.plane = open_plane(Path(folder_path))
        super().__init__(
            suite2p_rois(self.plane),
            place=self.plane.path,
            rate_hz=rate_hz,
            start_s=start_s,
            roi_basis=roi_basis,
            cell_type=cell_type,
            depth_um=depth_um,
            metadata_key=metadata_key,
            source={
                "folder_path": folder_path,
                "rate_hz": rate_hz,
                "start_s": start_s,
                "roi_basis": roi_basis,
                "cell_type": cell_type,
                "depth_um": depth_um,
                "metadata_key": metadata_key,
            },
        )


def suite2p_rois(plane: PlaneFolder) -> RoiSet:
    """Return the ROIs of a plane folder; its traces stay on disk.

    Raises
    ------
    InputFileError, IssuesError
        When files are missing, damaged or do not fit together.
    """
    traces = read_traces(plane)
    n_rois, n_frames = traces["F.npy"].shape
    rois = read_rois(plane, n_rois=n_rois)
    columns = {
        "cell_probability": Column(
            "Probability of being a cell, by Suite2p's classifier.", rois.cell_probability
        )
    }
    if rois.tracking_ids:
        columns["tracking_id"] = Column(
            "Identity of the neuron across recording sessions.", rois.tracking_ids
        )
    columns |= {name: Column(ROI_NUMBERS[name], numbers) for name, numbers in rois.numbers.items()}
    stated = [plane.settings.get(key) for key in ("version", "suite2p_version")]
    versions = [each for each in stated if isinstance(each, str) and _VERSION.fullmatch(each)]
    return RoiSet(
        software="Suite2p",
        version=versions[0] if versions else "",
        accepted=rois.accepted,
        accepted_by="First column of iscell.npy.",
        traces={KINDS[name]: ArrayTraces(values) for name, values in traces.items()},
        pixels=rois.pixels,
        ends=rois.ends,
        columns=columns,
        images={name: SummaryImage(IMAGES[name], image) for name, image in summary_images(plane).items()},
        rate_hz=frame_rate_hz(plane),
        bad_frames=bad_frames(plane, n_frames=n_frames),
    )
