"""Which series is the activity of which ROIs: by type and words, asked for where nothing tells."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from ophys_file import SEGMENTATION, Traces, make_traces, write_file

from nwbswitch.analysis.access.array_reader import ArrayReader
from nwbswitch.analysis.access.local_bytes import LocalBytes
from nwbswitch.analysis.reading.outline import FrameMask, Plane, Trace
from nwbswitch.analysis.reading.planes import FoundPlanes, read_planes
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.issues import Issue
from nwbswitch.schemas.overrides import Override

F = "processing/ophys/Fluorescence"
N_FRAMES, N_ROIS = 70, 3


def read(path: Path, stated: dict | None = None) -> tuple[FoundPlanes, list[Issue]]:
    found: list[Issue] = []
    with open_hdf5(path) as nwb:
        planes = read_planes(nwb, name=path.name, override=Override.model_validate(stated or {}), found=found)
    return planes, [each for each in found if each.code != "not-stated"]


def codes(found: list[Issue]) -> list[str]:
    return [each.code for each in found]


def samples(path: Path, trace: Trace) -> np.ndarray:
    """Return traces in their unit, shape (frames, ROIs)."""
    with ArrayReader(LocalBytes(path)) as reader:
        (values,) = reader.read_many([(trace.array, tuple(slice(0, n) for n in trace.array.shape))])
    values = values.astype(float).reshape(trace.array.shape) * trace.conversion + trace.offset
    if values.ndim == 1:
        return values[:, None]
    return values if trace.time_first else values.T


def parts(plane: Plane) -> list[str | None]:
    """Return the series of traces, neuropil and deconvolved traces by name."""
    return [
        None if trace is None else trace.array.object_path.removesuffix("/data").rpartition("/")[2]
        for trace in (plane.traces, plane.neuropil, plane.deconvolved)
    ]


def stated_in(issue: Issue) -> dict:
    """Return the fields of the override that a finding proposes."""
    (entry,) = yaml.safe_load(issue.remedy.partition("overrides:\n")[2])["sources"]
    entry.pop("match")
    return entry


@pytest.fixture
def data() -> np.ndarray:
    return make_traces(N_FRAMES, N_ROIS)


def test_raw_neuropil_and_deconvolved_of_one_plane(tmp_path, data):
    series = [
        Traces(f"{F}/{name}", data * n)
        for n, name in enumerate(("RoiResponseSeries", "Neuropil", "Deconvolved"), 1)
    ]
    path = write_file(tmp_path / "a.nwb", series, columns={"accepted": [True, False, True]})
    planes, found = read(path)
    (plane,) = planes.planes
    assert parts(plane) == ["RoiResponseSeries", "Neuropil", "Deconvolved"]
    assert (plane.name, plane.traces.kind, plane.neuropil_subtracted) == ("PlaneSegmentation", "raw", False)
    assert (plane.indicator, plane.neurons.region) == ("GCaMP6f", ("VISp",) * 3)
    assert plane.neurons.accepted == (True, False, True)
    assert plane.rows.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(samples(path, plane.neuropil), 2 * data)
    assert found == []


@pytest.mark.parametrize(
    ("names", "measured"),
    [
        (("dff_timeseries", "raw", "Fc"), "Fc"),
        (("dff_timeseries", "raw", "Fc", "Fneu"), "raw"),
        (("dff_timeseries", "demixed"), "dff_timeseries"),
        (("demixed", "denoised"), "demixed"),
        (("F", "F_raw"), "F_raw"),
        (("ignored_zscore", "x"), "x"),
    ],
)
def test_the_order_of_kinds(tmp_path, data, names, measured):
    path = write_file(tmp_path / "a.nwb", [Traces(f"processing/ophys/{name}", data) for name in names])
    planes, found = read(path)
    assert parts(planes.planes[0])[0] == measured
    assert not any(each.severity == "error" for each in found)


def test_neuropil_is_not_subtracted_twice(tmp_path, data):
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/Fc", data), Traces(f"{F}/Neuropil", data[:50])])
    (plane,) = read(path)[0].planes
    assert plane.neuropil_subtracted
    assert plane.neuropil is None


def test_two_of_one_kind_are_not_taken_by_order_but_asked_for(tmp_path, data):
    series = [Traces(f"{F}/{name}", data * n) for n, name in enumerate(("alpha", "beta"), 1)]
    path = write_file(tmp_path / "a.nwb", series)
    planes, found = read(path)
    assert planes.planes == ()
    assert codes(found) == ["ambiguous-activity"]
    assert f"/{F}/alpha, /{F}/beta" in found[0].message
    assert f"# or instead: /{F}/beta" in found[0].remedy
    stated = stated_in(found[0])
    assert stated == {"activity": [{"series": f"/{F}/alpha", "kind": "raw"}]}
    stated["activity"][0]["series"] = f"/{F}/beta"
    (plane,) = read(path, stated)[0].planes
    np.testing.assert_array_equal(samples(path, plane.traces), 2 * data)


def test_two_neuropils_are_asked_for(tmp_path, data):
    names = ("RoiResponseSeries", "Neuropil_a", "Neuropil_b")
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/{name}", data) for name in names])
    _, found = read(path)
    assert codes(found) == ["ambiguous-activity"]
    (plane,) = read(path, stated_in(found[0]))[0].planes
    assert parts(plane)[1] == "Neuropil_a"
    stated = {"activity": [{"neuropil": "none"}]}
    planes, found = read(path, stated)
    assert parts(planes.planes[0])[1] is None
    assert found == []


@pytest.mark.parametrize(("of_traces", "of_neuropil"), [([0, 2], [0, 1, 2]), ([0, 1, 2], [2, 1, 0])])
def test_neuropil_of_other_rois_is_not_left_out_silently(tmp_path, of_traces, of_neuropil):
    series = [
        Traces(f"{F}/{name}", make_traces(70, len(rois)), rois=rois)
        for name, rois in (("RoiResponseSeries", of_traces), ("Neuropil", of_neuropil))
    ]
    path = write_file(tmp_path / "a.nwb", series)
    _, (issue,) = read(path)
    assert (issue.code, issue.severity) == ("length-differs", "error")
    assert "of other ROIs" in issue.message
    planes, found = read(path, stated_in(issue))
    assert parts(planes.planes[0]) == ["RoiResponseSeries", None, None]
    assert found == []


def test_only_denoised_and_deconvolved_are_named_and_measured_on_request(tmp_path, data):
    series = [Traces(f"{F}/Denoised", data), Traces(f"{F}/Deconvolved", data)]
    path = write_file(tmp_path / "a.nwb", series)
    planes, found = read(path)
    assert planes == FoundPlanes((), ("Denoised (denoised)", "Deconvolved (deconvolved)"))
    assert found == []
    planes, found = read(path, {"activity": [{"kind": "denoised"}]})
    assert planes.planes[0].traces.kind == "denoised"
    assert parts(planes.planes[0]) == ["Denoised", None, "Deconvolved"]


def test_a_stated_kind_of_a_stated_series(tmp_path, data):
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/x", data), Traces(f"{F}/y", data)])
    stated = {"activity": [{"series": f"{F}/x", "kind": "dff", "neuropil_subtracted": True}]}
    (plane,) = read(path, stated)[0].planes
    assert (plane.traces.kind, plane.neuropil_subtracted) == ("dff", True)


def test_any_time_series_may_be_stated(tmp_path, data):
    series = Traces("acquisition/calcium", data, kind="TimeSeries", segmentation=None)
    path = write_file(tmp_path / "a.nwb", [series])
    assert read(path)[0].planes == ()
    (plane,) = read(path, {"activity": [{"series": "/acquisition/calcium"}]})[0].planes
    assert (plane.name, plane.traces.n_rois, plane.clock.n_frames) == ("plane", N_ROIS, N_FRAMES)


@pytest.mark.parametrize(
    "entry", [{"series": "/processing/ophys/nothing"}, {"plane": "Nothing", "rate_hz": 3}, {"neuropil": "/x"}]
)
def test_an_override_that_names_nothing_is_an_error(tmp_path, data, entry):
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/x", data)])
    assert codes(read(path, {"activity": [entry]})[1]) == ["override-unused"]


def test_a_kind_that_is_not_there_and_series_of_the_same_rois_cannot_be_stated(tmp_path, data):
    path = write_file(
        tmp_path / "a.nwb", [Traces(f"{F}/x", data), Traces(f"{F}/y", data), Traces(f"{F}/z", data[:0])]
    )
    assert codes(read(path, {"activity": [{"kind": "denoised"}]})[1]) == ["override-unused"]
    both = [{"series": f"/{F}/x"}, {"series": f"/{F}/y"}]
    assert codes(read(path, {"activity": both})[1]) == ["ambiguous-activity"]
    _, found = read(path, {"activity": [{"series": f"/{F}/z"}]})
    assert codes(found)[0] == "override-unused"
    assert "no numbers" in found[0].message


def test_the_second_channel_alone_is_not_measured_unasked(tmp_path, data):
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/SecondChannel", data)])
    assert read(path)[0] == FoundPlanes((), ("SecondChannel (second channel)",))
    (plane,) = read(path, {"activity": [{"series": f"/{F}/SecondChannel"}]})[0].planes
    assert plane.traces.kind == "raw"


# ---- several planes ----------------------------------------------------------------------------------------


def test_several_planes_with_series_of_their_own(tmp_path):
    deep, shallow = (f"{SEGMENTATION}{name}" for name in ("_deep", "_shallow"))
    path = write_file(
        tmp_path / "a.nwb",
        [
            Traces(f"{F}/RoiResponseSeries_deep", make_traces(70, 2), segmentation=deep),
            Traces(f"{F}/Neuropil_deep", make_traces(70, 2), segmentation=deep),
            Traces(f"{F}/RoiResponseSeries_shallow", make_traces(60, 4), segmentation=shallow, start_s=0.05),
        ],
        n_rois={deep: 2, shallow: 4},
    )
    planes, found = read(path)
    assert [each.name for each in planes.planes] == ["PlaneSegmentation_deep", "PlaneSegmentation_shallow"]
    assert parts(planes.planes[0])[1] == "Neuropil_deep"
    assert parts(planes.planes[1])[1] is None
    assert [each.clock.start_s for each in planes.planes] == [0.0, 0.05]
    assert found == []


def test_planes_of_one_name_are_called_by_their_paths(tmp_path, data):
    tables = [f"processing/plane_{n}/image_segmentation/roi_table" for n in range(2)]
    series = [
        Traces(f"processing/plane_{n}/raw_timeseries/F", data, segmentation=tables[n]) for n in range(2)
    ]
    planes, _ = read(write_file(tmp_path / "a.nwb", series))
    assert [each.name for each in planes.planes] == [
        "plane_0/image_segmentation/roi_table",
        "plane_1/image_segmentation/roi_table",
    ]


def test_two_segmentations_of_one_image_are_reported(tmp_path, data):
    tables = [f"processing/ophys/ImageSegmentation/{name}" for name in ("caiman", "suite2p")]
    series = [Traces(f"{F}/F_{n}", data, segmentation=table) for n, table in enumerate(tables)]
    path = write_file(tmp_path / "a.nwb", series, planes=dict.fromkeys(tables, "one"))
    planes, found = read(path)
    assert len(planes.planes) == 2
    assert codes(found) == ["planes-share-image"]
    (plane,) = read(path, stated_in(found[0]))[0].planes
    assert plane.name == "caiman"
    apart = write_file(tmp_path / "b.nwb", series)
    assert codes(read(apart)[1]) == []


def test_series_of_different_rois_of_one_segmentation_are_all_measured(tmp_path):
    series = [
        Traces(f"{F}/plane0", make_traces(70, 2), rois=[0, 1]),
        Traces(f"{F}/plane1", make_traces(60, 3), rois=[2, 3, 4]),
        Traces("processing/ophys/Neuropil/plane0", make_traces(70, 2), rois=[0, 1], container="Fluorescence"),
        Traces(
            "processing/ophys/Neuropil/plane1", make_traces(60, 3), rois=[2, 3, 4], container="Fluorescence"
        ),
    ]
    planes, found = read(write_file(tmp_path / "a.nwb", series, n_rois=5))
    assert [each.rows.tolist() for each in planes.planes] == [[0, 1], [2, 3, 4]]
    assert {each.name for each in planes.planes} == {"PlaneSegmentation"}
    assert [each.neuropil.n_rois for each in planes.planes] == [2, 3]
    assert found == []


def test_a_recording_in_parts_is_told_apart_and_reported(tmp_path, data):
    series = [Traces(f"{F}/before", data), Traces(f"{F}/after", data[:60], start_s=100.0)]
    planes, found = read(write_file(tmp_path / "a.nwb", series))
    assert sorted(each.name.rpartition("/")[2] for each in planes.planes) == ["after", "before"]
    assert codes(found) == ["activity-in-parts"]


def test_a_part_called_baseline_is_not_left_out_silently(tmp_path, data):
    series = [Traces(f"{F}/RoiResponseSeries", data, start_s=100.0), Traces(f"{F}/baseline", data)]
    _, found = read(write_file(tmp_path / "a.nwb", series))
    assert "ambiguous-activity" in codes(found)
    series = [Traces(f"{F}/RoiResponseSeries", data), Traces(f"{F}/Baseline", data)]
    assert codes(read(write_file(tmp_path / "b.nwb", series))[1]) == []


def test_the_same_rois_at_two_rates_are_not_counted_twice(tmp_path):
    fast, slow = Traces(f"{F}/a", make_traces(70, 3)), Traces(f"{F}/b", make_traces(7, 3), rate_hz=1.0)
    assert codes(read(write_file(tmp_path / "a.nwb", [fast, slow]))[1]) == ["ambiguous-activity"]
    slow = Traces("processing/ophys/DfOverF/b", make_traces(7, 3), rate_hz=1.0)
    planes, found = read(write_file(tmp_path / "b.nwb", [fast, slow]))
    assert [parts(each)[0] for each in planes.planes] == ["a"]
    assert found == []


# ---- places and links --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["acquisition/x", "analysis/x", "processing/a/x", "processing/a/Group/x"])
def test_series_are_found_wherever_they_are(tmp_path, data, where):
    planes, _ = read(write_file(tmp_path / "a.nwb", [Traces(where, data, container="Fluorescence")]))
    assert [each.traces.array.object_path for each in planes.planes] == [f"/{where}/data"]


def test_a_series_that_is_linked_in_two_places_is_one(tmp_path, data):
    path = write_file(tmp_path / "a.nwb", [Traces("acquisition/signals", data)])
    with h5py.File(path, "r+") as nwb:
        for name, link in (
            ("DfOverF", h5py.SoftLink("/acquisition/signals")),
            ("Other", nwb["acquisition/signals"]),
        ):
            nwb.create_group(f"processing/ophys/{name}").attrs["neurodata_type"] = name
            nwb[f"processing/ophys/{name}/linked"] = link
    (plane,) = read(path)[0].planes
    assert plane.traces.kind == "dff"  # what holds it by a link says so


def test_data_and_stamps_may_be_links_to_those_of_another_series(tmp_path, data):
    stamps = np.arange(N_FRAMES) / 10 + 3.0
    first = Traces(f"{F}/RoiResponseSeries", data, stamps=stamps)
    path = write_file(tmp_path / "a.nwb", [first, Traces(f"{F}/Neuropil", data, rate_hz=None)])
    with h5py.File(path, "r+") as nwb:
        nwb[f"{F}/Neuropil/timestamps"] = h5py.SoftLink(f"/{F}/RoiResponseSeries/timestamps")
    (plane,) = read(path)[0].planes
    assert parts(plane)[1] == "Neuropil"


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path, data):
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/x", data)])
    with h5py.File(path, "r+") as nwb:
        nwb[f"{F}/gone"] = h5py.SoftLink("/nowhere")
    assert len(read(path)[0].planes) == 1


def test_fibres_are_no_cells(tmp_path, data):
    path = write_file(tmp_path / "a.nwb", [Traces("acquisition/photometry", data)])
    with h5py.File(path, "r+") as nwb:
        table = nwb[SEGMENTATION]
        table.attrs["neurodata_type"] = "FibersTable"
        del table["imaging_plane"]
    planes, found = read(path)
    assert planes.planes == ()
    assert codes(found) == ["activity-left-out"]
    assert "FibersTable" in found[0].message


def test_an_extension_of_a_series_of_traces_is_one(tmp_path, data):
    path = write_file(tmp_path / "a.nwb", [Traces("processing/ophys/mine", data, kind="MyResponses")])
    assert len(read(path)[0].planes) == 1


# ---- spoilt frames -----------------------------------------------------------------------------------------


def test_marks_of_a_plane_and_of_all_planes(tmp_path, data):
    one, other = f"{SEGMENTATION}_a", f"{SEGMENTATION}_b"
    series = [Traces(f"{F}/RoiResponseSeries{s[-2:]}", data, segmentation=s) for s in (one, other)]
    path = write_file(tmp_path / "a.nwb", series)
    marked = {"badframes": [1], "badframes_a": [2], "badframes_b": [3], "badframes_c": [4], "ok_frames": [5]}
    with h5py.File(path, "r+") as nwb:
        for name, frames in marked.items():
            flags = np.zeros(N_FRAMES, dtype=np.uint8)
            flags[frames] = 1
            nwb[f"processing/ophys/{name}/data"] = flags
    planes, _ = read(path)
    for plane, expected in zip(planes.planes, ([1, 2], [1, 3]), strict=True):
        masks = [each for each in plane.censors if isinstance(each, FrameMask)]
        with ArrayReader(LocalBytes(path)) as reader:
            values = reader.read_many([(each.array, (slice(0, N_FRAMES),)) for each in masks])
        assert np.flatnonzero(np.any(values, axis=0)).tolist() == expected
