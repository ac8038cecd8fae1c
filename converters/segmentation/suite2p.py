"""The Suite2p interface: ROIs, traces and summary images of one plane."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from pydantic import DirectoryPath

from nwbswitch.converters.segmentation.roi_interface import RoiInterface
from nwbswitch.converters.segmentation.rois import Column, RoiSet, SummaryImage, TraceKind
from nwbswitch.converters.segmentation.suite2p_folder import (
    PlaneFolder,
    bad_frames,
    frame_rate_hz,
    open_plane,
    rate_note,
    roi_basis,
    run_frames,
    summary_images,
)
from nwbswitch.converters.segmentation.suite2p_rois import ROI_NUMBERS, Rois, read_rois, read_traces
from nwbswitch.schemas.stream_base import RoiBasis

KINDS = {
    "F": TraceKind.RAW,
    "Fneu": TraceKind.NEUROPIL,
    "spks": TraceKind.DECONVOLVED,
    "F_chan2": TraceKind.SECOND_CHANNEL,
    "Fneu_chan2": TraceKind.SECOND_CHANNEL_NEUROPIL,
}
IMAGES = {
    "mean_image": "Mean of the registered movie, stored as (x, y).",
    "mean_image_second_channel": "Mean of the second channel of the registered movie, stored as (x, y).",
    "max_projection": "Maximum over time of the filtered movie, stored as (x, y); zero outside the crop.",
    "correlation_image": "Correlation of neighbouring pixels, stored as (x, y); zero outside the crop.",
}
_VERSION = re.compile(r"[\w.+-]{1,40}")


class Suite2pInterface(RoiInterface):
    """One plane of Suite2p output; its pickles are read without running code.

    Parameters
    ----------
    folder_path : DirectoryPath
        The plane folder, the folder suite2p, or the folder around it.
    plane : int, optional
        Which plane, where there are several.
    rate_hz : float, optional
        Frame rate of the plane, Hz; needed when the settings of Suite2p are not there.
    start_s : float
        Time of the first frame, s.
    roi_basis : str, optional
        How ROIs were found: activity, anatomical or unknown; by default as the settings of Suite2p say.
    cell_type : str
        Cell type of all ROIs.
    depth_um : float, optional
        Depth of the plane below the pia, um.
    metadata_key : str
        Key of this plane in metadata["Ophys"]["PlaneSegmentations"].
    """

    display_name = "Suite2p"
    associated_suffixes = (".npy", ".mat")
    info = "Reads ROIs, traces and summary images of one plane that Suite2p wrote."

    def __init__(
        self,
        *,
        folder_path: DirectoryPath,
        plane: int | None = None,
        rate_hz: float | None = None,
        start_s: float = 0.0,
        roi_basis: RoiBasis | None = None,
        cell_type: str = "unknown",
        depth_um: float | None = None,
        metadata_key: str = "suite2p",
    ) -> None:
        """Open the folder and check that its files fit together."""
        self.plane = open_plane(Path(folder_path), plane)
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
                "plane": plane,
            },
        )


def suite2p_rois(plane: PlaneFolder) -> RoiSet:
    """Return the ROIs of a plane folder; its traces stay on disk.

    Raises
    ------
    InputFileError, IssuesError
        When files are missing, damaged or do not fit together.
    """
    with ExitStack() as files:
        traces = read_traces(plane, files)
        n_rois, n_frames = traces["F"].shape
        rois = read_rois(plane, n_rois=n_rois)
        stated = [plane.settings.get(key) for key in ("version", "suite2p_version")]
        versions = [each for each in stated if isinstance(each, str) and _VERSION.fullmatch(each)]
        judged = rois.cells is not None
        return RoiSet(
            software="Suite2p",
            version=versions[0] if versions else "",
            accepted=rois.cells.flags if rois.cells is not None else np.ones(n_rois, bool),
            accepted_by="First column of iscell." if judged else "iscell is not there: every ROI counts.",
            traces={KINDS[name]: values for name, values in traces.items()},
            pixels=rois.pixels,
            ends=rois.ends,
            columns=_columns(rois),
            images={name: SummaryImage(IMAGES[name], image) for name, image in summary_images(plane).items()},
            rate_hz=frame_rate_hz(plane),
            rate_note=rate_note(plane),
            bad_frames=bad_frames(plane, n_frames=n_frames),
            roi_basis=roi_basis(plane),
            trace_notes={KINDS[name]: f"Suite2p's {name}." for name in traces},
            run_frames=run_frames(plane, n_frames=n_frames),
            open_files=files.pop_all(),
        )


def _columns(rois: Rois) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    if rois.cells is not None and rois.cells.probability is not None:
        columns["cell_probability"] = Column(
            "Probability of being a cell, by Suite2p's classifier.", rois.cells.probability
        )
    if rois.red is not None:
        columns["red_cell"] = Column(
            "Whether the ROI is bright in the second channel; first column of Suite2p's redcell.",
            rois.red.flags,
        )
        if rois.red.probability is not None:
            columns["red_cell_probability"] = Column(
                "How bright the ROI is in the second channel; second column of Suite2p's redcell.",
                rois.red.probability,
            )
    if rois.tracking_ids:
        columns["tracking_id"] = Column(
            "Identity of the neuron across recording sessions.", rois.tracking_ids
        )
    return columns | {name: Column(ROI_NUMBERS[name], numbers) for name, numbers in rois.numbers.items()}
