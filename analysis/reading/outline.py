"""The outline of a recording: all that measuring and searching need of it but its samples.

An outline is plain data: it is made once from a file, whoever wrote it, kept as JSON beside the digest of
that file, and enough to read any window of the recording by byte ranges. Times are s on the session clock.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import PlainSerializer, TypeAdapter

from nwbswitch.analysis.access.stored_array import Int64s, Number, StoredArray
from nwbswitch.schemas.clock_table import ClockQuality
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.drug_reading.evidence import Evidence, Mention
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.issues import Issue

OUTLINE_VERSION = 2
"""Raised whenever an outline of the same file would come out different."""


KNOT_FRAMES = 8192
"""Frames from one knot of a clock to the next: 64 kB of stamps."""


class ActivityKind(StrEnum):
    """What numbers in a matrix of traces are."""

    RAW = "raw"
    """Fluorescence: dF/F comes from dividing by what it is at rest."""
    DFF = "dff"
    DEMIXED = "demixed"
    """Without background: near zero at rest, so that it is not divided by that."""
    DENOISED = "denoised"
    DECONVOLVED = "deconvolved"


@dataclass(frozen=True, slots=True)
class Trace:
    """One matrix of traces."""

    array: StoredArray
    kind: ActivityKind
    time_first: bool
    """Whether the matrix is (frames, ROIs), as NWB wants; else (ROIs, frames)."""
    conversion: float = 1.0
    offset: float = 0.0
    unit: str = ""

    @property
    def n_rois(self) -> int:
        """Number of traces."""
        shape = self.array.shape
        return shape[1 if self.time_first else 0] if len(shape) == 2 else 1

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        shape = self.array.shape
        return shape[0 if self.time_first or len(shape) == 1 else 1]


@dataclass(frozen=True, slots=True)
class Clock:
    """When frames were taken: from a start and a rate, or one by one."""

    start_s: float
    """Time of the first frame."""
    rate_hz: float
    """With stamps, one over their median step."""
    n_frames: int
    stamps: StoredArray | None = None
    """In s times ``conversion_s``, plus ``offset_s``."""
    conversion_s: float = 1.0
    offset_s: float = 0.0
    knots_s: tuple[float, ...] = ()
    """Time of every ``knot_frames``-th frame, from the first on, where there are stamps."""
    knot_frames: int = KNOT_FRAMES
    last_s: float | None = None
    """Time of the last frame, where there are stamps."""

    @property
    def stop_s(self) -> float:
        """Time of the last frame plus one period."""
        last_s = self.last_s
        if last_s is None:
            last_s = self.start_s + max(self.n_frames - 1, 0) / self.rate_hz
        return last_s + 1 / self.rate_hz


@dataclass(frozen=True, slots=True)
class FrameMask:
    """Frames that the file marks as spoilt: one number per frame, above 0 where spoilt."""

    array: StoredArray


@dataclass(frozen=True, slots=True)
class Shifts:
    """What motion correction moved each frame by, shape (frames, 2 or 3)."""

    array: StoredArray
    um_per_unit: float | None
    """None where the file does not say how large a pixel is."""


@dataclass(frozen=True, slots=True)
class SpoiltSpans:
    """Spans of time that the file marks as invalid, such as ``invalid_times``."""

    start_s: tuple[float, ...]
    stop_s: tuple[float, ...]
    object_path: str


Censor = FrameMask | Shifts | SpoiltSpans


@dataclass(frozen=True, slots=True)
class NeuronTable:
    """ROIs of one plane or units of one table; every field has one entry per row of that table."""

    accepted: tuple[bool, ...]
    cell_type: tuple[str, ...]
    roi_basis: tuple[str, ...]
    tracking_id: tuple[str, ...]
    region: tuple[str, ...]
    """Allen acronym, or the file's own word where that has none."""
    layer: tuple[str, ...]
    depth_um: tuple[Number, ...]
    """Below the pia, NaN where the file does not state it."""


@dataclass(frozen=True, slots=True)
class Plane:
    """The traces of one plane segmentation on one clock."""

    name: str
    traces: Trace
    neuropil: Trace | None
    neuropil_subtracted: bool
    """Whether the file says that the neuropil is subtracted from the traces already."""
    deconvolved: Trace | None
    clock: Clock
    rows: Int64s
    """Row of the plane segmentation of each trace."""
    neurons: NeuronTable
    indicator: str
    """As the file states it; empty where it does not."""
    censors: tuple[Censor, ...] = ()


class PointKind(StrEnum):
    """What the times of a table of points are."""

    SPIKES = "spikes"
    EVENTS = "events"
    """Calcium events that the lab detected."""


@dataclass(frozen=True, slots=True)
class Points:
    """Times of spikes or events of many neurons."""

    name: str
    kind: PointKind
    times: StoredArray
    """In s times ``conversion_s``; sorted within each neuron where ``ends`` is given."""
    ends: Int64s | None
    """Ragged: the times of row i end at ``ends[i]``. None for a flat table with ``owners``."""
    owners: StoredArray | None
    """Flat: row of ``neurons`` of each time."""
    neurons: NeuronTable
    observed_start_s: tuple[float, ...]
    observed_stop_s: tuple[float, ...]
    """Spans in which all neurons that are accepted were recorded."""
    conversion_s: float = 1.0
    in_order: bool = True
    """False where times step back within a row or are no numbers: such rows are sorted before use."""


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """One analysis window."""

    window: Window
    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class SubjectFacts:
    """The animal as the file states it; empty where it does not."""

    subject_id: str
    species: str = ""
    sex: str = ""
    age: str = ""
    strain: str = ""
    genotype: str = ""
    weight: str = ""
    """With its unit, as written."""


def _plain_clocks(clocks: tuple[ClockQuality, ...]) -> list[dict[str, str | int | float]]:
    rows = [asdict(each) for each in clocks]
    return [{name: str(value) if value != value else value for name, value in row.items()} for row in rows]


Clocks = Annotated[tuple[ClockQuality, ...], PlainSerializer(_plain_clocks, when_used="json")]


@dataclass(frozen=True, slots=True)
class Outline:
    """One recording session."""

    dataset: str
    subject: SubjectFacts
    session_id: str
    start_time: datetime
    simulated: bool
    administrations: tuple[Administration, ...]
    """Of our drug log, of the overrides, or as read from what the file says elsewhere."""
    evidence: tuple[Evidence, ...]
    """Where each value of the administrations stands, and how sure it is."""
    windows: tuple[WindowSpan, ...]
    planes: tuple[Plane, ...]
    points: tuple[Points, ...]
    issues: tuple[Issue, ...]
    clocks: Clocks = ()
    """How well the clocks of the streams are known, where the file holds our table of them."""
    mentions: tuple[Mention, ...] = ()
    """Substances that the file names and that were not given in this session."""
    batch: str = ""
    """Cohort, batch, litter or rig, or a code of the experimenters; empty where the file states none."""
    anaesthesia: str = ""
    """awake, or the anaesthetic; empty where the file does not say."""
    version: int = OUTLINE_VERSION


OUTLINES: TypeAdapter[Outline] = TypeAdapter(Outline)
"""Reads and writes outlines as JSON."""
