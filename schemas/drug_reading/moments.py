"""When something was given, as people write it: on the session clock, before the session, as a date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Clock(StrEnum):
    """What a time counts from."""

    SESSION = "session"
    """Seconds on the session clock."""
    SINCE = "since"
    """Seconds from the administration to the recording, or to what the sentence is about."""
    UNTIL = "until"
    """Seconds from what the sentence is about to the administration that is named after it."""
    DATE = "date"
    """Seconds since 1970 of the noon of a day, without a time zone."""
    DAYTIME = "daytime"
    """Seconds since midnight."""
    DURATION = "duration"
    """How long it took, s."""
    DAY = "day"
    """Number of a day of treatment."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time found in a text."""

    start: int
    end: int
    clock: Clock
    values: tuple[float, ...]
    """Seconds, or the number of a day."""
    uncertainty_s: float | None = None
    is_inferred: bool = False
    anchor: int = -1
    """Where the name of the substance that it counts from would stand."""


_NUMBER = r"[0-9]{1,6}+(?:\.[0-9]{1,4}+)?+"
_UNIT = r"(?:seconds?|secs?|s|minutes?|mins?|hours?|hrs?|h|days?|d|weeks?|wks?|months?)"
_RANGE = rf"{_NUMBER}(?:\s?(?:-|to)\s?{_NUMBER})?+"
_LIST = rf"{_NUMBER}(?:\s?(?:,\s?and|,|and|&|/)\s?{_NUMBER}){{0,9}}+"
_SESSION = (
    r"(?:session|recordings?|imaging|experiment|acquisition|scan(?:ning)?|data collection|photometry"
    r"|trial 1|test day)"
)
_TASK = (
    rf"(?:{_SESSION}|test(?:ing)?|task|behaviou?r(?:al)?|training|measurements?|exposure|stimulation"
    r"|exploration|maze|arena|chamber|conditioning|assay|tests)"
)
_THE = r"(?:the |this |each |every |an? |our |subsequent |first )?"
_GIVING = (
    r"(?:injections?|administrations?|infusions?|dosing|dos(?:e|ed)|treatment|drug|delivery|application"
    r"|gavage"
    r"|inj\.?|pre-?treatment)"
)
_WORDS = r"(?:[a-z.()]{1,18}[ -]){0,3}?"

_IN_WORDS = {
    "a": "1", "an": "1", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "seven": "7", "eight": "8", "nine": "9", "ten": "10", "twelve": "12", "fifteen": "15",
    "twenty": "20", "thirty": "30", "forty": "40", "sixty": "60", "ninety": "90", "half an": "0.5",
}  # fmt: skip
_COUNTED = re.compile(
    rf"\b(?:half an|{'|'.join(word for word in _IN_WORDS if ' ' not in word)})(?=[ -](?:seconds?|min"
    rf"|minutes?|hours?|h|days?"
    r"|weeks?|months?)\b)",
    re.IGNORECASE,
)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PLACED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in {
        "before_session": rf"(?:before|prior to|preceding|pre)[ -]{_THE}(?:start of |onset of "
        rf"|beginning of )?{_THE}"
        rf"{_WORDS}{_TASK}",
        "since_start": rf"(?:after|from|following|post|of)[ -]{_THE}(?:{_WORDS}{_SESSION} (?:start|onset"
        rf"|began|begins?)"
        rf"|(?:start|onset|beginning)(?: of {_THE}{_WORDS}{_SESSION})?\b|{_SESSION}(?: start| onset)?\b)",
        "into_session": rf"in(?:to)? {_THE}{_WORDS}{_SESSION}",
        "since_giving": rf"(?:after|following|post|since)[ -]?{_THE}{_WORDS}{_GIVING}",
        "since": r"(?:after|following|post|since)[ -]",
        "later": r"later\b",
        "before": r"(?:before|prior to|preceding)[ ]",
        "baseline": rf"(?:of |long |pre-drug |pre-injection )*{_WORDS}baseline",
    }.items()
)
_DATE_WORDS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"(?:{'|'.join(_DATE_WORDS)})[a-z]{{0,6}}\.?"
_MOMENT = re.compile(
    r"(?P<date>(?<![\w-])(?:19|20)[0-9]{2}(?P<cut>[-/])[0-9]{2}(?P=cut)[0-9]{2}(?![\w]))"
    rf"|(?P<worded>\b[0-9]{{1,2}}(?:st|nd|rd|th)? {_MONTH},? (?:19|20)[0-9]{{2}}\b"
    rf"|\b{_MONTH} [0-9]{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)[0-9]{{2}}\b)"
    r"|\b(?:at|@) ?(?P<daytime>[0-2]?[0-9]:[0-5][0-9](?::[0-5][0-9])?(?: ?[ap]\.?m\b\.?)?)"
    rf"|\b(?:at|@) (?:time )?(?:minutes?|mins?) (?P<minutes>{_LIST})"
    rf"|(?:\b(?:at|time|onset)\b|@|\bt\b)\s?(?:~|approx\w{{0,10}}\.?|about|t|time|around)?\s?[:=]?\s?"
    rf"(?P<at>{_LIST})(?:\s?-?\s?(?P<at_unit>{_UNIT}))?(?![\w%/]|\s?\xb0)"
    rf"|(?<![\w.])(?P<span>{_RANGE})\s?-?\s?(?P<span_unit>{_UNIT})(?![\w/])"
    rf"|\b(?P<edge>immediately|just|right|shortly|directly) (?:before|prior to"
    rf"|preceding) {_THE}{_WORDS}{_TASK}"
    rf"|\b(?P<start>(?:at|from) {_THE}(?:start|beginning|onset) of {_THE}{_WORDS}{_SESSION})"
    rf"|\bday (?P<day>[0-9]{{1,3}}) (?:of|on)\b",
    re.IGNORECASE,
)
_TELLING = re.compile(
    r"[0-9]|\b(?:immediately|just|right|shortly|directly|start|beginning|onset|hour|day|week|month|minute)",
    re.IGNORECASE,
)
_EVERY = re.compile(
    r"(?:every|each|per|for|over|during|lasting|within|of|in|first|last|next)\s?~?$", re.IGNORECASE
)
_LASTING = re.compile(r"(?:for|over|lasting|during|across)\s?~?$", re.IGNORECASE)
_AFTER_BASELINE = re.compile(r"(?:after|following) (?:an? |the )?(?:initial )?~?$", re.IGNORECASE)
_INTERVALS = re.compile(
    r"\s?-?(?:intervals?|apart|each|per|bins?|blocks?|of (?:recording|imaging))\b", re.IGNORECASE
)
_THEN = re.compile(
    r"[ -](?:\w{1,12} )?baseline[^.;]{0,20}\b(?:then|followed by|after which)\b", re.IGNORECASE
)
_INFUSING = re.compile(r"[ -](?:long )?(?:infusion|inhalation|exposure|perfusion|bolus)\b", re.IGNORECASE)
_JUST_BEFORE_S = 300.0
_HALF_DAY_S = 43_200.0


def find_moments(text: str) -> list[Moment]:
    """Return the times in a plain text, in order; a bare span of time only where a word places it."""
    if not _TELLING.search(text):
        return []
    counted = _COUNTED.sub(_in_digits, text)
    return [moment for match in _MOMENT.finditer(counted) for moment in _read(counted, match)]


def _in_digits(match: re.Match[str]) -> str:
    """Return a number in words as digits of the same length."""
    return _IN_WORDS.get(" ".join(match.group().casefold().split()), "").rjust(len(match.group()))


def _read(text: str, match: re.Match[str]) -> Iterator[Moment]:
    start, end = match.span()
    if match["date"] or match["worded"]:
        noon = _noon(match["date"] or match["worded"])
        if noon is not None:
            yield Moment(start, end, Clock.DATE, (noon,), _HALF_DAY_S)
    elif match["daytime"]:
        seconds = _daytime(match["daytime"])
        if seconds is not None:
            yield Moment(start, end, Clock.DAYTIME, (seconds,), 60.0)
    elif match["minutes"]:
        yield Moment(start, end, Clock.SESSION, _numbers(match["minutes"], 60.0))
    elif match["day"]:
        yield Moment(start, end, Clock.DAY, (float(match["day"]),))
    elif match["edge"]:
        yield Moment(start, end, Clock.SESSION, (0.0,), _JUST_BEFORE_S, is_inferred=True)
    elif match["start"]:
        yield Moment(start, end, Clock.SESSION, (0.0,))
    elif match["at"]:
        yield from _at(text, match)
    else:
        yield from _span(text, match)


def _at(text: str, match: re.Match[str]) -> Iterator[Moment]:
    """Read ``at 30 mins``, ``t = 1800 s``, and what follows, as in ``at 30 min after CNO``."""
    unit, start, end = match["at_unit"], *match.span()
    if not unit or _INTERVALS.match(text, end):
        return
    values = _numbers(match["at"], _seconds(unit))
    placed = _placed(text, end, start, values[-1:])
    if placed is not None:
        yield placed
    elif _seconds(unit) < _SECONDS["d"]:
        yield Moment(start, end, Clock.SESSION, values)


def _span(text: str, match: re.Match[str]) -> Iterator[Moment]:
    """Read ``30 min before the session``, ``for 10 min``; a span that no word places is no time."""
    start, end = match.span()
    low, *high = _numbers(re.sub(r"\s?(?:-|to)\s?", ",", match["span"]), _seconds(match["span_unit"]))
    middle, half = (low, None) if not high else ((low + high[0]) / 2, abs(high[0] - low) / 2)
    before = text[max(0, start - 24) : start]
    if _THEN.match(text, end):
        yield Moment(start, end, Clock.SESSION, (middle,), half, is_inferred=True)
        return
    if _AFTER_BASELINE.search(before):
        follows = _PLACED[-1][1].match(text, end + 1)
        if follows is not None:
            yield Moment(start, follows.end(), Clock.SESSION, (middle,), half, is_inferred=True)
        return
    if _LASTING.search(before) or _INFUSING.match(text, end):
        yield Moment(start, end, Clock.DURATION, (middle,), half)
        return
    placed = None if _EVERY.search(before) else _placed(text, end, start, (middle,), half)
    if placed is not None:
        yield placed


def _placed(
    text: str, end: int, start: int, values: tuple[float, ...], half: float | None = None
) -> Moment | None:
    """Return a span of time as the words behind it place it."""
    place = end + 1 if text[end : end + 1] in " -" else end
    for name, pattern in _PLACED:
        match = pattern.match(text, place)
        if match is None:
            continue
        stop = match.end()
        match name:
            case "before_session":
                return Moment(start, stop, Clock.SESSION, tuple(-value for value in values), half)
            case "since_start" | "into_session":
                return Moment(start, stop, Clock.SESSION, values, half)
            case "since_giving":
                return Moment(start, stop, Clock.SINCE, values, half, anchor=place)
            case "since":
                return Moment(start, stop, Clock.SINCE, values, half, anchor=stop)
            case "before":
                return Moment(start, stop, Clock.UNTIL, values, half, anchor=stop)
            case _:
                return None
    return None


def _numbers(text: str, unit_s: float) -> tuple[float, ...]:
    return tuple(float(word) * unit_s for word in re.findall(_NUMBER, text))


def _seconds(unit: str) -> float:
    folded = unit.casefold()
    return 30 * _SECONDS["d"] if folded.startswith("month") else _SECONDS[folded[0]]


def _noon(words: str) -> float | None:
    from datetime import UTC, datetime

    numbers = re.findall(r"[0-9]+", words)
    month = re.search(r"[a-z]{3}", re.sub(r"(?<=[0-9])(?:st|nd|rd|th)", "", words.casefold()))
    if month is None:
        year, number, day = numbers
    else:
        day, year = numbers
        number = str(_DATE_WORDS.index(month.group()) + 1)
    try:
        return datetime(int(year), int(number), int(day), 12, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _daytime(words: str) -> float | None:
    parts = [int(each) for each in re.findall(r"[0-9]+", words)]
    hour = parts[0]
    if hour > 23:
        return None
    if re.search(r"p\.?m", words, re.IGNORECASE) and hour < 12:
        hour += 12
    return hour * 3600.0 + sum(value * scale for value, scale in zip(parts[1:], (60.0, 1.0), strict=False))
