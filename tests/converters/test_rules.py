"""Each rule finds what it is for and is silent on a sound file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pynwb import NWBFile, TimeSeries
from pynwb.event import EventsTable
from pynwb.file import Subject
from pynwb.ophys import OpticalChannel, TwoPhotonSeries

from nwbswitch.converters.drug_log import DrugLogInterface
from nwbswitch.converters.epochs import EpochsInterface
from nwbswitch.converters.rules import RULES, broken_rules
from nwbswitch.schemas.issues import Severity

ROW = {
    "timestamp_s": 30.0,
    "substance": "ketamine",
    "stereochemistry": "racemic",
    "salt": "hydrochloride",
    "dose_basis": "salt",
    "dose": 10.0,
    "dose_unit": "mg/kg",
    "route": "i.p.",
}
SALINE = {
    "timestamp_s": 30.0,
    "substance": "saline",
    "control_kind": "saline",
    "route": "i.p.",
    "missing": {"dose": "not applicable"},
}
WINDOWS = [("baseline", 0.0, 28.0), ("drug", 32.0, 60.0)]
Make = Callable[..., NWBFile]


def make(
    *,
    rows: list[dict[str, Any]] | None = None,
    windows: list[tuple[str, float, float]] | None = None,
    subject: dict[str, Any] | None = None,
    **fields: Any,
) -> NWBFile:
    """Return a sound file of 60 s, changed by what is given."""
    nwbfile = NWBFile(
        **{
            "session_description": "test",
            "identifier": "id",
            "session_start_time": datetime(2024, 5, 1, tzinfo=UTC),
            "session_id": "d1",
            **fields,
        }
    )
    described = {"subject_id": "m1", "species": "Mus musculus", "sex": "F", "age": "P90D"}
    nwbfile.subject = Subject(**{**described, **(subject or {})})
    device = nwbfile.create_device("scope")
    channel = OpticalChannel(name="c", description="c", emission_lambda=510.0)
    plane = nwbfile.create_imaging_plane(
        name="ImagingPlane",
        optical_channel=channel,
        description="p",
        device=device,
        excitation_lambda=920.0,
        indicator="GCaMP6s",
        location="VISp",
    )
    movie = TwoPhotonSeries(
        name="TwoPhotonSeries",
        data=np.zeros((300, 4, 5), np.int16),
        unit="n.a.",
        imaging_plane=plane,
        starting_time=0.0,
        rate=5.0,
    )
    nwbfile.add_acquisition(movie)
    DrugLogInterface(administrations=[ROW] if rows is None else rows).add_to_nwbfile(nwbfile)
    given = WINDOWS if windows is None else windows
    names = ("window", "start_s", "stop_s")
    EpochsInterface(epochs=[dict(zip(names, each, strict=True)) for each in given]).add_to_nwbfile(nwbfile)
    return nwbfile


def codes(nwbfile: NWBFile) -> list[str]:
    return [each.code for each in broken_rules(nwbfile)]


@pytest.mark.parametrize("row", [ROW, SALINE])
def test_a_sound_file_breaks_no_rule(row: dict[str, Any]) -> None:
    assert broken_rules(make(rows=[row])) == []


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ({"species": "mouse"}, "species is 'mouse'"),
        ({"species": None}, "species is None"),
        ({"sex": None}, "sex is None"),
        ({"sex": "female"}, "sex is 'female'"),
        ({"age": None}, "age is None"),
        ({"age": "90 days"}, "age is '90 days'"),
        ({"subject_id": "a/b"}, "subject_id is 'a/b'"),
    ],
)
def test_subjects_are_complete(subject: dict[str, Any], words: str) -> None:
    found = broken_rules(make(subject=subject))
    assert [each.code for each in found] == ["dandi-metadata"]
    assert words in found[0].message


@pytest.mark.parametrize(
    "subject",
    [
        {"age": None, "date_of_birth": datetime(2024, 1, 1, tzinfo=UTC)},
        {"age": "P3M"},
        {"age": "P12W"},
        {"species": "http://purl.obolibrary.org/obo/NCBITaxon_10090"},
    ],
)
def test_other_ways_to_say_it_are_fine(subject: dict[str, Any]) -> None:
    assert codes(make(subject=subject)) == []


def test_subject_and_session_id_are_there() -> None:
    nwbfile = NWBFile("t", "i", datetime(2024, 5, 1, tzinfo=UTC))
    assert codes(nwbfile) == ["dandi-metadata", "dandi-metadata", "no-drug-log"]


def test_no_drug_log_is_a_warning() -> None:
    (found,) = broken_rules(make(rows=[]))
    assert (found.code, found.severity) == ("no-drug-log", Severity.WARNING)


def test_a_foreign_table_lacks_columns() -> None:
    nwbfile = make(rows=[])
    table = EventsTable(name="drug_administrations", description="d")
    table.add_event(timestamp=1.0)
    nwbfile.add_events_table(table)
    assert codes(nwbfile) == ["missing-column"] * 3


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"substance": "ketamin"}, "unknown-drug"),
        ({"dose_unit": "mg per kg"}, "bad-unit"),
        ({"dose": 10_000.0}, "dose-implausible"),
        ({"route": "somewhere"}, "unknown-word"),
        ({"dose": None}, "dose-missing"),
        ({"timestamp_s": 90.0}, "drug-outside-session"),
    ],
)
def test_administrations_make_sense(change: dict[str, Any], code: str) -> None:
    assert code in codes(make(rows=[ROW | change], windows=[("baseline", 0, 20)]))


def test_a_row_with_a_word_of_nobody_is_found() -> None:
    nwbfile = make()
    nwbfile.events["drug_administrations"]["role"].data[0] = "cure"
    assert "wrong-value" in codes(nwbfile)


def test_a_derived_dose_that_does_not_follow_is_found() -> None:
    nwbfile = make()
    nwbfile.events["drug_administrations"]["dose_mg_per_kg_free_base"].data[0] = 10.0
    (found,) = broken_rules(nwbfile)
    assert found.code == "wrong-value"
    assert "the row gives 8.67" in found.message


def test_a_missing_value_without_a_reason_is_found() -> None:
    nwbfile = make(rows=[SALINE])
    nwbfile.events["drug_administrations"]["dose_unit_missing_reason"].data[0] = ""
    found = broken_rules(nwbfile)
    assert "dose_unit is missing without a reason." in [each.message for each in found]


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Ketamine 10 mg/kg i.p.", True),
        ("KETAMINE (10mg/kg)", True),
        ("Saline", False),
        ("Ketamine 100 mg/kg", False),
        ("Ketamine 1.10 mg/kg", False),
        ("esketamine 10 mg/kg", False),
    ],
)
def test_pharmacology_agrees_with_the_log(text: str, fits: bool) -> None:
    assert codes(make(pharmacology=text)) == ([] if fits else ["pharmacology-differs"])


@pytest.mark.parametrize(
    ("windows", "code"),
    [
        ([("baseline", -5.0, 28.0)], "epoch-outside-recording"),
        ([("drug", 32.0, 61.0)], "epoch-outside-recording"),
        ([("baseline", 0.0, 31.0)], "epoch-order"),
        ([("drug", 29.0, 60.0)], "epoch-order"),
        ([("pseudo_drug", 20.0, 40.0)], "epoch-order"),
        ([("pseudo_baseline", 0.0, 10.0), ("pseudo_drug", 9.0, 19.0)], "epochs-overlap"),
    ],
)
def test_windows_that_cannot_be(windows: list[tuple[str, float, float]], code: str) -> None:
    assert codes(make(windows=windows)) == [code]


def test_a_window_may_end_within_the_last_frames() -> None:
    assert codes(make(windows=[("baseline", 0, 28), ("drug", 32, 60.4)])) == []


def test_an_unknown_window_is_found() -> None:
    nwbfile = make()
    nwbfile.intervals["analysis_epochs"]["window"].data[1] = "druk"
    (found,) = broken_rules(nwbfile)
    assert found.code == "unknown-word"
    assert "Did you mean 'drug'?" in found.remedy


def test_a_stub_is_too_short_on_purpose() -> None:
    assert codes(make(windows=[("baseline", 0, 28), ("drug", 32, 600)], keywords=["STUB"])) == []


def test_series_without_frames_do_not_count() -> None:
    nwbfile = make()
    nwbfile.add_acquisition(TimeSeries(name="x", data=[0.0], unit="V", rate=1.0, starting_time=1e6))
    assert codes(nwbfile) == []


def test_every_rule_says_what_it_is_for() -> None:
    assert all(rule.__doc__ and len(rule.__doc__) > 30 for rule in RULES)
    assert len({rule.__name__ for rule in RULES}) == len(RULES)


def test_a_row_that_cannot_be_read_does_not_shift_the_others() -> None:
    nwbfile = make(rows=[{**ROW, "timestamp_s": 29.0}, ROW], pharmacology="ketamine 5 mg/kg")
    nwbfile.events["drug_administrations"]["role"].data[0] = "nonsense"
    found = [each for each in broken_rules(nwbfile) if each.severity is Severity.ERROR]
    assert [(each.code, each.place.item.rpartition(", ")[2]) for each in found] == [
        ("wrong-value", "row 0"),
        ("pharmacology-differs", "row 1"),
    ]


def test_every_window_of_a_name_is_compared() -> None:
    windows = [("baseline", 0.0, 20.0), ("drug", 10.0, 15.0), ("drug", 32.0, 60.0)]
    assert "epochs-overlap" in {each.code for each in broken_rules(make(windows=windows))}


def test_a_compound_of_the_lab_is_known_from_the_file_itself() -> None:
    compound = {"name": "KX-7", "formula": "C13H16ClNO", "salts": {"hydrochloride": "C13H16ClNO.HCl"}}
    own = {**ROW, "substance": "KX-7", "compound": compound}
    assert [each.code for each in broken_rules(make(rows=[SALINE, own]))] == []
    assert "unknown-drug" in codes(make(rows=[{**ROW, "substance": "KX-7"}]))


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"name": "KX-7", "formula": "?"}', "[" * 200_000])
def test_a_definition_that_cannot_be_read_defines_nothing(text: str) -> None:
    own = {**ROW, "substance": "KX-7", "compound": {"name": "KX-7"}}
    nwbfile = make(rows=[own])
    column = nwbfile.events["drug_administrations"].meanings_tables["substance_meanings"]["definition"]
    column.data[0] = text
    assert "unknown-drug" in codes(nwbfile)
