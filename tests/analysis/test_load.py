"""Recordings are read by type, in the unit and on the clock that the file states, or refused in words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from nwbswitch.analysis.load import open_recording
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError


@pytest.fixture
def traces(nwb_files) -> np.ndarray:
    return nwb_files.make_traces(3, n_frames=1300)


def _codes(path: Path) -> list[str]:
    with pytest.raises(IssuesError) as caught, open_recording(path):
        pass
    return [each.code for each in caught.value.issues]


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
        assert (recording.dataset, recording.subject_id, recording.session_id) == ("my-study", "m1", "s1")
        assert recording.simulated
        assert recording.start_time == datetime(2026, 1, 1, tzinfo=UTC)
        assert [row.substance for row in recording.administrations] == ["ketamine"]
        assert recording.administrations[0].dose == 10
        assert [span.window for span in recording.windows].count("drug") == 1
        (plane,) = recording.planes
        assert (plane.name, plane.region, plane.is_dff) == ("Cells", "RSPd", False)
        assert plane.rois.accepted.tolist() == [True, False, True]
        assert plane.rois.cell_type == ("excitatory", "SST", "PV")
        assert plane.rois.tracking_id == ("t0", "t1", "t2")
        assert plane.rois.depth_um.tolist() == [200, 210, 220]
        assert plane.fluorescence.object_path == "/processing/ophys/Fluorescence/RoiResponseSeries"
        assert recording.issues == ()


def test_what_the_file_does_not_state_is_unknown_and_accepted(nwb_files, traces, tmp_path):
    with open_recording(
        nwb_files.write_nwb(tmp_path / "lab" / "a.nwb", {"F": traces}, keywords=("x",))
    ) as found:
        (plane,) = found.planes
        assert found.dataset == "lab"
        assert not found.simulated
        assert plane.rois.accepted.all()
        assert plane.rois.cell_type == ("unknown",) * 3
        assert plane.rois.tracking_id == ("",) * 3
        assert np.isnan(plane.rois.depth_um).all()


def test_conversion_and_offset_hold(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, conversion=2.5, offset=7.0)
    with open_recording(path) as recording:
        read = recording.planes[0].fluorescence.read(slice(1, 3))
    np.testing.assert_allclose(read, traces.T[1:3] * 2.5 + 7.0)


def test_rate_with_a_starting_time(nwb_files, traces, tmp_path):
    with open_recording(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, start_s=-3.0)) as recording:
        (plane,) = recording.planes
    np.testing.assert_allclose(plane.time_s[[0, 1, -1]], [-3.0, -2.8, -3.0 + 1299 / 5])
    assert plane.rate_hz == 5


def test_timestamps_in_place_of_a_rate(nwb_files, traces, tmp_path):
    stamps = np.arange(1300) / 5 + 10.0
    stamps[700:] += 20.0
    with open_recording(
        nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, timestamps=stamps)
    ) as recording:
        (plane,) = recording.planes
    np.testing.assert_array_equal(plane.time_s, stamps)
    assert plane.rate_hz == pytest.approx(5)


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
    path = nwb_files.write_nwb(tmp_path / "a.nwb", dict.fromkeys(names, traces))
    with open_recording(path) as recording:
        (plane,) = recording.planes
        found = [
            None if each is None else each.object_path.rpartition("/")[2]
            for each in (plane.fluorescence, plane.neuropil, plane.deconvolved)
        ]
    assert found == [main, neuropil, deconvolved]


def test_dff_alone_is_known_to_be_dff(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"anything": traces / 100 - 1}, container="DfOverF")
    with open_recording(path) as recording:
        assert recording.planes[0].is_dff


@pytest.mark.parametrize("column", ["iscell", "Accepted"])
def test_acceptance_in_other_writers_columns(nwb_files, traces, tmp_path, column):
    values = [[1.0, 0.9], [0.0, 0.2], [1.0, 0.8]] if column == "iscell" else [1, 0, 1]
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, columns={column: values})
    with open_recording(path) as recording:
        assert recording.planes[0].rois.accepted.tolist() == [True, False, True]


def test_transposed_traces_are_read_as_meant_and_reported(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces})
    with h5py.File(path, "r+") as file:
        group = file["processing/ophys/Fluorescence/F"]
        attributes = dict(group["data"].attrs)
        del group["data"]
        group["data"] = traces.T
        group["data"].attrs.update(attributes)
    with open_recording(path) as recording:
        np.testing.assert_allclose(recording.planes[0].fluorescence.read(slice(0, 2)), traces.T[:2])
        assert [each.code for each in recording.issues] == ["traces-transposed"]


def test_a_shape_that_fits_neither_way_is_refused(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces})
    with h5py.File(path, "r+") as file:
        group = file["processing/ophys/Fluorescence/F"]
        del group["data"]
        group["data"] = np.zeros((1300, 5))
    assert _codes(path) == ["length-differs"]


def test_no_traces_and_no_rois_are_no_activity(nwb_files, tmp_path):
    assert _codes(nwb_files.write_nwb(tmp_path / "a.nwb", {})) == ["no-activity"]
    assert _codes(nwb_files.write_nwb(tmp_path / "b.nwb", {"F": np.zeros((1300, 1))[:, :0]})) == [
        "no-activity"
    ]


def test_no_windows(nwb_files, traces, tmp_path):
    assert _codes(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, windows=None)) == ["no-epochs"]


def test_a_misspelt_window_is_named(nwb_files, traces, tmp_path):
    path = nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, windows=[("basline", 0.0, 60.0)])
    with pytest.raises(IssuesError, match="Did you mean 'baseline'"), open_recording(path):
        pass


def test_no_drug_log_is_a_finding_not_an_error(nwb_files, traces, tmp_path):
    with open_recording(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, drugs=())) as recording:
        assert recording.administrations == ()
        assert [each.code for each in recording.issues] == ["no-drug-log"]


def test_an_unknown_role_in_the_drug_log_is_refused(nwb_files, traces, tmp_path):
    drugs = [nwb_files.KETAMINE | {"role": "poison"}]
    assert _codes(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, drugs=drugs)) == ["bad-cell"]


def test_the_animal_is_the_unit_so_a_file_must_name_it(nwb_files, traces, tmp_path):
    assert _codes(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, subject_id=None)) == [
        "missing-value"
    ]
    named = nwb_files.write_nwb(tmp_path / "sub-m7_ses-x.nwb", {"F": traces}, subject_id=None)
    with open_recording(named) as recording:
        assert recording.subject_id == "m7"


@pytest.mark.parametrize("stamps", [np.zeros(1300), np.r_[np.nan, np.arange(1, 1300)]])
def test_timestamps_that_do_not_increase_are_refused(nwb_files, traces, tmp_path, stamps):
    assert _codes(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, timestamps=stamps)) == [
        "wrong-value"
    ]


def test_frames_marked_as_spoilt(nwb_files, traces, tmp_path):
    bad = np.zeros(1300, dtype=bool)
    bad[100:110] = True
    with open_recording(nwb_files.write_nwb(tmp_path / "a.nwb", {"F": traces}, censored=bad)) as recording:
        np.testing.assert_array_equal(recording.planes[0].censored, bad)


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
    with pytest.raises(InputFileError, match="not NWB 2"), open_recording(plain):
        pass
    (tmp_path / "text.nwb").write_text("no")
    with pytest.raises(InputFileError, match=r"text\.nwb"), open_recording(tmp_path / "text.nwb"):
        pass


def test_every_nwb_file_of_other_labs_is_refused_with_one_clear_finding(shared):
    paths = sorted((shared / "data").rglob("*.nwb"))
    assert paths
    for path in paths:
        with pytest.raises((IssuesError, InputFileError)) as caught, open_recording(path):
            pass
        found = caught.value
        assert not isinstance(found, IssuesError) or [each.code for each in found.issues] == ["no-activity"]
        assert str(path) in str(found)
