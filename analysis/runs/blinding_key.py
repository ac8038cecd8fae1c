"""The key of blinded results, kept beside them and readable by its owner only."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from nwbswitch.analysis.runs.blinding import BlindKey, new_key
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.files import write_json

MAX_BYTES = 10_000_000


def kept_key(path: Path, cells: pd.DataFrame) -> BlindKey:
    """Return the key that is kept in ``path``; make it when there is none.

    Raises
    ------
    InputFileError
        When the key is damaged, or is of other recordings.
    """
    sessions = cells[["animal", "session", "arm", "order"]].drop_duplicates()
    if path.exists():
        key = read_key(path)
        arms, named = set(key.arms.values()), {tuple(each.rpartition("/")[::2]) for each in key.sessions}
        animals = {animal for animal, _ in named}
        known = set(key.sessions.values())
        if (
            arms != set(sessions["arm"])
            or animals != set(sessions["animal"])
            or known != set(sessions["session"])
        ):
            problem = "is the key of other recordings than these."
            raise InputFileError(path, problem, "Choose another folder, or move the key away.")
        return key
    key = new_key(sessions)
    write_json(path, key.as_dict())
    path.chmod(0o600)
    return key


def read_key(path: Path) -> BlindKey:
    """Return a key.

    Raises
    ------
    InputFileError
        If the file is none of ours, or damaged.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputFileError(path, "is too large for a key.")
        held = json.loads(path.read_text(encoding="utf-8"))
        arms, sessions = held["arms"], held["sessions"]
        texts = [*arms, *arms.values(), *sessions, *sessions.values()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputFileError(path, "is no key of blinded results, or damaged.") from error
    if not all(isinstance(each, str) for each in texts):
        raise InputFileError(path, "is no key of blinded results, or damaged.")
    return BlindKey(arms, sessions)
