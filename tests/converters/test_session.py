"""One session as an NWB file: metadata, clocks, marks, and streams that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pynwb import NWBHDF5IO, NWBFile

from nwbswitch.converters.session import (
    add_parts,
    close_parts,
    identifier,
    make_nwbfile,
    open_parts,
    output_path,
    placeholder_issues,
)
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.study import Session, Study, Suite2pFolder, TiffMovie, WheelCsv

Make = Callable[..., Session]
MakeStudy = Callable[..., Study]


Build = Callable[..., NWBFile]


@pytest.fixture
def build() -> Iterator[Build]:
    """A function that returns the first session of a study in memory; its files are closed at the end."""
    opened = []

    def build_(study: Study, *, stub: bool = False) -> NWBFile:
        session = study.sessions[0]
        nwbfile = make_nwbfile(study, session, stub=stub)
        opened.extend(open_parts(session))
        add_parts(nwbfile, session, opened, stub=stub)
        return nwbfile

    yield build_
    close_parts(opened)


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


def test_every_stream_is_on_the_session_clock(
    raw: Path, session_of: Make, make_study: MakeStudy, build: Build
) -> None:
    nwbfile = build(make_study(session_of(raw)))
    assert nwbfile.acquisition["TwoPhotonSeries"].starting_time == 0.0
    assert nwbfile.processing["ophys"]["Fluorescence"]["RoiResponseSeries"].starting_time == 0.0
    speed = nwbfile.processing["behavior"]["BehavioralTimeSeries"]["speed"]
    assert (speed.starting_time, speed.rate) == (pytest.approx(-4.0), pytest.approx(10.0))
    windows = nwbfile.intervals["analysis_epochs"].to_dataframe()
    assert windows["start_time"].tolist() == [0.0, 35.0]
    assert nwbfile.events["drug_administrations"]["timestamp"][:] == [30.0]


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


def test_rows_per_frame_take_the_clock_of_the_frames(raw: Path, session_of: Make) -> None:
    session = session_of(raw)
    (raw / "wheel.csv").write_text("speed\n" + "1\n" * 300, encoding="utf-8")
    wheel = session.streams["wheel"].model_copy(update={"time_column": None})
    parts = open_parts(session_of(raw, streams={**session.streams, "wheel": wheel}))
    interface = next(part.interface for part in parts if part.name == "wheel")
    assert (interface.start_s, interface.rate_hz) == (0.0, 5.0)
    close_parts(parts)
    (raw / "wheel.csv").write_text("speed\n" + "1\n" * 299, encoding="utf-8")
    with pytest.raises(IssuesError, match=r"length-differs"):
        open_parts(session_of(raw, streams={**session.streams, "wheel": wheel}))


def broken(session: Session, raw: Path, what: str) -> dict[str, object]:
    """Return the fields of a session whose streams contradict each other."""
    streams = dict(session.streams)
    match what:
        case "rate":
            streams["movie"] = TiffMovie(format="tiff_movie", path=raw / "movie.tif", rate_hz=9.0)
        case "length":
            tifffile.imwrite(raw / "movie.tif", np.zeros((299, 4, 5), np.uint8), photometric="minisblack")
        case "clock":
            return {"clocks": {}}
        case "imaging":
            return {"imaging": None}
        case "planes":
            streams["more"] = Suite2pFolder(format="suite2p", path=raw / "suite2p")
        case "epochs":
            return {"drug_log": ()}
    return {"streams": streams}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("rate", "rate-differs"),
        ("length", "length-differs"),
        ("clock", "clock 'wheel' is not described"),
        ("imaging", "need the section imaging"),
        ("planes", "several Suite2p folders"),
        ("epochs", "drug log has none"),
    ],
)
def test_contradictions_are_refused(raw: Path, session_of: Make, what: str, words: str) -> None:
    fields = broken(session_of(raw), raw, what)
    with pytest.raises(IssuesError, match=words):
        open_parts(session_of(raw, **fields))


def test_a_movie_in_two_files(raw: Path, session_of: Make, make_study: MakeStudy, build: Build) -> None:
    movie = tifffile.imread(raw / "movie.tif")
    tifffile.imwrite(raw / "a.tif", movie[:100], photometric="minisblack")
    tifffile.imwrite(raw / "b.tif", movie[100:], photometric="minisblack")
    session = session_of(raw)
    streams = {
        "a": TiffMovie(format="tiff_movie", path=raw / "a.tif", rate_hz=5.0),
        "b": TiffMovie(format="tiff_movie", path=raw / "b.tif", rate_hz=5.0, clock="later"),
        "traces": session.streams["traces"],
    }
    clocks = {"later": {"offset_s": 20.0}}
    nwbfile = build(make_study(session_of(raw, streams=streams, clocks=clocks)))
    assert nwbfile.acquisition["TwoPhotonSeries_a"].starting_time == 0.0
    assert nwbfile.acquisition["TwoPhotonSeries_b"].starting_time == 20.0
    assert len(nwbfile.imaging_planes) == 1


def test_stub_is_short_and_marked(
    raw: Path, session_of: Make, make_study: MakeStudy, build: Build, tmp_path: Path
) -> None:
    nwbfile = build(make_study(session_of(raw)), stub=True)
    assert "STUB" in nwbfile.keywords
    with NWBHDF5IO(tmp_path / "s.nwb", "w") as io:
        io.write(nwbfile)
    with NWBHDF5IO(tmp_path / "s.nwb", "r") as io:
        read = io.read()
        assert read.acquisition["TwoPhotonSeries"].data.shape == (100, 9, 6)
        assert read.processing["ophys"]["Fluorescence"]["Neuropil"].data.shape == (100, 3)
        assert read.session_description.startswith("STUB")


def test_streams_without_imaging_need_no_plane(
    raw: Path, session_of: Make, make_study: MakeStudy, build: Build
) -> None:
    streams = {"wheel": session_of(raw).streams["wheel"]}
    assert isinstance(streams["wheel"], WheelCsv)
    nwbfile = build(make_study(session_of(raw, streams=streams, imaging=None)))
    assert not nwbfile.imaging_planes
    assert "speed" in nwbfile.processing["behavior"]["BehavioralTimeSeries"].time_series
