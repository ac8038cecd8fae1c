"""The streams of a recording session: opened on one clock, checked against each other, added to its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nwbswitch.converters.rules import beyond_recording
from nwbswitch.converters.session import ophys_metadata
from nwbswitch.converters.segmentation.suite2p_folder import RATE_TOLERANCE
from nwbswitch.schemas.drug_log import deciding_row
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Place, issue
from nwbswitch.schemas.study import SESSION_CLOCK, Session, Suite2pFolder, TiffMovie, WheelCsv

if TYPE_CHECKING:
    from neuroconv.basedatainterface import BaseDataInterface
    from pynwb import NWBFile


@dataclass(frozen=True, slots=True)
class Part:
    """One stream of a session: its name, its interface and whether the interface can be cut short."""

    name: str
    interface: BaseDataInterface
    cuttable: bool


def open_parts(session: Session) -> list[Part]:
    """Open every stream of a session and check that they fit together.

    Raises
    ------
    InputFileError
        A stream that cannot be read.
    IssuesError
        Streams that contradict each other, or a clock or a microscope that is not described.
    """
    from nwbswitch.converters.drug_log import DrugLogInterface
    from nwbswitch.converters.epochs import EpochsInterface

    imaging: dict[str, TiffMovie | Suite2pFolder] = {
        name: each for name, each in session.streams.items() if not isinstance(each, WheelCsv)
    }
    _check_description(session, imaging)
    parts: list[Part] = []
    try:
        for name, stream in imaging.items():
            parts.append(Part(name, _open(session, name, stream), cuttable=True))
        _check_agreement(session, parts)
        clocking = parts[-1].interface if parts else None
        for name, table in session.streams.items():
            if isinstance(table, WheelCsv):
                parts.append(Part(name, _open_wheel(session, table, clocking), cuttable=True))
        rows = [row.model_dump(mode="json") for row in session.drug_log]
        parts.append(Part("drug log", DrugLogInterface(administrations=rows), cuttable=False))
        zero = deciding_row(session.drug_log)
        epochs = EpochsInterface(
            epochs=[epoch.model_dump(mode="json") for epoch in session.epochs],
            administration_s=None if zero is None else zero.timestamp_s,
        )
        parts.append(Part("epochs", epochs, cuttable=False))
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

    films = [part.interface for part in parts if hasattr(part.interface, "n_frames")]
    windows = [
        row for part in parts if isinstance(part.interface, EpochsInterface) for row in part.interface.rows
    ]
    if not films:
        return
    first = min(each.start_s for each in films)
    last = max(each.start_s + each.n_frames / each.rate_hz for each in films)
    name = f"{session.subject.subject_id}/{session.session_id}"
    found = [
        each
        for start_s, stop_s, window in windows
        for each in beyond_recording(window, (start_s, stop_s), (first, last), Place(item=name))
    ]
    if found:
        raise IssuesError(found)


def add_parts(nwbfile: NWBFile, session: Session, parts: Sequence[Part], *, stub: bool = False) -> None:
    """Add every stream to the file."""
    metadata = ophys_metadata(session)
    movies = [name for name, each in session.streams.items() if isinstance(each, TiffMovie)]
    if metadata and len(movies) > 1:
        metadata["Ophys"]["MicroscopySeries"] = {name: {"name": f"TwoPhotonSeries_{name}"} for name in movies}
    for part in parts:
        options = {"stub": stub} if part.cuttable else {}
        part.interface.add_to_nwbfile(nwbfile, metadata, **options)


def close_parts(parts: Sequence[Part]) -> None:
    """Close the files of every stream that keeps one open."""
    for part in parts:
        if hasattr(part.interface, "close"):
            part.interface.close()


def _open(session: Session, name: str, stream: TiffMovie | Suite2pFolder) -> BaseDataInterface:
    from nwbswitch.converters.registry import INTERFACES

    start_s = _offset_s(session, stream.clock)
    source: dict[str, Any] = {"start_s": start_s, "rate_hz": stream.rate_hz, "metadata_key": name}
    if isinstance(stream, TiffMovie):
        return INTERFACES[stream.format](file_path=stream.path, **source)
    assert session.imaging is not None
    return INTERFACES[stream.format](
        folder_path=stream.path,
        roi_basis=stream.roi_basis,
        cell_type=session.imaging.cell_type,
        depth_um=session.imaging.depth_um,
        **source,
    )


def _open_wheel(session: Session, stream: WheelCsv, frames: BaseDataInterface | None) -> BaseDataInterface:
    """Open a wheel table; without a time column and a rate its rows are the frames of the imaging stream."""
    from nwbswitch.converters.registry import INTERFACES

    start_s, rate_hz = _offset_s(session, stream.clock), stream.rate_hz
    per_frame = stream.time_column is None and rate_hz is None and frames is not None
    if per_frame:
        start_s, rate_hz = frames.start_s, frames.rate_hz  # type: ignore[union-attr]
    wheel = INTERFACES[stream.format](
        file_path=stream.path,
        signals=[signal.model_dump() for signal in stream.signals],
        time_column=stream.time_column,
        rate_hz=rate_hz,
        start_s=start_s,
    )
    if per_frame and wheel.n_rows != frames.n_frames:  # type: ignore[union-attr]
        found = issue(
            "length-differs",
            f"It has {wheel.n_rows} rows for {frames.n_frames} frames.",  # type: ignore[union-attr]
            place=Place(stream.path),
            remedy="Give time_column or rate_hz of this stream if its rows are not frames.",
        )
        raise IssuesError([found])
    return wheel


def _offset_s(session: Session, clock: str) -> float:
    if clock in session.clocks:
        return session.clocks[clock].offset_s
    if clock == SESSION_CLOCK:
        return 0.0
    raise IssuesError(
        [
            issue(
                "unknown-word",
                f"The clock {clock!r} is not described.",
                place=Place(item=f"{session.session_id}.clocks"),
                remedy="Add it under clocks with its offset_s.",
            )
        ]
    )


def _check_description(session: Session, imaging: Mapping[str, TiffMovie | Suite2pFolder]) -> None:
    found = []
    place = Place(item=f"{session.subject.subject_id}/{session.session_id}")
    if imaging and session.imaging is None:
        found.append(issue("missing-value", "Imaging streams need the section imaging.", place=place))
    if sum(isinstance(each, Suite2pFolder) for each in imaging.values()) > 1:
        found.append(
            issue(
                "wrong-value",
                "A session holds one imaging plane, but names several Suite2p folders.",
                place=place,
                remedy="Make one session per plane.",
            )
        )
    if found:
        raise IssuesError(found)


def _check_agreement(session: Session, parts: Sequence[Part]) -> None:
    """Raise when movie and traces state different rates or numbers of frames."""
    traces = [part for part in parts if isinstance(session.streams[part.name], Suite2pFolder)]
    movies = [part for part in parts if isinstance(session.streams[part.name], TiffMovie)]
    if not traces or not movies:
        return
    place = Place(item=f"{session.subject.subject_id}/{session.session_id}")
    rate_hz, n_frames = traces[0].interface.rate_hz, traces[0].interface.n_frames
    found = []
    for movie in movies:
        if abs(movie.interface.rate_hz - rate_hz) > RATE_TOLERANCE * rate_hz:
            problem = f"{movie.name} has {movie.interface.rate_hz:g} Hz, {traces[0].name} {rate_hz:g} Hz."
            found.append(
                issue("rate-differs", problem, place=place, remedy="Correct rate_hz of one of them.")
            )
    in_movies = sum(movie.interface.n_frames for movie in movies)
    if in_movies != n_frames:
        problem = f"{traces[0].name} has {n_frames} frames, the movie has {in_movies}."
        remedy = "Leave the movie out if the traces were made from another one."
        found.append(issue("length-differs", problem, place=place, remedy=remedy))
    if found:
        raise IssuesError(found)
