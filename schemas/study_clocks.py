"""Clocks of a study file: how the time of a system leads to session time, and the pulses that say so."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nwbswitch.schemas.whole_numbers import FirstNumber

SESSION_CLOCK = "session"

TABLE_SUFFIXES = (".csv", ".txt")
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".nwb")
MATLAB_SUFFIXES = (".mat",)
NUMPY_SUFFIXES = (".npy",)
RAW_SUFFIXES = (".bin", ".dat", ".raw")

Surplus = Literal["none", "before", "after"]
RawDtype = Literal["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PulseSource(_Model):
    """Pulses in a file: their times, their sample numbers, or the sampled line they came on.

    Which of ``column``, ``dataset`` and ``variable`` is needed follows from the file: CSV, HDF5 or MATLAB.
    A ``.npy`` file holds one array and needs none; raw samples need ``dtype`` and ``n_channels``.
    """

    path: Path
    column: str | None = Field(None, min_length=1, description="Column of a CSV file.")
    dataset: str | None = Field(
        None, min_length=1, description="Dataset of an HDF5 file, e.g. /DI/Frame Out."
    )
    variable: str | None = Field(
        None, min_length=1, description="Variable of a MATLAB file, or struct.field."
    )
    channel: int | None = Field(
        None, ge=0, description="Channel, from 0, of an array with two dimensions or of raw samples."
    )
    dtype: RawDtype | None = Field(None, description="Type of raw samples, little-endian.")
    n_channels: int | None = Field(None, gt=0, description="Channels that take turns in raw samples.")
    kind: Literal["times", "samples", "levels"] = Field(
        "times",
        description="times: time of each pulse. samples: sample number of each pulse, counted at rate_hz. "
        "levels: the line itself, sampled at rate_hz; pulses are where it crosses the threshold.",
    )
    rate_hz: float | None = Field(None, gt=0, description="Sampling rate, Hz, of samples and levels.")
    first_sample: FirstNumber = Field(0, description="Number of the first sample: 1 in MATLAB, else 0.")
    scale: float = Field(
        1.0, gt=0, description="Factor that turns stated times into s, e.g. 0.001 when they are in ms."
    )
    time_column: str | None = Field(
        None, description="Column with the time of each level in a CSV file, in place of rate_hz."
    )
    threshold: float | None = Field(
        None, description="Level that a pulse crosses, in the numbers of the file; for levels."
    )
    hysteresis: float = Field(
        0.0,
        ge=0,
        description="Full width of the band around the threshold that noise must leave to count, in the "
        "numbers of the file.",
    )
    bit: int | None = Field(
        None, ge=0, le=63, description="Bit, from 0, of a digital word that holds the line; for levels."
    )
    edge: Literal["rising", "falling"] = Field("rising", description="Which edge is the pulse; for levels.")
    min_interval_s: float = Field(
        0.0, ge=0, description="A pulse that follows the one before it sooner than this is a bounce, s."
    )

    @model_validator(mode="after")
    def _fits_file(self) -> PulseSource:
        suffix = self.path.suffix.lower()
        needed = {
            **dict.fromkeys(TABLE_SUFFIXES, ("column",)),
            **dict.fromkeys(HDF5_SUFFIXES, ("dataset",)),
            **dict.fromkeys(MATLAB_SUFFIXES, ("variable",)),
            **dict.fromkeys(NUMPY_SUFFIXES, ()),
            **dict.fromkeys(RAW_SUFFIXES, ("dtype", "n_channels", "channel")),
        }
        if suffix not in needed:
            raise ValueError(
                f"pulses are read from {', '.join(needed)} files, not {suffix or 'a file without suffix'}"
            )
        for name in ("column", "dataset", "variable", "dtype", "n_channels"):
            given = getattr(self, name) is not None
            if given and name not in needed[suffix]:
                words = " and ".join(needed[suffix]) or "none"
                raise ValueError(f"{name} does not go with a {suffix} file, which needs {words}")
        for name in needed[suffix]:
            if getattr(self, name) is None:
                raise ValueError(f"a {suffix} file needs {name}")
        if self.n_channels is not None and self.channel is not None and self.channel >= self.n_channels:
            raise ValueError(f"channel {self.channel} is not one of {self.n_channels}, counted from 0")
        if self.channel is not None and self.column is not None:
            raise ValueError("channel does not go with a column")
        if suffix in RAW_SUFFIXES and self.kind != "levels":
            raise ValueError("raw samples are levels: give kind: levels")
        return self

    @model_validator(mode="after")
    def _fits_kind(self) -> PulseSource:
        if self.kind == "times" and self.rate_hz is not None:
            raise ValueError("times need no rate_hz; give kind: samples or kind: levels")
        if self.kind == "samples" and self.rate_hz is None:
            raise ValueError("sample numbers need rate_hz")
        if self.kind == "samples" and self.scale != 1:
            raise ValueError("sample numbers take rate_hz, not scale")
        if self.kind != "samples" and self.first_sample:
            raise ValueError("first_sample goes with kind: samples")
        if self.kind != "levels":
            return self._without_levels()
        if (self.threshold is None) == (self.bit is None):
            raise ValueError("levels need a threshold, or the bit of a digital word")
        if self.bit is not None and self.hysteresis:
            raise ValueError("hysteresis goes with a threshold, not with a bit")
        if (self.rate_hz is None) == (self.time_column is None):
            raise ValueError("levels need rate_hz, or in a CSV file time_column")
        if self.time_column is not None and self.column is None:
            raise ValueError("time_column goes with a column of a CSV file")
        if self.time_column is None and self.scale != 1:
            raise ValueError("scale goes with times or with time_column")
        return self

    def _without_levels(self) -> PulseSource:
        for name in ("threshold", "bit", "time_column"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} goes with kind: levels")
        if self.hysteresis or self.edge != "rising":
            raise ValueError("hysteresis and edge go with kind: levels")
        return self


class FrameTimes(PulseSource):
    """One pulse per frame of a movie, or a fixed number of pulses."""

    clock: str = Field(SESSION_CLOCK, description="Clock that the pulses were recorded on.")
    start_index: int = Field(
        0, ge=0, description="Number of the pulse, from 0, of the first frame; those before it are left out."
    )
    pulses_per_frame: int = Field(
        1, ge=1, description="Pulses per frame: planes of a volume, or scans that were averaged."
    )
    extra: Surplus = Field(
        "none", description="Where more pulses than frames may be: before the first or after the last frame."
    )
    missing: Literal["refuse", "interpolate", "none"] = Field(
        "refuse",
        description="What a gap between pulses is. refuse: do not go on where it matters. interpolate: lost "
        "pulses, filled in. none: a pause of the imaging, no pulse is lost.",
    )
    max_missing: float = Field(
        0.01, ge=0, le=0.5, description="Largest share of pulses that may be filled in, 0.01 for 1 %."
    )


class Clock(_Model):
    """A clock of one acquisition system: reference time = offset_s + own time * (1 + drift_ppm / 1e6).

    Offset and drift are stated here, or found from pulses that both systems saw.
    """

    offset_s: float = Field(0.0, description="Reference time at which this clock reads zero, s.")
    drift_ppm: float = Field(
        0.0,
        ge=-10_000,
        le=10_000,
        description="How much slower than the reference this clock runs, parts per million.",
    )
    pulses: PulseSource | None = Field(None, description="Pulses as timed by this clock.")
    reference: PulseSource | None = Field(
        None, description="The same pulses as timed by the reference clock."
    )
    reference_clock: str = Field(SESSION_CLOCK, description="Clock that this one is aligned to.")
    extra: Surplus = Field(
        "none",
        description="Where one system may have seen more pulses than the other, when they come regularly.",
    )
    max_residual_ms: float = Field(
        20.0,
        gt=0,
        description="Largest distance between a pulse and its partner after alignment, ms. Clocks of "
        "recording hardware agree within 1; time stamps of Windows programs come in steps of 15.6.",
    )

    @model_validator(mode="after")
    def _stated_or_found(self) -> Clock:
        if (self.pulses is None) != (self.reference is None):
            given, other = ("pulses", "reference") if self.reference is None else ("reference", "pulses")
            raise ValueError(f"{given} need the same pulses on the other clock; give {other} too")
        stated = {"offset_s", "drift_ppm"} & self.model_fields_set
        if self.pulses is not None and stated:
            raise ValueError(f"{' and '.join(sorted(stated))} follow from the pulses; leave them out")
        tuning = {"extra", "max_residual_ms"} & self.model_fields_set
        if self.pulses is None and tuning:
            raise ValueError(f"{' and '.join(sorted(tuning))} go with pulses")
        return self
