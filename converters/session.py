"""One recording session as an NWB file in memory: who, when, and under which microscope."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.converters.biology.genetic_tools import add_genetic_tools
from nwbswitch.converters.imaging.imaging_plane import DEVICE_KEY, PLANE_KEY
from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.schemas.drug_table import drug_keywords, pharmacology_line
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.files import digest
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.nwb_text import DATASET_PREFIX, SIMULATED
from nwbswitch.schemas.stream_base import Imaging, ImagingStream
from nwbswitch.schemas.study import Archive, Session, Study

if TYPE_CHECKING:
    from pynwb import NWBFile

STUB = "STUB"
MODALITIES = {
    Kind.MOVIE: "ophys",
    Kind.ROIS: "ophys",
    Kind.BEHAVIOR: "behavior",
    Kind.IMAGE: "image",
}
"""What `dandi organize` calls the kinds of streams in file names."""
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/nwbswitch/nwbswitch")


def output_path(session: Session, *, content: Archive = "both") -> Path:
    """Return where the file of a session goes below the output folder, named as ``dandi organize`` does.

    ``content`` tells which of two files is meant when raw movies are kept separate.
    """
    kinds = [READERS[stream.format].kind for stream in session.streams.values()]
    wanted = [kind for kind in kinds if content == "both" or (kind is Kind.MOVIE) == (content == "raw")]
    modalities = sorted({MODALITIES[kind] for kind in wanted})
    subject = f"sub-{session.subject.subject_id}"
    entities = [subject, f"ses-{session.session_id}"]
    entities += [] if content == "both" else [f"desc-{content}"]
    entities += ["+".join(modalities)] if modalities else []
    return Path(subject) / f"{'_'.join(entities)}.nwb"


def facts(study: Study, session: Session) -> dict[str, Any]:
    """Return all that the study file says of a session as plain values, without folders of this machine."""
    shared = study.model_dump(mode="json", exclude={"sessions"})
    own = session.model_dump(mode="json")
    for part in ("streams", "clocks"):
        own[part] = {name: _without_folders(each) for name, each in own[part].items()}
    return {"study": shared, "session": own}


def _without_folders(value: Any) -> Any:
    """Return settings with the name of each file in place of its path."""
    if not isinstance(value, dict):
        return value
    found = {key: _without_folders(each) for key, each in value.items()}
    path = found.get("path")
    if isinstance(path, str | list):
        found["path"] = Path(path).name if isinstance(path, str) else [Path(each).name for each in path]
    return found


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
    nwbfile = NWBFile(
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
        surgery=session.surgery or None,
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
    add_genetic_tools(nwbfile, session.viruses, session.actuators)
    return nwbfile


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
    """Return microscopes, imaging planes, and the names of movies and ROIs, in neuroconv's metadata form.

    A stream with imaging of its own, e.g. a second plane, has an imaging plane of its own.
    """
    devices: dict[str, Any] = {}
    planes: dict[str, Any] = {}
    if session.imaging is not None:
        devices[DEVICE_KEY] = _device(session.imaging)
        planes[PLANE_KEY] = _plane("ImagingPlane", DEVICE_KEY, session.imaging)
    blocks: dict[str, dict[str, Any]] = {"MicroscopySeries": {}, "PlaneSegmentations": {}}
    for kind, block, name in (
        (Kind.MOVIE, "MicroscopySeries", "TwoPhotonSeries"),
        (Kind.ROIS, "PlaneSegmentations", "PlaneSegmentation"),
    ):
        streams = {key: each for key, each in session.streams.items() if READERS[each.format].kind is kind}
        for key, stream in streams.items():
            own_name = name.replace("Two", "One") if getattr(stream, "photons", 2) == 1 else name
            fields = {"name": f"{own_name}_{key}"} if len(streams) > 1 else {}
            own = stream.imaging if isinstance(stream, ImagingStream) else None
            if own is not None and own != session.imaging:
                device_key = DEVICE_KEY if _same_device(own, session.imaging) else f"{DEVICE_KEY}_{key}"
                devices.setdefault(device_key, _device(own))
                fields["imaging_plane_metadata_key"] = _plane_key(planes, key, device_key, own)
            blocks[block][key] = fields
    return {"Devices": devices, "Ophys": {"ImagingPlanes": planes, **blocks}} if devices else {}


def _plane_key(planes: dict[str, Any], key: str, device_key: str, imaging: Imaging) -> str:
    """Return the key of a plane like ``imaging``, which movie and ROIs share; added when it is new."""
    made = _plane(f"ImagingPlane_{key}", device_key, imaging)
    for known, plane in planes.items():
        if {**plane, "name": ""} == {**made, "name": ""}:
            return known
    planes[f"{PLANE_KEY}_{key}"] = made
    return f"{PLANE_KEY}_{key}"


def _same_device(one: Imaging, other: Imaging | None) -> bool:
    return other is not None and (one.device, one.device_description) == (
        other.device,
        other.device_description,
    )


def _device(imaging: Imaging) -> dict[str, str]:
    return {
        "name": imaging.device.replace("/", "_"),
        "description": imaging.device_description or "Microscope, not described further.",
    }


def _plane(name: str, device_key: str, imaging: Imaging) -> dict[str, Any]:
    depth = "" if imaging.depth_um is None else f"Depth below the pia: {imaging.depth_um:g} um."
    plane: dict[str, Any] = {
        "name": name,
        "description": _sentences(imaging.description, depth) or "Imaging plane, not described further.",
        "device_metadata_key": device_key,
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
    return plane
