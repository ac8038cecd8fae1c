"""One recording session as an NWB file in memory: who, when, and under which microscope."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.converters.imaging.imaging_plane import DEVICE_KEY, PLANE_KEY
from nwbswitch.schemas.drug_table import drug_keywords, pharmacology_line
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.files import digest
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.study import (
    Session,
    Study,
    Suite2pFolder,
    TiffMovie,
    WheelCsv,
)

if TYPE_CHECKING:
    from pynwb import NWBFile

SIMULATED = "SIMULATED"
STUB = "STUB"
DATASET_PREFIX = "dataset:"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/nwbswitch/nwbswitch")


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
