"""One recording session as an NWB file in memory: who, when and under which microscope, and its streams."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.converters.imaging_plane import DEVICE_KEY, PLANE_KEY
from nwbswitch.schemas.drug_log import deciding_row
from nwbswitch.schemas.drug_table import drug_keywords, pharmacology_line
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.files import digest
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.study import (
    SESSION_CLOCK,
    Session,
    Study,
    Suite2pFolder,
    TiffMovie,
    WheelCsv,
)

if TYPE_CHECKING:
    from neuroconv.basedatainterface import BaseDataInterface
    from pynwb import NWBFile

SIMULATED = "SIMULATED"
STUB = "STUB"
DATASET_PREFIX = "dataset:"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/nwbswitch/nwbswitch")
RATE_TOLERANCE = 0.005


def output_path(session: Session) -> Path:
    """Return where the file of a session goes below the output folder, named as ``dandi organize`` does."""
    subject = session.subject.subject_id
    modalities = []
    if any(isinstance(stream, WheelCsv) for stream in session.streams.values()):
        modalities.append("behavior")
    if any(isinstance(stream, TiffMovie | Suite2pFolder) for stream in session.streams.values()):
        modalities.append("ophys")
    suffix = "_" + "+".join(modalities) if modalities else ""
    return Path(f"sub-{subject}") / f"sub-{subject}_ses-{session.session_id}{suffix}.nwb"


def facts(study: Study, session: Session) -> dict[str, Any]:
    """Return all that the study file says of a session as plain values, without folders of this machine."""
    shared = study.model_dump(mode="json", exclude={"sessions"})
    own = session.model_dump(mode="json")
    for stream in own["streams"].values():
        stream["path"] = Path(stream["path"]).name
    return {"study": shared, "session": own}


def identifier(study: Study, session: Session, contents: Sequence[str]) -> str:
    """Return the UUID that a session with these facts and these input digests always gets."""
    name = digest(
        [study.name, session.subject.subject_id, session.session_id, facts(study, session), *contents]
    )
    return str(uuid.uuid5(_NAMESPACE, name))


def placeholder_issues(session: Session) -> list[Issue]:
    """Return one finding per value that the source does not state."""
    return [
        issue(
            "placeholder",
            f"{field} is not stated by the source; the file marks its value as a placeholder.",
            place=Place(item=f"{session.subject.subject_id}/{session.session_id}"),
            remedy=f"Find {field} out before the file is published.",
        )
        for field in session.placeholders
    ]


def make_nwbfile(
    study: Study, session: Session, *, contents: Sequence[str] = (), stub: bool = False
) -> NWBFile:
    """Return an NWB file with the metadata of a session and none of its streams.

    Parameters
    ----------
    study, session
        The facts.
    contents
        SHA-256 of every input file; part of the identifier.
    stub
        Mark the file as cut to its first frames.
    """
    from pynwb import NWBFile
    from pynwb.file import Subject

    if session.start_time.tzinfo is None:
        raise IssuesError(
            [
                issue(
                    "wrong-value",
                    f"The start time {session.start_time.isoformat()} has no UTC offset.",
                    place=Place(item=f"{session.session_id}.start_time"),
                    remedy="Write it as 2024-05-01T10:00:00+02:00.",
                )
            ]
        )
    marks = _marks(study, session, stub=stub)
    subject = session.subject
    filled = [field for field in session.placeholders if field.startswith("subject.")]
    mark = f"Placeholders, not stated by the source: {', '.join(filled)}." if filled else ""
    birth = subject.date_of_birth
    return NWBFile(
        identifier=identifier(study, session, contents),
        session_description=_sentences(*marks, session.description),
        session_start_time=session.start_time,
        session_id=session.session_id,
        experiment_description=_sentences(study.title, study.description) or None,
        institution=study.institution or None,
        lab=study.lab or None,
        experimenter=list(study.experimenters) or None,
        related_publications=list(study.related_publications) or None,
        keywords=_keywords(study, session, stub=stub),
        pharmacology=pharmacology_line(session.drug_log) or None,
        notes=_sentences(*marks, session.notes) or None,
        subject=Subject(
            subject_id=subject.subject_id,
            species=subject.species,
            sex=subject.sex,
            age=subject.age,
            date_of_birth=birth.replace(tzinfo=birth.tzinfo or session.start_time.tzinfo) if birth else None,
            weight=None if subject.weight_g is None else f"{subject.weight_g:g} g",
            genotype=subject.genotype or None,
            strain=subject.strain or None,
            description=_sentences(mark, subject.description) or None,
        ),
    )


def _marks(study: Study, session: Session, *, stub: bool) -> list[str]:
    marks = []
    if study.simulated:
        marks.append(f"{SIMULATED}: these data were made by a simulator, not measured.")
    if stub:
        marks.append(f"{STUB}: only the first frames of every stream.")
    if session.placeholders:
        marks.append(f"Placeholders, not stated by the source: {', '.join(session.placeholders)}.")
    return marks


def _sentences(*parts: str) -> str:
    return " ".join(part.strip() for part in parts if part.strip())


def _keywords(study: Study, session: Session, *, stub: bool) -> list[str]:
    words = [*study.keywords, *drug_keywords(session.drug_log), f"{DATASET_PREFIX}{study.name}"]
    words += [SIMULATED] * study.simulated + [STUB] * stub
    return list(dict.fromkeys(words))


def ophys_metadata(session: Session) -> dict[str, Any]:
    """Return microscope and imaging plane in neuroconv's metadata form; empty without imaging."""
    imaging = session.imaging
    if imaging is None:
        return {}
    depth = "" if imaging.depth_um is None else f"Depth below the pia: {imaging.depth_um:g} um."
    plane: dict[str, Any] = {
        "name": "ImagingPlane",
        "description": _sentences(imaging.description, depth) or "Imaging plane, not described further.",
        "device_metadata_key": DEVICE_KEY,
        "excitation_lambda": imaging.excitation_lambda_nm,
        "indicator": imaging.indicator,
        "location": imaging.region,
        "optical_channel": [
            {
                "name": "OpticalChannel",
                "description": f"Emission of {imaging.indicator}.",
                "emission_lambda": imaging.emission_lambda_nm,
            }
        ],
    }
    if imaging.pixel_size_um is not None:
        plane |= {
            "grid_spacing": [size * 1e-6 for size in imaging.pixel_size_um],
            "grid_spacing_unit": "meters",
        }
    return {
        "Devices": {
            DEVICE_KEY: {
                "name": imaging.device.replace("/", "_"),
                "description": imaging.device_description or "Microscope, not described further.",
            }
        },
        "Ophys": {"ImagingPlanes": {PLANE_KEY: plane}},
    }


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
