"""A small NWB file as a lab may have converted it years ago: ROIs and traces, and nothing about drugs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hdmf.backends.hdf5.h5_utils import H5DataIO
from pynwb import NWBHDF5IO, NWBFile
from pynwb.file import Subject
from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel

N_ROIS, N_FRAMES, RATE_HZ = 4, 600, 5.0


def write_old_nwb(
    path: Path, *, subject_id: str = "m1", session_id: str | None = "day1", planes: int = 1, **fields: Any
) -> Path:
    """Write a file of 120 s with four ROIs per plane; traces are shuffled, compressed and chunked."""
    nwbfile = NWBFile(
        session_description="Spontaneous activity.",
        identifier=f"{subject_id}-{session_id}",
        session_start_time=datetime(2019, 5, 1, 10, tzinfo=UTC),
        session_id=session_id,
        **fields,
    )
    nwbfile.subject = Subject(
        subject_id=subject_id, species="Mus musculus", sex="F", age="P90D", description="A mouse."
    )
    device = nwbfile.create_device(name="Microscope", description="A microscope.")
    plane = nwbfile.create_imaging_plane(
        name="ImagingPlane",
        description="A plane.",
        device=device,
        optical_channel=OpticalChannel(name="Green", description="Green.", emission_lambda=510.0),
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="VISp",
    )
    module = nwbfile.create_processing_module("ophys", "Traces.")
    segmentation, fluorescence = ImageSegmentation(), Fluorescence()
    module.add([segmentation, fluorescence])
    rng = np.random.default_rng(0)
    for number in range(planes):
        suffix = str(number) if planes > 1 else ""
        table = segmentation.create_plane_segmentation(
            name=f"PlaneSegmentation{suffix}", description="ROIs.", imaging_plane=plane
        )
        table.add_column("accepted", "Whether the ROI counts as a cell.")
        for roi in range(N_ROIS):
            table.add_roi(pixel_mask=[(roi, roi, 1.0), (roi, roi + 1, 1.0)], accepted=roi != 3)
        fluorescence.create_roi_response_series(
            name=f"RoiResponseSeries{suffix}",
            description="Raw fluorescence.",
            data=H5DataIO(
                rng.normal(100, 5, (N_FRAMES, N_ROIS)).astype(np.float32),
                compression="gzip",
                compression_opts=6,
                shuffle=True,
                chunks=(100, N_ROIS),
            ),
            rois=table.create_roi_table_region(region=list(range(N_ROIS)), description="All."),
            unit="n.a.",
            rate=RATE_HZ,
            starting_time=0.0,
        )
    with NWBHDF5IO(path, "w") as io:
        io.write(nwbfile)
    return path


def contents(path: Path) -> dict[str, tuple[Any, ...]]:
    """Return bytes, type, chunks, filters and attributes of every dataset of an HDF5 file."""
    found: dict[str, tuple[Any, ...]] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            values = node[()]
            plain = values.tolist() if hasattr(values, "tolist") else values
            attributes = {key: str(value) for key, value in node.attrs.items() if "ref" not in str(value)}
            found[name] = (
                repr(plain),
                str(node.dtype),
                node.chunks,
                node.compression,
                node.compression_opts,
                node.shuffle,
                node.maxshape,
                attributes,
            )

    with h5py.File(path) as file:
        file.visititems(visit)
    return found
