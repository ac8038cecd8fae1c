"""An archive on loopback with small recordings under many drugs, written down in many ways, and the truth.

One file is written by pynwb; the others are copies of it in which h5py changes what matters.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from archive_content import asset_metadata
from archive_server import ArchiveServer

from nwbswitch.analysis.catalogue.find import find
from nwbswitch.analysis.catalogue.find_result import FindResult

N_ROIS = 40
N_FRAMES = 3000
RATE_HZ = 1.0
DRUG_S = 1500.0
DRUG_TABLE = "events/drug_administrations"
WINDOWS = (("baseline", 800.0, 1400.0), ("drug", 1600.0, 2200.0))


@dataclass
class DrugArchive:
    """The server, and which of its files hold which drug."""

    server: ArchiveServer
    folder: Path
    template: Path
    truth: dict[tuple[str, str], str] = field(default_factory=dict)
    """Dandiset and path to the substance that was given; files that are not here hold none."""
    n_files: int = 0

    def put(
        self,
        dandiset: str,
        subject: str,
        session: str = "s1",
        *,
        holds: str = "",
        drugs: Sequence[Mapping[str, Any]] = (),
        kind: str = "ophys",
        described: str = "Spontaneous activity.",
        species: str = "Mus musculus",
        archive_species: str | None = None,
        start: datetime = datetime(2024, 1, 1, tzinfo=UTC),
        **changes: Any,
    ) -> str:
        """Upload a recording and return its path; ``holds`` is what was given in it."""
        path = f"sub-{subject}/sub-{subject}_ses-{session}_{kind}.nwb"
        self.n_files += 1
        local = self.folder / f"{self.n_files}.nwb"
        shutil.copyfile(self.template, local)
        with h5py.File(local, "r+") as nwb:
            _text(nwb, "general/subject/subject_id", subject)
            _text(nwb, "general/subject/species", species)
            _text(nwb, "general/session_id", session)
            _text(nwb, "session_description", described)
            _text(nwb, "session_start_time", start.isoformat())
            _drug_log(nwb, drugs)
            _change(nwb, **changes)
        metadata = asset_metadata(
            subject_id=subject,
            session_id=session,
            session_description=described,
            species=archive_species or species,
            start=start,
            variables=("Units",) if kind == "ecephys" else ("ImagingPlane", "PlaneSegmentation"),
            approach=("electrophysiological approach",) if kind == "ecephys" else (),
        )
        self.server.add_asset(dandiset, path, local, metadata=metadata)
        if holds:
            self.truth[dandiset, path] = holds
        return path


def ketamine(**values: Any) -> dict[str, Any]:
    """Return a row of our drug log."""
    row = {"timestamp": DRUG_S, "substance": "ketamine", "role": "test", "control_kind": "none"}
    return {**row, "dose": 10.0, "dose_unit": "mg/kg", "route": "i.p.", **values}


def saline(**values: Any) -> dict[str, Any]:
    """Return a row of our drug log."""
    given = {
        "substance": "saline",
        "role": "vehicle",
        "control_kind": "saline",
        "dose": np.nan,
        "dose_unit": "",
    }
    return ketamine(**given, **values)


def write_template(path: Path) -> Path:
    """Write a recording of 50 minutes with a drug log of one row and both windows."""
    from hdmf.backends.hdf5 import H5DataIO
    from hdmf.common import VectorData
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries
    from pynwb.epoch import TimeIntervals
    from pynwb.event import EventsTable, TimestampVectorData
    from pynwb.file import Subject
    from pynwb.ophys import Fluorescence, ImageSegmentation, OpticalChannel, RoiResponseSeries

    nwb = NWBFile(
        identifier="x",
        session_description="Spontaneous activity.",
        session_start_time=datetime(2024, 1, 1, tzinfo=UTC),
        session_id="s1",
        subject=Subject(subject_id="m", species="Mus musculus", sex="F", age="P90D"),
    )
    plane = nwb.create_imaging_plane(
        name="plane",
        device=nwb.create_device("scope"),
        optical_channel=OpticalChannel(name="green", description="GCaMP", emission_lambda=510.0),
        description="Layer 2/3",
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="VISp",
        imaging_rate=RATE_HZ,
    )
    ophys = nwb.create_processing_module("ophys", "Traces.")
    segmentation = ImageSegmentation()
    ophys.add(segmentation)
    table = segmentation.create_plane_segmentation(name="Cells", description="ROIs.", imaging_plane=plane)
    for _ in range(N_ROIS):
        table.add_roi(pixel_mask=[(0, 0, 1.0)])
    fluorescence = Fluorescence()
    ophys.add(fluorescence)
    rois = table.create_roi_table_region(region=list(range(N_ROIS)), description="All.")
    noise = np.random.default_rng(0).normal(100, 2, (N_FRAMES, N_ROIS)).round().astype(np.float32)
    data = H5DataIO(noise, compression="gzip", chunks=(N_FRAMES, N_ROIS))
    fluorescence.add_roi_response_series(
        RoiResponseSeries(name="RoiResponseSeries", data=data, rois=rois, unit="a.u.", rate=RATE_HZ)
    )
    epochs = TimeIntervals(name="analysis_epochs", description="Windows.")
    epochs.add_column("window", "Which.")
    for window, start_s, stop_s in WINDOWS:
        epochs.add_interval(start_time=start_s, stop_time=stop_s, window=window)
    nwb.add_time_intervals(epochs)
    row = ketamine()
    stamps = TimestampVectorData(name="timestamp", description="When.", data=[row.pop("timestamp")])
    columns = [VectorData(name=name, description=name, data=[value]) for name, value in row.items()]
    nwb.add_events_table(
        EventsTable(name="drug_administrations", description="Drugs.", columns=[stamps, *columns])
    )
    nwb.add_acquisition(TimeSeries(name="laser", data=[0.0, 1.0], unit="n/a", timestamps=[0.0, 1.0]))
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


def fill(world: DrugArchive) -> DrugArchive:
    """Upload 44 recordings of 11 dandisets."""
    server, put = world.server, world.put
    server.add_dandiset("000001", name="Ketamine and saline in a crossover", keywords=["RSP"])
    for animal in range(6):
        put("000001", f"a{animal}", "ket", holds="ketamine", drugs=[ketamine()])
        put("000001", f"a{animal}", "sal", drugs=[saline()])
    server.publish("000001", "0.240101.0001")

    server.add_dandiset("000002", name="Visual cortex", description="Mice were given esketamine.")
    for animal in range(3):
        drug = ketamine(substance="S-ketamine", dose=2.0 + animal, route="s.c.")
        put("000002", f"b{animal}", holds="S-ketamine", drugs=[drug], windows=False)

    server.add_dandiset("000003", name="Prose", description="Recordings before and after ketamine.")
    prose = "Ketamine (10 mg/kg, i.p.) was injected 25 min after the start of the recording."
    put("000003", "c0", holds="ketamine", described=prose)
    put("000003", "c1", holds="ketamine", pharmacology="Ketamine 10 mg/kg i.p.")
    put("000003", "c2", holds="ketamine", series="Ketamine injection")
    put("000003", "c3")
    put("000003", "c4", "KET-day2", holds="ketamine")

    server.add_dandiset("000004", name="Spontaneous activity", description="No drug is named here.")
    put("000004", "d0", holds="ketamine", drugs=[ketamine()])
    put("000004", "d1")

    server.add_dandiset("000005", name="Psilocybin")
    for animal in range(2):
        put("000005", f"e{animal}", drugs=[ketamine(substance="psilocybin", dose=1.0)])

    server.add_dandiset("000006", name="Ketamine, not yet public", embargoed=True)
    put("000006", "f0", holds="ketamine", drugs=[ketamine()])

    server.add_dandiset("000007", name="Ketamine in rats")
    for animal in range(2):
        put("000007", f"g{animal}", holds="ketamine", drugs=[ketamine()], species="Rattus norvegicus")

    server.add_dandiset("000008", name="Ketamine in motor cortex")
    for animal in range(2):
        put("000008", f"h{animal}", holds="ketamine", drugs=[ketamine()], region="MOp")
    put("000008", "h2", kind="ecephys", traces=False)
    put("000008", "h3", holds="ketamine", drugs=[ketamine()], region="nowhere special")

    server.add_dandiset("000009", name="Ketamine, damaged")
    put("000009", "i0", holds="ketamine", drugs=[ketamine()], n_frames=1550)
    put("000009", "i1", holds="ketamine", drugs=[ketamine()], traces=False)
    server.add_asset("000009", "sub-i2/sub-i2_ses-KET_ophys.nwb", b"\x89HDF\r\n\x1a\n" + b"\0" * 500)
    server.add_asset("000009", "sub-i3/sub-i3_ophys.nwb", b"this is no HDF5 file at all")
    server.add_asset("000009", "sub-i4/sub-i4_ses-KET_ophys.nwb.zarr", zarr_bytes=1000)
    whole = world.template.read_bytes()
    server.add_asset("000009", "sub-i6/sub-i6_ophys.nwb", whole[: len(whole) // 2])
    server.add_asset("000009", "sub-i5/movie.tiff", b"II*")

    server.add_dandiset("000010", name="Ketamine, files apart")
    for animal in range(2):
        put("000010", f"j{animal}", "1base", start=datetime(2024, 1, 1, 9, tzinfo=UTC))
        put("000010", f"j{animal}", "2ket", holds="ketamine", drugs=[ketamine(timestamp=-60.0)],
            start=datetime(2024, 1, 1, 10, tzinfo=UTC))  # fmt: skip

    server.add_dandiset("000011", name="Ketamine for anaesthesia")
    put("000011", "k0", holds="ketamine", drugs=[ketamine(role="anaesthetic")])
    put("000011", "k1", drugs=[saline()])
    return world


def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for a retry, find a key of the user, or keep anything in the user's cache."""
    import tenacity
    from dandi import dandiapi

    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("NWBSWITCH_CACHE", "off")
    monkeypatch.setattr(dandiapi, "sleep", lambda seconds: None)
    monkeypatch.setattr(tenacity, "wait_exponential", lambda **_: tenacity.wait_none())


def ask(world: DrugArchive, catalogue: Path, drug: str = "ketamine", **asked: Any) -> FindResult:
    return find(drug, instance=world.server.api_url, catalogue=catalogue, quiet=True, **asked)


def read_files(world: DrugArchive) -> list[str]:
    """Return the files whose bytes were asked for, one entry for each request."""
    return [each.request.path for each in world.server.store.log]


def held(result: FindResult) -> dict[tuple[str, str], str]:
    """Return dandiset and path of the files that hold the drug by their own account."""
    return {
        (hit.recording.dandiset, hit.recording.path): hit.drug for hit in result.answers.hits if hit.given
    }


def _text(nwb: h5py.File, path: str, text: str) -> None:
    del nwb[path]
    nwb.create_dataset(path, data=text, dtype=h5py.string_dtype())


def _drug_log(nwb: h5py.File, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows in place of those of the table, or take the table out."""
    if not rows:
        del nwb[DRUG_TABLE]
        return
    table = nwb[DRUG_TABLE]
    for name in [*rows[0], "id"]:
        values = list(range(len(rows))) if name == "id" else [row[name] for row in rows]
        kept = dict(table[name].attrs)
        del table[name]
        is_text = isinstance(values[0], str)
        column = table.create_dataset(
            name, data=values, dtype=h5py.string_dtype() if is_text else None, maxshape=(None,)
        )
        column.attrs.update(kept)


def _change(
    nwb: h5py.File,
    *,
    windows: bool = True,
    region: str = "VISp",
    n_frames: int | None = None,
    start_s: float = 0.0,
    traces: bool = True,
    series: str = "",
    pharmacology: str = "",
    tracked: bool = False,
) -> None:
    if not windows:
        del nwb["intervals/analysis_epochs"]
    _text(nwb, "general/optophysiology/plane/location", region)
    group = nwb["processing/ophys/Fluorescence"]
    if not traces:
        del nwb["processing/ophys/Fluorescence"]
    elif n_frames is not None or start_s:
        held = group["RoiResponseSeries"]
        kept = dict(held["data"].attrs)
        values = held["data"][: n_frames or N_FRAMES]
        del held["data"]
        data = held.create_dataset("data", data=values, compression="gzip")
        data.attrs.update(kept)
        held["starting_time"][()] = start_s
    if series:
        nwb.move("acquisition/laser", f"acquisition/{series}")
        stamps = nwb[f"acquisition/{series}/timestamps"]
        stamps[...] = [DRUG_S, DRUG_S + 1]
    if pharmacology:
        nwb.create_dataset("general/pharmacology", data=pharmacology, dtype=h5py.string_dtype())
    if tracked:
        table = nwb["processing/ophys/ImageSegmentation/Cells"]
        column = table.create_dataset(
            "tracking_id", data=[f"n{roi}" for roi in range(N_ROIS)], dtype=h5py.string_dtype()
        )
        column.attrs.update(
            {"namespace": "hdmf-common", "neurodata_type": "VectorData", "description": "d", "object_id": "t"}
        )
        table.attrs["colnames"] = [*table.attrs["colnames"], "tracking_id"]
