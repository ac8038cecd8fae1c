"""Words for brain areas become structures of the Allen CCF only where they leave one reading."""

from __future__ import annotations

import pytest

from nwbswitch.analysis.reading.regions import imaged_structure, lineage, structure, structure_in, within


@pytest.mark.parametrize(
    ("words", "region", "layer"),
    [
        ("VISp", "VISp", ""),
        ("VISp2/3", "VISp", "2/3"),
        ("VISp 2/3", "VISp", "2/3"),
        ("SSp-bfd6a", "SSp-bfd", "6a"),
        ("SSp-bfd", "SSp-bfd", ""),
        ("visp", "VISp", ""),
        ("V1", "VISp", ""),
        ("RSC", "RSP", ""),
        ("Primary visual area, layer 4", "VISp", "4"),
        ("Retrosplenial area, dorsal part, layer 2/3", "RSPd", "2/3"),
        ("Primary Visual Cortex", "VISp", ""),
        ("left barrel cortex", "SSp-bfd", ""),
        ("M1 layer 5", "MOp", "5"),
        ("V1 L23", "VISp", "2/3"),
        ("MOs_L2/3", "MOs", "2/3"),
        ("visual cortex V1 L2/3", "VISp", "2/3"),
        ("Layer II/III of somatosensory cortex", "SS", "2/3"),
        ("L5a barrel cortex", "SSp-bfd", "5"),
        ("posterior parietal cortex (PPC), layer 2/3", "PTLp", "2/3"),
        ("V1 L2/3 PV cells", "VISp", "2/3"),
        ("CA3 of the left hippocampus", "CA3", ""),
        ("hippocampus CA1", "CA1", ""),
        ("mPFC (PL)", "PL", ""),
        ("Area: VISp, Depth: 175 um", "VISp", ""),
        ("brain_region: Thalamus; brain_subregion: N/A; cortical_layer: N/A; hemisphere: left", "TH", ""),
        ("0.5 mm lateral to bregma in V1", "VISp", ""),
        ("CUL4, 5gr", "CUL4 5gr", ""),
        ("SCig", "SCig", ""),
        ("CA1", "CA1", ""),
        ("ENTl2", "ENTl", "2"),
        ("Pons", "P", ""),
        ("nucleus accumbens core", "ACB", ""),
        ("cortex, layer 1", "Isocortex", "1"),
    ],
)
def test_words_with_one_reading(words, region, layer):
    found = structure(words)
    assert (found.region, found.layer, found.candidates) == (region, layer, ())
    assert found.is_known
    assert found.stated == words


@pytest.mark.parametrize(
    ("words", "candidate"),
    [
        ("mPFC", "PL"),
        ("prefrontal cortex", "ACA"),
        ("VISp, VISl", "VISl"),
        ("RSPd/RSPagl", "RSPagl"),
        ("S1 and M1", "MOp"),
        ("axons from VISp in CA1", "CA1"),
        ("superior colliculus", "SCs"),
        ("ALM", "MOs"),
    ],
)
def test_what_fits_several_structures_stays_as_it_was_written(words, candidate):
    found = structure(words)
    assert found.region == words
    assert candidate in found.candidates
    assert len(found.candidates) > 1
    assert not found.is_known


@pytest.mark.parametrize(
    "words", ["", "unknown", "N/A", "brain", "void", "layer 2", "left hemisphere", "AP 2.5, ML 1.0 mm"]
)
def test_words_without_an_area_are_unknown(words):
    assert structure(words).region == "unknown"


@pytest.mark.parametrize(
    "words",
    [
        "in vivo imaging OR anaesthetised",
        "POST INJECTION",
        "not VISp",
        "VISp or VISl",
        "HVC",
        "fMRI of the brain",
        "Act now",
    ],
)
def test_words_of_prose_are_no_structures(words):
    found = structure(words)
    assert not found.is_known
    assert found.region == words


@pytest.mark.parametrize("words", ["layers 2-4 of V1", "L2/3 and L5 V1", "VISp5-6", "V1"])
def test_several_layers_and_none_are_no_layer(words):
    assert (structure(words).region, structure(words).layer) == ("VISp", "")


def test_other_animals_keep_their_own_words():
    assert structure_in("V1", species="Macaca mulatta").region == "V1"
    assert not structure_in("V4", species="Macaca mulatta").is_known
    assert structure_in("V1", species="Mus musculus").region == "VISp"
    assert structure_in("V1", species="").region == "VISp"
    assert structure_in("unknown", species="Danio rerio").region == "unknown"


@pytest.mark.parametrize(
    ("words", "imaged"), [("AM", "VISam"), ("area LM", "VISl"), ("PM layer 2/3", "VISpm")]
)
def test_nuclei_and_visual_areas_of_one_acronym_stay_open_under_a_microscope(words, imaged):
    found = imaged_structure(structure(words))
    assert found.region == "unknown"
    assert imaged in found.candidates
    assert imaged_structure(structure("VISp")).region == "VISp"


def test_within():
    assert within("VISp", "VIS")
    assert within("V1", "visual cortex")
    assert within("VISp", "VISp")
    assert within("SSp-bfd", "CTX")
    assert within("CA1", "Hippocampal formation")
    assert not within("VIS", "VISp")
    assert not within("CA1", "Isocortex")
    assert within("HVC", "hvc")
    assert not within("HVC", "CTX")
    assert not within("unknown", "root")
    assert lineage("VISp") == ("VISp", "VIS", "Isocortex", "CTXpl", "CTX", "CH", "grey", "root")
    assert lineage("HVC") == ()


def test_long_and_strange_texts_are_read_quickly():
    for words in ("V1 " * 100_000, "(" * 50_000, "a/" * 50_000, "layer " * 50_000, "\0�VISp"):
        assert len(structure(words).stated) <= 1000
