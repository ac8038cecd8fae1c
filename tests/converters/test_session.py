"""One session as an NWB file: metadata, names, identifiers and marks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBFile

from nwbswitch.converters.session import identifier, make_nwbfile, output_path, placeholder_issues
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.study import Session, Study

Make = Callable[..., Session]
MakeStudy = Callable[..., Study]
Build = Callable[..., NWBFile]


def test_metadata(raw: Path, session_of: Make, make_study: MakeStudy, build: Build) -> None:
    nwbfile = build(make_study(session_of(raw), lab="Lab", related_publications=("doi:10.1/x",)))
    assert nwbfile.session_id == "day1"
    assert nwbfile.session_start_time.isoformat() == "2024-05-01T10:00:00+00:00"
    assert nwbfile.experimenter is None
    assert list(nwbfile.keywords) == ["mouse", "ketamine", "dataset:tiny"]
    assert nwbfile.pharmacology == "Ketamine hydrochloride (racemic) 10 mg/kg i.p. at 30 s"
    assert (nwbfile.subject.weight, nwbfile.subject.age, nwbfile.subject.sex) == ("25 g", "P90D", "F")
    plane = nwbfile.imaging_planes["ImagingPlane"]
    assert (plane.location, plane.indicator, plane.excitation_lambda) == ("VISp", "GCaMP6s", 920.0)
    np.testing.assert_allclose(plane.grid_spacing, [1.5e-6, 1.5e-6])
    assert "200 um" in plane.description
    assert plane.device.name == "two-photon microscope"


def test_experimenters_only_when_given(raw: Path, session_of: Make, make_study: MakeStudy) -> None:
    nwbfile = make_nwbfile(make_study(session_of(raw), experimenters=("Doe, Jane",)), session_of(raw))
    assert list(nwbfile.experimenter) == ["Doe, Jane"]


def test_simulated_data_say_so(raw: Path, session_of: Make, make_study: MakeStudy) -> None:
    nwbfile = make_nwbfile(make_study(session_of(raw), simulated=True), session_of(raw))
    assert nwbfile.session_description.startswith("SIMULATED")
    assert "SIMULATED" in nwbfile.keywords
    assert "SIMULATED" in nwbfile.notes


def test_placeholders_are_marked_and_reported(raw: Path, session_of: Make, make_study: MakeStudy) -> None:
    session = session_of(raw, placeholders=("subject.age", "start_time"))
    nwbfile = make_nwbfile(make_study(session), session)
    assert "subject.age, start_time" in nwbfile.session_description
    assert "subject.age, start_time" in nwbfile.notes
    assert "Placeholders, not stated by the source: subject.age." in nwbfile.subject.description
    found = placeholder_issues(session)
    assert [each.code for each in found] == ["placeholder", "placeholder"]
    assert "subject.age" in found[0].message


def test_identifier_depends_on_content_not_on_place(
    raw: Path, tmp_path: Path, session_of: Make, make_study: MakeStudy
) -> None:
    here, there = session_of(raw), session_of(tmp_path / "elsewhere")
    one = identifier(make_study(here), here, ["aa"])
    assert one == identifier(make_study(there), there, ["aa"])
    assert one != identifier(make_study(here), here, ["bb"])
    assert one != identifier(make_study(here, name="other"), here, ["aa"])


def test_names_follow_dandi(raw: Path, session_of: Make) -> None:
    session = session_of(raw)
    assert output_path(session) == Path("sub-m1/sub-m1_ses-day1_behavior+ophys.nwb")
    only = {"traces": session.streams["traces"]}
    assert output_path(session_of(raw, streams=only)).name == "sub-m1_ses-day1_ophys.nwb"
    assert output_path(session_of(raw, streams={})).name == "sub-m1_ses-day1.nwb"


def test_start_without_offset_is_refused(raw: Path, session_of: Make, make_study: MakeStudy) -> None:
    session = session_of(raw, start_time=datetime(2024, 5, 1, 10))
    with pytest.raises(IssuesError, match="no UTC offset"):
        make_nwbfile(make_study(session), session)
