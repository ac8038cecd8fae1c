"""Spoilt frames as files mark them: times, and shifts of motion correction with the size of a pixel."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from ophys_file import Traces, make_traces, write_file

from nwbswitch.analysis.reading.censors import Censors
from nwbswitch.analysis.reading.outline import Censor, FrameMask, Shifts, SpoiltSpans
from nwbswitch.analysis.reading.series import find_series
from nwbswitch.schemas.file_guard import open_hdf5

WHERE = "processing/ophys/Fluorescence/F"
N_FRAMES = 70


@pytest.fixture
def path(tmp_path) -> Path:
    return write_file(tmp_path / "a.nwb", [Traces(WHERE, make_traces(N_FRAMES, 3))])


def censors(path: Path, pixel_um=None) -> tuple[Censor, ...]:
    with open_hdf5(path) as nwb:
        (series,) = find_series(nwb, name="a.nwb", found=[])
        return Censors(nwb).of_plane(series, n_frames=N_FRAMES, suffix="", pixel_um=pixel_um)


def add_spans(path: Path, where: str, spans, about: list[list[str]] | None = None) -> None:
    with h5py.File(path, "r+") as nwb:
        table = nwb.create_group(where)
        table.attrs.update(neurodata_type="TimeIntervals", colnames=["start_time", "stop_time"])
        table["start_time"] = [start for start, _ in spans]
        table["stop_time"] = [stop for _, stop in spans]
        if about is not None:
            kind = [("idx_start", "i4"), ("count", "i4"), ("timeseries", h5py.ref_dtype)]
            rows = np.array([(0, 1, nwb[each].ref) for row in about for each in row], dtype=kind)
            table.create_dataset("timeseries", data=rows)
            table["timeseries_index"] = np.cumsum([len(row) for row in about])


@pytest.mark.parametrize(
    "where",
    [
        "intervals/invalid_times",
        "intervals/artefacts",
        "intervals/Artifact times",
        "processing/ophys/bad_frames",
        "processing/behavior/group/invalid_epochs",
    ],
)
def test_tables_of_spoilt_times(path, where):
    add_spans(path, where, [(1.0, 2.0), (4.0, np.nan), (6.0, 5.0), (3.0, 3.5)])
    assert censors(path) == (SpoiltSpans((1.0, 3.0), (2.0, 3.5), f"/{where}"),)


@pytest.mark.parametrize(
    "where", ["intervals/trials", "intervals/invalid_trials", "intervals/motion", "intervals/x"]
)
def test_other_tables_of_times_spoil_nothing(path, where):
    add_spans(path, where, [(1.0, 2.0)])
    assert censors(path) == ()


def test_invalid_times_of_other_series_spoil_nothing(path):
    with h5py.File(path, "r+") as nwb:
        nwb.create_group("acquisition/probe").attrs["neurodata_type"] = "ElectricalSeries"
        nwb.create_group("acquisition/movie").attrs["neurodata_type"] = "TwoPhotonSeries"
    about = [["acquisition/probe"], ["acquisition/movie"], [], ["acquisition/probe", WHERE]]
    spans = [(1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0)]
    add_spans(path, "intervals/invalid_times", spans, about)
    (found,) = censors(path)
    assert found.start_s == (2.0, 3.0, 4.0)


def test_marks_must_fit_the_frames(path):
    with h5py.File(path, "r+") as nwb:
        nwb["processing/ophys/bad_frames/data"] = np.zeros(N_FRAMES - 1, dtype=bool)
        nwb["processing/ophys/badframes/data"] = np.zeros(N_FRAMES, dtype=bool)
        nwb["processing/ophys/censored_frames/data"] = np.zeros(N_FRAMES)
    (found,) = censors(path)
    assert isinstance(found, FrameMask)
    assert found.array.object_path == "/processing/ophys/badframes/data"


def add_shifts(
    path: Path, shape=(N_FRAMES, 2), unit="pixels", conversion=1.0, plane: str | None = None
) -> None:
    with h5py.File(path, "r+") as nwb:
        stack = nwb.create_group("processing/ophys/MotionCorrection/CorrectedImageStack")
        stack.attrs["neurodata_type"] = "CorrectedImageStack"
        stack["xy_translation/data"] = np.zeros(shape)
        stack["xy_translation/data"].attrs.update(unit=unit, conversion=conversion)
        if plane is not None:
            nwb.require_group(plane)
            nwb["acquisition/TwoPhotonSeries/imaging_plane"] = h5py.SoftLink(plane)
            stack["original"] = h5py.SoftLink("/acquisition/TwoPhotonSeries")


@pytest.mark.parametrize(
    ("unit", "conversion", "pixel_um", "um_per_unit"),
    [
        ("pixels", 1.0, (1.5, 2.0), 2.0),
        ("pixels", 0.5, (2.0, 2.0, 9.0), 1.0),
        ("pixels", 1.0, None, None),
        ("microns", 1.0, None, 1.0),
        ("meters", 2e-6, (3.0, 3.0), 2.0),
        ("furlong", 1.0, (3.0, 3.0), None),
    ],
)
def test_shifts_in_micrometres(path, unit, conversion, pixel_um, um_per_unit):
    add_shifts(path, unit=unit, conversion=conversion)
    (found,) = censors(path, pixel_um)
    assert isinstance(found, Shifts)
    assert found.um_per_unit == (um_per_unit if um_per_unit is None else pytest.approx(um_per_unit))


@pytest.mark.parametrize(
    ("plane", "count"), [("/general/optophysiology/plane0", 1), ("/general/optophysiology/b", 0)]
)
def test_shifts_are_those_of_the_same_imaging_plane(path, plane, count):
    add_shifts(path, plane=plane)
    assert len(censors(path)) == count


@pytest.mark.parametrize("shape", [(N_FRAMES + 1, 2), (2, N_FRAMES), (N_FRAMES,), (N_FRAMES, 9)])
def test_shifts_must_fit_the_frames(path, shape):
    add_shifts(path, shape)
    assert censors(path) == ()
