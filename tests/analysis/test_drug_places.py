"""Files that say what was given in the ways of public ones, from their objects to administrations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import drug_files
import h5py
import numpy as np
import pytest

from nwbswitch.analysis.reading.drug_objects import MAX_EVENTS
from nwbswitch.analysis.reading.drug_places import drug_statements
from nwbswitch.schemas.drug_log import arm_name
from nwbswitch.schemas.drug_reading.evidence import Confidence, DrugReading, Statement
from nwbswitch.schemas.drug_reading.plain_text import MAX_CHARACTERS
from nwbswitch.schemas.drug_reading.reading import read_drugs

Build = Callable[[Any], None]
Row = tuple[str, float | None, str, str, float | None]
"""Substance, dose, unit, route and time, None where not known."""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(build: Build | None = None, name: str = "sub-m12_ophys.nwb", **fields: Any) -> Path:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return drug_files.write_file(tmp_path / name, build=build, **fields)

    return write


def said(path: Path) -> list[Statement]:
    with h5py.File(path) as nwb:
        return drug_statements(nwb, name=str(path))


def read(path: Path) -> DrugReading:
    return read_drugs(said(path), name=path.name, session_start=drug_files.START)


def rows(reading: DrugReading) -> list[Row]:
    return [
        (
            row.substance,
            row.dose,
            row.dose_unit,
            row.route,
            None if "timestamp_s" in row.missing else row.timestamp_s,
        )
        for row in reading.administrations
    ]


WAYS: dict[str, tuple[dict[str, Any], list[Row], str, list[str]]] = {
    "pharmacology": (
        {"pharmacology": "Levodopa concentration: 5mg/kg."},
        [("levodopa", 5.0, "mg/kg", "", None)],
        "levodopa",
        ["drug-incomplete"],
    ),
    "session description": (
        {"session_description": "D1-Cre, 6OHDA in left MFB. L-dopa (5mg/kg) at 30 mins."},
        [("levodopa", 5.0, "mg/kg", "", 1800.0)],
        "levodopa",
        [],
    ),
    "session id": (
        {"session_id": "m12_KET10_d2"},
        [("ketamine", 10.0, "", "", None)],
        "ketamine",
        ["drug-incomplete"],
    ),
    "series": (
        {"build": drug_files.series("Ketamine infusion start", [1820.0], description="Approximate time.")},
        [("ketamine", None, "", "", 1820.0)],
        "ketamine",
        ["drug-incomplete"],
    ),
    "table without a name": (
        {
            "build": drug_files.intervals("injection_times", [(1800, 1810)]),
            "notes": "Psilocybin, 1 mg/kg i.p.",
        },
        [("psilocybin", 1.0, "mg/kg", "i.p.", 1800.0)],
        "psilocybin",
        [],
    ),
    "table alone": (
        {"build": drug_files.intervals("injection_times", [(1800, 1810)])},
        [],
        "",
        ["drug-unresolved"],
    ),
    "epoch tags": (
        {"build": drug_files.tagged_epochs([(0, 600, "baseline"), (600, 2400, "saline")])},
        [("saline", None, "", "", 600.0)],
        "saline",
        [],
    ),
    "annotations": (
        {"build": drug_files.annotations("log", ["door", "CNO injection"], [3.0, 900.0])},
        [("clozapine N-oxide", None, "", "", 900.0)],
        "clozapine n-oxide",
        ["drug-incomplete"],
    ),
    "labelled events": (
        {"build": drug_files.events("lab", [3.0, 900.0], label=["door", "ketamine inj"])},
        [("ketamine", None, "", "", 900.0)],
        "ketamine",
        ["drug-incomplete"],
    ),
    "rows about drugs": (
        {
            "build": drug_files.events(
                "injections",
                [600.0, 1800.0],
                drug=["saline", "ketamine"],
                dose_mg_per_kg=[float("nan"), 10.0],
                route=["ip", "ip"],
            )
        },
        [("saline", None, "", "i.p.", 600.0), ("ketamine", 10.0, "mg/kg", "i.p.", 1800.0)],
        "ketamine",
        [],
    ),
    "subject": (
        {"subject": {"description": "Received CNO 1 mg/kg i.p. 30 min before recording."}},
        [("clozapine N-oxide", 1.0, "mg/kg", "i.p.", -1800.0)],
        "clozapine n-oxide",
        [],
    ),
    "file name": (
        {"name": "sub-m12_ses-mk801_0.1mgkg_ecephys.nwb"},
        [("MK-801", 0.1, "mg/kg", "", None)],
        "mk-801",
        ["drug-incomplete"],
    ),
    "code and doses": (
        {"session_id": "m5_RSK_(3, 10, 30)"},
        [],
        "",
        ["drug-unresolved"],
    ),
    "keywords": ({"keywords": ["ketamine", "retrosplenial cortex"]}, [], "", ["drug-unresolved"]),
    "contradiction": (
        {"pharmacology": "Vehicle", "session_description": "Home cage recording 30 min after CNO"},
        [],
        "",
        ["drug-contradiction"],
    ),
    "alternatives": (
        {"experiment_description": "Mice received ketamine (10 mg/kg) or saline."},
        [],
        "",
        ["drug-unresolved"],
    ),
    "alternatives and an id": (
        {
            "experiment_description": "Mice received ketamine (10 mg/kg) or saline.",
            "session_id": "m1_ket_2",
        },
        [("ketamine", 10.0, "mg/kg", "", None)],
        "ketamine",
        ["drug-incomplete"],
    ),
    "negation": (
        {"session_description": "Baseline before ketamine.", "pharmacology": "no drug"},
        [],
        "",
        [],
    ),
    "solutions": (
        {"slices": "ACSF containing (in mM): 124 NaCl, 3 KCl", "notes": "chamber refilled with saline"},
        [],
        "",
        [],
    ),
    "anaesthesia for surgery": (
        {"surgery": "Ketamine (100 mg/kg) and xylazine (10 mg/kg); carprofen s.c."},
        [],
        "",
        [],
    ),
    "anaesthesia": (
        {"session_description": "Imaging under isoflurane (1.2 %)."},
        [("isoflurane", 1.2, "%", "inhaled", None)],
        "",
        [],
    ),
    "lesion": ({"pharmacology": "MPTP 0.5 mg/kg, two months before"}, [], "", []),
    "antagonist and drug": (
        {
            "notes": "Pretreated with ketanserin (1 mg/kg, s.c.), then DOI (2 mg/kg, i.p.)",
            "build": drug_files.series("DOI_injection", [900.0]),
        },
        [("ketanserin", 1.0, "mg/kg", "s.c.", None), ("DOI", 2.0, "mg/kg", "i.p.", 900.0)],
        "doi+ketanserin",
        ["drug-incomplete"],
    ),
    "nothing": ({}, [], "", []),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways(way: str, write: Callable[..., Path]) -> None:
    fields, expected, arm, codes = WAYS[way]
    found = read(write(**fields))
    assert rows(found) == expected
    assert arm_name(found.administrations) == arm
    assert [each.code for each in found.issues] == codes
    for each in found.evidence:
        assert each.confidence is not Confidence.STATED
        assert each.place


def test_metadata_of_a_lab(write: Callable[..., Path]) -> None:
    path = write(session_id="x")
    with h5py.File(path, "r+") as nwb:
        lab = nwb.create_group("general/lab_meta_data/treatment")
        lab.attrs["neurodata_type"] = "LabTreatment"
        lab["drug"] = "ketamine 10 mg/kg s.c."
        lab["box"] = 7
        lab.attrs["injected_by"] = "KX"
    assert rows(read(path)) == [("ketamine", 10.0, "mg/kg", "s.c.", None)]


def test_what_says_nothing_of_drugs_is_not_read(write: Callable[..., Path]) -> None:
    def build(nwbfile: Any) -> None:
        from pynwb import TimeSeries
        from pynwb.behavior import BehavioralTimeSeries, SpatialSeries

        speed = TimeSeries(
            name="saline_speed", data=np.zeros(5000), unit="m/s", rate=10.0, description="ketamine"
        )
        nwbfile.add_acquisition(speed)
        nwbfile.add_acquisition(
            SpatialSeries(
                name="cocaine", data=np.zeros(5), rate=1.0, reference_frame="r", description="heroin"
            )
        )
        module = nwbfile.create_processing_module("behavior", "Running after ketamine.")
        module.add(BehavioralTimeSeries(name="ketamine_runs"))

    texts = {each.text for each in said(write(build)) if each.place.startswith(("/acq", "/proc"))}
    assert texts == {"saline_speed", "cocaine", "ketamine runs"}


def test_current_injections_and_light_are_left_out(write: Callable[..., Path]) -> None:
    def build(nwbfile: Any) -> None:
        from pynwb.icephys import CurrentClampStimulusSeries

        device = nwbfile.create_device("amplifier")
        electrode = nwbfile.create_icephys_electrode(name="e", description="d", device=device)
        nwbfile.add_stimulus(
            CurrentClampStimulusSeries(
                name="drug_injection",
                data=[1.0],
                rate=1.0,
                electrode=electrode,
                gain=1.0,
                sweep_number=np.uint64(1),
            )
        )

    assert not [each for each in said(write(build)) if each.place.startswith("/stimulus")]


def test_a_long_series_is_known_by_its_name_only(write: Callable[..., Path]) -> None:
    stamps = list(np.arange(MAX_EVENTS + 1.0))
    path = write(drug_files.series("ketamine_level", stamps, description="CNO was given"))
    (one,) = [each for each in said(path) if each.place.startswith("/acquisition")]
    assert (one.text, one.times_s) == ("ketamine_level", ())


def test_columns_may_hold_the_time_of_injection(write: Callable[..., Path]) -> None:
    def build(nwbfile: Any) -> None:
        from hdmf.common import DynamicTable

        table = DynamicTable(name="injections", description="What was injected.")
        table.add_column("compound", "Name.")
        table.add_column("injection_time", "s.")
        table.add_row(compound="DCZ 0.1 mg/kg i.p.", injection_time=900.0)
        nwbfile.create_processing_module("behavior", "b").add(table)

    assert rows(read(write(build))) == [("deschloroclozapine", 0.1, "mg/kg", "i.p.", 900.0)]


def test_our_own_tables_are_left_to_their_reader(write: Callable[..., Path]) -> None:
    path = write(
        drug_files.drug_log(
            {"timestamp_s": 60.0, "substance": "ketamine", "dose": 10.0, "dose_unit": "mg/kg"}
        )
    )
    assert not [each for each in said(path) if each.place.startswith("/events")]


def test_hostile_files_are_read_as_far_as_they_go(write: Callable[..., Path]) -> None:
    path = write(notes="ketamine 10 mg/kg at 30 min")
    with h5py.File(path, "r+") as nwb:
        del nwb["session_description"]
        nwb["session_description"] = np.bytes_(b"saline\xff\xfe\x00 " * 50_000)
        nwb["general/pharmacology"] = np.zeros((3, 3))
        nwb["general/surgery"] = h5py.Empty("S1")
        nwb["general/protocol"] = [b"a"] * 5000
        nwb["general/virus"] = h5py.SoftLink("/nowhere")
        nwb.create_group("general/slices")
        loop = nwb["processing"] if "processing" in nwb else nwb.create_group("processing")
        loop["again"] = loop
        table = nwb.create_group("intervals/ketamine")
        table.attrs["neurodata_type"] = "TimeIntervals"
        table["start_time"] = [np.nan, np.inf]
        table["tags"] = np.array([b"\xff", b"x"])
        table["tags_index"] = [99, 2]
        table["drug"] = np.zeros((2, 2))
        odd = nwb.create_group("acquisition/saline injection")
        odd.attrs["neurodata_type"] = "TimeSeries"
        odd["timestamps"] = np.array([b"late"])
        odd["data"] = 4.0
        other = nwb.create_group("acquisition/ketamine injection")
        other["starting_time"] = np.zeros(0)
        other["data"] = h5py.Empty("f8")
        for number in range(300):
            nwb.create_group(f"analysis/g{number}")
    found = said(path)
    assert all(isinstance(each.text, str) for each in found)
    assert max(len(each.text) for each in found) <= MAX_CHARACTERS + 1
    assert all(np.isfinite(time) for each in found for time in each.times_s)
    read(path)


def test_many_objects_are_picked_by_name(write: Callable[..., Path]) -> None:
    path = write()
    with h5py.File(path, "r+") as nwb:
        for number in range(1000):
            nwb.create_group(f"acquisition/trace{number}").attrs["neurodata_type"] = "TimeSeries"
        series = nwb.create_group("acquisition/ketamine injection")
        series.attrs["neurodata_type"] = "TimeSeries"
        series["timestamps"] = [1200.0]
        series["data"] = [1.0]
    found = [each for each in said(path) if each.place.startswith("/acquisition")]
    assert [(each.text, each.times_s) for each in found] == [("ketamine injection", (1200.0,))]


@pytest.mark.parametrize(
    "file",
    [
        "nwb_dandi000009/sub_anm00239123_ses_20170627T093549_ecephys_and_ogen.nwb",
        "nwb_old_pynwb/1.1.0_nwbfile.nwb",
        "nwb_old_matnwb/test_output.nwb",
    ],
)
def test_files_of_labs_without_drugs(shared: Path, file: str) -> None:
    found = read(shared / "data" / file)
    assert found.administrations == ()
    assert found.issues == ()
