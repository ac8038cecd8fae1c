"""Trials, stimuli and events, as a study file describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from nwbswitch.schemas.stream_base import StreamBase, StudyModel


class TableColumn(StudyModel):
    """A column of a table that is kept beside the times."""

    column: str
    name: str = Field("", description="Name in the file; that of the column by default.")
    unit: str = Field("", description="UCUM unit of a number, e.g. kPa; part of the description.")
    description: str = ""


class _Table(StreamBase):
    sheet: str | None = Field(None, description="Sheet of an Excel file; the first one by default.")
    start_column: str = Field(description="Column with the start of each row on this stream's clock.")
    stop_column: str | None = Field(None, description="Column with the end of each row.")
    duration_column: str | None = Field(None, description="Column with the duration, in place of the end.")
    duration_s: float | None = Field(None, ge=0, description="Duration of every row, s.")
    time_scale: float = Field(1.0, gt=0, description="Factor that turns times into s, e.g. 0.001.")
    columns: tuple[TableColumn, ...] | None = Field(
        None, description="Columns to keep, with units and meanings; all others as they are by default."
    )

    @model_validator(mode="after")
    def _ends_once(self) -> _Table:
        if sum(each is not None for each in (self.stop_column, self.duration_column, self.duration_s)) != 1:
            raise ValueError("give one of stop_column, duration_column and duration_s")
        return self


class TrialTable(_Table):
    """Trials in a table, CSV or Excel."""

    format: Literal["trials"]


class StimulusTable(_Table):
    """Sensory stimuli and what they evoked in a table, CSV or Excel."""

    format: Literal["stimuli"]
    stimulus: str = Field("", description="What was given, e.g. air puff; or name stimulus_column.")
    stimulus_column: str | None = Field(None, description="Column that says which stimulus was given.")

    @model_validator(mode="after")
    def _named(self) -> StimulusTable:
        if bool(self.stimulus) == (self.stimulus_column is not None):
            raise ValueError("give stimulus, or stimulus_column")
        return self


class BpodTrials(StreamBase):
    """Trials of Bpod: SessionData of a .mat file, or iblrig's ``_iblrig_taskData.raw.jsonable``."""

    format: Literal["bpod"]


class MedPcEvents(StreamBase):
    """Events of one animal in a MED-PC file, which may hold several."""

    format: Literal["medpc"]
    select: dict[str, str] | None = Field(
        None,
        description="Header lines that pick one recording out, e.g. {Subject: '56'}; needed when there are "
        "several.",
    )
    events: dict[str, str] = Field(
        min_length=1, description="Arrays that hold times, with what happened then, e.g. {G: lick}."
    )
    time_scale: float = Field(1.0, gt=0, description="Factor that turns its times into s, e.g. 0.01.")
