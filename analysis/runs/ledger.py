"""Which steps of a run are done, so that a run that was stopped goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nwbswitch.schemas.files import digest, write_json
from nwbswitch.schemas.version import __version__

LEDGER = ".steps.json"


class Ledger:
    """The steps that are done in one folder of results, each known by all that decides what it makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / LEDGER
        self._done = _read(self._path)

    def is_done(self, step: str, work: Any, outputs: Sequence[Path]) -> bool:
        """Return whether a step with this work was finished and all that it made is still there."""
        return self._done.get(step) == _known(work) and all(each.exists() for each in outputs)

    def note(self, step: str, work: Any) -> None:
        """Keep that a step with this work is finished."""
        self._done[step] = _known(work)
        write_json(self._path, self._done)


def _known(work: Any) -> str:
    return digest({"work": work, "nwbswitch": __version__})


def _read(path: Path) -> dict[str, str]:
    """Return the ledger; a damaged one says nothing, and the steps are done anew."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(name): str(each) for name, each in held.items()} if isinstance(held, dict) else {}
