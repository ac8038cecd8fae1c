"""What the numbers of a series are, from the words that its writer used for it.

The words are those of neuroconv, AllenSDK and the Allen Institute's later pipelines, the exporters of
Suite2p and CaImAn, MatNWB's examples, and our own converter. Names count before types, types before units,
units before prose; what no word settles is fluorescence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a series is to its plane."""

    RAW = "raw"
    DFF = "dff"
    DEMIXED = "demixed"
    DENOISED = "denoised"
    DECONVOLVED = "deconvolved"
    NEUROPIL = "neuropil"
    SECOND_CHANNEL = "second channel"
    BASELINE = "baseline"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Words:
    """What a writer said of one series."""

    names: tuple[str, ...]
    """Its own name, without what only names its plane, then those of what holds it."""
    types: tuple[str, ...]
    """Its own type, then those of what holds it."""
    unit: str = ""
    prose: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a series is."""

    role: Role
    is_stated: bool
    """Whether a word says so; else it is only not said to be anything else."""
    neuropil_subtracted: bool


_ROLES: tuple[tuple[Role, tuple[str, ...]], ...] = (
    (Role.SECOND_CHANNEL, ("secondchannel", "chan2")),
    (Role.NEUROPIL, ("neuropil", "fneu", "npil", "background")),
    (Role.DECONVOLVED, ("deconv", "spike", "spks", "event", "inferred", "cascade")),
    (Role.BASELINE, ("baseline",)),
    (Role.DENOISED, ("denoise",)),
    (Role.OTHER, ("zscore", "residual")),
    (Role.DEMIXED, ("demix",)),
    (Role.DFF, ("dff", "dfof", "dfoverf", "deltaf")),
)
"""Parts of names in lower case without anything between the letters; the first role with one counts."""
_TOKENS = {"f0": Role.BASELINE}
_MOVED = re.compile(r"(motion|bleach(ing)?)correct(ed|ion)")
"""Corrections that change neither the level nor the neuropil."""
_CORRECTED = re.compile(
    r"(neuropil|npil|fneu|background|bg)(corrected|subtracted|removed|sub)|"
    r"corrected(fluorescence|fluo|traces?|f$)|(fluorescence|traces?)corrected|^f?corr(ected)?$|^f_?corr|"
    r"decontaminated"
)
_CORRECTED_PROSE = re.compile(
    r"(neuropil|background)[ -](corrected|subtracted)|"
    r"(corrected|subtract\w*)( \w+){0,3} (neuropil|background)|"
    r"(neuropil|background)( \w+){0,4} (subtracted|removed|corrected)"
)
_NEGATED = re.compile(r"\b(not|no|non|without|before|prior|un|yet)\b")
_PROSE: tuple[tuple[Role, re.Pattern[str]], ...] = (
    (Role.DFF, re.compile(r"\b(delta|d) ?-?f ?/ ?f|\bdff\b|\bdf over f\b")),
    (Role.DECONVOLVED, re.compile(r"\bdeconvol|\binferred spik|\bspiking\b|\bspike (train|prob|rate)")),
    (Role.DENOISED, re.compile(r"\bdenoised\b")),
    (Role.NEUROPIL, re.compile(r"\bneuropil (traces?|fluorescence|signal|activity)|\bof the neuropil\b")),
)
_RAW = re.compile(r"raw")
_PLAIN_TYPES = frozenset({"", "RoiResponseSeries", "TimeSeries", "Fluorescence", "ProcessingModule"})
PERCENT = frozenset({"%", "percent", "percentage", "df/f (%)", "% df/f", "%df/f", "df/f %", "dff (%)"})


def meaning_of(words: Words) -> Meaning:
    """Return what a series is."""
    corrected = any(_CORRECTED.search(_squashed(name)) for name in words.names)
    corrected |= any("fc" in _tokens(name) for name in words.names)
    corrected |= _prose_says_corrected(words.prose)
    role = _first(map(_role_of, words.names))
    role = role or _first(_role_of(kind) for kind in words.types if kind not in _PLAIN_TYPES)
    role = role or _role_of_prose(words.unit)
    says_raw = any(_RAW.search(_squashed(name)) for name in words.names)
    if role is None and not says_raw:
        role = _role_of_prose(words.prose)
    says_raw |= _RAW.search(words.prose.casefold()) is not None
    return Meaning(role or Role.RAW, role is not None or says_raw, corrected)


def own_name(path: str, suffix: str) -> str:
    """Return the last name of a path without the suffix of its plane, whose words mean nothing.

    Only the second channel of Suite2p has planes of its own, and says so in their names.
    """
    last = path.rpartition("/")[2]
    is_suffix = bool(suffix) and last.casefold().endswith(suffix.casefold())
    kept = last[: -len(suffix)] if is_suffix and "chan2" not in suffix.casefold() else last
    return kept or last


def _first(roles: Iterable[Role | None]) -> Role | None:
    return next((role for role in roles if role is not None), None)


def _role_of(name: str) -> Role | None:
    rest = _CORRECTED.sub("", _squashed(name))
    for role, parts in _ROLES:
        if any(part in rest for part in parts):
            return role
    return _first(_TOKENS.get(token) for token in _tokens(name))


def _role_of_prose(text: str) -> Role | None:
    """Return the one role that prose speaks of; None where it speaks of none or of several."""
    plain = " ".join(text.casefold().replace("δ", "delta ").split())
    plain = _CORRECTED_PROSE.sub("", plain)
    spoken = {role for role, pattern in _PROSE if pattern.search(plain)}
    return spoken.pop() if len(spoken) == 1 and not _RAW.search(plain) else None


def _prose_says_corrected(text: str) -> bool:
    plain = " ".join(text.casefold().split())
    for match in _CORRECTED_PROSE.finditer(plain):
        around = plain[max(match.start() - 20, 0) : match.end()]
        if not _NEGATED.search(around):
            return True
    return False


def _squashed(name: str) -> str:
    plain = name.casefold().replace("δ", "delta")
    return _MOVED.sub("", re.sub(r"[^a-z0-9]", "", plain))


def _tokens(name: str) -> list[str]:
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+\d*|[A-Z]+\d*|\d+", name)
    return [part.casefold() for part in parts]
