"""Words of questions and of archives: drugs, kinds of recordings, filters."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from nwbswitch.analysis.catalogue.drug_names import drug_names
from nwbswitch.analysis.catalogue.facts import Given
from nwbswitch.analysis.catalogue.filters import read_filters
from nwbswitch.analysis.catalogue.mentions import mentions, names_digest
from nwbswitch.analysis.catalogue.modalities import Modality, from_words, stated_modalities, to_words
from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading.evidence import Confidence


def given(**values: Any) -> Given:
    fields: dict[str, Any] = {
        "substance": "ketamine",
        "role": Role.TEST,
        "is_control": False,
        "dose": 10.0,
        "dose_unit": "mg/kg",
        "dose_mg_per_kg": 10.0,
        "route": "i.p.",
        "time_s": 600.0,
        "duration_s": 0.0,
        "place": "/general/notes",
        "quote": "ketamine",
        "confidence": Confidence.READ,
    }
    return Given(**(fields | values))


@pytest.mark.parametrize(
    ("word", "name", "related"),
    [
        ("ketamine", "ketamine", ("S-ketamine", "R-ketamine")),
        ("Ketalar", "ketamine", ("S-ketamine", "R-ketamine")),
        ("KET", "ketamine", ("S-ketamine", "R-ketamine")),
        ("esketamine", "S-ketamine", ()),
        ("S-ketamine", "S-ketamine", ()),
        ("medetomidine", "medetomidine", ("dexmedetomidine",)),
        ("dizocilpine", "MK-801", ()),
        ("methamphetamine", "methamphetamine", ()),
    ],
)
def test_a_racemate_stands_for_its_enantiomers(word: str, name: str, related: tuple[str, ...]) -> None:
    found = drug_names(word)
    assert (found.name, found.related) == (name, related)
    assert found.all == (name, *related)


def test_an_enantiomer_names_the_racemate_that_is_not_looked_for() -> None:
    assert drug_names("esketamine").containing == ("ketamine",)
    assert drug_names("ketamine").containing == ()


def test_an_unknown_drug_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="'ketamine'"):
        drug_names("ketamien")
    with pytest.raises(ValueError, match="reference of substances"):
        drug_names("xyzzyplugh")


@pytest.mark.parametrize(
    ("path", "variables", "words"),
    [
        ("sub-1/sub-1_ses-2_behavior+ophys.nwb", (), "ophys behavior"),
        ("sub-1/sub-1_ophys.nwb", ("Units",), "ophys ecephys"),
        ("sub-1/sub-1_image.nwb", (), ""),
        ("ophys.nwb", (), ""),
        ("x.nwb", ("SpatialSeries", "NoSuchType"), "behavior"),
    ],
)
def test_kinds_of_recording(path: str, variables: tuple[str, ...], words: str) -> None:
    found = stated_modalities(path=path, variables=variables)
    assert to_words(found) == words
    assert from_words(words) == found


def test_approaches_tell_the_kind() -> None:
    approaches = ["microscopy approach; cell population imaging", "something new"]
    assert stated_modalities(approaches=approaches) == {Modality.OPHYS}


@pytest.mark.parametrize(
    ("place", "text", "named"),
    [
        ("description", "Mice received (S)-ketamine (10 mg/kg) or saline.", {"S-ketamine", "saline"}),
        ("description", "A market for tickets.", set()),
        ("description", "See doi: 10.1038/s41593 and https://doi.org/10.1/x, DOI 10.1/y.", set()),
        ("description", "DOI (2 mg/kg) was given.", {"DOI"}),
        ("path", "sub-3/sub-3_ses-KET-day2_ophys.nwb", {"ketamine"}),
        ("description", "KET-day2", set()),
        ("path", "sub-DA3/sub-DA3_ophys.nwb", set()),
        ("session id", "20230101_LDOPA", {"levodopa"}),
    ],
)
def test_substances_that_texts_name(place: str, text: str, named: set[str]) -> None:
    found = mentions([(place, text)])
    assert {each.substance for each in found} == named
    assert all(each.place == place and each.quote for each in found)


def test_a_place_that_names_a_drug_twice_counts_once() -> None:
    assert len(mentions([("description", "Ketamine. Then ketamine."), ("name", "Ketamine")])) == 2


def test_names_have_a_digest() -> None:
    assert len(names_digest()) == 64


def test_a_question_is_checked_word_by_word() -> None:
    found = read_filters(
        "KET",
        species="mouse",
        modality="OPHYS",
        region="V1",
        since="2023-05",
        route="IP",
        dandisets=["DANDI:000123"],
    )
    assert found.species == "Mus musculus"
    assert found.modality is Modality.OPHYS
    assert (found.region, found.since, found.route, found.dandisets) == (
        "VISp",
        "2023-05-01",
        "i.p.",
        ("000123",),
    )
    assert found.words() == "ketamine, Mus musculus, ophys, VISp, since 2023-05-01, i.p., 000123"
    assert read_filters("ketamine", since=date(2023, 1, 2)).since == "2023-01-02"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"region": "VISpp"}, "'VISp'"),
        ({"modality": "fmri"}, "ophys, ecephys, behavior"),
        ({"route": "intraperitonal"}, "'intraperitoneal'"),
        ({"species": "mousse"}, "mouse"),
        ({"since": "last year"}, "2023-05-04"),
        ({"since": "2023-13"}, "2023-05-04"),
        ({"dose_min": -1.0}, "dose_min"),
        ({"dose_min": 5.0, "dose_max": 1.0}, "above"),
        ({"dose_max": float("inf")}, "dose_max"),
        ({"dandisets": ["123"]}, "six digits"),
    ],
)
def test_wrong_words_are_told(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_filters("ketamine", **wrong)


@pytest.mark.parametrize(
    ("asked", "values", "taken"),
    [
        ({}, {}, True),
        ({}, {"substance": "S-ketamine"}, True),
        ({}, {"substance": "saline"}, False),
        ({"route": "i.p."}, {}, True),
        ({"route": "s.c."}, {}, False),
        ({"dose_min": 5.0, "dose_max": 10.0}, {}, True),
        ({"dose_min": 11.0}, {}, False),
        ({"dose_max": 9.0}, {}, False),
        ({"dose_min": 1.0}, {"dose_mg_per_kg": None}, False),
    ],
)
def test_administrations_that_are_asked_for(
    asked: dict[str, Any], values: dict[str, Any], taken: bool
) -> None:
    assert read_filters("ketamine", **asked).takes(given(**values)) is taken
