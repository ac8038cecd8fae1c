"""The animal of a file: species, sex and age in the words of DANDI, and never a missing animal."""

from __future__ import annotations

import bare_nwb
import h5py
import pytest

from nwbswitch.analysis.reading.outline import SubjectFacts
from nwbswitch.analysis.reading.subjects import read_subject, stated_species
from nwbswitch.schemas.issues import has_errors


def _read(tmp_path, *, name="a.nwb", edit=None, **facts):
    with bare_nwb.bare_file(tmp_path / "a.nwb", **facts) as nwb:
        if edit is not None:
            edit(nwb)
        found = []
        return read_subject(nwb, name=name, found=found), found


def test_everything_stated_as_dandi_wants_it(tmp_path):
    subject, found = _read(
        tmp_path,
        subject_id="m1",
        species="Mus musculus",
        sex="F",
        age="P90D",
        strain="C57BL/6J",
        genotype="Pvalb-Cre/wt",
    )
    assert subject == SubjectFacts("m1", "Mus musculus", "F", "P90D", "C57BL/6J", "Pvalb-Cre/wt")
    assert found == []


@pytest.mark.parametrize(
    ("words", "species"),
    [
        ("mus musculus", "Mus musculus"),
        ("Mouse", "Mus musculus"),
        ("http://purl.obolibrary.org/obo/NCBITaxon_10090", "Mus musculus"),
        ("Mus musculus domesticus", "Mus musculus"),
        ("rat", "Rattus norvegicus"),
        ("Macaca mulatta", "Macaca mulatta"),
        ("Heterocephalus glaber", "Heterocephalus glaber"),
    ],
)
def test_species(tmp_path, words, species):
    subject, found = _read(tmp_path, subject_id="m1", species=words)
    assert subject.species == species
    assert found == []


@pytest.mark.parametrize(
    ("words", "species"),
    [("C57BL/6", "Mus musculus"), ("Long-Evans", "Rattus norvegicus"), ("C57Bl6/J", "Mus musculus")],
)
def test_a_strain_in_place_of_the_species(tmp_path, words, species):
    subject, found = _read(tmp_path, subject_id="m1", species=words)
    assert (subject.species, subject.strain) == (species, words)
    assert [each.code for each in found] == ["proposed-value"]


def test_a_species_that_is_none_is_kept_with_a_finding(tmp_path):
    subject, found = _read(tmp_path, subject_id="m1", species="rodent 7")
    assert subject.species == "rodent 7"
    assert [each.code for each in found] == ["unclear-value"]


def test_a_species_that_is_not_stated_is_noted(tmp_path):
    subject, found = _read(tmp_path, subject_id="m1", species="unknown")
    assert subject.species == ""
    assert [each.code for each in found] == ["not-stated"]


@pytest.mark.parametrize(
    ("words", "sex"),
    [("Male", "M"), ("f", "F"), ("unknown", "U"), ("U", "U"), ("Other", "O"), ("", ""), ("n/a", "")],
)
def test_sex(tmp_path, words, sex):
    subject, found = _read(tmp_path, subject_id="m1", species="Mus musculus", sex=words)
    assert subject.sex == sex
    assert found == []


def test_a_sex_that_is_none_is_a_finding(tmp_path):
    subject, found = _read(tmp_path, subject_id="m1", species="Mus musculus", sex="2")
    assert subject.sex == ""
    assert [each.code for each in found] == ["unclear-value"]


@pytest.mark.parametrize("age", ["P90D", "P12W", "P1Y2M", "P10D/P20D", "P90Y/", "P3.5D", "P1DT12H"])
def test_durations_are_ages(tmp_path, age):
    subject, found = _read(tmp_path, subject_id="m1", species="Mus musculus", age=age)
    assert subject.age == age
    assert found == []


@pytest.mark.parametrize("age", ["12 weeks", "90", "P", "adult", "P90"])
def test_ages_in_prose_stay_as_they_are_with_a_finding(tmp_path, age):
    subject, found = _read(tmp_path, subject_id="m1", species="Mus musculus", age=age)
    assert subject.age == age
    assert [each.code for each in found] == ["unclear-value"]


def test_a_gestational_age_says_so(tmp_path):
    def edit(nwb):
        nwb["general/subject/age"].attrs["reference"] = "gestational"

    subject, _ = _read(tmp_path, edit=edit, subject_id="m1", species="Mus musculus", age="P15D")
    assert subject.age == "P15D gestational"


def test_an_age_from_the_date_of_birth(tmp_path):
    facts = {"subject_id": "m1", "species": "Mus musculus"}
    assert _read(tmp_path, date_of_birth="2025-10-03T00:00:00+00:00", **facts)[0].age == "P90D"
    subject, found = _read(tmp_path, date_of_birth="2027-10-03", **facts)
    assert subject.age == ""
    assert [each.code for each in found] == ["unclear-value"]
    assert _read(tmp_path, date_of_birth="last year", **facts)[0].age == ""


def test_the_animal_is_the_unit(tmp_path):
    subject, found = _read(tmp_path)
    assert subject == SubjectFacts("")
    assert [each.code for each in found] == ["missing-value"]
    assert has_errors(found)
    assert "subject_id: FILL IN" in found[0].remedy


@pytest.mark.parametrize(
    ("name", "animal"),
    [
        ("sub-m7_ses-x.nwb", "m7"),
        ("/data/sub-m7/sub-m7_ses-x_ophys.nwb", "m7"),
        ("dandi:000037/sub-408021/sub-408021_obj-raw.nwb", "408021"),
        ("https://a.org/sub-m7/ses-1.nwb", "m7"),
    ],
)
def test_the_animal_by_the_name_of_the_file(tmp_path, name, animal):
    subject, found = _read(tmp_path, name=name)
    assert subject.subject_id == animal
    assert [each.code for each in found] == ["proposed-value"]


def test_names_that_contradict_the_file_or_themselves(tmp_path):
    facts = {"subject_id": "m1", "species": "Mus musculus"}
    subject, found = _read(tmp_path, name="sub-m2.nwb", **facts)
    assert subject.subject_id == "m1"
    assert [each.code for each in found] == ["name-differs"]
    assert _read(tmp_path, name="sub-M-1/sub-M-1.nwb", **facts)[1] == []
    assert [each.code for each in _read(tmp_path, name="sub-a/sub-b.nwb")[1]] == ["missing-value"]


def test_subjects_of_old_writers(tmp_path):
    def edit(nwb):
        subject = bare_nwb.typed(nwb, "general/subject", "Subject")
        subject["subject_id"] = [b"m1"]
        subject["species"] = [b"Mus musculus", b"ignored"]
        subject["sex"] = b"male\xff"
        subject.attrs["genotype"] = "wt"
        subject["strain"] = h5py.Empty("S10")
        subject.create_group("age")

    subject, found = _read(tmp_path, edit=edit)
    assert subject == SubjectFacts("m1", "Mus musculus", "", "", "", "wt")
    assert [each.code for each in found] == ["unclear-value"]


def test_a_subject_that_is_no_group(tmp_path):
    def edit(nwb):
        nwb["general/subject"] = "mouse"

    assert _read(tmp_path, edit=edit)[0] == SubjectFacts("")


def test_huge_texts_are_not_read(tmp_path):
    def edit(nwb):
        nwb["general/subject"].create_dataset("subject_id", shape=(), dtype="S2000000000")
        nwb["general/subject"].create_dataset("genotype", shape=(10**12,), dtype="S100", chunks=(10,))

    subject, found = _read(tmp_path, edit=edit, species="mouse")
    assert (subject.subject_id, subject.genotype) == ("", "")
    assert has_errors(found)


def test_stated_species(tmp_path):
    with bare_nwb.bare_file(tmp_path / "a.nwb", species="mouse") as nwb:
        assert stated_species(nwb) == "Mus musculus"
    with bare_nwb.bare_file(tmp_path / "a.nwb") as nwb:
        assert stated_species(nwb) == ""
