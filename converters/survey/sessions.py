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
_RUN = re.compile(
    r"^(run|rec|recording|scan|trial|block|fov|plane|t-?series|session|ses|exp|experiment|file|part|pre|post|"
    r"baseline|saline|vehicle|drug)?[-_ ]*\d*$",
    re.IGNORECASE,
)
"""Names of a recording rather than of an animal."""
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
    above = {parts[-3] for parts in map(_parts, groups) if len(parts) > 2}
    named = [
        (key, *_names(_parts(key), several_above=len(above) > 1), _day(key), tuple(group))
        for key, group in groups.items()
    ]
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


def _parts(key: str) -> list[str]:
    return [part for part in Path(key).parts if part not in (".", "/")]


def _day(key: str) -> date | None:
    """Return the date that a folder or stem tells, the innermost one."""
    for part in reversed(_parts(key)):
        found = _DATE.search(part)
        if found:
            try:
                return date(*(int(each) for each in found.groups()))
            except ValueError:
                continue
    return None


def _names(parts: Sequence[str], *, several_above: bool) -> tuple[str, str]:
    """Return subject and session that a folder tells: mostly its last two names; a date is no animal.

    ``several_above`` says whether the folders third from the end differ, as those of animals would.
    """
    if not parts:
        return "subject1", "session1"
    if len(parts) == 1:
        return _names_of_one(parts[0])
    days = [part for part in parts if _is_day(part)]
    rest = [part for part in parts if not _is_day(part)]
    last = parts[-1]
    if not days:
        found = _DATE.search(parts[-2])
        if not found:
            return _plain(parts[-2]), _plain(last)
        animal = parts[-2][: found.start()] or parts[-2][found.end() :]
        return _plain(animal), _plain(f"{found.group()}-{last}")
    if not rest:
        return "subject1", _plain("-".join(parts))
    if _is_day(last):
        return _plain(rest[-1]), _plain(last)
    is_run = bool(_RUN.match(last))
    if len(rest) == 1 and is_run:
        return "subject1", _plain(f"{days[-1]}-{last}")
    if len(rest) == 1 or (_is_day(parts[-2]) and not several_above and not is_run):
        return _plain(last), _plain(days[-1])
    return _plain(rest[-2]), _plain(f"{days[-1]}-{last}")


def _names_of_one(name: str) -> tuple[str, str]:
    found = _DATE.search(name)
    if found and _is_day(name):
        return "subject1", _plain(name)
    if found and found.start() > 0:
        return _plain(name[: found.start()]), _plain(name[found.start() :])
    if found:
        return _plain(name[found.end() :]), _plain(found.group())
    first, _, rest = _PREFIX.sub("", name).partition("_")
    return _plain(first), _plain(rest) or "session1"


def _is_day(name: str) -> bool:
    """Whether a name holds a date and no word beside it, so that it cannot be that of an animal."""
    found = _DATE.search(name)
    return bool(found) and not re.search(r"[A-Za-z]{2}|[A-Za-z]\d", _DATE.sub("", name))


def _plain(name: str) -> str:
    """Return a name as it may stand in a file name of DANDI: no space, slash or underscore."""
    return _NOT_IN_NAMES.sub("-", _PREFIX.sub("", name)).strip("-.")[:80] or "unnamed"
