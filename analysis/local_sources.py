"""NWB files on disk, as files, folders and patterns name them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

from nwbswitch.analysis.path_patterns import has_pattern
from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.issues import Issue, Place, issue

NWB_SUFFIX = ".nwb"
ZARR_SUFFIX = ".zarr"


def local_paths(given: Path | str) -> list[Path]:
    """Return the NWB files that a path or a pattern names, sorted; folders that hold Zarr stand among them.

    A file is taken whatever its name is; of folders, at any depth, and of patterns all that end in ``.nwb``.
    Hidden files and folders are left out. Links to files are followed, links to folders only where a
    folder was given by its link. A link whose file is missing is returned too: to open it says so.

    Raises
    ------
    IssuesError
        Nothing is there, or no NWB file is in it; the message names what is most like it.
    InputFileError
        A folder cannot be read.
    """
    path = Path(given).expanduser()
    text = str(path)
    if os.path.lexists(path):
        found = _of_path(path)
        if not found:
            problem = "The folder holds no NWB file."
            raise IssuesError([issue("no-source", problem, place=Place(path), remedy=_seen(path))])
        return found
    if has_pattern(text):
        matches = _matches(path)
        found = sorted({each for match in matches for each in _of_match(match)})
        if not found:
            problem = f"The pattern {text} matches no NWB file"
            problem += f", but {len(matches)} others." if matches else "."
            raise IssuesError([issue("no-source", problem, remedy=_seen(_fixed_part(path)))])
        return found
    problem = "There is no such file or folder."
    raise IssuesError([issue("no-source", problem, place=Place(path), remedy=_similar(path))])


def is_zarr(path: Path) -> bool:
    """Tell whether a path is a folder that holds a Zarr store."""
    return path.suffix.lower() == ZARR_SUFFIX and path.is_dir()


def same_file(path: Path) -> object:
    """Return what is equal for two paths to one file."""
    try:
        found = path.stat()
    except OSError:
        return path.absolute()
    return (found.st_dev, found.st_ino) if found.st_ino else path.resolve()


def _of_path(path: Path) -> list[Path]:
    return sorted(_walked(path)) if path.is_dir() and not is_zarr(path) else [path]


def _of_match(path: Path) -> Iterable[Path]:
    if path.is_dir() and not is_zarr(path):
        return _walked(path)
    return [path] if _is_nwb(path) else []


def _is_nwb(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(NWB_SUFFIX) or name.endswith(NWB_SUFFIX + ZARR_SUFFIX)


def _walked(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        zarr = [name for name in folders if name.lower().endswith(ZARR_SUFFIX)]
        for name in sorted(files + zarr):
            if not name.startswith(".") and _is_nwb(Path(name)):
                yield Path(parent, name)
        folders[:] = sorted(each for each in folders if not each.startswith(".") and each not in zarr)


def _matches(pattern: Path) -> list[Path]:
    """Return what matches a pattern; hidden names only where the pattern asks for them."""
    base = _fixed_part(pattern)
    wanted = pattern.relative_to(base)
    hidden = any(part.startswith(".") for part in wanted.parts)
    return [
        each
        for each in base.glob(str(wanted))
        if hidden or not any(part.startswith(".") for part in each.relative_to(base).parts)
        if not any(part.lower().endswith(ZARR_SUFFIX) for part in each.relative_to(base).parts[:-1])
    ]


def _refuse(error: OSError) -> None:
    raise InputFileError(error.filename or "", f"the folder cannot be read: {error.strerror}.")


def _fixed_part(pattern: Path) -> Path:
    """Return the part of a pattern before its first special character."""
    part = pattern
    while has_pattern(str(part)) and part != part.parent:
        part = part.parent
    return part


def _seen(folder: Path) -> str:
    """Return what stands in a folder, for people who look for their mistake."""
    try:
        names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    except OSError:
        return _similar(folder)
    listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"{folder} holds {listed}." if names else f"{folder} is empty."


def _similar(path: Path) -> str:
    """Return the hint that names what is there and most like a path that is not."""
    parent = path.parent
    while not parent.is_dir() and parent != parent.parent:
        path, parent = parent, parent.parent
    try:
        names = [each.name for each in parent.iterdir()]
    except OSError:
        return ""
    close = get_close_matches(path.name, names, n=3, cutoff=0.6)
    if not close:
        return f"The folder {parent.absolute()} is there, {path.name} is not in it."
    return f"Did you mean {' or '.join(str(parent / name) for name in close)}?"


def unreadable_zarr(name: str) -> Issue:
    """Return the finding that says what to do with a recording stored as Zarr."""
    remedy = "Export it to an HDF5 file with hdmf-zarr (NWBHDF5IO.export) and give that."
    return issue("zarr-source", "It is stored as Zarr; only HDF5 is read.", place=Place(name), remedy=remedy)
