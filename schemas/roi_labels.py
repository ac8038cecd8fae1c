"""Where cell types and identities of neurons come from: the keys ``cell_types`` and ``tracking``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nwbswitch.schemas.issues import nearest
from nwbswitch.schemas.vocabularies import canonical, spellings

Numbered = Literal["all", "accepted"]
UNKNOWN = "unknown"

_NUMBERED = (
    "What ROI numbers count: all ROIs of the segmentation, or the accepted ones only, when the others were "
    "left out before."
)
_FIRST = "Number of the first ROI: 0 as in Python and NWB, 1 as in MATLAB."


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Typed(_Source):
    """A source that gives one cell type to the ROIs it picks out."""

    cell_type: str = Field(description="Cell type of the ROIs that are picked out, from the vocabulary.")

    @field_validator("cell_type", "others", check_fields=False)
    @classmethod
    def _known(cls, word: str) -> str:
        return known_cell_type(word)


class _Table(_Source):
    """A table with one row per ROI; columns subject_id and session_id, where they are, choose the rows."""

    path: Path = Field(description="CSV or Excel file.")
    sheet: str | None = Field(None, description="Sheet of an Excel file; the first one by default.")
    roi_column: str = Field("roi", description="Column with the number of the ROI.")
    first_roi: int = Field(0, ge=0, le=1, description=_FIRST)
    rois: Numbered = Field("all", description=_NUMBERED)


class TableCellTypes(_Table):
    """Cell types that a table states ROI by ROI."""

    source: Literal["table"]
    cell_type_column: str = "cell_type"
    evidence_column: str = Field("evidence", description="Column that says how the type is known.")
    confidence_column: str = Field("confidence", description="Column with a number from 0 to 1.")
    evidence: str = Field("", description="How the types are known, for rows that do not say it.")
    others: str = Field(UNKNOWN, description="Cell type of the ROIs that have no row.")

    @field_validator("others")
    @classmethod
    def _known(cls, word: str) -> str:
        return known_cell_type(word)


class RedChannelCellTypes(_Typed):
    """The ROIs that are red: by ``redcell.npy`` of Suite2p, or by a column of red intensity."""

    source: Literal["red_channel"]
    path: Path | None = Field(
        None, description="redcell.npy, or a table; by default redcell.npy in the stream's folder."
    )
    line: str = Field("", description="What makes cells red, e.g. Pvalb-Cre; Ai14.")
    others: str = Field(UNKNOWN, description="Cell type of the ROIs that are not red.")
    threshold: float | None = Field(
        None,
        description="Least value of a red ROI: needed for a table; for redcell.npy it is compared with the "
        "second column, in place of the label in the first.",
    )
    column: str = Field("", description="Column of the table with the mean red intensity.")
    sheet: str | None = None
    roi_column: str = "roi"
    first_roi: int = Field(0, ge=0, le=1, description=_FIRST)
    rois: Numbered = Field("all", description=_NUMBERED)


class OptoTagCellTypes(_Table, _Typed):
    """The ROIs that answer to light in time: by latency, by P, or by both where both limits are stated."""

    source: Literal["opto_tag"]
    line: str = Field("", description="What makes cells answer, e.g. Sst-Cre; ChrimsonR.")
    others: str = Field(UNKNOWN, description="Cell type of the tested ROIs that do not answer.")
    latency_column: str = "latency_ms"
    max_latency_ms: float | None = Field(None, gt=0, description="Longest latency of a tagged ROI, ms.")
    p_column: str = "p"
    max_p: float | None = Field(None, gt=0, le=1, description="Largest P of a tagged ROI.")

    @model_validator(mode="after")
    def _limited(self) -> OptoTagCellTypes:
        if self.max_latency_ms is None and self.max_p is None:
            raise ValueError("give max_latency_ms, max_p or both: which response counts is not guessed")
        return self


class DriverLineCellTypes(_Typed):
    """All ROIs are of one type, since only cells of that type carry the indicator."""

    source: Literal["driver_line"]
    line: str = Field(min_length=1, description="The line or virus, e.g. Pvalb-Cre; Ai148.")


CellTypes = Annotated[
    TableCellTypes | RedChannelCellTypes | OptoTagCellTypes | DriverLineCellTypes,
    Field(discriminator="source"),
]


class _Tracking(_Source):
    path: Path
    field_of_view: str = Field(
        "",
        pattern=r"^[A-Za-z0-9.-]*$",
        description="Name of the field of view, part of the identities; needed when one animal has several "
        "tracking results, which each count from one.",
    )


class _Map(_Tracking):
    """A map of neurons (rows) and recording sessions (columns)."""

    sessions: tuple[str, ...] = Field(
        (), description="Identifiers of the tracked sessions, in the order in which they were tracked."
    )
    position: int | None = Field(
        None, ge=1, description="Which of the tracked sessions this one is, counted from 1; or give sessions."
    )
    rois: Numbered = Field("all", description=_NUMBERED)

    @model_validator(mode="after")
    def _placed(self) -> _Map:
        if bool(self.sessions) == (self.position is not None):
            raise ValueError(
                "give either sessions, the identifiers in the order in which they were tracked, or position, "
                "which of them this one is; it is not guessed"
            )
        doubles = sorted({each for each in self.sessions if self.sessions.count(each) > 1})
        if doubles:
            raise ValueError(f"sessions names {', '.join(doubles)} twice")
        return self


class RoicatTracking(_Map):
    """ROICaT: ``*.tracking.results_clusters.json`` or ``*.tracking.results_all.richfile[.zip]``."""

    source: Literal["roicat"]


class CellRegTracking(_Map):
    """CellReg: ``cellRegistered_*.mat`` with ``cell_registered_struct.cell_to_index_map``."""

    source: Literal["cellreg"]


class CaimanTracking(_Map):
    """CaImAn: the array ``assignments`` of ``register_multisession`` in .npy, .npz, HDF5 or .mat."""

    source: Literal["caiman"]
    dataset: str = Field("assignments", description="Name of the array in a file that holds several.")
    first_roi: int = Field(0, ge=0, le=1, description=_FIRST)


class TableTracking(_Tracking):
    """A table, wide (a column of ROI numbers per session) or long (columns session_id, roi, tracking_id)."""

    source: Literal["table"]
    sheet: str | None = Field(None, description="Sheet of an Excel file; the first one by default.")
    session_column: str = Field(
        "", description="Wide: the column of this session; by default the one named like the session."
    )
    id_column: str = Field("tracking_id", description="Column with the name of the neuron.")
    roi_column: str = Field("roi", description="Long: column with the number of the ROI.")
    score_column: str = Field("tracking_score", description="Column with a score, where there is one.")
    first_roi: int = Field(0, ge=0, le=1, description=_FIRST)
    rois: Numbered = Field("all", description=_NUMBERED)
    software: str = Field("", description="What made the table, e.g. 'by hand' or 'Track2p 0.5'.")


Tracking = Annotated[
    RoicatTracking | CellRegTracking | CaimanTracking | TableTracking, Field(discriminator="source")
]

SOURCES: dict[str, tuple[str, ...]] = {
    "cell_types": ("table", "red_channel", "opto_tag", "driver_line"),
    "tracking": ("table", "roicat", "cellreg", "caiman"),
}
"""The sources that each key takes."""


def known_cell_type(word: str) -> str:
    """Return the vocabulary's word for a cell type.

    Raises
    ------
    ValueError
        When the vocabulary does not hold it; the message names the nearest word.
    """
    found = canonical("cell_types", word)
    if found is None:
        every = [each for known in spellings("cell_types").values() for each in known]
        hint = nearest(word, every) or f"Write {UNKNOWN!r} for what is not known."
        raise ValueError(f"{word!r} is no cell type of the vocabulary. {hint}")
    return found
