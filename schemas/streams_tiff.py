"""Movies in TIFF files, as a study file describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nwbswitch.schemas.stream_base import MovieStream


class TiffMovie(MovieStream):
    """A single-plane movie in TIFF files, one page per frame."""

    format: Literal["tiff_movie"]
    rate_hz: float = Field(gt=0, description="Frame rate, Hz; TIFF does not state one.")
