"""The group a session belongs to and whether the animal was awake, where the words of a file say so."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nwbswitch.analysis.reading.stored_values import dataset_at, fact, fits, group_at, stated, text_of
from nwbswitch.schemas.drug_log import Administration, Role
from nwbswitch.schemas.nwb_text import texts

if TYPE_CHECKING:
    import h5py

AWAKE = "awake"
ANAESTHETISED = "anaesthetised"
"""Where a file does not say with what."""
BEFORE_S = 3600.0
"""An anaesthetic that was given longer before the session than this, s, was for something else."""
MAX_NAMES = 100

_GROUP = re.compile(r"\b(cohort|batch|litter|rig|set-?up)\b\s*(?:(?:id|no|nr|number)\b\.?)?\s*[:=#]?\s*"
                    r"(?:([A-Za-z]?\d[\w-]{0,19})|([A-Z])\b)", re.IGNORECASE)  # fmt: skip
_GROUP_FIELDS = ("cohort", "batch", "litter", "rig")
_AWAKE = re.compile(
    r"(?<!not )(?<!before )\bawake\b|\b(?:un|non-?)an(?:a?)esthe(?:tis|tiz)ed\b", re.IGNORECASE
)
_UNDER = re.compile(r"(?<!non-)(?<!without )(?<!not )(?<!no )\bana?esthe", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"surg|implant|craniotom|headplate|head plate|head-?bar|inject|viral|virus|perfus|sacrific|recover",
    re.IGNORECASE,
)
_ANAESTHETIC = re.compile(
    r"\b(isoflurane|sevoflurane|desflurane|halothane|urethane|pentobarbital|propofol|chloral hydrate"
    r"|dexmedetomidine|medetomidine|ketamine\s*[/+-]\s*xylazine|alfaxalone|fentanyl)\b",
    re.IGNORECASE,
)


def read_batch(nwb: h5py.File) -> str:
    """Return the cohort, batch, litter or rig that a file names, else a code of its experimenters.

    Persons are not named: the same experimenters have the same code in all files. Empty without either.
    """
    subject = group_at(nwb, "general/subject")
    for field in _GROUP_FIELDS:
        value = stated(fact(subject, field))
        if value:
            return f"{field} {value[:40]}"
    for words in (stated(fact(subject, "description")), *_keywords(nwb), *_texts(nwb)):
        found = _GROUP.search(words)
        if found:
            return f"{found[1].casefold()} {found[2] or found[3]}"
    people = dataset_at(nwb, "general/experimenter")
    if people is None or not 0 < people.size <= MAX_NAMES or not fits(people):
        return ""
    names = sorted({" ".join(name.casefold().split()) for name in texts(people)} - {"", "unknown"})
    return f"experimenter {hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:6]}" if names else ""


def read_anaesthesia(nwb: h5py.File, administrations: Sequence[Administration]) -> str:
    """Return ``awake``, the anaesthetic of the session, or nothing where the file does not say.

    The drug log comes first. Of texts, sentences about surgery do not count; where others say both that the
    animal was awake and that it was anaesthetised, neither is taken.
    """
    given = [
        row.substance.lower()
        for row in administrations
        if row.role is Role.ANAESTHETIC and row.timestamp_s + row.duration_s >= -BEFORE_S
    ]
    if given:
        return "+".join(dict.fromkeys(given))
    sentences = [
        part for words in (*_texts(nwb), *_keywords(nwb)) for part in re.split(r"[.;]\s|[.;]$", words)
    ]
    return _said(part for part in sentences if not _ELSEWHERE.search(part))


def _said(sentences: Iterable[str]) -> str:
    awake, under = False, ""
    for part in sentences:
        awake = awake or _AWAKE.search(part) is not None
        if _UNDER.search(part):
            named = _ANAESTHETIC.search(part)
            under = under or (re.sub(r"\s", "", named[1].lower()) if named else ANAESTHETISED)
    if awake:
        return "" if under else AWAKE
    return under


def _texts(nwb: h5py.File) -> tuple[str, ...]:
    places = ("session_description", "general/experiment_description", "general/notes")
    return tuple(text_of(dataset_at(nwb, place)) for place in places)


def _keywords(nwb: h5py.File) -> tuple[str, ...]:
    stored = dataset_at(nwb, "general/keywords")
    held = stored is not None and stored.size <= 10 * MAX_NAMES and fits(stored)
    return tuple(texts(stored)) if held else ()
