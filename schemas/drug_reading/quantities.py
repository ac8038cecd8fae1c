"""Doses, concentrations, volumes and rates as people write them, with units in UCUM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Measure(StrEnum):
    """Which field of an administration a quantity belongs to."""

    DOSE = "dose"
    CONCENTRATION = "concentration"
    VOLUME = "volume"
    RATE = "rate"
    PERCENT = "percent"
    """A dose of a gas, a concentration of anything else."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """Numbers with a unit."""

    start: int
    end: int
    values: tuple[float, ...]
    is_range: bool
    unit: str
    """UCUM; empty where the text gives none."""
    measure: Measure

    @property
    def value(self) -> float | None:
        """The number, or None for a range or a list."""
        return self.values[0] if len(self.values) == 1 else None

    @property
    def words(self) -> str:
        """The numbers in words of a table: ``10``, ``1-2`` for a range, ``3, 10, 30`` for a list."""
        return ("-" if self.is_range else ", ").join(f"{value:g}" for value in self.values)


# Possessive: an unmatched list is given up at once, however long a hostile text makes it.
_NUMBER = r"[0-9]{1,7}+(?:[.,][0-9]{1,7}+)?+"
_BETWEEN = r"\s{0,2}(?:-|/|,\s?(?:and|or)\b|,|;|\bto\b|\band\b|\bor\b|\+|&)\s{0,2}"
_NUMBERS = rf"{_NUMBER}(?:{_BETWEEN}{_NUMBER}){{0,9}}+"
_MASS = r"(?:mg|ug|mcg|ng|pg|milligrams?|micrograms?|nanograms?|m-?grams?)"
_AMOUNT = r"(?:mmol|umol|nmol|pmol|micromoles?|nanomoles?)"
_VOLUME = r"(?:ml|ul|nl|cc|millilit(?:er|re)s?|microlit(?:er|re)s?|nanolit(?:er|re)s?)"
_PER = r"(?:\s?/\s?|\s?\bper\b\s?|\s?[.\xb7*]\s?|\s)"
_BODY = r"(?:kg|kilogram|kilo)"
_WEIGHT = rf"(?:{_PER}{_BODY}(?:\s?\^?-1)?|{_BODY}(?:\s?\^?-1)?|/\s?g\b(?!/))"
_PERIOD = r"(?:hours?|hrs?|h|minutes?|min|seconds?|sec|s)"
_TIME = rf"(?:(?:\s?/\s?|\s?per\s){_PERIOD}|[\s.\xb7]{_PERIOD}\s?\^?-1)"
_UNIT = (
    rf"(?P<per_weight>(?:g|{_MASS}|{_AMOUNT}|{_VOLUME}|iu|units?|u){_WEIGHT}(?P<weight_rate>{_TIME})?|mpk)"
    rf"|(?P<per_volume>(?:{_MASS}|{_AMOUNT}|iu|g){_PER}(?:{_VOLUME}|l|liter|litre)(?:\s?\^?-1)?)"
    r"|(?P<molar>(?-i:[munp]M))"
    r"|(?P<percent>%(?:\s?\(?(?:v/v|w/v|v/w|w/w|vol\.?)\)?)?|\bvol\.?\s?%|\bpercent\b|\bpct\b)"
    rf"|(?P<rate>{_VOLUME}{_TIME})"
    rf"|(?P<volume>{_VOLUME})"
    rf"|(?P<mass>{_MASS}|{_AMOUNT}|iu)"
)
_QUANTITY = re.compile(
    rf"(?<![\w.,/])(?P<numbers>{_NUMBERS})\s{{0,2}}[\])]?\s{{0,2}}[(-]?(?:{_UNIT})(?![a-z0-9]|\s?/\s?[0-9])",
    re.IGNORECASE,
)
_UNIT_FIRST = re.compile(
    rf"(?<![a-z0-9])(?:{_UNIT})\s?[\])]?\s{{0,2}}[:=]\s{{0,2}}(?P<numbers>{_NUMBERS})(?![\w%])", re.IGNORECASE
)
_TUPLE = re.compile(rf"[(\[]\s?(?P<numbers>{_NUMBER}(?:\s?[,;]\s?{_NUMBER}){{1,9}}+)\s?[)\]]")
_BARE = re.compile(
    r"\b(?:dose|dosage|conc(?:entration)?)s?\b\s?(?:[:=]|\bof\b|\bis\b|\bwas\b)?\s{0,2}"
    rf"(?P<numbers>{_NUMBERS})(?![\w%]|\s?[a-z%])",
    re.IGNORECASE,
)
_NUMBER_BEFORE = re.compile(r"(?:^|[\s(,;])[0-9.,]+\s$")
_PAIR = re.compile(r"(?<=[0-9])(\s{0,2}(?:-|\bto\b)\s{0,2})(?=[0-9])")

_NUMERATORS = {
    "mg": "mg", "milligram": "mg", "mgram": "mg", "m-gram": "mg", "ug": "ug", "mcg": "ug", "microgram": "ug",
    "ng": "ng", "nanogram": "ng", "pg": "pg", "g": "g", "mmol": "mmol", "umol": "umol", "micromole": "umol",
    "nmol": "nmol", "nanomole": "nmol", "pmol": "pmol", "ml": "mL", "cc": "mL", "milliliter": "mL",
    "millilitre": "mL", "ul": "uL", "microliter": "uL", "microlitre": "uL", "nl": "nL", "nanoliter": "nL",
    "nanolitre": "nL", "iu": "[IU]", "unit": "[IU]", "u": "[IU]",
}  # fmt: skip
_DENOMINATORS = {
    "kg": "kg", "kilogram": "kg", "kilo": "kg", "g": "g", "ml": "mL", "cc": "mL", "ul": "uL", "nl": "nL",
    "l": "L", "liter": "L", "litre": "L", "milliliter": "mL", "millilitre": "mL", "microliter": "uL",
    "microlitre": "uL", "nanoliter": "nL", "nanolitre": "nL",
}  # fmt: skip
_TIMES = {
    "h": "h",
    "hr": "h",
    "hour": "h",
    "min": "min",
    "minute": "min",
    "s": "s",
    "sec": "s",
    "second": "s",
}
_ABOVE, _BELOW, _TIME_WORDS = (
    "|".join(sorted(words, key=len, reverse=True)) for words in (_NUMERATORS, _DENOMINATORS, _TIMES)
)
_WRITTEN = re.compile(
    rf"(?P<above>{_ABOVE})s?"
    rf"(?:(?:/|per|[.\xb7*])?(?P<below>{_BELOW})s?(?:\^?-1)?)?"
    rf"(?:(?:/|per|[.\xb7])?(?P<time>{_TIME_WORDS})s?(?:\^?-1)?)?"
)
_MEASURES = {
    "per_weight": Measure.DOSE,
    "per_volume": Measure.CONCENTRATION,
    "molar": Measure.CONCENTRATION,
    "percent": Measure.PERCENT,
    "rate": Measure.RATE,
    "volume": Measure.VOLUME,
    "mass": Measure.DOSE,
}


def find_quantities(text: str) -> list[Quantity]:
    """Return the quantities of a plain text in order; numbers without a unit only after the word dose."""
    found = list(_with_units(text, _QUANTITY))
    if ":" in text or "=" in text:
        found += _with_units(text, _UNIT_FIRST)
    taken = [(each.start, each.end) for each in found]
    for match in _BARE.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in taken):
            numbers = _numbers(match["numbers"])
            if numbers is not None:
                found.append(Quantity(match.start(), match.end(), *numbers, "", Measure.DOSE))
    return _with_ranges(text, sorted(found, key=lambda each: each.start))


def _with_ranges(text: str, quantities: list[Quantity]) -> list[Quantity]:
    """Return the quantities with ``5 mg/kg to 10 mg/kg`` as one range."""
    found: list[Quantity] = []
    for each in quantities:
        last = found[-1] if found else None
        if last is not None and _is_range(text, last, each):
            values = (*last.values, *each.values)
            found[-1] = Quantity(last.start, each.end, values, True, each.unit, each.measure)
        else:
            found.append(each)
    return found


def _is_range(text: str, first: Quantity, second: Quantity) -> bool:
    if first.unit != second.unit or first.value is None or second.value is None:
        return False
    between = text[first.end : second.start].strip()
    return between in ("-", "to") and first.value < second.value


def find_tuples(text: str) -> list[Quantity]:
    """Return lists of numbers in brackets, such as ``(3, 10, 30)``, which may be doses."""
    found = []
    for match in _TUPLE.finditer(text):
        numbers = _numbers(re.sub(r"\s?[,;]\s?", ", ", match["numbers"]))
        if numbers is not None:
            found.append(Quantity(match.start(), match.end(), *numbers, "", Measure.DOSE))
    return found


def _with_units(text: str, pattern: re.Pattern[str]) -> Iterator[Quantity]:
    for match in pattern.finditer(text):
        kind = next(name for name in _MEASURES if match[name])
        unit = _ucum(kind, match[kind])
        numbers = _numbers(match["numbers"])
        if (
            unit is None
            or numbers is None
            or _NUMBER_BEFORE.search(text, max(0, match.start() - 12), match.start())
        ):
            continue
        measure = Measure.RATE if kind == "per_weight" and match["weight_rate"] else _MEASURES[kind]
        yield Quantity(match.start(), match.end(), *numbers, unit, measure)


def _numbers(text: str) -> tuple[tuple[float, ...], bool] | None:
    """Return the numbers of a list or range and whether it is a range; None when it cannot be told."""
    listed = re.split(r"\s{0,2}(?:,\s(?:and|or)\b|,\s|\band\b|\bor\b|[/;+&])\s{0,2}", text.strip())
    parts = [part for each in listed for part in _PAIR.split(each) if part.strip()]
    words = [part for part in parts if part[:1].isdigit()]
    if any(word.count(",") > 1 for word in words):
        words = [each for word in words for each in word.split(",")]
    values = [_number(word.strip()) for word in words]
    if not values or None in values:
        return None
    plain = tuple(value for value in values if value is not None)
    is_range = len(parts) == 3 and len(plain) == 2 and len(listed) == 1 and plain[0] < plain[1]
    return plain, is_range


def _number(word: str) -> float | None:
    """Return a number with a decimal point or comma; None where a comma may mean thousands or a list."""
    if "," not in word:
        return float(word)
    whole, part = word.split(",")
    if part == "000" and whole != "0":
        return float(whole + part)
    if len(part) == 3 and whole != "0":
        return None
    return float(f"{whole}.{part}")


def _ucum(kind: str, text: str) -> str | None:
    """Return the UCUM unit, or None when the words make none."""
    if kind == "percent":
        return "%"
    if kind == "molar":
        return f"{text[0]}mol/L"
    squeezed = re.sub(r"\s", "", text.casefold())
    written = _WRITTEN.fullmatch("mg/kg" if squeezed == "mpk" else squeezed)
    if written is None or written["above"] not in _NUMERATORS:
        return None
    parts = [_NUMERATORS[written["above"]]]
    if written["below"]:
        parts.append(_DENOMINATORS[written["below"]])
    if written["time"]:
        parts.append(_TIMES[written["time"]])
    return "/".join(parts)
