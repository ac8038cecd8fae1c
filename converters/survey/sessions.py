"""Which recordings belong to one session: guessed from the folders and names they lie in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from nwbswitch.converters.registry import Kind
from nwbswitch.converters.survey.sightings import Sighting

_DATE = re.compile(r"(?<!\d)(20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
_PREFIX = re.compile(r"^(sub|subject|mouse|animal|ses|session)[-_]+(?=.)", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.+-]+")
_DIGITS = re.compile(r"\d+")
_COUNTER = re.compile(r"\d{3,}")
MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class GuessedSession:
    """One recording session: names as they may stand in file names, its folder or stem, its recordings."""

    subject_id: str
    session_id: str
    key: str
    """What the paths of its recordings have in common and other sessions have not, below the raw folder."""
    day: date | None
    sightings: tuple[Sighting, ...]


def guess_sessions(sightings: Sequence[Sighting]) -> list[GuessedSession]:
    """Return the sessions of a raw folder.

    As many leading folders tell sessions apart as leave the fewest recordings of one format in a session.
    Where all lie in one folder, the beginnings of file names, up to a date if they hold one, tell them apart.
    """
    if not sightings:
        return []
    worst = [max(map(_alike, _groups(sightings, depth).values())) for depth in range(MAX_DEPTH + 1)]
    depth = worst.index(min(worst))
    # A folder that all recordings of a session lie in belongs to its name: sub-m01/ses-a, not sub-m01.
    while depth and _is_one_deeper(sightings, depth):
        depth += 1
    groups = _groups(sightings, depth)
    if len(groups) == 1 and min(worst) > 1 and not _is_series(sightings):
        groups = _by_stem(sightings)
    named = [(key, *_names(key), tuple(group)) for key, group in groups.items()]
    taken = Counter((subject, session) for _, subject, session, _, _ in named)
    return [
        GuessedSession(
            subject,
            session if taken[subject, session] == 1 else _plain(Path(key).name + f"-{index + 1}"),
            key,
            day,
            group,
        )
        for index, (key, subject, session, day, group) in enumerate(named)
    ]


def _groups(sightings: Sequence[Sighting], depth: int) -> dict[str, list[Sighting]]:
    groups: dict[str, list[Sighting]] = {}
    for each in sightings:
        folders = each.path.parts[:-1]
        groups.setdefault("/".join(folders[:depth]), []).append(each)
    return groups


def _is_series(sightings: Sequence[Sighting]) -> bool:
    """Whether all names differ in one zero-padded number only: files of one acquisition."""
    stems = [each.path.stem for each in sightings]
    looks = {_COUNTER.sub("#", stem) for stem in stems}
    return len(looks) == 1 and "#" in next(iter(looks)) and not any(map(_DATE.search, stems))


def _is_one_deeper(sightings: Sequence[Sighting], depth: int) -> bool:
    """Whether the recordings of every session lie in one folder further down."""
    deeper = _groups(sightings, depth + 1)
    return len(deeper) == len(_groups(sightings, depth)) and all(
        len(each.path.parts) > depth + 1 for each in sightings
    )


def _alike(group: Sequence[Sighting]) -> int:
    """Return how many recordings of a group cannot be told apart; planes of one folder can."""
    imaging = (Kind.MOVIE, Kind.ROIS)
    looks = Counter(
        (each.format, each.keys.get("plane"), "" if each.kind in imaging else _look(each)) for each in group
    )
    return max(looks.values())


def _look(sighting: Sighting) -> str:
    return _DIGITS.sub("#", sighting.path.name)


def _by_stem(sightings: Sequence[Sighting]) -> dict[str, list[Sighting]]:
    groups: dict[str, list[Sighting]] = {}
    for each in sightings:
        stem = each.path.with_suffix("").as_posix()
        found = _DATE.search(each.path.stem)
        end = len(stem) - len(each.path.stem) + found.end() if found else len(stem)
        groups.setdefault(stem[:end], []).append(each)
    return groups


def _names(key: str) -> tuple[str, str, date | None]:
    """Return subject, session and date that a folder or stem tells."""
    parts = [part for part in Path(key).parts if part not in (".", "/")]
    day = None
    for part in reversed(parts):
        found = _DATE.search(part)
        if found:
            try:
                day = date(*(int(each) for each in found.groups()))
            except ValueError:
                continue
            break
    if len(parts) >= 2:
        return _plain(parts[-2]), _plain(parts[-1]), day
    if not parts:
        return "subject1", "session1", day
    name = parts[0]
    found = _DATE.search(name)
    if found and found.start() > 0:
        return _plain(name[: found.start()]), _plain(name[found.start() :]), day
    first, _, rest = _PREFIX.sub("", name).partition("_")
    return _plain(first), _plain(rest) or "session1", day


def _plain(name: str) -> str:
    """Return a name as it may stand in a file name of DANDI: no space, slash or underscore."""
    return _NOT_IN_NAMES.sub("-", _PREFIX.sub("", name)).strip("-.")[:80] or "unnamed"
