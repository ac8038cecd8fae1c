"""The streams of a session: one clock, no contradictions, and files cut short on purpose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pynwb
import pytest
import tifffile
from pynwb import NWBHDF5IO, NWBFile

from nwbswitch.converters.session_streams import close_parts, open_parts
from nwbswitch.converters.timing import Timing
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.streams_suite2p import Suite2pFolder
from nwbswitch.schemas.streams_tiff import TiffMovie
from nwbswitch.schemas.streams_wheel import WheelCsv
from nwbswitch.schemas.study import Session, Study

Make = Callable[..., Session]
MakeStudy = Callable[..., Study]
Build = Callable[..., NWBFile]


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


def test_rows_per_frame_take_the_clock_of_the_frames(raw: Path, session_of: Make) -> None:
    session = session_of(raw)
    (raw / "wheel.csv").write_text("speed\n" + "1\n" * 300, encoding="utf-8")
    wheel = session.streams["wheel"].model_copy(update={"time_column": None})
    parts = open_parts(session_of(raw, streams={**session.streams, "wheel": wheel}))
    interface = next(part.interface for part in parts if part.name == "wheel")
    assert (interface.timing.start_s, interface.timing.rate_hz) == (0.0, 5.0)
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
    # 100 frames at 5 Hz, then 200 more at once: one rate.
    assert nwbfile.processing["ophys"]["Fluorescence"]["RoiResponseSeries"].rate == pytest.approx(5.0)


def test_traces_of_two_movies_follow_one_after_the_other(raw: Path, session_of: Make) -> None:
    movie = tifffile.imread(raw / "movie.tif")
    tifffile.imwrite(raw / "a.tif", movie[:100], photometric="minisblack")
    tifffile.imwrite(raw / "b.tif", movie[100:], photometric="minisblack")
    streams = {
        "b": TiffMovie(format="tiff_movie", path=raw / "b.tif", rate_hz=5.0, clock="later"),
        "a": TiffMovie(format="tiff_movie", path=raw / "a.tif", rate_hz=5.0),
        "traces": session_of(raw).streams["traces"],
    }
    clocks = {"later": {"offset_s": 60.0}}
    parts = open_parts(session_of(raw, streams=streams, clocks=clocks))
    times = next(part.interface.timing.times_s() for part in parts if part.name == "traces")
    np.testing.assert_allclose(times, np.concatenate([np.arange(100) / 5, 60 + np.arange(200) / 5]))
    close_parts(parts)


def test_a_single_run_may_begin_later(raw: Path, session_of: Make) -> None:
    session = session_of(raw)
    run = TiffMovie(
        format="tiff_movie", path=raw / "movie.tif", rate_hz=5.0, parts="runs", part_start_s=(40.0,)
    )
    parts = open_parts(session_of(raw, streams={**session.streams, "movie": run}, epochs=()))
    starts = {part.name: part.interface.timing.first_s for part in parts if part.kind is not None}
    assert starts == {"movie": 40.0, "traces": 40.0, "wheel": pytest.approx(-4.0)}
    close_parts(parts)


def test_traces_on_another_clock_than_their_movie_are_refused(raw: Path, session_of: Make) -> None:
    session = session_of(raw)
    movie = session.streams["movie"].model_copy(update={"clock": "scope"})
    clocks = {**session.clocks, "scope": {"offset_s": 30.0}}
    with pytest.raises(IssuesError, match="as many frames as the movie and other times"):
        open_parts(session_of(raw, streams={**session.streams, "movie": movie}, clocks=clocks, epochs=()))
    traces = session.streams["traces"].model_copy(update={"start_s": 30.0})
    parts = open_parts(
        session_of(
            raw, streams={**session.streams, "movie": movie, "traces": traces}, clocks=clocks, epochs=()
        )
    )
    close_parts(parts)


def test_rows_without_times_do_not_choose_between_two_recordings(raw: Path, session_of: Make) -> None:
    session = session_of(raw)
    (raw / "wheel.csv").write_text("speed\n" + "1\n" * 300, encoding="utf-8")
    wheel = session.streams["wheel"].model_copy(update={"time_column": None})
    other = TiffMovie(format="tiff_movie", path=raw / "movie.tif", rate_hz=5.0, clock="wheel")
    streams = {**session.streams, "wheel": wheel, "other": other}
    with pytest.raises(InputFileError, match="neither times nor a rate"):
        open_parts(session_of(raw, streams=streams))


def test_a_chain_of_followers_of_another_length_is_told_in_words(raw: Path, session_of: Make) -> None:
    session = session_of(raw)
    tifffile.imwrite(raw / "movie.tif", np.zeros((299, 6, 9), np.int16), photometric="minisblack")
    (raw / "wheel.csv").write_text("speed\n" + "1\n" * 300, encoding="utf-8")
    traces = session.streams["traces"].model_copy(update={"timing_of": "movie"})
    wheel = session.streams["wheel"].model_copy(update={"time_column": None, "timing_of": "traces"})
    with pytest.raises(IssuesError, match="length-differs"):
        open_parts(session_of(raw, streams={**session.streams, "traces": traces, "wheel": wheel}))


def test_two_planes_have_tables_and_imaging_planes_of_their_own(
    raw: Path, session_of: Make, make_study: MakeStudy, build: Build, tmp_path: Path
) -> None:
    session = session_of(raw)
    deep = session.imaging.model_copy(update={"depth_um": 300.0})
    streams = {
        **session.streams,
        "deep": Suite2pFolder(format="suite2p", path=raw / "suite2p", imaging=deep),
    }
    nwbfile = build(make_study(session_of(raw, streams=streams)))
    tables = nwbfile.processing["ophys"]["ImageSegmentation"].plane_segmentations
    assert set(tables) == {"PlaneSegmentation_traces", "PlaneSegmentation_deep"}
    depths = {name: (set(each["depth_um"][:]), each.imaging_plane.name) for name, each in tables.items()}
    assert depths["PlaneSegmentation_traces"] == ({200.0}, "ImagingPlane")
    assert depths["PlaneSegmentation_deep"] == ({300.0}, "ImagingPlane_deep")
    names = set(nwbfile.processing["ophys"]["Fluorescence"].roi_response_series)
    assert {"RoiResponseSeries_traces", "RoiResponseSeries_deep", "Neuropil_deep"} <= names
    write_nwb(nwbfile, tmp_path / "p.nwb")
    assert pynwb.validate(path=tmp_path / "p.nwb") == []


def test_traces_follow_the_runs_of_their_movie(
    raw: Path, session_of: Make, make_study: MakeStudy, build: Build
) -> None:
    movie = tifffile.imread(raw / "movie.tif")
    for name, part in (("run_2", movie[:100]), ("run_10", movie[100:])):
        tifffile.imwrite(raw / f"{name}.tif", part, photometric="minisblack")
    session = session_of(raw)
    joined = TiffMovie(
        format="tiff_movie",
        path=(raw / "run_2.tif", raw / "run_10.tif"),
        rate_hz=5.0,
        parts="runs",
        part_start_s=(0.0, 50.0),
    )
    nwbfile = build(make_study(session_of(raw, streams={**session.streams, "movie": joined})))
    times = nwbfile.acquisition["TwoPhotonSeries"].timestamps
    assert times[99:101].tolist() == [19.8, 50.0]
    traces = nwbfile.processing["ophys"]["Fluorescence"]["RoiResponseSeries"]
    np.testing.assert_array_equal(traces.timestamps, times)


def test_streams_that_follow_each_other_are_refused(raw: Path, session_of: Make) -> None:
    session = session_of(raw)
    streams = {
        "one": Suite2pFolder(format="suite2p", path=raw / "suite2p", timing_of="two"),
        "two": Suite2pFolder(format="suite2p", path=raw / "suite2p", timing_of="one"),
    }
    with pytest.raises(IssuesError, match="from each other"):
        open_parts(session_of(raw, streams={**session.streams, **streams}))


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


def test_rows_that_count_frames_get_their_times(
    raw: Path, session_of: Make, make_study: MakeStudy, build: Build
) -> None:
    frames = np.repeat(np.arange(1, 301), 2)
    rows = "\n".join(f"{frame},{frame / 10:.1f}" for frame in frames)
    (raw / "wheel.csv").write_text(f"frame,speed\n{rows}\n", encoding="utf-8")
    session = session_of(raw)
    wheel = session.streams["wheel"].model_copy(
        update={
            "time_column": None,
            "frame_column": "frame",
            "first_frame": 1,
            "timing_of": "movie",
            "clock": "session",
        }
    )
    nwbfile = build(make_study(session_of(raw, streams={**session.streams, "wheel": wheel})))
    speed = nwbfile.processing["behavior"]["BehavioralTimeSeries"]["speed"]
    assert (speed.starting_time, speed.rate) == (pytest.approx(0.0), pytest.approx(10.0))
    table = nwbfile.processing["synchronization"]["clock_alignment"].to_dataframe().set_index("stream")
    assert table.loc["wheel", "method"] == "frame counter"


def test_a_stub_of_irregular_times_is_regular_where_its_part_is() -> None:
    times = np.concatenate([np.arange(10) / 5, 60 + np.arange(10) / 5])
    fields = Timing.of_times(times).series_fields(10)
    assert fields == {"starting_time": 0.0, "rate": pytest.approx(5.0)}
    np.testing.assert_array_equal(Timing.of_times(times).series_fields(15)["timestamps"], times[:15])
    np.testing.assert_array_equal(Timing.of_times(times).series_fields(99)["timestamps"], times)
