"""The streams of a recording session: opened on one clock, checked against each other, added to its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nwbswitch.converters.clocks.sync_table import add_clock_table
from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.rules import beyond_recording
from nwbswitch.converters.session import ophys_metadata
from nwbswitch.converters.stream_timing import place_in_time
from nwbswitch.schemas.clock_table import ClockMethod, ClockQuality
from nwbswitch.schemas.drug_log import deciding_row
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.stream_base import ImagingStream, RoiStream, StreamBase
from nwbswitch.schemas.streams import FOLDER_FORMATS
from nwbswitch.schemas.study import Archive, Session

if TYPE_CHECKING:
    from neuroconv.basedatainterface import BaseDataInterface
    from pynwb import NWBFile

ORDER = (Kind.MOVIE, Kind.ROIS, Kind.BEHAVIOR, Kind.IMAGE)
_NOT_ARGUMENTS = {
    "format",
    "path",
    "clock",
    "imaging",
    "timing_of",
    "frame_times",
    "cell_types",
    "tracking",
}
"""Keys of a stream that place it among the others; the other keys are arguments of its interface."""


@dataclass(frozen=True, slots=True)
class _ClockTable:
    rows: tuple[ClockQuality, ...]

    def add_to_nwbfile(self, nwbfile: NWBFile, metadata: Mapping[str, Any]) -> None:
        add_clock_table(nwbfile, self.rows)


@dataclass(frozen=True, slots=True)
class Part:
    """One stream of a session: its name, its interface and its kind; None for what the study file states."""

    name: str
    interface: Any
    kind: Kind | None = None


def open_parts(session: Session) -> list[Part]:
    """Open every stream of a session, place it on the session clock and check that all fit together.

    Raises
    ------
    InputFileError
        A stream that cannot be read.
    IssuesError
        Streams that contradict each other, or a clock or a microscope that is not described.
    """
    from nwbswitch.converters.drug_log import DrugLogInterface
    from nwbswitch.converters.epochs import EpochsInterface

    _check_description(session)
    parts: list[Part] = []
    try:
        for kind in ORDER:
            for name, stream in session.streams.items():
                if READERS[stream.format].kind is kind:
                    parts.append(Part(name, _open(session, name, stream), kind))
        clocks = place_in_time(session, {part.name: part.interface for part in parts})
        _label_rois(session, parts)
        rows = [row.model_dump(mode="json") for row in session.drug_log]
        parts.append(Part("drug log", DrugLogInterface(administrations=rows)))
        zero = deciding_row(session.drug_log)
        epochs = EpochsInterface(
            epochs=[epoch.model_dump(mode="json") for epoch in session.epochs],
            administration_s=None if zero is None else zero.timestamp_s,
        )
        parts.append(Part("epochs", epochs))
        if any(row.method is not ClockMethod.SAME for row in clocks):
            parts.append(Part("clocks", _ClockTable(tuple(clocks))))
    except BaseException:
        close_parts(parts)
        raise
    return parts


def check_windows(session: Session, parts: Sequence[Part]) -> None:
    """Raise when an analysis window reaches beyond the imaging of a session.

    Raises
    ------
    IssuesError
        Naming each window, its times and those of the recording.
    """
    from nwbswitch.converters.epochs import EpochsInterface

    films = [part.interface.timing for part in parts if part.kind in (Kind.MOVIE, Kind.ROIS)]
    windows = [
        row for part in parts if isinstance(part.interface, EpochsInterface) for row in part.interface.rows
    ]
    if not films:
        return
    first, last = min(each.first_s for each in films), max(each.end_s for each in films)
    name = f"{session.subject.subject_id}/{session.session_id}"
    found = [
        each
        for start_s, stop_s, window in windows
        for each in beyond_recording(window, (start_s, stop_s), (first, last), Place(item=name))
    ]
    if found:
        raise IssuesError(found)


def add_parts(
    nwbfile: NWBFile,
    session: Session,
    parts: Sequence[Part],
    *,
    stub: bool = False,
    content: Archive = "both",
) -> None:
    """Add the streams to the file: raw movies, everything else, or both; drug log and epochs always."""
    metadata = ophys_metadata(session)
    for part in parts:
        is_raw = part.kind is Kind.MOVIE
        if part.kind is not None and content != "both" and is_raw != (content == "raw"):
            continue
        options = {} if part.kind is None else {"stub": stub}
        part.interface.add_to_nwbfile(nwbfile, metadata, **options)


def close_parts(parts: Sequence[Part]) -> None:
    """Close the files of every stream that keeps one open."""
    for part in parts:
        if hasattr(part.interface, "close"):
            part.interface.close()


def _open(session: Session, name: str, stream: StreamBase) -> BaseDataInterface:
    """Return the interface of a stream; its arguments are the keys of the stream in the study file."""
    values: Mapping[str, Any] = stream.model_dump(mode="json", exclude=_NOT_ARGUMENTS)
    arguments: dict[str, Any] = dict(values)
    form = stream.model_dump()["format"]
    name_of_path = "folder_path" if form in FOLDER_FORMATS else "file_path"
    arguments[name_of_path] = stream.paths[0] if len(stream.paths) == 1 else list(stream.paths)
    if isinstance(stream, RoiStream):
        imaging = stream.imaging or session.imaging
        assert imaging is not None
        arguments |= {"cell_type": imaging.cell_type, "depth_um": imaging.depth_um}
    return READERS[form].load()(**arguments, metadata_key=name)


def _label_rois(session: Session, parts: Sequence[Part]) -> None:
    """Give ROIs the cell types and identities that the study names for them."""
    from nwbswitch.converters.biology.roi_labels import roi_labels
    from nwbswitch.converters.segmentation.rois import Column

    for part in parts:
        stream = session.streams[part.name]
        if not isinstance(stream, RoiStream) or (stream.cell_types is None and stream.tracking is None):
            continue
        labels = roi_labels(
            part.interface.n_rois,
            cell_types=stream.cell_types,
            tracking=stream.tracking,
            subject_id=session.subject.subject_id,
            session_id=session.session_id,
            accepted=part.interface.rois.accepted,
            folder=part.interface.source_path,
        )
        part.interface.label({each.name: Column(each.description, each.values) for each in labels.columns})


def _check_description(session: Session) -> None:
    imaging = [each for each in session.streams.values() if isinstance(each, ImagingStream)]
    if session.imaging is None and any(each.imaging is None for each in imaging):
        place = Place(item=f"{session.subject.subject_id}/{session.session_id}")
        raise IssuesError([issue("missing-value", "Imaging streams need the section imaging.", place=place)])
