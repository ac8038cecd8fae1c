"""Streams and clocks of one recording session: their files found, and everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nwbswitch.schemas.issues import Issue, issue
from nwbswitch.schemas.merge import merged
from nwbswitch.schemas.stored_names import name_issues
from nwbswitch.schemas.stream_base import StreamBase
from nwbswitch.schemas.stream_checks import reference_issues, stream_issues, timing_issues, wheel_issues
from nwbswitch.schemas.streams import FOLDER_FORMATS, FORMATS, Stream
from nwbswitch.schemas.streams_wheel import WheelCsv
from nwbswitch.schemas.study_checks import canonical_words
from nwbswitch.schemas.study_paths import filled, links_out, matches
from nwbswitch.schemas.study_positions import KeyPath, Places, place_of

_STREAM: TypeAdapter[Stream] = TypeAdapter(Stream)


@dataclass(frozen=True, slots=True)
class Finder:
    """What finding the files of a session takes: the folder, names for templates, places of settings."""

    root: Path
    names: Mapping[str, str]
    places: Places


def resolve_clocks(value: dict[str, Any], finder: Finder) -> list[Issue]:
    """Find the files that clocks name, and return what is wrong with the clocks."""
    clocks = value.get("clocks")
    found: list[Issue] = []
    if isinstance(clocks, dict):
        resolved = {}
        for name, clock in clocks.items():
            resolved[name], more = with_files(clock, finder, ("clocks", name))
            found += more
        value["clocks"] = resolved
        found += reference_issues(resolved, finder.places)
    return found


def resolve_streams(value: dict[str, Any], finder: Finder, *, mouse: bool) -> list[Issue]:
    """Find the files of all streams, and return what is wrong with the streams."""
    streams = value.get("streams")
    if not isinstance(streams, dict):
        return []
    found: list[Issue] = []
    clocks = value.get("clocks")
    names = list(clocks) if isinstance(clocks, dict) else []
    resolved = {}
    models: dict[str, StreamBase] = {}
    for name, stream in streams.items():
        path: KeyPath = ("streams", name)
        resolved[name] = stream
        if not isinstance(stream, dict):
            continue
        resolved[name], more = with_files(stream, finder, path)
        found += more
        if isinstance(stream.get("imaging"), dict):
            whole = merged(value.get("imaging") or {}, stream["imaging"])
            words, more = canonical_words(whole, finder.places, (*path, "imaging"), mouse=mouse)
            resolved[name]["imaging"] = words
            found += more
        try:
            typed = _STREAM.validate_python(resolved[name])
        except ValidationError:
            continue
        models[name] = typed
        found += stream_issues(typed, names, finder.places, path)
        found += timing_issues(typed, name, streams, finder.places, path)
        if isinstance(typed, WheelCsv):
            file = resolved[name]["path"] if isinstance(resolved[name]["path"], Path) else None
            found += wheel_issues(typed, file, finder.places, path)
    value["streams"] = resolved
    return found + name_issues(models, finder.places)


def with_files(settings: Any, finder: Finder, path: KeyPath) -> tuple[Any, list[Issue]]:
    """Return the settings of a stream or clock with every ``path`` in them found.

    Whether a path is a file or a folder follows from the format; a wrong format is reported elsewhere.
    """
    if not isinstance(settings, dict):
        return settings, []
    resolved: dict[str, Any] = dict(settings)
    found: list[Issue] = []
    for key, value in settings.items():
        if isinstance(value, dict) and key != "imaging":
            resolved[key], more = with_files(value, finder, (*path, key))
            found += more
    stated = settings.get("path")
    listed = stated if isinstance(stated, list) else [stated]
    is_stream = len(path) == 2 and path[0] == "streams"
    known = not is_stream or settings.get("format") in tuple(FORMATS)
    if stated == []:
        place = place_of(finder.places, (*path, "path"))
        return resolved, [*found, issue("missing-value", "path lists no file.", place=place)]
    if not known or not all(isinstance(each, str) for each in listed):
        return resolved, found
    folder = settings["format"] in FOLDER_FORMATS if is_stream else None
    several = is_stream and settings.get("parts", "single") != "single"
    place = place_of(finder.places, (*path, "path"))
    files: list[Path] = []
    for each in listed:
        pattern, unknown = filled(str(each), finder.names, place)
        found += unknown
        if not unknown:
            hits, more = matches(finder.root, pattern, place, folder=folder, several=several)
            files += hits
            found += more
    for file in files:
        found += links_out(finder.root, file, place) if file.is_dir() else []
    if len(set(files)) < len(files):
        doubled = next(each for each in files if files.count(each) > 1)
        found.append(issue("duplicate-id", f"path names {doubled.name} twice.", place=place))
    if files:
        resolved["path"] = files if several or isinstance(stated, list) else files[0]
    return resolved, found
