"""Wheels and treadmills, as a study file describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nwbswitch.schemas.stream_base import StudyModel, TableStream


class Signal(StudyModel):
    """One column of a behaviour table."""

    column: str
    quantity: Literal["speed", "position", "distance"] = "speed"
    unit: str = Field(description="UCUM unit, e.g. cm/s; 'n/a' if the source does not state one.")
    description: str = ""


class WheelCsv(TableStream):
    """Treadmill or wheel signals in a CSV file, with a time column or a constant row rate."""

    format: Literal["wheel_csv"]
    time_column: str | None = Field(None, description="Column with the time in s on this stream's clock.")
    rate_hz: float | None = Field(None, gt=0, description="Row rate, Hz, when there is no time column.")
    signals: tuple[Signal, ...] = Field(min_length=1)
