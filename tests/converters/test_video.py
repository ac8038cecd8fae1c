"""Videos by reference: frames are counted by the index, damage is noticed, and links lead to the video."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pynwb
import pytest
from format_writers.video_files import write_avi, write_mp4
from pynwb import NWBFile
from pynwb.file import Subject

from nwbswitch.converters.behavior.video import VideoInterface
from nwbswitch.converters.behavior.video_facts import video_facts
from nwbswitch.converters.writing.nwb_writer import write_nwb
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, UnsafeFileError

SIZES = [7, 3, 12, 1, 5, 9, 4, 2, 8, 6]


def nwb() -> NWBFile:
    subject = Subject(subject_id="m1", species="Mus musculus", sex="M", age="P90D")
    return NWBFile("test", "id", datetime(2024, 5, 1, 10, tzinfo=UTC), session_id="s1", subject=subject)


@pytest.mark.parametrize(
    "keys", [{}, {"absolute": True}, {"large": 4}, {"large": 3, "rate": (30000, 1001)}, {"rate": (100, 1)}]
)
def test_frames_of_avi_files(tmp_path: Path, keys: dict[str, Any]) -> None:
    facts = video_facts(write_avi(tmp_path / "v.avi", SIZES, **keys))
    assert (facts.n_frames, facts.width, facts.height, facts.codec) == (10, 64, 48, "MJPG")
    rate, scale = keys.get("rate", (30, 1))
    assert facts.rate_hz == pytest.approx(rate / scale)
    assert facts.n_empty == 0


def test_dropped_frames_of_avi_files_are_told(tmp_path: Path) -> None:
    path = write_avi(tmp_path / "v.avi", [5, 0, 0, 5])
    assert (video_facts(path).n_frames, video_facts(path).n_empty) == (4, 2)
    nwbfile = nwb()
    VideoInterface(file_path=path).add_to_nwbfile(nwbfile)
    assert "2 frames repeat the one before" in nwbfile.acquisition["video"].description


@pytest.mark.parametrize("per_chunk", [1, 3, 100])
def test_frames_of_mp4_files(tmp_path: Path, per_chunk: int) -> None:
    facts = video_facts(write_mp4(tmp_path / "v.mp4", SIZES, per_chunk=per_chunk))
    assert (facts.n_frames, facts.width, facts.height, facts.codec) == (10, 64, 48, "avc1")
    assert facts.rate_hz == 25.0
    assert facts.times_s is None


def test_frames_that_are_shown_in_another_order(tmp_path: Path) -> None:
    """Two B-frames: shown 0, 1, 2, 3 but stored 0, 3, 1, 2; the edit list takes the delay away."""
    shifts = [1024, 2048, 512, 512, 1024, 2048, 512, 512, 1024, 1024]
    facts = video_facts(write_mp4(tmp_path / "v.mp4", SIZES, shifts=shifts, start=1024))
    assert (facts.n_frames, facts.rate_hz) == (10, 25.0)


def test_frames_at_times_of_their_own(tmp_path: Path) -> None:
    durations = [512, 512, 1024, 512, 512, 512, 512, 512, 512, 512]
    path = write_mp4(tmp_path / "v.mp4", SIZES, durations=durations)
    expected = np.cumsum([0, *durations[:-1]]) / 12800
    np.testing.assert_allclose(video_facts(path).times_s, expected)
    interface = VideoInterface(file_path=path, start_s=5.0)
    np.testing.assert_allclose(interface.get_timestamps(), 5 + expected)
    assert VideoInterface(file_path=path, rate_hz=25.0).timing.rate_hz == 25.0


def test_rates_that_are_rounded_to_milliseconds_are_rates(tmp_path: Path) -> None:
    durations = np.diff(np.round(np.arange(101) * 1000 / 30)).astype(int).tolist()
    facts = video_facts(write_mp4(tmp_path / "v.mp4", [3] * 100, timescale=1000, durations=durations))
    assert facts.rate_hz == pytest.approx(30.0, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "n_frames", "rate_hz", "size"),
    [
        ("sleap_mice/tracks/clip.mp4", 1500, 25.0, (1024, 1024)),
        ("lightning_pose_running_mouse/videos/test_vid.mp4", 994, 250.0, (396, 406)),
    ],
)
def test_real_videos(shared: Path, name: str, n_frames: int, rate_hz: float, size: tuple[int, int]) -> None:
    """FFmpeg decodes as many frames, at these times."""
    facts = video_facts(shared / "data" / name)
    assert (facts.n_frames, facts.rate_hz, (facts.width, facts.height)) == (n_frames, rate_hz, size)


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.99])
def test_files_that_are_cut_off_are_refused(tmp_path: Path, suffix: str, part: float) -> None:
    write = write_avi if suffix == ".avi" else write_mp4
    path = write(tmp_path / f"v{suffix}", [50] * 100)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(InputFileError, match="is damaged"):
        video_facts(path)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"index": False}, "it has no index"),
        ({"stated": 12}, "header states 12 frames, its index 10"),
        ({"stated": 0}, "header states 0 frames, its index 10"),
        ({"large": 4, "stated": 9}, "header states 9 frames, its index 10"),
    ],
)
def test_avi_files_that_were_not_ended_are_refused(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(InputFileError, match=words):
        video_facts(write_avi(tmp_path / "v.avi", SIZES, **keys))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"tables": False}, "no tables of frames"),
        ({"fragments": True}, "recorded in fragments"),
        ({"start": 1024}, "hides 2 of its 10 frames"),
    ],
)
def test_mp4_files_that_cannot_be_counted_are_refused(
    tmp_path: Path, keys: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputFileError, match=words):
        video_facts(write_mp4(tmp_path / "v.mp4", SIZES, **keys))


def _spoilt(path: Path, name: bytes, offset: int, value: int) -> Path:
    data = bytearray(path.read_bytes())
    at = data.index(name) + offset
    data[at : at + 4] = struct.pack(">I", value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "offset", "value"),
    [
        (b"stsz", 12, 0xFFFFFFFF),
        (b"stsz", 8, 0xFFFFFF),
        (b"stts", 8, 0xFFFFFFFF),
        (b"stts", 12, 0xFFFFFFFF),
        (b"stsc", 16, 0xFFFFFFFF),
        (b"stsc", 12, 5),
        (b"stco", 12, 0xFFFFFFF0),
        (b"mdhd", 16, 0),
        (b"moov", -4, 0x7FFFFFFF),
        (b"trak", -4, 3),
    ],
)
def test_tables_that_lie_are_refused(tmp_path: Path, name: bytes, offset: int, value: int) -> None:
    path = _spoilt(write_mp4(tmp_path / "v.mp4", SIZES), name, offset, value)
    with pytest.raises((InputFileError, UnsafeFileError)):
        video_facts(path)


def test_every_byte_of_a_header_may_be_wrong(tmp_path: Path) -> None:
    """Whatever stands there, the answer is facts or an error that names the file."""
    rng = np.random.default_rng(0)
    for write, suffix in ((write_avi, ".avi"), (write_mp4, ".mp4")):
        good = write(tmp_path / f"v{suffix}", SIZES).read_bytes()
        for _ in range(400):
            data = bytearray(good)
            for at in rng.integers(0, len(data), 3):
                data[at] = rng.integers(0, 256)
            (tmp_path / f"v{suffix}").write_bytes(data)
            try:
                found = video_facts(tmp_path / f"v{suffix}").n_frames > 0
            except InputFileError as error:
                found = str(error).startswith(str(tmp_path))
            assert found


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(b"\x1aE\xdf\xa3" + b"\0" * 100)
    (tmp_path / "b.avi").write_bytes(b"")
    for name in ("a.mkv", "b.avi", "none.avi"):
        with pytest.raises(InputFileError):
            VideoInterface(file_path=tmp_path / name)


@pytest.mark.parametrize("placing", ["link", "copy"])
def test_the_nwb_file_finds_the_video_beside_it(tmp_path: Path, placing: str) -> None:
    (tmp_path / "raw of Jane").mkdir()
    source = write_avi(tmp_path / "raw of Jane/Cam 1.AVI", SIZES, rate=(50, 1))
    source.chmod(0o444)
    interface = VideoInterface(file_path=source, placing=placing, metadata_key="eye", description="Left eye.")
    nwbfile = nwb()
    interface.add_to_nwbfile(nwbfile)
    path = tmp_path / "out/sub-m1/sub-m1_ses-s1_image.nwb"
    path.parent.mkdir(parents=True)
    write_nwb(nwbfile, path)
    interface.place_beside(path)
    interface.place_beside(path)
    assert pynwb.validate(path=path) == []
    assert b"Jane" not in path.read_bytes()
    read = pynwb.read_nwb(path)
    series = read.acquisition["eye"]
    place = path.parent / series.external_file[0]
    assert series.external_file[:].tolist() == ["sub-m1_ses-s1_image/eye.avi"]
    assert place.read_bytes() == source.read_bytes()
    assert place.samefile(source) == (placing == "link")
    assert (series.rate, series.num_samples, series.format) == (50.0, 10, "external")
    assert series.description.startswith("Left eye. 10 frames of 64 x 48 pixels, MJPG in AVI")
    assert f"{source.stat().st_size} bytes, SHA-256" in series.comments
    read.get_read_io().close()


def test_nothing_is_placed_or_replaced_unasked(tmp_path: Path) -> None:
    source = write_avi(tmp_path / "v.avi", SIZES)
    interface = VideoInterface(file_path=source, placing="none")
    interface.add_to_nwbfile(nwb())
    interface.place_beside(tmp_path / "out/a.nwb")
    assert not (tmp_path / "out").exists()
    other = tmp_path / "out/sub-m1_ses-s1_image/video.avi"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"mine")
    interface = VideoInterface(file_path=source)
    interface.add_to_nwbfile(nwb())
    with pytest.raises(ExistingOutputError, match="another video"):
        interface.place_beside(tmp_path / "out/a.nwb")
    assert other.read_bytes() == b"mine"


def test_several_files_of_one_recording(tmp_path: Path) -> None:
    paths = [write_avi(tmp_path / f"v{each}.avi", SIZES[: 10 - each]) for each in range(3)]
    interface = VideoInterface(file_path=paths)
    assert interface.n_samples == 27
    nwbfile = nwb()
    interface.add_to_nwbfile(nwbfile)
    series = nwbfile.acquisition["video"]
    assert list(series.starting_frame) == [0, 10, 19]
    assert list(series.external_file) == [f"sub-m1_ses-s1_image/video_{each}.avi" for each in range(3)]
    odd = write_avi(tmp_path / "odd.avi", SIZES, rate=(10, 1))
    with pytest.raises(InputFileError, match="neither times nor a rate"):
        VideoInterface(file_path=[paths[0], odd]).add_to_nwbfile(nwb())
    assert (
        VideoInterface(file_path=[paths[0], write_mp4(tmp_path / "v.mp4", SIZES)], rate_hz=5.0).n_samples
        == 20
    )


def test_a_rate_that_the_video_contradicts_is_told(tmp_path: Path) -> None:
    path = write_avi(tmp_path / "v.avi", SIZES, rate=(30, 1))
    with pytest.warns(UserWarning, match="states 30 frames per second; rate_hz, 100, counts"):
        interface = VideoInterface(file_path=path, rate_hz=100.0)
    assert interface.timing.rate_hz == 100.0
