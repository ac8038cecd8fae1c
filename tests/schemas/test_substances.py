"""Substances: identifiers hold their check digits, masses follow from formulas, names are unique."""

from __future__ import annotations

import pytest

from nwbswitch.schemas.drug_log import Stereochemistry
from nwbswitch.schemas.substance import base_units, molar_mass, valid_cas, valid_unii
from nwbswitch.schemas.substances import SALT_SYNONYMS, find_substance, salt_name, substances

IDENTIFIERS = ("chebi", "pubchem_cid", "unii", "cas")
NAMES = sorted(substances())


@pytest.mark.parametrize(
    ("formula", "mass"),
    [
        ("C13H16ClNO", 237.73),  # ketamine; the S isomer has the same formula
        ("C13H16ClNO.HCl", 274.19),
        ("C9H11NO4", 197.19),  # levodopa
        ("NaCl", 58.44),
        ("C16H15N", 221.30),  # MK-801
        ("C15H21ClN4", 292.81),  # ZD7288
        ("2C9H13N.H2SO4", 368.49),  # amphetamine sulfate
        ("H2O", 18.015),
    ],
)
def test_molar_mass(formula: str, mass: float) -> None:
    assert molar_mass(formula) == pytest.approx(mass, abs=0.0075)


def test_enantiomers_weigh_the_same() -> None:
    racemate, isomer = substances()["ketamine"], substances()["S-ketamine"]
    assert molar_mass(racemate.formula) == molar_mass(isomer.formula)


@pytest.mark.parametrize("text", ["", "ketamine", "C13H16ClNO.", "Xx2", "C0", "0C2H6", "c6h6", "C2(H6)"])
def test_molar_mass_refuses_what_is_no_formula(text: str) -> None:
    with pytest.raises(ValueError, match=r"formula|weight|count"):
        molar_mass(text)


def test_base_units_counts_the_active_part() -> None:
    assert base_units("2C9H13N.H2SO4") == 2
    assert base_units("C18H20N4.2HCl") == 1


@pytest.mark.parametrize("good", ["6740-88-1", "7647-14-5", "59-92-7", "7732-18-5"])
def test_cas_check_digit(good: str) -> None:
    assert valid_cas(good)
    for digit in "0123456789":
        assert valid_cas(good[:-1] + digit) == (digit == good[-1])


@pytest.mark.parametrize("bad", ["", "6740-88", "6740881", "06740-88-1", "6740-88-1 ", "a-88-1", "88-6740-1"])
def test_cas_form(bad: str) -> None:
    assert not valid_cas(bad)


def test_unii_check_character_finds_every_single_change() -> None:
    good = "690G0D6V8H"
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert valid_unii(good)
    for place in range(10):
        for letter in alphabet:
            changed = good[:place] + letter + good[place + 1 :]
            assert valid_unii(changed) == (letter == good[place])


@pytest.mark.parametrize("bad", ["", "690g0d6v8h", "690G0D6V8", "690G0D6V8HH", "690G0D6V-H"])
def test_unii_form(bad: str) -> None:
    assert not valid_unii(bad)


@pytest.mark.parametrize("name", NAMES)
def test_entry(name: str) -> None:
    entry = substances()[name]
    assert not entry.cas or valid_cas(entry.cas)
    assert not entry.unii or valid_unii(entry.unii)
    for kind in IDENTIFIERS:
        assert (kind in entry.identifiers) == bool(entry.source.get(kind)), f"{name}.{kind} has no source"
        assert (kind in entry.identifiers) != bool(entry.missing.get(kind)), f"{name}.{kind} has no reason"
    assert (entry.dose_mg_per_kg is not None) == ("dose_mg_per_kg" in entry.source)
    if entry.dose_mg_per_kg:
        assert 0 < entry.dose_mg_per_kg[0] < entry.dose_mg_per_kg[1]
    if entry.formula:
        assert molar_mass(entry.formula) > 15
    for salt, formula in entry.salts.items():
        assert salt == salt.lower()
        assert molar_mass(formula) / base_units(formula) > molar_mass(entry.formula)
        without = formula.split(".")[0].lstrip("0123456789")
        assert without == entry.formula or salt == "sodium"


def test_names_and_synonyms_are_unique() -> None:
    spellings = [word.casefold() for entry in substances().values() for word in entry.spellings]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize(
    "kind",
    IDENTIFIERS,
)
def test_identifiers_are_not_shared(kind: str) -> None:
    given = [each.identifiers[kind] for each in substances().values() if kind in each.identifiers]
    assert len(given) == len(set(given)) > 20


@pytest.mark.parametrize(
    "name", ["ketamine", "saline", "MK-801", "psilocybin", "ZD7288", "clozapine N-oxide", "levodopa"]
)
def test_the_most_used_have_an_identifier(name: str) -> None:
    assert substances()[name].identifiers


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Ketamine", "ketamine"),
        ("(R,S)-KETAMINE", "ketamine"),
        ("esketamine", "S-ketamine"),
        ("dizocilpine", "MK-801"),
        ("  l-dopa ", "levodopa"),
        ("NaCl", "saline"),
        ("cno", "clozapine N-oxide"),
    ],
)
def test_find_substance(word: str, name: str) -> None:
    found = find_substance(word)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("word", ["", "RSK", "K", "ketamin", "drug"])
def test_ambiguous_words_are_not_resolved(word: str) -> None:
    assert find_substance(word) is None


def test_stereochemistry_of_the_isomers() -> None:
    assert substances()["S-ketamine"].stereochemistry is Stereochemistry.S
    assert substances()["R-ketamine"].stereochemistry is Stereochemistry.R
    assert substances()["ketamine"].stereochemistry is Stereochemistry.RACEMIC


def test_salt_name() -> None:
    ketamine = substances()["ketamine"]
    assert salt_name(ketamine, "HCl") == "hydrochloride"
    assert salt_name(ketamine, "Hydrochloride") == "hydrochloride"
    assert salt_name(ketamine, "citrate") is None
    known = {salt for entry in substances().values() for salt in entry.salts}
    assert set(SALT_SYNONYMS.values()) <= known
