"""Units: the UCUM grammar, dimensions that must agree, and hints for what is nearly right."""

from __future__ import annotations

import math

import pytest

from nwbswitch.schemas.units import COMMON, convert, nearest_unit, parse_unit


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (10, "mg/kg", "ug/g", 10),
        (10, "mg/kg", "g/kg", 0.01),
        (0.1, "mg/kg", "ug/kg", 100),
        (2, "mmol/kg", "umol/kg", 2000),
        (1, "ug/uL", "mg/mL", 1),
        (1, "mol/L", "umol/mL", 1000),
        (2, "uL/min", "nL/s", 100 / 3),
        (36, "cm/s", "m/min", 21.6),
        (1, "m/s", "mm/s", 1000),
        (180, "deg", "rad", math.pi),
        (3, "wk", "d", 21),
        (1.5, "%", "[ppm]", 15000),
        (5, "mg/kg/h", "mg/(kg.h)", 5),
        (5, "mg.kg-1", "mg/kg", 5),
        (5, "kg-1.mg", "mg/kg", 5),
        (4, "m/s2", "cm/s2", 400),
        (1, "{event}/min", "Hz", 1 / 60),
        (1, "mg/kg{body weight}", "mg/kg", 1),
        (7, "/min", "/s", 7 / 60),
        (1, "10.mg", "mg", 10),
        (1, "L", "m3", 0.001),
        (2, "\u00b5g/kg", "ug/kg", 2),
        (2, "\u03bcL", "uL", 2),
        (1, "l", "L", 1),
    ],
)
def test_convert(value: float, source: str, target: str, expected: float) -> None:
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-12)
    assert convert(expected, target, source) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("mg/kg", "%"),
        ("mg/kg", "mg"),
        ("mg/kg", "umol/kg"),
        ("Hz", "s"),
        ("m", "L"),
        ("mL/kg", "mg/kg"),
        ("rad", "%"),
    ],
)
def test_what_measures_differently_is_not_converted(source: str, target: str) -> None:
    with pytest.raises(ValueError, match="cannot be converted"):
        convert(1, source, target)


@pytest.mark.parametrize("text", COMMON)
def test_common_units_parse_and_are_their_own_nearest(text: str) -> None:
    assert parse_unit(text).factor > 0
    assert nearest_unit(text) == text


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("mg/Kg", "mg/kg"),
        ("mgkg", "mg/kg"),
        ("mg per kg", "mg/kg"),
        ("mg kg-1", "mg/kg"),
        ("mg / kg", "mg/kg"),
        ("MG/KG", "mg/kg"),
        ("mcg/kg", "ug/kg"),
        ("µg/Kg", "ug/kg"),
        ("μg per kg", "ug/kg"),
        ("mM", "mmol/L"),
        ("uM", "umol/L"),
        ("hours", "h"),
        ("mg/kg bw", "mg/kg"),
        ("cc", "mL"),
    ],
)
def test_nearest_unit(text: str, near: str) -> None:
    assert nearest_unit(text) == near
    with pytest.raises(ValueError, match="Did you mean") as caught:
        parse_unit(text)
    assert repr(near) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "mg//kg",
        "mg/",
        ".mg",
        "(mg",
        "mg)",
        "()",
        "mg kg",
        "kmin",
        "k%",
        "0.mg",
        "m0",
        "m99",
        "mg/kg\n",
        "{",
        "m{a}{b}",
        "x" * 1000,
        "(" * 40 + "m" + ")" * 40,
        "1e5",
    ],
)
def test_what_is_not_ucum_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a UCUM unit"):
        parse_unit(text)


def test_kinds() -> None:
    assert parse_unit("mg/kg").kind == "mass/mass"
    assert parse_unit("mg/mL").kind == "mass/volume"
    assert parse_unit("%").kind == "1"
    assert parse_unit("cm/s").kind == "length/time"
    assert parse_unit("min").factor == 60
    assert parse_unit("dam").factor == 10
