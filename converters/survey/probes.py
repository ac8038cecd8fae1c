"""What a recording says when it is opened: its rate, its length and when it began."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nwbswitch.converters.registry import READERS
from nwbswitch.converters.survey.sightings import Sighting
from nwbswitch.schemas.errors import InputFileError, NwbswitchError
from nwbswitch.schemas.streams import FOLDER_FORMATS, FORMATS

ASSUMED_RATE_HZ = 30.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What opening told; None where it did not.

    ``problem`` is why it could not be opened with what is known, e.g. since a channel has to be chosen.
    """

    rate_hz: float | None = None
    n_samples: int | None = None
    started: datetime | None = None
    needs_rate: bool = False
    problem: str = ""
    frame: str = ""
    """Size and type of the frames of a movie: files of one movie have equal ones."""


def probe(root: Path, sighting: Sighting) -> Probe:
    """Open a recording below ``root`` with the keys that are known, and close it again."""
    field = FORMATS[sighting.format].model_fields.get("rate_hz")
    assumed = field is not None and field.is_required() and "rate_hz" not in sighting.keys
    arguments: dict[str, Any] = dict(sighting.keys)
    if assumed:
        arguments["rate_hz"] = ASSUMED_RATE_HZ
    name = "folder_path" if sighting.format in FOLDER_FORMATS else "file_path"
    arguments[name] = root / sighting.path
    try:
        interface = READERS[sighting.format].load()(**arguments)
    except InputFileError as error:
        return Probe(problem=f"{error.problem} {error.remedy}".strip(), needs_rate=assumed)
    except (NwbswitchError, ValueError, TypeError, OSError) as error:
        return Probe(problem=str(error), needs_rate=assumed)
    try:
        timing = getattr(interface, "own_timing", None)
        movie = getattr(interface, "movie", None)
        return Probe(
            rate_hz=None if assumed else getattr(interface, "rate_hz", None),
            n_samples=None if timing is None else timing.n,
            started=None if movie is None else movie.started,
            needs_rate=assumed or (timing is not None and not timing.placed),
            frame="" if movie is None else f"{movie.shape.frame_shape} {movie.shape.dtype}",
        )
    finally:
        with suppress(Exception):
            getattr(interface, "close", lambda: None)()
