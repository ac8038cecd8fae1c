"""What annotating adds, what it leaves as it is, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from format_writers.old_nwb import contents, write_old_nwb
from pynwb import NWBHDF5IO, validate

from nwbswitch.converters.annotate import annotate
from nwbswitch.schemas.drug_log import Administration, pharmacology_line
from nwbswitch.schemas.errors import ExistingOutputError, IssuesError
from nwbswitch.schemas.roi_labels import DriverLineCellTypes

HEADER = "subject_id,session_id,timestamp_s,substance,salt,dose_basis,dose,dose_unit,route,stereochemistry"
KETAMINE = "m1,day1,60,ketamine,hydrochloride,salt,10,mg/kg,i.p.,racemic"
LINE = "Ketamine hydrochloride (racemic) 10 mg/kg i.p. at 60 s"
EPOCHS = "window,start_s,stop_s,relative_to\nbaseline,0,55,\ndrug,5,55,administration\n"
MAY_DIFFER = {"general/pharmacology", "general/keywords", "general/notes", "file_create_date"}
Write = Callable[..., Path]


@pytest.fixture
def nwb(tmp_path: Path) -> Path:
    return write_old_nwb(tmp_path / "old.nwb")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write(tmp_path / "log.csv", f"{HEADER}\n{KETAMINE}\n")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def texts(path: Path, name: str) -> Any:
    with h5py.File(path) as file:
        value = file[name].asstr()[()]
    return value if isinstance(value, str) else value.tolist()


def test_a_drug_log_is_added_as_the_converter_writes_it(nwb: Path, log: Path) -> None:
    before = contents(nwb)
    result = annotate(nwb, drug_log=log)
    assert result.ok
    assert result.files[0].status == "annotated"
    assert result.files[0].changes == (
        "drug log of 1 row added",
        "pharmacology written",
        "keywords written",
    )
    with NWBHDF5IO(nwb, "r") as io:
        nwbfile = io.read()
        table = nwbfile.events["drug_administrations"]
        assert table["substance"][:].tolist() == ["ketamine"]
        assert table["timestamp"][0] == 60
        assert table["dose_mg_per_kg_free_base"][0] == pytest.approx(8.67, abs=0.01)
        targets = {each.target.name for each in table.meanings_tables.values()}
        assert targets == {"role", "control_kind", "stereochemistry", "dose_basis"}
        assert all(each.target is table[each.target.name] for each in table.meanings_tables.values())
        assert nwbfile.pharmacology == LINE
        assert list(nwbfile.keywords) == ["ketamine"]
        linked = nwbfile.get_external_resources().to_dataframe()
        assert set(linked["key"]) == {"ketamine"}
        assert set(linked["file_object_id"]) == {nwbfile.object_id}
        assert set(linked["object_id"]) == {table["substance"].object_id}
        assert "log.csv (sha256 " in nwbfile.notes
        assert list(map(list, nwbfile.was_generated_by))[-1][0] == "nwbswitch"
        assert len(nwbfile.file_create_date) == 2
    assert not validate(path=nwb)
    after = contents(nwb)
    assert {name for name in before if after[name] != before[name]} <= MAY_DIFFER
    assert "processing/ophys/Fluorescence/RoiResponseSeries/data" in before
    assert str(nwb.parent) not in repr(after)


def test_the_same_again_changes_nothing(nwb: Path, log: Path, tmp_path: Path) -> None:
    epochs = write(tmp_path / "epochs.csv", EPOCHS)
    types = write(tmp_path / "types.csv", "roi,cell_type\n0,PV\n")
    given = {"drug_log": log, "epochs": epochs, "cell_types": types}
    assert annotate(nwb, **given).files[0].status == "annotated"
    state = (nwb.stat().st_mtime_ns, nwb.stat().st_ino, nwb.read_bytes())
    again = annotate(nwb, **given)
    assert again.ok
    assert again.summary() == "1 unchanged"
    assert (nwb.stat().st_mtime_ns, nwb.stat().st_ino, nwb.read_bytes()) == state


def test_other_content_needs_overwrite(nwb: Path, log: Path) -> None:
    annotate(nwb, drug_log=log)
    bytes_ = nwb.read_bytes()
    write(log, f"{HEADER}\n{KETAMINE.replace(',10,', ',30,')}\n")
    with pytest.raises(ExistingOutputError, match=r"a drug log of 1 row that differs.*\n.*--overwrite"):
        annotate(nwb, drug_log=log)
    assert nwb.read_bytes() == bytes_
    result = annotate(nwb, drug_log=log, overwrite=True)
    assert result.files[0].changes == ("drug log of 1 row replaced", "pharmacology written")
    assert texts(nwb, "general/pharmacology") == LINE.replace("10 mg", "30 mg")
    with NWBHDF5IO(nwb, "r") as io:
        nwbfile = io.read()
        assert nwbfile.events["drug_administrations"]["dose"][:].tolist() == [30]
        assert len(nwbfile.get_external_resources().to_dataframe()["object_id"].unique()) == 1
        assert nwbfile.notes.count("Annotated by nwbswitch") == 2


def test_a_replaced_substance_leaves_keywords_and_links(nwb: Path, log: Path) -> None:
    annotate(nwb, drug_log=log)
    write(log, f"{HEADER},control_kind\nm1,day1,60,saline,,,not applicable,,i.p.,achiral,saline\n")
    annotate(nwb, drug_log=log, overwrite=True)
    assert texts(nwb, "general/keywords") == ["saline"]
    assert texts(nwb, "general/pharmacology") == "Saline i.p. at 60 s"
    with NWBHDF5IO(nwb, "r") as io:
        linked = io.read().get_external_resources().to_dataframe()
        assert set(linked["key"]) == {"saline"}
        assert set(linked["entity_id"]) >= {"CHEBI:26710"}


def test_what_a_lab_wrote_is_kept(tmp_path: Path, log: Path) -> None:
    path = write_old_nwb(
        tmp_path / "prose.nwb",
        pharmacology="Carprofen 5 mg/kg after surgery",
        keywords=["cortex", "Ketamine"],
        notes="Bumpy ride.",
        was_generated_by=[["neuroconv", "0.4"]],
    )
    result = annotate(path, drug_log=log)
    assert "pharmacology kept and extended" in result.files[0].changes
    assert texts(path, "general/pharmacology") == f"Carprofen 5 mg/kg after surgery. Drug log: {LINE}"
    assert texts(path, "general/keywords") == ["cortex", "Ketamine"]
    assert texts(path, "general/notes").startswith("Bumpy ride. Annotated by nwbswitch")
    assert texts(path, "general/was_generated_by")[0] == ["neuroconv", "0.4"]
    write(log, f"{HEADER}\n{KETAMINE.replace(',10,', ',20,')}\n")
    annotate(path, drug_log=log, overwrite=True)
    line = LINE.replace("10 mg", "20 mg")
    assert texts(path, "general/pharmacology") == f"Carprofen 5 mg/kg after surgery. Drug log: {line}"


def test_links_of_others_stay(nwb: Path, log: Path) -> None:
    with NWBHDF5IO(nwb, "a") as io:
        nwbfile = io.read()
        nwbfile.get_external_resources().add_ref(
            container=nwbfile.subject,
            attribute="species",
            key="Mus musculus",
            entity_id="NCBITaxon:10090",
            entity_uri="http://purl.obolibrary.org/obo/NCBITaxon_10090",
        )
        io.write(nwbfile)
    annotate(nwb, drug_log=log)
    write(log, f"{HEADER}\n{KETAMINE.replace(',10,', ',20,')}\n")
    annotate(nwb, drug_log=log, overwrite=True)
    with NWBHDF5IO(nwb, "r") as io:
        nwbfile = io.read()
        linked = nwbfile.get_external_resources().to_dataframe()
        species = linked[linked["key"] == "Mus musculus"]
        assert species["entity_id"].tolist() == ["NCBITaxon:10090"]
        assert species["object_id"].tolist() == [nwbfile.subject.object_id]
        substance = linked[linked["key"] == "ketamine"]
        assert set(substance["object_id"]) == {nwbfile.events["drug_administrations"]["substance"].object_id}
        assert len(substance) >= 3
        assert len(linked) == len(substance) + 1


def test_windows_count_from_the_log_of_the_file(nwb: Path, log: Path, tmp_path: Path) -> None:
    epochs = write(tmp_path / "epochs.csv", EPOCHS)
    assert "the drug log has none" in str(annotate(nwb, epochs=epochs).issues[0])
    annotate(nwb, drug_log=log)
    result = annotate(nwb, epochs=epochs)
    assert result.files[0].changes == ("2 analysis windows added",)
    with NWBHDF5IO(nwb, "r") as io:
        frame = io.read().intervals["analysis_epochs"].to_dataframe()
    assert frame["window"].tolist() == ["baseline", "drug"]
    assert frame["start_time"].tolist() == [0, 65]
    write(epochs, EPOCHS.replace("5,55,adm", "6,55,adm"))
    with pytest.raises(ExistingOutputError, match="analysis windows that differ"):
        annotate(nwb, epochs=epochs)
    annotate(nwb, epochs=epochs, overwrite=True)
    with h5py.File(nwb) as file:
        assert file["intervals/analysis_epochs/start_time"][:].tolist() == [0, 66]


def test_windows_of_one_session_or_of_all(tmp_path: Path) -> None:
    files = [write_old_nwb(tmp_path / f"{name}.nwb", session_id=name) for name in ("day1", "day8", "day9")]
    text = "session_id,window,start_s,stop_s\n,baseline,0,50\nday8,drug,60,100\n"
    result = annotate(files, epochs=write(tmp_path / "epochs.csv", text))
    assert [each.changes[0] for each in result.files] == [
        "1 analysis window added",
        "2 analysis windows added",
        "1 analysis window added",
    ]
    text = "session_id,window,start_s,stop_s\nday2,baseline,0,50\n"
    failed = annotate(files[0], epochs=write(tmp_path / "epochs.csv", text))
    assert not failed.ok
    assert "no row for subject 'm1', session 'day1'. Did you mean 'day2'?" in str(failed.issues[0])


def test_mistakes_in_tables_are_all_told_before_anything_is_written(nwb: Path, tmp_path: Path) -> None:
    bytes_ = nwb.read_bytes()
    log = write(tmp_path / "log.csv", f"{HEADER}\n{KETAMINE.replace('ketamine', 'ketamin')}\n")
    epochs = write(
        tmp_path / "epochs.csv",
        "window,start_s,stop_s,relative_to,colour\nbaselin,0,5,,\ndrug,9,3,,\ndrug,,x,sesion,\n",
    )
    with pytest.raises(IssuesError) as caught:
        annotate(nwb, drug_log=log, epochs=epochs, cell_types=tmp_path / "none.csv")
    said = str(caught.value)
    for part in (
        "'ketamin' is not in the vocabulary. Did you mean 'ketamine'?",
        "epochs.csv:2 (window): window is 'baselin'. Did you mean 'baseline'?",
        "epochs.csv:3: stop_s must be after start_s",
        "epochs.csv:4 (relative_to): relative_to is 'sesion'. Did you mean 'session'?",
        "epochs.csv:4 (start_s): start_s must be given.",
        "epochs.csv:4 (stop_s): stop_s holds 'x'.",
        "The column 'colour' is not used.",
        "none.csv: The file is not there.",
    ):
        assert part in said
    assert nwb.read_bytes() == bytes_


def test_each_file_gets_its_own_rows(tmp_path: Path) -> None:
    files = [
        write_old_nwb(tmp_path / "a.nwb"),
        write_old_nwb(tmp_path / "b.nwb", session_id="day8"),
        write_old_nwb(tmp_path / "c.nwb", session_id="day15"),
    ]
    log = write(tmp_path / "log.csv", f"{HEADER}\n{KETAMINE}\n{KETAMINE.replace('day1,60', 'day8,70')}\n")
    result = annotate(files, drug_log=log)
    assert [each.status for each in result.files] == ["annotated", "annotated", "failed"]
    assert not result.ok
    assert "c.nwb: The drug log has no row for subject 'm1', session 'day15'. Did you mean" in str(
        result.issues[0]
    )
    with h5py.File(files[1]) as file:
        assert file["events/drug_administrations/timestamp"][:].tolist() == [70]
    assert json.loads(json.dumps(result.as_dict()))["files"][2]["status"] == "failed"
    assert result.summary().startswith("2 annotated, 1 failed")


def test_a_file_without_names_needs_to_be_told_which_it_is(tmp_path: Path, log: Path) -> None:
    path = write_old_nwb(tmp_path / "nameless.nwb", session_id=None)
    result = annotate(path, drug_log=log)
    assert "states no session_id" in str(result.issues[0])
    assert "session_id (--session-id)" in str(result.issues[0])
    assert annotate(path, drug_log=log, session_id="day1").ok
    with pytest.raises(ValueError, match="for one file"):
        annotate([path, tmp_path / "b.nwb"], drug_log=log, session_id="day1")


def test_wrong_calls(nwb: Path, log: Path) -> None:
    with pytest.raises(ValueError, match="nothing to add"):
        annotate(nwb)
    with pytest.raises(ValueError, match="twice"):
        annotate([nwb, nwb], drug_log=log)
    with pytest.raises(ValueError, match="no file"):
        annotate([], drug_log=log)


def test_a_dry_run_says_what_would_change(nwb: Path, log: Path) -> None:
    bytes_ = nwb.read_bytes()
    result = annotate(nwb, drug_log=log, dry_run=True)
    assert result.files[0].status == "planned"
    assert "drug log of 1 row added" in result.summary()
    assert nwb.read_bytes() == bytes_


def test_cell_types_and_tracking_become_columns(nwb: Path, tmp_path: Path) -> None:
    before = contents(nwb)
    types = write(tmp_path / "types.csv", "roi,cell_type,evidence,confidence\n0,Pvalb,stain,0.9\n2,SST,,\n")
    tracking = write(tmp_path / "tracking.csv", "day1,day8\n0,1\n,0\n3,\n")
    result = annotate(nwb, cell_types=types, tracking=tracking)
    assert result.files[0].changes == (
        "PlaneSegmentation: cell_type, cell_type_evidence, cell_type_confidence, tracking_id written",
    )
    with NWBHDF5IO(nwb, "r") as io:
        nwbfile = io.read()
        table = nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        assert table.colnames == (
            "accepted",
            "pixel_mask",
            "cell_type",
            "cell_type_evidence",
            "cell_type_confidence",
            "tracking_id",
        )
        assert table["cell_type"][:].tolist() == ["PV", "unknown", "SST", "unknown"]
        assert table["tracking_id"][:].tolist() == ["m1-1", "", "", "m1-3"]
        assert table.to_dataframe().shape == (4, 6)
        assert "sha256" in nwbfile.notes
    assert not validate(path=nwb)
    after = contents(nwb)
    assert {name for name in before if after[name] != before[name]} <= MAY_DIFFER


def test_unknown_cell_types_are_filled_in_and_known_ones_need_overwrite(nwb: Path, tmp_path: Path) -> None:
    path = "processing/ophys/ImageSegmentation/PlaneSegmentation"
    unknown = DriverLineCellTypes(source="driver_line", line="none", cell_type="unknown")
    annotate(nwb, cell_types=unknown)
    with h5py.File(nwb) as file:
        object_id = file[f"{path}/cell_type"].attrs["object_id"]
    line = DriverLineCellTypes(source="driver_line", line="Pvalb-Cre; Ai148", cell_type="PV")
    with pytest.raises(ExistingOutputError, match="cell_type_evidence with other values"):
        annotate(nwb, cell_types=line)
    assert annotate(nwb, cell_types=line, overwrite=True).ok
    with h5py.File(nwb) as file:
        column = file[f"{path}/cell_type"]
        assert set(column.asstr()[()]) == {"PV"}
        assert column.attrs["object_id"] == object_id
        assert "parvalbumin" in column.attrs["description"]
        assert list(file[path].attrs["colnames"]).count("cell_type") == 1


def test_a_new_tracking_without_scores_drops_the_old_scores(nwb: Path, tmp_path: Path) -> None:
    tracking = write(tmp_path / "tracking.csv", "roi,tracking_id,tracking_score\n0,a,0.5\n1,b,\n")
    annotate(nwb, tracking=tracking)
    write(tracking, "roi,tracking_id\n0,b\n1,a\n")
    with pytest.raises(ExistingOutputError, match="tracking_id with other values"):
        annotate(nwb, tracking=tracking)
    annotate(nwb, tracking=tracking, overwrite=True)
    with h5py.File(nwb) as file:
        group = file["processing/ophys/ImageSegmentation/PlaneSegmentation"]
        assert group["tracking_id"].asstr()[()].tolist() == ["m1-b", "m1-a", "", ""]
        assert np.isnan(group["tracking_score"][()]).all()


def test_columns_of_other_forms_are_replaced(nwb: Path, tmp_path: Path) -> None:
    path = "processing/ophys/ImageSegmentation/PlaneSegmentation"
    with NWBHDF5IO(nwb, "a") as io:
        nwbfile = io.read()
        table = nwbfile.processing["ophys"]["ImageSegmentation"]["PlaneSegmentation"]
        table.add_column("cell_type", "A number.", data=[1, 2, 3, 4])
        io.write(nwbfile)
    types = write(tmp_path / "types.csv", "roi,cell_type\n0,PV\n")
    with pytest.raises(ExistingOutputError):
        annotate(nwb, cell_types=types)
    assert annotate(nwb, cell_types=types, overwrite=True).ok
    with h5py.File(nwb) as file:
        assert file[f"{path}/cell_type"].asstr()[()].tolist() == ["PV", "unknown", "unknown", "unknown"]
    assert not validate(path=nwb)


def test_a_file_with_several_planes_needs_a_name(tmp_path: Path) -> None:
    path = write_old_nwb(tmp_path / "planes.nwb", planes=2)
    tracking = write(tmp_path / "tracking.csv", "roi,tracking_id\n0,1\n")
    result = annotate(path, tracking=tracking)
    assert "2 plane segmentations: PlaneSegmentation0, PlaneSegmentation1" in str(result.issues[0])
    result = annotate(path, tracking=tracking, plane="PlaneSegmentation2")
    assert "Did you mean 'PlaneSegmentation" in str(result.issues[0])
    assert annotate(path, tracking=tracking, plane="PlaneSegmentation0").ok
    clash = annotate(path, tracking=tracking, plane="PlaneSegmentation1")
    assert "so one of them is another neuron. Give the tracking of each plane" in str(clash.issues[0])
    source = write(tmp_path / "tracking.yaml", "source: table\npath: tracking.csv\nfield_of_view: deep\n")
    full = "processing/ophys/ImageSegmentation/PlaneSegmentation1"
    assert annotate(path, tracking=source, plane=full).ok
    with h5py.File(path) as file:
        assert file[f"{full}/tracking_id"].asstr()[0] == "m1-deep-1"


def test_labels_without_rois_are_refused(tmp_path: Path, shared: Path) -> None:
    path = tmp_path / "units.nwb"
    path.write_bytes((shared / "data/nwb_old_pynwb/1.1.0_nwbfile.nwb").read_bytes())
    types = write(tmp_path / "types.csv", "roi,cell_type\n0,PV\n")
    result = annotate(path, cell_types=types, subject_id="a", session_id="b")
    assert "no plane segmentation" in str(result.issues[0])


def test_a_yaml_file_names_the_source_with_names_in_its_path(tmp_path: Path) -> None:
    files = [write_old_nwb(tmp_path / f"{name}.nwb", session_id=name) for name in ("day1", "day8")]
    np.save(tmp_path / "m1_assignments.npy", np.array([[0, 1], [1, np.nan], [2, 0], [3, 2], [np.nan, 3]]))
    text = "source: caiman\npath: '{subject_id}_*.npy'\nsessions: [day1, day8]\n"
    result = annotate(files, tracking=write(tmp_path / "tracking.yaml", text))
    assert result.ok, result.issues
    with h5py.File(files[1]) as file:
        column = file["processing/ophys/ImageSegmentation/PlaneSegmentation/tracking_id"]
        assert column.asstr()[()].tolist() == ["m1-2", "m1-0", "m1-3", "m1-4"]
        assert "CaImAn" in column.attrs["description"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source: cellregg\npath: x.mat\n", "There is no source 'cellregg'. Did you mean 'cellreg'?"),
        ("path: x.mat\n", "The source is not given. Sources: table, roicat, cellreg, caiman."),
        ("source: cellreg\npath: x.mat\n", "it is not guessed"),
        ("source: cellreg\npath: x.mat\nposition: 1\ncolour: red\n", "colour"),
        ("[1, 2]\n", "must hold keys"),
        ("a: [\n", "yaml-syntax"),
    ],
)
def test_mistakes_in_a_yaml_file_are_told(nwb: Path, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(IssuesError) as caught:
        annotate(nwb, tracking=write(tmp_path / "tracking.yaml", text))
    assert said in str(caught.value)


def test_paths_of_a_yaml_file_stay_beside_it(nwb: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    write(tmp_path / "types.csv", "roi,cell_type\n0,PV\n")
    source = write(tmp_path / "sub/types.yaml", "source: table\npath: ../types.csv\n")
    result = annotate(nwb, cell_types=source)
    assert not result.ok
    assert result.issues[0].code == "unsafe-path"
    with pytest.raises(IssuesError, match="neither a table nor a YAML file"):
        annotate(nwb, tracking=tmp_path / "cellRegistered.mat")


def test_a_log_that_contradicts_the_recording_is_refused(nwb: Path, log: Path, tmp_path: Path) -> None:
    bytes_ = nwb.read_bytes()
    epochs = write(tmp_path / "epochs.csv", "window,start_s,stop_s\nbaseline,0,80\ndrug,90,300\n")
    result = annotate(nwb, drug_log=log, epochs=epochs)
    assert not result.ok
    assert {each.code for each in result.issues} == {"epoch-outside-recording", "epoch-order"}
    assert nwb.read_bytes() == bytes_
    assert not list(tmp_path.glob(".*"))


def test_warnings_about_the_log_reach_the_user(nwb: Path, log: Path) -> None:
    write(log, f"{HEADER}\n{KETAMINE.replace(',60,', ',600,')}\n")
    result = annotate(nwb, drug_log=log)
    assert result.ok
    assert [each.code for each in result.issues] == ["drug-outside-session"]


def test_sheets_of_a_workbook(nwb: Path, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    page = book.create_sheet("drugs")
    for line in (HEADER, KETAMINE):
        page.append(line.split(","))
    book.save(tmp_path / "lab.xlsx")
    assert annotate(nwb, drug_log=f"{tmp_path / 'lab.xlsx'}#drugs").ok
    row = Administration(
        timestamp_s=60,
        substance="ketamine",
        salt="hydrochloride",
        dose=10,
        dose_unit="mg/kg",
        route="i.p.",
        stereochemistry="racemic",
    )
    assert texts(nwb, "general/pharmacology") == pharmacology_line([row])
