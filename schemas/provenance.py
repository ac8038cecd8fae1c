"""Records of how an output was made, from which the work can be repeated or recognised as done."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from nwbswitch.schemas.version import __version__

LIBRARIES = (
    "dandi",
    "h5py",
    "hdmf",
    "neuroconv",
    "numpy",
    "nwbinspector",
    "pandas",
    "pydantic",
    "pynwb",
    "roiextractors",
    "scipy",
)
_WORK = ("command", "parameters", "inputs", "seed")


def record(
    *, command: str, parameters: Mapping[str, Any], inputs: Mapping[str, str], seed: int | None
) -> dict[str, Any]:
    """Return a provenance record as plain JSON values.

    Parameters
    ----------
    command
        Name of the command, as in ``nwbswitch convert``.
    parameters
        What the command was given. Paths below the home folder are written with ``~``; user and host
        names are not written at all.
    inputs
        Digest of each input by its name.
    seed
        Seed of the random numbers, or None when there are none.
    """
    return {
        "command": command,
        "parameters": _plain(parameters),
        "inputs": {_without_home(name): inputs[name] for name in sorted(inputs)},
        "seed": seed,
        "nwbswitch": __version__,
        "python": platform.python_version(),
        "libraries": _versions(),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def same_work(record_a: Mapping[str, Any], record_b: Mapping[str, Any]) -> bool:
    """Return whether two records describe the same work.

    Command, parameters, inputs, seed and version of nwbswitch decide; time, Python and other libraries do
    not. A record that lacks one of them describes no known work, so it is the same as no other.
    """
    keys = (*_WORK, "nwbswitch")
    if any(key not in each for each in (record_a, record_b) for key in keys):
        return False
    return all(_canonical(record_a[key]) == _canonical(record_b[key]) for key in keys)


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _canonical(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it, so that a record reads back equal to itself."""
    match value:
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case set() | frozenset():
            return sorted((_plain(each) for each in value), key=str)
        case bool() | int() | None:
            return value
        case float():
            return value if value - value == 0 else str(value)
        case Path():
            return _without_home(value.as_posix())
        case _ if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            return _plain(value.item())
        case _:
            return _without_home(str(value))


def _without_home(text: str) -> str:
    """Return text in which the path of the home folder, and with it the user's name, is ``~``."""
    home = str(Path.home())
    if len(home) <= 1 or home not in text:
        return text
    head, _, tail = text.partition(home)
    whole = not tail or not (tail[0].isalnum() or tail[0] in "-_.")
    return head + ("~" if whole else home) + _without_home(tail)
