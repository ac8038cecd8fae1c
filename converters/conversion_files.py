"""Which NWB files a session is written to, from which inputs, and how two files of one session are linked."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import count
from os.path import commonpath
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.session import facts, identifier, output_path
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.files import digest
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.nwb_text import COMPANION_PREFIX
from nwbswitch.schemas.study import Archive, Session, Study

Backend = Literal["hdf5", "zarr"]

_PAIRS = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/nwbswitch/nwbswitch/pairs")
_HOLDS = {
    "raw": "The raw movies of this recording session are",
    "processed": "The processed data (regions of interest, traces, behaviour) of this recording session are",
}


@dataclass(frozen=True, slots=True)
class Companion:
    """The other file of a session whose raw movies are kept separate."""

    content: Archive
    name: str
    identifier: str

    @property
    def keyword(self) -> str:
        """The link as machines read it, among the keywords of the NWB file."""
        return f"{COMPANION_PREFIX}{self.identifier}"

    def __str__(self) -> str:
        return f"{_HOLDS[self.content]} in the companion file {self.name}, identifier {self.identifier}."


@dataclass(frozen=True, slots=True)
class Target:
    """One NWB file of a session: what it holds, and its path below the output folder."""

    content: Archive
    relative: Path
    companion: Companion | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """A file that an NWB file is made from; of one that is not ``copied`` only times and lengths are used."""

    name: str
    path: Path
    copied: bool = True


def targets(study: Study, session: Session, *, backend: Backend, stub: bool) -> tuple[Target, ...]:
    """Return the files that a session is written to: one, or a raw and a processed one.

    Raises
    ------
    IssuesError
        The session is to be archived raw, but has no movie.
    """
    kinds = {READERS[stream.format].kind for stream in session.streams.values()}
    if session.archive == "raw" and Kind.MOVIE not in kinds:
        found = issue(
            "wrong-value",
            "It is to be archived raw, but has no movie.",
            place=Place(item=f"{session.subject.subject_id}/{session.session_id}"),
            remedy="Give its movie under streams, or set archive to processed.",
        )
        raise IssuesError([found])
    if session.raw_file == "same" or kinds == {Kind.MOVIE} or Kind.MOVIE not in kinds:
        held = _held(session, session.archive)
        return (Target(session.archive, _path(output_path(held), backend)),)
    contents: tuple[Archive, ...] = ("raw", "processed") if session.archive == "both" else (session.archive,)
    paths = {each: _path(output_path(session, content=each), backend) for each in contents}
    others = dict(zip(contents, reversed(contents), strict=True)) if len(contents) == 2 else {}
    return tuple(
        Target(each, paths[each], _companion(study, session, others, each, paths, stub=stub))
        for each in contents
    )


def _companion(
    study: Study,
    session: Session,
    others: dict[Archive, Archive],
    content: Archive,
    paths: dict[Archive, Path],
    *,
    stub: bool,
) -> Companion | None:
    if content not in others:
        return None
    other = others[content]
    return Companion(other, paths[other].name, _pair_identifier(study, session, other, stub=stub))


def _path(relative: Path, backend: Backend) -> Path:
    return relative if backend == "hdf5" else relative.with_name(f"{relative.name}.zarr")


def _held(session: Session, content: Archive) -> Session:
    """Return the part of a session's description that a file with this content depends on."""
    if content == "both":
        return session
    is_movie = {name: READERS[each.format].kind is Kind.MOVIE for name, each in session.streams.items()}
    kept = {name: each for name, each in session.streams.items() if is_movie[name] == (content == "raw")}
    dropped: dict[str, Any] = {"epochs": ()} if content == "raw" else {}
    return session.model_copy(update={"streams": kept, **dropped})


def described(study: Study, session: Session, target: Target) -> tuple[Study, Session]:
    """Return study and session as the file states them: with the link to its companion, if it has one."""
    if target.companion is None:
        return study, session
    notes = f"{session.notes} {target.companion}".strip()
    keywords = (*study.keywords, target.companion.keyword)
    return study.model_copy(update={"keywords": keywords}), session.model_copy(update={"notes": notes})


def file_identifier(
    study: Study, session: Session, target: Target, contents: tuple[str, ...], *, stub: bool
) -> str:
    """Return the UUID of a file: always the same for the same facts and inputs.

    Of two files of a session it depends on what both state of study, animal and session only, so that one
    can be made again, e.g. after a new segmentation, while the other still names it rightly.
    """
    if target.companion is not None:
        return _pair_identifier(study, session, target.content, stub=stub)
    return identifier(study, _held(session, target.content), [*contents, *(["stub"] if stub else [])])


def _pair_identifier(study: Study, session: Session, content: Archive, *, stub: bool) -> str:
    shared = session.model_copy(update={"streams": {}, "epochs": (), "clocks": {}, "imaging": None})
    return str(uuid.uuid5(_PAIRS, digest([facts(study, shared), content, stub])))


def stated(study: Study, session: Session, target: Target, *, backend: Backend, stub: bool) -> dict[str, Any]:
    """Return everything but the inputs that decides what a file holds, as plain values."""
    found = facts(study, _stated_session(session, target.content))
    return {**found, "content": target.content, "backend": backend, "stub": stub}


def _stated_session(session: Session, content: Archive) -> Session:
    # Movies that are left out of a processed file still give its other streams their times.
    return session if content == "processed" else _held(session, content)


def inputs(session: Session, target: Target) -> tuple[Input, ...]:
    """Return every file that an NWB file is made from, named ``stream/file``."""
    found: dict[str, Input] = {}
    for name, stream in _stated_session(session, target.content).streams.items():
        kind = READERS[stream.format].kind
        copied = kind is not Kind.IMAGE and (target.content != "processed" or kind is not Kind.MOVIE)
        files = stream.files()
        for path in files:
            own = _within(path, stream.paths, files)
            found[_unused(f"{name}/{own}", found)] = Input("", path, copied)
    for name, clock in session.clocks.items():
        for path in _paths(clock):
            found[_unused(f"{name}/{path.name}", found)] = Input("", path)
    return tuple(replace(each, name=name) for name, each in found.items())


def _within(path: Path, given: tuple[Path, ...], files: tuple[Path, ...]) -> str:
    """Return the path of a file within its stream's folder, or within the folder of all its files."""
    folder = given[0] if given[0] in path.parents else Path(commonpath([each.parent for each in files]))
    return path.relative_to(folder).as_posix()


def _unused(name: str, taken: Collection[str]) -> str:
    names = (name if number == 1 else f"{name} ({number})" for number in count(1))
    return next(each for each in names if each not in taken)


def _paths(value: Any) -> Iterator[Path]:
    """Yield every path in a model."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _paths(each)
