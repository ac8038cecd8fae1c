"""NWB files of one recording as different tools lay them out: without chunks, in others' and in ours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

LAYOUTS = ("pynwb", "pynwb gzip", "neuroconv", "nwbswitch")
KEYPOINTS = ("nose", "eye", "ear", "whisker", "mouth", "paw_left", "paw_right", "elbow_left", "elbow_right")
KEYPOINTS += ("hip", "tail_base", "tail_tip")
STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def make_traces(n_frames: int, n_rois: int, *, seed: int = 0) -> np.ndarray:
    """Return fluorescence (frames, ROIs), float32: rest 100, noise 2 %, rare transients."""
    rng = np.random.default_rng(seed)
    traces = 100 + 2 * rng.standard_normal((n_frames, n_rois), dtype=np.float32)
    for roi in range(n_rois):
        for frame in rng.integers(0, n_frames, max(n_frames // 2000, 1)):
            decay = 100 * np.exp(-np.arange(min(40, n_frames - frame)) / 12)
            traces[frame : frame + 40, roi] += decay.astype(np.float32)
    return traces


def make_nwbfile(
    traces: np.ndarray,
    *,
    rate_hz: float = 30.0,
    session: str = "s1",
    minutes: float = 10,
    gap_s: float = 0,
    is_rich: bool = False,
) -> Any:
    """Return an NWBFile in memory: drug log, windows before and after, ROIs, F and neuropil.

    The administration is in the middle of the recording; both windows are ``minutes`` long, one ends
    ``gap_s`` before it and the other begins as long after it. With ``is_rich`` there is what else labs
    record: running, pupil and licks, pose, trials, motion correction, images of the plane.
    """
    from hdmf.common import VectorData
    from pynwb import NWBFile
    from pynwb.epoch import TimeIntervals
    from pynwb.event import EventsTable, TimestampVectorData
    from pynwb.file import Subject
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

    n_frames, n_rois = traces.shape
    middle_s = n_frames / rate_hz / 2
    nwb = NWBFile(
        identifier=f"recording {session}",
        session_description="Spontaneous activity before and after ketamine.",
        session_start_time=STARTED,
        session_id=session,
        keywords=["ketamine", "two-photon"],
        institution="An institution",
        lab="A lab",
        subject=Subject(subject_id="m1", species="Mus musculus", sex="F", age="P90D", genotype="wt"),
    )
    plane = nwb.create_imaging_plane(
        name="ImagingPlane",
        device=nwb.create_device("Microscope"),
        optical_channel=OpticalChannel(name="green", description="GCaMP", emission_lambda=510.0),
        description="Layer 2/3",
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="RSPd",
        imaging_rate=rate_hz,
    )
    ophys = nwb.create_processing_module("ophys", "Traces of ROIs.")
    segmentation = ImageSegmentation()
    ophys.add(segmentation)
    table = segmentation.create_plane_segmentation(
        name="PlaneSegmentation", description="ROIs by Suite2p.", imaging_plane=plane
    )
    table.add_column("Accepted", "Whether it is a cell.")
    rng = np.random.default_rng(1)
    for roi in range(n_rois):
        x, y = rng.integers(0, 500, 2)
        mask = [(int(x + i % 10), int(y + i // 10), 1.0) for i in range(100)]
        table.add_roi(pixel_mask=mask, Accepted=bool(roi % 5))
    fluorescence = Fluorescence()
    ophys.add(fluorescence)
    for name, data in (("RoiResponseSeries", traces), ("Neuropil", np.float32(0.7) * traces)):
        region = table.create_roi_table_region(region=list(range(n_rois)), description="All ROIs.")
        fluorescence.add_roi_response_series(
            RoiResponseSeries(name=name, data=data, rois=region, unit="a.u.", rate=rate_hz)
        )
    epochs = TimeIntervals(name="analysis_epochs", description="Analysis windows.")
    epochs.add_column("window", "Which window.")
    span_s = 60.0 * minutes
    for window, start_s in (("baseline", middle_s - gap_s - span_s), ("drug", middle_s + gap_s)):
        epochs.add_interval(start_time=start_s, stop_time=start_s + span_s, window=window)
    nwb.add_time_intervals(epochs)
    values = {
        "substance": ["ketamine"],
        "role": ["test"],
        "control_kind": ["none"],
        "dose": [10.0],
        "dose_unit": ["mg/kg"],
        "route": ["i.p."],
    }
    stamps = TimestampVectorData(name="timestamp", description="When, s.", data=[middle_s])
    columns = [VectorData(name=name, description=name, data=data) for name, data in values.items()]
    nwb.add_events_table(
        EventsTable(name="drug_administrations", description="Drugs.", columns=[stamps, *columns])
    )
    if is_rich:
        _enrich(nwb, n_frames, rate_hz)
    return nwb


def _enrich(nwb: Any, n_frames: int, rate_hz: float) -> None:
    from pynwb import TimeSeries
    from pynwb.base import Images
    from pynwb.behavior import Position
    from pynwb.image import GrayscaleImage

    rng = np.random.default_rng(2)
    wheel = rng.normal(size=5 * n_frames).astype("f4")
    nwb.add_acquisition(TimeSeries(name="treadmill", data=wheel, unit="cm/s", rate=5 * rate_hz))
    behavior = nwb.create_processing_module("behavior", "What the animal did.")
    stamps = np.arange(n_frames) / rate_hz + rng.normal(0, 1e-4, n_frames)
    for name in ("speed", "pupil_area", "whisking", "licking"):
        behavior.add(TimeSeries(name=name, data=rng.normal(size=n_frames), unit="a.u.", timestamps=stamps))
    pose = Position(name="pose")
    behavior.add(pose)
    for point in KEYPOINTS:
        place = rng.normal(size=(n_frames, 2))
        pose.create_spatial_series(
            name=point, data=place, timestamps=stamps, reference_frame="Upper left corner.", unit="pixels"
        )
    ophys = nwb.processing["ophys"]
    shifts = rng.normal(size=(n_frames, 2)).astype("f4")
    ophys.add(TimeSeries(name="motion_shifts", data=shifts, unit="pixels", rate=rate_hz))
    images = Images(name="SegmentationImages")
    ophys.add(images)
    for name in ("mean", "maximum", "correlation"):
        images.add_image(GrayscaleImage(name=name, data=rng.random((512, 512)).astype("f4")))
    nwb.add_trial_column("stimulus", "What was shown.")
    nwb.add_trial_column("rewarded", "Whether there was water.")
    for trial in range(200):
        start_s = n_frames / rate_hz * trial / 200
        kind = f"grating {trial % 8}"
        nwb.add_trial(start_time=start_s, stop_time=start_s + 1, stimulus=kind, rewarded=bool(trial % 3))


def write_recording(path: Path, nwbfile: Any, layout: str) -> Path:
    """Write a file in one of `LAYOUTS`.

    Traces come without chunks as by pynwb's default, compressed in the chunks that h5py guesses, in those of
    neuroconv's default, or in those of our converter.
    """
    if layout.startswith("pynwb"):
        from hdmf.backends.hdf5.h5_utils import H5DataIO
        from pynwb import NWBHDF5IO

        if layout == "pynwb gzip":
            for series in nwbfile.processing["ophys"]["Fluorescence"].roi_response_series.values():
                series.set_data_io("data", H5DataIO, {"compression": "gzip"})

        with NWBHDF5IO(path, "w") as io:
            io.write(nwbfile)
    elif layout == "neuroconv":
        from neuroconv.tools.nwb_helpers import configure_and_write_nwbfile

        configure_and_write_nwbfile(nwbfile=nwbfile, nwbfile_path=path, backend="hdf5")
    else:
        from nwbswitch.converters.writing.nwb_writer import write_nwb

        write_nwb(nwbfile, path)
    return path
