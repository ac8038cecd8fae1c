"""Cell types per ROI: each source, its evidence, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from nwbswitch.converters.biology.roi_labels import RoiLabels, roi_labels
from nwbswitch.schemas.errors import InputFileError, IssuesError, UnsafeFileError
from nwbswitch.schemas.roi_labels import CellTypes

SOURCE: TypeAdapter[CellTypes] = TypeAdapter(CellTypes)


def labels(values: dict[str, Any], n_rois: int = 4, **more: Any) -> RoiLabels:
    given = {"subject_id": "m1", "session_id": "day1", **more}
    return roi_labels(n_rois, cell_types=SOURCE.validate_python(values), **given)


def columns(found: RoiLabels) -> tuple[tuple[str, ...], tuple[str, ...], list[float]]:
    assert found.names == ("cell_type", "cell_type_evidence", "cell_type_confidence")
    types, evidence, confidence = (column.values for column in found.columns)
    return tuple(types), tuple(evidence), list(confidence)


def write(folder: Path, text: str, name: str = "types.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_no_source_gives_no_columns() -> None:
    assert roi_labels(3, subject_id="m1", session_id="day1") == RoiLabels()


def test_a_table_states_type_evidence_and_confidence(tmp_path: Path) -> None:
    path = write(tmp_path, "roi,cell_type,evidence,confidence\n0,Pvalb,stain,0.9\n2,som,,\n3,unknown,,\n")
    found = labels({"source": "table", "path": path, "evidence": "immunostaining"})
    types, evidence, confidence = columns(found)
    assert types == ("PV", "unknown", "SST", "unknown")
    assert evidence == ("stain", "", "immunostaining", "immunostaining")
    assert confidence[0] == 0.9
    assert all(map(math.isnan, confidence[1:]))
    assert "PV: parvalbumin interneuron (CL:4023018)" in found.columns[0].description
    assert found.sources == ("Cell types by the table types.csv.",)
    assert str(tmp_path) not in repr(found)


def test_a_table_of_many_sessions_gives_the_rows_of_this_one(tmp_path: Path) -> None:
    text = "subject_id,session_id,roi,cell_type\nm1,day1,1,PV\nm1,day8,1,SST\nm2,day1,1,VIP\n"
    found = labels({"source": "table", "path": write(tmp_path, text), "others": "pyramidal"})
    assert columns(found)[0] == ("pyramidal", "PV", "pyramidal", "pyramidal")
    assert columns(found)[1][0] == "not in types.csv"
    with pytest.raises(IssuesError, match=r"No row has session_id 'day2'. Did you mean 'day"):
        labels({"source": "table", "path": write(tmp_path, text)}, session_id="day2")


def test_every_mistake_of_a_table_is_told_with_its_line(tmp_path: Path) -> None:
    text = "roi,cell_type,confidence\n4,PV,\n1,Pvalbb,\n2,SST,1.5\n2,SST,\nx,SST,\n-1,SST,\n"
    with pytest.raises(IssuesError) as caught:
        labels({"source": "table", "path": write(tmp_path, text)})
    said = str(caught.value)
    for part in (
        "types.csv:2 (roi): There is no ROI 4: the segmentation has the ROIs 0 to 3. Say first_roi: 1",
        "types.csv:3 (cell_type): 'Pvalbb' is no cell type of the vocabulary. Did you mean 'Pvalb'?",
        "types.csv:4 (confidence): confidence holds '1.5'. Expected a number from 0 to 1",
        "types.csv:5 (roi): ROI 2 is there twice, before in line 4.",
        "types.csv:6 (roi): roi holds 'x'.",
        "types.csv:7 (roi): roi holds '-1'.",
    ):
        assert part in said
    assert len(caught.value.issues) == 6


def test_numbers_from_one_and_numbers_of_accepted_rois(tmp_path: Path) -> None:
    path = write(tmp_path, "roi,cell_type\n1,PV\n2,SST\n")
    values = {"source": "table", "path": path, "first_roi": "1", "rois": "accepted"}
    found = labels(values, accepted=[False, True, False, True])
    assert columns(found)[0] == ("unknown", "PV", "unknown", "SST")
    with pytest.raises(IssuesError, match="does not say which are accepted"):
        labels(values)
    path = write(tmp_path, "roi,cell_type\n0,PV\n")
    with pytest.raises(IssuesError, match="Say first_roi: 0"):
        labels({"source": "table", "path": path, "first_roi": 1})


def test_columns_that_are_not_there_name_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "ROIs,celltype\n0,PV\n")
    with pytest.raises(IssuesError, match=r"no column 'roi'. Did you mean 'ROIs'\?") as caught:
        labels({"source": "table", "path": path})
    assert len(caught.value.issues) == 2
    with pytest.raises(IssuesError, match="no rows"):
        labels({"source": "table", "path": write(tmp_path, "roi,cell_type\n")})


def test_redcell_gives_red_rois_their_type_and_score(tmp_path: Path) -> None:
    np.save(tmp_path / "redcell.npy", np.array([[1, 0.8], [0, 0.2], [1, 0.7], [0, 0.66]]))
    values = {"source": "red_channel", "cell_type": "PV", "line": "Pvalb-Cre; Ai14"}
    found = labels(values, folder=tmp_path)
    types, evidence, confidence = columns(found)
    assert types == ("PV", "unknown", "PV", "unknown")
    assert evidence[0] == "red channel (Pvalb-Cre; Ai14): label 1, score 0.8"
    assert evidence[1] == "red channel (Pvalb-Cre; Ai14): label 0, score 0.2"
    assert confidence[0] == 0.8
    assert math.isnan(confidence[1])
    stricter = labels({**values, "threshold": "0.75", "others": "excitatory"}, folder=tmp_path)
    assert columns(stricter)[0] == ("PV", "excitatory", "excitatory", "excitatory")
    assert columns(stricter)[1][2].endswith("score 0.7 < 0.75")


def test_redcell_must_have_a_row_per_roi_and_two_columns(tmp_path: Path) -> None:
    values = {"source": "red_channel", "cell_type": "PV"}
    with pytest.raises(IssuesError, match=r"give the path of redcell.npy"):
        labels(values)
    np.save(tmp_path / "redcell.npy", np.zeros((3, 2)))
    with pytest.raises(IssuesError, match=r"3 rows for 4 ROIs.*say rois: accepted"):
        labels(values, folder=tmp_path, accepted=[True, True, True, False])
    np.save(tmp_path / "redcell.npy", np.zeros((4, 3)))
    with pytest.raises(InputFileError, match="expected two columns"):
        labels(values, folder=tmp_path)
    np.save(tmp_path / "redcell.npy", np.full((4, 2), 0.5))
    with pytest.raises(InputFileError, match="labels 0 and 1"):
        labels(values, folder=tmp_path)


def test_a_pickle_in_place_of_redcell_is_refused(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return Path.touch, (tmp_path / "owned",)  # type: ignore[return-value]

    np.save(tmp_path / "redcell.npy", np.array([Bad()], dtype=object), allow_pickle=True)
    with pytest.raises(UnsafeFileError):
        labels({"source": "red_channel", "cell_type": "PV"}, folder=tmp_path)
    assert not (tmp_path / "owned").exists()


def test_red_intensity_needs_a_column_and_a_threshold_of_the_user(tmp_path: Path) -> None:
    path = write(tmp_path, "roi;red\n0;120,5\n1;20\n2;\n", "red.csv")
    values = {"source": "red_channel", "path": path, "cell_type": "PV"}
    with pytest.raises(IssuesError, match="column and threshold"):
        labels({**values, "column": "red"})
    types, evidence, _ = columns(labels({**values, "column": "red", "threshold": 100}))
    assert types == ("PV", "unknown", "unknown", "unknown")
    assert evidence == ("red channel: red 120.5 >= 100", "red channel: red 20 < 100", "", "")


def test_an_opto_tag_needs_all_limits_that_are_stated(tmp_path: Path) -> None:
    path = write(tmp_path, "roi,latency_ms,p\n0,4,0.001\n1,4,0.2\n2,,0.001\n3,,0.5\n", "tag.csv")
    values = {"source": "opto_tag", "path": path, "cell_type": "SST", "line": "Sst-Cre; ChrimsonR"}
    limits = {"max_latency_ms": 10, "max_p": 0.01}
    types, evidence, _ = columns(labels({**values, **limits, "others": "pyramidal"}, 5))
    assert types == ("SST", "pyramidal", "unknown", "pyramidal", "unknown")
    assert evidence[0] == "opto-tag (Sst-Cre; ChrimsonR): latency_ms 4 <= 10, p 0.001 <= 0.01"
    assert evidence[2] == evidence[4] == ""
    assert columns(labels({**values, "max_p": 0.01}))[0] == ("SST", "unknown", "SST", "unknown")
    with pytest.raises(ValidationError, match="give max_latency_ms, max_p or both"):
        labels(values)


def test_a_driver_line_types_all_rois() -> None:
    found = labels({"source": "driver_line", "line": "Pvalb-Cre; Ai148", "cell_type": "parvalbumin"})
    types, evidence, confidence = columns(found)
    assert set(types) == {"PV"}
    assert set(evidence) == {"driver line: Pvalb-Cre; Ai148"}
    assert np.isnan(confidence).all()
    with pytest.raises(ValidationError, match=r"no cell type of the vocabulary. Did you mean 'Pvalb'\?"):
        labels({"source": "driver_line", "line": "x", "cell_type": "Pvalp"})


def test_a_path_stays_below_its_root(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    write(tmp_path, "roi,cell_type\n0,PV\n")
    with pytest.raises(UnsafeFileError, match="leads out"):
        labels({"source": "table", "path": "../types.csv"}, root=tmp_path / "study")
    assert columns(labels({"source": "table", "path": "types.csv"}, root=tmp_path))[0][0] == "PV"


def test_columns_become_vector_data(tmp_path: Path) -> None:
    found = labels({"source": "driver_line", "line": "x", "cell_type": "PV"})
    data = found.vector_data()
    assert [each.name for each in data] == list(found.names)
    assert data[0].data == ["PV"] * 4


def test_accepted_must_fit_the_segmentation() -> None:
    with pytest.raises(ValueError, match="shape"):
        labels({"source": "driver_line", "line": "x", "cell_type": "PV"}, accepted=[True])
