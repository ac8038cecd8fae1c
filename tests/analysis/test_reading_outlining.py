"""Outlines of whole files: facts of the session, what is lacking, what is stated, and their size as JSON."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from bare_nwb import add_units
from ophys_file import Traces, add_traces, make_traces, write_file

from nwbswitch.analysis.access.stored_array import Filter, StoredArray
from nwbswitch.analysis.reading.outline import OUTLINES, NeuronTable, Outline
from nwbswitch.analysis.reading.outlining import outline_of
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.overrides import Override

F = "processing/ophys/Fluorescence"


def read(path: Path, stated: dict | None = None, *, name: str = "") -> Outline:
    with open_hdf5(path) as nwb:
        return outline_of(nwb, name=name or str(path), override=Override.model_validate(stated or {}))


def codes(outline: Outline, *severities: str) -> list[str]:
    return [each.code for each in outline.issues if each.severity in (severities or ("error", "warning"))]


@pytest.fixture
def path(tmp_path) -> Path:
    return write_file(tmp_path / "lab" / "a.nwb", [Traces(f"{F}/RoiResponseSeries", make_traces(600, 3))])


def test_facts_of_our_own_file(nwb_files, tmp_path):
    made = nwb_files.write_nwb(
        tmp_path / "a.nwb",
        {"RoiResponseSeries": nwb_files.make_traces(3, n_frames=1300)},
        columns={
            "accepted": [True, False, True],
            "cell_type": ["excitatory", "SST", "PV"],
            "tracking_id": ["t0", "t1", "t2"],
            "depth_um": [200.0, 210.0, 220.0],
        },
        keywords=("SIMULATED", "dataset:my-study"),
    )
    outline = read(made)
    assert (outline.dataset, outline.subject.subject_id, outline.session_id) == ("my-study", "m1", "s1")
    assert (outline.simulated, outline.start_time) == (True, datetime(2026, 1, 1, tzinfo=UTC))
    assert [(row.substance, row.dose) for row in outline.administrations] == [("ketamine", 10)]
    assert [span.window for span in outline.windows] == ["pseudo_baseline", "baseline", "pseudo_drug", "drug"]
    (plane,) = outline.planes
    assert plane.neurons.cell_type == ("excitatory", "SST", "PV")
    assert plane.neurons.tracking_id == ("t0", "t1", "t2")
    assert plane.neurons.depth_um == (200.0, 210.0, 220.0)
    assert plane.neurons.region == ("RSPd",) * 3
    assert codes(outline) == []


def test_what_a_file_lacks_is_a_finding(tmp_path):
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/F", make_traces(600, 3))], windows=(), subject_id="")
    outline = read(path)
    assert sorted(codes(outline)) == ["missing-value", "no-drug-log", "no-epochs"]
    assert len(outline.planes) == 1
    assert {each.place.file for each in outline.issues} == {str(path)}


def test_what_is_stated_settles_it(tmp_path):
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/F", make_traces(600, 3))], windows=(), subject_id="")
    stated = {
        "dataset": "mine",
        "subject_id": "m9",
        "session_id": "d2",
        "start_time": "2020-01-02T03:04:05+01:00",
        "cell_type": "Pvalb",
        "region": "primary visual area",
        "layer": "2/3",
        "depth_um": 180,
        "indicator": "jGCaMP8m",
        "windows": [
            {"window": "baseline", "start_s": -20, "stop_s": 0, "relative_to": "administration"},
            {"window": "drug", "start_s": 0, "stop_s": 20, "relative_to": "administration"},
        ],
        "administrations": [{"timestamp_s": 30, "substance": "Ketamine", "dose": 10, "dose_unit": "mg/kg"}],
    }
    outline = read(path, stated)
    assert codes(outline) == []
    assert (outline.dataset, outline.subject.subject_id, outline.session_id) == ("mine", "m9", "d2")
    assert outline.start_time.isoformat() == "2020-01-02T03:04:05+01:00"
    assert [(span.start_s, span.stop_s) for span in outline.windows] == [(10, 30), (30, 50)]
    assert [row.substance for row in outline.administrations] == ["ketamine"]
    assert {(each.field, each.value, each.confidence) for each in outline.evidence} >= {
        ("dose", "10.0", "stated"),
        ("substance", "ketamine", "stated"),
    }
    (plane,) = outline.planes
    assert plane.indicator == "jGCaMP8m"
    neurons = plane.neurons
    assert (set(neurons.cell_type), set(neurons.region)) == ({"PV"}, {"VISp"})
    assert (set(neurons.layer), set(neurons.depth_um)) == ({"2/3"}, {180.0})


def test_accepted_rois_by_a_stated_column(tmp_path):
    series = [Traces(f"{F}/F", make_traces(600, 3))]
    path = write_file(tmp_path / "a.nwb", series, columns={"soma_probability": [0.9, 0.2, 0.7]})
    assert read(path).planes[0].neurons.accepted == (True, True, True)
    stated = {"accepted": {"column": "soma_probability", "above": 0.5}}
    assert read(path, stated).planes[0].neurons.accepted == (True, False, True)


def test_a_mistake_in_our_own_drug_log_is_an_error_until_it_is_settled(nwb_files, tmp_path):
    traces = {"RoiResponseSeries": nwb_files.make_traces(3, n_frames=1300)}
    path = nwb_files.write_nwb(tmp_path / "a.nwb", traces, drugs=[nwb_files.KETAMINE | {"role": "poison"}])
    assert codes(read(path), "error") == ["bad-cell"]
    assert codes(read(path, {"administrations": [{"timestamp_s": 150, "substance": "ketamine"}]})) == []


def test_drugs_are_read_wherever_the_file_speaks_of_them(path):
    with h5py.File(path, "r+") as nwb:
        nwb["general/pharmacology"] = "Ketamine 10 mg/kg i.p. 600 s after the start of the session."
    outline = read(path)
    assert [(row.substance, row.dose, row.route) for row in outline.administrations] == [
        ("ketamine", 10.0, "i.p.")
    ]
    assert {each.place for each in outline.evidence} == {"/general/pharmacology"}
    coded = {"drug_codes": {"RSK": "ketamine"}}
    with h5py.File(path, "r+") as nwb:
        del nwb["general/pharmacology"], nwb["general/session_id"]
        nwb["general/session_id"] = "day1_RSK"
    assert [row.substance for row in read(path, coded).administrations] == ["ketamine"]


def test_a_session_in_which_nothing_was_given_is_stated(path):
    assert codes(read(path)) == ["no-drug-log"]
    assert codes(read(path, {"control": {"kind": "none"}})) == []


def test_every_proposal_for_a_file_is_read_back(tmp_path):
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/F", make_traces(600, 3))], windows=(), subject_id="")
    for each in read(path).issues:
        if "overrides:\n" in each.remedy:
            text = each.remedy.partition("overrides:\n")[2].replace("FILL IN", "'7'")
            (entry,) = yaml.safe_load(text)["sources"]
            entry.pop("match")
            if "windows" not in entry:
                Override.model_validate(entry)


@pytest.mark.parametrize(
    ("name", "dataset", "session"),
    [
        ("/data/lab-x/sub-3/sub-3_ses-7_ophys.nwb", "lab-x", "7"),
        ("/data/lab-x/day1.nwb", "lab-x", "day1"),
        ("dandi:001326@draft/sub-3/sub-3_ses-7.nwb", "dandi:001326", "7"),
        ("dandi:001326@0.240101.1234/x.nwb", "dandi:001326", "x"),
        ("https://example.org/files/lab-x/sub-3/a%20b.nwb", "lab-x", "a%20b"),
    ],
)
def test_names_where_the_file_states_none(path, name, dataset, session):
    with h5py.File(path, "r+") as nwb:
        del nwb["general/session_id"]
    outline = read(path, name=name)
    assert (outline.dataset, outline.session_id) == (dataset, session)


@pytest.mark.parametrize("said", ["yesterday", "", "2024-13-01T00:00:00"])
def test_a_start_that_is_no_date_is_an_error(path, said):
    with h5py.File(path, "r+") as nwb:
        del nwb["session_start_time"]
        nwb["session_start_time"] = said
    assert codes(read(path), "error") == ["wrong-value"]
    assert codes(read(path, {"start_time": "2024-01-01T00:00:00Z"}), "error") == []


def test_windows_and_traces_of_two_clocks_that_do_not_meet_are_an_error(path):
    stated = {"activity": [{"start_s": 5000.0, "rate_hz": 10}]}
    outline = read(path, stated)
    assert codes(outline, "error") == ["epoch-outside-recording"]
    assert "5000 to 5060 s" in outline.issues[-1].message


def test_only_what_is_not_nwb_2_is_refused(tmp_path):
    plain = tmp_path / "plain.nwb"
    with h5py.File(plain, "w") as file:
        file["x"] = 1
    with pytest.raises(InputFileError, match="not NWB 2"):
        read(plain)
    with pytest.raises(InputFileError, match=r"'1\.0\.6'.*not NWB 2"):
        read(write_file(tmp_path / "old.nwb", version="1.0.6"))
    with h5py.File(plain, "r+") as file:
        file["nwb_version"] = "NWB-1.0.5"
    with pytest.raises(InputFileError, match=r"NWB-1\.0\.5"):
        read(plain)


def test_a_file_without_anything_to_measure_says_only_that(tmp_path):
    outline = read(write_file(tmp_path / "a.nwb", windows=(), subject_id=""))
    assert codes(outline) == ["no-activity"]


def test_units_that_cannot_be_used_are_not_denied(tmp_path):
    path = write_file(tmp_path / "a.nwb", windows=())
    with h5py.File(path, "r+") as file:
        add_units(file, [[30_000.0, 3e9], [60_000.0]])
    (nothing,) = [each for each in read(path).issues if each.code == "suspect-clock"]
    assert "no activity but /units/spike_times" in nothing.message


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        ("https://example.org/files/sub-1/a.nwb", True),
        ("dandi:assets/6a7b/sub-1/a.nwb", True),
        ("dandi:000123@draft/sub-1/a.nwb", False),
        ("lab/sub-1/a.nwb", False),
    ],
)
def test_a_data_set_that_only_an_address_names_is_told(tmp_path, name, noted):
    path = write_file(tmp_path / "a.nwb", [Traces(f"{F}/F", make_traces(600, 3))])
    said = [each.message for each in read(path, name=name).issues if "data set" in each.message]
    assert len(said) == noted
    assert not [each for each in read(path, {"dataset": "x"}, name=name).issues if "data set" in each.message]


def test_a_file_of_raw_movies_is_no_mistake(nwb_files, tmp_path):
    made = nwb_files.write_nwb(tmp_path / "a.nwb", {}, keywords=("companion:abc",), windows=None, drugs=())
    outline = read(made)
    assert [(each.code, each.severity) for each in outline.issues] == [("raw-file", "note")]
    assert outline.planes == outline.points == ()


def test_an_outline_comes_back_from_json(path):
    stamped = Traces(f"{F}/Neuropil", make_traces(600, 3), stamps=np.arange(600) / 10)
    with h5py.File(path, "r+") as nwb:
        add_traces(nwb, stamped)
    outline = read(path)
    text = OUTLINES.dump_json(outline)
    back = OUTLINES.validate_json(text)
    assert OUTLINES.dump_json(back) == text
    assert back.issues == outline.issues
    assert back.planes[0].clock == outline.planes[0].clock
    assert back.planes[0].rows.tolist() == [0, 1, 2]


def test_outlines_of_large_recordings_stay_small_and_quick(path):
    """Ten thousand ROIs; a million chunks, of sizes that compression makes uneven."""
    n_chunks, n_rois = 1_000_000, 10_000
    rng = np.random.default_rng(0)
    sizes = rng.integers(18_000, 22_000, n_chunks)
    array = StoredArray(
        "/x/data", (1000 * 100, n_rois), "<f4", (100, 10), (Filter.SHUFFLE, Filter.GZIP),
        offsets=np.cumsum(sizes), sizes=sizes, skipped=np.zeros(n_chunks, dtype=np.int64),
    )  # fmt: skip
    neurons = NeuronTable(
        accepted=(True,) * n_rois,
        cell_type=("excitatory",) * n_rois,
        roi_basis=("activity",) * n_rois,
        tracking_id=tuple(f"animal-{n}" for n in range(n_rois)),
        region=("VISp",) * n_rois,
        layer=("2/3",) * n_rois,
        depth_um=(float("nan"),) * n_rois,
    )
    outline = read(path)
    plane = outline.planes[0]
    traces = replace(plane.traces, array=array)
    outline = replace(
        outline, planes=(replace(plane, traces=traces, neurons=neurons, rows=np.arange(n_rois)),)
    )
    begin_s = time.perf_counter()
    text = OUTLINES.dump_json(outline)
    back = OUTLINES.validate_json(text)
    assert time.perf_counter() - begin_s < 5
    assert len(text) < 8_000_000
    assert back.planes[0].traces.array.offsets.tolist()[-1] == sizes.sum()
    assert back.planes[0].neurons.tracking_id[-1] == "animal-9999"
