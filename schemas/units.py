"""Units of doses, concentrations, volumes, rates and speeds, written in UCUM.

The grammar is that of the Unified Code for Units of Measure (https://ucum.org/ucum, section 2): case
sensitive prefix and atom, ``.`` and ``/`` from left to right, integer exponents, parentheses, integer
factors and ``{annotations}``. The atoms are those that drug logs and behaviour recordings use.

A quotient keeps what stands above and below the line, so ``mg/kg`` is a mass per mass and cannot be
converted into ``%``; amount of substance (mol) is a dimension of its own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache

Dimension = tuple[tuple[str, int], ...]
_LONGEST = 64
_DEEPEST = 4
_GREATEST_EXPONENT = 9

PREFIXES: dict[str, Fraction] = {
    symbol: Fraction(10) ** power
    for symbol, power in {
        "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1,
        "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
    }.items()
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Atom:
    """A unit atom: its size in base units, its dimension, and whether it takes prefixes."""

    factor: Fraction
    dimension: Dimension
    metric: bool = True


def _atom(factor: int | str | float, metric: bool = True, **dimension: int) -> Atom:
    return Atom(Fraction(factor), tuple(sorted(dimension.items())), metric)


ATOMS: dict[str, Atom] = {
    "g": _atom(1, mass=1),
    "m": _atom(1, length=1),
    "s": _atom(1, time=1),
    "mol": _atom(1, amount=1),
    "L": _atom("0.001", length=3),
    "l": _atom("0.001", length=3),
    "A": _atom(1, current=1),
    "V": _atom(1, voltage=1),
    "Hz": _atom(1, time=-1),
    "rad": _atom(1, angle=1),
    "deg": _atom(math.pi / 180, metric=False, angle=1),
    "min": _atom(60, metric=False, time=1),
    "h": _atom(3600, metric=False, time=1),
    "d": _atom(86400, metric=False, time=1),
    "wk": _atom(604800, metric=False, time=1),
    "%": _atom("0.01", metric=False),
    "[ppm]": _atom("0.000001", metric=False),
    "[IU]": _atom(1, international_unit=1),
}

COMMON: tuple[str, ...] = (
    "mg/kg", "ug/kg", "g/kg", "ng/kg", "mmol/kg", "umol/kg", "nmol/kg", "mL/kg", "uL/g", "mg/g", "ug/g",
    "mg/kg/h", "mg/kg/min", "ug/kg/min", "mg/(kg.h)", "kg", "g", "mg", "ug", "ng", "pg",
    "mol", "mmol", "umol", "nmol", "pmol", "mg/mL", "ug/mL", "ng/mL", "g/L", "mg/L", "ug/uL", "ng/uL",
    "mol/L", "mmol/L", "umol/L", "nmol/L", "L", "mL", "uL", "nL", "mL/min", "uL/min", "nL/min",
    "mL/h", "uL/h", "uL/s", "nL/s", "L/min", "m/s", "cm/s", "mm/s", "m", "cm", "mm", "um", "nm",
    "s", "ms", "min", "h", "d", "wk", "Hz", "V", "mV", "rad", "rad/s", "deg", "deg/s", "%", "[ppm]",
    "[IU]", "[IU]/kg", "[IU]/mL",
)  # fmt: skip

_SPOKEN = {
    "mcg": "ug", "gm": "g", "gr": "g", "kilo": "kg", "sec": "s", "secs": "s", "second": "s",
    "seconds": "s", "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "mins": "min", "minute": "min",
    "minutes": "min", "day": "d", "days": "d", "week": "wk", "weeks": "wk", "cc": "mL", "iu": "[IU]",
    "ppm": "[ppm]", "percent": "%", "pct": "%", "°": "deg", "degree": "deg", "degrees": "deg",
    "liter": "L", "litre": "L", "milligram": "mg", "milligrams": "mg", "microgram": "ug",
    "micrograms": "ug", "gram": "g", "grams": "g", "kilogram": "kg", "lit": "L",
}  # fmt: skip
_MOLAR = {"M": "mol/L", "mM": "mmol/L", "uM": "umol/L", "nM": "nmol/L", "pM": "pmol/L"}


@dataclass(frozen=True, slots=True)
class Unit:
    """A parsed unit: its text, its size in base units (g, m, s, mol) and what it measures."""

    text: str
    factor: Fraction
    above: Dimension
    below: Dimension

    @property
    def kind(self) -> str:
        """What the unit measures, e.g. ``mass/mass``, ``amount/volume``, ``length/time`` or ``1``."""
        above = "".join(_dimension_words(self.above)) or "1"
        below = "".join(f"/{word}" for word in _dimension_words(self.below))
        return above + below


def _dimension_words(dimension: Dimension) -> Iterable[str]:
    for name, exponent in dimension:
        if name == "length" and exponent == 3:
            yield "volume"
        else:
            yield name if exponent == 1 else f"{name}{exponent}"


_TOKEN = re.compile(
    r"(?P<open>\()|(?P<close>\))|(?P<operator>[./])|(?P<annotation>\{[\x21-\x7a\x7c ]*\})"
    r"|(?P<atom>(?:\[[A-Za-z_]+\]|%|[A-Za-z]+)(?:\[[A-Za-z_]+\])?)(?P<exponent>[+-]?[0-9]+)?"
    r"|(?P<number>[0-9]+)"
)


@dataclass(slots=True)
class _Factor:
    """A product under construction: size, and exponents above and below the line."""

    factor: Fraction
    above: dict[str, int]
    below: dict[str, int]

    def times(self, other: _Factor, sign: int) -> None:
        """Multiply by ``other``, or divide when ``sign`` is -1."""
        self.factor *= other.factor**sign
        upper, lower = (other.above, other.below) if sign == 1 else (other.below, other.above)
        for mine, theirs in ((self.above, upper), (self.below, lower)):
            for name, exponent in theirs.items():
                mine[name] = mine.get(name, 0) + exponent


@lru_cache(maxsize=1024)
def parse_unit(text: str) -> Unit:
    """Return the unit that ``text`` denotes; the micro sign and the Greek mu are read as ``u``.

    Raises
    ------
    ValueError
        When the text is not UCUM, or uses an atom outside the subset; the message names the nearest unit.
    """
    try:
        tokens = _tokens(plain_micro(text))
        product, end = _term(tokens, 0, 0)
        if end != len(tokens):
            raise ValueError("a closing parenthesis without an opening one")
    except ValueError as error:
        near = nearest_unit(text)
        hint = f" Did you mean {near!r}?" if near else " Write it in UCUM, e.g. 'mg/kg' or 'uL/min'."
        raise ValueError(f"{text!r} is not a UCUM unit known here: {error}.{hint}") from None
    return Unit(
        text, product.factor, tuple(sorted(product.above.items())), tuple(sorted(product.below.items()))
    )


def plain_micro(text: str) -> str:
    """Return a unit with UCUM's ``u`` in place of the micro sign (U+00B5) and the Greek mu (U+03BC)."""
    return text.replace("\u00b5", "u").replace("\u03bc", "u")


def _tokens(text: str) -> list[re.Match[str]]:
    if not text:
        raise ValueError("it is empty")
    if len(text) > _LONGEST:
        raise ValueError(f"it has more than {_LONGEST} characters")
    found, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"unexpected {text[place]!r} at character {place + 1}")
        found.append(match)
        place = match.end()
    return found


def _term(tokens: list[re.Match[str]], place: int, depth: int) -> tuple[_Factor, int]:
    """Read components joined by ``.`` and ``/`` from left to right."""
    product = _Factor(Fraction(1), {}, {})
    sign = 1
    if place < len(tokens) and tokens[place].group() == "/":
        sign, place = -1, place + 1
    while True:
        component, place = _component(tokens, place, depth)
        product.times(component, sign)
        if place == len(tokens) or tokens[place]["close"]:
            return product, place
        if not tokens[place]["operator"]:
            raise ValueError(f"'.' or '/' is missing before {tokens[place].group()!r}")
        sign, place = (1 if tokens[place].group() == "." else -1), place + 1


def _component(tokens: list[re.Match[str]], place: int, depth: int) -> tuple[_Factor, int]:
    if place == len(tokens):
        raise ValueError("it ends where a unit is expected")
    token = tokens[place]
    if token["open"]:
        if depth == _DEEPEST:
            raise ValueError("too many parentheses")
        component, place = _term(tokens, place + 1, depth + 1)
        if place == len(tokens):
            raise ValueError("a parenthesis is not closed")
    elif token["atom"]:
        component = _simple(token["atom"], int(token["exponent"] or 1))
    elif token["number"]:
        component = _Factor(Fraction(int(token["number"])), {}, {})
        if component.factor == 0:
            raise ValueError("a factor is 0")
    elif token["annotation"]:
        return _Factor(Fraction(1), {}, {}), place + 1
    else:
        raise ValueError(f"{token.group()!r} stands where a unit is expected")
    place += 1
    if place < len(tokens) and tokens[place]["annotation"] and not token["open"]:
        place += 1
    return component, place


def _simple(symbol: str, exponent: int) -> _Factor:
    """Resolve prefix and atom; the atom without a prefix wins (``min`` is the minute)."""
    if exponent == 0 or abs(exponent) > _GREATEST_EXPONENT:
        raise ValueError(f"the exponent {exponent} of {symbol!r} is not between -9 and 9 or is 0")
    size, atom = Fraction(1), ATOMS.get(symbol)
    if atom is None:
        for width in (2, 1):
            rest = ATOMS.get(symbol[width:])
            if rest is not None and rest.metric and symbol[:width] in PREFIXES:
                size, atom = PREFIXES[symbol[:width]], rest
                break
        else:
            raise ValueError(f"{symbol!r} is no unit")
    above: dict[str, int] = {}
    below: dict[str, int] = {}
    for name, power in atom.dimension:
        total = power * exponent
        (above if total > 0 else below)[name] = abs(total)
    return _Factor((size * atom.factor) ** exponent, above, below)


def convert(value: float, from_unit: str, to_unit: str) -> float:
    """Return ``value`` of ``from_unit`` expressed in ``to_unit``.

    Raises
    ------
    ValueError
        When a unit cannot be read, or the two do not measure the same.
    """
    source, target = parse_unit(from_unit), parse_unit(to_unit)
    if (source.above, source.below) != (target.above, target.below):
        raise ValueError(
            f"{from_unit!r} measures {source.kind} and cannot be converted into {to_unit!r} ({target.kind})"
        )
    ratio = source.factor / target.factor
    return value * ratio.numerator / ratio.denominator


def nearest_unit(text: str) -> str:
    """Return the valid unit that ``text`` most likely stands for, or an empty string.

    ``mg/Kg``, ``mgkg``, ``mg per kg``, ``mg kg-1`` give ``mg/kg``; ``µg`` gives ``ug``; ``mM``, ``mmol/L``.
    """
    plain = plain_micro(text.strip()[:_LONGEST]).replace("·", ".").replace("*", ".")
    if plain in _MOLAR:
        return _MOLAR[plain]
    plain = re.sub(r"\s+per\s+|\s*/\s*", "/", plain)
    words = re.split(r"([./\s])", plain)
    plain = "".join(_SPOKEN.get(word.casefold(), word) for word in words)
    plain = re.sub(r"\s+", ".", plain)
    by_fold = {each.casefold(): each for each in reversed(COMMON)}
    squeezed = {re.sub(r"[./()]", "", fold): each for fold, each in by_fold.items()}
    for candidate in (
        plain,
        plain.replace(".kg-1", "/kg"),
        plain.replace(".l-1", "/L").replace(".L-1", "/L"),
    ):
        if candidate in COMMON:
            return candidate
        if candidate.casefold() in by_fold:
            return by_fold[candidate.casefold()]
    flat = re.sub(r"[./()\s-]", "", plain.casefold())
    if flat in squeezed:
        return squeezed[flat]
    close = get_close_matches(plain.casefold(), list(by_fold), n=1, cutoff=0.6)
    return by_fold[close[0]] if close else ""
