"""Calibration values that were simulated once and kept, with how they were simulated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nwbswitch.analysis.estimands.primary import ESTIMANDS
from nwbswitch.schemas.errors import InputFileError
from nwbswitch.schemas.worlds import World

MAX_BYTES = 1_000_000
Number = Annotated[str, Field(pattern=r"^-?\d{1,6}(\.\d{1,8})?$")]
"""A number as it was written, so that its rounding is known."""
Values = Annotated[list[Number], Field(min_length=1, max_length=2)]
"""One number, or the ends of a range."""


class Pinned(BaseModel):
    """Values of one kind of simulated session.

    ``means`` and ``sds`` are over repetitions, by estimand. ``standard_errors`` are those of the means where
    they were kept; without them they are taken from the spread of a new simulation and ``repetitions``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    world: World
    n_neurons: int = Field(ge=2, le=100_000)
    window_s: float = Field(gt=0, le=36_000)
    lag_s: float | None = Field(None, gt=0, le=360_000)
    fluctuation_log_sd: float = Field(0.0, ge=0, le=10)
    source: Literal["counts", "traces"] = "counts"
    repetitions: int = Field(ge=2)
    means: dict[str, Values] = {}
    standard_errors: dict[str, Number] = {}
    sds: dict[str, Values] = {}

    @property
    def title(self) -> str:
        """What was simulated, in a few words."""
        world = "slow fluctuation" if self.fluctuation_log_sd else self.world.value
        return f"{world}, {self.n_neurons} x {self.window_s / 60:g} min"

    @property
    def estimands(self) -> tuple[str, ...]:
        """Names of the estimands that have a mean or a standard deviation."""
        return tuple(dict.fromkeys([*self.means, *self.sds]))


class PinnedFile(BaseModel):
    """A file of pinned values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    info: dict[str, str]
    groups: list[Pinned]


def read_pinned(path: Path) -> PinnedFile:
    """Return the pinned values of a file.

    Raises
    ------
    InputFileError
        When it cannot be read or does not fit the model.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputFileError(
                path, f"It has more than {MAX_BYTES} bytes, expected a few kB of pinned values."
            )
        found = PinnedFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise InputFileError(path, f"No pinned calibration values: {error}") from error
    unknown = {name for group in found.groups for name in group.estimands} - set(ESTIMANDS)
    if unknown:
        raise InputFileError(path, f"Unknown estimands: {', '.join(sorted(unknown))}.")
    return found
