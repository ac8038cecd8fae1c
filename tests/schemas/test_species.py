"""Names of species: one for each, whatever a file or a question calls it."""

from __future__ import annotations

import pytest

from nwbswitch.schemas.species import (
    COMMON_NAMES,
    asked_species,
    by_common_name,
    latin_name,
    require_species,
)


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("Mus musculus - House mouse", "Mus musculus"),
        ("http://purl.obolibrary.org/obo/NCBITaxon_10090", "Mus musculus"),
        ("http://purl.obolibrary.org/obo/NCBITaxon_10116/", "Rattus norvegicus"),
        ("mouse", "Mus musculus"),
        ("House  Mouse", "Mus musculus"),
        ("mus musculus", "Mus musculus"),
        ("NCBITaxon_10090", "Mus musculus"),
        ("Mus musculoides", "Mus musculoides"),
        ("Mus musculus domesticus", "Mus musculus"),
        ("Ooceraea biroi - Clonal raider ant", "Ooceraea biroi"),
        ("", ""),
    ],
)
def test_species_have_one_name(stated: str, name: str) -> None:
    assert latin_name(stated) == name


def test_species_that_are_asked_for() -> None:
    assert asked_species("rat") == "Rattus norvegicus"
    assert asked_species("Ooceraea biroi") == "Ooceraea biroi"
    with pytest.raises(ValueError, match="'mouse'"):
        asked_species("mousse")
    require_species("Mus musculus", [])
    require_species("Ooceraea biroi", ["Ooceraea biroi"])
    with pytest.raises(ValueError, match="'Ooceraea biroi'"):
        require_species("Ooceraea birroi", ["Ooceraea biroi"])


def test_a_common_name_is_of_one_species() -> None:
    words = [word for _, names in COMMON_NAMES.values() for word in names]
    assert len(set(words)) == len(words)
    assert {latin_name(word) for word in words} == set(COMMON_NAMES)
    assert by_common_name("Norway rat") == "Rattus norvegicus"
    assert by_common_name("Mus musculus") is None
    assert by_common_name("macaque") is None  # several species
