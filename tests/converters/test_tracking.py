"""The same neuron across sessions: results of each program, tables, and contradictions."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from format_writers import tracking_results as writers
from pydantic import TypeAdapter, ValidationError

from nwbswitch.converters.biology.roi_labels import RoiLabels, roi_labels
from nwbswitch.converters.biology.tracking import shared_identities
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.issues import Place
from nwbswitch.schemas.roi_labels import Tracking

SOURCE: TypeAdapter[Tracking] = TypeAdapter(Tracking)
CELLS = np.array([[1, 2], [2, 0], [3, 1], [0, 3]])


def labels(values: dict[str, Any], n_rois: int = 3, **more: Any) -> RoiLabels:
    given = {"subject_id": "m1", "session_id": "day1", **more}
    return roi_labels(n_rois, tracking=SOURCE.validate_python(values), **given)


def ids(found: RoiLabels) -> tuple[str, ...]:
    assert found.names[0] == "tracking_id"
    return tuple(found.columns[0].values)


def write(folder: Path, text: str) -> str:
    (folder / "tracking.csv").write_text(text, encoding="utf-8")
    return str(folder / "tracking.csv")


@pytest.mark.parametrize("form", ["json", "richfile", "richfile.zip"])
def test_roicat_clusters_become_identities(tmp_path: Path, form: str) -> None:
    clusters = writers.roicat_clusters([[0, -1, 1], [2, 0]])
    path = tmp_path / f"m1.tracking.results_all.{form}"
    write_one = writers.write_roicat_json if form == "json" else writers.write_roicat_richfile
    write_one(path, clusters)
    first = labels({"source": "roicat", "path": str(path), "position": "1"})
    assert ids(first) == ("m1-0", "", "m1-1")
    assert first.names == ("tracking_id", "tracking_score")
    scores = list(first.columns[1].values)
    assert scores[0] == 0.0
    assert math.isnan(scores[1])
    assert scores[2] == pytest.approx(0.2)
    second = labels({"source": "roicat", "path": str(path), "sessions": ["a", "day1"]}, 2)
    assert ids(second) == ("m1-2", "m1-0")
    assert list(second.columns[1].values) == pytest.approx([0.3, 0.4])
    text = second.columns[0].description
    assert "share a tracking_id" in text
    assert "ROICaT" in text
    assert "session 2 of 2" in text


def test_roicat_without_scores_and_older_forms(tmp_path: Path) -> None:
    clusters = writers.roicat_clusters([[0, -1, 1], [2, 0]], scores=False)
    path = tmp_path / "r.json"
    writers.write_roicat_json(path, {"clusters": clusters})
    assert labels({"source": "roicat", "path": str(path), "position": 1}).names == ("tracking_id",)
    plain = {"clusters": {"labels_bySession": [np.array([0, -1, 1]), np.array([2, 0])]}}
    (tmp_path / "r.ROICaT.tracking.results.pkl").write_bytes(pickle.dumps(plain))
    source = {"source": "roicat", "path": str(tmp_path / "r.ROICaT.tracking.results.pkl"), "position": 1}
    assert ids(labels(source)) == ("m1-0", "", "m1-1")
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = np.array([[0, -1, 1]]), np.array([[2, 0]])
    scipy.io.savemat(tmp_path / "r.mat", {"clusters": {"labels_bySession": cells}})
    assert ids(labels({**source, "path": str(tmp_path / "r.mat")})) == ("m1-0", "", "m1-1")


def test_a_pickle_that_runs_code_is_refused_with_what_to_use(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "owned",)

    path = tmp_path / "r.ROICaT.tracking.results.pkl"
    path.write_bytes(pickle.dumps({"clusters": {"labels_bySession": [Bad()]}}))
    with pytest.raises(UnsafeFileError, match=r"results_clusters\.json"):
        labels({"source": "roicat", "path": str(path), "position": 1})
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "holds no clusters"),
        ("{}", "holds no labels_bySession"),
        ('{"labels_bySession": [["a"]]}', "does not hold numbers"),
        ('{"labels_bySession": [[-2]]}', "whole numbers from -1"),
        ('{"labels_bySession": [[0.5]]}', "whole numbers from -1"),
        ('{"labels_bySession": [[1' + "0" * 400 + "]]}", "does not hold numbers"),
        ("[" * 100_000, "is not JSON"),
        ("no json", "is not JSON"),
    ],
)
def test_json_that_is_not_roicats_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputFileError, match=said):
        labels({"source": "roicat", "path": str(tmp_path / "r.json"), "position": 1})


def test_a_richfile_that_links_elsewhere_is_not_followed(tmp_path: Path) -> None:
    path = writers.write_roicat_richfile(tmp_path / "r.richfile", writers.roicat_clusters([[0, 1, 2]]))
    value = path / "clusters.dict_item/value.dict/labels_bySession.dict_item/value.json"
    (tmp_path / "secret.json").write_text(value.read_text())
    value.unlink()
    value.symlink_to(tmp_path / "secret.json")
    with pytest.raises(InputFileError, match="labels_bySession"):
        labels({"source": "roicat", "path": str(path), "position": 1})


def test_formats_that_are_not_read_say_what_is(tmp_path: Path) -> None:
    for name in ("r.richfile.sqlar", "r.txt"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(InputFileError, match=r"results_clusters\.json"):
            labels({"source": "roicat", "path": str(tmp_path / name), "position": 1})


def test_one_neuron_cannot_be_two_rois_of_a_session(tmp_path: Path) -> None:
    path = writers.write_roicat_json(tmp_path / "r.json", writers.roicat_clusters([[0, 0, -1]]))
    with pytest.raises(IssuesError, match="The ROIs 0 and 1 of one session are both neuron m1-0"):
        labels({"source": "roicat", "path": str(path), "position": 1})


def test_tracking_of_another_segmentation_is_refused(tmp_path: Path) -> None:
    path = writers.write_roicat_json(tmp_path / "r.json", writers.roicat_clusters([[0, 1]]))
    with pytest.raises(IssuesError, match="2 ROIs of this session were tracked, the segmentation has 3 ROIs"):
        labels({"source": "roicat", "path": str(path), "position": 1})
    accepted = [True, False, True]
    with pytest.raises(IssuesError, match="say rois: accepted"):
        labels({"source": "roicat", "path": str(path), "position": 1}, accepted=accepted)
    found = labels(
        {"source": "roicat", "path": str(path), "position": 1, "rois": "accepted"}, accepted=accepted
    )
    assert ids(found) == ("m1-0", "", "m1-1")


@pytest.mark.parametrize("version", ["7.3", "5"])
def test_cellreg_counts_rois_and_neurons_from_one(tmp_path: Path, version: str) -> None:
    path = tmp_path / "cellRegistered_20210520_100000.mat"
    scores = np.array([0.9, np.nan, 0.7, 1.0])
    if version == "7.3":
        writers.write_cellreg(path, CELLS, scores=scores)
    else:
        struct = {"cell_to_index_map": CELLS.astype(float), "cell_scores": scores[:, None]}
        scipy.io.savemat(path, {"cell_registered_struct": struct})
    source = {"source": "cellreg", "path": str(path), "sessions": ["day1", "day8"]}
    first = labels(source)
    assert ids(first) == ("m1-1", "m1-2", "m1-3")
    assert np.array_equal(first.columns[1].values, [0.9, np.nan, 0.7], equal_nan=True)
    second = labels(source, session_id="day8")
    assert ids(second) == ("m1-3", "m1-1", "m1-4")
    with pytest.raises(IssuesError, match=r"does not name 'day7'. Did you mean 'day"):
        labels(source, session_id="day7")
    with pytest.raises(IssuesError, match="names 3 sessions, but 2 were tracked"):
        labels({**source, "sessions": ["day1", "day8", "day9"]})


def test_cellreg_without_scores_and_without_its_map(tmp_path: Path) -> None:
    path = writers.write_cellreg(tmp_path / "c.mat", CELLS)
    assert labels({"source": "cellreg", "path": str(path), "position": 1}).names == ("tracking_id",)
    scipy.io.savemat(tmp_path / "other.mat", {"x": 1.0})
    with pytest.raises(InputFileError, match="cell_registered_struct"):
        labels({"source": "cellreg", "path": str(tmp_path / "other.mat"), "position": 1})


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([[1, 1], [1, 2]], "ROI 1 is 2 different neurons"),
        ([[-1, 1]], "negative"),
        ([[1.5, 1]], "no numbers of ROIs"),
        ([[7, 1]], "names ROI 6, counted from 0, but the segmentation has 3 ROIs"),
    ],
)
def test_maps_that_contradict_themselves_are_refused(
    tmp_path: Path, cells: list[list[float]], said: str
) -> None:
    path = writers.write_cellreg(tmp_path / "c.mat", np.array(cells, dtype=float))
    with pytest.raises((IssuesError, InputFileError), match=said):
        labels({"source": "cellreg", "path": str(path), "position": 1})


def test_which_session_is_meant_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="it is not guessed"):
        SOURCE.validate_python({"source": "cellreg", "path": "c.mat"})
    with pytest.raises(ValidationError, match="it is not guessed"):
        SOURCE.validate_python({"source": "cellreg", "path": "c.mat", "position": 1, "sessions": ["a"]})
    with pytest.raises(ValidationError, match="names a twice"):
        SOURCE.validate_python({"source": "cellreg", "path": "c.mat", "sessions": ["a", "b", "a"]})


@pytest.mark.parametrize("form", ["npy", "npz", "h5", "mat"])
def test_caiman_assignments_in_every_form(tmp_path: Path, form: str) -> None:
    values = writers.caiman_assignments()
    path = tmp_path / f"a.{form}"
    if form == "npy":
        np.save(path, values)
    elif form == "npz":
        np.savez(path, assignments=values, other=np.zeros(2))
    elif form == "h5":
        with h5py.File(path, "w") as file:
            file["assignments"] = values
    else:
        scipy.io.savemat(path, {"assignments": values})
    source = {"source": "caiman", "path": str(path), "position": 1}
    assert ids(labels(source)) == ("m1-0", "m1-1", "m1-2")
    assert ids(labels({**source, "position": 3}, 2)) == ("m1-1", "m1-2")
    assert ids(labels({**source, "position": 2, "field_of_view": "left"})) == (
        "m1-left-2",
        "m1-left-0",
        "m1-left-3",
    )
    with pytest.raises(IssuesError, match="There is no session 4: 3 were tracked"):
        labels({**source, "position": 4})
    if form in ("npz", "h5", "mat"):
        with pytest.raises(InputFileError, match="nothing"):
            labels({**source, "dataset": "nothing"})


def test_caiman_traps_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    source = {"source": "caiman", "path": str(path), "position": 1}
    np.save(path, np.nan_to_num(np.array([[0, 1], [1, 0], [np.nan, 2]])))
    with pytest.raises(IssuesError, match="nan_to_num"):
        labels(source)
    np.save(path, np.array([[1, 1], [2, 2], [3, 3]]))
    with pytest.raises(IssuesError, match="seem to be counted from 1"):
        labels(source)
    assert ids(labels({**source, "first_roi": 1})) == ("m1-0", "m1-1", "m1-2")
    np.save(path, np.array([[5.0, 1], [9, 2]]))
    assert ids(labels(source, 10))[5] == "m1-0"
    np.save(path, np.zeros(3))
    with pytest.raises(InputFileError, match="expected \\(neurons, sessions\\)"):
        labels(source)
    np.save(path, np.array([["a", "b"]]))
    with pytest.raises(InputFileError, match="does not hold numbers"):
        labels(source)


def test_an_hdf5_file_that_reaches_outside_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["assignments"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(UnsafeFileError):
        labels({"source": "caiman", "path": str(tmp_path / "a.h5"), "position": 1})


def test_a_wide_table_has_a_column_per_session(tmp_path: Path) -> None:
    path = write(tmp_path, "day1,day8\n0,2\n,1\n2,0\n")
    found = labels({"source": "table", "path": path})
    assert ids(found) == ("m1-1", "", "m1-3")
    assert "a table of the lab (tracking.csv)" in found.columns[0].description
    assert ids(labels({"source": "table", "path": path}, session_id="day8")) == ("m1-3", "m1-2", "m1-1")
    assert ids(labels({"source": "table", "path": path, "session_column": "day8"})) == (
        "m1-3",
        "m1-2",
        "m1-1",
    )
    with pytest.raises(IssuesError, match=r"no column 'day7'.*Did you mean 'day"):
        labels({"source": "table", "path": path}, session_id="day7")


def test_a_wide_table_with_names_scores_and_subjects(tmp_path: Path) -> None:
    text = "subject_id,tracking_id,day1,tracking_score\nm1,a,1,0.5\nm2,a,0,0.1\nm1,m1-b,2,\n"
    path = write(tmp_path, text)
    found = labels({"source": "table", "path": path, "software": "Track2p 0.5"})
    assert ids(found) == ("", "m1-a", "m1-b")
    assert np.array_equal(found.columns[1].values, [np.nan, 0.5, np.nan], equal_nan=True)
    assert "Track2p 0.5" in found.sources[0]
    with pytest.raises(IssuesError, match="No row has subject_id 'm3'"):
        labels({"source": "table", "path": path}, subject_id="m3")
    path = write(tmp_path, "tracking_id,day1\na,1\na,\n,2\n")
    with pytest.raises(IssuesError) as caught:
        labels({"source": "table", "path": path})
    assert "tracking.csv:3 (tracking_id): The neuron 'a' is there twice, before in line 2" in str(
        caught.value
    )
    assert "tracking.csv:4 (tracking_id): The neuron has no name" in str(caught.value)


def test_a_long_table_has_a_row_per_roi(tmp_path: Path) -> None:
    text = "session_id,roi,tracking_id\nday1,1,7\nday1,2,\nday8,0,7\n"
    path = write(tmp_path, text)
    assert ids(labels({"source": "table", "path": path})) == ("", "m1-7", "")
    assert ids(labels({"source": "table", "path": path}, session_id="day8")) == ("m1-7", "", "")
    with pytest.raises(IssuesError, match=r"No row has session_id 'day2'. Did you mean"):
        labels({"source": "table", "path": path}, session_id="day2")
    path = write(tmp_path, "roi,tracking_id\n0,a\n1,a\n")
    with pytest.raises(IssuesError, match="The ROIs 0 and 1 of one session are both neuron m1-a"):
        labels({"source": "table", "path": path})
    path = write(tmp_path, "roi,tracking_id\n0,a\n0,b\n3,c\n")
    with pytest.raises(IssuesError) as caught:
        labels({"source": "table", "path": path})
    assert "ROI 0 is there twice" in str(caught.value)
    assert "There is no ROI 3" in str(caught.value)


def test_results_of_richfile_itself_are_laid_out_as_the_writer_does(tmp_path: Path) -> None:
    path = writers.write_roicat_richfile(tmp_path / "r.richfile", writers.roicat_clusters([[0]]))
    value = path / "clusters.dict_item/value.dict/labels_bySession.dict_item/value.json"
    assert json.loads(value.read_text()) == [[0]]


def test_a_name_with_and_without_its_subject_is_one_neuron(tmp_path: Path) -> None:
    path = write(tmp_path, "roi,tracking_id\n0,5\n1,m1-5\n")
    with pytest.raises(IssuesError, match="The ROIs 0 and 1 of one session are both neuron m1-5"):
        labels({"source": "table", "path": path})


def test_planes_may_not_share_identities() -> None:
    place = Place(item="m1/day1")
    assert not shared_identities({"a": ["m1-1", ""], "b": ["m1-2", ""]}, place)
    found = shared_identities({"a": ["m1-1", ""], "b": ["m1-1"], "c": [""]}, place)
    assert len(found) == 1
    assert "m1-1 is in a and in b" in str(found[0])
    assert "field_of_view" in found[0].remedy
