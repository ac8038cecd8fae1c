"""A small study with a known content: one session of a movie, three ROIs and a treadmill."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.stream_base import Imaging
from nwbswitch.schemas.streams_suite2p import Suite2pFolder
from nwbswitch.schemas.streams_tiff import TiffMovie
from nwbswitch.schemas.streams_wheel import Signal, WheelCsv
from nwbswitch.schemas.study import Session, Study, Subject
from nwbswitch.schemas.study_clocks import Clock

N_FRAMES, HEIGHT, WIDTH, RATE_HZ = 300, 6, 9, 5.0


def write_raw(folder: Path, *, seed: int = 0) -> None:
    """Write a movie, a Suite2p plane with three ROIs and a treadmill table of 60 s."""
    rng = np.random.default_rng(seed)
    plane = folder / "suite2p/plane0"
    plane.mkdir(parents=True)
    movie = rng.integers(0, 500, (N_FRAMES, HEIGHT, WIDTH)).astype(np.int16)
    tifffile.imwrite(folder / "movie.tif", movie, photometric="minisblack")
    for name in ("F", "Fneu", "spks"):
        np.save(plane / f"{name}.npy", rng.normal(100, 9, (3, N_FRAMES)).astype(np.float32))
    np.save(plane / "iscell.npy", np.array([[1, 0.9], [1, 0.8], [0, 0.1]]))
    stat = [
        {"ypix": np.array([i, i + 1]), "xpix": np.array([i, i]), "lam": np.array([0.4, 0.6], np.float32)}
        for i in range(3)
    ]
    np.save(plane / "stat.npy", np.array(stat, dtype=object), allow_pickle=True)
    ops = {"fs": RATE_HZ, "Ly": HEIGHT, "Lx": WIDTH, "meanImg": movie.mean(axis=0), "save_path": "/home/lab"}
    np.save(plane / "ops.npy", ops, allow_pickle=True)
    times = np.arange(700) / 10
    lines = [f"{time:.1f},{speed:.3f}" for time, speed in zip(times, rng.normal(10, 2, 700), strict=True)]
    (folder / "wheel.csv").write_text("time_s,speed\n" + "\n".join(lines) + "\n", encoding="utf-8")


def small_session(
    folder: Path, *, session_id: str = "day1", drug: str = "ketamine", **values: Any
) -> Session:
    """Return a session over the files of `write_raw`."""
    control = drug == "saline"
    row = Administration(
        timestamp_s=30.0,
        substance=drug,
        control_kind="saline" if control else "none",
        stereochemistry="achiral" if control else "racemic",
        salt="" if control else "hydrochloride",
        dose_basis=None if control else "salt",
        dose=None if control else 10.0,
        dose_unit="" if control else "mg/kg",
        route="i.p.",
        body_weight_g=25.0,
        missing={"dose": "not applicable"} if control else {},
    )
    fields: dict[str, Any] = {
        "session_id": session_id,
        "subject": Subject(
            subject_id="m1",
            species="Mus musculus",
            sex="F",
            age="P90D",
            weight_g=25.0,
            description="A mouse.",
        ),
        "start_time": datetime(2024, 5, 1, 10, tzinfo=UTC),
        "description": "Drug challenge on a treadmill.",
        "imaging": Imaging(
            indicator="GCaMP6s",
            excitation_lambda_nm=920,
            emission_lambda_nm=510,
            region="VISp",
            depth_um=200,
            pixel_size_um=(1.5, 1.5),
            cell_type="excitatory",
        ),
        "clocks": {"wheel": Clock(offset_s=-4.0)},
        "streams": {
            "movie": TiffMovie(format="tiff_movie", path=folder / "movie.tif", rate_hz=RATE_HZ),
            "traces": Suite2pFolder(format="suite2p", path=folder / "suite2p", roi_basis="anatomical"),
            "wheel": WheelCsv(
                format="wheel_csv",
                path=folder / "wheel.csv",
                clock="wheel",
                time_column="time_s",
                signals=(Signal(column="speed", unit="cm/s"),),
            ),
        },
        "drug_log": (row,),
        "epochs": (
            Epoch(window="baseline", start_s=0, stop_s=28),
            Epoch(window="drug", start_s=5, stop_s=28, relative_to="administration"),
        ),
    }
    return Session(**{**fields, **values})


def study_of(*sessions: Session, **values: Any) -> Study:
    """Return a study with these sessions."""
    fields = {"name": "tiny", "title": "A tiny study.", "institution": "Institute", "keywords": ("mouse",)}
    return Study(**{**fields, **values}, sessions=sessions)
