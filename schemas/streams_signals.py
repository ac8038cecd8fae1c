"""Wheels that count or give a voltage, and any other signal in a file, as a study file describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from nwbswitch.schemas.stream_base import RowStream, StudyModel, TableStream
from nwbswitch.schemas.whole_numbers import CounterBits

_TIME_COLUMN = "Column, dataset or variable with the time of each sample on this stream's clock."


class NamedSignal(StudyModel):
    """One signal of a file."""

    name: str = Field(description="Column of a table, HDF5 dataset or MATLAB variable; any name for .npy.")
    channel: int | None = Field(None, ge=0, description="Channel, from 0, of an array with two dimensions.")
    quantity: str = Field(
        "", description="What it measures, e.g. speed, position, pupil_area, respiration; the series' name."
    )
    unit: str = Field(description="UCUM unit, e.g. V; 'n/a' if the source does not state one.")
    description: str = ""


class SignalSeries(TableStream):
    """Any signals that were sampled together: CSV, HDF5, MATLAB or NumPy."""

    format: Literal["series"]
    signals: tuple[NamedSignal, ...] = Field(min_length=1)
    time_column: str | None = Field(None, description=_TIME_COLUMN)
    time_channel: int | None = Field(
        None, ge=0, description="Channel of the times, from 0, where time_column has two dimensions."
    )
    time_scale: float = Field(1.0, gt=0, description="Factor that turns its values into s, e.g. 0.001.")
    rate_hz: float | None = Field(None, gt=0, description="Samples per second, when they have no times.")


class Wheel(StudyModel):
    """The wheel or belt that a sensor turns with."""

    radius_cm: float | None = Field(
        None, gt=0, description="Distance of the animal from the axis, cm; without it the path is an angle."
    )
    reversed: bool = Field(False, description="True when running forward turns the sensor backward.")
    speed_window_s: float = Field(
        0.2, gt=0, description="Speed is the way within this time around each sample, s."
    )


class WheelEncoder(TableStream):
    """A rotary encoder whose counts were sampled: CSV, HDF5, MATLAB or NumPy."""

    format: Literal["wheel_encoder"]
    count: str = Field(description="Column, dataset or variable with the running count of quadrature steps.")
    channel: int | None = Field(None, ge=0, description="Channel, from 0, of an array with two dimensions.")
    counts_per_turn: float = Field(gt=0, description="Counts of one turn; 4 times the lines of the disk.")
    counter_bits: CounterBits | None = Field(
        None, description="Bits of a counter that starts again at its end; its turns are joined."
    )
    wheel: Wheel | None = Field(None, description="The wheel; by default one of unknown radius.")
    time_column: str | None = Field(None, description=_TIME_COLUMN)
    time_channel: int | None = Field(
        None, ge=0, description="Channel of the times, from 0, where time_column has two dimensions."
    )
    time_scale: float = Field(1.0, gt=0, description="Factor that turns its values into s, e.g. 0.001.")
    rate_hz: float | None = Field(None, gt=0, description="Samples per second, when they have no times.")


class WheelAnalog(RowStream):
    """A wheel sensor that gives a voltage: a tachometer, or an angle that starts again every turn."""

    format: Literal["wheel_analog"]
    voltage: str = Field(description="Column, dataset or variable with the voltage, V.")
    channel: int | None = Field(None, ge=0, description="Channel, from 0, of an array with two dimensions.")
    cm_per_s_per_v: float | None = Field(None, description="Of a tachometer: speed per volt, cm/s.")
    zero_v: float = Field(0.0, description="Voltage at rest (tachometer) or at angle zero, V.")
    volts_per_turn: float | None = Field(
        None, gt=0, description="Of an angle sensor: volts from zero_v to the end of a turn, V."
    )
    wheel: Wheel | None = Field(None, description="The wheel; by default one of unknown radius.")
    rate_hz: float | None = Field(None, gt=0, description="Samples per second, when they have no times.")
    time_column: str | None = Field(None, description=_TIME_COLUMN)
    time_channel: int | None = Field(
        None, ge=0, description="Channel of the times, from 0, where time_column has two dimensions."
    )
    time_scale: float = Field(1.0, gt=0, description="Factor that turns its values into s, e.g. 0.001.")

    @model_validator(mode="after")
    def _calibrated(self) -> WheelAnalog:
        if (self.cm_per_s_per_v is None) == (self.volts_per_turn is None):
            raise ValueError("give cm_per_s_per_v of a tachometer, or volts_per_turn of an angle sensor")
        return self


class BpodEncoder(RowStream):
    """Positions of Bpod's rotary encoder module as iblrig writes them (``_iblrig_encoderPositions*.ssv``)."""

    format: Literal["bpod_encoder"]
    counts_per_turn: float = Field(1024, gt=0, description="Positions of one turn; the module has 1024.")
    skip_rows: int = Field(
        0, ge=0, description="Leading rows to leave out: the module repeats old positions before its reset."
    )
    wheel: Wheel | None = Field(None, description="The wheel; by default one of unknown radius.")
