"""Recordings are read by type, in the unit and on the clock that the file states, or refused in words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from opened import marked_frames, samples, times_s

from nwbswitch.analysis.measure import measure
from nwbswitch.analysis.reading.outline import Plane
from nwbswitch.analysis.reading.recording import open_recording
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.issues import Issue, Severity


@pytest.fixture
def traces(nwb_files) -> np.ndarray:
    return nwb_files.make_traces(3, n_frames=1300)


def _findings(path: Path) -> list[Issue]:
    """Return what a file lacks and what is wrong in it, without notes of what it does not state."""
    with open_recording(path) as recording:
        return [each for each in recording.outline.issues if each.severity is not Severity.NOTE]


def _refusal(path: Path) -> list[str]:
    """Return the codes of the errors of a file, which keep it from being measured."""
    errors = [each.code for each in _findings(path) if each.severity is Severity.ERROR]
    with pytest.raises(IssuesError) as caught:
        measure(path)
    refused = [each.code for each in caught.value.issues if each.severity is Severity.ERROR]
    assert refused == errors
    return errors


def _names(plane: Plane) -> list[str | None]:
    """Return the object paths of traces, neuropil and deconvolved traces."""
    found = (plane.traces, plane.neuropil, plane.deconvolved)
    return [None if trace is None else trace.array.object_path for trace in found]


def test_facts_of_the_session(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(
        tmp_path / "a.nwb",
        {"RoiResponseSeries": traces},
        columns={
            "accepted": [True, False, True],
            "cell_type": ["excitatory", "SST", "PV"],
            "roi_basis": ["anatomical"] * 3,
            "tracking_id": ["t0", "t1", "t2"],
            "depth_um": [200.0, 210.0, 220.0],
        },
        keywords=("SIMULATED", "dataset:my-study"),
    )
    with open_recording(path) as recording:
        outline = recording.outline
        assert (outline.dataset, outline.subject.subject_id, outline.session_id) == ("my-study", "m1", "s1")
        assert (outline.subject.species, outline.subject.sex, outline.subject.age) == (
            "Mus musculus",
            "U",
            "P90D",
        )
        assert outline.simulated
        assert outline.start_time == datetime(2026, 1, 1, tzinfo=UTC)
        assert [row.substance for row in outline.administrations] == ["ketamine"]
        assert outline.administrations[0].dose == 10
        assert [span.window for span in outline.windows].count("drug") == 1
        (plane,) = outline.planes
        assert (plane.name, plane.traces.kind, plane.indicator) == ("Cells", "raw", "GCaMP6s")
        assert _names(plane) == ["/processing/ophys/Fluorescence/RoiResponseSeries/data", None, None]
        neurons = plane.neurons
        assert neurons.region == ("RSPd",) * 3
        assert neurons.accepted == (True, False, True)
        assert neurons.cell_type == ("excitatory", "SST", "PV")
        assert neurons.roi_basis == ("anatomical",) * 3
        assert neurons.tracking_id == ("t0", "t1", "t2")
        assert neurons.depth_um == (200, 210, 220)
    assert _findings(path) == []


def test_what_the_file_does_not_state_is_unknown_and_accepted(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "lab" / "a.nwb", {"F": traces}, keywords=("x",))
    with open_recording(path) as recording:
        (plane,) = recording.outline.planes
        assert recording.outline.dataset == "lab"
        assert not recording.outline.simulated
        assert plane.neurons.accepted == (True,) * 3
        assert plane.neurons.cell_type == plane.neurons.roi_basis == ("unknown",) * 3
        assert plane.neurons.tracking_id == ("",) * 3
        assert np.isnan(plane.neurons.depth_um).all()
    assert _findings(path) == []


def test_conversion_and_offset_hold(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, conversion=2.5, offset=7.0)
    with open_recording(path) as recording:
        read = samples(recording, recording.outline.planes[0].traces, slice(1, 3))
    np.testing.assert_allclose(read, traces.T[1:3] * 2.5 + 7.0)


def test_rate_with_a_starting_time(nwb_files, traces, tmp_path):
    with open_recording(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, start_s=-3.0)) as recording:
        (plane,) = recording.outline.planes
        time_s = times_s(recording, plane)
    assert time_s.shape == (1300,)
    np.testing.assert_allclose(time_s[[0, 1, -1]], [-3.0, -2.8, -3.0 + 1299 / 5])
    assert (plane.clock.rate_hz, plane.clock.stamps) == (5, None)


def test_timestamps_in_place_of_a_rate(nwb_files, traces, tmp_path):
    stamps = np.arange(1300) / 5 + 10.0
    stamps[700:] += 20.0
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, timestamps=stamps)
    with open_recording(path) as recording:
        (plane,) = recording.outline.planes
        np.testing.assert_array_equal(times_s(recording, plane), stamps)
    assert plane.clock.rate_hz == pytest.approx(5)


@pytest.mark.parametrize(
    ("names", "main", "neuropil", "deconvolved"),
    [
        (("RoiResponseSeries", "Neuropil", "Deconvolved"), "RoiResponseSeries", "Neuropil", "Deconvolved"),
        (("roi_raw", "a_Fneu", "inferred_spikes"), "roi_raw", "a_Fneu", "inferred_spikes"),
        (("signal",), "signal", None, None),
        (("dff_traces", "my_raw_F"), "my_raw_F", None, None),
    ],
)
def test_series_are_told_apart_whatever_their_names(
    nwb_files, traces, tmp_path, names, main, neuropil, deconvolved
):
    written = {name: traces + number for number, name in enumerate(names)}
    path = nwb_files.write_nwb(tmp_path / "a.nwb", written)
    wanted = [main, neuropil, deconvolved]
    with open_recording(path) as recording:
        (plane,) = recording.outline.planes
        assert [name and name.split("/")[-2] for name in _names(plane)] == wanted
        for trace, name in zip((plane.traces, plane.neuropil, plane.deconvolved), wanted, strict=True):
            if trace is not None:
                np.testing.assert_array_equal(samples(recording, trace), written[name].T)


def test_dff_alone_is_known_to_be_dff(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"anything": traces / 100 - 1}, container="DfOverF")
    with open_recording(path) as recording:
        assert recording.outline.planes[0].traces.kind == "dff"


@pytest.mark.parametrize("column", ["iscell", "Accepted"])
def test_acceptance_in_other_writers_columns(nwb_files, traces, tmp_path, column):
    values = [[1.0, 0.9], [0.0, 0.2], [1.0, 0.8]] if column == "iscell" else [1, 0, 1]
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, columns={column: values})
    with open_recording(path) as recording:
        assert recording.outline.planes[0].neurons.accepted == (True, False, True)


def _replace_data(path: Path, data: np.ndarray) -> None:
    with h5py.File(path, "r+") as file:
        group = file["processing/ophys/Fluorescence/F"]
        attributes = dict(group["data"].attrs)
        del group["data"]
        group["data"] = data
        group["data"].attrs.update(attributes)


def test_transposed_traces_are_read_as_meant_and_reported(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces})
    _replace_data(path, traces.T)
    with open_recording(path) as recording:
        read = samples(recording, recording.outline.planes[0].traces, slice(0, 2))
    np.testing.assert_allclose(read, traces.T[:2])
    assert [each.code for each in _findings(path)] == ["traces-transposed"]


def test_a_shape_that_fits_neither_way_is_refused(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces})
    _replace_data(path, np.zeros((1300, 5)))
    assert _refusal(path) == ["length-differs"]


def test_no_traces_and_no_rois_are_no_activity(nwb_files, tmp_path):
    assert _refusal(nwb_files.write_nwb(tmp_path / "a.nwb", {})) == ["no-activity"]
    empty = np.zeros((1300, 0))
    assert _refusal(nwb_files.write_nwb(tmp_path / "b.nwb", {"F": empty})) == ["no-activity"]


def test_no_windows(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, windows=None)
    assert _refusal(path) == ["no-epochs"]


def test_a_misspelt_window_is_named(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, windows=[("basline", 0.0, 60.0)])
    assert _refusal(path) == ["unknown-word"]
    with pytest.raises(IssuesError, match="Did you mean 'baseline'"):
        measure(path)


def test_no_drug_log_is_a_finding_not_an_error(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, drugs=())
    with open_recording(path) as recording:
        assert recording.outline.administrations == ()
    (found,) = _findings(path)
    assert (found.code, found.severity) == ("no-drug-log", Severity.WARNING)


def test_an_unknown_role_in_the_drug_log_is_refused(nwb_files, traces, tmp_path):
    drugs = [nwb_files.KETAMINE | {"role": "poison"}]
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, drugs=drugs)
    assert _refusal(path) == ["bad-cell"]


def test_the_animal_is_the_unit_so_a_file_must_name_it(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, subject_id=None)
    assert _refusal(path) == ["missing-value"]
    named = nwb_files.write_nwb(tmp_path / "sub-m7_ses-x.nwb", {"F": traces}, subject_id=None)
    with open_recording(named) as recording:
        assert recording.outline.subject.subject_id == "m7"


@pytest.mark.parametrize("stamps", [np.zeros(1300), np.r_[np.nan, np.arange(1, 1300)]])
def test_timestamps_that_do_not_increase_are_refused(nwb_files, traces, tmp_path, stamps):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, timestamps=stamps)
    assert _refusal(path) == ["wrong-value"]


def test_frames_marked_as_spoilt(nwb_files, traces, tmp_path):
    bad = np.zeros(1300, dtype=bool)
    bad[100:110] = True
    with open_recording(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, censored=bad)) as recording:
        np.testing.assert_array_equal(marked_frames(recording, recording.outline.planes[0]), bad)


def test_a_link_to_another_file_is_refused_before_anything_is_read(nwb_files, traces, tmp_path):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["data"] = np.zeros((1300, 3))
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces})
    with h5py.File(path, "r+") as file:
        group = file["processing/ophys/Fluorescence/F"]
        del group["data"]
        group["data"] = h5py.ExternalLink(str(secret), "/data")
    with pytest.raises(UnsafeFileError, match="another file"), open_recording(path):
        pass


def test_other_files_are_refused_by_name(tmp_path):
    plain = tmp_path / "plain.nwb"
    with h5py.File(plain, "w") as file:
        file["x"] = 1
    with pytest.raises(InputFileError, match=r"plain\.nwb.*not NWB 2"), open_recording(plain):
        pass
    (tmp_path / "text.nwb").write_text("no")
    with pytest.raises(InputFileError, match=r"text\.nwb"), open_recording(tmp_path / "text.nwb"):
        pass
