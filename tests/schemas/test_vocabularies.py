"""Vocabularies: unique words, sources for identifiers, synonyms in any case."""

from __future__ import annotations

import pytest

from nwbswitch.schemas.vocabularies import VOCABULARIES, canonical, entries, spellings, vocabulary, words


@pytest.mark.parametrize("name", VOCABULARIES)
def test_every_spelling_means_one_word(name: str) -> None:
    meaning: dict[str, str] = {}
    for word, known in spellings(name).items():
        for each in known:
            assert meaning.setdefault(each.casefold(), word) == word, f"{each!r} means two words"
    assert len(words(name)) == len(set(words(name)))


@pytest.mark.parametrize("name", VOCABULARIES)
def test_an_identifier_has_a_source_and_a_blank_has_a_reason(name: str) -> None:
    for entry in entries(name).values():
        assert bool(entry.identifier) == bool(entry.source), entry.word
        assert bool(entry.identifier) != bool(entry.missing), entry.word


@pytest.mark.parametrize("name", VOCABULARIES)
def test_identifiers_are_unique(name: str) -> None:
    given = [entry.identifier for entry in entries(name).values() if entry.identifier]
    assert len(given) == len(set(given)) > 10


@pytest.mark.parametrize("name", VOCABULARIES)
def test_canonical_of_each_word_is_itself(name: str) -> None:
    for word in words(name):
        assert canonical(name, word) == word
        assert canonical(name, f" {word.upper()} ") == word


@pytest.mark.parametrize(
    ("name", "word", "expected"),
    [
        ("routes", "IP", "i.p."),
        ("routes", "Intraperitoneal  injection", "i.p."),
        ("routes", "icv", "i.c.v."),
        ("cell_types", "parvalbumin", "PV"),
        ("cell_types", "Astrocyte", "astrocyte"),
        ("regions", "visp", "VISp"),
        ("regions", "V1", "VISp"),
        ("regions", "Primary visual area", "VISp"),
        ("regions", "retrosplenial cortex", "RSP"),
        ("routes", "by owl", None),
        ("regions", "", None),
    ],
)
def test_canonical(name: str, word: str, expected: str | None) -> None:
    assert canonical(name, word) == expected


CORTEX = "VISp VISl SSp SSp-bfd MOp MOs RSPd RSPv RSPagl ACAd ACAv PL ILA ORB ORBl ORBm AUDp PTLp VISa CA1 DG"


@pytest.mark.parametrize("acronym", CORTEX.split())
def test_regions_of_cortex_labs_are_there(acronym: str) -> None:
    assert acronym in words("regions")


def test_pinned_identifiers() -> None:
    assert entries("regions")["VISp"].identifier == "385"
    assert entries("routes")["i.p."].term == "INTRAPERITONEAL"
    assert entries("cell_types")["PV"].identifier == "CL:4023018"


def test_an_unknown_vocabulary_names_the_others() -> None:
    with pytest.raises(ValueError, match="routes, cell_types, regions"):
        words("colours")


def test_regions_are_one_tree() -> None:
    known = entries("regions")
    roots = [word for word, entry in known.items() if not entry.parent]
    assert roots == ["root", "unknown"]
    for word in known:
        chain = [word]
        while known[chain[-1]].parent:
            chain.append(known[chain[-1]].parent)
            assert len(chain) < 15, chain
        assert chain[-1] in roots


def test_names_that_fit_several_regions_are_no_spelling_of_one() -> None:
    spelled = {each for known in spellings("regions").values() for each in known}
    for entry in vocabulary("regions")["several"]:
        assert set(entry["words"]) <= set(words("regions"))
        assert not {entry["name"], *entry.get("synonyms", ())} & spelled
