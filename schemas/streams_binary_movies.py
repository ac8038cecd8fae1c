"""Movies in files that are not TIFF, as a study file describes them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from nwbswitch.schemas.stream_base import MovieStream


def check_axes(axes: str) -> str:
    """Return the names of an array's dimensions after checking that they describe a movie.

    Raises
    ------
    ValueError
        When they are not t, y and x, each once, with or without z and c.
    """
    if len(set(axes)) != len(axes) or not set("tyx") <= set(axes) <= set("tyxzc"):
        raise ValueError(f"axes are t, y and x, with z or c where there are such, each once, not {axes!r}")
    return axes


class ScanboxMovie(MovieStream):
    """A Scanbox recording: an .sbx file and the .mat file of the same name beside it."""

    format: Literal["scanbox"]
    channel: str | None = Field(
        None, pattern="^pmt[0-9]{1,2}$", description="pmt0 or pmt1, when both were recorded."
    )
    plane: int | None = Field(
        None, ge=1, description="One optotune plane, from 1; all planes as a volume by default."
    )
    n_planes: int | None = Field(
        None, ge=1, description="Number of optotune planes, when the .mat file does not state one number."
    )

    def files(self) -> tuple[Path, ...]:
        """Return the .sbx files, each followed by its .mat file where that is there."""
        beside = [(path, path.with_suffix(".mat")) for path in self.paths]
        own = [each for path, info in beside for each in (path, *([info] if info.is_file() else []))]
        return tuple(dict.fromkeys((*own, *super().files())))


class Hdf5Stack(MovieStream):
    """A dataset of 3 to 5 dimensions in an HDF5 file or a MATLAB v7.3 file."""

    format: Literal["hdf5_stack"]
    dataset: str | None = Field(
        None, min_length=1, description="Path of the dataset in the file, when it holds several."
    )
    axes: str | None = Field(
        None,
        pattern="^[tzcyx]{3,5}$",
        description="The dimensions in the order in which HDF5 lists them, e.g. tyx; in MATLAB files, in the "
        "order of MATLAB's size(), e.g. yxt.",
    )
    channel: int | None = Field(None, ge=1, description="Channel, from 1, when there are several.")
    plane: int | None = Field(None, ge=1, description="One plane, from 1; all planes as a volume by default.")
    photons: Literal[1, 2] = Field(2, description="1 for a one-photon movie, e.g. of a miniscope.")

    @model_validator(mode="after")
    def _axes_of_a_movie(self) -> Self:
        if self.axes is not None:
            check_axes(self.axes)
        return self


class InscopixMovie(MovieStream):
    """A one-photon movie in .isxd files."""

    photons: ClassVar[Literal[1, 2]] = 1

    format: Literal["inscopix"]
    use_timestamps: bool = Field(
        True,
        description="Take the times of frames from the counter in their headers where they have one; false: "
        "from the nominal period. Gaps are kept in either case.",
    )


class FemtonicsMovie(MovieStream):
    """A measurement unit of Femtonics .mesc files."""

    format: Literal["femtonics"]
    unit: int | str | None = Field(
        None,
        description="Measurement unit when there are several: its number, MUnit_3, or MSession_0/MUnit_3.",
    )
    channel: str | None = Field(
        None, description="Channel when there are several: its name, e.g. UG, or Channel_0."
    )
