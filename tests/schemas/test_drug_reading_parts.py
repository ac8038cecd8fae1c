"""Names, quantities, routes, times and sentences, each by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from nwbswitch.schemas import vocabularies
from nwbswitch.schemas.drug_reading.codes import MIXTURES, SURE, UNSURE, find_code
from nwbswitch.schemas.drug_reading.identifiers import read_identifier
from nwbswitch.schemas.drug_reading.lexicon import find_names, spaced
from nwbswitch.schemas.drug_reading.moments import Clock, find_moments
from nwbswitch.schemas.drug_reading.names import KIND_OF_NAME, SPELLINGS, known_spellings
from nwbswitch.schemas.drug_reading.places import Scope
from nwbswitch.schemas.drug_reading.plain_text import plain, quote, sentences
from nwbswitch.schemas.drug_reading.quantities import Measure, find_quantities, find_tuples
from nwbswitch.schemas.drug_reading.routes import find_routes, route_words
from nwbswitch.schemas.substances import substances
from nwbswitch.schemas.units import parse_unit

# Names


def test_tables_name_each_other() -> None:
    known = known_spellings()
    assert {*KIND_OF_NAME, *SPELLINGS} <= set(substances())
    assert set(substances()) <= {each.name for each in known.values()}
    for code in (*SURE, *UNSURE):
        assert find_code(code.lower()) is not None
    assert {name for names in MIXTURES.values() for name in names} <= set(known)
    assert not set(SURE) & set(UNSURE)
    assert route_words() <= set(vocabularies.words("routes"))


def test_no_two_names_of_a_spelling() -> None:
    folded: dict[str, str] = {}
    for word, known in known_spellings().items():
        assert folded.setdefault(word.casefold(), known.name) == known.name


@pytest.mark.parametrize("name", sorted(substances()))
def test_every_name_of_the_vocabulary_is_found(name: str) -> None:
    substance = substances()[name]
    for word in substance.spellings:
        found = [each.known.name for each in find_names(f"injected {word} today")]
        assert found == [name], word


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("MK801, MK 801 and MK-801", ["MK-801"] * 3),
        ("L-dopa L-DOPA LDOPA ldopa", ["levodopa"] * 4),
        ("6OHDA 6-OHDA", ["6-OHDA"] * 2),
        ("(R,S)-ketamine (S)-ketamine S(+)-ketamine", ["ketamine", "S-ketamine", "S-ketamine"]),
        ("the mouse's ketamine", ["ketamine"]),
        ("group S ketamine", ["ketamine"]),
        ("PCP2-Cre", []),
        ("pcp and doi and cno", []),
        ("DOI: 10.1101/2020.01 https://doi.org/x DOI 10.7554/y", []),
        ("KX-7", []),
        ("KX anaesthesia", ["ketamine", "xylazine"]),
        ("ketamines", []),
        ("naloxone-precipitated, saline-treated", ["naloxone", "saline"]),
        ("WIN55,212-2", ["WIN 55,212-2"]),
    ],
)
def test_spellings(text: str, names: list[str]) -> None:
    assert [each.known.name for each in find_names(text)] == names


def test_words_in_one() -> None:
    assert spaced("KetamineInjection CNOInjection before_CNO BeforeSaline") == (
        "Ketamine Injection CNO Injection before CNO Before Saline"
    )
    assert spaced("DREADDs GABAzine levodopa") == "DREADDs GABAzine levodopa"


# Quantities


@pytest.mark.parametrize(
    ("text", "words", "unit"),
    [
        ("5mg/kg", "5", "mg/kg"),
        ("12 mg kg⁻¹", "12", "mg/kg"),
        ("0.1 mg kg-1", "0.1", "mg/kg"),
        ("10 mg·kg⁻¹", "10", "mg/kg"),
        ("10 mg.kg-1", "10", "mg/kg"),
        ("[0.05-0.1] mg.kg-1", "0.05-0.1", "mg/kg"),
        ("5 mg per kg", "5", "mg/kg"),
        ("5mgkg", "5", "mg/kg"),
        ("10 mpk", "10", "mg/kg"),
        ("2,5 mg/kg", "2.5", "mg/kg"),
        ("1,000 µg/kg", "1000", "ug/kg"),
        ("5–10 mg/kg", "5-10", "mg/kg"),
        ("5 mg/kg to 10 mg/kg", "5-10", "mg/kg"),
        ("3, 10 and 30 mg/kg", "3, 10, 30", "mg/kg"),
        ("3,10,30 mg/kg", "3, 10, 30", "mg/kg"),
        ("100/10 mg/kg", "100, 10", "mg/kg"),
        ("dose (mg/kg): 10", "10", "mg/kg"),
        ("dose: 10", "10", ""),
        ("10 mg/kg/h", "10", "mg/kg/h"),
        ("0.5 μg/kg/min", "0.5", "ug/kg/min"),
        ("3 mg/kg s.c.", "3", "mg/kg"),
        ("5ug/ul", "5", "ug/uL"),
        ("3.5 mg ml⁻¹", "3.5", "mg/mL"),
        ("10 µM", "10", "umol/L"),
        ("5 mM", "5", "mmol/L"),
        ("1-2%", "1-2", "%"),
        ("5 % v/v", "5", "%"),
        ("500 ng", "500", "ng"),
        ("100 nL/min", "100", "nL/min"),
        ("200 nl", "200", "nL"),
        ("10 ml/kg", "10", "mL/kg"),
        ("0.75 U/kg", "0.75", "[IU]/kg"),
    ],
)
def test_quantities(text: str, words: str, unit: str) -> None:
    (found,) = find_quantities(plain(text))
    assert (found.words, found.unit) == (words, unit)
    if unit:
        parse_unit(unit)


@pytest.mark.parametrize(
    "text",
    ["1,125 mg/kg", "3 10 30 mg/kg", "GCaMP6 mg", "920 nm", "500 um", "P60", "250 g", "1 mg/100 g", "2 MM"],
)
def test_what_is_no_quantity(text: str) -> None:
    assert find_quantities(text) == []


def test_tuples() -> None:
    (found,) = find_tuples("RSK (3, 10, 30)")
    assert found.values == (3.0, 10.0, 30.0)
    assert found.measure is Measure.DOSE
    assert find_tuples("(3)") == find_tuples("(a, b)") == []


# Routes


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("10 mg/kg i.p.", "i.p."),
        ("IP injection", "i.p."),
        ("intraperitoneally", "i.p."),
        ("s.c", "s.c."),
        ("via the tail vein", "i.v."),
        ("by oral gavage", "oral gavage"),
        ("in the drinking water", "p.o."),
        ("into the lateral ventricle", "i.c.v."),
        ("infused into mPFC", "local infusion"),
        ("intra-VTA infusion", "local infusion"),
        ("microinjection", "local infusion"),
        ("inhalation", "inhaled"),
        ("retro-orbitally", "retro-orbital"),
        ("bath-applied", ""),
    ],
)
def test_routes(text: str, route: str) -> None:
    assert route in [each.route for each in find_routes(text)]


def test_bare_abbreviations_are_not_sure() -> None:
    assert [each.sure for each in find_routes("superior colliculus (SC)")] == [False]
    assert find_routes("in the morning") == []


# Times


@pytest.mark.parametrize(
    ("text", "clock", "values"),
    [
        ("at 30 mins", Clock.SESSION, (1800.0,)),
        ("t=1800 s", Clock.SESSION, (1800.0,)),
        ("at minutes 30, 60 and 90", Clock.SESSION, (1800.0, 3600.0, 5400.0)),
        ("30 min before the session", Clock.SESSION, (-1800.0,)),
        ("20-30 min prior to testing", Clock.SESSION, (-1500.0,)),
        ("10 min into the recording", Clock.SESSION, (600.0,)),
        ("15 minutes after recording onset", Clock.SESSION, (900.0,)),
        ("after a 15 min baseline", Clock.SESSION, (900.0,)),
        ("at the start of the session", Clock.SESSION, (0.0,)),
        ("1 hour after CNO injection", Clock.SINCE, (3600.0,)),
        ("one week after a single dose", Clock.SINCE, (604_800.0,)),
        ("30 min post-injection", Clock.SINCE, (1800.0,)),
        ("30 min before ketamine", Clock.UNTIL, (1800.0,)),
        ("at 2:15 pm", Clock.DAYTIME, (51_300.0,)),
        ("2017-10-27", Clock.DATE, (1_509_105_600.0,)),
        ("27 October 2017", Clock.DATE, (1_509_105_600.0,)),
        ("Day 1 of levodopa", Clock.DAY, (1.0,)),
        ("over 40 min", Clock.DURATION, (2400.0,)),
        ("10 min infusion", Clock.DURATION, (600.0,)),
    ],
)
def test_moments(text: str, clock: Clock, values: tuple[float, ...]) -> None:
    (found,) = find_moments(text)
    assert (found.clock, found.values) == (clock, values)


@pytest.mark.parametrize(
    "text",
    [
        "every 30 min",
        "at 30 min intervals",
        "at 920 nm",
        "at 34 °C",
        "at 100 nL/min",
        "2 h later",
        "2017-13-45",
        "at 5 Hz",
    ],
)
def test_what_is_no_moment(text: str) -> None:
    assert find_moments(plain(text)) == []


# Text


def test_positions_stay() -> None:
    text = "10 mg kg⁻¹ – “µ” \u202f\x00ketamine\ud800 ＋\\r\\nNext"
    assert len(plain(text)) == len(text)
    assert plain("10 mg kg⁻¹ – ５µg") == "10 mg kg-1 - 5ug"
    assert plain("first.\\r\\nSecond \\new") == "first.\n\n\n\nSecond \\new"


def test_sentences() -> None:
    text = "10 mg/kg i.p. in 0.9 ml. Mice ran, e.g. fast (one; two). Drug; dose\n\nEnd i.p. Next"
    assert [text[start:end].strip() for start, end in sentences(text)] == [
        "10 mg/kg i.p. in 0.9 ml",
        "Mice ran, e.g. fast (one; two)",
        "Drug",
        "dose",
        "End i.p",
        "Next",
    ]


def test_quotes_are_short_and_safe() -> None:
    assert quote("a\n\tb\x1b[31m\u202e c") == "a b [31m c"
    assert len(quote("word " * 400)) <= 140


def test_identifiers_that_name_nothing() -> None:
    for text in (
        "a1b2c3d4-cafe-4bad-8f00-cad123456789",
        "YMV05_170912",
        "m1-d11-y2023-ant1-0.03x-3-hexanone-40-t131-z0um",
        "sub-KET3_ses-01",
        "10.17605_OSF.IO_DOI",
    ):
        assert read_identifier(text, "file name", Scope.IDENTIFIER) == []


@pytest.mark.parametrize(
    "function", [find_names, find_quantities, find_tuples, find_routes, find_moments, spaced, plain]
)
@pytest.mark.parametrize(
    "text",
    [
        "1,1 - 1,1 / ",
        "(1, ",
        "10 min after the ",
        "i. ",
        "infused into the left ",
        "aA",
        "1-",
        "at t 1, ",
        "S-",
        "mg/kg: ",
    ],
)
def test_time_grows_with_length(function: Callable[[str], Any], text: str) -> None:
    begun = time.process_time()
    function((text * 30_000)[:90_000])
    assert time.process_time() - begun < 4.0
