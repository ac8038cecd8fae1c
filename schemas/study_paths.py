"""Paths as a lab writes them: templates and patterns, found as files below one folder."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from nwbswitch.schemas.errors import UnsafeFileError
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.path_guard import inside
from nwbswitch.schemas.stream_base import natural_order

_NAME = re.compile(r"\{([^{}]*)\}")
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_MAX_LISTED = 5
_MAX_MATCHES = 10_000


def names_in(template: str) -> set[str]:
    """Return the names in braces of a path template."""
    return set(_NAME.findall(template))


def filled(template: str, values: Mapping[str, str], place: Place) -> tuple[str, list[Issue]]:
    """Return a template with its names replaced (wildcards in values stand for themselves), and issues."""
    found = []
    for name in sorted(names_in(template) - set(values)):
        remedy = nearest(name, values) or f"Known are {', '.join(values)}."
        message = f"The path {template!r} names {{{name}}}, which the session does not have."
        found.append(issue("unknown-key", message, place=place, remedy=remedy))
    text = _NAME.sub(lambda match: glob.escape(values.get(match.group(1), match.group(0))), template)
    return text, found


def matches(
    root: Path, pattern: str, place: Place, *, folder: bool | None, several: bool = False
) -> tuple[list[Path], list[Issue]]:
    """Return the file or folder below ``root`` that ``pattern`` matches, or why there is not exactly one.

    With ``several`` it may match more than one; they come in natural order of their names. ``folder`` is None
    where either will do.
    """
    literal = not glob.has_magic(re.sub(r"\[[*?\[]\]", "", pattern))
    wanted = re.sub(r"\[([*?\[])\]", r"\1", pattern) if literal else pattern
    remedy = "Paths stay below the study's folder; name another one as data_root."
    try:
        if literal:
            hits = [inside(root, wanted)]
        else:
            if ".." in Path(wanted).parts:
                raise UnsafeFileError(wanted, "leaves its folder by '..'.")
            below = Path(wanted)
            if below.is_absolute():
                if not below.is_relative_to(root):
                    raise UnsafeFileError(wanted, f"leads out of the folder {root}.")
                below = below.relative_to(root)
            found = list(islice(root.glob(str(below)), _MAX_MATCHES + 1))
            if len(found) > _MAX_MATCHES:
                message = f"The pattern {wanted!r} matches more than {_MAX_MATCHES} names."
                return [], [issue("ambiguous-file", message, place=place, remedy="Write it more narrowly.")]
            hits = [inside(root, each) for each in sorted(found, key=natural_order)]
    except UnsafeFileError as error:
        message = f"The path {wanted!r} {error.problem}"
        return [], [issue("unsafe-path", message, place=place, remedy=remedy)]
    except (ValueError, OSError) as error:
        message = f"The path {wanted!r} cannot be used: {error}."
        return [], [issue("wrong-value", message, place=place)]
    kind = "folder" if folder else "file"
    present = [
        each for each in hits if (each.is_dir() and folder is not False) or (each.is_file() and not folder)
    ]
    if len(present) == 1 or (several and present):
        return present, []
    if len(present) > 1:
        listed = ", ".join(each.relative_to(root.resolve()).as_posix() for each in present[:_MAX_LISTED])
        more = ", …" if len(present) > _MAX_LISTED else ""
        message = f"The pattern {wanted!r} matches {len(present)} {kind}s: {listed}{more}."
        return [], [issue("ambiguous-file", message, place=place, remedy="Write it so that one matches.")]
    message = f"There is no {kind} {wanted!r} below {root}"
    if any(each.exists() for each in hits):
        is_other = any(each.is_file() if folder else each.is_dir() for each in hits)
        other = ("a file" if folder else "a folder") if is_other else "neither a file nor a folder"
        remedy = f"What has that name is {other}."
    else:
        remedy = _neighbour(root / wanted)
    return [], [issue("missing-file", f"{message}.", place=place, remedy=remedy)]


def links_out(root: Path, folder: Path, place: Place) -> list[Issue]:
    """Return a finding for each link below ``folder`` that leads out of ``root``."""
    found = []
    for file in _links(folder):
        try:
            inside(root, file)
        except UnsafeFileError as error:
            message = f"The file {file.relative_to(folder).as_posix()!r} in {folder} {error.problem}"
            remedy = "Put the file itself there, or name a folder that holds both as data_root."
            found.append(issue("unsafe-path", message, place=place, remedy=remedy))
    return found


def _links(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        for name in sorted((*folders, *files)):
            path = Path(where, name)
            if path.is_symlink():
                yield path


def _neighbour(path: Path) -> str:
    """Return a hint at an existing name like the one that is missing."""
    parent = path.parent
    while not parent.is_dir() and parent != parent.parent:
        path, parent = parent, parent.parent
    try:
        names = [entry.name for entry in islice(os.scandir(parent), _MAX_MATCHES)]
    except OSError:
        return ""
    return nearest(path.name, names)


def with_variables(text: str, place: Place, *, what: str) -> tuple[str, list[Issue]]:
    """Return text with ``${NAME}`` and ``${NAME:-default}`` filled in from the environment, and issues."""
    missing = [name for name, default in _VARIABLE.findall(text) if name not in os.environ and not default]
    if missing:
        message = f"{what} needs the environment variable {missing[0]}, which is not set."
        remedy = f"Set it, or write ${{{missing[0]}:-a/default}}."
        return text, [issue("missing-value", message, place=place, remedy=remedy)]
    return _VARIABLE.sub(lambda match: os.environ.get(match.group(1), match.group(2) or ""), text), []


def expanded_root(text: str, folder: Path, place: Place) -> tuple[Path, list[Issue]]:
    """Return the folder that ``data_root`` names, with environment variables filled in, and issues.

    ``${NAME}`` must be set; ``${NAME:-default}`` falls back to the default. A relative path counts from
    ``folder``.
    """
    path, found = with_variables(text, place, what="data_root")
    if found:
        return folder, found
    root = (folder / path).resolve() if "\0" not in path else folder
    if not root.is_dir():
        message = f"data_root names {path!r}, which is not a folder."
        return folder, [issue("missing-file", message, place=place, remedy=_neighbour(folder / path))]
    return root, []
